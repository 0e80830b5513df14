"""R4, the trail: SIGKILL at random moments of appends; what was acknowledged must be there after.

    nice -n 5 uv run python benchmarks/reliability/kill_trail.py --kills 10000 --seed 1

A child process appends entries to one trail, with packets and without, flushes every 1 to 64 of
them, acknowledges them over a pipe after the flush, and signs now and then. The parent kills it at
a random moment, sometimes while it opens the trail; then it opens the trail itself and wants every
entry that was ever acknowledged, as it was, and every checkpoint that was ever to be seen to be a
beginning of the tree. No two children write the same entries, so that a tree that lost some and
went on has another root. One seed gives one sequence of inputs and delays; where the kill falls
depends on the machine.

Prints ``tried / lost / upper bound`` (kills, kills after which something was missing, contradicted
or did not open, rule of three at 95 %). Exits 1 on a loss.
"""

import argparse
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from qisguard.errors import QisguardError
from qisguard.identity.keys import KeyPair
from qisguard.trail.checkpoint import Checkpoint, LogKey, parse_checkpoint, verify_checkpoint
from qisguard.trail.entries import Entry, decode_entry, encode_entry, hold, publish
from qisguard.trail.files import FolderFiles
from qisguard.trail.log import Trail, packet_path
from qisguard.trail.merkle import CompactRange, leaf_hash
from qisguard.trail.tiles import ENTRIES, TILE_WIDTH, Tile, decode_bundle, width_at

ORIGIN = "qisguard.invalid/0011223344556677/8899aabbccddeeff"
KEY = KeyPair.from_seed(b"\x01" * 32)
DELAY_MAX = 0.06
"""Seconds until a child is killed: from its start for every third one, so that the kill also falls
while it opens the trail; from its first acknowledgement for the others."""


def entry_of(number: int, life: int) -> tuple[Entry, list[bytes]]:
    """Return entry ``number`` as child ``life`` writes it."""
    if number % 5:
        return hold(life, [number.to_bytes(32, "big")]), []
    packet = b"packet %d of %d" % (number, life)
    return publish(life, packet), [packet]


def work(folder: str, life: int, seed: int, pipe: int) -> None:
    """Append, flush and sign until killed; tell the pipe what is durable."""
    rng = random.Random(seed)
    public, state = FolderFiles(Path(folder, "trail")), FolderFiles(Path(folder, "state"))
    start = Trail.open if Trail.exists(state) else Trail.create
    trail = start(public, state, ORIGIN, KEY)
    while True:
        for _ in range(rng.choice((1, 4, 16, 64))):
            entry, packets = entry_of(trail.size, life)
            trail.append(entry, packets)
        trail.flush()
        os.write(pipe, trail.size.to_bytes(8, "big"))
        if rng.random() < 0.2:
            trail.checkpoint()


def kill_one(
    folder: str, life: int, rng: random.Random, look: Callable[[], None]
) -> tuple[int, bool]:
    """Let one child work and kill it; return what it acknowledged, and whether it died by itself.

    ``look`` is called while it works: who follows a log sees checkpoints come.
    """
    reader, writer = os.pipe()
    seed, delay, is_early = rng.getrandbits(32), rng.random() * DELAY_MAX, rng.random() < 1 / 3
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            work(folder, life, seed, writer)
        finally:
            os._exit(3)
    os.close(writer)
    if not is_early:
        select.select([reader], [], [], 60)
    time.sleep(delay)
    look()
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    look()
    told = b""
    while select.select([reader], [], [], 0)[0] and (chunk := os.read(reader, 1 << 16)):
        told += chunk
    os.close(reader)
    return int.from_bytes(told[-8:], "big"), not os.WIFSIGNALED(status)


@dataclass
class Model:
    """What the trail has to hold, and every checkpoint that was seen."""

    folder: Path
    acknowledged: int = 0
    seen: dict[int, Checkpoint] = field(default_factory=dict)
    tree: CompactRange = field(default_factory=CompactRange)
    roots: dict[int, bytes] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Remember the checkpoint that is to be seen now."""
        try:
            note = (self.folder / "trail" / "checkpoint").read_bytes()
        except FileNotFoundError:
            return
        head = parse_checkpoint(note)
        verify_checkpoint(head, [LogKey(ORIGIN, KEY.public)])
        before = self.seen.setdefault(head.size, head)
        if before.root != head.root:
            self.wrong.append(f"two checkpoints of size {head.size}")

    def check(self, lives: int) -> None:
        """Open the trail and compare it with everything that was seen."""
        public, state = FolderFiles(self.folder / "trail"), FolderFiles(self.folder / "state")
        if not Trail.exists(state) and not self.seen and not self.acknowledged:
            return  # killed before there was anything
        trail = Trail.open(public, state, ORIGIN, KEY)
        trail.close()
        self.look()
        if trail.size < self.acknowledged:
            self.wrong.append(f"{trail.size} entries of {self.acknowledged} acknowledged")
        self._grow(public, trail.size, lives)
        for size, head in list(self.seen.items()):
            root = self.roots.get(size)
            if size > trail.size or root != head.root:
                self.wrong.append(f"the checkpoint of size {size} is no beginning of the tree")
        largest = max(self.seen)
        self.seen = {largest: self.seen[largest]}  # what the rest says was compared
        self.roots = {trail.size: self.tree.root()}
        self.acknowledged = max(self.acknowledged, trail.size)

    def _grow(self, public: FolderFiles, size: int, lives: int) -> None:
        """Add what is new: acknowledged or not, it is in a signed tree now and has to stay."""
        while self.tree.size < size:
            number = self.tree.size // TILE_WIDTH
            width = width_at(ENTRIES, number, size)
            data = public.read(Tile(ENTRIES, number, width).path) or b""
            for entry in decode_bundle(data, width)[self.tree.size % TILE_WIDTH :]:
                self._compare(public, entry, self.tree.size, lives)
                if self.tree.size in self.seen:
                    self.roots[self.tree.size] = self.tree.root()
                self.tree.append(leaf_hash(entry))
        self.roots[size] = self.tree.root()

    def _compare(self, public: FolderFiles, data: bytes, number: int, lives: int) -> None:
        """Note an entry that no child wrote, or whose packet is not there."""
        life = decode_entry(data).day
        entry, packets = entry_of(number, life)
        if encode_entry(entry) != data or not 0 <= life <= lives:
            self.wrong.append(f"entry {number} is not what a child wrote")
        for packet in packets:
            if public.read(packet_path(sha256(packet).digest())) != packet:
                self.wrong.append(f"the packet of entry {number} is missing")


def run(
    kills: int, seed: int, folder: Path, tell: Callable[[int], bool]
) -> tuple[Model, int, list[str], int]:
    """Return the model, the kills, what failed, and how many children acknowledged nothing.

    ``tell`` takes how many kills there were, and returns whether to go on.
    """
    rng, model, failures, idle, done = random.Random(seed), Model(folder), [], 0, 0
    for kill in range(kills):
        done += 1
        told, died = kill_one(str(folder), kill, rng, model.look)
        idle += not told
        model.acknowledged = max(model.acknowledged, told)
        if died:
            failures.append(f"kill {kill}: the child ended by itself")
        try:
            model.check(kill)
        except QisguardError as error:
            failures.append(f"kill {kill}: {error}")
        failures += [f"kill {kill}: {wrong}" for wrong in model.wrong]
        model.wrong.clear()
        if failures or not tell(done):
            break  # after a failure everything would fail of the same
    return model, done, failures, idle


def main() -> int:
    """Run all kills; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9, help="end sooner")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    began = time.perf_counter()

    def tell(done: int) -> bool:
        if done % 100 == 0:
            print(f"{done} of {arguments.kills} kills", file=sys.stderr)
        return time.perf_counter() - began < 60 * arguments.minutes

    with tempfile.TemporaryDirectory(prefix="qisguard-") as folder:
        model, done, failures, idle = run(arguments.kills, arguments.seed, Path(folder), tell)
    result = {
        "figure": "R4 trail",
        "tried": done,
        "lost": len(failures),
        "upper_bound": None if failures else 3 / done,
        "acknowledged": model.acknowledged,
        "killed_before_any_acknowledgement": idle,
        "failures": failures[:20],
        "seed": arguments.seed,
        "seconds": round(time.perf_counter() - began, 1),
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        bound = "-" if failures else f"{3 / done:.1g}"
        print(f"R4 trail: {done} / {len(failures)} / {bound}; {model.acknowledged} entries")
        print("\n".join(failures[:20]), end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
