from itertools import combinations, combinations_with_replacement, product

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from qisguard.outcomes.fragility import issuer_radius
from qisguard.outcomes.issuers import FULL, Differences, Quantiles, trimmed_mean
from qisguard.outcomes.survival import count
from qisguard.outcomes.survival_poison import Arm, contaminated, pooled_radius
from tests.packets import columns

Patient = tuple[int, int, int]  # arm, time, event
HORIZON = 4
TRIM = 0.3
DEPTH = 3
POISON = list(product((0, 1), (0, 2, 4, 5), (0, 1)))
COHORTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 6), st.integers(0, 1)), min_size=2, max_size=9
)


def alive(patients: list[Patient], arm: int) -> float:
    """Slow Kaplan-Meier of whole patients, from the definition."""
    mine = [(time, event) for place, time, event in patients if place == arm]
    product_limit = 1.0
    for day in sorted({time for time, event in mine if event and time <= HORIZON}):
        at_risk = sum(time >= day for time, _ in mine)
        product_limit *= 1 - sum(time == day and event for time, event in mine) / at_risk
    return product_limit


def difference(patients: list[Patient], better: int) -> float:
    return alive(patients, better) - alive(patients, 1 - better)


def pooled_arms(patients: list[Patient]) -> tuple[Arm, Arm]:
    arm, time, event = zip(*patients, strict=True)
    votes = columns(arm, time, event)
    ones = np.ones(len(patients))
    counts = count(votes.arm, votes.issuer, votes.value, votes.event, ones, 1, HORIZON)
    return Arm.of(counts, 0), Arm.of(counts, 1)


def decided(patients: list[Patient]) -> int:
    assume({arm for arm, _, _ in patients} == {0, 1})
    gap = difference(patients, 0)
    assume(abs(gap) > 1e-9)
    return 0 if gap > 0 else 1


@settings(max_examples=60, deadline=None)
@given(COHORTS)
def test_no_small_addition_of_any_kind_beats_the_guarantee_and_the_search_finds_the_best(
    patients: list[Patient],
) -> None:
    """Oracle: every multiset of up to three votes, at every useful time, censored or not."""
    better = decided(patients)
    arms = pooled_arms(patients)
    radius = pooled_radius(arms[better], arms[1 - better])
    smallest = next(
        (
            size
            for size in range(1, DEPTH + 1)
            for added in combinations_with_replacement(POISON, size)
            if difference(patients + list(added), better) < -1e-9
        ),
        None,
    )
    if smallest is not None:
        assert radius.guaranteed <= smallest / (len(patients) + smallest)
        assert radius.size == smallest
        assert radius.found == pytest.approx(smallest / (len(patients) + smallest))
    else:
        assert radius.size is None or radius.size > DEPTH
    assert radius.found is None or radius.guaranteed <= radius.found


@settings(max_examples=60, deadline=None)
@given(COHORTS)
def test_no_smaller_part_of_the_data_than_the_inside_radius_carries_the_decision(
    patients: list[Patient],
) -> None:
    """Oracle: every subset of the patients taken out."""
    better = decided(patients)
    arms = pooled_arms(patients)
    inside = pooled_radius(arms[better], arms[1 - better], search=False).inside
    for size in range(1, len(patients) + 1):
        for left in combinations(patients, len(patients) - size):
            if difference(list(left), better) < -1e-9:
                assert inside <= size / len(patients) + 1e-9
                return


@settings(max_examples=60, deadline=None)
@given(COHORTS, st.integers(0, 2), st.integers(0, 2))
def test_contamination_bounds_hold_every_way_to_remove_poison(
    patients: list[Patient], first: int, second: int
) -> None:
    """Oracle: every subset with this much of each arm taken out."""
    decided(patients)
    groups = [[p for p in patients if p[0] == arm] for arm in (0, 1)]
    assume(first < len(groups[0]) and second < len(groups[1]))
    share = max(first / len(groups[0]), second / len(groups[1]))
    low, high = contaminated(*pooled_arms(patients), share)
    for one in combinations(groups[0], len(groups[0]) - first):
        for two in combinations(groups[1], len(groups[1]) - second):
            assert low - 1e-9 <= difference([*one, *two], 0) <= high + 1e-9


def test_without_censoring_the_radii_are_those_of_contaminated_proportions() -> None:
    """With .6 against .4 in equal arms both optima share evenly: D / (1 + D) exactly."""
    patients = [(0, 1, 1)] * 40 + [(0, 9, 0)] * 60 + [(1, 1, 1)] * 60 + [(1, 9, 0)] * 40
    radius = pooled_radius(*pooled_arms(patients))
    gap = 0.2
    assert radius.guaranteed == pytest.approx(gap / (1 + gap), rel=0.03)
    assert radius.guaranteed <= gap / (1 + gap)
    low, _ = contaminated(*pooled_arms(patients), gap)
    assert low == pytest.approx(0.0, abs=1e-9)  # D inside the data, as much in each arm


def test_under_censoring_a_death_just_before_the_horizon_beats_the_proportions_formula() -> None:
    patients = [(0, 2, 0)] * 45 + [(0, 9, 0)] * 5 + [(1, 1, 1)] * 10 + [(1, 9, 0)] * 40
    radius = pooled_radius(*pooled_arms(patients))
    gap = difference(patients, 0)
    assert radius.found is not None
    assert radius.found < gap / (1 + gap) / 5
    assert radius.guaranteed <= radius.found
    assert radius.attack == "deaths just before the horizon in the better arm"
    assert radius.size == 2


def test_a_switched_off_search_leaves_the_guarantee() -> None:
    patients = [(0, 9, 0)] * 20 + [(1, 1, 1)] * 10 + [(1, 9, 0)] * 10
    searched = pooled_radius(*pooled_arms(patients))
    quick = pooled_radius(*pooled_arms(patients), search=False)
    assert (quick.found, quick.size, quick.attack) == (None, None, "not searched")
    assert quick.guaranteed == searched.guaranteed


SHARES = st.floats(0.01, FULL)
ISSUERS = st.lists(st.tuples(st.floats(-1, 1), SHARES), min_size=5, max_size=12)


def said(issuers: list[tuple[float, float]]) -> Differences:
    value, weight = np.array(issuers).T
    return Differences(np.arange(len(value)), np.stack([value, 0 * value]), value, weight)


@settings(max_examples=200, deadline=None)
@given(ISSUERS, st.data())
def test_no_issuers_below_the_guaranteed_share_reverse_the_trimmed_mean(
    issuers: list[tuple[float, float]], data: st.DataObject
) -> None:
    """Any issuers may turn, join or fall silent, with any value and any weight up to the full one.

    Their share is what they weigh before or after, whichever is more.
    """
    found = said(issuers)
    now = trimmed_mean(found.value, found.weight, TRIM)
    assume(abs(now) > 1e-6)
    sign = 1.0 if now > 0 else -1.0
    radius = issuer_radius(found, TRIM, sign, -1.0)
    turned = data.draw(st.sets(st.integers(0, len(issuers) - 1), max_size=3))
    honest = [row for place, row in enumerate(issuers) if place not in turned]
    hostile = data.draw(st.lists(st.tuples(st.floats(-1, 1), SHARES), max_size=5))
    assume(honest)
    both = [*honest, *hostile]
    before = sum(issuers[place][1] for place in turned) / sum(w for _, w in issuers)
    share = max(before, sum(w for _, w in hostile) / sum(w for _, w in both))
    if share < radius.guaranteed:
        value, weight = np.array(both).T
        assert sign * trimmed_mean(value, weight, TRIM) > -1e-9
    assert radius.found is None or radius.guaranteed <= radius.found


@settings(max_examples=200, deadline=None)
@given(ISSUERS, st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_removing_poison_keeps_the_trimmed_mean_within_the_contamination_bounds(
    issuers: list[tuple[float, float]], parts: list[float]
) -> None:
    value, weight = np.array(issuers).T
    left = weight * np.array(parts[: len(issuers)])
    assume(left.sum() > 1e-3)
    poison = 1 - left.sum() / weight.sum()
    low, high = Quantiles.of(value, weight).cleaned(np.array([poison]), TRIM)
    clean = trimmed_mean(value[left > 0], left[left > 0], TRIM)
    assert low[0] - 1e-6 <= clean <= high[0] + 1e-6


def test_twenty_agreeing_issuers_fall_to_the_sixth_that_turns() -> None:
    """Trimming 30 % of 20 takes away six; every honest issuer says +.1."""
    radius = issuer_radius(said([(0.1, FULL)] * 20), TRIM, 1.0, -1.0)
    assert radius.size == 7
    assert radius.found == pytest.approx(0.35)
    assert 0.30 <= radius.guaranteed <= 0.35


@settings(max_examples=100, deadline=None)
@example([(0.0, 1.0), (0.0, 0.5), (1.0, 1.5), (0.5, 2.0), (0.25, 1.0)])
@given(st.lists(st.tuples(st.floats(-1, 1), SHARES), min_size=5, max_size=9))
def test_no_fewer_issuers_than_the_search_found_reverse_the_trimmed_mean(
    issuers: list[tuple[float, float]],
) -> None:
    """Oracle: every set of issuers that turn, with the worst to say and full weight."""
    found = said(issuers)
    now = trimmed_mean(found.value, found.weight, TRIM)
    assume(abs(now) > 1e-6)
    sign = 1.0 if now > 0 else -1.0
    size = issuer_radius(found, TRIM, sign, -1.0).size
    for few in range(1, size or len(issuers) + 1):
        for turned in combinations(range(len(issuers)), few):
            value, weight = sign * found.value, found.weight.copy()
            value[list(turned)], weight[list(turned)] = -1.0, FULL
            assert trimmed_mean(value, weight, TRIM) > -1e-6


@settings(max_examples=50, deadline=None)
@given(ISSUERS, st.floats(1.5, 500))
def test_the_radius_across_issuers_does_not_depend_on_the_unit(
    issuers: list[tuple[float, float]], unit: float
) -> None:
    found = said(issuers)
    assume(abs(trimmed_mean(found.value, found.weight, TRIM)) > 1e-6)
    scaled = Differences(found.issuer, found.arms * unit, found.value * unit, found.weight)
    sign = 1.0 if trimmed_mean(found.value, found.weight, TRIM) > 0 else -1.0
    here = issuer_radius(found, TRIM, sign, -1.0)
    there = issuer_radius(scaled, TRIM, sign, -unit)
    assert there.size == here.size
    assert there.guaranteed == pytest.approx(here.guaranteed, abs=2e-3)
