"""Synthesis: what an answer from a million votes costs, beside the naive mean and NumPy's floor.

CPU time of one thread, medians of repeats, as the machine may be shared. An answer is everything
after the packets: all defences that weigh, differences per issuer, both estimates, intervals,
bounds, flip radius with its search, all detectors, and the steps by which it explains itself. The
baselines, which reject values and are there to be compared with, are measured apart.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import numpy as np

from qisguard.defenses import DEFENSES
from qisguard.identity.roster import NONE
from qisguard.lab.bench.rows import Row, Tell
from qisguard.outcomes.arrays import Floats
from qisguard.outcomes.estimate import ISSUER_TRIMMED, POOLED
from qisguard.outcomes.ordered import Ordered
from qisguard.outcomes.packet import BINARY, NUMERIC, TIME_TO_EVENT
from qisguard.outcomes.survival import count, survival
from qisguard.outcomes.synthesis import SynthesisConfig, conclude
from qisguard.outcomes.template import OutcomeRule, Template
from qisguard.outcomes.votes import Collected, Votes
from qisguard.outcomes.weighing import weigh_votes
from qisguard.plugins import Defense

SIZE = 1_000_000
ISSUERS = 200
HORIZON = 730
REPEATS = 5
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
ARMS = ("first", "second")
BAR = 0.4
"""CPU seconds for one pair of treatments."""
FLOOR = 2.0
"""Times what NumPy needs to sort and add up the same columns."""
LINEAR = 1.1
BASELINES = ("five_sigma", "five_sigma_iterated", "mad")
RULES = {
    BINARY: OutcomeRule(BINARY, "", 0.0, 1.0),
    NUMERIC: OutcomeRule(NUMERIC, "mmol/mol", 20.0, 150.0, higher_is_better=False),
    TIME_TO_EVENT: OutcomeRule(TIME_TO_EVENT, "days", 0.0, 1e4, horizon=HORIZON),
}


def measure(seed: int, tell: Tell) -> Sequence[Row]:
    """Return all rows."""
    parts: list[tuple[str, Callable[[], list[Row]]]] = [
        *((kind, partial(_answers, kind, seed)) for kind in RULES),
        ("floors", partial(_floors, seed)),
        *((f"{kind}, by size", partial(_sizes, kind, seed)) for kind in RULES),
    ]
    rows: list[Row] = []
    for done, (name, part) in enumerate(parts, 1):
        rows += part()
        tell(name, done, len(parts))
    return rows


def draw_votes(kind: str, size: int, seed: int) -> Votes:
    """Return ``size`` votes of a difference in the outcome; the last issuer is ``none``."""
    rng = np.random.default_rng(seed)
    arm, issuer, rows = rng.integers(0, 2, size), rng.integers(0, ISSUERS, size), np.arange(size)
    event = np.ones(size, np.bool_)
    if kind == BINARY:
        value = (rng.random(size) < np.where(arm == 0, 0.6, 0.5)).astype(np.float64)
    elif kind == NUMERIC:
        value = np.clip(np.round(rng.normal(np.where(arm == 0, 55, 58), 12), 1), 20, 150)
    else:
        death, end = rng.exponential(np.where(arm == 0, 2400, 1600)), rng.uniform(200, 2600, size)
        value, event = np.ceil(np.minimum(death, end)), death <= end
    enrolled = issuer < ISSUERS - 1
    return Votes(
        kind=kind,
        issuers=(*(f"issuer-{place:03d}" for place in range(ISSUERS - 1)), NONE),
        issuer=issuer,
        author=np.where(enrolled, issuer, ISSUERS + rows),
        case=rows,
        arm=arm,
        value=value,
        event=event,
        day=np.zeros(size, np.int64),
        age=rng.uniform(0, 1000, size),
        enrolled=enrolled,
        current=np.ones(size, np.bool_),
    )


def defenses() -> list[Defense]:
    """Return every defence that weighs or watches and can be made without parameters."""
    made = []
    for kind in DEFENSES.values():
        if hasattr(kind, "weigh") or hasattr(kind, "watch"):
            try:
                made.append(kind())
            except TypeError:  # needs what only a deployment has, such as a roster
                continue
    return made


def _template(kind: str) -> Template:
    return Template("bench", 1, 1, 0, kind, ARMS, (), RULES[kind], ())


def pipeline() -> list[Defense]:
    """Return them without the baselines."""
    return [one for one in defenses() if one.card.id not in BASELINES]


def _answer(votes: Votes, decide: str, seams: Sequence[Defense] = ()) -> None:
    seams = seams or pipeline()
    weighed = weigh_votes(Collected(votes, {}), seams)
    config = SynthesisConfig(decide=decide)
    conclude(weighed, len(votes), _template(votes.kind), config, seams, ARMS)


def _answers(kind: str, seed: int) -> list[Row]:
    votes = draw_votes(kind, SIZE, seed)
    spent: dict[str, list[float]] = {POOLED: [], ISSUER_TRIMMED: [], "naive": []}
    for _ in range(REPEATS):
        for decide in (POOLED, ISSUER_TRIMMED):
            spent[decide].append(_spent(lambda: _answer(votes, decide)))  # noqa: B023 # called at once
        spent["naive"].append(_spent(lambda: _naive(votes)))
    naive = median(spent["naive"])
    every = median(_spent(lambda: _answer(votes, POOLED, defenses())) for _ in range(REPEATS))
    rows = [
        Row(
            f"{kind}: answer, {decide}, {SIZE:,} votes of {ISSUERS} issuers",
            median(spent[decide]),
            "CPU s",
            REPEATS,
            "mean of each arm",
            naive,
            most=BAR,
        )
        for decide in (POOLED, ISSUER_TRIMMED)
    ]
    return [*rows, Row(f"{kind}: answer, pooled, with the baselines", every, "CPU s", REPEATS)]


def _naive(votes: Votes) -> list[float]:
    """Return what somebody without a care would compare: the mean of each arm."""
    return [float(votes.value[votes.arm == arm].mean()) for arm in (0, 1)]


def _floors(seed: int) -> list[Row]:
    """Return weighted median and Kaplan-Meier beside sorting and adding up the same columns."""
    numbers, times = draw_votes(NUMERIC, SIZE, seed), draw_votes(TIME_TO_EVENT, SIZE, seed)
    weights = np.random.default_rng(seed).random(SIZE)
    group, arm = np.zeros(SIZE, np.int64), np.zeros(SIZE, np.int64)

    def middle() -> None:
        Ordered.of(numbers.value, weights, group, 1).median()

    def alive() -> None:
        counts = count(arm, group, times.value, times.event, weights, 1, HORIZON)
        survival(counts.at_risk, counts.deaths)

    rows = []
    for name, ours, column in (
        ("weighted median", middle, numbers.value),
        ("weighted Kaplan-Meier", alive, times.value),
    ):
        pairs = [(_spent(ours), _spent(lambda: _sorted(column, weights))) for _ in range(REPEATS)]  # noqa: B023
        mine, floor = (median(part) for part in zip(*pairs, strict=True))
        rows.append(
            Row(f"{name}, {SIZE:,} votes", mine, "CPU s", REPEATS, "argsort + cumsum", floor)
        )
        rows.append(Row(f"{name}, times its floor", mine / floor, "times", REPEATS, most=FLOOR))
    return rows


def _sorted(column: Floats, weights: Floats) -> Floats:
    """Return the least that a weighted quantile needs."""
    return np.asarray(np.cumsum(weights[np.argsort(column)]), np.float64)


def _sizes(kind: str, seed: int) -> list[Row]:
    """Return how the cost grows from ten thousand votes to ten million, beside that of sorting."""
    seconds, floors = [], []
    for size in SIZES:
        votes = draw_votes(kind, size, seed)
        pairs = [
            (
                _spent(lambda: _answer(votes, POOLED)),  # noqa: B023 # called at once
                _spent(lambda: _sorted(votes.value, votes.age)),  # noqa: B023
            )
            for _ in range(REPEATS if size <= SIZE else 3)
        ]
        ours, floor = (median(part) for part in zip(*pairs, strict=True))
        seconds.append(ours)
        floors.append(floor)
    return [
        *(
            Row(f"{kind}: answer, pooled, {size:,} votes", spent, "CPU s")
            for size, spent in zip(SIZES, seconds, strict=True)
        ),
        Row(
            f"{kind}: cost grows with votes to the power of",
            _power(seconds, 0),
            "exponent",
            baseline="argsort + cumsum",
            baseline_value=_power(floors, 0),
            most=LINEAR,
        ),
        Row(
            f"{kind}: the same from {SIZES[-2]:,} to {SIZES[-1]:,}",
            _power(seconds, len(SIZES) - 2),
            "exponent",
            baseline="argsort + cumsum",
            baseline_value=_power(floors, len(SIZES) - 2),
        ),
    ]


def _power(seconds: Sequence[float], first: int) -> float:
    """Return the slope of log time over log size, from the size in place ``first`` on."""
    return float(np.polyfit(np.log10(SIZES[first:]), np.log10(seconds[first:]), 1)[0])


def _spent(work: Callable[[], object]) -> float:
    """Return the CPU seconds that ``work`` took."""
    start = time.process_time()
    work()
    return time.process_time() - start
