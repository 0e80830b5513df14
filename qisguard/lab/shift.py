"""Thresholds of ``cusum`` from simulated streams in which nothing changes, kept like all others.

A stream is a reference and a window of outcomes that are one thing or the other, with two arms of
equal size. The mean of the scores is estimated from the reference, as it is in use: that error is
why a short reference needs a higher threshold. Outcomes come one a day, which only raises it.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qisguard.defenses.cusum import Cusum
from qisguard.errors import ScenarioError
from qisguard.lab.calibration import threshold_for
from qisguard.lab.kept import keep, place, recall
from qisguard.lab.statistics import Interval, wilson

ROWS = 500
VERSION = 1


@dataclass(frozen=True, slots=True)
class ShiftTask:
    """What a threshold depends on: outcomes before and watched, design shift, wanted alarms."""

    reference: int = 1_000
    window: int = 3_000
    shift: float = 0.24
    wanted: float = 0.05
    seed: int = 1
    draws: int = 20_000

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("reference", self.reference, 100, 10**9),
            ("window", self.window, 10, 10**5),
            ("shift", self.shift, 0.01, 4.0),
            ("wanted", self.wanted, 1e-3, 0.5),
            ("draws", self.draws, ROWS, 10**6),
        ):
            if not low <= value <= high:
                raise ScenarioError(f"{name} = {value}, must be {low} to {high}")


@dataclass(frozen=True, slots=True)
class ShiftCalibration:
    """A threshold, and how many of ``draws`` fresh unchanged windows it flagged."""

    task: ShiftTask
    threshold: float
    alarms: int
    draws: int

    @property
    def reached(self) -> Interval:
        """Return the ratio of false alarms on fresh draws, Wilson 95 %."""
        return wilson(self.alarms, self.draws)


def calibrate_shift(task: ShiftTask, cache: Path | None = None) -> ShiftCalibration:
    """Return the calibration from ``cache``, or compute it and leave it there."""
    path = place(cache, {"shift": asdict(task), "version": VERSION}) if cache else None
    kept = recall(path) if path else None
    if kept and kept.get("task") == asdict(task):
        return ShiftCalibration(task, kept["threshold"], kept["alarms"], kept["draws"])
    threshold = threshold_for(np.concatenate(list(_highest(task, 0))), task.wanted)
    fresh = np.concatenate(list(_highest(task, 1)))
    result = ShiftCalibration(task, threshold, int((fresh > threshold).sum()), len(fresh))
    if path:
        keep(path, asdict(result))
    return result


def _highest(task: ShiftTask, stream: int) -> Iterator[NDArray[np.float64]]:
    """Yield the highest CUSUM of unchanged windows; streams of one seed share no draw."""
    rng = np.random.default_rng([task.seed, stream])
    detector = Cusum(task.window, task.reference, task.shift)
    each = task.reference // 2
    ones = np.ones(task.window)
    for _ in range(math.ceil(task.draws / ROWS)):
        mean = rng.binomial(each, 0.5, (ROWS, 2)) / each
        spread = np.sqrt(mean * (1 - mean))
        arm = rng.integers(0, 2, (ROWS, task.window))
        value = rng.integers(0, 2, (ROWS, task.window))
        rows = np.arange(ROWS)[:, None]
        z = (1 - 2 * arm) * (value - mean[rows, arm]) / spread[rows, arm]
        yield np.maximum(detector.path(z, ones).max(axis=1), detector.path(-z, ones).max(axis=1))
