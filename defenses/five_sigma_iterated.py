"""A labelled baseline: five standard deviations, again and again until nothing more falls out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.defenses.outliers import beyond_sigmas, check, without_far
from qisguard.outcomes.votes import Votes
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class FiveSigmaIterated:
    """Repeat ``five_sigma`` on what is left, ``rounds`` times at most."""

    sigmas: float = 5.0
    rounds: int = 50

    def __post_init__(self) -> None:
        check("sigmas", self.sigmas)
        if self.rounds < 1:
            raise ValueError(f"rounds = {self.rounds}, must be at least 1")

    card = Card(
        "five_sigma_iterated",
        family="poisoning",
        summary="A baseline: the five sigma rule, repeated until nothing more is dropped.",
        capability="absurd values of several sizes, where larger ones hide smaller ones",
        breaks="masking: one huge value that widens the deviation for the others",
        source="textbook (sigma clipping); masking: Pearson and Chandra Sekar 1936",
        seen="votes without weight, all at one end of the range",
        limits="Where one pass drops nothing a second never comes: nothing fires below 27 votes in "
        "an arm, nor on equal fakes from 3.85 % of its weight. Of skewed numbers it drops more "
        "true ones than one pass does.",
    )

    def weigh(self, votes: Votes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights with distant votes at zero."""
        return without_far(votes, weights, self._far)

    def _far(self, value: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.bool_]:
        far = np.zeros(len(value), np.bool_)
        for _ in range(self.rounds):
            left = np.flatnonzero(~far)
            more = beyond_sigmas(value[left], weight[left], self.sigmas)
            if not more.any():
                break
            far[left[more]] = True
        return far
