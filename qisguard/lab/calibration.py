"""Thresholds of detectors from simulated honest networks, checked on draws they were not made of.

- Only honest networks are simulated: no threshold has ever seen an attack.
- The threshold is the smallest that at most the wanted ratio of the draws exceeds; scores are
  discrete, so the ratio reached can be lower than the wanted one. It lies halfway between two
  scores: rounding it as people do changes nothing.
- The ratio reached is measured on fresh draws, with an interval.
- A result is kept in a file named after everything it depends on. A file that does not hold what it
  should is computed again.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from qisguard.defenses.distance_scan import DistanceScan
from qisguard.defenses.kl_detector import KlDetector
from qisguard.defenses.region_count import RegionCount
from qisguard.defenses.scan_count import ScanCount
from qisguard.errors import ScenarioError
from qisguard.fill import nearest, show
from qisguard.lab.kept import keep, place, recall
from qisguard.lab.keyspace import ROWS_MAX, Detector, honest_ids, view_size
from qisguard.lab.statistics import Interval, wilson

DETECTORS: dict[str, Callable[[int], Detector]] = {
    "kl_detector": lambda k: KlDetector(k=k),
    "scan_count": lambda k: ScanCount(k=k, threshold=0.0),
    "distance_scan": lambda k: DistanceScan(k=k, threshold=0.0),
    "region_count": lambda k: RegionCount(k=k),
}
"""Detectors to calibrate, each made for k; the threshold they start with does not matter."""

ERROR_STEPS = 32
"""How many equally likely errors stand for the law of the size's error."""
TAIL_DRAWS = 1_000
"""Draws wanted above the threshold: its ratio then has a standard error of 3 %."""
DRAWS_MIN, DRAWS_MAX = 20_000, 4_000_000

Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What a threshold depends on.

    ``n`` nodes; ``wanted`` ratio of honest keys flagged; the size that the detector believes in is
    off by a factor whose logarithm is normal with standard deviation ln(1 + ``n_error``).
    """

    detector: str
    n: int
    k: int
    wanted: float
    n_error: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise ScenarioError(
                f"detector: unknown {show(self.detector)}{nearest(self.detector, DETECTORS)}"
            )
        for name, value, low, high in (
            ("k", self.k, 1, 256),
            ("n", self.n, 2 * self.k, 10**12),
            ("false alarms", self.wanted, 1e-4, 0.5),
            ("n error", self.n_error, 0, 1),
            ("seed", self.seed, 0, 1 << 53),
        ):
            if not low <= value <= high:
                raise ScenarioError(f"{name} = {show(value)}, must be {low} to {high}")

    @property
    def draws(self) -> int:
        """Return how many keys are simulated for the threshold, and again to check it."""
        return min(max(math.ceil(TAIL_DRAWS / self.wanted), DRAWS_MIN), DRAWS_MAX)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold in nats, and how many of ``draws`` fresh honest keys it flagged."""

    task: Task
    version: int
    threshold: float
    alarms: int
    draws: int

    @property
    def reached(self) -> Interval:
        """Return the ratio of false alarms on fresh draws, Wilson 95 %."""
        return wilson(self.alarms, self.draws)


def calibrate(
    task: Task, cache: Path | None = None, progress: Progress = lambda what, done, total: None
) -> Calibration:
    """Return the calibration from ``cache``, or compute it and leave it there."""
    detector = DETECTORS[task.detector](task.k)
    about = {"task": asdict(task), "version": detector.version}
    path = place(cache, about) if cache else None
    if path and (kept := _recalled(path, task, detector.version)):
        return kept
    total = 2 * task.draws

    def first(done: int) -> None:
        progress("choosing the threshold", done, total)

    def second(done: int) -> None:
        progress("checking it on fresh draws", task.draws + done, total)

    chosen = null_scores(detector, task, stream=0, progress=first)
    threshold = threshold_for(chosen, task.wanted)
    fresh = null_scores(detector, task, stream=1, progress=second)
    alarms = int((fresh > threshold).sum())
    result = Calibration(task, detector.version, threshold, alarms, len(fresh))
    if path:
        keep(path, asdict(result))
    return result


def threshold_for(scores: NDArray[np.float64], wanted: float) -> float:
    """Return a threshold that at most the ratio ``wanted`` of the scores exceeds."""
    ordered = np.sort(scores)
    last = ordered[len(ordered) - 1 - int(wanted * len(ordered))]
    above = ordered[ordered > last]
    return float((last + above[0]) / 2) if len(above) else float(last)


def with_threshold(task: Task, calibration: Calibration) -> Detector:
    """Return the detector of the task with its calibrated threshold."""
    detector = DETECTORS[task.detector](task.k)
    return replace(detector, threshold=calibration.threshold)  # type: ignore[type-var] # all are dataclasses


def null_scores(
    detector: Detector, task: Task, stream: int, progress: Callable[[int], None] = lambda done: None
) -> NDArray[np.float64]:
    """Return scores of ``task.draws`` honest keys or a few more, equally many for each size error.

    Other ``stream``s of one seed share no draw.
    """
    rng = np.random.default_rng([task.seed, stream])
    factors = believed_factors(task.n_error)
    rows = min(ROWS_MAX, math.ceil(task.draws / len(factors)))
    scores = []
    done = 0
    while done < task.draws:
        for factor in factors:
            believed = max(task.n * factor, float(task.k))
            view = view_size(task.n, task.k, believed)
            honest = honest_ids(task.n, view, rows, rng)
            found = detector.scores(honest, believed)
            if found.shape != (rows,) or not np.isfinite(found).all():
                raise ValueError(f"{detector.card.id}: scores must be {rows} finite numbers")
            scores.append(found)
            done += rows
            progress(min(done, task.draws))
    return np.concatenate(scores)


def believed_factors(n_error: float) -> list[float]:
    """Return equally likely factors by which the believed size differs from the true one."""
    if n_error == 0:
        return [1.0]
    normal = NormalDist(0.0, math.log1p(n_error))
    return [math.exp(normal.inv_cdf((i + 0.5) / ERROR_STEPS)) for i in range(ERROR_STEPS)]


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return where calibrations are kept (XDG base directories: relative paths are ignored)."""
    told = Path(environment.get("XDG_CACHE_HOME", ""))
    base = told if told.is_absolute() else Path(environment.get("HOME", "~")) / ".cache"
    return base.expanduser() / "qisguard" / "calibration"


def _recalled(path: Path, task: Task, version: int) -> Calibration | None:
    """Return what the file holds, or None unless it is whole and about this very task."""
    body = recall(path)
    try:
        if body is None or (body["task"], body["version"]) != (asdict(task), version):
            return None
        return Calibration(task, version, body["threshold"], body["alarms"], body["draws"])
    except KeyError:
        return None
