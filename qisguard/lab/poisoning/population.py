"""The honest votes of a poll, drawn from what a scenario says is true of both arms."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

from qisguard.identity.roster import NONE
from qisguard.lab.demo.cohort import HORMONE, load_cohort
from qisguard.lab.scenario.polls import TIME_MAX
from qisguard.lab.scenario.tables import PopulationTable
from qisguard.lab.trial.people import FIRST_DAY
from qisguard.outcomes.arrays import NOTHING
from qisguard.outcomes.packet import BINARY, NUMERIC, TIME_TO_EVENT
from qisguard.outcomes.survival import count, survival
from qisguard.outcomes.template import OutcomeRule, Template
from qisguard.outcomes.votes import Votes

ARMS = ("first", "second")
AGES = (200, 2_000)
"""Days since members were enrolled, as in the demo."""
STRANGER_AGES = (0, 365)
"""Honest keys off the roster keep coming, and have been known for up to a year."""
UNIT = "units"
_SURE = 0.01
"""Survival at an issuer is kept this far from 0 and 1, where no Weibull scale exists."""


@dataclass(frozen=True, slots=True)
class Population:
    """What a scenario's polls are about: template, truth, and how honest votes come about.

    ``truth`` is the first arm less the second; ``label`` says where cases come from.
    """

    table: PopulationTable
    template: Template
    truth: float
    label: str

    @property
    def target(self) -> int:
        """Return the better arm, which attackers want to lose."""
        return 0 if self.truth >= 0 else 1

    @property
    def days(self) -> tuple[int, int]:
        """Return the first and the last day of the poll."""
        return FIRST_DAY - self.table.days + 1, FIRST_DAY

    def draw(self, rng: np.random.Generator) -> Votes:
        """Return the honest votes of one poll; members sign with one key each."""
        table = self.table
        size = round(table.per_arm * table.cohort_ratio)
        rank = rng.random(table.issuers)
        age = rng.integers(*AGES, table.issuers, endpoint=True)
        shares = _shares(table)
        issuer = rng.choice(table.issuers, 2 * size, p=shares)
        if table.cohort:
            arm, value, event = _patients(table.cohort).again(2 * size, rng)
        else:
            arm = np.repeat(np.arange(2), size)
            value, event = _outcomes(table, arm, rank[issuer], rng)
        author = issuer.copy()
        loose = rng.random(2 * size) < table.strangers
        author[loose] = table.issuers + np.arange(loose.sum())
        ages = age[issuer].astype(np.float64)
        ages[loose] = rng.integers(*STRANGER_AGES, loose.sum(), endpoint=True)
        return Votes(
            kind=table.kind,
            issuers=(*(f"issuer-{place:02d}" for place in range(table.issuers)), NONE),
            issuer=np.where(loose, table.issuers, issuer),
            author=author,
            case=np.arange(2 * size),
            arm=arm,
            value=value,
            event=event,
            day=rng.integers(*self.days, 2 * size, endpoint=True),
            age=ages,
            enrolled=~loose,
            current=np.ones(2 * size, np.bool_),
        )


def population_of(table: PopulationTable) -> Population:
    """Return the population that a scenario's table describes."""
    limits = {BINARY: (0.0, 1.0), NUMERIC: (table.low, table.high), TIME_TO_EVENT: (0.0, TIME_MAX)}
    unit = {BINARY: "", NUMERIC: UNIT, TIME_TO_EVENT: "days"}[table.kind]
    horizon = table.horizon if table.kind == TIME_TO_EVENT else 0
    rule = OutcomeRule(table.kind, unit, *limits[table.kind], horizon=horizon)
    template = Template("poll", 1, 1, 1, "a poll of the laboratory", ARMS, (), rule, ())
    if not table.cohort:
        return Population(table, template, table.first - table.second, "drawn")
    patients = _patients(table.cohort)
    return Population(table, template, patients.difference(table.horizon), patients.label)


class _Outcomes(NamedTuple):
    value: NDArray[np.float64]
    event: NDArray[np.bool_]


def _shares(table: PopulationTable) -> NDArray[np.float64]:
    """Return (issuers,) shares of the cases; falling ones are 1 / (rank + 3), as in the demo."""
    falls = table.sizes == "falling"
    sizes = 1 / (np.arange(table.issuers) + 3.0) if falls else np.ones(table.issuers)
    return np.asarray(sizes / sizes.sum(), np.float64)


def _outcomes(
    table: PopulationTable,
    arm: NDArray[np.int64],
    rank: NDArray[np.float64],
    rng: np.random.Generator,
) -> _Outcomes:
    """Return an outcome for each arm and (n,) rank of the issuer among issuers."""
    truth = np.where(arm == 0, table.first, table.second)
    happened = np.ones(len(arm), np.bool_)
    if table.kind == NUMERIC:
        between = np.sqrt(table.icc) * ndtri(rank)
        within = np.sqrt(1 - table.icc) * rng.standard_normal(len(arm))
        number = truth + table.spread * (between + within)
        return _Outcomes(np.clip(number, table.low, table.high), happened)
    if table.icc:  # Beta-binomial
        width = 1 / table.icc - 1
        truth = betaincinv(truth * width, (1 - truth) * width, rank)
    if table.kind == BINARY:
        return _Outcomes((rng.random(len(arm)) < truth).astype(np.float64), happened)
    alive = np.clip(truth, _SURE, 1 - _SURE)
    scale = table.horizon / (-np.log(alive)) ** (1 / table.shape)
    death = scale * rng.weibull(table.shape, len(arm))
    end = rng.uniform(table.followed_from, table.followed_to, len(arm))
    time = np.clip(np.ceil(np.minimum(death, end)), 0, TIME_MAX)
    return _Outcomes(time, np.asarray(death <= end, np.bool_))


@dataclass(frozen=True, slots=True)
class _Patients:
    """The columns of a cohort."""

    label: str
    arm: NDArray[np.int64]
    time: NDArray[np.float64]
    event: NDArray[np.bool_]

    def again(
        self, size: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return patients drawn with replacement."""
        drawn = rng.integers(0, len(self.arm), size)
        return self.arm[drawn], self.time[drawn], self.event[drawn]

    def difference(self, horizon: int) -> float:
        """Return survival of the first arm less the second at ``horizon``, of all of them."""
        ones, group = np.ones(len(self.arm)), np.zeros(len(self.arm), np.int64)
        counts = count(self.arm, group, self.time, self.event, ones, 1, horizon)
        first, second = survival(counts.at_risk[:, 0], counts.deaths[:, 0])
        return float(first - second) if abs(first - second) > NOTHING else 0.0


@lru_cache(maxsize=8)
def _patients(grade: str) -> _Patients:
    cohort = load_cohort().with_grade(grade)
    return _Patients(
        f"{cohort.label} grade {grade}",
        np.array([int(p.arm != HORMONE) for p in cohort], np.int64),
        np.array([p.time for p in cohort], np.float64),
        np.array([p.event == 1 for p in cohort], np.bool_),
    )
