"""The ids around a key as numbers: distances in shares of the id space, and shared prefixes."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qisguard.identity.ids import ID_BITS, NodeId
from qisguard.node.size import distance_ratio
from qisguard.plugins import Rejected


class Scores(Protocol):
    """What a detector of crowding computes; above ``threshold`` it raises its flag."""

    @property
    def threshold(self) -> float:
        """Return the largest score, in nats, that raises no flag."""

    def scores(self, distances: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        """Return one score a row."""


def distances_of(target: NodeId, found: Iterable[NodeId]) -> NDArray[np.float64]:
    """Return (1, n) distances of n different ids, ascending, in shares of the id space."""
    shares = sorted(distance_ratio(target, identifier) for identifier in set(found))
    return np.array([shares], dtype=np.float64)


def prefix_lengths(distances: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many leading bits each id shares with the key, 0 to 256, in the same shape."""
    exponents = np.frexp(distances)[1].astype(np.int64)
    return np.where(distances > 0, np.clip(-exponents, 0, ID_BITS), ID_BITS)


def closest(distances: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return the first ``k`` columns; raise ValueError when there are fewer."""
    if distances.ndim != 2 or distances.shape[1] < k:
        raise ValueError(f"distances: shape {distances.shape}, must be (rows, {k} or more)")
    return distances[:, :k]


def flag(detector: Scores, target: NodeId, found: Iterable[NodeId], size: float) -> Rejected | None:
    """Return the flag of a detector that sees ``found`` around ``target``, or None."""
    score = float(detector.scores(distances_of(target, found), size)[0])
    if score <= detector.threshold:
        return None
    return Rejected(
        f"ids crowd around the key: {score:.2f} nats, at most {detector.threshold:.2f} "
        f"in a network of {size:.0f}"
    )


def check(k: int, threshold: float) -> None:
    """Raise ValueError for parameters that no detector can have."""
    if not 1 <= k <= ID_BITS:
        raise ValueError(f"k = {k}, must be 1 to {ID_BITS}")
    if not 0 <= threshold < float("inf"):
        raise ValueError(f"threshold = {threshold}, must be 0 or more nats")
