"""A campaign runs every trial once, however often it is interrupted, and nobody is left behind."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from qisguard.errors import QisguardError, ScenarioError, ServiceError
from qisguard.lab.campaign import results
from qisguard.lab.campaign.drive import work
from qisguard.lab.campaign.folder import RunFile, open_run
from qisguard.lab.campaign.plan import Options, make_plan, next_count
from qisguard.lab.campaign.pool import STILLBORN_MAX, Pool
from qisguard.lab.campaign.replay import replay
from qisguard.lab.campaign.summary import Summary
from qisguard.lab.trial.engines import Job
from qisguard.lab.trial.measured import Measured
from tests.campaigns import SMALL, Here, Stillborn, run_folder, silent, toss, toss_or_die, wait_for
from tests.services import command

ROOT = Path(__file__).parents[1]
TRIALS = 2 * 4 * 4
"""Points, arms, seeds of the small scenario."""


def _ask(folder: Path, sql: str) -> list[tuple[object, ...]]:
    return results.ask(folder / "results.parquet", sql)[1]


def test_every_point_arm_and_seed_is_run_once_and_ends_in_the_table(tmp_path: Path) -> None:
    folder, here = run_folder(tmp_path), Here()
    summary = work(folder, lambda: here, silent)
    wanted = {
        (str(point), arm, seed)
        for point in ({"attack.share": 0.1}, {"attack.share": 0.3})
        for arm in ("clean", "attacked", "defended", "guarded")
        for seed in (1, 2, 3, 4)
    }
    assert sorted((str(j.point), j.arm, j.seed) for j in here.ran) == sorted(wanted)
    assert here.is_closed
    assert summary.is_complete
    rows = _ask(
        tmp_path,
        "SELECT point_attack_share, arm, seed, hits, tries, value, trial FROM results "
        "WHERE metric = 'success'",
    )
    assert len(rows) == TRIALS
    for share, arm, seed, hits, tries, value, trial in rows:
        assert isinstance(seed, int)
        told = toss(Job(SMALL, {"attack.share": share}, str(arm), seed))
        assert (hits, tries) == told.ratios["success"]
        assert (value, trial) == (told.ratios["success"][0] / 10, told.digest)


def test_the_first_trials_are_one_seed_of_everything(tmp_path: Path) -> None:
    """An interrupted run has something to say about every arm."""
    here = Here()
    work(run_folder(tmp_path), lambda: here, silent)
    assert {job.seed for job in here.ran[:8]} == {1}


def test_the_same_results_give_the_same_summary(tmp_path: Path) -> None:
    first, second = (work(run_folder(tmp_path / name), Here, silent) for name in ("one", "two"))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert first.results_digest != ""


def test_an_interrupted_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    left = [7]

    def until_interrupted(job: Job) -> Measured:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return toss(job)

    folder, first, second = run_folder(tmp_path / "a"), Here(until_interrupted), Here()
    with pytest.raises(KeyboardInterrupt):
        work(folder, lambda: first, silent)
    assert first.is_closed
    assert _ask(folder.path, "SELECT count(DISTINCT trial) FROM results") == [(7,)]
    assert msgspec.json.decode((folder.path / "run.json").read_bytes(), type=RunFile).ended == ""
    summary = work(open_run(folder.path), lambda: second, silent)
    assert len(second.ran) == TRIALS - 7
    assert summary == work(run_folder(tmp_path / "b"), Here, silent)


def test_a_finished_campaign_is_summarised_again_without_any_worker(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    before = work(folder, Here, silent)

    def nobody() -> Here:
        raise AssertionError("nobody is needed")

    assert work(open_run(tmp_path), nobody, silent) == before


def test_an_error_in_a_trial_is_kept_and_the_campaign_goes_on(tmp_path: Path) -> None:
    def wrong(job: Job) -> Measured:
        if (job.arm, job.seed) == ("defended", 2):
            raise ValueError("seed 2 is wrong")
        return toss(job)

    here = Here(wrong)
    summary = work(run_folder(tmp_path), lambda: here, silent)
    assert len(here.ran) == TRIALS
    assert [(f.arm, f.seed, f.tries, f.error) for f in summary.failures] == [
        ("defended", 2, 1, "ValueError: seed 2 is wrong")
    ] * 2
    assert (summary.exit, summary.verdict) == (3, "not_measured")
    again = Here()
    assert work(open_run(tmp_path), lambda: again, silent).exit == 0
    assert [(job.arm, job.seed) for job in again.ran] == [("defended", 2)] * 2


# --- until ---------------------------------------------------------------------------------------
def test_seeds_are_added_until_the_interval_is_narrow(tmp_path: Path) -> None:
    options = Options(until="defended.success.width < 0.25")
    summary = work(run_folder(tmp_path, options=options), Here, silent)
    for row in summary.until:
        assert row.reached
        assert row.width is not None
        assert row.width < 0.25
        assert 4 < row.seeds < 40
    assert summary.exit == 0


def test_not_being_narrow_with_the_most_seeds_is_not_measured(tmp_path: Path) -> None:
    options = Options(until="defended.success.width < 0.001")
    data = SMALL.replace(b"most = 40", b"most = 9")
    summary = work(run_folder(tmp_path, data, options), Here, silent)
    assert [(row.reached, row.seeds) for row in summary.until] == [(False, 9)] * 2
    assert [gate.state for gate in summary.gates] == ["held"] * 2
    assert summary.exit == 3


def test_what_a_scenario_does_not_measure_is_not_waited_for(tmp_path: Path) -> None:
    here, options = Here(), Options(until="defended.readable.width < 0.1")
    summary = work(run_folder(tmp_path, options=options), lambda: here, silent)
    assert len(here.ran) == TRIALS
    assert [(row.reached, row.width) for row in summary.until] == [(False, None)] * 2


@pytest.mark.parametrize(
    ("width", "seeds", "most", "following"),
    [
        (0.2, 10, 100, 20),  # four times as many are needed, twice as many are asked for
        (0.11, 10, 100, 13),
        (0.1, 10, 100, 11),
        (0.2, 10, 15, 15),
        (None, 1, 100, 3),
        (None, 10, 100, 20),
    ],
)
def test_rounds_grow_with_the_square_of_the_width_and_at_most_double(
    width: float | None, seeds: int, most: int, following: int
) -> None:
    assert next_count(width, 0.1, seeds, most) == following


# --- processes -----------------------------------------------------------------------------------
@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that are started find the trials of these tests."""
    monkeypatch.syspath_prepend(ROOT)


@pytest.mark.usefixtures("importable")
def test_a_worker_that_dies_costs_its_trial_one_try(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    run = partial(toss_or_die, tmp_path / "marks", 2)
    summary = work(folder, lambda: Pool(2, run), silent)
    assert len(list((tmp_path / "marks").iterdir())) == 2
    assert multiprocessing.active_children() == []
    assert summary == work(run_folder(tmp_path / "other"), Here, silent)
    with closing(sqlite3.connect(folder.ledger)) as ledger:
        tries = dict(ledger.execute("SELECT tries, count(*) FROM jobs GROUP BY tries"))
    assert tries == {1: TRIALS - 1, 3: 1}


def test_when_no_worker_can_start_the_campaign_ends_and_says_how(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    with pytest.raises(ServiceError, match=f"{STILLBORN_MAX} in a row died .* exit code 3"):
        work(folder, lambda: Pool(1, Stillborn()), silent)
    assert multiprocessing.active_children() == []


def _done(run: Path) -> int:
    """Return how many trials of a run have ended well."""
    try:
        ledger = sqlite3.connect(f"file:{run / 'ledger.sqlite'}?mode=ro", uri=True)
    except sqlite3.Error:
        return 0
    try:
        return int(ledger.execute("SELECT count(*) FROM jobs WHERE state = 'done'").fetchone()[0])
    except sqlite3.Error:
        return 0
    finally:
        ledger.close()


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_leaves_nobody_and_resumes_to_the_same_result(
    tmp_path: Path, how: signal.Signals
) -> None:
    file, run = tmp_path / "small.toml", tmp_path / "run"
    file.write_bytes(SMALL)
    typed = command("attack", "sweep", file, "--out", run, "--seeds", 40, "--workers", 1)
    with subprocess.Popen(typed, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: _done(run) > 0)
        children = _children(process.pid)
        os.kill(process.pid, how)
        told = process.communicate()[1]
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert f"to go on: qisguard attack resume {run}\n" in told
    wait_for(lambda: not any(map(_lives, children)))
    before = _done(run)
    assert 0 < before < 320
    folder, here = open_run(run), Here()
    work(folder, lambda: here, silent)  # tossed from here on: no need to wait for networks
    assert len(here.ran) == 320 - before
    with pytest.raises(ScenarioError, match="holds a run; go on with it"):
        run_folder(run)


# --- folders -------------------------------------------------------------------------------------
def test_a_run_folder_is_complete_and_holds_no_draft(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    summary = work(folder, Here, silent)
    names = {"scenario.toml", "run.json", "ledger.sqlite", "results.parquet", "summary.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert (tmp_path / "scenario.toml").read_bytes() == SMALL
    assert msgspec.json.decode((tmp_path / "summary.json").read_bytes(), type=Summary) == summary
    run = open_run(tmp_path).run
    assert (run.verdict, run.seeds, run.first_seed) == ("clean", 4, 1)
    assert run.points == [{"attack.share": 0.1}, {"attack.share": 0.3}]
    assert run.versions["numpy"][0].isdigit()
    assert run.started <= run.ended


def test_a_folder_whose_scenario_was_changed_is_refused(tmp_path: Path) -> None:
    run_folder(tmp_path)
    (tmp_path / "scenario.toml").write_bytes(SMALL + b"# changed\n")
    with pytest.raises(ScenarioError, match=r"scenario\.toml: SHA-256 is"):
        open_run(tmp_path)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(ScenarioError, match="holds 'mine'; name another folder"):
        run_folder(tmp_path)
    with pytest.raises(ScenarioError, match=r"no run: .*scenario\.toml: No such file"):
        open_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# --- replay --------------------------------------------------------------------------------------
def test_a_replay_finds_the_trial_that_went_differently(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    work(folder, Here, silent)
    assert all(one.is_equal for one in replay(folder, Here, 0, silent))
    assert len(replay(folder, Here, 5, silent)) == 5

    def other(job: Job) -> Measured:
        found = toss(job)
        if (job.arm, job.seed) == ("guarded", 3):
            return msgspec.structs.replace(found, digest="0" * 64)
        return found

    differing = [o for o in replay(folder, lambda: Here(other), 0, silent) if not o.is_equal]
    assert [(o.done.entry.arm, o.done.entry.seed) for o in differing] == [("guarded", 3)] * 2


def test_a_live_run_is_not_replayed_and_says_why(tmp_path: Path) -> None:
    def live(job: Job) -> Measured:
        return msgspec.structs.replace(toss(job), digest="")

    folder = run_folder(tmp_path)
    assert work(folder, lambda: Here(live), silent).results_digest == ""
    with pytest.raises(ScenarioError, match="real sockets in real time"):
        replay(folder, Here, 0, silent)


# --- plans and questions -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(seeds=0), "--seeds = 0, must be 1 to 100000"),
        (Options(until="defended.success < 1"), "--until = .*, must be about a width"),
        (Options(until="x"), "--until = 'x', must be ARM.METRIC"),
        (Options(gates=("defended.succes >= 1",)), "--fail-on = .*did you mean 'success'"),
    ],
)
def test_options_are_checked_like_the_file(options: Options, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make_plan(SMALL, options, is_sweep=True)


def test_every_point_of_a_grid_is_checked_before_anything_starts() -> None:
    with pytest.raises(ScenarioError, match=r"attack\.share = 3"):
        make_plan(SMALL.replace(b"0.3]", b"3]"), Options(), is_sweep=True)


def test_a_point_that_the_grid_names_twice_runs_once() -> None:
    plan = make_plan(SMALL.replace(b"0.3]", b"0.3, 0.1]"), Options(), is_sweep=True)
    assert plan.points == ({"attack.share": 0.1}, {"attack.share": 0.3})


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE results",
        "COPY results TO 'out.csv'",
        "SELECT 1; SELECT 2",
        "",
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM nothing",
        "SET enable_external_access = true",
    ],
)
def test_a_question_can_only_read_the_results(tmp_path: Path, sql: str) -> None:
    work(run_folder(tmp_path), Here, silent)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(QisguardError, match=r"^query: "):
        _ask(tmp_path, sql)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
