"""Work over all cores, with answers in the order of the tasks and few of them waiting.

A worker imports once, makes its tool once from what the pool was given, and takes tasks until the
pool ends. Small work stays in this process: starting another one costs more than it saves.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from types import TracebackType
from typing import Any, Generic, TypeVar

from qisguard.errors import TrailError

AHEAD = 3
"""Tasks given per process beyond the one whose answer is awaited."""

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_tool: Any = None
"""In a worker, what its tasks are given to."""


class Pool(Generic[Task, Answer]):
    """``make(argument)`` returns the tool of one process, which answers tasks."""

    def __init__(
        self, make: Callable[[Any], Callable[[Task], Answer]], argument: object, processes: int
    ) -> None:
        self._here = make(argument) if processes < 2 else None
        self._processes = processes
        self._executor = None
        if self._here is None:
            self._executor = ProcessPoolExecutor(
                processes,
                multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(make, argument),
            )

    def __enter__(self) -> "Pool[Task, Answer]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def answers(self, tasks: Iterable[Task]) -> Iterator[Answer]:
        """Yield the answer to every task, in order.

        Raises:
            TrailError: a worker ended without an answer, such as for want of memory.
        """
        if self._here is not None:
            yield from map(self._here, tasks)
            return
        assert self._executor is not None
        waiting: deque[Future[Answer]] = deque()
        try:
            for task in tasks:
                waiting.append(self._executor.submit(_answer, task))
                if len(waiting) > AHEAD * self._processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise TrailError("audit: a worker process ended without an answer") from None


def core_count() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(make: Callable[[Any], Any], argument: object) -> None:
    """Make the tool of this process; interrupts are left to the parent."""
    global _tool
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _tool = make(argument)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _answer(task: Any) -> Any:
    return _tool(task)
