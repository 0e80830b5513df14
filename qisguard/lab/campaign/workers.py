"""Those who run trials: what a campaign wants of them, and one trial as data, errors included."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from qisguard.lab.trial.engines import Job, run_job
from qisguard.lab.trial.measured import Measured

Trial: TypeAlias = Callable[[Job], Measured]
ERROR_MAX = 2_000
"""Characters of an error that are kept."""


class Ended(msgspec.Struct, frozen=True):
    """How a trial ended: with ``measured``, or with an ``error``.

    ``again``: another try may end differently, because the machine failed and not the trial.
    ``worker`` is who ran it.
    """

    key: str
    measured: Measured | None
    error: str
    again: bool
    worker: str


class Workers(Protocol):
    """A pool of any kind; it belongs to the thread that made it."""

    @property
    def capacity(self) -> int:
        """Return how many trials it wants to hold, so that nobody waits for work."""

    def send(self, key: str, job: Job) -> None:
        """Give it a trial."""

    def take(self, timeout: float) -> list[Ended]:
        """Return the trials that ended, after at most ``timeout`` seconds.

        Raises:
            ServiceError: nobody is left who could run trials.
        """

    def close(self) -> None:
        """End everything at once, whatever is under way."""


def attempt(key: str, job: Job, worker: str, run: Trial = run_job) -> Ended:
    """Run one trial; an error is a result."""
    try:
        return Ended(key, run(job), "", False, worker)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"[:ERROR_MAX]
        return Ended(key, None, text, isinstance(error, OSError | MemoryError), worker)
