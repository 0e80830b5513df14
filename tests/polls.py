"""Small polls for tests: a scenario of the engine ``columns``, from few words."""

from functools import lru_cache
from typing import Any

import msgspec

from qisguard.lab.trial.engines import Job, run_job
from qisguard.lab.trial.measured import Measured

DEFENSES = ("one_vote", "age", "issuer_trim", "leave_one_out")
POPULATIONS: dict[str, dict[str, Any]] = {
    "binary": {"first": 0.6, "second": 0.5},
    "numeric": {"first": 1.0, "second": 0.6, "low": -10.0, "high": 10.0},
    "time-to-event": {"first": 0.82, "second": 0.72},
}


def poll(
    kind: str = "binary",
    attack: str = "constant_votes",
    polls: int = 8,
    names: tuple[str, ...] = DEFENSES,
) -> bytes:
    """Return a scenario of few polls with the usual defences, or those that are named."""
    defenses = "\n".join(f'[[defenses]]\nname = "{name}"' for name in names)
    return f"""
name = "small-poll"
title = "A small poll"
engine = "columns"
[population]
kind = "{kind}"
polls = {polls}
per_arm = 200
[attack]
name = "{attack}"
share = 0.2
{defenses}
[seeds]
count = 3
""".encode()


@lru_cache(maxsize=256)
def _played(data: bytes, arm: str, seed: int, point: bytes) -> Measured:
    return run_job(Job(data, msgspec.json.decode(point), arm, seed))


def play(data: bytes, arm: str, seed: int = 1, **point: Any) -> Measured:
    """Return one trial; ``attack__share=0.4`` puts a value over that of the file."""
    values = {key.replace("__", "."): value for key, value in point.items()}
    return _played(data, arm, seed, msgspec.json.encode(values, order="sorted"))


def rate(data: bytes, arm: str, metric: str, seed: int = 1, **point: Any) -> float:
    """Return a ratio that one trial measured."""
    hits, tries = play(data, arm, seed, **point).ratios[metric]
    return hits / tries
