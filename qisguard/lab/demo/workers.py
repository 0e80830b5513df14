"""Many seeds in parallel: jobs in processes of their own, on all cores."""

import gc
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from qisguard.lab.deadman import watch_parent
from qisguard.lab.demo.runs import Job, Outcome, run_job


def _start_worker(private: str) -> None:
    """Leave interrupts to the parent, and private files in a folder that it will remove.

    Garbage is collected seldom: a network makes many live objects.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent()
    tempfile.tempdir = private
    gc.set_threshold(100_000, 50, 100)


def run_jobs(
    jobs: Sequence[Job], progress: Callable[[Job, int, int], None], workers: int | None = None
) -> list[Outcome]:
    """Run jobs on all cores, the first ones first; return outcomes in the order of ``jobs``.

    ``progress`` is called with the job that ended, how many have, and how many there are. An
    interrupt or an error ends every process, and nothing private is left on the disk.
    """
    outcomes: dict[Job, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="qisguard-") as private:
        pool = ProcessPoolExecutor(
            max_workers=workers or os.cpu_count() or 1,
            mp_context=get_context("spawn"),
            initializer=_start_worker,
            initargs=(private,),
        )
        try:
            futures: dict[Future[Outcome], Job] = {pool.submit(run_job, job): job for job in jobs}
            for future in as_completed(futures):
                outcomes[futures[future]] = future.result()
                progress(futures[future], len(outcomes), len(jobs))
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(cancel_futures=True)  # the pool's own thread joins the processes
            raise
        pool.shutdown()
    return [outcomes[job] for job in jobs]
