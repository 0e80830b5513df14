"""Change a trail in one place at random and audit it: nothing false may pass (PROOF R19).

    uv run python benchmarks/reliability/mutate_trails.py --seed 1 --count 1000000 [--json]

A small trail with packets, a cosigned checkpoint, an anchored stamp, a batch receipt, the note that
a peer keeps, a proof file and a bundle is changed in one place: a bit, a byte, a run of bytes that
is doubled, cut out, moved or made up, a file cut short, emptied, removed, renamed or put beside
another one. The result is *accepted* when the verdict is clean.

What is accepted is compared with the honest trail by other means than the auditor's, and counted
apart when it says the same: a signature line of an unknown key that was changed (such lines are
ignored, C2SP signed-note), and a packet that was removed (packets may be erased). Anything else
that is accepted is a failure. The honest trail itself is audited all the time as well: an auditor
that refuses everything would prove nothing.

``log`` is audited as a whole. The other targets are judged by the same functions that the auditor
calls for them, with the tree of the honest log, which is the same for all of them; every hundredth
is audited as a whole too, and must end alike.

Exit codes: 0 nothing false was accepted, nothing was raised and nothing honest refused; 1
otherwise.
"""

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from mutated_trail import TARGETS, Bench

from qisguard.lab.bench.rows import commit

GENUINE_EVERY = 500
WHOLE_EVERY = 100
SHOWN_MAX = 10
SHARE = 2_000
"""Mutations of one task; its seed is that of the run and its number."""
REPORT_PERIOD = 10.0


@dataclass
class Figures:
    """What was tried; ``failures`` says how to repeat the first few."""

    tried: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    raised: int = 0
    genuine: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        """Add what another task tried."""
        for name in ("tried", "same", "unchanged", "accepted"):
            getattr(self, name).update(getattr(other, name))
        self.raised += other.raised
        self.genuine += other.genuine
        self.refused += other.refused
        self.failures = [*self.failures, *other.failures][:SHOWN_MAX]


def run(seed: int, task: int, count: int, targets: tuple[str, ...]) -> Figures:
    """Return what came of one task."""
    figures = Figures()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="qisguard-mutate-", dir=memory) as place:
        bench = Bench(Path(place))
        for number in range(count):
            rng = random.Random(f"{seed} {task} {number}")
            if number % GENUINE_EVERY == 0:
                figures.genuine += 1
                figures.refused += not bench.is_honest_clean()
            target = targets[number % len(targets)]
            try:
                tried = bench.mutate(target, rng, is_whole=number % WHOLE_EVERY == 0)
            except Exception as error:
                figures.raised += 1
                figures.failures.append(f"{target}: raised {error!r} at {seed} {task} {number}")
                bench.restore()
                continue
            if tried.is_unchanged:
                figures.unchanged[target] += 1
                continue
            figures.tried[target] += 1
            if tried.is_clean and tried.reason:
                figures.same[f"{target}: {tried.reason}"] += 1
            elif tried.is_clean:
                figures.accepted[target] += 1
                figures.failures.append(f"{target}: {tried.what} at {seed} {task} {number}")
    return figures


def measure(seed: int, count: int, targets: tuple[str, ...], processes: int) -> Figures:
    """Try ``count`` mutations, dealt over processes, and tell how far it is."""
    whole, start, last = Figures(), time.monotonic(), time.monotonic()
    tasks = -(-count // SHARE)
    sizes = [min(SHARE, count - task * SHARE) for task in range(tasks)]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        answers = pool.map(run, repeat(seed), range(tasks), sizes, repeat(targets))
        for done, figures in enumerate(answers, 1):
            whole.add(figures)
            if time.monotonic() - last > REPORT_PERIOD:
                last = time.monotonic()
                left = (last - start) / done * (tasks - done)
                print(f"{done} of {tasks} tasks, about {left:.0f} s left", file=sys.stderr)
    return whole


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    start = time.monotonic()
    targets = tuple(options.target or TARGETS)
    figures = measure(options.seed, options.count, targets, options.processes)
    tried = sum(figures.tried.values())
    good = not (figures.accepted or figures.raised or figures.refused) and tried > 0
    value = {
        "figure": "R19",
        "seed": options.seed,
        "commit": commit(),
        "machine": platform.machine(),
        "seconds": round(time.monotonic() - start, 1),
        "tried": tried,
        "tried_by_target": dict(sorted(figures.tried.items())),
        "accepted": dict(figures.accepted),
        "bound_95": 3 / tried if tried else None,
        "accepted_because_nothing_changed_that_counts": dict(sorted(figures.same.items())),
        "left_as_it_was": sum(figures.unchanged.values()),
        "raised": figures.raised,
        "honest": figures.genuine,
        "honest_refused": figures.refused,
        "failures": figures.failures,
    }
    if options.json:
        print(json.dumps(value, indent=2))
    else:
        for name, shown in value.items():
            print(f"{name}: {shown}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
