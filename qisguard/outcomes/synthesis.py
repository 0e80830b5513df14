"""Synthesis: from verified packets to an answer that knows how fragile it is (design, section 5).

The order is: structure and sequence (``Accepts``) → expiry → one vote per case and weights
(``Weighs``) → difference of the arms, per issuer or pooled → interval, contamination bounds and
flip radius → detectors (``Watches``) → state.

- No defences: every packet has weight 1 and all are pooled.
- Intervals come from leaving one issuer out: patients of one hospital are alike. With a single
  issuer that is impossible; patients then count as independent, and the note says so.
- ``Tunes`` defences act on the configuration before it comes here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qisguard.errors import RecordError
from qisguard.identity.roster import NONE, Roster
from qisguard.outcomes.answer import (
    UNDECIDED,
    Answer,
    ArmAnswer,
    Contamination,
    LeaveOneOut,
    State,
)
from qisguard.outcomes.archive import Past
from qisguard.outcomes.arrays import NOTHING, Floats, distinct
from qisguard.outcomes.checks import check_votes
from qisguard.outcomes.estimate import (
    ISSUER_TRIMMED,
    POOLED,
    Estimate,
    issuer_estimate,
    pooled_estimate,
)
from qisguard.outcomes.explain import Step, trim_step
from qisguard.outcomes.explain import told as told_steps
from qisguard.outcomes.issuers import Differences
from qisguard.outcomes.kinds import scale, tally
from qisguard.outcomes.packet import OutcomePacket
from qisguard.outcomes.poison import fragility
from qisguard.outcomes.robust import ACROSS, TRIMMED_MEAN
from qisguard.outcomes.states import Found, judge
from qisguard.outcomes.tally import Scale, Tally
from qisguard.outcomes.template import Template
from qisguard.outcomes.votes import Votes
from qisguard.outcomes.weighing import Weighed, weigh
from qisguard.plugins import Defense, Watches


@dataclass(frozen=True, slots=True)
class SynthesisConfig:
    """How an answer is made.

    Attributes:
        horizon: days at which survival is compared; None takes the template's.
        min_cohort: cases that each arm must have before anything is told.
        decide: ``pooled`` over all votes, or ``issuer-trimmed`` across issuers.
        across: how ``issuer-trimmed`` decides: ``trimmed-mean``, or a name of ``robust.ACROSS``.
        trim_ratio: share of the issuers' weight cut off at each end, below 1/2.
        min_issuers: with fewer issuers that have both arms, the votes are pooled after all.
        flip_threshold: the share of poison that the reader reckons with: an answer that less
            could reverse is fragile (docs/decisions/0022).
        fragility: False skips the search for the best attack (the guaranteed half stays).
    """

    horizon: int | None = None
    min_cohort: int = 11
    decide: str = POOLED
    across: str = TRIMMED_MEAN
    trim_ratio: float = 0.30
    min_issuers: int = 5
    flip_threshold: float = 0.20
    fragility: bool = True

    def __post_init__(self) -> None:
        if self.decide not in (POOLED, ISSUER_TRIMMED):
            raise ValueError(f"decide = {self.decide!r}, must be {POOLED} or {ISSUER_TRIMMED}")
        if self.across not in (TRIMMED_MEAN, *ACROSS):
            allowed = ", ".join((TRIMMED_MEAN, *ACROSS))
            raise ValueError(f"across = {self.across!r}, must be one of {allowed}")
        if not 0 <= self.trim_ratio < 0.5:
            raise ValueError(f"trim_ratio = {self.trim_ratio}, must be 0 to below 0.5")
        if self.min_issuers < 2 or self.min_cohort < 1:
            raise ValueError("min_issuers must be 2 or more, min_cohort 1 or more")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What detectors look at.

    Attributes:
        votes: the n votes that count, with ``weights`` (n,).
        arms: the two treatments.
        horizon: in days.
        issuers: names of the m issuers that take part in the decision.
        without: (m,) the difference without each of them.
        shares: (m,) their shares of the weight that decides.
        difference: the decision statistic, ``low`` to ``high`` its interval.
        method: what it was made by.
        own: difference of the arms at each issuer that has both, by name.
        past: what replicas archived of the question's keys, or None.
    """

    votes: Votes
    weights: Floats
    arms: tuple[str, str]
    horizon: int
    issuers: tuple[str, ...]
    without: Floats
    shares: Floats
    difference: float
    low: float
    high: float
    method: str
    own: dict[str, float]
    past: Past | None = None


def synthesize(
    packets: Sequence[OutcomePacket],
    template: Template,
    roster: Roster,
    config: SynthesisConfig,
    defenses: Sequence[Defense],
    arms: tuple[str, str],
    today: int,
    first_seen: Mapping[bytes, int],
    past: Past | None = None,
) -> Answer:
    """Return the answer to "which of two treatments does better".

    Args:
        packets: verified packets, any order, copies allowed.
        template: what the cases have in common, the treatments and the default horizon.
        roster: who belongs to which issuer.
        config: how to decide, already tuned.
        defenses: in the scenario's order.
        arms: two treatment codes of the template; the difference is first less second.
        today: calendar day.
        first_seen: day on which somebody else first attested a packet, by packet digest.
        past: what replicas archived of the same keys, for detectors of change.
    """
    weighed = weigh(packets, roster, defenses, arms, today, first_seen, template.outcome.kind)
    return conclude(weighed, len(packets), template, config, defenses, arms, past)


def conclude(
    weighed: Weighed,
    packets: int,
    template: Template,
    config: SynthesisConfig,
    defenses: Sequence[Defense],
    arms: tuple[str, str],
    past: Past | None = None,
) -> Answer:
    """Return the answer of weighed votes: everything after the weights, columns throughout.

    ``packets`` is how many were received; the other arguments are those of ``synthesize``.
    """
    if len(set(arms)) != 2 or not set(arms) <= set(template.arms):
        raise RecordError(f"arms = {arms!r}, must be two of {', '.join(template.arms)}")
    check_votes(weighed, template.outcome)
    votes = weighed.votes
    cases = _cases(votes)
    if min(cases) < config.min_cohort:
        return _too_small(packets, config, template, arms, weighed.dropped)
    told = tally(votes, weighed.weights, template.outcome, config.horizon)
    found = told.differences()
    pooled = pooled_estimate(told)
    across = None
    if len(found.value) >= config.min_issuers:
        across = issuer_estimate(told, config.trim_ratio, config.across)
    estimate = pooled
    if config.decide == ISSUER_TRIMMED and across:
        estimate = across
    elif config.decide == ISSUER_TRIMMED:
        few = f"only {len(found.value)} issuers have both arms, fewer than {config.min_issuers}"
        estimate = replace(pooled, note=f"{few}, so all votes are pooled; {pooled.note}")
    flip, contamination = fragility(
        estimate, told, found, config.across, config.trim_ratio, config.fragility
    )
    horizon = config.horizon or template.outcome.horizon
    names = [votes.issuers[place] for place in estimate.issuers]
    flags = _flags(defenses, estimate, weighed, arms, horizon, found, past)
    judged = Found(
        estimate,
        pooled,
        across,
        flip,
        flags,
        told.weight,
        votes.issuers,
        arms,
        config.flip_threshold,
    )
    state, reasons = judge(judged)
    better = estimate.difference * told.scale.sign / told.scale.span
    undecided = abs(better) < NOTHING
    return Answer(
        decision=UNDECIDED if undecided else arms[0 if better > 0 else 1],
        state=state,
        reasons=reasons,
        estimand=_estimand(template, told.scale, arms),
        kind=votes.kind,
        unit=told.scale.unit,
        arms=_arms(arms, cases, estimate, told),
        difference=estimate.difference,
        low=estimate.low,
        high=estimate.high,
        method=estimate.method,
        method_note=estimate.note,
        beside=told.beside(),
        packets=packets,
        cases=sum(cases),
        issuers=len(names),
        effective=sum(arm.effective for arm in estimate.arms),
        contamination=contamination,
        flip=flip,
        leave_one_out=_left_out(estimate, names),
        largest_issuer=names[int(np.argmax(estimate.shares))],
        largest_share=float(estimate.shares.max()),
        none_share=float(estimate.shares[[name == NONE for name in names]].sum()),
        dropped=weighed.dropped,
        flags=tuple(f"{name}: {reason}" for name, reason in flags),
        steps=_steps(weighed, found, judged, contamination, config),
    )


def _steps(
    weighed: Weighed,
    found: Differences,
    judged: Found,
    contamination: tuple[Contamination, ...],
    config: SynthesisConfig,
) -> tuple[Step, ...]:
    """Return what was done, in order; the numbers are those that the answer is made of."""
    votes, estimate, pooled = weighed.votes, judged.estimate, judged.pooled
    steps = [*weighed.steps]
    present, both = len(pooled.issuers), len(found.value)
    steps.append(Step("per issuer", "issuers", present, both, "those with both arms"))
    if estimate.method == ISSUER_TRIMMED:
        counts = np.bincount(votes.issuer, minlength=len(votes.issuers))
        steps.append(
            trim_step(
                found,
                config.trim_ratio,
                counts,
                votes.issuers,
                pooled.difference,
                estimate.difference,
            )
        )
    elif estimate.method == POOLED:
        steps.append(Step("pooled", "difference", None, pooled.difference, estimate.note))
    else:
        before, after = pooled.difference, estimate.difference
        steps.append(Step("across issuers", "difference", before, after, estimate.note))
    effective = sum(arm.effective for arm in estimate.arms)
    why = f"95 % interval {estimate.low:+.4g} to {estimate.high:+.4g}; {estimate.note}"
    steps.append(Step("interval", "independent cases", len(votes), effective, why))
    for bound in contamination:
        nearest = bound.low if estimate.difference > 0 else bound.high
        why = f"if {bound.share:.0%} of the data is poison: {bound.low:+.4g} to {bound.high:+.4g}"
        steps.append(Step("bounds", "difference", estimate.difference, nearest, why))
    if flip := judged.flip:
        steps.append(
            Step("flip radius", "share of poison", flip.guaranteed, flip.found, flip.attack)
        )
    steps += [Step(name, "flag", None, None, reason) for name, reason in judged.flags]
    return told_steps(steps, config.min_cohort)


def _estimand(template: Template, of: Scale, arms: tuple[str, str]) -> str:
    unit = f" in {of.unit}" if of.unit else ""
    lower = "" if of.sign > 0 else ", lower is better"
    who = f"{template.label} ({template.id})"
    return f"{of.statistic}{unit}, {arms[0]} less {arms[1]}, {who}{lower}"


def _cases(votes: Votes) -> tuple[int, int]:
    first, second = (len(distinct(votes.case[votes.arm == arm])) for arm in (0, 1))
    return first, second


def _too_small(
    packets: int,
    config: SynthesisConfig,
    template: Template,
    arms: tuple[str, str],
    dropped: dict[str, int],
) -> Answer:
    """Return an answer that tells nothing about the few people it is about."""
    of = scale(template.outcome, config.horizon)
    empty = [ArmAnswer(arm, None, None, None, None, None, None) for arm in arms]
    return Answer(
        decision=UNDECIDED,
        state=State.TOO_SMALL,
        reasons=(f"an arm has fewer than {config.min_cohort} cases",),
        estimand=_estimand(template, of, arms),
        kind=template.outcome.kind,
        unit=of.unit,
        arms=(empty[0], empty[1]),
        difference=None,
        low=None,
        high=None,
        method=config.decide,
        method_note="not computed",
        beside=None,
        packets=packets,
        cases=None,
        issuers=None,
        effective=None,
        contamination=(),
        flip=None,
        leave_one_out=None,
        largest_issuer=None,
        largest_share=None,
        none_share=None,
        dropped=dropped,
        flags=(),
        steps=(),
    )


def _flags(
    defenses: Sequence[Defense],
    estimate: Estimate,
    weighed: Weighed,
    arms: tuple[str, str],
    horizon: int,
    found: Differences,
    past: Past | None,
) -> list[tuple[str, str]]:
    evidence = Evidence(
        votes=weighed.votes,
        weights=weighed.weights,
        arms=arms,
        horizon=horizon,
        issuers=tuple(weighed.votes.issuers[place] for place in estimate.issuers),
        without=estimate.without,
        shares=estimate.shares,
        difference=estimate.difference,
        low=estimate.low,
        high=estimate.high,
        method=estimate.method,
        own={
            weighed.votes.issuers[place]: float(value)
            for place, value in zip(found.issuer, found.value, strict=True)
        },
        past=past,
    )
    return [
        (defense.card.id, flag.reason)
        for defense in defenses
        if isinstance(defense, Watches) and (flag := defense.watch(evidence))
    ]


def _arms(
    arms: tuple[str, str], cases: tuple[int, int], estimate: Estimate, told: Tally
) -> tuple[ArmAnswer, ArmAnswer]:
    middles = told.middles()
    first, second = (
        ArmAnswer(
            arm=arms[place],
            cases=cases[place],
            effective=estimate.arms[place].effective,
            estimate=estimate.arms[place].estimate,
            low=estimate.arms[place].low,
            high=estimate.arms[place].high,
            median=middles[place],
        )
        for place in (0, 1)
    )
    return first, second


def _left_out(estimate: Estimate, names: Sequence[str]) -> LeaveOneOut | None:
    if len(names) < 2:
        return None
    most = int(np.argmax(np.abs(estimate.without - estimate.difference)))
    return LeaveOneOut(float(estimate.without.min()), float(estimate.without.max()), names[most])
