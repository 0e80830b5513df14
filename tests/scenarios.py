"""Trials of packaged scenarios, small enough for tests."""

from functools import lru_cache
from typing import Any

import msgspec

from qisguard.lab.scenario.loading import packaged
from qisguard.lab.trial.engines import Job, run_job
from qisguard.lab.trial.measured import Measured


@lru_cache(maxsize=256)
def _trial(name: str, arm: str, seed: int, point: bytes) -> Measured:
    return run_job(Job(packaged(name), msgspec.json.decode(point), arm, seed))


def trial(name: str, arm: str, seed: int = 1, **point: Any) -> Measured:
    """Return one trial; ``workload__operations=4`` puts a value over that of the file."""
    values = {key.replace("__", "."): value for key, value in point.items()}
    return _trial(name, arm, seed, msgspec.json.encode(values, order="sorted"))


def ratio(name: str, arm: str, metric: str, seed: int = 1, **point: Any) -> float:
    """Return a ratio that one trial measured."""
    successes, tries = trial(name, arm, seed, **point).ratios[metric]
    assert tries, f"{metric}: nothing was tried"
    return successes / tries


def value(name: str, arm: str, metric: str, seed: int = 1, **point: Any) -> float:
    """Return a value that one trial measured."""
    return trial(name, arm, seed, **point).values[metric]
