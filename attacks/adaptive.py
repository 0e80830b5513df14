"""The adaptive poisoner: it knows every defence, and searches for what beats it.

It rehearses on polls that it draws itself, and is counted on others. The space holds the known
attacks as corners and everything between them: which arm, how bad, when, on whose account, when it
arrives, with which decoys. Two stages: every corner and some random points on few polls, the best
of them on more; then one coordinate at a time, with steps that halve. In the end everything that
makes no difference goes back to what is usual.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from qisguard.attacks.ballots import Outcomes, against, honest_like, moments, worst
from qisguard.outcomes.ballots import NEW_CASE, Ballots, Poll
from qisguard.outcomes.packet import NUMERIC, TIME_TO_EVENT
from qisguard.plugins import Card, Poisons, Rehearsed

CASES_MAX = 4
"""Cases that one seat may claim."""
STEP_MIN = 0.02
TOLD_MIN = 0.05
GOALS = ("flip", "unnoticed", "mean")


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to poison a poll; every field is in [0, 1].

    Attributes:
        used: share of the seats that vote at all.
        target: share of invented cases in the arm that is to lose.
        bad: share of the votes that lie; the others repeat honest ones.
        reach: how far a lie goes, from the honest mean (0) to the worst that is allowed (1).
        late: when invented patients die, from the first day (0) to the horizon (1).
        decoys: share of the lies that are absurd in the other direction.
        issuers: share of the issuers at hand that vote, those with the fewest seats last.
        cases: how many cases a seat claims, from one (0) to ``CASES_MAX`` (1).
        early: over how many of the days the votes are spread, from today alone (0) to all (1).
    """

    used: float = 1.0
    target: float = 0.5
    bad: float = 1.0
    reach: float = 1.0
    late: float = 0.0
    decoys: float = 0.0
    issuers: float = 1.0
    cases: float = 0.0
    early: float = 0.0
    sees_votes = True

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return what this plan casts."""
        seat = self._seats(poll, rng)
        each = 1 + round(self.cases * (CASES_MAX - 1))
        seat, case = np.repeat(seat, each), np.tile(np.arange(each), len(seat))
        held = np.where(case == 0, poll.seats.arm[seat], NEW_CASE)
        lots = np.where(rng.random(len(seat)) < self.target, poll.target, 1 - poll.target)
        arm = np.where(held == NEW_CASE, lots, held)
        told = self._outcomes(poll, arm, rng)
        first, last = poll.days
        span = int(self.early * (last - first))
        return Ballots(seat, case, arm, *told, last - rng.integers(0, span + 1, len(seat)))

    def _seats(self, poll: Poll, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the seats that vote."""
        names, place, counts = np.unique(poll.seats.issuer, return_inverse=True, return_counts=True)
        wanted = max(1, round(self.issuers * len(names)))
        chosen = np.zeros(len(names), np.bool_)
        chosen[np.argsort(-counts, kind="stable")[:wanted]] = True
        seats = rng.permutation(np.flatnonzero(chosen[place]))
        return seats[: round(self.used * len(seats))]

    def _outcomes(self, poll: Poll, arm: NDArray[np.int64], rng: np.random.Generator) -> Outcomes:
        """Return lies, decoys and repeated honest outcomes."""
        lies, plain = self._lies(poll, arm, rng), honest_like(poll, arm, rng)
        best = worst(poll, np.where(arm == poll.target, 1 - poll.target, poll.target), rng)
        is_decoy = rng.random(len(arm)) < self.decoys
        is_lie = rng.random(len(arm)) < self.bad
        value = np.where(is_lie, np.where(is_decoy, best.value, lies.value), plain.value)
        event = np.where(is_lie, np.where(is_decoy, best.event, lies.event), plain.event)
        return Outcomes(value, event)

    def _lies(self, poll: Poll, arm: NDArray[np.int64], rng: np.random.Generator) -> Outcomes:
        told, rule = worst(poll, arm, rng), poll.rule
        if rule.kind == TIME_TO_EVENT:
            dies, day = against(poll, arm), round(self.late * rule.horizon)
            return told._replace(value=np.where(dies, day, told.value))
        if rule.kind == NUMERIC:
            mean = moments(poll).mean[arm]
            return told._replace(value=mean + self.reach * (told.value - mean))
        mean = moments(poll).mean[arm]
        chance = mean + self.reach * (told.value - mean)
        return told._replace(value=(rng.random(len(arm)) < chance).astype(np.float64))

    @property
    def words(self) -> str:
        """Return the plan as somebody would tell it."""
        told = [
            f"{self.target:.0%} of its cases in the better arm, {self.bad:.0%} of them lies",
            f"{self.reach:.0%} of the way to the worst outcome",
        ]
        if self.late >= TOLD_MIN:
            told.append(f"times at {self.late:.0%} of the horizon")
        if self.decoys >= TOLD_MIN:
            told.append(f"{self.decoys:.0%} of the lies decoys")
        told.append(f"{self.used:.0%} of the identities")
        if self.issuers < 1:
            told.append(f"from {self.issuers:.0%} of the issuers at hand")
        if self.cases >= TOLD_MIN:
            told.append(f"{1 + round(self.cases * (CASES_MAX - 1))} cases each")
        told.append("all today" if self.early < TOLD_MIN else f"over {self.early:.0%} of the days")
        return ", ".join(told)


CORNERS: dict[str, Plan] = {
    "the worst in both arms": Plan(),
    "the worst in the better arm": Plan(target=1.0),
    "the best in the worse arm": Plan(target=0.0),
    "deaths just before the horizon": Plan(target=1.0, late=1.0),
    "a little is enough": Plan(reach=0.3),
    "decoys": Plan(reach=0.5, decoys=0.2),
    "few issuers": Plan(issuers=0.3),
    "stuffing": Plan(cases=1.0),
    "half and quiet": Plan(used=0.5, bad=0.8, early=1.0),
}


@dataclass(frozen=True, slots=True)
class AdaptivePoisoning:
    """Searches ``plans`` candidates, at most, on up to ``polls`` rehearsed polls each.

    ``goal``: ``flip`` the answer; flip it ``unnoticed``, while it is called ok; or move the
    ``mean`` of numbers beside it. ``cases``: how many an identity may claim, at most ``CASES_MAX``;
    with 1 the share of identities is the share of votes.
    """

    plans: int = 150
    polls: int = 40
    goal: str = "flip"
    seed: int = 1
    cases: int = CASES_MAX

    def __post_init__(self) -> None:
        if not len(CORNERS) <= self.plans <= 100_000:
            raise ValueError(f"plans = {self.plans}, must be {len(CORNERS)} to 100000")
        if not 4 <= self.polls <= 10_000:
            raise ValueError(f"polls = {self.polls}, must be 4 to 10000")
        if self.goal not in GOALS:
            raise ValueError(f"goal = {self.goal!r}, must be one of {', '.join(GOALS)}")
        if not 1 <= self.cases <= CASES_MAX:
            raise ValueError(f"cases = {self.cases}, must be 1 to {CASES_MAX}")

    card = Card(
        id="adaptive_poisoning",
        family="poisoning",
        summary="searches for the votes that beat these very defences",
        capability="knows all defences with their parameters, the honest votes and who is who; "
        "bounded by its identities and the cases that each may claim",
        breaks="defences that were scored against attacks that did not know them",
        source="Tramer et al., NeurIPS 2020 (adaptive attacks); design, section 5",
        seen="what the best attack looks like, which the report names",
        limits="a search over nine numbers by rehearsal: what it does not find may exist",
    )

    def adapt(self, rehearse: Callable[[Poisons, int], Rehearsed]) -> tuple[Poisons, str]:
        """Return the best plan and what it is."""
        rng, few = random.Random(f"adaptive {self.seed}"), max(4, self.polls // 4)
        tried = 0

        def score(plan: Plan, polls: int) -> tuple[float, float]:
            nonlocal tried
            tried += 1
            got = rehearse(plan, polls)
            if self.goal == "unnoticed":
                return got.unnoticed, -abs(got.margin)
            return (0.0, got.mean_margin) if self.goal == "mean" else (got.flipped, got.margin)

        names = {self._allowed(plan): name for name, plan in reversed(CORNERS.items())}
        drawn = (self._allowed(_anywhere(rng)) for _ in range(self.plans // 3))
        starts = [*reversed(names), *drawn]
        first = sorted(starts, key=lambda plan: score(plan, few), reverse=True)
        best = max(first[:5], key=lambda plan: score(plan, self.polls))
        best_score, step = score(best, self.polls), 0.4
        while tried < self.plans and step >= STEP_MIN and best_score[0] < 1:
            improved = False
            for candidate in map(self._allowed, _neighbours(best, step, rng)):
                if tried >= self.plans:
                    break
                found = score(candidate, self.polls)
                if found > best_score:
                    best, best_score, improved = candidate, found, True
            step = step if improved else step / 2
        for field in fields(Plan):  # what makes no difference is not part of the attack
            plainer = replace(best, **{field.name: getattr(Plan(), field.name)})
            if plainer != best and (found := score(plainer, self.polls)) >= best_score:
                best, best_score = plainer, found
        begun = f" (known as {names[best]!r})" if best in names else ""
        won = "" if self.goal == "mean" else f"; {best_score[0]:.2f} of its rehearsals"
        return best, f"{best.words}{begun}{won}"

    def _allowed(self, plan: Plan) -> Plan:
        """Return the plan with no more cases an identity than it may claim."""
        return replace(plan, cases=min(plan.cases, (self.cases - 1) / (CASES_MAX - 1)))


def _anywhere(rng: random.Random) -> Plan:
    """Return a random plan; half of its fields are as usual."""
    usual = Plan()
    drawn = {f.name: rng.random() for f in fields(Plan) if rng.random() < 0.5}
    return replace(usual, **drawn)


def _neighbours(plan: Plan, step: float, rng: random.Random) -> Iterator[Plan]:
    """Yield plans that differ in one field, in random order."""
    names = [f.name for f in fields(Plan)]
    moves = [(name, sign) for name in names for sign in (step, -step)]
    rng.shuffle(moves)
    for name, sign in moves:
        at = getattr(plan, name)
        moved = round(min(1.0, max(0.0, at + sign)), 3)
        if moved != at:
            yield replace(plan, **{name: moved})
