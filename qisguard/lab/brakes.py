"""Brakes: what one trial may use at most. Whatever an attack does, it ends.

Rates drop what is over them, as a full link does; totals end the trial with an error.
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from qisguard.errors import ScenarioError

_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The most that a trial may use; ``datagrams_per_second`` counts on ``live`` alone.

    ``seconds`` are those of the machine, ``mib`` is everything sent, ``memory_mib`` is what the
    process may hold more than when the trial began.
    """

    seconds: float = 3_600.0
    memory_mib: int = 4_096
    mib: int = 16_384
    datagrams_per_second: float = 200_000.0


@dataclass
class Brakes:
    """The brakes of one trial; they start to count when they are made."""

    limits: Limits
    sent: int = 0
    dropped: int = 0
    _bytes: int = 0
    _tokens: float = 0.0
    _filled: float = field(default_factory=time.monotonic)
    _started: float = field(default_factory=time.monotonic)
    _memory: int = field(default_factory=lambda: resident())

    def let(self, size: int) -> bool:
        """Count a datagram of ``size`` bytes; return whether it may be sent just now."""
        now = time.monotonic()
        rate = self.limits.datagrams_per_second
        self._tokens = min(self._tokens + (now - self._filled) * rate, rate)
        self._filled = now
        if self._tokens < 1 and self.sent >= rate:
            self.dropped += 1
            return False
        self._tokens = max(self._tokens - 1, 0.0)
        self.count(size)
        return True

    def count(self, size: int) -> None:
        """Count a datagram that no rate holds back."""
        self.sent += 1
        self._bytes += size

    def check(self) -> None:
        """Raise ScenarioError when a total is used up."""
        seconds = time.monotonic() - self._started
        memory = (resident() - self._memory) >> 20
        for name, used, most in (
            ("seconds", seconds, self.limits.seconds),
            ("mib", self._bytes >> 20, self.limits.mib),
            ("memory_mib", memory, self.limits.memory_mib),
        ):
            if used > most:
                raise ScenarioError(
                    f"brakes.{name} = {most:g}: the trial was ended at {used:.0f}; make it smaller "
                    "or allow more"
                )


def resident() -> int:
    """Return the bytes of memory that this process holds; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
