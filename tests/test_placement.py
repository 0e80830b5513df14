"""The attacker who knows the detector wins as many places as can be won, and no flag."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from qisguard.defenses.distance_scan import DistanceScan
from qisguard.defenses.kl_detector import KlDetector
from qisguard.defenses.region_count import RegionCount
from qisguard.defenses.scan_count import ScanCount
from qisguard.lab.keyspace import Detector, honest_ids, view_size
from qisguard.lab.placement import active_censorship, evade

N, K = 25_000, 20
DETECTORS: dict[str, Detector] = {
    "kl": KlDetector(),
    "scan": ScanCount(4.24),
    "distance": DistanceScan(5.07),
    "region": RegionCount(threshold=3.16),
}
SMALL: dict[str, Detector] = {
    "kl": KlDetector(k=5, threshold=0.6),
    "scan": ScanCount(2.5, k=5),
    "distance": DistanceScan(2.5, k=5),
    "region": RegionCount(k=5, threshold=1.5),
}


def _keys(rows: int, k: int = K, seed: int = 1) -> NDArray[np.float64]:
    return honest_ids(N, view_size(N, k, N), rows, np.random.default_rng(seed))


@pytest.mark.parametrize("name", DETECTORS)
def test_placed_sybils_are_among_the_closest_within_budget_and_raise_no_flag(name: str) -> None:
    detector = DETECTORS[name]
    won = []
    for budget, honest in zip(itertools.cycle([3, 45]), _keys(20), strict=False):
        placed = evade(detector, honest, N, K, budget)
        won.append(len(placed.distances))
        assert won[-1] <= min(budget, K)
        everyone = np.sort(np.append(honest, placed.distances))
        assert max(placed.distances, default=0.0) < honest[K - won[-1]]
        score = float(detector.scores(everyone[None], N)[0])
        assert score == pytest.approx(placed.score)
        assert score <= detector.threshold or not placed.distances
    assert max(won) > 3


@pytest.mark.parametrize("name", DETECTORS)
def test_no_placement_of_one_more_sybil_passes(name: str) -> None:
    """Brute force over every way to put s + 1 ids into octaves, k = 5."""
    small = SMALL[name]
    seen = set()
    for honest in _keys(25, k=5):
        won = len(evade(small, honest, N, 5, 45).distances)
        seen.add(won)
        if won == 5:
            continue
        limit = honest[5 - (won + 1)]
        octaves = 2.0 ** np.floor(np.log2(limit)) * 0.5 ** np.arange(7)
        cells = np.append(octaves * 0.75, [limit * (1 - 1 / 128), 5 / N * 1.001])
        cells = cells[cells < limit]
        for way in itertools.combinations_with_replacement(cells, won + 1):
            everyone = np.sort(np.append(honest, way))[None]
            assert small.scores(everyone, N)[0] > small.threshold
    assert len(seen) > 1


def test_the_attacker_finds_a_sliver_between_the_region_and_the_next_honest_id() -> None:
    """Two ids just outside the region cost nothing; a little nearer they would be counted."""
    region = 5 / N
    honest = np.array([0.2, 0.4, 0.6, 1.001, 1.5, 1.7, 1.9, 2.1]) * region
    placed = evade(RegionCount(k=5, threshold=0.3), honest, N, 5, 45)
    assert len(placed.distances) == 2
    assert all(region <= distance < 1.001 * region for distance in placed.distances)


def test_without_a_threshold_to_fear_every_place_is_won() -> None:
    for honest in _keys(3):
        assert len(evade(ScanCount(700.0), honest, N, K, 45).distances) == K


def test_against_a_detector_that_flags_everything_no_place_is_won() -> None:
    for honest in _keys(3):
        placed = evade(KlDetector(threshold=0.0), honest, N, K, 45)
        assert (placed.distances, placed.hashes) == ((), 0.0)


def test_a_lower_threshold_leaves_fewer_places() -> None:
    for honest in _keys(10):
        won = [
            len(evade(DistanceScan(threshold), honest, N, K, 45).distances)
            for threshold in (3.0, 5.0, 9.0, 20.0)
        ]
        assert won == sorted(won)


def test_every_place_that_is_won_costs_hashes() -> None:
    for honest in _keys(5):
        placed = evade(DETECTORS["scan"], honest, N, K, 45)
        assert placed.hashes >= len(placed.distances) / honest[K - 1]


def test_a_neighbourhood_that_shows_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="honest: 20 ids, must be more than places = 20"):
        evade(KlDetector(), _keys(1)[0, :20], N, K, 45)


def test_the_evaded_detector_flags_only_keys_that_honest_ids_made_suspect() -> None:
    result = active_censorship(DETECTORS["kl"], N, 30, 3, 45, DETECTORS)
    honest = DETECTORS["kl"].scores(honest_ids(N, 66, 30, np.random.default_rng([3, N])), N)
    assert result.flagged["kl"] <= (honest > DETECTORS["kl"].threshold).sum()
    assert result.at_least(0).estimate == 1.0
    assert result.share.low <= np.mean(result.places) / K <= result.share.high
    assert result.flagged_by("region").estimate == result.flagged["region"] / 30
    again = active_censorship(DETECTORS["kl"], N, 30, 3, 45, DETECTORS)
    assert result == again


def test_the_distance_scan_leaves_the_attacker_fewer_places_than_the_divergence() -> None:
    won = {
        name: sum(active_censorship(DETECTORS[name], N, 30, 3, 45, {}).places)
        for name in ("kl", "distance")
    }
    assert won["distance"] < 0.8 * won["kl"]


def test_a_detector_that_believes_in_too_large_a_network_leaves_more_places() -> None:
    won = [
        sum(active_censorship(DETECTORS["distance"], N, 30, 3, 45, {}, believed=size).places)
        for size in (N, 1.3 * N, 2.0 * N)
    ]
    assert won == sorted(set(won))
