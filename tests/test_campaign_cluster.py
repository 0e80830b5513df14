"""A campaign on a Dask cluster: a scheduler and workers that are processes of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from qisguard.errors import ServiceError
from qisguard.lab.campaign.cluster import Cluster
from qisguard.lab.campaign.drive import work
from qisguard.lab.campaign.folder import open_run
from qisguard.lab.campaign.replay import replay
from qisguard.lab.campaign.summary import Summary
from qisguard.lab.trial.engines import run_job
from tests.campaigns import SMALL, Here, run_folder, silent, wait_for
from tests.services import command

pytest.importorskip("distributed")


@contextmanager
def _process(*arguments: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a process until the end of the block."""
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(arguments, stdout=nowhere, stderr=nowhere) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _cluster(folder: Path, count: int) -> "Iterator[tuple[str, list[subprocess.Popen[bytes]]]]":
    """Start a scheduler and workers on loopback; give its address and the workers."""
    file = folder / "scheduler.json"
    dask = (sys.executable, "-m", "dask")
    host = ("--host", "127.0.0.1", "--no-dashboard")
    with ExitStack() as stack:
        start = (*dask, "scheduler", *host, "--port", "0", "--scheduler-file", str(file))
        stack.enter_context(_process(*start))
        wait_for(lambda: file.exists() and file.read_bytes().endswith(b"}"))
        address = msgspec.json.decode(file.read_bytes())["address"]
        one = (*dask, "worker", address, *host, "--nthreads", "1", "--no-nanny")
        local = ("--local-directory", str(folder / "dask"))
        yield address, [stack.enter_context(_process(*one, *local)) for _ in range(count)]


@pytest.mark.long
@pytest.mark.slow
def test_a_campaign_on_a_cluster_outlives_a_worker_and_finds_what_this_machine_finds(
    tmp_path: Path,
) -> None:
    (tmp_path / "small.toml").write_bytes(SMALL)
    run = tmp_path / "run"
    arguments = ("--out", run, "--seeds", 10, "--scheduler")
    with _cluster(tmp_path, 2) as (address, workers):
        typed = command("attack", "sweep", tmp_path / "small.toml", *arguments, address)
        with subprocess.Popen(typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            wait_for(lambda: (run / "ledger.sqlite").exists())
            wait_for(lambda: _count(run) > 8)
            os.kill(workers[0].pid, signal.SIGKILL)
            _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told.decode()
    assert b"Traceback" not in told
    summary = msgspec.json.decode((run / "summary.json").read_bytes(), type=Summary)
    assert summary.trials == {"pending": 0, "leased": 0, "done": 80, "failed": 0}
    assert all(one.is_equal for one in replay(open_run(run), lambda: Here(run_job), 6, silent))


def _count(run: Path) -> int:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        try:
            sql = "SELECT count(*) FROM jobs WHERE state = 'done'"
            return int(ledger.execute(sql).fetchone()[0])
        except sqlite3.Error:
            return 0


def test_a_scheduler_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qisguard.lab.campaign.cluster.ARRIVAL", 0.5)
    folder = run_folder(tmp_path)
    with pytest.raises(ServiceError, match=r"^--scheduler tcp://127\.0\.0\.1:1: "):
        work(folder, lambda: Cluster("tcp://127.0.0.1:1"), silent)
