"""Many seeds in parallel: jobs in processes of their own, on all cores."""

import gc
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing.context import SpawnContext
from typing import Any

from qisguard.lab.deadman import watch_parent
from qisguard.lab.demo.runs import Job, Outcome, run_job
from qisguard.lab.journal.lines import Made
from qisguard.lab.journal.writing import Journal, own


def _start_worker(private: str) -> None:
    """Leave interrupts to the parent, and private files in a folder that it will remove.

    Garbage is collected seldom: a network makes many live objects.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent()
    tempfile.tempdir = private
    gc.set_threshold(100_000, 50, 100)


class _Noted:
    """A process that is written down before it starts; in all else the process itself."""

    def __init__(self, process: Any, journal: Journal, made: list[Made]) -> None:
        self._process = process
        self._journal = journal
        self._made = made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)

    def start(self) -> None:
        """Write it down, and start it."""
        self._made.append(self._journal.start("worker, and the sockets of its run", self._begin))

    def _begin(self) -> int | None:
        self._process.start()
        pid: int | None = self._process.pid
        return pid


class _Context(SpawnContext):
    """Starts processes that are written down in ``journal``."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self.made: list[Made] = []
        self._journal = journal

    def Process(self, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]  # noqa: N802
        """Return one that has not started."""
        return _Noted(SpawnContext.Process(*arguments, **options), self._journal, self.made)


def run_jobs(
    jobs: Sequence[Job],
    progress: Callable[[Job, int, int], None],
    workers: int | None = None,
    journal: Journal | None = None,
) -> list[Outcome]:
    """Run jobs on all cores, the first ones first; return outcomes in the order of ``jobs``.

    ``progress`` is called with the job that ended, how many have, and how many there are. An
    interrupt or an error ends every process, and nothing private is left on the disk.
    """
    outcomes: dict[Job, Outcome] = {}
    with own(journal) as mine, mine.folder() as private:
        context = _Context(mine)
        pool = ProcessPoolExecutor(
            max_workers=workers or os.cpu_count() or 1,
            mp_context=context,
            initializer=_start_worker,
            initargs=(str(private),),
        )
        try:
            futures: dict[Future[Outcome], Job] = {pool.submit(run_job, job): job for job in jobs}
            for future in as_completed(futures):
                outcomes[futures[future]] = future.result()
                progress(futures[future], len(outcomes), len(jobs))
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)  # the pool's own thread joins the processes
            for made in context.made:
                mine.undone(made)
    return [outcomes[job] for job in jobs]
