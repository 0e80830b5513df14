"""Numbers in order: medians, quantiles and leave-one-issuer-out against slow definitions."""

from statistics import NormalDist
from statistics import median as middle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.outcomes.arrays import distinct, places
from qisguard.outcomes.ordered import Ordered

Row = tuple[int, int, int]  # value, weight, issuer
ROWS = st.lists(
    st.tuples(st.integers(-5, 5), st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=40
)


def arm(rows: list[Row]) -> Ordered:
    value, weight, issuer = np.array(rows, np.int64).T
    return Ordered.of(value.astype(float), weight.astype(float), issuer, 5)


def slow(rows: list[Row]) -> float:
    """Every vote as often as it weighs."""
    return float(middle([value for value, weight, _ in rows for _ in range(weight)]))


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_the_weighted_median_is_that_of_repeated_votes(rows: list[Row]) -> None:
    assert arm(rows).median() == slow(rows)
    assert arm(rows).negated().median() == -slow(rows)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_each_issuer_and_each_rest_have_the_median_of_their_own_votes(rows: list[Row]) -> None:
    grouped = arm(rows).by_issuer()
    own, without = grouped.medians(), grouped.medians_without()
    for issuer in range(5):
        mine = [row for row in rows if row[2] == issuer]
        rest = [row for row in rows if row[2] != issuer]
        assert own[issuer] == (slow(mine) if mine else 0.0)
        assert without[issuer] == slow(rest or rows)
        assert grouped.weight[issuer] == sum(weight for _, weight, _ in mine)


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(-6, 6))
def test_the_weight_below_a_value_counts_half_of_what_is_equal(rows: list[Row], at: int) -> None:
    below = arm(rows).below(at)
    for issuer in range(5):
        mine = [(value, weight) for value, weight, of in rows if of == issuer]
        less = sum(weight for value, weight in mine if value < at)
        equal = sum(weight for value, weight in mine if value == at)
        assert below[issuer] == less + equal / 2


def test_quantiles_are_an_interval_where_they_fall_between_two_votes() -> None:
    four = arm([(1, 1, 0), (2, 1, 0), (3, 1, 0), (4, 1, 0)])
    weights = np.array([0.0, 1.0, 1.5, 2.0, 4.0])
    assert four.lower(weights).tolist() == [1, 1, 2, 2, 4]
    assert four.upper(weights).tolist() == [1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("poison", "bias"), [(0.05, 0.066), (0.1, 0.140), (0.2, 0.319), (0.3, 0.566), (0.4, 0.967)]
)
def test_the_medians_worst_bias_is_the_minimax_one(poison: float, bias: float) -> None:
    """Huber 1964: the normal quantile of 1 / (2 (1 - f)) standard deviations, all poison above."""
    size = 200_000
    clean = round(size * (1 - poison))
    normal = np.array([NormalDist().inv_cdf((n + 0.5) / clean) for n in range(clean)])
    value = np.concatenate([normal, np.full(size - clean, 1e6)])
    found = Ordered.of(value, np.ones(size), np.zeros(size, np.int64), 1).median()
    assert found == pytest.approx(NormalDist().inv_cdf(1 / (2 * (1 - poison))), abs=1e-4)
    assert found == pytest.approx(bias, abs=1e-3)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=30), st.lists(st.floats(0, 12), max_size=30))
def test_distinct_values_and_places_are_those_of_numpy(ends: list[int], at: list[float]) -> None:
    for values in (np.array(at, np.float64), np.floor(np.array(at, np.float64))):
        times = distinct(np.array(ends, np.float64))
        assert times.tolist() == np.unique(ends).tolist()
        expected = np.searchsorted(times, values, side="right")
        assert places(times, values).tolist() == expected.tolist()
