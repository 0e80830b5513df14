"""Flag a key around which, at some distance, there are too many ids."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from qisguard.defenses.closeness import check, closest, flag, prefix_lengths
from qisguard.identity.ids import NodeId
from qisguard.plugins import Card, Rejected


@dataclass(frozen=True, slots=True)
class ScanCount:
    """The most surprising of the counts of ids that share p bits or more, over all p.

    ``threshold`` has no default: it comes from ``qisguard calibrate scan_count`` for the network's
    size. A scan looks many times, so exp(-threshold) is not its false alarm ratio.
    """

    threshold: float
    k: int = 20

    def __post_init__(self) -> None:
        check(self.k, self.threshold)

    version = 1
    card = Card(
        "scan_count",
        family="censorship",
        summary="Counts the ids in ever smaller regions around a key; flags the oddest count.",
        capability="any number of identities with chosen ids, placed closest to a key",
        breaks="capture of all replicas of a key",
        source="scan statistics, Kulldorff 1997; design, section 4; catalogue, censorship of a key",
        seen="a flag with the surprise in nats",
        limits="Believing in too large a network hides Sybils from it. Who knows the threshold "
        "places ids below it; `qisguard.lab.placement` measures how many. It flags, and removes "
        "nothing.",
    )

    def scores(self, distances: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        """Return max over p of -ln P(Poisson(size 2^-p) >= number of the k closest in 2^-p).

        For one count the smallest region that holds it is the most surprising, so it is enough to
        look at the prefix length of each of the k closest. Ends at 708 nats, the end of float64.

        Args:
            distances: (rows, >= k) float64, each row ascending, in shares of the id space.
            size: number of nodes that the detector believes in.

        Returns:
            (rows,) float64, >= 0.
        """
        prefixes = prefix_lengths(closest(distances, self.k))
        chances = gammainc(np.arange(1, self.k + 1), size * 0.5**prefixes)
        return np.asarray(-np.log(np.maximum(chances.min(axis=1), np.finfo(np.float64).tiny)))

    def inspect(self, target: NodeId, found: Sequence[NodeId], size: float) -> Rejected | None:
        """Return a flag, or None; fewer ids than k are no evidence."""
        return flag(self, target, found, size) if len(set(found)) >= self.k else None
