"""Simulated years: what liars gain who take their time, and what it costs them.

Honest hospitals and one attacker publish every week. Some outcomes are verified later by another
hospital, which errs now and then. The attacker decides each week what share of its outcomes are
lies and whether it takes a new name, knowing its own weight. Weights are what defences make of age
and of the reputation kept by the real store.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qisguard.outcomes.reputation import NEWCOMER, Deed, Forgetting, Reputation
from qisguard.store.sqlite_file import SqliteFile

WEEK = 7
RAMP = 90.0


@dataclass(frozen=True, slots=True)
class Moment:
    """What the attacker knows in one week."""

    week: int
    weight: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What it does then: the share of outcomes that are lies, and whether under a new name."""

    lies: float
    renames: bool = False


Strategy = Callable[[Moment], Plan]

STRATEGIES: Mapping[str, Strategy] = {
    "honest": lambda now: Plan(0.0),
    "always lies": lambda now: Plan(1.0),
    "one in ten": lambda now: Plan(0.1),
    "on-off, 12 weeks good, 4 bad": lambda now: Plan(float(now.week % 16 >= 12)),
    "on-off, 48 weeks good, 4 bad": lambda now: Plan(float(now.week % 52 >= 48)),
    "lies when trusted": lambda now: Plan(float(now.weight > 0.7)),
    "lies above .4": lambda now: Plan(float(now.weight > 0.4)),
    "lies above .2": lambda now: Plan(float(now.weight > 0.2)),
    "whitewashing": lambda now: Plan(1.0, now.weight < NEWCOMER),
    "patient, lies after two years": lambda now: Plan(float(now.week >= 104)),
}


@dataclass(frozen=True, slots=True)
class Guard:
    """How names are weighed: by age, by reputation with this forgetting, by both or neither."""

    by_age: bool = False
    forgetting: Forgetting | None = None


GUARDS: Mapping[str, Guard] = {
    "no defence": Guard(),
    "age": Guard(by_age=True),
    "beta, even forgetting": Guard(forgetting=Forgetting(180, 180)),
    "beta": Guard(forgetting=Forgetting()),
    "age and beta": Guard(by_age=True, forgetting=Forgetting()),
}


@dataclass(frozen=True, slots=True)
class Years:
    """What came of it.

    Attributes:
        share: of all the weight over all weeks, what lies had.
        honest_weight: mean weight of an honest hospital after the first year.
        served: true outcomes that the attacker published, its cost in service.
        lies: lies that it published.
        names: names that it used.
        first_lie: week of the first lie, its cost in time.
    """

    share: float
    honest_weight: float
    served: int
    lies: int
    names: int
    first_lie: int | None


def simulate(
    strategy: Strategy,
    guard: Guard,
    rng: random.Random,
    *,
    weeks: int = 260,
    hospitals: int = 20,
    weekly: int = 5,
    verified_ratio: float = 0.1,
    error_ratio: float = 0.02,
) -> Years:
    """Return what one attacker among honest hospitals gains over ``weeks``."""
    file = SqliteFile(":memory:")
    store = Reputation(file, guard.forgetting or Forgetting())
    honest = [f"hospital-{place:02d}" for place in range(hospitals)]
    since = dict.fromkeys(honest, -1000)
    attacker, names, since["attacker-0"] = "attacker-0", 1, 0
    lying = total = honest_sum = 0.0
    served = lies = 0
    first_lie: int | None = None
    for week in range(weeks):
        today = week * WEEK
        weights = _weights(guard, store, [*honest, attacker], since, today)
        plan = strategy(Moment(week, weights[attacker]))
        if plan.renames:
            attacker = f"attacker-{names}"
            names, since[attacker] = names + 1, today
            weights = _weights(guard, store, [*honest, attacker], since, today)
        total += sum(weights.values())
        lying += weights[attacker] * plan.lies
        honest_sum += sum(weights[name] for name in honest) if week >= 52 else 0.0
        for name in (*honest, attacker):
            for _ in range(weekly):
                false = name == attacker and rng.random() < plan.lies
                if name == attacker:
                    lies, served = lies + false, served + (not false)
                    first_lie = week if false and first_lie is None else first_lie
                if rng.random() < verified_ratio:
                    found = false != (rng.random() < error_ratio)
                    judge = rng.choice([other for other in honest if other != name])
                    store.note(judge, name, Deed.REFUTED if found else Deed.CONFIRMED, today)
    file.abandon()
    mean = honest_sum / (max(weeks - 52, 1) * hospitals)
    return Years(lying / total, mean, served, lies, names, first_lie)


def _weights(
    guard: Guard, store: Reputation, names: list[str], since: Mapping[str, int], today: int
) -> dict[str, float]:
    """Return the weight of each name."""
    weights = [1.0] * len(names)
    if guard.forgetting:
        weights = store.standings(today).beta(names).tolist()
    if guard.by_age:
        ages = [min(max((today - since[name]) / RAMP, 0.05), 1.0) for name in names]
        weights = [weight * age for weight, age in zip(weights, ages, strict=True)]
    return dict(zip(names, weights, strict=True))
