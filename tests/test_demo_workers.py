"""Jobs in processes of their own: in order, with progress, and nothing left when they end early."""

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qisguard.errors import ScenarioError
from qisguard.lab.demo.runs import Job, run_job, sybil_pool
from qisguard.lab.demo.workers import run_jobs
from qisguard.lab.journal.cleanup import Cleaned, cleanup
from qisguard.lab.journal.reading import journals
from qisguard.lab.journal.writing import journal_folder
from tests.stories import scenario

DATA = scenario([("clean", 0, 0), ("sybils", 4, 0)])


@pytest.fixture
def private(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The folder that temporary files go to; whatever happens, every entry is undone."""
    monkeypatch.setenv("QISGUARD_STATE", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    folder = journal_folder(os.environ)
    assert len(journals(folder)) == 1
    assert cleanup(folder, is_dry=True) == Cleaned()


def _ignore(job: Job, done: int, total: int) -> None:
    return None


def test_outcomes_come_in_the_order_of_the_jobs_and_progress_counts_them(private: Path) -> None:
    jobs = [Job(DATA, "virtual", seed) for seed in (3, 1, 2)]
    calls: list[tuple[Job, int, int]] = []
    outcomes = run_jobs(jobs, lambda *call: calls.append(call), workers=2)
    assert [outcome.job for outcome in outcomes] == jobs
    assert [(done, total) for _, done, total in calls] == [(1, 3), (2, 3), (3, 3)]
    assert {job for job, _, _ in calls} == set(jobs)
    assert multiprocessing.active_children() == []
    assert list(private.iterdir()) == []
    digests = [[told.network.digest for told in o.told if told.network] for o in outcomes]
    assert len({digest for pair in digests for digest in pair}) == 6
    here = run_job(jobs[1])
    assert [told.network for told in here.told] == [told.network for told in outcomes[1].told]
    assert [told.rows for told in here.told] == [told.rows for told in outcomes[1].told]


def test_an_error_in_a_job_surfaces_and_ends_the_others(private: Path) -> None:
    jobs = [Job(b"name = 1", "virtual", 1)]
    jobs += [Job(DATA, "virtual", seed) for seed in range(50)]
    with pytest.raises(ScenarioError, match="name = 1: expected `str`"):
        run_jobs(jobs, _ignore, workers=2)
    assert multiprocessing.active_children() == []
    assert list(private.iterdir()) == []


def test_an_interrupt_ends_every_process_and_leaves_no_private_file(private: Path) -> None:
    seen: list[int] = []

    def interrupt(job: Job, done: int, total: int) -> None:
        seen.append(done)
        raise KeyboardInterrupt

    jobs = [Job(DATA, "virtual", 1)]
    jobs += [Job(DATA, "live", seed, private / "out") for seed in range(50)]
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, interrupt, workers=2)
    assert seen == [1]
    assert multiprocessing.active_children() == []
    assert list(private.iterdir()) == []


def test_a_virtual_outcome_keeps_no_keys_and_says_how_long_it_took() -> None:
    outcome = run_job(Job(DATA, "virtual", 1))
    assert outcome.members is None
    assert 0 < outcome.mining_seconds < outcome.seconds
    assert [told.network.network for told in outcome.told if told.network] == [
        "undefended",
        "defended",
    ]


def test_a_question_that_the_cohort_leaves_undecided_is_refused() -> None:
    few = b'grade = "I", menopause = "Pre", oestrogen-receptor = 5, progesterone-receptor = 500'
    job = Job(DATA.replace(b'grade = "II"', few), "virtual", 1)
    with pytest.raises(ScenarioError, match="leave it undecided"):
        run_job(job)


def test_equal_jobs_are_equal_and_others_are_not() -> None:
    job = Job(DATA, "virtual", 1)
    assert job == Job(DATA, "virtual", 1)
    assert len({job, replace(job, seed=2), replace(job, engine="live")}) == 3


def test_the_sybil_pool_is_identical_for_equal_arguments() -> None:
    pool = sybil_pool(4, 6)
    assert pool == sybil_pool.__wrapped__(4, 6)
    assert sybil_pool(4, 3) == pool[:3]
    assert len({key.public for key in pool}) == 6
