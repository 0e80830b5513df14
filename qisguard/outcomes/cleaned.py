"""Poison within every issuer: what each of them could have said without it, and what then decides.

Deciding across issuers guards against issuers that turn. It does not see votes that are invented
in the name of all of them: each issuer says something else by a little, and none stands out. If at
most a share e of each arm of each issuer is poison, an issuer's clean difference lies between two
bounds (Horowitz and Manski 1995), and its clean weight between two others. The trimmed mean rises
with every value, so its floor is taken at the lower bounds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from qisguard.outcomes.arrays import Floats
from qisguard.outcomes.issuers import FULL, precision

HALVINGS = 10
"""The share of poison is told to a thousandth."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The least that m issuers may say for one arm, without a share of poison in each of theirs.

    Attributes:
        value: (m,) the least difference, that arm less the other.
        least, most: (m,) bounds of the weight, ``least`` 0 where nothing need be left.
    """

    value: Floats
    least: Floats
    most: Floats

    @classmethod
    def of(cls, low: Floats, high: Floats, known: Floats, gone: Floats) -> "Cleaned":
        """Return the bounds of the issuers that say something about both arms.

        Args:
            low: (g,) the least that the statistic of the one arm may be.
            high: (g,) the most that it may be in the other.
            known: (2, g) the weight of what it is made from.
            gone: (2, g) the weight that may be poison.
        """
        with_both = (known > 0).all(axis=0)
        known = known[:, with_both]
        least = precision(np.maximum(known - gone[:, with_both], 0.0))
        return cls(
            (low - high)[with_both],
            np.minimum(least, FULL),
            np.minimum(precision(known), FULL),
        )

    def floor(self, trim: float) -> float:
        """Return the least trimmed mean that is within the bounds."""
        return least_trimmed_mean(self.value, self.least, self.most, trim)


Cleaner: TypeAlias = Callable[[float, int], Cleaned]
"""Takes the share of poison and the arm that the difference is for, 0 or 1."""


def least_trimmed_mean(value: Floats, least: Floats, most: Floats, trim: float) -> float:
    """Return a floor under the trimmed mean of (m,) values whose weights are between two bounds.

    At each value the share of the weight up to it is greatest when all below has its most and all
    above its least. The floor takes these shares for a distribution; none within the bounds has a
    lower quantile anywhere.
    """
    order = np.argsort(value, kind="stable")
    under, over = np.cumsum(most[order]), np.cumsum(least[order][::-1])[::-1]
    above = np.concatenate([over[1:], np.zeros(1)])
    upto = under / (under + above)
    before = np.concatenate([np.zeros(1), upto[:-1]])
    kept = np.clip(np.minimum(upto, 1 - trim) - np.maximum(before, trim), 0.0, None)
    return float(kept @ value[order]) / (1 - 2 * trim)


def everywhere(cleaned: Cleaner, trim: float, arm: int) -> float:
    """Return the share of poison in every issuer that a decision for ``arm`` stands, by bisection.

    With less than this in each arm of each issuer, whatever it says, the decision without it would
    be the same.
    """
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        share = (low + high) / 2
        low, high = (share, high) if cleaned(share, arm).floor(trim) > 0 else (low, share)
    return low
