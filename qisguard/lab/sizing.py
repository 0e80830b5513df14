"""How wrong estimates of the network's size are, alone and while Sybils work on them.

The attacker foresees some of the look-up targets (our own id always) and puts Sybils closest to
them; the rest of the targets are random and secret, so that all it can do about them is to run
nodes everywhere, which the network then really has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.lab.keyspace import honest_ids, with_closest
from qisguard.lab.statistics import Interval, wilson
from qisguard.node.size import estimate_size


@dataclass(frozen=True, slots=True)
class Inflation:
    """What Sybils do to the estimate: ``sybils`` closest to each foreseen target, and ``spread``.

    ``foreseen`` is how many of the look-up targets the attacker knows; ``spread`` is how many
    Sybils have random ids.
    """

    foreseen: int = 0
    sybils: int = 0
    spread: int = 0


@dataclass(frozen=True, slots=True)
class SizeError:
    """Estimated / honest nodes: 5 %, 50 % and 95 % quantiles over ``repeats`` estimates.

    ``covered`` is how often the interval of the estimate held the number of honest nodes, for the
    estimator that has one.
    """

    estimator: str
    inflation: Inflation
    lookups: int
    low: float
    median: float
    high: float
    repeats: int
    covered: Interval | None


def size_errors(
    n: int, k: int, lookups: int, inflation: Inflation, repeats: int, seed: int
) -> list[SizeError]:
    """Return the error of every estimator under one attack, on the same look-ups.

    Args:
        n: honest nodes.
        k: which closest id's distance is used.
        lookups: targets of one estimate.
        inflation: the attack.
        repeats: estimates.
        seed: the same seed gives the same rows.
    """
    if not 0 <= inflation.foreseen <= lookups:
        raise ValueError(f"foreseen = {inflation.foreseen}, must be 0 to lookups = {lookups}")
    rng = np.random.default_rng([seed, n])
    nodes = n + inflation.spread
    radii = _radii(nodes, k, repeats * lookups, 0, rng).reshape(repeats, lookups)
    hit = inflation.foreseen * repeats
    if hit:
        radii[:, : inflation.foreseen] = _radii(nodes, k, hit, inflation.sybils, rng).reshape(
            repeats, -1
        )
    own = _radii(nodes, k, repeats, inflation.sybils, rng)
    rows = [_row("own siblings", (k - 1) / own / n, inflation, 1)]
    for name, estimator in POOLED.items():
        rows.append(_row(name, estimator(radii, k) / n, inflation, lookups))
    medians = [estimate_size(row, k) for row in radii.tolist()]
    covered = sum(estimate.low <= n <= estimate.high for estimate in medians)
    ratios = np.array([estimate.size for estimate in medians]) / n
    rows.append(_row("median", ratios, inflation, lookups, wilson(covered, repeats)))
    return rows


POOLED: Mapping[str, Callable[[NDArray[np.float64], int], NDArray[np.float64]]] = {
    "mean": lambda radii, k: np.asarray(((k - 1) / radii).mean(axis=1)),
    "pooled": lambda radii, k: np.asarray((k * radii.shape[1] - 1) / radii.sum(axis=1)),
}
"""What the median is compared with: the mean of estimates, and all gaps in one (best unattacked).

Each takes (repeats, lookups) radii and gives (repeats,) sizes.
"""


def _radii(
    nodes: int, k: int, targets: int, sybils: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return (targets,) distances of the k-th closest id, with Sybils closest to each target."""
    honest = honest_ids(nodes, k, targets, rng)
    return np.asarray(with_closest(honest, sybils, rng)[:, k - 1])


def _row(
    name: str,
    ratios: NDArray[np.float64],
    inflation: Inflation,
    lookups: int,
    covered: Interval | None = None,
) -> SizeError:
    low, median, high = np.quantile(ratios, (0.05, 0.5, 0.95)).tolist()
    return SizeError(name, inflation, lookups, low, median, high, len(ratios), covered)
