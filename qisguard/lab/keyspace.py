"""The ids around a random key, drawn as arrays: the honest ones, and Sybils put among them."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qisguard.plugins import Card

ROWS_MAX = 4_000
"""Keys drawn at a time; a bound on memory, and part of what a seed means."""


class Detector(Protocol):
    """A detector of ids that crowd around a key, in its array form."""

    @property
    def card(self) -> Card:
        """Return what this detector is."""

    @property
    def version(self) -> int:
        """Return the number that changes with the scores."""

    @property
    def k(self) -> int:
        """Return how many of the closest ids it is about."""

    @property
    def threshold(self) -> float:
        """Return the largest score, in nats, that raises no flag."""

    def scores(self, distances: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        """Return (rows,) scores of (rows, n) ascending distances, in a network of ``size``."""


def view_size(n: int, k: int, believed: float) -> int:
    """Return how many of the closest honest ids to draw.

    They hold the k closest, and with a probability below 1e-9 of an error everyone in the region
    of k ids that somebody sees who believes in a network of ``believed`` nodes.
    """
    expected = k * max(1.0, n / believed)
    return min(n, math.ceil(expected + 8 * math.sqrt(expected) + 10))


def honest_ids(n: int, view: int, rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the distances of the ``view`` closest of ``n`` uniform ids from ``rows`` random keys.

    Exact and independent of n in cost: ordered uniform numbers are partial sums of n + 1
    exponential ones divided by their total (Devroye 1986, section V.3).

    Returns:
        (rows, view) float64, each row ascending, in shares of the id space.
    """
    if not 1 <= view <= n:
        raise ValueError(f"view = {view}, must be 1 to n = {n}")
    sums = np.cumsum(rng.standard_exponential((rows, view)), axis=1)
    rest = rng.standard_gamma(n + 1 - view, rows)
    return np.asarray(sums / (sums[:, -1] + rest)[:, None])


def with_closest(
    honest: NDArray[np.float64], sybils: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the rows with ``sybils`` more ids, uniform within the distance of the closest honest.

    That is what mining keys until one is closer than everybody else gives (Sridhar et al., NDSS
    2024).

    Returns:
        (rows, view + sybils) float64, each row ascending.
    """
    placed = np.sort(rng.random((len(honest), sybils)), axis=1) * honest[:, :1]
    return np.concatenate([placed, honest], axis=1)
