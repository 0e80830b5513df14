"""The size of a network from its look-ups: right without an attack, and how an attack bends it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc
from scipy.stats import binom

from qisguard.identity.ids import ID_BITS, NodeId
from qisguard.lab.sizing import Inflation, SizeError, size_errors
from qisguard.node.size import (
    SIZE_MAX,
    chance_of_at_least,
    distance_ratio,
    estimate_size,
    radius,
)

K = 20


def _ids(rng: random.Random, count: int) -> list[NodeId]:
    return [NodeId(rng.getrandbits(ID_BITS)) for _ in range(count)]


def _errors(inflation: Inflation, repeats: int = 100) -> dict[str, SizeError]:
    rows = size_errors(25_000, K, 21, inflation, repeats, seed=1)
    return {row.estimator: row for row in rows}


@given(st.integers(1, 40), st.integers(0, 400), st.floats(0.0, 1.0))
def test_the_chance_of_a_count_is_the_binomial_one(count: int, more: int, share: float) -> None:
    wanted = binom.sf(count - 1, count + more, share)
    assert chance_of_at_least(count, count + more, share) == pytest.approx(wanted, abs=1e-9)


@given(st.integers(1, 40), st.floats(0.01, 1e6), st.floats(0.0, 1.0))
def test_it_is_the_incomplete_beta_function_between_whole_sizes(
    count: int, more: float, share: float
) -> None:
    wanted = betainc(count, more + 1, share)
    assert chance_of_at_least(count, count + more, share) == pytest.approx(wanted, abs=1e-8)


def test_look_ups_in_a_network_of_real_ids_tell_its_size() -> None:
    rng = random.Random(1)
    nodes = _ids(rng, 2_000)
    radii = []
    for target in _ids(rng, 41):
        nearest = sorted(nodes, key=lambda node: node ^ target)[:K]
        radii.append(radius(target, nearest, K))
    estimate = estimate_size(radii, K)
    assert estimate.low < 2_000 < estimate.high
    assert estimate.size == pytest.approx(2_000, rel=0.15)
    assert estimate.lookups == 41


def test_an_id_counts_once_and_the_order_does_not_matter() -> None:
    nodes = _ids(random.Random(2), 30)
    target = NodeId(0)
    once = radius(target, nodes, K)
    assert once == radius(target, [*reversed(nodes), *nodes], K)
    assert once == sorted(distance_ratio(target, node) for node in nodes)[K - 1]


def test_a_network_of_fewer_than_k_nodes_is_estimated_at_k() -> None:
    target, nodes = NodeId(5), _ids(random.Random(3), K - 1)
    assert estimate_size([radius(target, nodes, K)], K).size == pytest.approx(K)


def test_ids_on_top_of_the_target_are_a_huge_network_and_no_error() -> None:
    assert estimate_size([0.0], K).size == SIZE_MAX


@given(st.lists(st.floats(1e-9, 0.9), min_size=1, max_size=9), st.floats(0.1, 0.9))
def test_a_denser_neighbourhood_never_means_fewer_nodes(radii: list[float], by: float) -> None:
    before = estimate_size(radii, 8)
    after = estimate_size([value * by for value in radii], 8)
    assert after.size >= before.size
    assert before.low <= before.size <= before.high


@pytest.mark.parametrize(
    ("radii", "k", "level", "named"),
    [([], 20, 0.95, "radii: 0"), ([0.1], 0, 0.95, "k = 0"), ([0.1], 20, 1.0, "level = 1.0")],
)
def test_what_cannot_be_estimated_from_is_named(
    radii: list[float], k: int, level: float, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        estimate_size(radii, k, level)


def test_the_interval_covers_as_often_as_it_says() -> None:
    """800 fresh networks: 95 % of them, within three and a half standard errors."""
    row = _errors(Inflation(), repeats=800)["median"]
    assert row.covered
    assert 0.923 < row.covered.estimate < 0.977
    assert row.median == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_ends_of_one_look_up_s_interval_have_the_chances_that_it_says(level: float) -> None:
    estimate = estimate_size([8e-4], K, level)
    tail = (1 - level) / 2
    for size, chance in ((estimate.low, tail), (estimate.size, 0.5), (estimate.high, 1 - tail)):
        assert binom.sf(K - 1, round(size), 8e-4) == pytest.approx(chance, abs=2e-3)


def test_sybils_beside_us_inflate_what_our_own_siblings_tell() -> None:
    assert _errors(Inflation(sybils=45))["own siblings"].median > 20


def test_fewer_than_half_of_the_targets_move_the_median_little_and_the_mean_far() -> None:
    rows = _errors(Inflation(foreseen=4, sybils=45))
    assert 1.0 < rows["median"].median < rows["pooled"].median < 1.4
    assert rows["mean"].median > 10


def test_more_than_half_of_the_targets_move_the_median_without_bound() -> None:
    assert _errors(Inflation(foreseen=11, sybils=45))["median"].median > 5


def test_sybils_with_random_ids_are_counted_as_the_nodes_that_they_are() -> None:
    assert _errors(Inflation(spread=12_500))["median"].median == pytest.approx(1.5, abs=0.02)
