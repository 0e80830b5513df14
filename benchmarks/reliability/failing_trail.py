"""R6, the trail: the n-th system call fails, for every n; nothing acknowledged is lost.

    nice -n 5 uv run python benchmarks/reliability/failing_trail.py

A trail is started in a folder, appended to, signed, closed and opened again, with one system call
failing once: with EIO, ENOSPC, EMFILE, or, if it is a write, after half of it. The trail must say
so with an error of ours and take nothing more; opened again on a sound machine it must hold what
was acknowledged and continue every checkpoint that was to be seen. A close that fails is left out:
nobody looks at what it returns, as all was synchronised before.

Prints ``tried / failed / upper bound`` (failing calls). Exits 1 on a failure.
"""

import argparse
import errno
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from qisguard.errors import QisguardError, TrailError
from qisguard.identity.keys import KeyPair
from qisguard.trail import files as files_module
from qisguard.trail.checkpoint import Checkpoint, parse_checkpoint
from qisguard.trail.entries import Entry, hold, publish
from qisguard.trail.files import FolderFiles
from qisguard.trail.log import Trail
from qisguard.trail.proofs import TreeReader

ORIGIN = "qisguard.invalid/0011223344556677/8899aabbccddeeff"
KEY = KeyPair.from_seed(b"\x01" * 32)
CALLS = ("open", "write", "fsync", "fdatasync", "rename", "mkdir", "unlink", "rmdir", "fstat")
CALLS += ("stat", "pread", "pwrite", "ftruncate")
SHORT = -1
ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EMFILE": errno.EMFILE, "short write": SHORT}
PARTS = (1, 3, 250, 4, 9)
"""Entries between flushes; every second flush is followed by a checkpoint."""


@dataclass
class Faulty:
    """Stands in for ``os`` in ``qisguard.trail.files``; call number ``at`` fails with ``error``."""

    at: int
    error: int
    count: int = 0
    failed: str = ""

    def __getattr__(self, name: str) -> object:
        """Return a call that may fail; synchronising is left out, as nobody pulls the plug."""
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: object, **named: object) -> object:
            self.count += 1
            if self.count == self.at:
                self.failed = name
                if self.error != SHORT:
                    raise OSError(self.error, os.strerror(self.error))
                if name == "write":
                    arguments = (arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])  # type: ignore[arg-type]
            return None if name in ("fsync", "fdatasync") else real(*arguments, **named)

        return call


@dataclass
class Seen:
    """What was promised."""

    acknowledged: int = 0
    heads: list[Checkpoint] = field(default_factory=list)

    def look(self, folder: Path) -> None:
        """Remember the checkpoint that is to be seen."""
        note = folder / "trail" / "checkpoint"
        if note.exists():
            self.heads.append(parse_checkpoint(note.read_bytes()))


def entry_of(number: int) -> tuple[Entry, list[bytes]]:
    """Return entry ``number`` and its packets."""
    packet = b"packet %d" % number
    if number % 40:
        return hold(1, [number.to_bytes(32, "big")]), []
    return publish(1, packet), [packet]


def live(folder: Path, seen: Seen) -> None:
    """Start or open the trail, append and sign, close and open it, twice."""
    for _ in range(2):
        public, state = FolderFiles(folder / "trail"), FolderFiles(folder / "state")
        try:
            start = Trail.open if Trail.exists(state) else Trail.create
            trail = start(public, state, ORIGIN, KEY)
            for turn, part in enumerate(PARTS):
                for _ in range(part):
                    trail.append(*entry_of(trail.size))
                trail.flush()
                seen.acknowledged = trail.size
                if turn % 2:
                    trail.checkpoint()
                    seen.look(folder)
            trail.close()
        finally:
            state.unlock()


def check(folder: Path, seen: Seen) -> str | None:
    """Return what is wrong with the trail on a sound machine, or None."""
    seen.look(folder)
    public, state = FolderFiles(folder / "trail"), FolderFiles(folder / "state")
    try:
        if not Trail.exists(state):
            return "acknowledged, and no trail" if seen.acknowledged else None
        trail = Trail.open(public, state, ORIGIN, KEY)
        trail.append(*entry_of(trail.size))
        head = trail.checkpoint()
        trail.close()
        if head.size <= seen.acknowledged:
            return f"{head.size - 1} entries of {seen.acknowledged}"
        reader = TreeReader(public.read, head)
        for before in seen.heads:
            reader.consistency(before.size, before.root)
    except QisguardError as error:
        return str(error)
    return None


def fail_at(at: int, error: int) -> tuple[str, str | None]:
    """Return which call failed, empty when there are not so many, and what came of it."""
    seen, wrong = Seen(), None
    with tempfile.TemporaryDirectory(prefix="qisguard-") as name:
        folder = Path(name)
        faulty = Faulty(at, error)
        files_module.os = faulty  # type: ignore[assignment] # stands in for it
        files_module.WRITERS = 1
        try:
            live(folder, seen)
        except TrailError:
            pass
        except OSError as raised:
            wrong = f"not an error of ours: {raised!r}"
        else:
            if faulty.failed and error != SHORT:  # a second write finishes half of one
                wrong = "said nothing"
        faulty.at = 0  # from here on the machine is sound
        try:
            return faulty.failed, wrong or check(folder, seen)
        finally:
            files_module.os = os


def main() -> int:
    """Let every call fail; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--stride", type=int, default=1, help="let only every n-th call fail")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    began = time.perf_counter()
    failures: list[str] = []
    calls: dict[str, int] = {}
    for name, error in ERRORS.items():
        at = 1
        while (found := fail_at(at, error))[0]:
            call, wrong = found
            if error != SHORT or call == "write":
                calls[call] = calls.get(call, 0) + 1
                if wrong:
                    failures.append(f"{name} in call {at}, {call}: {wrong}")
            at += arguments.stride
        print(f"{name}: {at - 1} calls", file=sys.stderr)
    tried = sum(calls.values())
    result = {
        "figure": "R6 trail",
        "tried": tried,
        "failed": len(failures),
        "upper_bound": None if failures else 3 / tried,
        "calls": calls,
        "failures": failures[:20],
        "seconds": round(time.perf_counter() - began, 1),
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        bound = "-" if failures else f"{3 / tried:.1g}"
        print(f"R6 trail: {tried} / {len(failures)} / {bound}; {calls}")
        print("\n".join(failures[:20]), end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
