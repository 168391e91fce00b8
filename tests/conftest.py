"""What all tests share: a busy machine is not a failure, so hypothesis has no deadline and no check for slowness.

Processes started in the background of a shell ignore SIGINT, and so do their children; tests that interrupt would then
test nothing.
"""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("dormancy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dormancy")

signal.signal(signal.SIGINT, signal.default_int_handler)

collect_ignore = ["reference/make_rliable.py"]  # it runs where rliable is installed
