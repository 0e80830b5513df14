"""Workers on a Dask cluster: the same trials, on any number of machines.

Every machine of the cluster needs the same qisguard. Start its workers with one thread each
(``dask worker ADDRESS --nthreads 1``): a trial keeps a core busy. A worker that dies costs what it
ran: the scheduler gives it to another, ``allowed-failures`` times (3), then the trial has failed
once here.
"""

import queue
from typing import Any

from qisguard import __version__
from qisguard.errors import QisguardError, ServiceError
from qisguard.lab.campaign.workers import Ended, Trial, attempt
from qisguard.lab.trial.engines import Job, run_job

ARRIVAL = 30.0
"""Seconds to wait for a scheduler, and for the first worker."""
ALONE_MAX = 60.0
"""Seconds without any worker after which a campaign ends; it can be resumed."""
DEPTH = 2


class Cluster:
    """The workers of the scheduler at ``address``.

    Raises:
        QisguardError: distributed is not installed.
        ServiceError: no scheduler, no worker, or one that runs another qisguard.
    """

    def __init__(self, address: str, run: Trial = run_job) -> None:
        try:
            import distributed
        except ImportError:
            raise QisguardError(
                "distributed is not installed and --scheduler needs it: "
                "pip install 'qisguard[cluster]'"
            ) from None
        self._address = address
        self._run = run
        make: Any = distributed.Client  # untyped, as its futures are
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._held: dict[str, Any] = {}
        self._tries = self._threads = 0
        self._alone = 0.0
        try:
            self._client = make(address, timeout=ARRIVAL, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ServiceError(f"--scheduler {address}: {error or 'no answer'}") from None
        try:
            self._meet()
        except BaseException:
            self._client.close()
            raise

    @property
    def capacity(self) -> int:
        """See ``Workers``."""
        return DEPTH * max(1, self._threads)

    def send(self, key: str, job: Job) -> None:
        """See ``Workers``."""
        self._tries += 1
        name = f"qisguard-{key}-{self._tries}"
        future = self._client.submit(attempt, key, job, "cluster", self._run, key=name, pure=False)
        self._held[key] = future
        future.add_done_callback(self._done.put)

    def take(self, timeout: float) -> list[Ended]:
        """See ``Workers``."""
        ended = []
        try:
            ready = [self._done.get(timeout=timeout)]
        except queue.Empty:
            self._look(timeout)
            return []
        while not self._done.empty():
            ready.append(self._done.get())
        if self._client.status == "closed":  # its futures are not lost by fault of a trial
            raise ServiceError(f"--scheduler {self._address}: the scheduler is gone")
        names = {future.key: key for key, future in self._held.items()}
        for future in ready:
            key = names.get(future.key)
            if key is not None:
                del self._held[key]
                ended.append(self._ended(key, future))
        return ended

    def close(self) -> None:
        """See ``Workers``; what a thread is busy with goes on there, and nobody waits for it."""
        if self._client.status == "closed":
            return
        for future in self._held.values():
            future.cancel(force=True)
        self._client.close(timeout=1)

    def _meet(self) -> None:
        """Wait for a worker; all must run this qisguard."""
        try:
            self._client.wait_for_workers(1, timeout=ARRIVAL)
        except TimeoutError:
            raise ServiceError(
                f"--scheduler {self._address}: no worker after {ARRIVAL:.0f} s; start one: "
                f"dask worker {self._address} --nthreads 1"
            ) from None
        for worker, found in self._client.run(_version, on_error="return").items():
            if found != __version__:
                what = f"cannot load it: {found}" if isinstance(found, Exception) else found
                raise ServiceError(
                    f"--scheduler {self._address}: qisguard here is {__version__}, "
                    f"on {worker}: {what}; install the same"
                )
        self._threads = sum(self._client.nthreads().values())

    def _look(self, waited: float) -> None:
        """See who is there; raise ServiceError when nobody has been for ``ALONE_MAX`` seconds."""
        if self._client.status == "running":
            workers: dict[Any, Any] = self._client.scheduler_info()["workers"]
            self._threads = sum(worker["nthreads"] for worker in workers.values())
            self._alone = 0.0 if workers else self._alone + waited
        else:
            self._alone += waited
        if self._alone > ALONE_MAX or self._client.status == "closed":
            raise ServiceError(f"--scheduler {self._address}: no worker is left")

    def _ended(self, key: str, future: Any) -> Ended:
        """Return how a trial ended; errors here are the cluster's, those of trials are results."""
        if future.status == "finished":
            result: Ended = future.result(timeout=ARRIVAL)
            return result
        error = future.exception(timeout=1) if future.status == "error" else None
        return Ended(key, None, f"the cluster lost it: {error or future.status}", True, "cluster")


def _version() -> str:
    return __version__
