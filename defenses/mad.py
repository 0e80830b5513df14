"""A labelled baseline: drop votes far from the median, in median absolute deviations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.defenses.outliers import check, without_far
from qisguard.outcomes.robust import MAD_TO_SIGMA, deviation
from qisguard.outcomes.votes import Votes
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class Mad:
    """Give votes no weight beyond ``limit`` normalised MADs from the weighted median of their arm.

    With more than half of the weight on one value there is no scale, and nothing is dropped.
    """

    limit: float = 5.0

    def __post_init__(self) -> None:
        check("limit", self.limit)

    card = Card(
        "mad",
        family="poisoning",
        summary="A baseline: votes far from their arm's median, in MADs, do not count.",
        capability="absurd values, up to half of the weight",
        breaks="masking, which defeats five_sigma: fakes do not widen the MAD",
        source="Hampel 1974; Leys et al. 2013",
        seen="votes without weight, far from the median",
        limits="Never fires on yes or no: the MAD is then 0. Blind to plausible values, so to all "
        "poison of survival times inside the range. Of skewed numbers it drops true ones. Fakes "
        "just inside the limit move the mean that follows more than they move a median.",
    )

    def weigh(self, votes: Votes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights with distant votes at zero."""
        return without_far(votes, weights, self._far)

    def _far(self, value: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.bool_]:
        centre, spread = deviation(value, weight)
        if spread <= 0:
            return np.zeros(len(value), np.bool_)
        return np.asarray(np.abs(value - centre) > self.limit * MAD_TO_SIGMA * spread, np.bool_)
