"""Mirrors: a copy of somebody's log in which every file was verified before it was kept.

- The signed root proves the partial tiles, each tile proves the tiles under it, the lowest tiles
  prove the entries, entries prove packets. So a file is checked when it arrives, and a source that
  lies leaves nothing behind.
- The checkpoint comes last, and only if it continues the one that the mirror has. A copy that was
  interrupted goes on from the files that are there, which are checked like new ones.
- Tiles of the source that the checkpoint does not imply are not copied, nor what lies beside the
  log: evidence, witnesses' heads, stamps.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NoReturn

from qisguard.errors import DecodeError, ProofError, RecordError, TrailError
from qisguard.identity.keys import from_text
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    Checkpoint,
    LogKey,
    parse_checkpoint,
)
from qisguard.trail.entries import Publish, decode_entry
from qisguard.trail.files import Files
from qisguard.trail.log import packet_path
from qisguard.trail.merkle import HASH_SIZE, leaf_hash, root
from qisguard.trail.proofs import TreeReader
from qisguard.trail.recovery import CHECKPOINT
from qisguard.trail.tiles import (
    BUNDLE_SIZE_MAX,
    ENTRIES,
    TILE_WIDTH,
    Tile,
    Tower,
    changed_files,
    decode_bundle,
    decode_tile,
    encode_bundle,
    levels,
    partial_files,
    tile_count,
    width_at,
)
from qisguard.trail.tlog_proof import check_signed

PACKET_SIZE_MAX = 1 << 16
BATCH = 128
"""Files that are asked for, and made durable, at a time."""

Fetch = Callable[[Sequence[tuple[str, int]]], Sequence[bytes | None]]
"""Takes paths, each with how many bytes it may have; returns the files, or None where there is
none, in the same order; raises TrailError when the source cannot be reached or sends more."""
Tell = Callable[[int, int], None]
"""Takes how many files are done, and how many there are."""


@dataclass(slots=True)
class Copied:
    """What a mirror took over."""

    head: Checkpoint
    fetched_count: int = 0
    present_count: int = 0
    packet_count: int = 0
    absent_packet_count: int = 0


@dataclass(slots=True)
class Mirror:
    """Copies the log of ``key`` into ``target``."""

    target: Files
    key: LogKey
    fetch: Fetch
    with_packets: bool = True
    tell: Tell = lambda _done, _total: None
    _copied: Copied | None = field(default=None, init=False)
    _done: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)

    def run(self) -> Copied:
        """Copy everything that the source's checkpoint implies, then the checkpoint.

        Raises:
            TrailError: the source cannot be read, or lacks a file.
            DecodeError: its checkpoint is malformed.
            ProofError: its log did not sign the checkpoint, a file is not what the checkpoint says,
                or the checkpoint does not continue the one that is here.
        """
        note = self._one(CHECKPOINT, NOTE_SIZE_MAX)
        head = parse_checkpoint(note)
        self._check_head(head)
        copied = self._copied = Copied(head)
        self._total = sum(tile_count(level, head.size) for level in levels(head.size))
        old_size = self._check_continues(head)
        tower = self._right_edge(head)
        for level in reversed(levels(head.size)):
            if level != ENTRIES:
                self._copy_level(level, head.size, tower)
        self._copy_bundles(head.size, tower)
        self.target.write({CHECKPOINT: note})
        self._clean(old_size, head.size)
        return copied

    @property
    def copied(self) -> Copied:
        """Return what was taken over so far."""
        if self._copied is None:
            raise ValueError("mirror: has not run")
        return self._copied

    def _check_head(self, head: Checkpoint) -> None:
        if head.origin != self.key.name:
            raise ProofError(f"mirror: a checkpoint of {head.origin!r}, not {self.key.name!r}")
        check_signed(head, [self.key])

    def _check_continues(self, head: Checkpoint) -> int:
        """Return the size that the mirror has; raise ProofError unless ``head`` continues it."""
        note = self.target.read(CHECKPOINT)
        if note is None:
            return 0
        own = parse_checkpoint(note)
        self._check_head(own)
        if own.size > head.size:
            raise ProofError(
                f"mirror: the source is at size {head.size}, this mirror has seen {own.size} signed"
            )
        if own.size == head.size and own.root != head.root:
            raise ProofError(f"mirror: two roots were signed for size {head.size}: a split view")
        try:
            TreeReader(self._tile_or_none, head).consistency(own.size, own.root)
        except TrailError as error:
            raise ProofError(f"mirror: {error}") from None
        return own.size

    def _clean(self, old_size: int, size: int) -> None:
        """Remove partial files of what became full since ``old_size``, also by broken-off runs."""
        for tile in changed_files(old_size, size):
            if tile.width == TILE_WIDTH:
                folder = f"{tile.path}.p"
                self.target.remove([f"{folder}/{name}" for name in self.target.names(folder)])

    def _tile_or_none(self, path: str) -> bytes | None:
        return self.fetch([(path, TILE_WIDTH * HASH_SIZE)])[0]

    def _one(self, path: str, limit: int) -> bytes:
        data = self.fetch([(path, limit)])[0]
        if data is None:
            raise TrailError(f"mirror: the source has no {path!r}")
        return data

    def _right_edge(self, head: Checkpoint) -> Tower:
        """Copy the partial tiles, which together prove themselves, and return their tower."""
        tower = Tower()
        tower.size = head.size
        tower.levels = [[] for level in levels(head.size) if level != ENTRIES]
        files: dict[str, bytes] = {}
        wanted = [tile for tile in partial_files(head.size) if tile.level != ENTRIES]
        own = []
        for tile, data, is_own in self._batch(wanted):
            files[tile.path] = data
            tower.levels[tile.level] = _decoded(tile, data)
            own += [tile.path] * is_own
        if tower.root() != head.root:
            raise ProofError(
                f"mirror: the partial tiles do not have the root signed for size {head.size}"
                + (f"; {', '.join(own)} are this mirror's: remove them to fetch again" * bool(own))
            )
        self._keep(files)
        return tower

    def _keep(self, files: dict[str, bytes]) -> None:
        """Write files that were verified, but for those that are there."""
        new = {path: data for path, data in files.items() if self.target.read(path) != data}
        if new:
            self.target.write(new)
        self.copied.fetched_count += len(new)
        self.copied.present_count += len(files) - len(new)
        self._done += len(files)
        self.tell(self._done, self._total)

    def _batch(self, wanted: Sequence[Tile]) -> Iterator[tuple[Tile, bytes, bool]]:
        """Yield every file with whether it is the mirror's own."""
        held = [self.target.read(tile.path) for tile in wanted]
        missing = [tile for tile, data in zip(wanted, held, strict=True) if data is None]
        found = iter(self.fetch([(tile.path, _limit(tile)) for tile in missing]) if missing else ())
        for tile, own in zip(wanted, held, strict=True):
            data = next(found) if own is None else own
            yield tile, self._cut(tile) if data is None else data, own is not None

    def _cut(self, tile: Tile) -> bytes:
        """Return a missing partial file from the full one: the source went on, and cleaned up."""
        whole = Tile(tile.level, tile.index, TILE_WIDTH)
        data = self.fetch([(whole.path, _limit(whole))])[0] if tile.width < TILE_WIDTH else None
        if data is None:
            raise TrailError(f"mirror: the source has no {tile.path!r}")
        if tile.level != ENTRIES:
            return data[: tile.width * HASH_SIZE]
        entries = _entries(whole, data) or []
        return encode_bundle(entries[: tile.width])

    def _copy_level(self, level: int, size: int, tower: Tower) -> None:
        """Copy the full tiles of one level; each must have the hash that its parent holds."""
        count = (size >> 8 * level) // TILE_WIDTH
        parent: tuple[int, list[bytes]] = (-1, [])
        for start in range(0, count, BATCH):
            tiles = [Tile(level, n, TILE_WIDTH) for n in range(start, min(count, start + BATCH))]
            files = {}
            for tile, data, is_own in self._batch(tiles):
                number, place = divmod(tile.index, TILE_WIDTH)
                if parent[0] != number:
                    parent = (number, self._verified_row(level + 1, number, size, tower))
                if not _has_root(tile, data, parent[1][place]):
                    self._blame(tile, is_own=is_own)
                files[tile.path] = data
            self._keep(files)

    def _copy_bundles(self, size: int, tower: Tower) -> None:
        """Copy the entries; each must have the hash that its tile holds."""
        count = tile_count(ENTRIES, size)
        for start in range(0, count, BATCH):
            bundles = [
                Tile(ENTRIES, n, width_at(ENTRIES, n, size))
                for n in range(start, min(count, start + BATCH))
            ]
            files: dict[str, bytes] = {}
            named: list[bytes] = []
            for tile, data, is_own in self._batch(bundles):
                row = self._verified_row(0, tile.index, size, tower)
                entries = _entries(tile, data)
                if entries is None or [leaf_hash(entry) for entry in entries] != row:
                    self._blame(tile, is_own=is_own)
                files[tile.path] = data
                named += [digest for entry in entries if (digest := _named(entry))]
            self._keep(files)
            if self.with_packets:
                self._copy_packets(named)

    def _copy_packets(self, digests: Sequence[bytes]) -> None:
        """Copy packets that the source still has; an erased one is no fault."""
        absent = [digest for digest in digests if self.target.read(packet_path(digest)) is None]
        for start in range(0, len(absent), BATCH):
            part = absent[start : start + BATCH]
            found = self.fetch([(packet_path(digest), PACKET_SIZE_MAX) for digest in part])
            files = {}
            for digest, data in zip(part, found, strict=True):
                if data is None:
                    self.copied.absent_packet_count += 1
                elif sha256(data).digest() != digest:
                    raise ProofError(f"mirror: {packet_path(digest)!r} is another packet")
                else:
                    files[packet_path(digest)] = data
            if files:
                self.target.write(files)
            self.copied.packet_count += len(files)

    def _verified_row(self, level: int, number: int, size: int, tower: Tower) -> list[bytes]:
        """Return the hashes of a tile that was verified and kept before."""
        width = width_at(level, number, size)
        if width < TILE_WIDTH:
            return tower.levels[level]
        tile = Tile(level, number, width)
        data = self.target.read(tile.path)
        if data is None:
            raise TrailError(f"mirror: {tile.path!r} vanished from the mirror")
        return _decoded(tile, data)

    def _blame(self, tile: Tile, *, is_own: bool) -> NoReturn:
        whose = "this mirror's" if is_own else "the source's"
        raise ProofError(
            f"mirror: {whose} {tile.path!r} is not what the checkpoint of size "
            f"{self.copied.head.size} says"
            + ("; remove the file to fetch it again" if is_own else "")
        )


def _limit(tile: Tile) -> int:
    return BUNDLE_SIZE_MAX if tile.level == ENTRIES else tile.width * HASH_SIZE


def _has_root(tile: Tile, data: bytes, expected: bytes) -> bool:
    return len(data) == TILE_WIDTH * HASH_SIZE and root(_decoded(tile, data)) == expected


def _decoded(tile: Tile, data: bytes) -> list[bytes]:
    try:
        return decode_tile(data, tile.width)
    except DecodeError as error:
        raise ProofError(f"mirror: {tile.path!r}: {error}") from None


def _entries(tile: Tile, data: bytes) -> list[bytes] | None:
    try:
        return decode_bundle(data, tile.width)
    except DecodeError:
        return None


def _named(data: bytes) -> bytes | None:
    """Return the digest of the packet that an entry names, if it is an entry that names one."""
    try:
        entry = decode_entry(data)
    except (DecodeError, RecordError):  # in the log all the same; the audit says so
        return None
    return from_text(entry.digest, HASH_SIZE) if isinstance(entry, Publish) else None
