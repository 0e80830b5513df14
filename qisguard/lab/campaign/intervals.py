"""Intervals over seeds: what is measured in one network is not independent, so seeds are drawn.

- A ratio: the hull of Wilson's interval over all tries and of a cluster bootstrap over seeds. The
  bootstrap knows that tries of one network agree; Wilson's knows that "always" in a few tries is
  not "always", where a bootstrap has no width.
- A value: a bootstrap of its mean over seeds.
- A difference of two arms over the seeds that both have: a bootstrap of pairs; for ratios the hull
  with Newcombe's square-and-add of the two Wilson intervals (1998, method 10), whose correlation
  is that of the seeds.

The bootstrap's percentiles are expanded for few seeds (Hesterberg, The American Statistician 2015,
section 4.4): as a percentile interval it would be too narrow by the factor between Student's t and
the normal quantile, and by sqrt(n / (n - 1)). ``benchmarks/coverage.py`` counts how often intervals
contain the truth.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

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

    def ratio(self) -> Interval:
        """Return Wilson's interval over all tries."""
        return wilson(int(self.hits.sum()), int(self.tries.sum()))


@dataclass(frozen=True, slots=True)
class Values:
    """A number for each seed: (n,) float64."""

    each: Floats

    def __len__(self) -> int:
        return len(self.each)


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
        again = self._again([series])[0]
        if isinstance(series, Values):
            return _expanded(float(series.each.mean()), again, len(series))
        whole = series.ratio()
        return _hull(whole, _expanded(whole.estimate, again, len(series)))

    def difference(self, first: Series, second: Series) -> Interval:
        """Return the interval of ``first - second``, whose seeds are the same, one by one."""
        again = self._again([first, second])
        drawn = again[0] - again[1]
        if isinstance(first, Counts) and isinstance(second, Counts):
            one, two = first.ratio(), second.ratio()
            estimate = one.estimate - two.estimate
            phi = _correlation(first.hits / first.tries, second.hits / second.tries)
            return _hull(square_and_add(one, two, phi), _expanded(estimate, drawn, len(first)))
        if isinstance(first, Values) and isinstance(second, Values):
            estimate = float(first.each.mean() - second.each.mean())
            return _expanded(estimate, drawn, len(first))
        raise TypeError("difference: a ratio and a value")

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


def _expanded(estimate: float, again: Floats, size: int) -> Interval:
    """Return the percentile interval of draws, as wide as so few seeds ask for."""
    if size < 2:
        return Interval(estimate, estimate, estimate)
    tail = (1 - LEVEL) / 2
    wide = float(student.ppf(1 - tail, size - 1)) * float(np.sqrt(size / (size - 1)))
    tail = float(norm.cdf(-wide))
    low, high = np.quantile(again, [tail, 1 - tail])
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def _hull(one: Interval, other: Interval) -> Interval:
    return Interval(one.estimate, min(one.low, other.low), max(one.high, other.high))


def _correlation(first: Floats, second: Floats) -> float:
    """Return Pearson's correlation, 0 where it is negative or one of the two never varies."""
    if len(first) < 2 or not first.std() or not second.std():
        return 0.0
    return float(np.clip(np.corrcoef(first, second)[0, 1], 0.0, 1.0))
