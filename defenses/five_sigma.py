"""A labelled baseline: drop votes more than five standard deviations from the mean of their arm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.defenses.outliers import beyond_sigmas, check, without_far
from qisguard.outcomes.votes import Votes
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class FiveSigma:
    """Give votes no weight that lie more than ``sigmas`` from their arm's mean; one pass."""

    sigmas: float = 5.0

    def __post_init__(self) -> None:
        check("sigmas", self.sigmas)

    card = Card(
        "five_sigma",
        family="poisoning",
        summary="A baseline: votes five standard deviations from their arm's mean do not count.",
        capability="few absurd values, far from every true one",
        breaks="single values that no patient could have, where no range is checked",
        source="textbook; the bound (n - 1) / sqrt(n): Samuelson 1968",
        seen="votes without weight, all at one end of the range",
        limits="Cannot fire below 27 votes in an arm, because (n - 1) / sqrt(n) < 5. Blind to "
        "equal fakes from 1/26 = 3.85 % of the arm's weight. Silent on yes or no unless one of "
        "them is rarer than that, and then it deletes the truth. Use structure instead.",
    )

    def weigh(self, votes: Votes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights with distant votes at zero."""
        return without_far(
            votes, weights, lambda value, weight: beyond_sigmas(value, weight, self.sigmas)
        )
