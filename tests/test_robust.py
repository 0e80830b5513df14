"""Robust locations agree with independent implementations and hold still where they promise to."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from qisguard.outcomes.estimate import issuer_estimate
from qisguard.outcomes.issuers import Differences, trimmed_mean
from qisguard.outcomes.robust import (
    ACROSS,
    HUBER_K,
    Floats,
    deviation,
    fewest_turned,
    huber,
    huber_shares,
    median_of_means_shares,
    weighted_median,
)
from qisguard.outcomes.survivals import Survivals
from qisguard.outcomes.synthesis import SynthesisConfig
from tests.packets import columns, template

numbers = st.floats(-50, 50).map(lambda number: round(number, 2))
weights = st.integers(0, 4).map(float)
rows = st.lists(st.tuples(numbers, weights), min_size=1, max_size=25).filter(
    lambda pairs: any(weight for _, weight in pairs)
)
ROUNDING = 1e-9


def apart(pairs: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    value, weight = np.array(pairs).T
    return value, weight


@pytest.mark.parametrize("name", ACROSS)
@settings(max_examples=50, deadline=None)
@given(pairs=rows, shift=numbers, stretch=st.sampled_from([0.1, 1.0, 7.0]))
def test_shares_are_those_of_a_location(
    name: str, pairs: list[tuple[float, float]], shift: float, stretch: float
) -> None:
    value, weight = apart(pairs)
    shares = ACROSS[name](value, weight)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1.0)
    assert (shares[weight == 0] == 0).all()
    moved = value * stretch + shift
    location = ACROSS[name](moved, weight) @ moved
    assert location == pytest.approx(shares @ value * stretch + shift, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in ACROSS if name != "median-of-means"])
@settings(max_examples=50, deadline=None)
@given(pairs=rows, order=st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(
    name: str, pairs: list[tuple[float, float]], order: random.Random
) -> None:
    value, weight = apart(pairs)
    place = list(range(len(value)))
    order.shuffle(place)
    shares = ACROSS[name](value, weight)
    assert ACROSS[name](value[place], weight[place]) == pytest.approx(shares[place], abs=ROUNDING)


@settings(max_examples=50, deadline=None)
@given(pairs=rows)
def test_a_weight_of_three_is_three_equal_values(pairs: list[tuple[float, float]]) -> None:
    value, weight = apart(pairs)
    many = np.repeat(value, weight.astype(int))
    ones = np.ones(len(many))
    assert weighted_median(value, weight) == pytest.approx(np.median(many), abs=ROUNDING)
    spread = stats.median_abs_deviation(many)
    assert deviation(value, weight)[1] == pytest.approx(spread, abs=ROUNDING)
    assert huber(value, weight, 2.0) == pytest.approx(huber(many, ones, 2.0), abs=ROUNDING)


@settings(max_examples=50, deadline=None)
@given(values=st.lists(numbers, min_size=1, max_size=30), cut=st.integers(0, 14))
def test_the_trimmed_mean_is_scipys(values: list[float], cut: int) -> None:
    value = np.array(values)
    cut = min(cut, (len(value) - 1) // 2)
    ours = trimmed_mean(value, np.ones(len(value)), cut / len(value))
    assert ours == pytest.approx(stats.trim_mean(value, cut / len(value) + ROUNDING), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(pairs=rows, scale=st.sampled_from([0.05, 1.0, 20.0]))
def test_hubers_location_is_where_psi_adds_up_to_nothing(
    pairs: list[tuple[float, float]], scale: float
) -> None:
    """Oracle: a root finder on the equation of Huber 1964; only where the root is one point."""
    value, weight = apart(pairs)

    def pull(place: float) -> float:
        return float(weight @ np.clip((value - place) / scale, -HUBER_K, HUBER_K))

    found = huber(value, weight, scale)
    assert pull(found) == pytest.approx(0.0, abs=1e-7)
    slope = weight @ (np.abs(value - found) < HUBER_K * scale)
    if slope:
        root = brentq(pull, value.min() - 1, value.max() + 1, xtol=1e-12)
        assert found == pytest.approx(root, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(pairs=rows)
def test_hubers_shares_give_hubers_location(pairs: list[tuple[float, float]]) -> None:
    value, weight = apart(pairs)
    scale = deviation(value, weight)[1] * 1.482602218505602
    shares = huber_shares(value, weight)
    wanted = huber(value, weight, scale) if scale else weighted_median(value, weight)
    assert shares @ value == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "turned"),
    [("median", 9), ("weighted-median", 9), ("huber", 9), ("median-of-means", 3)],
)
def test_a_minority_cannot_drag_the_location_anywhere(name: str, turned: int) -> None:
    """Up to ``turned`` of 20 issuers, all of one block where blocks are the unit."""
    value, weight = np.linspace(-1, 1, 20), np.ones(20)
    for place in (1e3, 1e9):
        lied = value.copy()
        lied[:turned] = place
        assert abs(ACROSS[name](lied, weight) @ lied) < 20


def test_blocks_are_dealt_in_turn_to_those_that_have_weight() -> None:
    value = np.array([9.0, 1, 2, 3, 5, 6, 70])
    weight = np.array([0.0, 1, 1, 1, 1, 3, 1])
    shares = median_of_means_shares(value, weight, blocks=3)  # {1, 5}, {2, 6 6 6}, {3, 70}
    assert shares.tolist() == [0, 0, 0.25, 0, 0, 0.75, 0]


def test_the_median_counts_issuers_alike_and_the_weighted_median_does_not() -> None:
    value, weight = np.array([0.0, 1, 2]), np.array([10.0, 1, 1])
    assert ACROSS["median"](value, weight) @ value == 1.0
    assert ACROSS["weighted-median"](value, weight) @ value == 0.0


def test_more_than_half_alike_leaves_no_scale_and_the_median() -> None:
    assert huber_shares(np.array([1.0, 1, 1, 9]), np.ones(4)) @ [1.0, 1, 1, 9] == 1.0


def found_by(value: list[float]) -> Differences:
    told = np.array(value)
    return Differences(
        np.arange(len(told)), np.stack([told, 0 * told]), told, np.full(len(told), 2.0)
    )


@pytest.mark.parametrize(
    ("name", "turned"), [("median", 10), ("huber", 10), ("median-of-means", 4)]
)
def test_the_fewest_issuers_that_reverse_a_decision_are_searched(name: str, turned: int) -> None:
    size, share = fewest_turned(found_by([0.2 + 0.01 * i for i in range(20)]), ACROSS[name], 1.0)
    assert (size, share) == (turned, turned / 20)


def test_an_unknown_estimator_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="across = 'mode', must be one of trimmed-mean, median,"):
        SynthesisConfig(across="mode")


def covers(rng: np.random.Generator, names: list[str]) -> list[bool]:
    """Return whether each estimator's interval holds the difference, .1, of one sample."""
    issuer, arm = np.repeat(np.arange(20), 40), np.tile([0, 1], 400)
    alive = rng.random(800) < rng.normal(0.6, 0.05, 20)[issuer] - 0.1 * arm
    votes = columns(arm.tolist(), np.where(alive, 900, 100), (~alive).tolist(), issuer.tolist(), 20)
    ones = np.ones(800)
    tally = Survivals.of(votes, ones, template().outcome, 730)
    told = [issuer_estimate(tally, 0.3, name) for name in names]
    return [answer.low <= 0.1 <= answer.high for answer in told]


def test_intervals_across_issuers_hold_the_truth_as_often_as_they_say() -> None:
    """A median's would in three of four samples, from leaving one issuer out."""
    rng, names = np.random.default_rng(5), ["median", "weighted-median", "huber"]
    held = np.array([covers(rng, names) for _ in range(200)]).mean(axis=0)
    assert (held >= 0.91).all(), dict(zip(names, held, strict=True))
