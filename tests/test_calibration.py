"""Thresholds reach the wanted ratio of false alarms on keys that they were not made of."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from qisguard.cli.calibrate import calibrate as command
from qisguard.defenses.scan_count import ScanCount
from qisguard.errors import ScenarioError
from qisguard.lab.calibration import (
    DETECTORS,
    Calibration,
    Task,
    believed_factors,
    cache_folder,
    calibrate,
    null_scores,
    with_threshold,
)
from qisguard.lab.detection import detection_rates
from qisguard.lab.statistics import wilson
from qisguard.plugins import Card

TASK = Task("scan_count", 25_000, 20, 0.05)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("n", [300, 25_000])
def test_the_ratio_is_reached_by_draws_of_another_seed(detector: str, n: int) -> None:
    """At most 5 % wanted; discrete scores may stop at some ratio below, and noise adds a little."""
    task = Task(detector, n, 20, 0.05)
    result = calibrate(task)
    others = null_scores(DETECTORS[detector](20), replace(task, seed=99), stream=0)
    alarms = wilson(int((others > result.threshold).sum()), len(others))
    assert 0.025 < alarms.estimate < 0.055
    assert abs(alarms.estimate - result.reached.estimate) < 0.006
    assert result.reached.low < result.reached.estimate < result.reached.high


def test_detection_without_sybils_reports_the_same_false_alarms() -> None:
    result = calibrate(TASK)
    detector = with_threshold(TASK, result)
    [row] = detection_rates({"scan": detector}, TASK.n, [0], 20_000, seed=7)
    assert row.threshold == result.threshold
    assert row.rate.low <= result.reached.high
    assert row.rate.high >= result.reached.low


def test_fewer_false_alarms_need_a_higher_threshold() -> None:
    thresholds = [calibrate(replace(TASK, wanted=wanted)).threshold for wanted in (0.2, 0.05, 0.02)]
    assert thresholds == sorted(thresholds)
    assert len(set(thresholds)) == 3


def test_an_uncertain_size_needs_a_higher_threshold() -> None:
    assert calibrate(replace(TASK, n_error=0.5)).threshold > calibrate(TASK).threshold + 1


def test_errors_of_the_size_lie_evenly_around_none() -> None:
    factors = believed_factors(0.2)
    assert np.log(factors).mean() == pytest.approx(0.0, abs=1e-12)
    assert np.log(factors).std() == pytest.approx(np.log(1.2), rel=0.06)
    assert believed_factors(0) == [1.0]


def test_the_same_seed_gives_the_same_calibration_and_another_seed_another() -> None:
    assert calibrate(TASK) == calibrate(TASK)
    assert calibrate(TASK).alarms != calibrate(replace(TASK, seed=2)).alarms


def test_alarms_are_counted_on_draws_that_the_threshold_was_not_made_of() -> None:
    result = calibrate(TASK)
    made, fresh = (null_scores(ScanCount(0.0), TASK, stream) for stream in (0, 1))
    assert not np.isin(made, fresh).all()
    assert (fresh > result.threshold).sum() == result.alarms != (made > result.threshold).sum()


def test_rounding_a_threshold_changes_no_verdict() -> None:
    result = calibrate(TASK)
    scores = null_scores(ScanCount(0.0), TASK, stream=1)
    rounded = float(f"{result.threshold:.4f}")
    assert ((scores > rounded) == (scores > result.threshold)).all()


def test_progress_counts_up_to_all_draws() -> None:
    told: list[tuple[str, int, int]] = []
    calibrate(TASK, progress=lambda *what: told.append(what))
    assert told[-1][1:] == (2 * TASK.draws, 2 * TASK.draws)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


# --- detectors that do not work ------------------------------------------------------------------
@dataclass(frozen=True)
class Broken:
    """Gives every key the same score."""

    score: float
    threshold: float = 0.0
    k: int = 20
    version: int = 1

    @property
    def card(self) -> Card:
        """Return the card of the detector that this one claims to be."""
        return ScanCount.card

    def scores(self, distances: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        """Return the same score for each row."""
        return np.full(len(distances), self.score)


def test_a_detector_without_finite_scores_is_not_calibrated() -> None:
    with pytest.raises(ValueError, match="scan_count: scores must be"):
        null_scores(Broken(float("nan")), TASK, stream=0)


def test_a_detector_that_sees_nothing_is_shown_to_detect_nothing() -> None:
    blind = replace(Broken(1.0), threshold=1.0)
    rows = detection_rates({"blind": blind}, 25_000, [0, 45], 500, seed=1)
    assert [row.alarms for row in rows] == [0, 0]
    assert rows[1].missed.low > 0.99


def test_a_detector_that_always_alarms_is_shown_to_have_no_honest_key_pass() -> None:
    [row] = detection_rates({"nervous": Broken(1.0)}, 25_000, [0], 500, seed=1)
    assert row.rate.low > 0.99


# --- the cache -----------------------------------------------------------------------------------
def _only(folder: Path) -> Path:
    [path] = folder.iterdir()
    return path


def test_a_calibration_is_kept_and_taken_from_the_cache(tmp_path: Path) -> None:
    first = calibrate(TASK, tmp_path)
    before = _only(tmp_path).stat().st_mtime_ns
    told: list[object] = []
    assert calibrate(TASK, tmp_path, lambda *what: told.append(what)) == first
    assert not told
    assert _only(tmp_path).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "change",
    [
        {"n": 24_999},
        {"k": 19},
        {"wanted": 0.06},
        {"n_error": 0.01},
        {"seed": 2},
        {"detector": "region_count"},
    ],
)
def test_every_parameter_has_a_file_of_its_own(change: dict[str, object], tmp_path: Path) -> None:
    calibrate(TASK, tmp_path)
    calibrate(replace(TASK, **change), tmp_path)  # type: ignore[arg-type] # one field each
    assert len(list(tmp_path.iterdir())) == 2


def test_a_new_version_of_a_detector_is_calibrated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate(TASK, tmp_path)
    monkeypatch.setitem(DETECTORS, "scan_count", lambda k: Broken(3.0, k=k, version=2))
    assert calibrate(TASK, tmp_path).threshold == 3.0


def _edited(data: bytes, field: str, value: object) -> bytes:
    held = json.loads(data)
    held["body"][field] = value
    return json.dumps(held).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: _edited(data, "threshold", 0.0),
        lambda data: _edited(data, "alarms", 0),
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"[1, 2]",
        lambda data: b"\xff\xfe",
        lambda data: b"[" * 100_000,
        lambda data: data.replace(b"25000", b"50000"),
    ],
)
def test_a_damaged_file_is_computed_again_and_mended(damage: "type[bytes]", tmp_path: Path) -> None:
    first = calibrate(TASK, tmp_path)
    path = _only(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert calibrate(TASK, tmp_path) == first
    assert path.read_bytes() == whole


def test_the_file_of_another_task_under_this_name_is_not_believed(tmp_path: Path) -> None:
    first = calibrate(TASK, tmp_path / "a")
    calibrate(replace(TASK, wanted=0.3), tmp_path / "b")
    _only(tmp_path / "a").write_bytes(_only(tmp_path / "b").read_bytes())
    assert calibrate(TASK, tmp_path / "a") == first


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert calibrate(TASK, tmp_path / "file" / "folder") == calibrate(TASK)


def test_the_cache_folder_follows_the_environment() -> None:
    ours = Path("qisguard", "calibration")
    assert cache_folder({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == "/c" / ours
    assert cache_folder({"XDG_CACHE_HOME": "c", "HOME": "/h"}) == "/h/.cache" / ours
    assert cache_folder({"HOME": "/h"}) == "/h/.cache" / ours


# --- the command ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("task", "named"),
    [
        (("scan_cuont", 25_000, 20, 0.05), "did you mean 'scan_count'"),
        (("scan_count", 39, 20, 0.05), "n = 39, must be 40 to"),
        (("scan_count", 25_000, 0, 0.05), "k = 0, must be 1 to 256"),
        (("scan_count", 25_000, 20, 0.6), r"false alarms = 0.6, must be 0.0001 to 0.5"),
        (("scan_count", 25_000, 20, float("nan")), "false alarms = nan"),
        (("scan_count", 25_000, 20, 0.05, -1.0), "n error = -1.0"),
    ],
)
def test_a_task_that_cannot_be_calibrated_names_field_value_and_range(
    task: tuple[str, int, int, float], named: str
) -> None:
    with pytest.raises(ScenarioError, match=named):
        Task(*task)


def _run(cache: Path, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [*arguments], env={"XDG_CACHE_HOME": str(cache)})


def test_the_command_prints_the_calibration_as_json_and_keeps_it(tmp_path: Path) -> None:
    asked = ("scan_count", "--n", "25000", "--k", "20", "--false-alarms", "0.05", "--json")
    done = _run(tmp_path, *asked)
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    wanted: Calibration = calibrate(TASK, tmp_path / "qisguard" / "calibration")
    assert printed["threshold"] == wanted.threshold
    assert (printed["alarms"], printed["draws"]) == (wanted.alarms, wanted.draws)
    assert printed["reached_low"] < printed["reached"] < printed["reached_high"]


def test_the_command_says_threshold_interval_and_seed_in_words(tmp_path: Path) -> None:
    done = _run(tmp_path, "region_count", "--n", "300", "--false-alarms", "0.05", "--n-error", ".1")
    assert done.exit_code == 0
    assert "300 nodes, k = 20, believed size off by 10%" in done.stdout
    assert "fresh keys, seed 1" in done.stdout
