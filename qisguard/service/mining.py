"""Puzzles searched on all cores, with honest progress, until found or interrupted.

The search is memoryless: every try succeeds with the same probability, so having tried for an hour
brings the end no nearer. What can be said is how many tries are expected from *now* on, however
many have been made, and how likely it was to be done by now.

Each process draws its own randomness from the operating system and reports a few times a second.
An interrupt, an error or the first success ends all of them at once.
"""

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol

from qisguard.errors import IdentityError
from qisguard.identity.ids import NodeId, node_id
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw, search_dynamic, search_static

REPORT_PERIOD = 0.2
"""Seconds between two reports of one process; also how long an interrupt may wait for a search
in this process."""
POOL_FROM = 2.0
"""Expected seconds of one core from which other processes are worth their start."""
STATIC_RATE, SHA256_RATE, ARGON2ID_RATE = 50_000.0, 1_400_000.0, 2_000_000.0
"""Tries a second on one core, to choose the number of processes and the first batch: measured on a
2-core AMD EPYC; for Argon2id, KiB times passes a second."""


class Search(Protocol):
    """A puzzle to solve; it travels to other processes."""

    @property
    def name(self) -> str:
        """Return what is solved, in words."""

    @property
    def bits(self) -> int:
        """Return the difficulty; 2^bits tries are expected."""

    @property
    def rate(self) -> float:
        """Return roughly how many tries one core makes in a second."""

    def search(self, draw: Draw, tries: int) -> bytes | None:
        """Return what was found within that many tries."""


@dataclass(frozen=True, slots=True)
class StaticSearch:
    """Find the seed of an identity key whose id meets ``bits``."""

    bits: int
    name: str = "static puzzle"
    rate: float = STATIC_RATE

    def search(self, draw: Draw, tries: int) -> bytes | None:
        """Return the seed, 32 bytes."""
        key = search_static(self.bits, draw, tries)
        return key.secret[:32] if key else None  # seed ‖ public key (RFC 8032, section 5.1.5)


@dataclass(frozen=True, slots=True)
class DynamicSearch:
    """Find the solution of one id for the epoch of a network."""

    network: Network
    identifier: NodeId
    name: str = "dynamic puzzle"

    @property
    def bits(self) -> int:
        """Return c2 of the network."""
        return self.network.c2

    @property
    def rate(self) -> float:
        """Return roughly how many tries one core makes in a second."""
        cost = self.network.cost
        return ARGON2ID_RATE / (cost.memory * cost.passes) if cost else SHA256_RATE

    def search(self, draw: Draw, tries: int) -> bytes | None:
        """Return the solution, 16 bytes."""
        network = self.network
        where = (network.id, network.epoch, self.identifier)
        return search_dynamic(*where, network.c2, draw, tries, network.cost)


@dataclass(frozen=True, slots=True)
class Effort:
    """A search so far: ``elapsed`` in seconds, ``tries`` made by ``jobs`` processes together."""

    name: str
    bits: int
    jobs: int
    tries: int
    elapsed: float

    @property
    def expected(self) -> float:
        """Return how many tries are expected from now on, which never gets less."""
        return 2.0**self.bits

    @property
    def rate(self) -> float:
        """Return tries a second so far, 0 before the first report."""
        return self.tries / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def left(self) -> float:
        """Return the expected seconds from now on; infinite before the first report."""
        return self.expected / self.rate if self.rate else math.inf

    @property
    def done_ratio(self) -> float:
        """Return how likely it was to be done by now, in [0, 1]: 1 - (1 - 2^-bits)^tries."""
        if not self.bits:
            return 1.0 if self.tries else 0.0
        return -math.expm1(self.tries * math.log1p(-(2.0**-self.bits)))


Watch = Callable[[Effort], None]
"""Hears of a search about five times a second, and when it ended."""


def ignore(effort: Effort) -> None:
    """Watch nothing."""


def mine_key(network: Network, jobs: int | None = None, watch: Watch = ignore) -> KeyPair:
    """Return a fresh identity key that solved the static puzzle; raise as ``run``."""
    return KeyPair.from_seed(run(StaticSearch(network.c1), jobs, watch))


def mine_solution(
    network: Network, key: KeyPair, jobs: int | None = None, watch: Watch = ignore
) -> bytes:
    """Return the checked solution of a key's id for this epoch; raise as ``run``."""
    identifier = node_id(key.public)
    solution = run(DynamicSearch(network, identifier), jobs, watch)
    network.check_puzzles(identifier, solution)
    return solution


def run(search: Search, jobs: int | None, watch: Watch) -> bytes:
    """Return what ``search`` finds; ``jobs`` processes, or as many as there are cores.

    An easy puzzle is solved in this process. No process is left when this returns or raises.

    Raises:
        IdentityError: a process ended by itself, for want of memory for instance.
    """
    wanted = jobs or os.cpu_count() or 1
    is_easy = 2.0**search.bits / search.rate < POOL_FROM
    if wanted == 1 or is_easy:
        return _run_here(search, watch)
    return _run_in_processes(search, wanted, watch)


def _run_here(search: Search, watch: Watch) -> bytes:
    start = time.monotonic()
    tries = 0
    for found, count in _batches(search):
        tries += count
        watch(Effort(search.name, search.bits, 1, tries, time.monotonic() - start))
        if found is not None:
            return found
    raise AssertionError("a search ends when it has found")


def _batches(search: Search) -> Iterator[tuple[bytes | None, int]]:
    """Yield (found, tries) about every ``REPORT_PERIOD`` seconds, for ever.

    A batch that found something counts whole: where in it the last try was is not told.
    """
    size = max(int(search.rate * REPORT_PERIOD / 4), 1)
    while True:
        start = time.monotonic()
        found = search.search(os.urandom, size)
        yield found, size
        spent = max(time.monotonic() - start, 1e-6)
        size = max(min(int(size * REPORT_PERIOD / spent), 4 * size), 1)


def _run_in_processes(search: Search, jobs: int, watch: Watch) -> bytes:
    start = time.monotonic()
    tries = 0
    with _workers(search, jobs) as pipes:
        while True:
            for pipe in wait(pipes, REPORT_PERIOD):
                assert isinstance(pipe, Connection)
                try:
                    found, count = pipe.recv()
                except EOFError:
                    raise IdentityError(
                        f"{search.name}: a mining process ended by itself, perhaps for want of "
                        f"memory; fewer than {jobs} jobs need less"
                    ) from None
                tries += count
                if found is not None:
                    watch(Effort(search.name, search.bits, jobs, tries, time.monotonic() - start))
                    return bytes(found)
            watch(Effort(search.name, search.bits, jobs, tries, time.monotonic() - start))


@contextmanager
def _workers(search: Search, jobs: int) -> Iterator[list[Connection]]:
    """Start processes that search and report; end every one of them on the way out."""
    context = get_context("spawn")
    processes: list[SpawnProcess] = []
    pipes: list[Connection] = []
    resource_tracker.ensure_running()  # starting it would let interrupts through
    try:
        for _ in range(jobs):
            receiver, sender = context.Pipe(duplex=False)
            pipes.append(receiver)
            process = context.Process(target=_work, args=(search, sender), daemon=True)
            with _interrupts_held():
                process.start()
            processes.append(process)
            sender.close()
        yield pipes
    finally:
        for process in processes:
            process.kill()  # a search holds nothing that it would have to put back
        for process in processes:
            process.join()
        for pipe in pipes:
            pipe.close()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold interrupts back: a process started meanwhile never hears one, we hear it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(search: Search, pipe: Connection) -> None:
    """Search and report until found, or until nobody listens any more."""
    for found, count in _batches(search):
        try:
            pipe.send((found, count))
        except BrokenPipeError:
            return
        if found is not None:
            return
