"""Flag a key around which ids are too dense, measured at each of the closest ids."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from qisguard.defenses.closeness import check, closest, flag
from qisguard.identity.ids import NodeId
from qisguard.plugins import Card, Rejected


@dataclass(frozen=True, slots=True)
class DistanceScan:
    """The most surprising of the distances at which the first, second ... k-th id is found.

    As ``scan_count``, with distances in place of prefix lengths, which round them to powers of two:
    how much an id just inside a power of two escapes no longer depends on the size of the network.
    ``threshold`` has no default: it comes from ``qisguard calibrate distance_scan``.
    """

    threshold: float
    k: int = 20

    def __post_init__(self) -> None:
        check(self.k, self.threshold)

    version = 1
    card = Card(
        "distance_scan",
        family="censorship",
        summary="Tests how near each of the k closest ids is to the key; flags the oddest.",
        capability="any number of identities with chosen ids, placed closest to a key",
        breaks="capture of all replicas of a key",
        source="Berk and Jones 1979 (one-sided), with Poisson counts; our own use of it",
        seen="a flag with the surprise in nats",
        limits="Believing in too large a network hides Sybils from it. Who knows the threshold "
        "places ids below it; `qisguard.lab.placement` measures how many. It flags, and removes "
        "nothing.",
    )

    def scores(self, distances: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        """Return max over i <= k of -ln P(Poisson(size x_i) >= i), x_i the i-th distance.

        Ends at 708 nats, the end of float64.

        Args:
            distances: (rows, >= k) float64, each row ascending, in shares of the id space.
            size: number of nodes that the detector believes in.

        Returns:
            (rows,) float64, >= 0.
        """
        chances = gammainc(np.arange(1, self.k + 1), size * closest(distances, self.k))
        return np.asarray(-np.log(np.maximum(chances.min(axis=1), np.finfo(np.float64).tiny)))

    def inspect(self, target: NodeId, found: Sequence[NodeId], size: float) -> Rejected | None:
        """Return a flag, or None; fewer ids than k are no evidence."""
        return flag(self, target, found, size) if len(set(found)) >= self.k else None
