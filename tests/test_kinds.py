"""Binary, numeric and time-to-event outcomes, each against a slow oracle on small cohorts."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, combinations_with_replacement, product
from statistics import median as middle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter

from qisguard.lab.demo.cohort import REAL, load_cohort
from qisguard.outcomes.answer import Answer, State
from qisguard.outcomes.estimate import ISSUER_TRIMMED, POOLED, issuer_estimate, pooled_estimate
from qisguard.outcomes.fragility import FlipRadius
from qisguard.outcomes.kinds import tally
from qisguard.outcomes.packet import BINARY, NUMERIC, TIME_TO_EVENT
from qisguard.outcomes.synthesis import SynthesisConfig, conclude
from qisguard.outcomes.template import OutcomeRule
from qisguard.outcomes.weighing import Weighed
from tests.packets import ARMS, columns, template

Case = tuple[int, float, int]  # arm, value, event
HORIZON = 4
RULES = {
    BINARY: OutcomeRule(BINARY, "", 0.0, 1.0),
    NUMERIC: OutcomeRule(NUMERIC, "mg/dl", 0.0, 6.0),
    TIME_TO_EVENT: OutcomeRule(TIME_TO_EVENT, "days", 0.0, 9.0, horizon=HORIZON),
}
LOWER = {kind: replace(rule, higher_is_better=False) for kind, rule in RULES.items()}
POISON: dict[str, list[Case]] = {
    BINARY: list(product((0, 1), (0.0, 1.0), (1,))),
    NUMERIC: list(product((0, 1), (0.0, 3.0, 6.0), (1,))),
    TIME_TO_EVENT: list(product((0, 1), (0.0, 2.0, 4.0, 5.0), (0, 1))),
}
VALUES = {
    BINARY: st.tuples(st.sampled_from([0.0, 1.0]), st.just(1)),
    NUMERIC: st.tuples(st.integers(0, 6).map(float), st.just(1)),
    TIME_TO_EVENT: st.tuples(st.integers(0, 6).map(float), st.integers(0, 1)),
}
DEPTH = 3


def cohorts(kind: str, most: int = 12) -> st.SearchStrategy[list[Case]]:
    one = st.tuples(st.integers(0, 1), VALUES[kind]).map(lambda pair: (pair[0], *pair[1]))
    return st.lists(one, min_size=2, max_size=most)


def share(mine: list[Case]) -> float:
    return sum(value for _, value, _ in mine) / len(mine)


def halfway(mine: list[Case]) -> float:
    return float(middle(value for _, value, _ in mine))


def alive(mine: list[Case]) -> float:
    """Kaplan-Meier from its definition."""
    left = 1.0
    for day in sorted({time for _, time, event in mine if event and time <= HORIZON}):
        at_risk = sum(time >= day for _, time, _ in mine)
        left *= 1 - sum(time == day and event for _, time, event in mine) / at_risk
    return left


SLOW: dict[str, Callable[[list[Case]], float]] = {
    BINARY: share,
    NUMERIC: halfway,
    TIME_TO_EVENT: alive,
}


def gap(kind: str, cases: list[Case], better: int) -> float:
    mine, other = ([c for c in cases if c[0] == arm] for arm in (better, 1 - better))
    return SLOW[kind](mine) - SLOW[kind](other)


def decided(kind: str, cases: list[Case]) -> int:
    assume({arm for arm, _, _ in cases} == {0, 1})
    lead = gap(kind, cases, 0)
    assume(abs(lead) > 1e-9)
    return 0 if lead > 0 else 1


def flip(kind: str, cases: list[Case], better: int, rule: OutcomeRule | None = None) -> FlipRadius:
    arm, value, event = zip(*cases, strict=True)
    votes = columns(arm, value, event, kind=kind)
    told = tally(votes, np.ones(len(cases)), rule or RULES[kind])
    return told.radius(better, search=True)


@pytest.mark.parametrize("kind", list(RULES))
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_few_added_votes_beat_the_guarantee_and_the_attack_found_is_the_smallest(
    kind: str, data: st.DataObject
) -> None:
    """Oracle: every multiset of up to three votes, whatever they say."""
    cases = data.draw(cohorts(kind))
    better = decided(kind, cases)
    radius = flip(kind, cases, better)
    smallest = next(
        (
            size
            for size in range(1, DEPTH + 1)
            for added in combinations_with_replacement(POISON[kind], size)
            if gap(kind, cases + list(added), better) < -1e-9
        ),
        None,
    )
    if smallest is not None:
        assert radius.guaranteed <= smallest / (len(cases) + smallest) + 1e-12
        assert radius.size == smallest
        assert radius.found == pytest.approx(smallest / (len(cases) + smallest))
    else:
        assert radius.size is None or radius.size > DEPTH
    assert radius.found is None or radius.guaranteed <= radius.found + 1e-12


WORST = {BINARY: (0.0, 1), NUMERIC: (0.0, 1), TIME_TO_EVENT: (float(HORIZON), 1)}
BEST = {BINARY: (1.0, 1), NUMERIC: (6.0, 1), TIME_TO_EVENT: (9.0, 0)}


@pytest.mark.parametrize("kind", list(RULES))
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_attack_found_flips_and_one_vote_less_of_its_family_does_not(
    kind: str, data: st.DataObject
) -> None:
    cases = data.draw(cohorts(kind))
    better = decided(kind, cases)
    size = flip(kind, cases, better).size
    assume(size is not None)
    assert size is not None
    worst, best = (better, *WORST[kind]), (1 - better, *BEST[kind])

    def lowest(votes: int) -> float:
        return min(
            gap(kind, cases + [worst] * down + [best] * (votes - down), better)
            for down in range(votes + 1)
        )

    assert lowest(size) < -1e-9
    assert lowest(size - 1) >= -1e-9


@pytest.mark.parametrize("kind", [BINARY, NUMERIC])
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_guarantee_is_as_good_as_whole_votes_allow(kind: str, data: st.DataObject) -> None:
    """A closed form in real weights: rounding and passing a tie cost two votes an arm at most.

    Where a median lies at the end of the range a tie can be far from a reversal.
    """
    cases = data.draw(cohorts(kind))
    if kind == NUMERIC:
        cases = [(arm, 1 + value / 2, event) for arm, value, event in cases]
    radius = flip(kind, cases, decided(kind, cases))
    weight = len(cases) * radius.guaranteed / (1 - radius.guaranteed)
    assert radius.size is not None
    assert weight - 1e-9 <= radius.size <= weight + 4


def test_a_median_at_the_end_of_the_range_is_reversed_by_enough_votes() -> None:
    cases: list[Case] = [(0, 0.0, 1), *[(1, 6.0, 1)] * 4]
    radius = flip(NUMERIC, cases, 1)
    weight = len(cases) * radius.guaranteed / (1 - radius.guaranteed)
    assert radius.size == 6
    assert weight == pytest.approx(1)  # a tie, and the guarantee is below what reverses


@pytest.mark.parametrize("kind", list(RULES))
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_smaller_part_of_the_data_than_the_inside_radius_carries_the_decision(
    kind: str, data: st.DataObject
) -> None:
    """Oracle: every subset of the cases taken out that leaves both arms."""
    cases = data.draw(cohorts(kind, most=9))
    better = decided(kind, cases)
    inside = flip(kind, cases, better).inside
    for size in range(1, len(cases) - 1):
        for left in combinations(cases, len(cases) - size):
            if {arm for arm, _, _ in left} == {0, 1} and gap(kind, list(left), better) < -1e-9:
                assert inside <= size / len(cases) + 1e-9
                return


@pytest.mark.parametrize("kind", list(RULES))
@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 2), st.integers(0, 2))
def test_contamination_bounds_hold_every_way_to_remove_poison(
    kind: str, data: st.DataObject, first: int, second: int
) -> None:
    """Oracle: every subset with this much of each arm taken out."""
    cases = data.draw(cohorts(kind, most=9))
    groups = [[c for c in cases if c[0] == arm] for arm in (0, 1)]
    assume(first < len(groups[0]) and second < len(groups[1]))
    part = max(first / len(groups[0]), second / len(groups[1]))
    arm, value, event = zip(*cases, strict=True)
    told = tally(columns(arm, value, event, kind=kind), np.ones(len(cases)), RULES[kind])
    low, high = told.contaminated(part)
    for one in combinations(groups[0], len(groups[0]) - first):
        for two in combinations(groups[1], len(groups[1]) - second):
            assert low - 1e-9 <= gap(kind, [*one, *two], 0) <= high + 1e-9


@pytest.mark.parametrize("kind", [BINARY, NUMERIC])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_when_less_is_better_the_radius_is_that_of_the_mirrored_outcome(
    kind: str, data: st.DataObject
) -> None:
    cases = data.draw(cohorts(kind))
    better = decided(kind, cases)
    high = RULES[kind].high
    mirrored = [(arm, high - value, event) for arm, value, event in cases]
    here = flip(kind, cases, better)
    there = flip(kind, mirrored, better, LOWER[kind])
    assert there.size == here.size
    assert there.guaranteed == pytest.approx(here.guaranteed)
    assert there.inside == pytest.approx(here.inside)


# --- the answer ----------------------------------------------------------------------------------
def cohort(kind: str, hospitals: int = 12, each: int = 24) -> Weighed:
    """The first arm has the higher values, at every hospital."""
    rng = np.random.default_rng(5)
    size = hospitals * each
    arm, issuer = np.arange(size) % 2, np.repeat(np.arange(hospitals), each)
    if kind == BINARY:
        value = (rng.random(size) < np.where(arm == 0, 0.8, 0.3)).astype(float)
    elif kind == NUMERIC:
        value = np.clip(np.round(rng.normal(np.where(arm == 0, 4.0, 2.5), 0.8), 1), 0, 6)
    else:
        value = np.clip(np.ceil(rng.exponential(np.where(arm == 0, 12, 4))), 0, 9)
    event = [bool(v < 9) for v in value] if kind == TIME_TO_EVENT else [True] * size
    votes = columns(arm.tolist(), value, event, issuer.tolist(), hospitals, kind)
    return Weighed(votes, np.ones(size), {})


def ask(weighed: Weighed, rule: OutcomeRule, config: SynthesisConfig | None = None) -> Answer:
    shape = replace(template(), outcome=rule)
    return conclude(weighed, len(weighed.votes), shape, config or SynthesisConfig(), (), ARMS)


@pytest.mark.parametrize("decide", [POOLED, ISSUER_TRIMMED])
@pytest.mark.parametrize("kind", list(RULES))
def test_every_kind_is_answered_pooled_and_across_issuers(kind: str, decide: str) -> None:
    answer = ask(cohort(kind), RULES[kind], SynthesisConfig(decide=decide))
    assert (answer.decision, answer.state, answer.method) == ("hormone", State.OK, decide)
    assert answer.difference is not None
    assert answer.low is not None
    assert answer.high is not None
    assert 0 < answer.low < answer.difference < answer.high
    assert answer.flip is not None
    assert answer.flip.found is not None
    assert 0 < answer.flip.guaranteed <= answer.flip.found < 1
    five, ten = answer.contamination
    assert ten.low <= five.low <= answer.difference <= five.high <= ten.high
    assert (answer.kind, answer.unit) == (kind, RULES[kind].unit if kind == NUMERIC else "")


@pytest.mark.parametrize("decide", [POOLED, ISSUER_TRIMMED])
@pytest.mark.parametrize("kind", [BINARY, NUMERIC])
def test_a_lower_outcome_is_better_when_the_template_says_so(kind: str, decide: str) -> None:
    config = SynthesisConfig(decide=decide)
    higher, lower = ask(cohort(kind), RULES[kind], config), ask(cohort(kind), LOWER[kind], config)
    assert (higher.decision, lower.decision) == ("hormone", "no-hormone")
    assert higher.difference == lower.difference
    assert lower.estimand.endswith("lower is better")


def test_the_mean_is_shown_beside_the_median_with_a_smaller_radius() -> None:
    answer = ask(cohort(NUMERIC), RULES[NUMERIC])
    value, arm = cohort(NUMERIC).votes.value, cohort(NUMERIC).votes.arm
    assert answer.beside is not None
    assert answer.flip is not None
    assert answer.beside.arms == pytest.approx((value[arm == 0].mean(), value[arm == 1].mean()))
    assert [one.estimate for one in answer.arms] == [
        np.median(value[arm == 0]),
        np.median(value[arm == 1]),
    ]
    assert answer.beside.guaranteed is not None
    assert answer.beside.guaranteed < answer.flip.guaranteed


# --- facts of the design -------------------------------------------------------------------------
def test_shares_of_equal_arms_have_the_closed_forms_of_contaminated_proportions() -> None:
    """Symmetric about 1/2 the joint optimum is the even one: D / (1 + D) added, exactly."""
    cases = [(0, 1.0, 1)] * 60 + [(0, 0.0, 1)] * 40 + [(1, 1.0, 1)] * 40 + [(1, 0.0, 1)] * 60
    radius = flip(BINARY, cases, 0)
    lead = 0.2
    assert radius.guaranteed == pytest.approx(lead / (1 + lead), rel=1e-12)
    assert radius.size == 41
    arm, value, event = zip(*cases, strict=True)
    told = tally(columns(arm, value, event, kind=BINARY), np.ones(200), RULES[BINARY])
    assert told.contaminated(lead)[0] == pytest.approx(0.0, abs=1e-12)  # D inside, evenly
    assert told.contaminated(lead - 1e-6)[0] > 0


def test_an_attacker_who_chooses_the_arm_needs_less_than_an_even_share() -> None:
    cases = [(0, 1.0, 1)] * 90 + [(0, 0.0, 1)] * 10 + [(1, 1.0, 1)] * 70 + [(1, 0.0, 1)] * 30
    radius = flip(BINARY, cases, 0)
    lead = 0.2
    assert radius.guaranteed < lead / (1 + lead)
    assert radius.inside < lead
    assert radius.attack == "the worst outcome in the better arm"


def test_contamination_bounds_of_shares_are_reached() -> None:
    """Two of ten taken from each arm: 7 of 10 against 4 of 10 becomes 5/8 - 4/8 or 7/8 - 2/8."""
    cases = [(0, 1.0, 1)] * 7 + [(0, 0.0, 1)] * 3 + [(1, 1.0, 1)] * 4 + [(1, 0.0, 1)] * 6
    arm, value, event = zip(*cases, strict=True)
    told = tally(columns(arm, value, event, kind=BINARY), np.ones(20), RULES[BINARY])
    assert told.contaminated(0.2) == pytest.approx((1 / 8, 5 / 8))


def test_removed_poison_goes_where_it_is_cheaper() -> None:
    """From .3 v .1 take successes of the first, from .9 v .7 failures of the second."""
    low = [(0, 1.0, 1)] * 30 + [(0, 0.0, 1)] * 70 + [(1, 1.0, 1)] * 10 + [(1, 0.0, 1)] * 90
    high = [(1 - arm, 1 - value, event) for arm, value, event in low]
    removed = (30 - 10) / (1 - 0.1)
    assert flip(BINARY, low, 0).inside == pytest.approx(removed / 200)
    assert flip(BINARY, high, 0).inside == pytest.approx(removed / 200)


def test_gbsg2_grade_ii_at_two_and_five_years_equals_lifelines() -> None:
    patients = list(load_cohort(REAL).with_grade("II"))
    rule = replace(RULES[TIME_TO_EVENT], high=1e4)
    votes = columns(
        [int(p.arm != "hormone") for p in patients],
        [p.time for p in patients],
        [p.event for p in patients],
    )
    for horizon, expected in ((730, (0.8191, 0.7227)), (1825, (0.5637, 0.4096))):
        first, second = tally(votes, np.ones(len(votes)), rule, horizon).pooled().arms
        for arm, found in ((0, first), (1, second)):
            mine = votes.arm == arm
            fitted = KaplanMeierFitter().fit(votes.value[mine], votes.event[mine])
            assert found.estimate == pytest.approx(float(fitted.predict(horizon)))
        assert (first.estimate, second.estimate) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", [BINARY, NUMERIC])
def test_intervals_hold_the_truth_though_an_issuers_cases_are_alike(kind: str) -> None:
    """ICC .05, 20 issuers; the benchmark has the long form, with cases as independent beside it."""
    rng = np.random.default_rng(1)
    hits = np.zeros(2)
    for _ in range(150):
        issuer, arm = rng.integers(0, 20, 400), rng.integers(0, 2, 400)
        if kind == BINARY:
            value = (rng.random(400) < rng.beta(0.75 * 19, 0.25 * 19, 20)[issuer]).astype(float)
        else:
            effect = rng.normal(0, 0.05**0.5, 20)[issuer]
            value = np.clip(3 + effect + rng.normal(0, 0.95**0.5, 400), 0, 6)
        votes = columns(arm.tolist(), value, [1] * 400, issuer.tolist(), 20, kind)
        told = tally(votes, np.ones(400), RULES[kind])
        for place, found in enumerate((pooled_estimate(told), issuer_estimate(told, 0.3))):
            hits[place] += found.low <= 0 <= found.high
    assert (hits >= 0.90 * 150).all()
