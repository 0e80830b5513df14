import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter

from qisguard.outcomes.intervals import effective_size, score_interval
from qisguard.outcomes.survival import (
    Counts,
    count,
    curve,
    influence,
    leave_one_out,
    median,
    survival,
)

Row = tuple[int, int, int, int, int]  # arm, group, time, event, weight
ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 3),
        st.integers(0, 12),
        st.integers(0, 1),
        st.integers(0, 3),
    ),
    max_size=40,
)
HORIZON = 8.0


def tally(rows: list[Row], groups: int = 4, horizon: float = HORIZON) -> Counts:
    table = np.array(rows, np.int64).reshape(-1, 5)
    arm, group, time, event, weight = table.T
    return count(arm, group, time.astype(float), event == 1, weight.astype(float), groups, horizon)


def oracle(rows: list[Row], horizon: float = HORIZON) -> float:
    """lifelines; survival of nobody is 1."""
    rows = [row for row in rows if row[4] > 0]
    if not rows:
        return 1.0
    _, _, times, events, weights = zip(*rows, strict=True)
    return float(KaplanMeierFitter().fit(times, events, weights=weights).predict(horizon))


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_weighted_survival_equals_lifelines_with_ties_and_censoring(rows: list[Row]) -> None:
    counts = tally(rows)
    ours = survival(counts.at_risk.sum(axis=1), counts.deaths.sum(axis=1))
    for arm in (0, 1):
        assert ours[arm] == pytest.approx(oracle([row for row in rows if row[0] == arm]))


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_each_group_and_each_rest_equal_a_separate_computation(rows: list[Row]) -> None:
    counts = tally(rows)
    own, rest = survival(counts.at_risk, counts.deaths), leave_one_out(counts)
    for arm in (0, 1):
        for group in range(4):
            mine = [row for row in rows if row[:2] == (arm, group)]
            others = [row for row in rows if row[0] == arm and row[1] != group]
            assert own[arm, group] == pytest.approx(oracle(mine))
            assert rest[arm, group] == pytest.approx(oracle(others))


def test_median_is_the_first_time_at_half_or_below() -> None:
    counts = tally([(0, 0, time, 1, 1) for time in (1, 2, 3, 4)], horizon=float("inf"))
    assert median(counts.times, curve(counts.at_risk, counts.deaths)[0, 0]) == 2.0


def test_median_is_none_when_more_than_half_survive() -> None:
    counts = tally([(0, 0, 1, 1, 1), (0, 0, 9, 0, 1), (0, 0, 9, 0, 1)], horizon=float("inf"))
    assert median(counts.times, curve(counts.at_risk, counts.deaths)[0, 0]) is None


def test_survival_of_nobody_and_of_the_all_censored_is_one() -> None:
    assert survival(tally([]).at_risk, tally([]).deaths).tolist() == [[1.0] * 4] * 2
    counts = tally([(0, 0, 3, 0, 1)] * 5)
    assert survival(counts.at_risk, counts.deaths)[0, 0] == 1.0
    assert counts.known.sum() == 0


def test_a_death_on_the_horizon_day_counts_and_a_censoring_on_it_is_known_alive() -> None:
    counts = tally([(0, 0, 8, 1, 1), (0, 0, 8, 0, 1)])
    assert survival(counts.at_risk, counts.deaths)[0, 0] == 0.5
    assert (counts.known[0, 0], counts.survivors[0, 0]) == (2.0, 1.0)


def test_influence_is_the_derivative_of_survival_by_weight() -> None:
    rows = [(0, 0, t, e, 1) for t, e in ((1, 1), (2, 0), (3, 1), (3, 0), (7, 1), (9, 0), (11, 1))]
    table = np.array(rows)
    arm, time, event = table[:, 0], table[:, 2].astype(float), table[:, 3] == 1
    group = np.zeros(len(rows), np.int64)

    def at(weights: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        counts = count(arm, group, time, event, weights, 1, HORIZON)
        return float(survival(counts.at_risk, counts.deaths)[0, 0])

    ones, step = np.ones(len(rows)), 1e-6
    slopes = [
        (at(ones + step * (np.arange(7) == row)) - at(ones - step * (np.arange(7) == row)))
        / (2 * step)
        for row in range(7)
    ]
    counts = count(arm, group, time, event, ones, 1, HORIZON)
    assert influence(counts, arm, time, event, ones) == pytest.approx(slopes, abs=1e-6)


def test_independent_variance_equals_greenwood() -> None:
    rng = np.random.default_rng(1)
    time, event = np.ceil(rng.exponential(8, 300)), rng.random(300) < 0.7
    group = np.zeros(300, np.int64)
    ones = np.ones(300)
    counts = count(group, group, time, event, ones, 1, HORIZON)
    parts = influence(counts, group, time, event, ones)
    at_risk, deaths = counts.at_risk[0, 0], counts.deaths[0, 0]
    greenwood = survival(at_risk, deaths) ** 2 * (deaths / (at_risk * (at_risk - deaths))).sum()
    assert (parts**2).sum() == pytest.approx(greenwood, rel=1e-9)


def test_score_interval_matches_the_published_example_and_has_width_at_the_ends() -> None:
    low, high = score_interval(81 / 263, 263, 1.959964)  # Newcombe 1998, method 3
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert score_interval(0.0, 20, 1.959964)[1] == pytest.approx(0.1611, abs=1e-4)
    assert score_interval(1.0, 20, 1.959964)[0] == pytest.approx(0.8389, abs=1e-4)
    assert score_interval(0.5, 0, 1.96) == (0.0, 1.0)


def test_effective_size_shrinks_with_clustering_and_never_exceeds_kish() -> None:
    kish = 2.1**2 / 2.005
    assert effective_size(0.5, 0.0, kish) == pytest.approx(kish)
    assert effective_size(0.5, 1e-9, kish) == pytest.approx(kish)
    assert effective_size(0.5, 0.25, kish) == pytest.approx(1.0)
