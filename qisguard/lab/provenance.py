"""What made a result: versions of libraries, and the machine, in words."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, qisguard and ``libraries``, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in ("qisguard", *libraries):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, str]:
    """Return the kind of machine and how many cores it has."""
    return {"system": f"{platform.system()} {platform.machine()}", "cores": str(os.cpu_count())}


def load() -> str:
    """Return how busy the machine was in the last minute, as the system counts it."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
