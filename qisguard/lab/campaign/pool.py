"""Workers on this machine: processes that each import once, and may die without harm to others.

Each has a pipe of its own, so it is known whose trial it was that a process died of:
``concurrent.futures`` gives up the whole pool then. Nothing heavy is imported here: a child sets
itself up before numerical libraries are loaded and count the cores.
"""

import gc
import multiprocessing
import os
import signal
import tempfile
from collections import deque
from contextlib import ExitStack
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from qisguard.errors import ServiceError
from qisguard.lab.deadman import watch_parent
from qisguard.lab.journal.writing import Journal, own

if TYPE_CHECKING:
    from qisguard.lab.campaign.workers import Ended, Trial
    from qisguard.lab.trial.engines import Job

DEPTH = 2
"""Trials that a process holds: the next one is there when one ends."""
STILLBORN_MAX = 3
"""Processes in a row that may die before they are ready; one that dies later fails its trial."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def _serve(pipe: Any, private: str, threads: int, run: "Trial | None") -> None:
    """Run trials until the pipe ends; interrupts are left to the parent.

    Garbage is collected seldom: a network makes many live objects.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tempfile.tempdir = private
    gc.set_threshold(100_000, 50, 100)
    for name in _THREADS:
        os.environ.setdefault(name, str(threads))
    watch_parent()
    from qisguard.lab.campaign.workers import attempt
    from qisguard.lab.trial.engines import run_job

    pipe.send(None)  # ready
    while True:
        try:
            key, job = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt(key, job, str(os.getpid()), run or run_job))


class _Process:
    """One process, its pipe, and the trials that it has not answered."""

    def __init__(
        self, context: Any, private: str, threads: int, run: "Trial | None", journal: Journal
    ) -> None:
        self.pipe, theirs = context.Pipe()
        self.held: deque[tuple[str, Job]] = deque()
        self.is_ready = False
        arguments = (theirs, private, threads, run)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.made = journal.start("worker, and the sockets of its trials", self._begin)
        theirs.close()

    def _begin(self) -> int | None:
        self.process.start()
        pid: int | None = self.process.pid
        return pid


class Pool:
    """``count`` processes; ``run`` is what they do with a job.

    They and their private folder are written down in ``journal``, or in one of their own.
    """

    def __init__(
        self, count: int, run: "Trial | None" = None, journal: Journal | None = None
    ) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._stack = ExitStack()
        self._journal = self._stack.enter_context(own(journal))
        self._private = str(self._stack.enter_context(self._journal.folder()))
        self._threads = max(1, (os.cpu_count() or 1) // count)
        self._run = run
        self._stillborn = 0
        self._ended: list[Ended] = []
        self._processes: list[_Process] = []
        try:
            for _ in range(count):
                self._processes.append(self._start())
        except BaseException:
            self.close()
            raise

    @property
    def capacity(self) -> int:
        """See ``Workers``."""
        return DEPTH * len(self._processes)

    @property
    def pids(self) -> list[int]:
        """Return the ids of the processes."""
        return [one.process.pid for one in self._processes]

    def send(self, key: str, job: "Job") -> None:
        """See ``Workers``."""
        self._give(min(self._processes, key=lambda one: len(one.held)), key, job)

    def take(self, timeout: float) -> "list[Ended]":
        """See ``Workers``."""
        by_pipe = {one.pipe: one for one in self._processes}
        waits = [*by_pipe, *(one.process.sentinel for one in self._processes)]
        for ready in connection.wait(waits, 0 if self._ended else timeout):
            one = by_pipe.get(ready)
            if one is not None:
                self._receive(one)
        for one in list(self._processes):
            if not one.process.is_alive():
                self._bury(one)
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """See ``Workers``."""
        for one in self._processes:
            one.process.kill()
        for one in self._processes:
            one.process.join()
            one.pipe.close()
            self._journal.undone(one.made)
        self._processes = []
        self._stack.close()

    def _start(self) -> _Process:
        return _Process(self._context, self._private, self._threads, self._run, self._journal)

    def _give(self, one: _Process, key: str, job: "Job") -> None:
        one.held.append((key, job))
        try:
            one.pipe.send((key, job))
        except OSError:  # it died: ``take`` finds out and sees to what it held
            return

    def _receive(self, one: _Process) -> None:
        """Take every answer that lies in a pipe."""
        try:
            while one.pipe.poll():
                ended = one.pipe.recv()
                if ended is None:
                    one.is_ready = True
                    self._stillborn = 0
                else:
                    one.held.popleft()
                    self._ended.append(ended)
        except (EOFError, OSError):  # it died, see above
            return

    def _bury(self, one: _Process) -> None:
        """Put another process in the place of one that died; its first trial failed."""
        from qisguard.lab.campaign.workers import Ended

        self._receive(one)  # what it answered before it died
        one.process.join()
        one.pipe.close()
        self._journal.undone(one.made)
        self._processes.remove(one)
        how = _how(one.process.exitcode)
        if not one.is_ready:
            self._stillborn += 1
            if self._stillborn >= STILLBORN_MAX:
                raise ServiceError(
                    f"workers: {self._stillborn} in a row died while they started, {how}"
                )
        elif one.held:
            key, _ = one.held.popleft()
            text = f"the worker died, {how}"
            self._ended.append(Ended(key, None, text, True, str(one.process.pid)))
        self._processes.append(self._start())
        for key, job in one.held:
            self.send(key, job)


def _how(code: int | None) -> str:
    """Return how a process ended."""
    if code is not None and code < 0:
        try:
            return f"by {signal.Signals(-code).name}"
        except ValueError:
            return f"by signal {-code}"
    return f"with exit code {code}"
