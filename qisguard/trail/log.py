"""One writer's trail: append, flush, checkpoint, and recovery after a crash at any moment.

The order that keeps every promise:

1. ``append`` buffers; ``flush`` makes the buffer durable in the private write-ahead log. What is
   flushed may be acknowledged, what is not may not.
2. ``checkpoint`` hashes what was appended, writes packets, bundles and tiles, each file atomically,
   and computes the root from what it reads back.
3. It persists (size, root) as the signed state *before* it signs, and refuses to go back: a size
   that shrinks, or one size with two roots, would be a fork of the log. It looks first whether the
   lock is still its own.
4. It replaces ``checkpoint``, removes the partial tiles of tiles that became full, and empties the
   write-ahead log. Every step can be repeated after a crash and gives the same bytes.

After a failed write the trail refuses everything: what the kernel dropped cannot be known, and the
write-ahead log decides at the next start, which makes durable again whatever it goes on from. The
private state (``lock``, ``place``, ``wal``, ``signed``) lies outside the public folder, because
nothing unauthenticated may lie in it.

A state that was copied or restored is known by its ``place``, and refused until others were asked
(``qisguard.trail.restore``). A rolled back disk image keeps its place: only others who remember a
later checkpoint can tell.
"""

from collections.abc import Sequence
from hashlib import sha256

from qisguard.errors import QisguardError, TrailError
from qisguard.identity.keys import KeyPair, to_text
from qisguard.trail import wal
from qisguard.trail.checkpoint import (
    LINE_COUNT_MAX,
    Checkpoint,
    Line,
    LogKey,
    parse_text,
    sign_checkpoint,
)
from qisguard.trail.entries import Entry, Publish, encode_checked
from qisguard.trail.files import Files
from qisguard.trail.merkle import CompactRange
from qisguard.trail.recovery import CHECKPOINT as CHECKPOINT
from qisguard.trail.recovery import PLACE, SIGNED, WAL, load_tower, recover
from qisguard.trail.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    Tower,
    encode_bundle,
    partial_files,
    width_at,
)


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
        self._tower = Tower()  # the tree that was written; entries behind it are not hashed yet
        self._range = CompactRange()
        self._entries: list[bytes] = []  # from the start of the last signed partial bundle
        self._packets: list[bytes] = []
        self._unflushed: list[bytes] = []
        self._size = 0
        self._signed = Checkpoint(origin, 0, self._range.root())
        self._head: Checkpoint | None = None
        self._failed = False

    @classmethod
    def create(cls, public: Files, state: Files, origin: str, key: KeyPair) -> "Trail":
        """Start an empty trail and sign its first checkpoint, of size 0.

        Raises:
            TrailError: there is a trail or a state already, or another writer holds it.
        """
        _lock(state)
        try:
            for files, name in ((state, SIGNED), (state, WAL), (public, CHECKPOINT)):
                if files.read(name) is not None:
                    raise TrailError(f"trail: {name!r} exists already; open the trail instead")
            trail = cls(public, state, origin, key)
            state.write({PLACE: state.place()})
            trail._sign(trail._signed)
        except OSError as error:
            state.unlock()
            raise TrailError(f"trail: {error}; open it again") from error
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
        _lock(state)
        try:
            trail = cls(public, state, origin, key)
            trail._recover()
        except (QisguardError, OSError) as error:
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
        try:
            return state.read(SIGNED) is not None
        except OSError as error:
            raise TrailError(f"trail: {SIGNED!r} cannot be read: {error}") from error

    def close(self) -> None:
        """Let another writer in. What was not flushed is lost, as in a crash."""
        self._failed = True
        self._state.unlock()

    @property
    def size(self) -> int:
        """Return the count of entries, buffered ones among them."""
        return self._size

    @property
    def pending_count(self) -> int:
        """Return how many entries no checkpoint covers yet."""
        return self._size - self._signed.size

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
        data = encode_checked(entry)  # an entry out of its bounds would spoil the trail for good
        if packets:
            named = entry.digest if isinstance(entry, Publish) else None
            if any(to_text(sha256(packet).digest()) != named for packet in packets):
                raise ValueError("append: only the packet that a publish entry names is kept")
            self._packets += packets
        self._unflushed.append(wal.encode_record(data, packets))
        self._entries.append(data)
        self._size += 1
        return self._size - 1

    def flush(self) -> None:
        """Make every buffered entry durable; afterwards the node may acknowledge them."""
        if not self._unflushed:
            return
        self._check_usable()
        frame = wal.encode_frame(self._size - len(self._unflushed), self._unflushed)
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
        if self._head is not None and self._head.size == self._size:
            return self._head
        try:
            return self._advance(self._signed.size)
        except BaseException as error:
            self._fail(error)
            raise

    def cosign(self, size: int, lines: Sequence[Line]) -> Checkpoint:
        """Publish the checkpoint with the lines of witnesses added, and return it.

        ``size`` is what they cosigned: lines for an earlier checkpoint are of no use and dropped.
        Lines are taken as they are: the caller verified them. A second line of one key takes the
        place of the first, and what has no room in a note is left out.
        """
        self._check_usable()
        head = self.head
        if size != head.size:
            return head
        merged = {(line.name, line.id): line for line in (*head.lines, *lines)}
        merged[head.lines[0].name, head.lines[0].id] = head.lines[0]  # our own stays
        found = tuple(merged.values())[:LINE_COUNT_MAX]
        if found != head.lines:
            head = Checkpoint(head.origin, head.size, head.root, found)
            try:
                self._state.check_lock()
                self._public.write({CHECKPOINT: head.encode()})
            except BaseException as error:
                self._fail(error)
                raise
            self._head = head
        return head

    def _advance(self, base: int, *, is_recovery: bool = False) -> Checkpoint:
        """Hash, write the tree, sign it and clean up after size ``base``."""
        fresh = self._entries[len(self._entries) - (self._size - self._tower.size) :]
        leaves = [sha256(b"\x00" + entry).digest() for entry in fresh]
        full = self._tower.extend(leaves)
        self._range.extend(leaves)
        files = self._tree_files(full, is_recovery=is_recovery)
        self._public.write(files)
        self._check_written(files)
        head = self._sign(Checkpoint(self.origin, self._size, self._range.root()))
        self._clean(base)
        start = self._size % TILE_WIDTH
        self._entries = self._entries[-start:] if start else []
        self._packets.clear()
        return head

    def _tree_files(
        self, full: Sequence[tuple[Tile, list[bytes]]], *, is_recovery: bool
    ) -> dict[str, bytes]:
        """Return what the tree adds to the public folder, less what lies there already.

        In a recovery that is written again: the crash may have come before it was durable.

        Raises:
            TrailError: a file that never changes is there with another content.
        """
        files = {packet_path(sha256(packet).digest()): packet for packet in self._packets}
        first = (self._size - len(self._entries)) // TILE_WIDTH
        for offset in range(0, len(self._entries), TILE_WIDTH):
            rows = self._entries[offset : offset + TILE_WIDTH]
            files[Tile(ENTRIES, first + offset // TILE_WIDTH, len(rows)).path] = encode_bundle(rows)
        for tile, hashes in (*full, *self._tower.partials()):
            files[tile.path] = b"".join(hashes)
        for path, data in list(files.items()):
            held = self._public.read(path)
            if held == data and not is_recovery:
                del files[path]
            elif held is not None and held != data:
                raise TrailError(
                    f"trail of {self._size}: {path!r} is there already and is different"
                )
        return files

    def _check_written(self, files: dict[str, bytes]) -> None:
        """Raise TrailError unless the disk gives back what was written, and the same root."""
        for path, data in files.items():
            if self._public.read(path) != data:
                raise TrailError(f"trail: {path!r} reads back different from what was written")
        if load_tower(self._public, self._size).root() != self._range.root():
            raise TrailError("trail: the tiles that were read back have another root")

    def _sign(self, wanted: Checkpoint) -> Checkpoint:
        """Persist what is about to be signed, then sign and publish it; never go back."""
        self._state.check_lock()
        stored = self._state.read(SIGNED)
        if stored is not None:
            last = parse_text(stored)
            if wanted.size < last.size or (wanted.size == last.size and wanted.root != last.root):
                raise TrailError(
                    f"trail: would sign size {wanted.size} after size {last.size}, or another root"
                )
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
            if width_at(tile.level, tile.index, self._size) == TILE_WIDTH:
                folder = Tile(tile.level, tile.index, TILE_WIDTH).path + ".p"
                self._public.remove([f"{folder}/{name}" for name in self._public.names(folder)])
        if self._state.read(WAL):
            self._state.write({WAL: b""})

    def _recover(self) -> None:
        found = recover(self._public, self._state, LogKey(self.origin, self._key.public))
        # A process that was killed saw more than the disk. A checkpoint that can be seen came after
        # its tree was durable, so that these four are all.
        self._state.sync([SIGNED, PLACE, WAL])
        self._public.sync([CHECKPOINT])
        self._tower, self._range = found.tower, found.tower.range()
        self._entries, self._head, self._size = found.entries, found.head, found.size
        self._signed = Checkpoint(self.origin, found.size, self._range.root())
        for record in found.fresh:
            self._entries.append(record.entry)
            self._packets += record.packets
            self._size += 1
        if self._state.read(PLACE) is None:  # a trail from before there were places
            self._state.write({PLACE: self._state.place()})
        if found.is_torn:
            self._state.write({WAL: (self._state.read(WAL) or b"")[: found.wal_size]})
        if found.head is None or found.fresh:
            self._advance(found.size, is_recovery=True)
        elif found.records:
            self._clean(found.records[0].index)

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


def _lock(state: Files) -> None:
    try:
        state.lock()
    except OSError as error:
        raise TrailError(f"lock: {error}") from error
