"""Intervals over seeds: what is measured in one network is not independent, so seeds are drawn.

- A ratio: the hull of Wilson's interval over all tries, of a cluster bootstrap over seeds, and of
  Student's t over seeds. The last two know that tries of one network agree; Wilson's knows that
  "always" in a few tries is not "always", where the others have no width.
- A value: the hull of a bootstrap of its mean over seeds and of Student's t.
- A difference of two arms over the seeds that both have: the same of pairs; for ratios the hull
  with Newcombe's square-and-add of the two Wilson intervals (1998, method 10), whose correlation
  is that of the seeds.

A percentile bootstrap of few seeds never leaves what they span, and is too narrow: its tails are
expanded by the factor between Student's t and the normal quantile, and by sqrt(n / (n - 1))
(Hesterberg, The American Statistician 2015, section 4.4); for 3 to 5 seeds even that is not enough,
which is what Student's t is there for. ``benchmarks/interval_coverage.py`` counts how often each
contains the truth.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from qisguard.lab.statistics import Interval, square_and_add, wilson

REPEATS = 2_000
LEVEL = 0.95
_CELLS_MAX = 2_000_000
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """Successes and tries of a ratio, seed by seed: (n,) float64 both."""

    hits: Floats
    tries: Floats

    def __len__(self) -> int:
        return len(self.hits)

    @property
    def estimate(self) -> float:
        """Return the ratio of all tries."""
        return float(self.hits.sum() / self.tries.sum())

    @property
    def influence(self) -> Floats:
        """Return by how much each seed pulls the estimate, times n: (n,) float64, sum 0."""
        pull: Floats = self.hits - self.estimate * self.tries
        return pull / float(self.tries.mean())

    def wilson(self) -> Interval:
        """Return Wilson's interval over all tries, as if they were independent."""
        return wilson(int(self.hits.sum()), int(self.tries.sum()))


@dataclass(frozen=True, slots=True)
class Values:
    """A number for each seed: (n,) float64."""

    each: Floats

    def __len__(self) -> int:
        return len(self.each)

    @property
    def estimate(self) -> float:
        """Return the mean."""
        return float(self.each.mean())

    @property
    def influence(self) -> Floats:
        """Return by how much each seed pulls the mean, times n: (n,) float64, sum 0."""
        return self.each - self.estimate


Series = Counts | Values


class Resampler:
    """Draws seeds with replacement, the same ones for everything that has as many seeds.

    ``name`` decides the draws: equal names give equal intervals.
    """

    def __init__(self, digest: str, point: dict[str, Any]) -> None:
        self._name = f"{digest} {json.dumps(point, sort_keys=True, default=str)}"
        self._cache: tuple[int, list[Floats]] = (0, [])

    def interval(self, series: Series) -> Interval:
        """Return the interval of one arm; needs one seed."""
        found = _over_seeds(series.estimate, self._again([series])[0], series.influence)
        if isinstance(series, Values):
            return found
        return _hull(series.wilson(), _within(found, 0.0))

    def difference(self, first: Series, second: Series) -> Interval:
        """Return the interval of ``first - second``, whose seeds are the same, one by one."""
        again = self._again([first, second])
        pulls = first.influence - second.influence
        found = _over_seeds(first.estimate - second.estimate, again[0] - again[1], pulls)
        if isinstance(first, Counts) and isinstance(second, Counts):
            phi = _correlation(first.influence, second.influence)
            return _hull(square_and_add(first.wilson(), second.wilson(), phi), _within(found, -1.0))
        return found

    def _again(self, series: Sequence[Series]) -> list[Floats]:
        """Return each statistic in every repeat: (REPEATS,) float64 for each."""
        parts: list[list[Floats]] = [[] for _ in series]
        for weights in self._weights(len(series[0])):
            for part, one in zip(parts, series, strict=True):
                if isinstance(one, Values):
                    part.append(weights @ one.each / len(one))
                else:
                    part.append((weights @ one.hits) / (weights @ one.tries))
        return [np.concatenate(part) for part in parts]

    def _weights(self, size: int) -> Iterable[Floats]:
        """Return how often each seed is drawn, in blocks of (repeats, n) float64."""
        if self._cache[0] == size:
            return self._cache[1]
        drawn = self._draw(size)
        if REPEATS * size > _CELLS_MAX:
            return drawn
        self._cache = (size, list(drawn))
        return self._cache[1]

    def _draw(self, size: int) -> Iterator[Floats]:
        seed = int.from_bytes(sha256(f"{self._name} {size}".encode()).digest())
        rng = np.random.default_rng(seed)
        rows = max(1, min(REPEATS, _CELLS_MAX // size))
        for start in range(0, REPEATS, rows):
            count = min(rows, REPEATS - start)
            drawn = rng.integers(0, size, (count, size))
            drawn += np.arange(count)[:, None] * size
            counted = np.bincount(drawn.ravel(), minlength=count * size)
            yield counted.reshape(count, size).astype(np.float64)


def _over_seeds(estimate: float, again: Floats, influence: Floats) -> Interval:
    """Return the hull of the bootstrap's interval and Student's; one seed gives no width."""
    size = len(influence)
    if size < 2:
        return Interval(estimate, estimate, estimate)
    quantile = float(stdtrit(size - 1, (1 + LEVEL) / 2))
    error = quantile * float(influence.std(ddof=1)) / math.sqrt(size)
    tail = float(ndtr(-quantile * math.sqrt(size / (size - 1))))
    low, high = (float(x) for x in np.quantile(again, [tail, 1 - tail]))
    return Interval(estimate, min(low, estimate - error), max(high, estimate + error))


def _within(found: Interval, least: float) -> Interval:
    """Return an interval of ratios without what no ratio can be."""
    return Interval(found.estimate, max(found.low, least), min(found.high, 1.0))


def _hull(one: Interval, other: Interval) -> Interval:
    return Interval(one.estimate, min(one.low, other.low), max(one.high, other.high))


def _correlation(first: Floats, second: Floats) -> float:
    """Return Pearson's correlation, 0 where it is negative or one of the two never varies."""
    if len(first) < 2 or not first.std() or not second.std():
        return 0.0
    return float(np.clip(np.corrcoef(first, second)[0, 1], 0.0, 1.0))
