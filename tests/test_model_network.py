"""Networks as arrays: ids, adversaries, tables that nobody stores."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import ScenarioError
from qisguard.lab.model import compiled
from qisguard.lab.model.closest import closest_nodes
from qisguard.lab.model.network import Network, build, draw_questions
from qisguard.lab.model.regions import crowded
from qisguard.lab.model.tables import bucket


@pytest.mark.parametrize("size", [2, 3, 1_000, 100_000])
def test_ids_ascend_and_the_index_says_where_each_prefix_begins(size: int) -> None:
    network = build(size, 0.25, 9)
    assert network.size == size
    assert (network.ids[1:] > network.ids[:-1]).all()
    assert network.adversary.sum() == round(size / 4)
    arrays = network.arrays
    prefixes = np.arange(1 << arrays.bits, dtype=np.uint64) << np.uint64(64 - arrays.bits)
    np.testing.assert_array_equal(arrays.first[:-1], np.searchsorted(network.ids, prefixes))
    assert arrays.first[-1] == size


def test_one_seed_builds_one_network_and_another_seed_another() -> None:
    one, same, other = (build(500, 0.1, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.ids, same.ids)
    np.testing.assert_array_equal(one.adversary, same.adversary)
    assert (one.ids != other.ids).any()


def test_a_million_nodes_take_sixteen_megabytes_or_so() -> None:
    network = build(1_000_000, 0.2, 1)
    held = sum(a.nbytes for a in network.arrays if isinstance(a, np.ndarray))
    assert held < 25_000_000


@pytest.mark.parametrize(
    ("name", "values", "range_"),
    [
        ("size", (1, 0.0, 1), "2 to 100000000"),
        ("adversary_ratio", (10, 1.5, 1), "0 to 1"),
        ("seed", (10, 0.5, -1), "0 to 18446744073709551615"),
    ],
)
def test_a_network_out_of_range_is_refused_by_name(
    name: str, values: tuple[int, float, int], range_: str
) -> None:
    with pytest.raises(ScenarioError, match=f"{name} = .*, must be {range_}"):
        build(*values)


def test_a_table_without_room_is_refused() -> None:
    with pytest.raises(ScenarioError, match="k = 0, must be 1 to 256"):
        build(10, 0.0, 1, k=0)
    with pytest.raises(ScenarioError, match="siblings = 0, must be 1 to 4096"):
        build(10, 0.0, 1, siblings=0)


def test_placed_ids_are_the_adversarys_and_sit_where_they_were_put() -> None:
    key = np.array([0x8000_0000_0000_0000], np.uint64)
    sybils = crowded(build(3_000, 0.0, 5), key, 20, 6)[0]
    network = build(3_000, 0.0, 5, placed=sybils)
    assert network.size == 3_020
    assert network.adversary.sum() == 20
    nearest = closest_nodes(network.arrays, key, 20, honest_only=False)[0]
    assert set(network.ids[nearest]) == set(sybils)
    assert network.adversary[nearest].all()


def test_a_placed_id_that_somebody_has_is_refused() -> None:
    taken = build(50, 0.0, 5).ids[7:8]
    with pytest.raises(ScenarioError, match=f"placed: id {int(taken[0]):#018x} is there twice"):
        build(50, 0.0, 5, placed=taken)


def test_only_honest_nodes_look_anything_up() -> None:
    network = build(300, 0.9, 1)
    assert not network.adversary[draw_questions(network, 500, 2).starts].any()
    with pytest.raises(ScenarioError, match="no honest node"):
        draw_questions(build(300, 1.0, 1), 1, 1)


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(2, 60),
    ratio=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1_000),
    target=st.integers(0, 2**64 - 1),
    count=st.integers(1, 70),
    honest_only=st.booleans(),
)
def test_the_closest_nodes_are_those_that_sorting_gives(
    size: int, ratio: float, seed: int, target: int, count: int, honest_only: bool
) -> None:
    network = build(size, ratio, seed)
    without = np.array([seed % size])
    found = closest_nodes(
        network.arrays,
        np.array([target], np.uint64),
        count,
        without=without,
        honest_only=honest_only,
    )[0]
    allowed = [
        position
        for position in range(size)
        if position != without[0] and not (honest_only and network.adversary[position])
    ]
    expected = sorted(allowed, key=lambda i: int(network.ids[i]) ^ target)[:count]
    assert found.tolist() == expected + [-1] * (count - len(expected))


def _members(network: Network, node: int, depth: int) -> list[int]:
    out = np.empty(network.k + network.siblings, np.int32)
    return [int(member) for member in out[: bucket(network.arrays, node, depth, out, 0)]]


def test_a_bucket_is_a_uniform_sample_of_its_range() -> None:
    """Chi-squared over 4,000 buckets of 8 from 64 cells: 63 degrees of freedom, p > 1e-4."""
    network = build(8_000, 0.0, 2, k=8, siblings=1)
    half = int(np.searchsorted(network.ids, np.uint64(1 << 63)))
    counts = np.zeros(64)
    for node in range(4_000):
        far = range(half, network.size) if node < half else range(half)
        members = _members(network, node, 0)
        assert len(set(members)) == 8
        assert set(members) <= set(far)
        for member in members:
            counts[(member - far.start) * 64 // len(far)] += 1
    expected = counts.sum() / 64
    assert ((counts - expected) ** 2 / expected).sum() < 117


def test_honest_tables_hold_adversaries_in_their_proportion() -> None:
    network = build(4_000, 0.3, 3)
    held = [m for node in range(0, 4_000, 10) for d in range(6) for m in _members(network, node, d)]
    assert network.adversary[held].mean() == pytest.approx(0.3, abs=0.02)


def test_machine_code_is_kept_beside_the_sources_that_it_was_made_from() -> None:
    sources = sorted(Path(compiled.__file__).parent.glob("*.py"))
    assert len(sources) > 8
    assert compiled.FOLDER.name == f"model-{compiled.digest_of(sources)}"
    assert compiled.digest_of(sources) != compiled.digest_of(sources[1:])
