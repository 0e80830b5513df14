"""R5, the trail: power loss after every step of recorded appends; what was acknowledged must stay.

    nice -n 5 uv run python benchmarks/reliability/torn_trail.py --appends 2000 --seed 1

A trail is written into a real folder while every system call that changes it is recorded: writes,
renames, new and removed names, fsyncs. Now and then the process dies in the middle of a step and
opens the trail again, with the page cache of before. For every prefix of the recording, disks are
made up that a power loss could leave: what was not fsynced is there, is not, is there without its
name or the name without it, is torn at each sector of 512 bytes with nothing or zeros behind, or a
random choice of these. The trail must open on each, hold every entry that was acknowledged by then,
continue every checkpoint that could be seen by then, and go on.

Prints ``tried / failed / upper bound`` (disks, rule of three at 95 %). Exits 1 on a failure.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qisguard.errors import QisguardError
from qisguard.identity.keys import KeyPair
from qisguard.trail import files as files_module
from qisguard.trail.checkpoint import Checkpoint, parse_checkpoint
from qisguard.trail.entries import Entry, encode_entry, hold, publish
from qisguard.trail.files import FolderFiles, MemoryFiles
from qisguard.trail.log import Trail
from qisguard.trail.merkle import CompactRange, leaf_hash
from qisguard.trail.recovery import PLACE
from qisguard.trail.tiles import ENTRIES, decode_bundle, files_of

ORIGIN = "qisguard.invalid/0011223344556677/8899aabbccddeeff"
KEY = KeyPair.from_seed(b"\x01" * 32)
SECTOR = 512
DIE_RATIO = 0.03
"""Of recorded steps after which the process dies."""


class DiedError(BaseException):
    """The process is killed."""


@dataclass
class Inode:
    """A file or folder as the page cache has it, and as the disk is known to have it."""

    data: bytes = b""
    saved: bytes = b""
    writes: list[bytes] = field(default_factory=list)  # appended since the last fsync
    names: dict[str, "Inode"] | None = None  # of a folder
    saved_names: dict[str, "Inode"] = field(default_factory=dict)
    changes: list[dict[str, "Inode | None"]] = field(default_factory=list)

    def change(self, names: dict[str, "Inode | None"]) -> None:
        """Change names of a folder, in one step."""
        assert self.names is not None
        self.changes.append(names)
        _apply(self.names, names)

    def sync(self) -> None:
        """Make everything durable."""
        if self.names is None:
            self.saved, self.writes = self.data, []
        else:
            self.saved_names, self.changes = dict(self.names), []


def _apply(held: "dict[str, Inode]", change: "dict[str, Inode | None]") -> None:
    for name, inode in change.items():
        if inode is None:
            held.pop(name, None)
        else:
            held[name] = inode


Choice = Callable[[Inode], tuple[int, bytes]]
"""Takes an inode with something pending; returns how many pending steps are on the disk, and what
is there of the one after them."""


@dataclass
class Disk:
    """Stands in for ``os`` in ``qisguard.trail.files``: does as it is told, and keeps count."""

    root: Path
    after_step: Callable[[], None] = lambda: None
    top: Inode = field(default_factory=lambda: Inode(names={}))
    opened: dict[int, tuple[Inode, bool]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> object:
        """What changes nothing is the operating system's business."""
        return getattr(os, name)

    def _inode(self, path: Path) -> Inode:
        found = self.top
        for part in path.relative_to(self.root).parts:
            assert found.names is not None
            found = found.names[part]
        return found

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        """Open, and note a new or emptied file."""
        is_new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        descriptor = os.open(path, flags, mode)
        path = Path(path)
        if path.name == files_module.LOCK:
            return descriptor
        if is_new:
            self._inode(path.parent).change({path.name: Inode()})
        inode = self._inode(path)
        if flags & os.O_TRUNC and not is_new:
            # whatever a crash left of an earlier temporary file is gone, as the name says nothing
            self._inode(path.parent).change({path.name: (inode := Inode())})
        self.opened[descriptor] = (inode, is_new)
        return descriptor

    def close(self, descriptor: int) -> None:
        """Close."""
        self.opened.pop(descriptor, None)
        os.close(descriptor)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Append to a file: nothing is ever overwritten."""
        inode, _ = self.opened[descriptor]
        size = os.write(descriptor, data)
        inode.data += bytes(data[:size])
        inode.writes.append(bytes(data[:size]))
        self.after_step()
        return size

    def fsync(self, descriptor: int) -> None:
        """Note that this is durable; the real disk need not know."""
        self.opened[descriptor][0].sync()
        self.after_step()

    fdatasync = fsync

    def rename(self, old: Path, new: Path) -> None:
        """Rename inside one folder."""
        assert old.parent == new.parent
        os.rename(old, new)
        folder = self._inode(old.parent)
        folder.change({new.name: self._inode(old), old.name: None})
        self.after_step()

    def mkdir(self, path: Path) -> None:
        """Make a folder."""
        os.mkdir(path)
        self._inode(path.parent).change({path.name: Inode(names={})})
        self.after_step()

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        os.unlink(path)
        self._inode(path.parent).change({path.name: None})
        self.after_step()

    rmdir_real = staticmethod(os.rmdir)

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        self.rmdir_real(path)
        self._inode(path.parent).change({path.name: None})
        self.after_step()

    def left(self, choice: Choice) -> dict[str, bytes]:
        """Return the files of one disk that a power loss may leave now."""
        found: dict[str, bytes] = {}
        _collect(self.top, "", choice, found)
        return found

    def pending(self) -> list[Inode]:
        """Return what has something that is not durable."""
        found: list[Inode] = []
        seen: set[int] = set()

        def visit(inode: Inode) -> None:
            if id(inode) in seen:
                return
            seen.add(id(inode))
            if inode.writes or inode.changes:
                found.append(inode)
            if inode.names is not None:
                for inner in (*inode.names.values(), *inode.saved_names.values()):
                    visit(inner)

        visit(self.top)
        return found


def _collect(inode: Inode, path: str, choice: Choice, found: dict[str, bytes]) -> None:
    if inode.names is None:
        if not inode.writes:
            found[path] = inode.saved
            return
        count, part = choice(inode)
        found[path] = inode.saved + b"".join(inode.writes[:count]) + part
        return
    names = inode.saved_names
    if inode.changes:
        names = dict(names)
        for change in inode.changes[: choice(inode)[0]]:
            _apply(names, change)
    for name, inner in names.items():
        _collect(inner, f"{path}/{name}" if path else name, choice, found)


def _none(_: Inode) -> tuple[int, bytes]:
    return 0, b""


def _all(_: Inode) -> tuple[int, bytes]:
    return 1 << 30, b""


def _names_only(inode: Inode) -> tuple[int, bytes]:
    return (1 << 30 if inode.names is not None else 0), b""


def _data_only(inode: Inode) -> tuple[int, bytes]:
    return (0 if inode.names is not None else 1 << 30), b""


def _torn(target: Inode, size: int, *, is_zeroed: bool) -> Choice:
    """Return the choice where the last write of one file ends after ``size`` bytes."""
    last = target.writes[-1]
    rest = bytes(len(last) - size) if is_zeroed else b""

    def choose(inode: Inode) -> tuple[int, bytes]:
        return (len(inode.writes) - 1, last[:size] + rest) if inode is target else _all(inode)

    return choose


def _random(rng: random.Random) -> Choice:
    """Return a choice that is made once for each inode."""
    made: dict[int, tuple[int, bytes]] = {}

    def choose(inode: Inode) -> tuple[int, bytes]:
        if id(inode) not in made:
            steps = inode.writes if inode.names is None else inode.changes
            count, part = rng.randint(0, len(steps)), b""
            if inode.names is None and count < len(steps):
                step = inode.writes[count]
                part = step[: rng.randrange(0, len(step) + 1, SECTOR)]
                part += bytes(len(step) - len(part)) * rng.randint(0, 1)
            made[id(inode)] = count, part
        return made[id(inode)]

    return choose


def choices(disk: Disk, rng: random.Random) -> Iterator[Choice]:
    """Yield what may be left of everything that is not durable."""
    pending = disk.pending()
    yield _all
    if not pending:
        return
    yield from (_none, _names_only, _data_only)
    for inode in pending:
        if inode.names is None and inode.writes:
            for size in range(0, len(inode.writes[-1]), SECTOR):
                yield _torn(inode, size, is_zeroed=False)
                yield _torn(inode, size, is_zeroed=True)
    if len(pending) > 1:
        yield _random(rng)


class Left(MemoryFiles):
    """Files that a power loss left; the folder is where it was."""

    def place(self) -> bytes:
        """Return the place that the state names."""
        return self.read(PLACE) or b"memory\n"

    def hold(self, files: Mapping[str, bytes]) -> None:
        """Take files as they are."""
        super().write(files)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Replace files by way of a temporary one, as a folder does."""
        self.remove([path + files_module.TEMPORARY for path in files])
        super().write(files)


def packet_of(number: int) -> bytes:
    """Return stand-in packet bytes."""
    return b"packet %d" % number


def entry_of(number: int, life: int) -> tuple[Entry, list[bytes]]:
    """Return entry ``number`` as life ``life`` of the process writes it: no two lives agree."""
    if number % 3:
        return hold(life, [number.to_bytes(32, "big")]), []
    return publish(life, packet_of(number)), [packet_of(number)]


@dataclass
class Proof:
    """What was promised so far, and the disks that were tried."""

    seed: int
    acknowledged: int = 0
    entries: list[bytes] = field(default_factory=list)
    roots: dict[int, bytes] = field(default_factory=dict)
    heads: dict[int, Checkpoint] = field(default_factory=dict)
    tried: int = 0
    steps: int = 0
    died: int = 0
    failures: list[str] = field(default_factory=list)

    def check_all(self, disk: Disk) -> None:
        """Try every disk that a power loss may leave after this step."""
        self.steps += 1
        note = disk.left(_all).get("public/checkpoint") if disk.top.names else None
        if note:
            head = parse_checkpoint(note)
            self.heads[head.size] = head
        rng = random.Random(f"{self.seed} {self.steps}")
        for number, choice in enumerate(choices(disk, rng)):
            self.tried += 1
            try:
                self._check(disk.left(choice))
            except (QisguardError, AssertionError) as error:
                self.failures.append(f"step {self.steps}, disk {number}: {error}")

    def _check(self, left: dict[str, bytes]) -> None:
        public, state = Left(), Left()
        for path, data in left.items():
            folder, _, inside = path.partition("/")
            (public if folder == "public" else state).hold({inside: data})
        if not Trail.exists(state):
            assert not self.heads, "the state is gone, and a checkpoint was seen"
            return
        trail = Trail.open(public, state, ORIGIN, KEY)
        size = trail.size
        assert size >= self.acknowledged, f"{size} entries of {self.acknowledged} acknowledged"
        trail.append(hold(99, [b"\xff" * 32]))
        head = trail.checkpoint()
        found = _entries(public, head.size)[:size]
        grown = CompactRange()
        for number, entry in enumerate(found):
            if number < self.acknowledged:
                assert entry == self.entries[number], f"entry {number} is another one"
            if number in self.heads:
                assert self.heads[number].root == grown.root(), f"size {number} was signed before"
            grown.append(leaf_hash(entry))
        assert max(self.heads, default=0) <= size, "a checkpoint that was seen is ahead"
        if size in self.heads:
            assert self.heads[size].root == grown.root(), f"size {size} was signed before"
        assert not any(path.endswith(".tmp") for path in public.paths()), "a temporary file is left"


def _entries(public: MemoryFiles, size: int) -> list[bytes]:
    found: list[bytes] = []
    for tile in files_of(size):
        if tile.level == ENTRIES:
            found += decode_bundle(public.read(tile.path) or b"", tile.width)
    return found


def work(proof: Proof, root: Path, appends: int, tell: Callable[[int], None]) -> None:
    """Append until ``appends`` are acknowledged, dying now and then, and check after each step."""
    rng = random.Random(proof.seed)
    disk = Disk(root)
    files_module.os = disk  # type: ignore[assignment] # stands in for it
    files_module.WRITERS = 1  # one order of steps for one seed

    def after_step() -> None:
        proof.check_all(disk)
        if rng.random() < DIE_RATIO:
            raise DiedError

    for name in ("public", "state"):
        disk.mkdir(root / name)
    disk.top.sync()
    disk.after_step = after_step
    life = 0
    while proof.acknowledged < appends:
        life += 1
        public, state = FolderFiles(root / "public"), FolderFiles(root / "state")
        try:
            start = Trail.open if Trail.exists(state) else Trail.create
            trail = start(public, state, ORIGIN, KEY)
            _recall(proof, trail, public)
            while proof.acknowledged < appends:
                for _ in range(rng.choice((1, 1, 2, 9))):
                    entry, packets = entry_of(trail.size, life)
                    trail.append(entry, packets)
                    proof.entries.append(encode_entry(entry))
                trail.flush()
                proof.acknowledged = trail.size
                proof.check_all(disk)
                if rng.random() < 0.2:
                    trail.checkpoint()
                tell(proof.acknowledged)
        except DiedError:
            proof.died += 1
        except QisguardError as error:
            proof.failures.append(f"life {life}, on a disk that forgot nothing: {error}")
            break
        state.unlock()
        for descriptor in list(disk.opened):  # what a process that dies leaves open
            disk.close(descriptor)
    files_module.os = os


def _recall(proof: Proof, trail: Trail, public: FolderFiles) -> None:
    """Take up what the trail holds: some of it was never acknowledged, and is now."""
    found: list[bytes] = []
    for tile in files_of(trail.size):
        if tile.level == ENTRIES:
            found += decode_bundle(public.read(tile.path) or b"", tile.width)
    if found[: proof.acknowledged] != proof.entries[: proof.acknowledged]:
        proof.failures.append("entries that were acknowledged changed when the process died")
    proof.entries, proof.acknowledged = found, trail.size


def run(appends: int, seed: int, tell: Callable[[int], None] = lambda _: None) -> Proof:
    """Return what came of ``appends`` appends."""
    proof = Proof(seed)
    with tempfile.TemporaryDirectory(prefix="qisguard-") as folder:
        try:
            work(proof, Path(folder).resolve(), appends, tell)
        finally:
            files_module.os = os
    return proof


def main() -> int:
    """Run all appends; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--appends", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    began = last = time.perf_counter()

    def tell(done: int) -> None:
        nonlocal last
        if time.perf_counter() - last > 10:
            last = time.perf_counter()
            print(f"{done} of {arguments.appends} appends", file=sys.stderr)

    proof = run(arguments.appends, arguments.seed, tell)
    count = len(proof.failures)
    result = {
        "figure": "R5 trail",
        "tried": proof.tried,
        "failed": count,
        "upper_bound": None if count else 3 / proof.tried,
        "appends": proof.acknowledged,
        "steps": proof.steps,
        "died": proof.died,
        "checkpoints": len(proof.heads),
        "failures": proof.failures[:20],
        "seed": arguments.seed,
        "seconds": round(time.perf_counter() - began, 1),
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        bound = "-" if count else f"{3 / proof.tried:.1g}"
        print(
            f"R5 trail: {proof.tried} / {count} / {bound}; {proof.acknowledged} appends, "
            f"{proof.steps} steps, the process died {proof.died} times"
        )
        print("\n".join(proof.failures[:20]), end="\n" if count else "")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
