"""Censorship of a key by the ids closest to it, and what region store and read do about it."""

import numpy as np
import pytest

from qisguard.errors import ScenarioError
from qisguard.lab.model.network import build
from qisguard.lab.model.regions import (
    Neighbourhoods,
    Rule,
    chosen,
    crowded,
    estimated_sizes,
    neighbourhoods,
    readable,
    see,
)
from qisguard.lab.model.space import Flags

K = 20
SIZE = 25_000
NETWORK = build(SIZE, 0.0, 1)
KEYS = np.random.Generator(np.random.PCG64(2)).integers(0, 2**64 - 1, 400, np.uint64)
KNOWN = np.full(KEYS.size, float(SIZE))


def _around(sybil_count: int) -> Neighbourhoods:
    sybils = crowded(NETWORK, KEYS, sybil_count, 3) if sybil_count else None
    return neighbourhoods(NETWORK, KEYS, 100, sybils)


def _read_back(nearby: Neighbourhoods, rule: Rule, sizes: np.ndarray = KNOWN) -> Flags:
    places = chosen(nearby, rule, K, sizes)
    return readable(nearby, places, places)


def test_rows_are_sorted_and_name_the_sybils_first() -> None:
    nearby = _around(15)
    assert nearby.distance.shape == (400, 115)
    assert (nearby.distance[:, 1:] > nearby.distance[:, :-1]).all()
    assert nearby.adversary[:, :15].all()
    assert not nearby.adversary[:, 15:].any()


@pytest.mark.parametrize(("sybils", "share"), [(0, 1.0), (19, 1.0), (20, 0.0), (45, 0.0)])
def test_as_many_sybils_as_replicas_censor_every_key(sybils: int, share: float) -> None:
    """With exact look-ups it is all or nothing; real ones miss nodes, see below."""
    assert _read_back(_around(sybils), Rule.CLOSEST).mean() == share


@pytest.mark.parametrize("rule", [Rule.SUBTREE, Rule.RADIUS])
@pytest.mark.parametrize("sybils", [15, 20, 45])
def test_storing_and_reading_by_region_gets_every_record_back(rule: Rule, sybils: int) -> None:
    assert _read_back(_around(sybils), rule).all()


def test_a_region_holds_the_nodes_that_it_should() -> None:
    nearby = _around(0)
    radius = chosen(nearby, Rule.RADIUS, K, KNOWN).sum(axis=1)
    subtree = chosen(nearby, Rule.SUBTREE, K, KNOWN).sum(axis=1)
    depth = np.floor(np.log2(SIZE / K))
    inside = (NETWORK.ids[:, None] ^ KEYS[None, :20]) >> np.uint64(64 - int(depth)) == 0
    np.testing.assert_array_equal(subtree[:20], np.maximum(inside.sum(axis=0), K))
    assert radius.mean() == pytest.approx(21.7, abs=0.5)  # k expected, and never fewer
    assert subtree.mean() == pytest.approx(SIZE / 2**depth, rel=0.05)


def test_nobody_chooses_fewer_than_the_closest() -> None:
    for rule in Rule:
        for size in (1.0, 1e4, 1e12):
            places = chosen(_around(0), rule, K, np.full(KEYS.size, size))
            assert places[:, :K].all()


def test_the_density_beside_a_key_says_how_many_nodes_there_are() -> None:
    sizes = estimated_sizes(_around(0), 50)
    assert sizes.mean() == pytest.approx(SIZE, rel=0.03)


def test_sybils_beside_a_key_shrink_a_region_that_is_estimated_there() -> None:
    """The estimate counts them; where it is taken elsewhere they change nothing."""
    nearby = _around(45)
    fooled = estimated_sizes(nearby, K)
    assert np.median(fooled) > 10 * SIZE
    assert _read_back(nearby, Rule.SUBTREE, fooled).mean() < 0.1
    assert _read_back(nearby, Rule.SUBTREE, estimated_sizes(_around(0), K)).all()


def test_look_ups_that_miss_nodes_leave_some_keys_readable() -> None:
    """Writer and reader see four of five honest nodes, and every Sybil."""
    shares = []
    for sybils in (10, 19, 20):
        nearby = _around(sybils)
        held = chosen(nearby, Rule.CLOSEST, K, KNOWN, see(nearby, 0.8, 4))
        read = chosen(nearby, Rule.CLOSEST, K, KNOWN, see(nearby, 0.8, 5))
        assert (held.sum(axis=1) == K).all()
        shares.append(readable(nearby, held, read).mean())
    assert shares[0] == 1.0
    assert shares[1] == pytest.approx(0.667, abs=0.07)  # p/(2 - p): both see the same one first
    assert shares[2] == 0.0


def test_a_look_up_sees_each_kind_of_node_as_often_as_it_is_told() -> None:
    nearby = _around(45)
    seen = see(nearby, 0.8, 4, adversary_ratio=0.5)
    assert seen[nearby.adversary].mean() == pytest.approx(0.5, abs=0.02)
    assert seen[~nearby.adversary].mean() == pytest.approx(0.8, abs=0.02)


def test_adversaries_of_the_network_itself_keep_nothing() -> None:
    network = build(2_000, 1.0, 1)
    nearby = neighbourhoods(network, KEYS, 40)
    places = chosen(nearby, Rule.SUBTREE, K, np.full(KEYS.size, 2_000.0))
    assert not readable(nearby, places, places).any()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ScenarioError, match="width = 25001, must be 1 to the 25000 nodes"):
        neighbourhoods(NETWORK, KEYS, 25_001)
    with pytest.raises(ScenarioError, match="sybils = 5, must fit between"):
        crowded(NETWORK, NETWORK.ids[:1] ^ np.uint64(3), 5, 1)
