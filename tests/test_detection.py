"""What detectors notice of Sybils that sit closest to a key."""

import math

import pytest

from qisguard.defenses.distance_scan import DistanceScan
from qisguard.defenses.kl_detector import KlDetector
from qisguard.defenses.region_count import RegionCount
from qisguard.defenses.scan_count import ScanCount
from qisguard.lab.calibration import Task, calibrate, with_threshold
from qisguard.lab.detection import Comparison, compare, detection_rates
from qisguard.lab.keyspace import Detector

N = 25_000
WANTED = 0.044
DETECTORS: dict[str, Detector] = {
    "kl": KlDetector(),
    "scan": ScanCount(6.7),
    "distance": DistanceScan(7.4),
    "region": RegionCount(),
}


@pytest.mark.parametrize("name", DETECTORS)
def test_more_sybils_are_noticed_more_often(name: str) -> None:
    rows = detection_rates({name: DETECTORS[name]}, N, [0, 4, 8, 16, 45], 2_000, seed=1)
    alarms = [row.alarms for row in rows]
    assert alarms == sorted(alarms)
    assert rows[0].rate.high < 0.02
    assert rows[-1].missed.high < 0.005


def test_one_row_for_each_detector_and_number_of_sybils_and_the_same_for_the_same_seed() -> None:
    rows = detection_rates(DETECTORS, N, [0, 5], 500, seed=3)
    assert [(row.detector, row.sybils) for row in rows] == [
        (name, sybils) for sybils in (0, 5) for name in DETECTORS
    ]
    assert rows == detection_rates(DETECTORS, N, [0, 5], 500, seed=3)
    assert rows != detection_rates(DETECTORS, N, [0, 5], 500, seed=4)
    assert all(row.alarms + round(row.missed.estimate * row.draws) == row.draws for row in rows)


@pytest.mark.parametrize("name", DETECTORS)
def test_who_believes_in_too_large_a_network_notices_less(name: str) -> None:
    told = {name: DETECTORS[name]}
    [right] = detection_rates(told, N, [10], 2_000, seed=1)
    [wrong] = detection_rates(told, N, [10], 2_000, seed=1, believed=2.0 * N)
    if name == "kl":  # it compares shapes: a wrong size looks strange to it in either direction
        assert wrong.alarms > 0.5 * wrong.draws
    else:
        assert wrong.alarms < 0.9 * right.alarms


def test_at_equal_false_alarms_the_scan_misses_at_most_half_of_what_the_divergence_misses() -> None:
    """Five Sybils; thresholds from the null alone."""
    made = []
    for name in ("scan_count", "kl_detector"):
        task = Task(name, N, 20, WANTED)
        made.append(with_threshold(task, calibrate(task)))
    result = compare(made[0], made[1], N, 5, 8_000, seed=2)
    assert result.missed_ratio.high < 0.55


def test_a_comparison_counts_what_rates_count() -> None:
    one, two = DETECTORS["scan"], DETECTORS["kl"]
    result = compare(one, two, N, 6, 1_000, seed=5)
    rows = detection_rates({"scan": one, "kl": two}, N, [6], 1_000, seed=5)
    assert [row.draws - row.alarms for row in rows] == [result.first_missed, result.second_missed]
    assert result.both_missed <= min(result.first_missed, result.second_missed)


def test_a_ratio_of_misses_has_an_interval_and_is_unbounded_without_misses() -> None:
    ratio = Comparison(5, 1_000, 50, 100, 40).missed_ratio
    assert (ratio.estimate, ratio.low < 0.5 < ratio.high) == (0.5, True)
    assert Comparison(5, 1_000, 0, 10, 0).missed_ratio.high == math.inf
    assert Comparison(5, 1_000, 7, 7, 7).missed_ratio.low == 1.0
