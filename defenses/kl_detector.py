"""Flag a key whose closest ids share prefixes with it that uniform ids would not share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from qisguard.defenses.closeness import check, closest, flag, prefix_lengths
from qisguard.identity.ids import ID_BITS, NodeId
from qisguard.plugins import Card, Rejected


@dataclass(frozen=True, slots=True)
class KlDetector:
    """Kullback-Leibler divergence of the prefix lengths of the k closest ids, as published.

    The default threshold is the published one, chosen on a network of about 25,000 nodes.
    """

    k: int = 20
    threshold: float = 0.94

    def __post_init__(self) -> None:
        check(self.k, self.threshold)

    version = 1
    card = Card(
        "kl_detector",
        family="censorship",
        summary="Compares the prefix lengths of the k closest ids with those of uniform ids.",
        capability="any number of identities with chosen ids, placed closest to a key",
        breaks="capture of all replicas of a key",
        source="Sridhar et al., NDSS 2024, detection (KL divergence, threshold 0.94 nat)",
        seen="a flag with the divergence in nats",
        limits="Knows the size of the network only as well as it is told. Who knows the threshold "
        "places ids below it; `qisguard.lab.placement` measures how many. It flags, and removes "
        "nothing.",
    )

    def scores(self, distances: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        """Return sum p ln(p / q) over prefix lengths, in nats.

        p is the histogram of the row's k closest ids, q what ``expected_prefixes`` says.

        Args:
            distances: (rows, >= k) float64, each row ascending, in shares of the id space.
            size: number of nodes that the detector believes in.

        Returns:
            (rows,) float64, >= 0.
        """
        prefixes = prefix_lengths(closest(distances, self.k))
        same = (prefixes[:, :, None] == prefixes[:, None, :]).sum(axis=2)
        expected = expected_prefixes(size, self.k)[prefixes]
        return np.asarray(np.log(same / self.k / expected).mean(axis=1))

    def inspect(self, target: NodeId, found: Sequence[NodeId], size: float) -> Rejected | None:
        """Return a flag, or None; fewer ids than k are no evidence."""
        return flag(self, target, found, size) if len(set(found)) >= self.k else None


@lru_cache(maxsize=256)
def expected_prefixes(size: float, k: int) -> NDArray[np.float64]:
    """Return the expected share of each prefix length among the k closest of ``size`` uniform ids.

    The i-th closest shares p bits or more when i ids or more fall into a share 2^-p of the space,
    so the number that does has the mean sum over i <= k of P(Binomial(size, 2^-p) >= i).

    Returns:
        (257,) float64, by prefix length 0 to 256; sums to 1; read only.
    """
    if not size >= k:
        raise ValueError(f"size = {size}, must be k = {k} or more")
    ranks = np.arange(1, k + 1)[:, None]
    shares = 0.5 ** np.arange(ID_BITS + 1)
    at_least = betainc(ranks, size - ranks + 1, shares).mean(axis=0)
    expected = np.maximum(at_least - np.append(at_least[1:], 0.0), np.finfo(np.float64).tiny)
    expected.flags.writeable = False
    return np.asarray(expected)
