"""Reputation from verified outcomes: what issuers turned out to be worth, and to whom.

- Evidence is what can be checked: a later value of the same case by somebody else that agrees or
  does not, and two versions under one number. Opinions are not evidence.
- Evidence has a judge. ``PROOF`` is the judge of what anybody can check. Nobody judges itself, and
  strangers judge nobody: their agreement is free to make.
- Good evidence is forgotten sooner than bad: trust takes long to win and longer to win back.
- A newcomer has the weight of no evidence, ``NEWCOMER``. Those with bad evidence weigh less, so
  whoever can have a new name for nothing is worth as much as a newcomer and never less.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from qisguard.identity.roster import NONE
from qisguard.outcomes.archive import Tables

Floats: TypeAlias = NDArray[np.float64]

PROOF = ""
"""The judge of evidence that convinces everybody, such as an equivocation."""
LEVEL = 0.05
NEWCOMER = LEVEL
"""Weight without evidence: the 5 % quantile of a uniform distribution, in [0, 1]."""

SCHEMA = (
    "create table if not exists reputation (judge text not null, subject text not null,"
    " good real not null, bad real not null, day integer not null)",
    "create unique index if not exists reputation_name on reputation (judge, subject)",
    "create index if not exists reputation_day on reputation (day)",
)


class Deed(StrEnum):
    """What was found out about an outcome that somebody published."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    EQUIVOCATED = "equivocated"


WORTH: dict[Deed, tuple[float, float]] = {
    Deed.CONFIRMED: (1.0, 0.0),
    Deed.REFUTED: (0.0, 1.0),
    Deed.EQUIVOCATED: (0.0, 10.0),
}
"""Good and bad evidence of one deed. An honest hospital errs; it does not equivocate."""


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Days after which half of the evidence is forgotten."""

    good: float = 180.0
    bad: float = 720.0

    def __post_init__(self) -> None:
        for name, value in (("good", self.good), ("bad", self.bad)):
            if not 0 < value < math.inf:
                raise ValueError(f"forgetting {name} = {value}, must be above 0 days")

    def after(self, good: float, bad: float, days: int) -> tuple[float, float]:
        """Return what is left of evidence ``days`` later; time never goes back."""
        passed = max(days, 0)
        return good * 0.5 ** (passed / self.good), bad * 0.5 ** (passed / self.bad)


@dataclass(frozen=True, slots=True)
class Standing:
    """What one judge holds of one subject today."""

    judge: str
    subject: str
    good: float
    bad: float


@dataclass(frozen=True)
class Standings:
    """Everybody's evidence on one day; without any, everybody is a newcomer."""

    rows: tuple[Standing, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return judges and subjects, in order, without ``PROOF``."""
        found = {name for row in self.rows for name in (row.judge, row.subject)}
        return tuple(sorted(found - {PROOF}))

    def beta(self, subjects: Sequence[str], judge_max: float = 50.0) -> Floats:
        """Return (n,) weights in [0, 1]: the 5 % quantile of Beta(1 + good, 1 + bad).

        Jøsang and Ismail 2002; the quantile instead of the mean, so that little evidence is worth
        little. One judge adds at most ``judge_max`` good evidence to a subject; bad has no limit.
        """
        place = {name: at for at, name in enumerate(subjects)}
        good, bad = np.zeros(len(subjects)), np.zeros(len(subjects))
        for row in sorted(self.rows, key=lambda row: (row.subject, row.judge)):
            at = place.get(row.subject)
            if at is not None:
                good[at] += min(row.good, judge_max)
                bad[at] += row.bad
        return np.asarray(betaincinv(1 + good, 1 + bad, LEVEL), np.float64)

    def trust(self, pretrusted: Collection[str], restart: float = 0.15) -> dict[str, float]:
        """Return EigenTrust of every name, adding up to 1; nothing without pre-trusted names."""
        trusted = sorted(set(pretrusted))
        if not trusted:
            return {}
        names = sorted({*self.names, *trusted})
        place = {name: at for at, name in enumerate(names)}
        local = np.zeros((len(names), len(names)))
        for row in self.rows:
            if row.judge != PROOF:
                local[place[row.judge], place[row.subject]] = max(row.good - row.bad, 0.0)
        start = np.zeros(len(names))
        start[[place[name] for name in trusted]] = 1 / len(trusted)
        return dict(zip(names, eigentrust(local, start, restart).tolist(), strict=True))


def eigentrust(
    local: Floats, start: Floats, restart: float = 0.15, tolerance: float = 1e-9
) -> Floats:
    """Return (n,) global trust, adding up to 1 (Kamvar, Schlosser and Garcia-Molina 2003).

    The fixed point of ``t = (1 - restart) C' t + restart start``, where row i of C is what i thinks
    of others, normalised; who thinks nothing of anybody follows ``start``. Each step shrinks the
    distance (L1) by ``1 - restart``, so the number of steps for ``tolerance`` is known beforehand.

    Args:
        local: (n, n) evidence of row about column, >= 0; the diagonal is ignored.
        start: (n,) pre-trust, adding up to 1.
        restart: share of trust that comes from ``start`` at every step, above 0.
        tolerance: largest L1 distance from the fixed point.
    """
    if not 0 < restart <= 1:
        raise ValueError(f"restart = {restart}, must be above 0 and at most 1")
    if (local < 0).any() or not np.isclose(start.sum(), 1.0) or (start < 0).any():
        raise ValueError("local must be >= 0, start >= 0 and add up to 1")
    others = np.where(np.eye(len(start), dtype=bool), 0.0, local)
    given = others.sum(axis=1, keepdims=True)
    share = np.where(given > 0, others / np.where(given > 0, given, 1.0), start)
    steps = 1 if restart == 1 else math.ceil(math.log(tolerance / 2) / math.log(1 - restart))
    trust = start
    for _ in range(steps):
        trust = (1 - restart) * (trust @ share) + restart * start
    return trust


class Reputation:
    """Evidence in an open file, which the caller commits and closes.

    ``ignored`` counts evidence that nobody may give: about oneself, or by strangers.
    """

    def __init__(
        self,
        file: Tables,
        forgetting: Forgetting = Forgetting(),
        pairs_max: int = 100_000,
    ) -> None:
        if pairs_max < 1:
            raise ValueError(f"pairs_max = {pairs_max}, must be at least 1")
        self._file = file
        self._forgetting = forgetting
        self._pairs_max = pairs_max
        self.ignored = 0
        for statement in SCHEMA:
            file.write(statement)
        (pairs,) = file.one("select count(*) from reputation") or (0,)
        self._pairs: int = pairs

    def note(self, judge: str, subject: str, deed: Deed, today: int) -> None:
        """Take one piece of evidence; judge and subject are issuers' names."""
        if judge in (subject, NONE):
            self.ignored += 1
            return
        row = self._file.one(
            "select good, bad, day from reputation where judge = ? and subject = ?",
            (judge, subject),
        )
        if row is None:
            self._make_room()
        good, bad, day = row or (0.0, 0.0, today)
        good, bad = self._forgetting.after(good, bad, today - day)
        more_good, more_bad = WORTH[deed]
        self._file.write(
            "insert into reputation values (?, ?, ?, ?, ?) on conflict (judge, subject) do update"
            " set good = excluded.good, bad = excluded.bad, day = excluded.day",
            (judge, subject, good + more_good, bad + more_bad, max(day, today)),
        )

    def standings(self, today: int) -> Standings:
        """Return what is left of all evidence today."""
        rows = self._file.all("select * from reputation order by judge, subject")
        return Standings(
            tuple(
                Standing(judge, subject, *self._forgetting.after(good, bad, today - day))
                for judge, subject, good, bad, day in rows
            )
        )

    def _make_room(self) -> None:
        """Forget the pair that has been silent longest when there are too many."""
        if self._pairs < self._pairs_max:
            self._pairs += 1
            return
        self._file.write(
            "delete from reputation where rowid ="
            " (select rowid from reputation order by day, judge, subject limit 1)"
        )
