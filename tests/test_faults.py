"""The reliability scripts in short: targets are met, and a failure says how to have it again.

Every test here goes through ``Experiment.demand``, which raises with the command that replays the
seed when a target is missed or a trial raises.
"""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qisguard.lab import virtual

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "benchmarks" / "reliability"


def load(script: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a script as a module; scripts find each other in their own folder."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module(script)


def demand(script: str, line: str, monkeypatch: pytest.MonkeyPatch, seed: int = 1) -> Any:
    """Run one seed of a script; raise with its replay line unless it meets its targets."""
    experiment, options = load(script, monkeypatch).experiment(line.split())
    return experiment.demand(options, seed)


def test_look_ups_succeed_when_datagrams_are_lost_doubled_late_and_damaged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = "loss --nodes 24 --look-ups 40 --loss 0.05"
    trial = demand("faults", line, monkeypatch)
    assert trial.counts["look-ups"] == (40, 40)
    assert trial.figures["lost"] > 100


@pytest.mark.parametrize("kind", ["halves", "island", "one way"])
def test_both_sides_of_a_cut_find_each_other_within_a_minute_of_its_end(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("faults", monkeypatch)
    experiment, options = module.experiment(["cut", "--nodes", "20", "--kind", kind])
    trial = experiment.demand(options, 1)
    assert trial.counts["healed in 60 s"] == (1, 1)


def test_look_ups_and_records_survive_ten_minutes_of_churn(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = demand("churn", "--nodes 16 --hours 0.17 --pause 10 --records 3", monkeypatch)
    assert trial.counts["look-ups"][1] >= 50
    assert trial.figures["replaced"] >= 5
    assert any(note.startswith("warm start") for note in trial.notes)


def test_a_missed_target_says_how_to_have_it_again_and_the_line_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = load("trial", monkeypatch)
    with pytest.raises(trial.MissedError) as caught:
        demand("faults", "loss --nodes 6 --look-ups 5 --loss 0.9", monkeypatch, seed=4)
    message = str(caught.value)
    assert "seed 4 missed look-ups: " in message
    prefix = "uv run python benchmarks/reliability/faults.py "
    (line,) = [x for x in message.splitlines() if x.startswith("replay: ")]
    assert line.startswith(f"replay: {prefix}loss --nodes 6 --look-ups 5 --loss 0.9 --seed 4")
    words = line.removeprefix(f"replay: {prefix}").split()
    faults = load("faults", monkeypatch)
    assert trial.measure(*faults.experiment([*words, "--json"])) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["seeds"]["4"]["digest"] == words[-1]
    assert "missed" in report["failures"]["4"]
    assert trial.measure(*faults.experiment([*words[:-1], "0" * 64])) == 1
    assert "no replay" in capsys.readouterr().out


def test_a_trial_that_raises_says_how_to_have_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = load("trial", monkeypatch)
    faults = load("faults", monkeypatch)
    monkeypatch.setattr(virtual, "PATIENCE", 0.001)
    experiment, options = faults.experiment(["cut", "--nodes", "5"])
    with pytest.raises(trial.MissedError, match="seed 9 raised ") as caught:
        experiment.demand(options, 9)
    command = (
        "replay: uv run python benchmarks/reliability/faults.py cut --nodes 5 --loss 0.0 --seed 9"
    )
    assert command in str(caught.value)


def test_seeds_that_ran_without_a_single_try_have_measured_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = load("trial", monkeypatch)
    experiment, options = load("faults", monkeypatch).experiment(["loss"])
    experiment.run = lambda options, seed: trial.Trial("0" * 64)
    assert trial.measure(experiment, options) == 3
    assert "look-ups: not measured" in capsys.readouterr().out


def test_arguments_that_measure_nothing_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for script, words in [("faults", "loss --nodes 1"), ("churn", "--nodes x"), ("scale", "--k")]:
        with pytest.raises(SystemExit, match="2"):
            load(script, monkeypatch).experiment(words.split())
    assert "argument --nodes: 1, must be at least 4" in capsys.readouterr().err


def test_what_no_seed_measured_is_not_called_met(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = load("trial", monkeypatch)
    faults = load("faults", monkeypatch)
    assert trial.measure(*faults.experiment(["loss", "--seeds", "0"])) == 3
    assert "look-ups: not measured" in capsys.readouterr().out


def test_a_script_runs_alone_and_prints_json_for_each_seed() -> None:
    words = "loss --nodes 5 --look-ups 4 --loss 0.01 --seed 2 --seeds 2 --json"
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "faults.py"), *words.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert set(report["seeds"]) == {"2", "3"}
    (row,) = [row for row in report["results"] if row["name"] == "look-ups"]
    assert (row["good"], row["tries"], row["met"]) == (8, 8, True)
    assert row["interval"][0] < row["ratio"] <= row["interval"][1]
    assert "R7 seed 3" in done.stderr
