"""Clocks that are wrong: offset, rate, steps.

What a node is given as ``now`` never goes back. A wall clock does, when somebody sets it; a step
back is therefore delivered as a standstill: the node's time waits until the wall clock has caught
up with what it showed before. While it waits no time-out fires, which is why a service should read
the wall clock once and count on with a monotonic one; then a step is a constant offset until the
next start. Both can be had here: ``steps`` for the first kind, ``offset`` for the second.
"""

from dataclasses import dataclass

from qisguard.errors import ScenarioError


@dataclass(frozen=True, slots=True)
class Skew:
    """How the wall clock of one node runs.

    ``offset`` seconds ahead of engine time (negative: behind) at ``since``, ``rate`` seconds in one
    second from then on, and set at each (engine time, seconds) of ``steps``, forward or back.
    """

    offset: float = 0.0
    rate: float = 1.0
    steps: tuple[tuple[float, float], ...] = ()
    since: float = 0.0

    def __post_init__(self) -> None:
        if not 0.01 <= self.rate <= 100:
            raise ScenarioError(f"skew.rate = {self.rate}, must be 0.01 to 100")
        if list(self.steps) != sorted(self.steps):
            raise ScenarioError(f"skew.steps = {self.steps}, must be in the order of their times")

    def wall(self, now: float) -> float:
        """Return what the wall clock shows at engine time ``now``."""
        steps = sum(step for at, step in self.steps if at <= now)
        return now + self.offset + (self.rate - 1.0) * (now - self.since) + steps

    def read(self, now: float) -> float:
        """Return what a node is given at engine time ``now``: the most that the wall showed."""
        before = [self.wall(at) - step for at, step in self.steps if at <= now and step < 0]
        return max([self.wall(now), *before])

    def when(self, wanted: float, now: float) -> float:
        """Return the engine time, ``now`` or later, at which a node is given ``wanted``."""
        if self.read(now) >= wanted:
            return now
        starts = [now, *(at for at, _ in self.steps if at > now)]
        for start, end in zip(starts, [*starts[1:], float("inf")], strict=True):
            shown = self.wall(start)
            reached = start + max(wanted - shown, 0.0) / self.rate
            if reached < end:
                return reached
        raise AssertionError("the last stretch has no end")
