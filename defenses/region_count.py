"""Flag a key whose region, in which k ids are expected, holds too many."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from qisguard.defenses.closeness import check, flag
from qisguard.identity.ids import NodeId
from qisguard.plugins import Card, Rejected


@dataclass(frozen=True, slots=True)
class RegionCount:
    """Exact binomial test of the number of ids within the key's expected k-radius, k / size.

    It must be shown everyone in the region (a region read): of the k closest alone it can never be
    surprised. The default threshold, ln 100, is a false alarm ratio of at most 1 %.
    """

    k: int = 20
    threshold: float = 4.605

    def __post_init__(self) -> None:
        check(self.k, self.threshold)

    version = 1
    card = Card(
        "region_count",
        family="censorship",
        summary="Counts the ids within the distance where k are expected; flags too many.",
        capability="any number of identities with chosen ids, placed closest to a key",
        breaks="capture of all replicas of a key",
        source="exact binomial test, Clopper and Pearson 1934; region of Sridhar et al., NDSS 2024",
        seen="a flag with the surprise in nats",
        limits="Needs a region read, which costs more contacts than a look-up. Does not see where "
        "in the region the ids are, so a few Sybils closest to the key pass. Believing in too "
        "large a network makes the region too small. It flags, and removes nothing.",
    )

    def scores(self, distances: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        """Return -ln P(Binomial(size, k / size) >= ids within k / size); ends at 708 nats.

        Args:
            distances: (rows, n) float64, in shares of the id space, complete within k / size.
            size: number of nodes that the detector believes in.

        Returns:
            (rows,) float64, >= 0.
        """
        share = min(1.0, self.k / size)
        counts = (distances < share).sum(axis=1)
        ranks = np.maximum(counts, 1)
        chances = betainc(ranks, np.maximum(size - ranks + 1, np.finfo(np.float64).tiny), share)
        chances = np.where((counts > 0) & (counts <= size), chances, counts == 0)
        return np.asarray(-np.log(np.maximum(chances, np.finfo(np.float64).tiny)))

    def inspect(self, target: NodeId, found: Sequence[NodeId], size: float) -> Rejected | None:
        """Return a flag, or None, for all ids found in the region."""
        return flag(self, target, found, size)
