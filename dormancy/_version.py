"""The version of this package, and the versions of the packages that results depend on."""

from __future__ import annotations

import platform
from importlib import import_module

__all__ = ["__version__", "versions"]

__version__ = "0.1.0"


def versions(*modules: str) -> dict[str, str]:
    """Return the versions of dormancy, Python, torch, NumPy and the named `modules`, for the record of a result.

    They are read from the modules themselves, not from installed metadata: a source tree need not be installed.
    """
    found = {"dormancy": __version__, "torch": "", "numpy": "", "python": platform.python_version()}
    for name in ("torch", "numpy", *modules):
        found[name] = str(getattr(import_module(name), "__version__", "unknown"))
    return found
