"""What all tests share: a busy machine is not a failure, so hypothesis has no deadline and no check for slowness."""

from hypothesis import HealthCheck, settings

settings.register_profile("dormancy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dormancy")
