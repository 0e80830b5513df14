"""Detectors of ids that crowd around a key compute what they say, and flag what they should."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, entropy, kstest, poisson

from qisguard.defenses import DEFENSES
from qisguard.defenses.closeness import distances_of, prefix_lengths
from qisguard.defenses.distance_scan import DistanceScan
from qisguard.defenses.kl_detector import KlDetector, expected_prefixes
from qisguard.defenses.region_count import RegionCount
from qisguard.defenses.scan_count import ScanCount
from qisguard.errors import ScenarioError
from qisguard.identity.ids import ID_BITS, NodeId, shared_prefix
from qisguard.lab.demo.scenario import load_scenario, packaged
from qisguard.lab.keyspace import Detector, honest_ids, view_size, with_closest
from qisguard.plugins import Card, Inspects

N, K = 25_000, 20
OURS: dict[str, Detector] = {
    "kl_detector": KlDetector(),
    "scan_count": ScanCount(6.7),
    "distance_scan": DistanceScan(7.4),
    "region_count": RegionCount(),
}
ids = st.integers(0, (1 << ID_BITS) - 1).map(NodeId)
COUNTING = [name for name in OURS if name != "kl_detector"]


def _keys(rows: int, seed: int = 1, sybils: int = 0) -> np.ndarray[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    return with_closest(honest_ids(N, view_size(N, K, N), rows, rng), sybils, rng)


@pytest.mark.parametrize("name", OURS)
def test_a_detector_is_registered_under_the_id_of_its_card_and_fills_its_seam(name: str) -> None:
    detector = OURS[name]
    assert DEFENSES[name] is type(detector)
    assert detector.card.id == name
    assert all(getattr(detector.card, word) for word in Card.__slots__)
    assert isinstance(detector, Inspects)


@pytest.mark.parametrize("name", OURS)
def test_a_scenario_that_would_never_ask_a_detector_refuses_it(name: str) -> None:
    text = packaged("demo.toml").decode()
    assert "defenses = [" in text
    changed = text.replace("defenses = [", f'defenses = ["{name}", ', 1)
    with pytest.raises(ScenarioError, match=f"'{name}' inspects the ids around a key"):
        load_scenario(changed.encode())


# --- the null distribution -----------------------------------------------------------------------
@pytest.mark.parametrize(("n", "k"), [(5, 3), (6, 2), (4, 4)])
def test_expected_prefixes_are_those_of_every_way_ids_can_fall(n: int, k: int) -> None:
    """Brute force: each id shares p bits with chance 2^-(p+1); all combinations up to depth 4."""
    depth = 4
    chances = [2.0 ** -(p + 1) for p in range(depth)] + [2.0**-depth]
    wanted = np.zeros(depth + 1)
    for way in itertools.product(range(depth + 1), repeat=n):
        chance = float(np.prod([chances[p] for p in way]))
        for p in sorted(way, reverse=True)[:k]:
            wanted[p] += chance / k
    found = expected_prefixes(n, k)
    assert found[:depth] == pytest.approx(wanted[:depth], abs=1e-12)
    assert found[depth:].sum() == pytest.approx(wanted[depth], abs=1e-12)


@pytest.mark.parametrize("rank", [1, 7, 20])
@pytest.mark.parametrize("n", [20, 60, 25_000])
def test_drawn_distances_follow_the_law_of_ordered_uniform_ids(n: int, rank: int) -> None:
    drawn = honest_ids(n, 20, 4_000, np.random.default_rng(rank))[:, rank - 1]
    assert kstest(drawn, beta(rank, n - rank + 1).cdf).pvalue > 0.001


def test_the_view_holds_everyone_in_the_region_even_when_the_size_is_believed_too_small() -> None:
    for believed in (N, N / 4):
        drawn = honest_ids(N, view_size(N, K, believed), 4_000, np.random.default_rng(5))
        assert (drawn[:, -1] > K / believed).all()


# --- the scores ----------------------------------------------------------------------------------
def test_the_divergence_is_the_textbook_one() -> None:
    rows = _keys(15)
    for row, score in zip(rows, KlDetector().scores(rows, N), strict=True):
        counts = Counter(prefix_lengths(row[:K]).tolist())
        observed = np.array([counts[p] / K for p in range(ID_BITS + 1)])
        assert score == pytest.approx(entropy(observed, expected_prefixes(N, K)))


@pytest.mark.parametrize("sybils", [0, 6, 30])
def test_the_scan_is_the_maximum_over_every_prefix_length(sybils: int) -> None:
    rows = _keys(15, sybils=sybils)
    for row, score in zip(rows, ScanCount(1.0).scores(rows, N), strict=True):
        lengths = prefix_lengths(row[:K])
        wanted = max(
            -poisson.logsf((lengths >= p).sum() - 1, N * 2.0**-p) for p in range(ID_BITS + 1)
        )
        assert score == pytest.approx(wanted, abs=1e-9)


def test_the_distance_scan_is_the_maximum_over_every_rank() -> None:
    rows = _keys(15, sybils=4)
    for row, score in zip(rows, DistanceScan(1.0).scores(rows, N), strict=True):
        wanted = max(-poisson.logsf(i, N * row[i]) for i in range(K))
        assert score == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("sybils", [0, 25])
def test_the_region_count_is_the_exact_binomial_test(sybils: int) -> None:
    rows = _keys(15, sybils=sybils)
    for row, score in zip(rows, RegionCount().scores(rows, N), strict=True):
        count = int((row < K / N).sum())
        assert np.exp(-score) == pytest.approx(binomtest(count, N, K / N, "greater").pvalue)


def test_the_region_of_a_network_of_k_nodes_is_everything_and_surprises_nobody() -> None:
    everyone = honest_ids(K, K, 10, np.random.default_rng(1))
    assert RegionCount().scores(everyone, K) == pytest.approx(0.0)
    assert RegionCount().scores(np.ones((1, K)), 10 * K) == pytest.approx(0.0)


def test_the_default_region_threshold_keeps_its_promise_on_honest_keys() -> None:
    flagged = (RegionCount().scores(_keys(40_000), N) > RegionCount().threshold).mean()
    assert 0.003 < flagged <= 0.01


@pytest.mark.parametrize("name", COUNTING)
@given(seed=st.integers(0, 1_000), moved=st.integers(0, K - 1), by=st.floats(0.0, 0.99))
def test_an_id_that_moves_closer_never_calms_a_counting_detector(
    name: str, seed: int, moved: int, by: float
) -> None:
    before = _keys(1, seed)
    after = before.copy()
    after[0, moved] *= by
    after.sort(axis=1)
    detector = OURS[name]
    assert detector.scores(after, N)[0] >= detector.scores(before, N)[0] - 1e-12


@pytest.mark.parametrize("name", ["scan_count", "distance_scan"])
def test_a_scan_that_believes_in_a_larger_network_is_calmer(name: str) -> None:
    rows = _keys(150, sybils=12)
    scores = [OURS[name].scores(rows, N * factor) for factor in (1.0, 1.3, 2.0, 5.0)]
    for more, less in itertools.pairwise(scores):
        assert (less <= more + 1e-12).all()


# --- real ids ------------------------------------------------------------------------------------
@given(ids, st.lists(ids, min_size=1, max_size=8, unique=True))
def test_prefix_lengths_of_distances_are_those_of_the_ids(
    target: NodeId, found: list[NodeId]
) -> None:
    """A float has 53 bits: an id that differs from the key by 54 ones in a row is rounded up."""
    rounded = any("1" * 53 in f"{target ^ identifier:b}" for identifier in found)
    wanted = sorted((shared_prefix(target, identifier) for identifier in found), reverse=True)
    assert rounded or prefix_lengths(distances_of(target, found))[0].tolist() == wanted


@pytest.mark.parametrize("name", OURS)
def test_a_detector_is_calm_about_honest_ids_and_flags_sybils_around_the_key(name: str) -> None:
    rng = random.Random(4)
    detector = OURS[name]
    assert isinstance(detector, Inspects)
    nodes = [NodeId(rng.getrandbits(ID_BITS)) for _ in range(3_000)]
    target = NodeId(rng.getrandbits(ID_BITS))
    region = sorted(nodes, key=lambda node: node ^ target)[:60]
    assert detector.inspect(target, region, 3_000) is None
    bits = (target ^ region[0]).bit_length() - 1
    sybils = [NodeId(target ^ rng.getrandbits(bits)) for _ in range(45)]
    found = sorted([*region, *sybils], key=lambda node: node ^ target)
    flag = detector.inspect(target, found, 3_000)
    assert flag
    assert "ids crowd around the key" in flag.reason
    assert "in a network of 3000" in flag.reason


def test_an_id_that_is_told_twice_is_one_id() -> None:
    found = [NodeId(i << (ID_BITS - 16)) for i in range(1, K + 1)]
    assert distances_of(NodeId(0), found * 2).tolist() == distances_of(NodeId(0), found).tolist()


def test_a_score_of_exactly_the_threshold_raises_no_flag() -> None:
    found = [NodeId(i << (ID_BITS - 16)) for i in range(1, K + 1)]
    score = float(ScanCount(0.0).scores(distances_of(NodeId(0), found), N)[0])
    assert ScanCount(score).inspect(NodeId(0), found, N) is None
    assert ScanCount(np.nextafter(score, 0)).inspect(NodeId(0), found, N)


@pytest.mark.parametrize("name", ["kl_detector", "scan_count", "distance_scan"])
def test_fewer_ids_than_k_are_no_evidence(name: str) -> None:
    detector = OURS[name]
    assert isinstance(detector, Inspects)
    assert detector.inspect(NodeId(0), [NodeId(i) for i in range(1, K)] * 2, N) is None
    assert detector.inspect(NodeId(0), [NodeId(i) for i in range(1, K + 1)], N)


@pytest.mark.parametrize("name", ["kl_detector", "scan_count", "distance_scan"])
def test_a_detector_that_is_shown_too_few_columns_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="distances: shape"):
        OURS[name].scores(np.full((2, K - 1), 0.5), N)


@pytest.mark.parametrize(("k", "threshold"), [(0, 1.0), (257, 1.0), (20, -0.1), (20, float("inf"))])
def test_parameters_that_no_detector_can_have_are_refused(k: int, threshold: float) -> None:
    for kind in (KlDetector, ScanCount, DistanceScan, RegionCount):
        with pytest.raises(ValueError, match="must be"):
            kind(k=k, threshold=threshold)
