"""When somebody else saw the log: the only time in a trail that its own clock did not make.

A cosignature of size n at time t says of every entry before n that it existed by t, and of every
later one that it was not yet in the log that this witness was shown.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

DAY_SECONDS = 86_400
SKEW_DAYS = 1
"""Days by which honest clocks and a witness that is asked late may differ."""


@dataclass(frozen=True, slots=True)
class Attested:
    """Sizes of one log and calendar days at which third parties saw them; made by ``of``."""

    sizes: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    """By place: the latest day at which a witness saw a size up to this one; -1 for none."""
    first: tuple[int, ...] = ()
    """By place: the earliest day at which a size from this one was seen."""

    @classmethod
    def of(
        cls, seen: Iterable[tuple[int, int]], stamped: Iterable[tuple[int, int]] = ()
    ) -> "Attested":
        """Return what (size, seconds since 1970) says.

        A stamp says by when a size existed, and nothing of later sizes: it may be made late.
        """
        marks = sorted(
            [(size, time // DAY_SECONDS, True) for size, time in seen]
            + [(size, time // DAY_SECONDS, False) for size, time in stamped]
        )
        last = tuple(accumulate((day if was else -1 for _, day, was in marks), max))
        first = tuple(accumulate((day for _, day, _ in reversed(marks)), min))[::-1]
        return cls(tuple(size for size, _, _ in marks), last, first)

    def window(self, index: int) -> tuple[int | None, int | None]:
        """Return after which day entry ``index`` was logged and by which day it was there."""
        place = bisect_right(self.sizes, index)
        after = self.last[place - 1] if place else -1
        by = self.first[place] if place < len(self.sizes) else None
        return (None if after < 0 else after), by


NEVER = Attested()
"""Nobody else saw the log."""
