"""The trail: durable appends beside bare writes of the same bytes, and proofs from tiles.

Rates are of wall time, for waiting for the disk is what they are about; ours and the bare writes
take turns on one file system, so that a slow disk slows both. The tree of ten million entries has
true hashes in a few hundred tiles, from which proofs are made, and drawn ones in the rest.
"""

import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from statistics import median

from qisguard.identity.keys import KeyPair, to_text
from qisguard.lab.bench.rows import Row, Tell
from qisguard.trail.checkpoint import Checkpoint, sign_checkpoint
from qisguard.trail.entries import Publish
from qisguard.trail.files import FolderFiles
from qisguard.trail.log import Trail
from qisguard.trail.merkle import leaf_hash, root
from qisguard.trail.proofs import TreeReader
from qisguard.trail.recovery import WAL
from qisguard.trail.tiles import TILE_WIDTH, Tile, Tower, width_at

ORIGIN = "qisguard.invalid/0011223344556677/8899aabbccddeeff"
KEY = KeyPair.from_seed(b"\x01" * 32)
BATCH = 256
BATCHES = 64
"""Of one turn, which a checkpoint ends."""
SINGLES = 32
REPEATS = 9
RATE = 100_000
SINGLE_RATIO = 2.0
TREE_SIZE = 10_000_000
TRUE_TILES = 300
PROOF_TIME = 1.0
"""Milliseconds for one inclusion proof."""


@dataclass
class Turns:
    """Seconds that were measured, one of each for every turn."""

    append: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    signed: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    bare_single: list[float] = field(default_factory=list)


def measure(seed: int, tell: Tell) -> Sequence[Row]:
    """Return all rows."""
    total = REPEATS + 1
    turns = Turns()
    with tempfile.TemporaryDirectory(prefix="qisguard-") as folder:
        place = Path(folder)
        trail = Trail.create(
            FolderFiles(place / "trail"), FolderFiles(place / "state"), ORIGIN, KEY
        )
        for turn in range(REPEATS):
            _take_turn(turns, trail, place, seed + turn)
            tell(f"turn {turn + 1}", turn + 1, total)
        trail.close()
        rows = _append_rows(turns)
        rows += _proof_rows(place / "tree", seed)
        tell("proofs", total, total)
    return rows


def _entries(count: int, seed: int) -> list[Publish]:
    rng = random.Random(seed)
    return [Publish(20_000, to_text(rng.randbytes(32)), seq=n) for n in range(count)]


def _take_turn(turns: Turns, trail: Trail, place: Path, seed: int) -> None:
    """Append a turn's entries, write the same bytes bare, and sign."""
    entries = _entries(BATCH * BATCHES, seed)
    started, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(entries), BATCH):
        for entry in entries[start : start + BATCH]:
            trail.append(entry)
        trail.flush()
    appended = time.perf_counter() - started
    turns.append.append(appended)
    turns.cpu.append(time.process_time() - cpu)
    log = (place / "state" / WAL).read_bytes()
    size = len(log) // BATCHES
    turns.bare.append(
        _bare(place / "bare", [log[n * size : (n + 1) * size] for n in range(BATCHES)])
    )
    started = time.perf_counter()
    trail.checkpoint()
    turns.signed.append(appended + time.perf_counter() - started)
    singles = []
    for entry in _entries(SINGLES, seed + 1):
        started = time.perf_counter()
        trail.append(entry)
        trail.flush()
        singles.append(time.perf_counter() - started)
    log = (place / "state" / WAL).read_bytes()
    size = len(log) // SINGLES
    parts = [log[n * size : (n + 1) * size] for n in range(SINGLES)]
    turns.single.append(median(singles))
    turns.bare_single.append(median(_bare_each(place / "bare", parts)))
    trail.checkpoint()


def _bare(path: Path, parts: Sequence[bytes]) -> float:
    """Return the seconds that it takes to append parts to a file, each durably."""
    started = time.perf_counter()
    _bare_each(path, parts)
    return time.perf_counter() - started


def _bare_each(path: Path, parts: Sequence[bytes]) -> list[float]:
    with _opened(path) as descriptor:
        times = []
        for part in parts:
            started = time.perf_counter()
            os.write(descriptor, part)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
    return times


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _append_rows(turns: Turns) -> list[Row]:
    count = BATCH * BATCHES
    bare = count / median(turns.bare)
    ratio = median(
        ours / other for ours, other in zip(turns.single, turns.bare_single, strict=True)
    )
    single, bare_single = median(turns.single) * 1e6, median(turns.bare_single) * 1e6
    name = "bare write and fdatasync of the same bytes"
    return [
        Row(
            f"durable appends, batches of {BATCH}",
            count / median(turns.append),
            "entries/s",
            REPEATS,
            name,
            bare,
            least=RATE,
        ),
        Row("  of which CPU", median(turns.cpu) / count * 1e6, "CPU us/entry", REPEATS),
        Row(
            f"appends with their tree, signed every {count:,}",
            count / median(turns.signed),
            "entries/s",
            REPEATS,
            name,
            bare,
        ),
        Row("single durable append", single, "us", REPEATS, name, bare_single),
        Row("single durable append v. bare", ratio, "times", REPEATS, most=SINGLE_RATIO),
    ]


def make_tree(folder: Path, seed: int, size: int, true_tiles: int) -> tuple[Checkpoint, list[int]]:
    """Write the tiles of a tree of ``size``; return its checkpoint and the true tiles' numbers.

    The true tiles of level 0 hold the hashes of entries that are their index in decimal; the last,
    partial one is among them. The hashes that stand for other tiles are drawn.
    """
    rng = random.Random(seed)
    full = size // TILE_WIDTH
    chosen = sorted(rng.sample(range(full), min(full, true_tiles)))
    row = [rng.randbytes(32) for _ in range(full)]
    tower = Tower()
    tower.size = size
    for number in [*chosen, *([full] if size % TILE_WIDTH else [])]:
        width = width_at(0, number, size)
        hashes = [leaf_hash(b"%d" % (number * TILE_WIDTH + n)) for n in range(width)]
        _write(folder, Tile(0, number, width), hashes)
        if width == TILE_WIDTH:
            row[number] = root(hashes)
        else:
            tower.levels = [hashes]
    tower.levels = tower.levels or [[]]
    level = 1
    while row:
        above = []
        for start in range(0, len(row), TILE_WIDTH):
            part = row[start : start + TILE_WIDTH]
            _write(folder, Tile(level, start // TILE_WIDTH, len(part)), part)
            if len(part) == TILE_WIDTH:
                above.append(root(part))
        tower.levels.append(row[len(above) * TILE_WIDTH :])
        row, level = above, level + 1
    return sign_checkpoint(ORIGIN, size, tower.root(), KEY), chosen


def _write(folder: Path, tile: Tile, hashes: Sequence[bytes]) -> None:
    path = folder / tile.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(hashes))


def _proof_rows(folder: Path, seed: int) -> list[Row]:
    head, chosen = make_tree(folder, seed, TREE_SIZE, TRUE_TILES)
    rng = random.Random(seed)
    indices = [number * TILE_WIDTH + rng.randrange(TILE_WIDTH) for number in chosen]
    files = FolderFiles(folder)
    reader = TreeReader(files.read, head)
    cold, cpu, warm = [], [], []
    for index in indices:
        entry = b"%d" % index
        started, spent = time.perf_counter(), time.process_time()
        TreeReader(files.read, head).inclusion(index, entry)
        cold.append(time.perf_counter() - started)
        cpu.append(time.process_time() - spent)
        started = time.perf_counter()
        reader.inclusion(index, entry)
        warm.append(time.perf_counter() - started)
    hashing = _hashing(len(indices))
    what = f"inclusion proof at {TREE_SIZE:,} entries"
    count = len(indices)
    return [
        Row(f"{what}, a new reader each", median(cold) * 1e3, "ms", count, most=PROOF_TIME),
        Row(f"{what}, one reader", median(warm) * 1e3, "ms", count, most=PROOF_TIME),
        Row("  CPU of a new reader each", median(cpu) * 1e3, "CPU ms", count),
        Row("  of which 1,000 bare SHA-256 of 65 bytes would be", hashing * 1e3, "CPU ms", count),
    ]


def _hashing(repeats: int) -> float:
    """Return the CPU seconds of a thousand hashes."""
    data = bytes(65)
    times = []
    for _ in range(min(repeats, 30)):
        started = time.process_time()
        for _ in range(1_000):
            sha256(data).digest()
        times.append(time.process_time() - started)
    return median(times)
