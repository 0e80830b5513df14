"""A small scenario, trials that need no network, and workers that are this process."""

import os
import random
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from qisguard.lab.campaign.folder import RunFolder, create_run
from qisguard.lab.campaign.plan import Options, make_plan
from qisguard.lab.campaign.workers import Ended, Trial, attempt
from qisguard.lab.trial.engines import Job
from qisguard.lab.trial.measured import Measured, seal

SMALL = b"""
name = "small"
title = "A small network"
gates = ["defended.success >= 0.2"]
[network]
nodes = 16
node = { k = 4, siblings = 4, alpha = 1, disjoint_paths = 1 }
[workload]
operations = 3
[attack]
name = "look_up_misroute"
share = 0.2
arrival = "settled"
[[defenses]]
name = "disjoint_paths"
parameters = { paths = 4 }
[seeds]
count = 4
most = 40
[[expected]]
value = "clean.success"
low = 0.9
high = 1.0
source = "a network that nobody attacks"
[[expected]]
value = "clean.hops"
low = 40
high = 50
source = "an error"
[grid]
"attack.share" = [0.1, 0.3]
"""


def toss(job: Job) -> Measured:
    """Stand in for a network: ten tries, each of which succeeds in 7 of 10 cases under attack."""
    rng = random.Random(f"{job.arm} {job.point} {job.seed}")
    chance = 0.7 if job.arm in ("attacked", "defended") else 1.0
    hits = sum(rng.random() < chance for _ in range(10))
    ratios, values = {"success": (hits, 10)}, {"hops": rng.random()}
    return Measured(ratios, values, seal("", ratios, values), ["tossed"], 0.0, 0.0)


def toss_or_die(marks: Path, seed: int, job: Job) -> Measured:
    """Like ``toss``, but one trial kills its process the first two times."""
    if (job.arm, job.seed, job.point) == ("attacked", seed, {"attack.share": 0.1}):
        marks.mkdir(exist_ok=True)
        count = len(list(marks.iterdir()))
        if count < 2:
            (marks / str(count)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return toss(job)


class Stillborn:
    """A trial that ends the process that loads it."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        """Return what a process does to load it."""
        return os._exit, (3,)

    def __call__(self, job: Job) -> Measured:
        """Never get so far."""
        raise AssertionError


def toss_slowly(seconds: float, job: Job) -> Measured:
    """Like ``toss``, and keep a core busy for so long."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return toss(job)


DEFAULTS = Options()


class Here:
    """Workers that are this process: a trial runs when somebody waits for it."""

    capacity = 3

    def __init__(self, run: Trial = toss) -> None:
        self._run = run
        self._held: deque[tuple[str, Job]] = deque()
        self.ran: list[Job] = []
        self.is_closed = False

    def send(self, key: str, job: Job) -> None:
        """Take a trial."""
        self._held.append((key, job))

    def take(self, timeout: float) -> list[Ended]:
        """Run one."""
        key, job = self._held.popleft()
        self.ran.append(job)
        return [attempt(key, job, "here", self._run)]

    def close(self) -> None:
        """Note that it was closed."""
        self.is_closed = True


def run_folder(
    out: Path, data: bytes = SMALL, options: Options = DEFAULTS, *, is_sweep: bool = True
) -> RunFolder:
    """Return the folder of a run that has not begun."""
    plan = make_plan(data, options, is_sweep=is_sweep)
    return create_run(out, plan, options, "qisguard attack")


def silent(what: str, done: int, total: int) -> None:
    """Take progress and tell nobody."""


def wait_for(condition: Callable[[], bool], patience: float = 60.0) -> None:
    """Return when ``condition`` holds; what another process does cannot be waited for otherwise."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)
