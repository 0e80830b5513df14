"""What a trail's folders hold at the start: read, checked against each other, never repaired.

The signed state is what the writer promised, the checkpoint what it published, the tiles what it
wrote, the write-ahead log what it acknowledged. After a crash each is at most one step behind the
one before it; any other contradiction means that something was lost, copied or changed, and stops.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qisguard.errors import TrailError
from qisguard.trail import wal
from qisguard.trail.checkpoint import (
    Checkpoint,
    LogKey,
    parse_checkpoint,
    parse_text,
    verify_checkpoint,
)
from qisguard.trail.files import Files
from qisguard.trail.merkle import CompactRange, leaf_hash
from qisguard.trail.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    Tower,
    decode_bundle,
    decode_tile,
    levels,
    partial_files,
    width_at,
)

CHECKPOINT = "checkpoint"
SIGNED = "signed"
WAL = "wal"
PLACE = "place"


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where a trail stands.

    head: the published checkpoint; None when the very first one was not written yet.
    tower: the tree of the head. entries: those of its partial bundle.
    records: what the write-ahead log holds, from ``start`` on; some of it may be in the tree.
    wal_size: bytes of it that are whole, where ``is_torn`` says that there are more.
    """

    head: Checkpoint | None
    tower: Tower
    entries: list[bytes]
    records: list[wal.Record]
    wal_size: int
    is_torn: bool

    @property
    def size(self) -> int:
        """Return the size of the tree that was published."""
        return self.tower.size

    @property
    def fresh(self) -> Sequence[wal.Record]:
        """Return the records that are not in the tree yet."""
        return [record for record in self.records if record.index >= self.size]


def recover(public: Files, state: Files, key: LogKey, *, is_copy: bool = False) -> Recovered:
    """Read and check everything; nothing is written.

    ``is_copy``: the state may be a copy; whoever says so asked those who cosigned the log.

    Raises:
        TrailError: no trail was started here, this is a copy, or what is here contradicts itself.
        DecodeError, ProofError: a file is not what it should be.
    """
    stored = state.read(SIGNED)
    if stored is None:
        raise TrailError("trail: there is no signed state here; create the trail first")
    place = state.read(PLACE)
    if place is not None and place != state.place() and not is_copy:
        raise TrailError(
            "trail: this state was copied or restored from a backup: later checkpoints of this log "
            "may exist, and signing again would fork it; ask its witnesses with "
            "'qisguard trail restore'"
        )
    signed = parse_text(stored)
    head = read_head(public, signed, key)
    size = 0 if head is None else head.size
    tower = load_tower(public, size)
    if head is not None and tower.root() != head.root:
        raise TrailError(f"trail: the tiles do not have the root that size {size} was signed with")
    data = state.read(WAL) or b""
    records, whole_size = wal.decode_wal(data)
    if records and records[0].index > size:
        raise TrailError(
            f"write-ahead log: starts at entry {records[0].index}, the tree ends at {size}"
        )
    entries = load_bundle(public, tower)
    found = Recovered(head, tower, entries, records, whole_size, whole_size < len(data))
    _check_signed(found, signed)
    return found


def read_head(public: Files, signed: Checkpoint, key: LogKey) -> Checkpoint | None:
    """Return the published checkpoint; None if the very first one was not written yet."""
    if signed.origin != key.name:
        raise TrailError(f"trail: state belongs to {signed.origin!r}, not {key.name!r}")
    note = public.read(CHECKPOINT)
    if note is None:
        if signed.size:
            raise TrailError(f"trail: size {signed.size} was signed, the checkpoint is gone")
        return None
    head = parse_checkpoint(note)
    verify_checkpoint(head, [key])
    if head.origin != key.name:
        raise TrailError(f"trail: checkpoint of {head.origin!r}, not {key.name!r}")
    if head.size > signed.size:
        raise TrailError(
            f"trail: checkpoint of size {head.size} is newer than the signed state "
            f"({signed.size}): the state is an old copy; ask the log's witnesses with "
            "'qisguard trail restore'"
        )
    if head.size == signed.size and head.root != signed.root:
        raise TrailError(f"trail: size {head.size} was signed with another root")
    return head


def load_tower(public: Files, size: int) -> Tower:
    """Return the tower of a published size, from its partial tiles alone."""
    rows: list[list[bytes]] = [[] for level in levels(size) if level != ENTRIES]
    for tile in partial_files(size):
        if tile.level != ENTRIES:
            rows[tile.level] = decode_tile(_read(public, tile), tile.width)
    tower = Tower()
    tower.size, tower.levels = size, rows
    return tower


def load_bundle(public: Files, tower: Tower) -> list[bytes]:
    """Return the entries of the partial bundle, once they are seen to be in the tree."""
    index = tower.size // TILE_WIDTH
    width = width_at(ENTRIES, index, tower.size)
    if not width:
        return []
    entries = decode_bundle(_read(public, Tile(ENTRIES, index, width)), width)
    if [leaf_hash(entry) for entry in entries] != tower.levels[0]:
        raise TrailError(f"trail: entries of bundle {index} are not those of its tile")
    return entries


def _check_signed(found: Recovered, signed: Checkpoint) -> None:
    """Raise TrailError unless tree and write-ahead log have what was signed."""
    grown = found.tower.range()
    fresh = found.fresh
    if found.size + len(fresh) < signed.size:
        raise TrailError(
            f"trail: size {signed.size} was signed, only {found.size + len(fresh)} entries are left"
        )
    _extend(grown, fresh[: max(0, signed.size - found.size)])
    if signed.size == grown.size and grown.root() != signed.root:
        raise TrailError(f"trail: entries do not have the root signed for {signed.size}")


def _extend(grown: CompactRange, records: Sequence[wal.Record]) -> None:
    grown.extend([leaf_hash(record.entry) for record in records])


def _read(public: Files, tile: Tile) -> bytes:
    data = public.read(tile.path)
    if data is None:
        raise TrailError(f"trail: {tile.path!r} is missing")
    return data
