"""One writer's trail: append, flush, checkpoint, and recovery after a crash at any moment.

The order that keeps every promise:

1. ``append`` buffers; ``flush`` makes the buffer durable in the private write-ahead log. What is
   flushed may be acknowledged, what is not may not.
2. ``checkpoint`` writes packets, bundles and tiles, each file atomically, and computes the root
   from what it reads back.
3. It persists (size, root) as the signed state *before* it signs, and refuses to go back: a size
   that shrinks, or one size with two roots, would be a fork of the log.
4. It replaces ``checkpoint``, removes the partial tiles of tiles that became full, and empties the
   write-ahead log. Every step can be repeated after a crash and gives the same bytes.

After a failed write the trail refuses everything: what the kernel dropped cannot be known, and the
write-ahead log decides at the next start. The private state (``lock``, ``wal``, ``signed``) lies
outside the public folder, because nothing unauthenticated may lie in it.

A trail *and* its state restored together from an old backup look like an honest old trail: only
others who remember a later checkpoint can tell.
"""

from collections.abc import Sequence
from hashlib import sha256

from qisguard.errors import QisguardError, TrailError
from qisguard.identity.keys import KeyPair, to_text
from qisguard.trail import wal
from qisguard.trail.checkpoint import (
    Checkpoint,
    LogKey,
    parse_checkpoint,
    parse_text,
    sign_checkpoint,
    verify_checkpoint,
)
from qisguard.trail.entries import Entry, Publish, decode_entry, encode_entry
from qisguard.trail.files import Files
from qisguard.trail.merkle import CompactRange, leaf_hash
from qisguard.trail.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    Tower,
    decode_bundle,
    decode_tile,
    encode_bundle,
    levels,
    partial_files,
    width_at,
)

CHECKPOINT = "checkpoint"
SIGNED = "signed"
WAL = "wal"


def packet_path(digest: bytes) -> str:
    """Return where the bytes of a published packet lie."""
    name = digest.hex()
    return f"packets/{name[:2]}/{name}"


class Trail:
    """The log of one node. Made by ``create`` or ``open``; closed by ``close``."""

    def __init__(self, public: Files, state: Files, origin: str, key: KeyPair) -> None:
        self.origin = origin
        self._public = public
        self._state = state
        self._key = key
        self._tower = Tower()
        self._range = CompactRange()
        self._full: list[tuple[Tile, list[bytes]]] = []
        self._entries: list[bytes] = []  # from the start of the last signed partial bundle
        self._packets: list[bytes] = []
        self._unflushed: list[bytes] = []
        self._signed = Checkpoint(origin, 0, self._range.root())
        self._head: Checkpoint | None = None
        self._failed = False

    @classmethod
    def create(cls, public: Files, state: Files, origin: str, key: KeyPair) -> "Trail":
        """Start an empty trail and sign its first checkpoint, of size 0.

        Raises:
            TrailError: there is a trail or a state already, or another writer holds it.
        """
        state.lock()
        try:
            for files, name in ((state, SIGNED), (state, WAL), (public, CHECKPOINT)):
                if files.read(name) is not None:
                    raise TrailError(f"trail: {name!r} exists already; open the trail instead")
            trail = cls(public, state, origin, key)
            trail._sign(trail._signed)
        except BaseException:
            state.unlock()
            raise
        return trail

    @classmethod
    def open(cls, public: Files, state: Files, origin: str, key: KeyPair) -> "Trail":
        """Continue a trail, after finishing what a crash interrupted.

        Raises:
            TrailError: another writer holds it, or trail, state and write-ahead log contradict each
                other in a way that no crash explains. Nothing is repaired or signed then.
        """
        state.lock()
        try:
            trail = cls(public, state, origin, key)
            trail._recover()
        except QisguardError as error:
            state.unlock()
            if isinstance(error, TrailError):
                raise
            raise TrailError(f"trail: {error}") from error
        except BaseException:
            state.unlock()
            raise
        return trail

    @staticmethod
    def exists(state: Files) -> bool:
        """Return whether this state belongs to a trail that was started."""
        return state.read(SIGNED) is not None

    def close(self) -> None:
        """Let another writer in. What was not flushed is lost, as in a crash."""
        self._failed = True
        self._state.unlock()

    @property
    def size(self) -> int:
        """Return the count of entries, buffered ones among them."""
        return self._tower.size

    @property
    def pending_count(self) -> int:
        """Return how many entries no checkpoint covers yet."""
        return self._tower.size - self._signed.size

    @property
    def head(self) -> Checkpoint:
        """Return the last signed checkpoint."""
        if self._head is None:
            raise TrailError("trail: has no checkpoint yet")
        return self._head

    def append(self, entry: Entry, packets: Sequence[bytes] = ()) -> int:
        """Buffer one entry and return its index.

        ``packets`` are the bytes behind a ``publish`` entry, kept beside the log; without them the
        entry still proves what was published, to whoever has the packet.

        Raises:
            ValueError: packets that the entry does not name.
        """
        self._check_usable()
        data = encode_entry(entry)
        decode_entry(data)  # an entry out of its bounds would spoil the trail for good
        named = entry.digest if isinstance(entry, Publish) else None
        if any(to_text(sha256(packet).digest()) != named for packet in packets):
            raise ValueError("append: only the packet that a publish entry names is kept")
        self._unflushed.append(wal.encode_record(data, packets))
        return self._add(data, packets)

    def flush(self) -> None:
        """Make every buffered entry durable; afterwards the node may acknowledge them."""
        if not self._unflushed:
            return
        self._check_usable()
        frame = wal.encode_frame(self._tower.size - len(self._unflushed), self._unflushed)
        try:
            self._state.append(WAL, frame)
        except BaseException as error:
            self._fail(error)
            raise
        self._unflushed.clear()

    def checkpoint(self) -> Checkpoint:
        """Put everything that was appended into the tree, sign it, and return the checkpoint."""
        self.flush()
        self._check_usable()
        if self._head is not None and self._head.size == self._tower.size:
            return self._head
        try:
            return self._advance(self._signed.size)
        except BaseException as error:
            self._fail(error)
            raise

    def _add(self, data: bytes, packets: Sequence[bytes]) -> int:
        leaf = leaf_hash(data)
        self._range.append(leaf)
        self._full += self._tower.append(leaf)
        self._entries.append(data)
        self._packets += packets
        return self._tower.size - 1

    def _advance(self, base: int) -> Checkpoint:
        """Write the tree, sign it and clean up after size ``base``."""
        files = self._tree_files()
        self._public.write(files)
        self._check_written(files)
        head = self._sign(Checkpoint(self.origin, self._tower.size, self._range.root()))
        self._clean(base)
        start = self._tower.size % TILE_WIDTH
        self._entries = self._entries[-start:] if start else []
        self._full.clear()
        self._packets.clear()
        return head

    def _tree_files(self) -> dict[str, bytes]:
        """Return what the tree adds to the public folder, less what lies there already.

        Raises:
            TrailError: a file that never changes is there with another content.
        """
        size = self._tower.size
        files = {packet_path(sha256(packet).digest()): packet for packet in self._packets}
        first = self._signed_bundle()
        for offset in range(0, len(self._entries), TILE_WIDTH):
            rows = self._entries[offset : offset + TILE_WIDTH]
            files[Tile(ENTRIES, first + offset // TILE_WIDTH, len(rows)).path] = encode_bundle(rows)
        for tile, hashes in (*self._full, *self._tower.partials()):
            files[tile.path] = b"".join(hashes)
        for path, data in list(files.items()):
            held = self._public.read(path)
            if held == data:
                del files[path]
            elif held is not None:
                raise TrailError(f"trail of {size}: {path!r} is there already and is different")
        return files

    def _signed_bundle(self) -> int:
        """Return the number of the bundle that ``_entries`` starts with."""
        return (self._tower.size - len(self._entries)) // TILE_WIDTH

    def _check_written(self, files: dict[str, bytes]) -> None:
        """Raise TrailError unless the disk gives back what was written, and the same root."""
        for path, data in files.items():
            if self._public.read(path) != data:
                raise TrailError(f"trail: {path!r} reads back different from what was written")
        if self._load_tower(self._tower.size).root() != self._range.root():
            raise TrailError("trail: the tiles that were read back have another root")

    def _sign(self, wanted: Checkpoint) -> Checkpoint:
        """Persist what is about to be signed, then sign and publish it; never go back."""
        stored = self._state.read(SIGNED)
        if stored is not None:
            last = parse_text(stored)
            if wanted.size < last.size or (wanted.size == last.size and wanted.root != last.root):
                raise TrailError(
                    f"trail: would sign size {wanted.size} after size {last.size}, or another root"
                )
        if stored != wanted.text:
            self._state.write({SIGNED: wanted.text})
        head = sign_checkpoint(wanted.origin, wanted.size, wanted.root, self._key)
        self._public.write({CHECKPOINT: head.encode()})
        self._signed, self._head = wanted, head
        return head

    def _clean(self, base: int) -> None:
        """Remove the partial tiles that became full after size ``base``, then empty the log.

        Earlier partial tiles stay until the full one is there, because who follows the log may hold
        an earlier checkpoint (C2SP tlog-tiles, partial tiles). The write-ahead log starts at the
        size signed before, so that a crash in between is made good: its first entry says which size
        to clean up after.
        """
        for tile in partial_files(base):
            if width_at(tile.level, tile.index, self._tower.size) == TILE_WIDTH:
                folder = Tile(tile.level, tile.index, TILE_WIDTH).path + ".p"
                self._public.remove([f"{folder}/{name}" for name in self._public.names(folder)])
        if self._state.read(WAL):
            self._state.write({WAL: b""})

    def _recover(self) -> None:
        stored = self._state.read(SIGNED)
        if stored is None:
            raise TrailError("trail: there is no signed state here; create the trail first")
        signed = parse_text(stored)
        head = self._read_head(signed)
        size = 0 if head is None else head.size
        self._tower = self._load_tower(size)
        self._range = self._tower.range()
        if head is not None and self._range.root() != head.root:
            raise TrailError(
                f"trail: the tiles do not have the root that size {size} was signed with"
            )
        self._entries = self._load_bundle(size)
        data = self._state.read(WAL) or b""
        records, whole_size = wal.decode_wal(data)
        if records and records[0].index > size:
            raise TrailError(
                f"write-ahead log: starts at entry {records[0].index}, the tree ends at {size}"
            )
        self._signed = Checkpoint(self.origin, size, self._range.root())
        self._head = head
        for record in records:
            if record.index >= size:
                self._add(record.entry, record.packets)
            if self._tower.size == signed.size and self._range.root() != signed.root:
                raise TrailError(f"trail: entries do not have the root signed for {signed.size}")
        if self._tower.size < signed.size:
            raise TrailError(
                f"trail: size {signed.size} was signed, only {self._tower.size} entries are left"
            )
        if whole_size < len(data):
            self._state.write({WAL: data[:whole_size]})
        if head is None or self._tower.size > size:
            self._advance(size)
        elif records:
            self._clean(records[0].index)

    def _read_head(self, signed: Checkpoint) -> Checkpoint | None:
        """Return the published checkpoint; None if the very first one was not written yet."""
        if signed.origin != self.origin:
            raise TrailError(f"trail: state belongs to {signed.origin!r}, not {self.origin!r}")
        note = self._public.read(CHECKPOINT)
        if note is None:
            if signed.size:
                raise TrailError(f"trail: size {signed.size} was signed, the checkpoint is gone")
            return None
        head = parse_checkpoint(note)
        verify_checkpoint(head, [LogKey(self.origin, self._key.public)])
        if head.origin != self.origin:
            raise TrailError(f"trail: checkpoint of {head.origin!r}, not {self.origin!r}")
        if head.size > signed.size:
            raise TrailError(
                f"trail: checkpoint of size {head.size} is newer than the signed state "
                f"({signed.size}): the state is an old copy"
            )
        if head.size == signed.size and head.root != signed.root:
            raise TrailError(f"trail: size {head.size} was signed with another root")
        return head

    def _load_tower(self, size: int) -> Tower:
        """Return the tower of a published size, from its partial tiles alone."""
        rows: list[list[bytes]] = [[] for level in levels(size) if level != ENTRIES]
        for tile in partial_files(size):
            if tile.level != ENTRIES:
                rows[tile.level] = decode_tile(self._read(tile), tile.width)
        tower = Tower()
        tower.size, tower.levels = size, rows
        return tower

    def _load_bundle(self, size: int) -> list[bytes]:
        """Return the entries of the partial bundle, once they are seen to be in the tree."""
        index = size // TILE_WIDTH
        width = width_at(ENTRIES, index, size)
        if not width:
            return []
        entries = decode_bundle(self._read(Tile(ENTRIES, index, width)), width)
        if [leaf_hash(entry) for entry in entries] != self._tower.levels[0]:
            raise TrailError(f"trail: entries of bundle {index} are not those of its tile")
        return entries

    def _read(self, tile: Tile) -> bytes:
        data = self._public.read(tile.path)
        if data is None:
            raise TrailError(f"trail: {tile.path!r} is missing")
        return data

    def _check_usable(self) -> None:
        if self._failed:
            raise TrailError("trail: closed, or a write failed; open it again to recover")

    def _fail(self, error: BaseException) -> None:
        """Refuse everything from now on; an error of the disk is raised as TrailError."""
        self._failed = True
        if isinstance(error, OSError):
            raise TrailError(
                f"trail: a write failed ({error}); stop, then open it again"
            ) from error
