"""Real time for nodes: Unix seconds that never go back."""

import time
from dataclasses import dataclass, field

from qisguard.plugins import Clock

CALENDAR = Clock(first_day=0, rate=1.0)
"""Seconds since 1970 to days since 1970."""


def _steady() -> float:
    """Return seconds on a clock that never goes back and, on Linux, runs while a machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class RealTime:
    """Unix time when this was made, plus what a steady clock counted since.

    A wall clock that somebody sets back moves neither timeouts nor record lifetimes. It also means
    that a process started with a wrong date keeps it: ``drift`` tells.
    """

    _unix: float = field(default_factory=time.time)
    _start: float = field(default_factory=_steady)

    def now(self) -> float:
        """Return Unix seconds."""
        return self._unix + _steady() - self._start

    def drift(self) -> float:
        """Return how many seconds the machine's clock is ahead of ``now``."""
        return time.time() - self.now()
