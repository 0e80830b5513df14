"""Drives a campaign: leases trials, hands them to workers, writes down how they ended."""

import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import TypeAlias

import msgspec

from qisguard.lab.campaign import results
from qisguard.lab.campaign.folder import RESULTS, SUMMARY, RunFolder
from qisguard.lab.campaign.ledger import LEASE, Entry, Ledger, me
from qisguard.lab.campaign.plan import Plan, next_count
from qisguard.lab.campaign.summary import Gathered, Summary, summarise
from qisguard.lab.campaign.workers import Ended, Workers
from qisguard.lab.journal.writing import Journal, own
from qisguard.lab.scenario.gates import State

PERIOD = 0.25
"""Seconds that results may wait for the next transaction."""
Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what ended, how many trials have, and how many there are."""


def work(
    folder: RunFolder,
    make_workers: Callable[[], Workers],
    progress: Progress,
    journal: Journal | None = None,
) -> Summary:
    """Run what is left of a campaign, and return what all of it found.

    However it ends, workers are ended, what was measured is written down and what was leased is
    given back, so that the run can be resumed. A kill leaves that to ``lab.journal``.
    """
    results.check_installed()
    with closing(Ledger(folder.ledger, me())) as ledger:
        ledger.take_over(time.time())
        with own(journal) as mine, mine.results(folder.path):
            folder.end("")
            try:
                _run_rounds(folder.plan, ledger, make_workers, progress)
            except BaseException:
                ledger.release()
                _write_results(folder, ledger)
                raise
            return conclude(folder, ledger)


def _run_rounds(
    plan: Plan, ledger: Ledger, make_workers: Callable[[], Workers], progress: Progress
) -> None:
    if not _want_more(plan, ledger):  # a finished run needs nobody
        return
    with closing(make_workers()) as workers:
        results.warm_up()  # while they start
        drive(plan, ledger, workers, progress)
        while _want_more(plan, ledger):
            drive(plan, ledger, workers, progress)


def drive(plan: Plan, ledger: Ledger, workers: Workers, progress: Progress) -> None:
    """Run everything that is pending; what ended is written down however this ends."""
    driver = _Driver(plan, ledger, workers, progress)
    try:
        driver.run()
    finally:
        driver.settle()


def conclude(folder: RunFolder, ledger: Ledger) -> Summary:
    """Write down what is measured so far, and return it."""
    summary = look(folder.plan, ledger)
    _write_results(folder, ledger)
    data = msgspec.json.format(msgspec.json.encode(summary), indent=2)
    folder.write(SUMMARY, data + b"\n")
    folder.end(summary.verdict if summary.is_complete else "")
    return summary


def _write_results(folder: RunFolder, ledger: Ledger) -> None:
    folder.put(RESULTS, lambda path: results.write_results(path, folder.plan, ledger.results()))


def look(plan: Plan, ledger: Ledger) -> Summary:
    """Return what is measured so far."""
    gathered = [Gathered(plan, point, ledger.results(point)) for point in range(len(plan.points))]
    return summarise(plan, gathered, ledger.failures(), ledger.counts())


def _want_more(plan: Plan, ledger: Ledger) -> bool:
    """Add the trials of the next round; return whether there are any to run."""
    every = range(len(plan.points))
    if not ledger.counts().all:
        ledger.add(plan.round((point, 0, plan.count) for point in every))
    counts = ledger.counts()
    if counts.pending or plan.until is None:
        return counts.pending > 0
    spans = []
    for point in every:
        gathered = Gathered(plan, point, ledger.results(point))
        row = gathered.row(plan.until.arm, plan.until.metric)
        seeds = ledger.seeds(point)
        if row is None or seeds >= plan.most:  # it cannot be measured here, or no more are allowed
            continue
        if plan.until.judge(row.interval, row.seeds) is not State.HELD:
            width = row.interval.high - row.interval.low if row.interval else None
            spans.append((point, seeds, next_count(width, plan.until.bound, seeds, plan.most)))
    return ledger.add(plan.round(spans)) > 0


class _Driver:
    """Keeps workers busy until nothing is pending."""

    def __init__(self, plan: Plan, ledger: Ledger, workers: Workers, progress: Progress) -> None:
        self._plan = plan
        self._ledger = ledger
        self._workers = workers
        self._progress = progress
        self._ready: deque[Entry] = deque()
        self._held: dict[str, Entry] = {}
        self._ended: list[Ended] = []
        self._turned = self._renewed = 0.0

    def run(self) -> None:
        """Return when every trial has ended."""
        counts = self._ledger.counts()
        over, total = 0, counts.pending + counts.leased
        self._progress("starting", over, total)
        self._turn()
        while self._held or self._ready:
            for ended in self._workers.take(PERIOD):
                entry = self._held.pop(ended.key, None)
                if entry is None:
                    continue
                self._ended.append(ended)
                over += ended.measured is not None or not ended.again
                what = f"{entry.arm} seed {entry.seed}"
                self._progress(f"{what}: {ended.error}" if ended.error else what, over, total)
            self._fill()
            if not self._ready or time.monotonic() - self._turned > PERIOD:
                self._turn()

    def settle(self) -> None:
        """Write down what ended."""
        self._ledger.turn(self._ended, 0, time.time())
        self._ended.clear()

    def _turn(self) -> None:
        """Write down what ended, lease what will be needed soon, renew leases."""
        now = time.time()
        wanted = max(0, 4 * self._workers.capacity - len(self._ready))
        leased = self._ledger.turn(self._ended, wanted, now)
        self._ended.clear()
        self._ready.extend(leased)
        if now - self._renewed > LEASE / 3:
            self._ledger.renew(now)
            self._renewed = now
        self._turned = time.monotonic()
        self._fill()

    def _fill(self) -> None:
        while self._ready and len(self._held) < self._workers.capacity:
            entry = self._ready.popleft()
            self._held[entry.key] = entry
            self._workers.send(entry.key, self._plan.job(entry.point, entry.arm, entry.seed))


def cores() -> int:
    """Return how many workers this machine has room for."""
    return os.cpu_count() or 1
