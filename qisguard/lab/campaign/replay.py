"""Runs trials of a finished run again and compares their digests."""

from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from qisguard.errors import ScenarioError
from qisguard.lab.campaign.drive import PERIOD, Progress
from qisguard.lab.campaign.folder import RunFolder
from qisguard.lab.campaign.ledger import Done, Ledger, me
from qisguard.lab.campaign.workers import Workers


@dataclass(frozen=True, slots=True)
class Replayed:
    """One trial, then and now; ``error`` is set when it did not end well this time."""

    done: Done
    digest: str
    error: str

    @property
    def is_equal(self) -> bool:
        """Return whether the same happened."""
        return not self.error and self.digest == self.done.measured.digest


def replay(
    folder: RunFolder, make_workers: Callable[[], Workers], count: int, progress: Progress
) -> list[Replayed]:
    """Run ``count`` trials again, spread evenly over the run, or all of them with 0.

    Raises:
        ScenarioError: nothing was measured, or by an engine that does not replay.
    """
    with closing(Ledger(folder.ledger, me())) as ledger:
        every = list(ledger.results())
    if not every:
        raise ScenarioError(f"{folder.path}: no trial has ended: qisguard attack resume")
    again = [done for done in every if done.measured.digest]
    if not again:
        raise ScenarioError(
            f"{folder.path}: engine = 'live' runs on real sockets in real time, which nobody can "
            "repeat; measure it again: qisguard attack run"
        )
    chosen = _spread(again, count or len(again))
    by_key = {done.entry.key: done for done in chosen}
    found: dict[str, Replayed] = {}
    with closing(make_workers()) as workers:
        progress("starting", 0, len(chosen))
        waiting = deque(chosen)
        while len(found) < len(chosen):
            while waiting and len(by_key) - len(waiting) - len(found) < workers.capacity:
                entry = waiting.popleft().entry
                workers.send(entry.key, folder.plan.job(entry.point, entry.arm, entry.seed))
            for ended in workers.take(PERIOD):
                done = by_key[ended.key]
                digest = ended.measured.digest if ended.measured else ""
                found[ended.key] = Replayed(done, digest, ended.error)
                progress(f"{done.entry.arm} seed {done.entry.seed}", len(found), len(chosen))
    return [found[key] for key in by_key]


def _spread(every: list[Done], count: int) -> list[Done]:
    """Return ``count`` of a list, evenly spaced, the first one included."""
    count = min(count, len(every))
    return [every[i * len(every) // count] for i in range(count)]
