"""The ledger: no trial is lost, run twice, or held by somebody who is gone."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from qisguard.errors import StoreError
from qisguard.lab.campaign.ledger import LEASE, TRIES_MAX, Counts, Entry, Ledger, me
from qisguard.lab.campaign.workers import Ended
from qisguard.lab.trial.engines import Job
from tests.campaigns import toss

MEASURED = toss(Job(b"", {}, "attacked", 1))
ENTRIES = [Entry(f"key {i}", 0, "clean", i) for i in range(4)]


def _done(key: str) -> Ended:
    return Ended(key, MEASURED, "", False, "w")


def _failed(key: str, *, again: bool) -> Ended:
    return Ended(key, None, "OSError: no", again, "w")


def _open(path: Path, owner: str = "") -> "closing[Ledger]":
    return closing(Ledger(path / "ledger.sqlite", owner or me()))


def _gone() -> str:
    """Return the name of a process of this machine that has ended."""
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return f"{me().rpartition(':')[0]}:{int(done.stdout)}"


def test_a_trial_that_is_added_twice_is_there_once(tmp_path: Path) -> None:
    with _open(tmp_path) as ledger:
        assert ledger.add(ENTRIES) == 4
        assert ledger.add([*ENTRIES, Entry("key 4", 1, "clean", 4)]) == 1
        assert ledger.counts() == Counts(5, 0, 0, 0)


def test_trials_are_leased_once_in_the_order_in_which_they_were_added(tmp_path: Path) -> None:
    with _open(tmp_path) as ledger:
        ledger.add(ENTRIES)
        assert ledger.turn([], 3, 0.0) == ENTRIES[:3]
        assert ledger.turn([], 3, 0.0) == ENTRIES[3:]
        assert ledger.turn([], 3, 0.0) == []


def test_what_was_measured_is_read_back_by_another_process(tmp_path: Path) -> None:
    with _open(tmp_path) as ledger:
        ledger.add(ENTRIES)
        ledger.turn([], 4, 0.0)
        ledger.turn([_done("key 2")], 0, 0.0)
        with _open(tmp_path, "another") as other:  # nothing was closed before
            (done,) = other.results()
            assert (done.entry, done.measured) == (ENTRIES[2], MEASURED)
            assert other.counts() == Counts(0, 3, 1, 0)


def test_a_second_result_of_a_trial_changes_nothing(tmp_path: Path) -> None:
    with _open(tmp_path) as ledger:
        ledger.add(ENTRIES[:1])
        ledger.turn([_done("key 0")], 0, 0.0)
        other = toss(Job(b"", {}, "attacked", 2))
        ledger.turn([Ended("key 0", other, "", False, "w")], 0, 0.0)
        ledger.turn([_failed("key 0", again=False)], 0, 0.0)
        assert ledger.counts() == Counts(0, 0, 1, 0)
        assert [done.measured for done in ledger.results()] == [MEASURED]


def test_a_trial_that_the_machine_failed_is_tried_again_and_a_wrong_one_is_not(
    tmp_path: Path,
) -> None:
    with _open(tmp_path) as ledger:
        ledger.add(ENTRIES[:2])
        ledger.turn([], 2, 0.0)
        leased = ledger.turn([_failed("key 0", again=True), _failed("key 1", again=False)], 9, 0.0)
        assert leased == ENTRIES[:1]
        (failed,) = ledger.failures()
        assert (failed.entry, failed.error, failed.tries) == (ENTRIES[1], "OSError: no", 1)
        for _ in range(TRIES_MAX - 1):
            leased = ledger.turn([_failed("key 0", again=True)], 9, 0.0)
        assert leased == []
        assert [one.tries for one in ledger.failures()] == [TRIES_MAX, 1]


def test_a_campaign_that_somebody_works_on_is_refused_until_the_lease_runs_out(
    tmp_path: Path,
) -> None:
    with _open(tmp_path, "elsewhere:1") as ledger, _open(tmp_path) as mine:
        ledger.add(ENTRIES)
        ledger.turn([], 2, 100.0)
        with pytest.raises(StoreError, match=r"elsewhere:1 works on it; .*30 s"):
            mine.take_over(100.0)
        ledger.renew(120.0)
        with pytest.raises(StoreError, match="elsewhere:1"):
            mine.take_over(100.0 + LEASE)
        mine.take_over(120.0 + LEASE)
        assert mine.counts() == Counts(4, 0, 0, 0)


def test_leases_of_a_process_of_this_machine_that_is_gone_are_taken_over_at_once(
    tmp_path: Path,
) -> None:
    with _open(tmp_path, _gone()) as ledger, _open(tmp_path) as mine:
        ledger.add(ENTRIES)
        ledger.turn([], 2, 100.0)
        mine.take_over(100.0)
        assert mine.turn([], 9, 100.0) == ENTRIES


def test_leases_of_a_process_that_lives_are_not(tmp_path: Path) -> None:
    owner = f"{me().rpartition(':')[0]}:{os.getppid()}"
    with _open(tmp_path, owner) as ledger, _open(tmp_path) as mine:
        ledger.add(ENTRIES)
        ledger.turn([], 2, 100.0)
        with pytest.raises(StoreError, match="works on it"):
            mine.take_over(100.0)


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"x" * 4096)
    with pytest.raises(StoreError, match=r"ledger\.sqlite: file is not a database"):
        _open(tmp_path)
