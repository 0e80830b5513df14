"""What campaigns cost: two processes beside one, the ledger, a Dask cluster beside a pool.

Trials keep a core busy for 50 ms of its time. Pools and cluster are warm, and take turns.
"""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median

from qisguard.lab.bench.rows import Row, Tell
from qisguard.lab.campaign.cluster import Cluster
from qisguard.lab.campaign.drive import drive
from qisguard.lab.campaign.ledger import Ledger, me
from qisguard.lab.campaign.plan import Options, Plan, make_plan
from qisguard.lab.campaign.pool import Pool
from qisguard.lab.campaign.workers import Workers
from qisguard.lab.journal.writing import Journal, begin
from qisguard.lab.scenario.loading import packaged
from qisguard.lab.trial.engines import Job
from qisguard.lab.trial.measured import Measured, seal

SECONDS = 0.05
TRIALS = 80
REPEATS = 5


def burn(job: Job) -> Measured:
    """Keep a core busy for ``SECONDS`` of its time."""
    started, end = time.perf_counter(), time.process_time() + SECONDS
    while time.process_time() < end:
        pass
    ratios = {"success": (job.seed % 2, 1)}
    values = {"hops": float(job.seed)}
    return Measured(
        ratios, values, seal("", ratios, values), [], time.perf_counter() - started, SECONDS
    )


def measure(seed: int, tell: Tell) -> Sequence[Row]:
    """Return all rows; rates are of wall time, so that they mean something on an idle machine."""
    plan = make_plan(packaged("look-up-misroute"), Options(seeds=TRIALS // 4), is_sweep=False)
    rates: dict[str, list[float]] = {"one": [], "two": [], "cluster": []}
    shares: list[float] = []
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(begin())
        address = stack.enter_context(_dask(2, journal))
        pools: dict[str, Workers] = {
            "one": stack.enter_context(contextlib.closing(Pool(1, burn, journal))),
            "two": stack.enter_context(contextlib.closing(Pool(2, burn, journal))),
            "cluster": stack.enter_context(contextlib.closing(Cluster(address, burn))),
        }
        for workers in pools.values():
            _campaign(plan, workers, journal)
        for turn in range(REPEATS):
            for name, workers in pools.items():
                rate, share = _campaign(plan, workers, journal)
                rates[name].append(rate)
                if name == "two":
                    shares.append(share)
            tell(f"turn {turn + 1}", turn + 1, REPEATS)
    one, two, cluster = (median(rates[name]) for name in ("one", "two", "cluster"))
    speed_up = median(b / a for a, b in zip(rates["one"], rates["two"], strict=True))
    beside = median(c / b for b, c in zip(rates["two"], rates["cluster"], strict=True))
    return [
        Row("trials/s, one process", one, "trials/s", REPEATS),
        Row("trials/s, two processes", two, "trials/s", REPEATS, "one process", one),
        Row("two processes v. one", speed_up, "times", REPEATS, least=1.8),
        Row("CPU of ledger and dispatch, of a 50 ms trial", median(shares), "", REPEATS, most=0.05),
        Row("trials/s, Dask, two workers", cluster, "trials/s", REPEATS, "two processes", two),
        Row("Dask v. processes", beside, "times", REPEATS, least=0.8),
    ]


def _campaign(plan: Plan, workers: Workers, journal: Journal) -> tuple[float, float]:
    """Run a campaign; return trials per second, and this process's CPU per trial / ``SECONDS``."""
    with (
        journal.folder() as folder,
        contextlib.closing(Ledger(folder / "ledger.sqlite", me())) as ledger,
    ):
        ledger.add(plan.round([(0, 0, plan.count)]))
        started, cpu = time.perf_counter(), time.process_time()
        drive(plan, ledger, workers, lambda what, done, total: None)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        count = ledger.counts().done
    return count / seconds, cpu / count / SECONDS


@contextlib.contextmanager
def _dask(count: int, journal: Journal) -> Iterator[str]:
    """Start a scheduler and workers on loopback; give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    common = ["--host", "127.0.0.1", "--no-dashboard"]
    dask = [sys.executable, "-m", "dask"]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(journal.folder())
        lines = [[*dask, "scheduler", *common, "--port", str(port)]]
        worker = [*dask, "worker", address, *common, "--nthreads", "1", "--no-nanny"]
        lines += [[*worker, "--local-directory", str(folder)]] * count
        for line in lines:
            stack.enter_context(_running(line, journal))
        yield address


@contextlib.contextmanager
def _running(line: list[str], journal: Journal) -> Iterator[None]:
    """Keep a process running until the block ends."""
    held: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        quiet = subprocess.DEVNULL
        held.append(subprocess.Popen(line, stdout=quiet, stderr=quiet))
        return held[0].pid

    made = journal.start(f"dask {line[3]}, listening on loopback", start)
    try:
        yield
    finally:
        held[0].kill()
        held[0].wait()
        journal.undone(made)
