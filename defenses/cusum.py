"""Flag a cohort whose arrivals have changed, from the sums that replicas archive."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.outcomes.answer import State
from qisguard.outcomes.change import Arrivals, arrivals, shared_move
from qisguard.outcomes.synthesis import Evidence
from qisguard.plugins import Card, Rejected


@dataclass(frozen=True, slots=True)
class Cusum:
    """Two-sided CUSUM over the last ``window`` known outcomes against all that came before.

    ``shift`` is the smallest change of the mean signed score worth seeing, in standard deviations:
    half of it is the design value. ``threshold`` is that of an endless reference. A real one, of n
    outcomes or ``reference_min`` at least, adds ``learning / n``: its mean is off by that much.
    Both are for at most .05 of unchanged windows flagged, from ``qisguard.lab.shift``.
    """

    window: int = 3_000
    reference_min: int = 1_000
    shift: float = 0.24
    threshold: float = 32.4
    learning: float = 6_200.0

    def __post_init__(self) -> None:
        for name, value in (("window", self.window), ("reference_min", self.reference_min)):
            if value < 1:
                raise ValueError(f"{name} = {value}, must be at least 1")
        for name, limit in (("shift", self.shift), ("threshold", self.threshold)):
            if not 0 < limit < float("inf"):
                raise ValueError(f"{name} = {limit}, must be above 0")

    card = Card(
        "cusum",
        family="poisoning",
        summary="Reports when the difference of arms in what arrives has changed for good.",
        capability="any part of what arrives, from a known day on",
        breaks="a steady stream of poison that is too thin to see on any one day",
        source="Page 1954; design value: Moustakides 1986; archive: design, section 5",
        seen="a flag with the day of the change",
        limits="Needs an archive with 1,000 known outcomes before. Flags .025 of unchanged windows "
        "of 3,000, and .049 where hospitals send 30 at once. A fifth of arrivals is seen after 290 "
        "outcomes (median), a tenth in .59 of windows, a twentieth in .15. The same poison at "
        "every hospital passes for drift, and that of four hospitals of 20 in .09 of cases.",
    )

    def watch(self, evidence: Evidence) -> Rejected | None:
        """Return a flag with the day on which the change began, or None."""
        found = arrivals(evidence.past, self.window) if evidence.past is not None else None
        if evidence.past is None or found is None or found.reference < self.reference_min:
            return None
        first, direction = self.change(found)
        if first is None:
            return None
        told = f"since day {found.day[first]} the arms differ by another amount"
        count, moved = found.count[first:].sum(), found.z[first:].sum()
        told += f": {moved / count:+.2f} standard deviations over {count:.0f} outcomes"
        shared = shared_move(evidence.past, int(found.day[first]), direction)
        if shared is not None:
            return Rejected(
                f"{State.DRIFT}: {told}; trusted issuers moved by {shared:+.3f} together"
            )
        return Rejected(told)

    def change(self, found: Arrivals) -> tuple[int | None, float]:
        """Return the place of the first changed day and the direction, or None and 0."""
        for direction in (1.0, -1.0):
            path = self.path(direction * found.z, found.count)
            over = path > self.threshold + self.learning / found.reference
            if over.any():
                alarm = int(np.argmax(over))
                zero = np.flatnonzero(path[:alarm] <= 0)
                return (int(zero[-1]) + 1 if len(zero) else 0), direction
        return None, 0.0

    def path(self, z: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (..., d) the one-sided CUSUM of upward change after each day."""
        walk = np.cumsum(z - self.shift / 2 * count, axis=-1)
        lowest = np.minimum(0.0, np.minimum.accumulate(walk, axis=-1))
        return np.asarray(walk - lowest, np.float64)
