"""Trails in folders: started, appended to, searched, mirrored and restored by hand.

A trail's private state lies beside it, in a folder whose name ends in ``-state``, as in the state
folder of a node.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from qisguard.errors import DecodeError, QisguardError, TrailError
from qisguard.identity.keys import KEY_SIZE, KeyPair, from_text, to_text
from qisguard.outcomes.packet import PACKET_SIZE_MAX, open_packet
from qisguard.service import identities
from qisguard.service.fetching import open_source
from qisguard.trail.bundle import ITEM_COUNT_MAX, Bundle, Item, make_bundle, make_item
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    Checkpoint,
    LogKey,
    check_name,
    parse_checkpoint,
    parse_text,
    parse_vkey,
)
from qisguard.trail.cosignature import WitnessKey
from qisguard.trail.entries import Entry, Fetch, Publish, Report, decode_entry, publish
from qisguard.trail.files import FolderFiles
from qisguard.trail.log import Trail, packet_path
from qisguard.trail.merkle import HASH_SIZE
from qisguard.trail.mirror import Copied, Mirror, Tell
from qisguard.trail.proofs import TreeReader
from qisguard.trail.recovery import CHECKPOINT, SIGNED
from qisguard.trail.restore import last_cosigned, reinstate, succession
from qisguard.trail.tiles import BUNDLE_SIZE_MAX, ENTRIES, TILE_WIDTH, decode_bundle, files_of

STATE = "-state"
BATCH = 256
"""Entries that are made durable together."""
SIGN_EVERY = 1 << 16
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Place:
    """A trail's public folder and its private state."""

    public: Path
    state: Path

    @classmethod
    def of(cls, public: Path, state: Path | None) -> "Place":
        """Return the place; the state lies beside the trail unless it is given."""
        public = public.absolute()
        return cls(public, state or public.with_name(public.name + STATE))

    def files(self) -> tuple[FolderFiles, FolderFiles]:
        """Return both folders."""
        return FolderFiles(self.public), FolderFiles(self.state)


@dataclass(frozen=True, slots=True)
class Appended:
    """What ``append`` did."""

    head: Checkpoint
    appended_count: int
    known_count: int


def today() -> int:
    """Return the calendar day."""
    return int(time.time()) // SECONDS_PER_DAY


def create(place: Place, origin: str, key: Path, succeeds: Path | None, day: int) -> LogKey:
    """Start a trail, and return the key by which others know it.

    ``succeeds``: the last checkpoint of a log whose writer lost its state.
    """
    pair = identities.load_key(key)
    check_name(origin)
    last = None if succeeds is None else read_note(succeeds)
    if last is not None and last.origin == origin:
        raise TrailError(f"--origin {origin}: the log that succeeds another needs another origin")
    with closing(Trail.create(*place.files(), origin, pair)) as trail:
        if last is not None:
            trail.append(succession(day, last))
            trail.checkpoint()
    return LogKey(origin, pair.public)


@contextmanager
def opened(place: Place, key: Path) -> Iterator[Trail]:
    """Open the trail of a place with its key."""
    pair = identities.load_key(key)
    with closing(Trail.open(*place.files(), _origin(place), pair)) as trail:
        yield trail


def append(
    place: Place, key: Path, packets: Sequence[Path], reports: Sequence[Path], day: int, tell: Tell
) -> Appended:
    """Log packets and reports, durably, and sign the checkpoint.

    A packet that the log has already is counted and left alone: a log does not repeat itself.

    Raises:
        QisguardError: a file cannot be read or is no packet, or the trail cannot be opened. Nothing
            is appended when a file is wrong.
    """
    entries = [_publishing(path, day) for path in _listed(packets)]
    entries += [(_reporting(path, day), None) for path in reports]
    done = known = 0
    seen: set[Entry] = set()
    with opened(place, key) as trail:
        files = FolderFiles(place.public)
        for entry, packet in entries:
            done += 1
            if packet is not None and (
                entry in seen or files.read(packet_path(sha256(packet).digest())) is not None
            ):
                known += 1
                continue
            seen.add(entry)
            trail.append(entry, () if packet is None else [packet])
            if done % BATCH == 0:
                trail.flush()
                tell(done, len(entries))
            if trail.pending_count >= SIGN_EVERY:
                trail.checkpoint()
        head = trail.checkpoint()
    return Appended(head, len(entries) - known, known)


def prove(public: Path, what: str, first: int, tell: Tell) -> Bundle | None:
    """Return proofs of the entries that ``what`` means, or None when there are none.

    what: an index, the digest of a packet (hex or base64url), a file that holds the packet, or a
    similarity key (base64url). A key finds packets of which the log or the folder still tells it.
    first: the index to start from.
    """
    files = FolderFiles(public)
    head = read_note(public / CHECKPOINT)
    reader = TreeReader(files.read, head)
    items: list[Item] = []
    for index in _find(files, head, Wanted.of(what), first, tell):
        if len(items) == ITEM_COUNT_MAX:
            raise TrailError(
                f"trail: more than {ITEM_COUNT_MAX} entries, too many for one bundle; "
                f"prove these with fewer by --from, the next is {index}"
            )
        entry = reader.entry(index)
        items.append(make_item(index, entry, reader.inclusion(index, entry), _packet(files, entry)))
    return make_bundle(head, items) if items else None


def mirror(source: str, target: Path, key: LogKey, tell: Tell, *, with_packets: bool) -> Copied:
    """Copy a log from a folder or an URL into a folder."""
    place = FolderFiles(target)
    with closing(open_source(source)) as found:
        return Mirror(place, key, found.fetch, with_packets=with_packets, tell=tell).run()


def restore(
    place: Place, key: KeyPair, notes: Sequence[Path], witnesses: Sequence[WitnessKey], quorum: int
) -> tuple[Checkpoint, int]:
    """Let a trail from a backup go on; return the last cosigned checkpoint and the trail's size."""
    log = LogKey(_origin(place), key.public)
    last = last_cosigned([read_bytes(path) for path in notes], log, witnesses, quorum)
    return last, reinstate(*place.files(), log, last)


def read_note(path: Path) -> Checkpoint:
    """Return the checkpoint in a file; raise TrailError naming the file that holds none."""
    try:
        return parse_checkpoint(read_bytes(path))
    except DecodeError as error:
        raise TrailError(f"{path}: {error}") from None


def read_bytes(path: Path, limit: int = NOTE_SIZE_MAX) -> bytes:
    """Return a file's bytes; raise TrailError when it cannot be read or is longer than allowed."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise TrailError(f"{path}: {error.strerror}; type: ls -ld {path}") from None
    if len(data) > limit:
        raise TrailError(f"{path}: more than {limit} bytes")
    return data


def save(path: Path, data: bytes) -> None:
    """Write a file as a whole, durably; its folder is made if need be."""
    path = path.absolute()
    FolderFiles(path.parent).write({path.name: data})


def log_key(given: str) -> LogKey:
    """Return the log's key that was given as ``name+id+key``, or in a file with that line."""
    if "+" not in given:
        given = read_bytes(Path(given)).decode("latin-1").strip()
    return parse_vkey(given)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants proved: one index, one digest, or what names either of these texts."""

    index: int | None = None
    text: str = ""

    @classmethod
    def of(cls, what: str) -> "Wanted":
        """Read an index, a digest, a key or a file's name; raise TrailError if it is none."""
        if what.isascii() and what.isdecimal() and len(what) < 19:
            return cls(index=int(what))
        path = Path(what)
        if path.is_file():
            return cls(text=to_text(sha256(read_bytes(path, PACKET_SIZE_MAX)).digest()))
        try:
            if len(what) == 2 * HASH_SIZE:
                return cls(text=to_text(bytes.fromhex(what)))
            return cls(text=to_text(from_text(what, KEY_SIZE)))
        except (DecodeError, ValueError):
            raise TrailError(
                f"{what!r}: is no index, no packet's digest, no similarity key and no file"
            ) from None


def _find(
    files: FolderFiles, head: Checkpoint, wanted: Wanted, first: int, tell: Tell
) -> list[int]:
    """Return the indices that are meant, one more than a bundle holds at most."""
    if wanted.index is not None:
        return [wanted.index]
    found: list[int] = []
    is_digest = False
    for index, entry in _entries(files, head, first, tell, wanted.text.encode()):
        if isinstance(entry, Publish) and entry.digest == wanted.text:
            found, is_digest = [*found, index], True
        elif isinstance(entry, Publish | Fetch) and entry.key == wanted.text:
            found.append(index)
    if not is_digest:  # a similarity key, of which most packets tell and few entries
        for index, entry in _entries(files, head, first, tell, b""):
            if len(found) > ITEM_COUNT_MAX:
                break
            if isinstance(entry, Publish) and entry.key is None:
                digest = from_text(entry.digest, HASH_SIZE)
                packet = files.read(packet_path(digest), PACKET_SIZE_MAX)
                if packet is not None and _key_of(packet) == wanted.text:
                    found.append(index)
    return sorted(found)[: ITEM_COUNT_MAX + 1]


def _entries(
    files: FolderFiles, head: Checkpoint, first: int, tell: Tell, part: bytes
) -> Iterator[tuple[int, Entry]]:
    """Yield entries from ``first`` on, of those bundles that hold ``part``."""
    for tile in files_of(head.size):
        if tile.level != ENTRIES or (tile.index + 1) * TILE_WIDTH <= first:
            continue
        data = files.read(tile.path, BUNDLE_SIZE_MAX)
        if data is None:
            raise TrailError(f"trail: {tile.path!r} is missing")
        if part in data:
            for index, raw in enumerate(decode_bundle(data, tile.width), tile.index * TILE_WIDTH):
                if index >= first and part in raw:
                    yield index, decode_entry(raw)
        tell(min(head.size, (tile.index + 1) * TILE_WIDTH), head.size)


def _packet(files: FolderFiles, raw: bytes) -> bytes | None:
    """Return the bytes of the packet that an entry names, if they are there and are the ones."""
    entry = decode_entry(raw)
    if not isinstance(entry, Publish):
        return None
    digest = from_text(entry.digest, HASH_SIZE)
    packet = files.read(packet_path(digest), PACKET_SIZE_MAX)
    return packet if packet is not None and sha256(packet).digest() == digest else None


def _key_of(packet: bytes) -> str | None:
    try:
        return open_packet(packet, lambda *_: None).body.key  # its signature is not the point
    except QisguardError:
        return None


def _origin(place: Place) -> str:
    data = FolderFiles(place.state).read(SIGNED, NOTE_SIZE_MAX)
    if data is None:
        raise TrailError(
            f"{place.state}: there is no state of a trail; type: qisguard trail init {place.public}"
        )
    return parse_text(data).origin


def _listed(paths: Sequence[Path]) -> list[Path]:
    """Return files, and those in the folders among them, in order."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        found += inside
    return found


def _publishing(path: Path, day: int) -> tuple[Entry, bytes | None]:
    data = read_bytes(path, PACKET_SIZE_MAX)
    try:
        packet = open_packet(data)
    except QisguardError as error:
        raise type(error)(f"{path}: {error}") from None
    return publish(day, data, seq=packet.body.seq), data


def _reporting(path: Path, day: int) -> Entry:
    return Report(day, to_text(sha256(read_bytes(path, 1 << 30)).digest()))
