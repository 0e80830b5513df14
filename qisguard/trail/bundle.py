"""Bundles: entries of one log with their proofs and packets, in one file, for a stranger.

Deterministic JSON, so that anybody can read it:

    {"schema": "qisguard.bundle/v1", "checkpoint": the signed note as it was, "items":
     [{"index": n, "entry": the entry as it was logged, "hashes": [base64url, …],
       "packet": base64url of body ‖ signature, where it is at hand}, …]}

- The checkpoint is the only thing that a signature covers; every item has to lead to its root.
- A packet has to be the one that its entry names by digest. What the packet says, and whose it is,
  is for whoever knows packets to check: here only its place in the log is proved.
- Items rise by index, each once; one spelling; bounded before anything is computed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from qisguard.errors import DecodeError, ProofError
from qisguard.identity.keys import from_text, to_text
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    TREE_SIZE_MAX,
    Checkpoint,
    LogKey,
    parse_checkpoint,
)
from qisguard.trail.entries import Entry, Publish, decode_entry
from qisguard.trail.merkle import HASH_SIZE, leaf_hash, verify_inclusion
from qisguard.trail.tlog_proof import HASH_COUNT_MAX, TlogProof, check_signed

SCHEMA = "qisguard.bundle/v1"
ITEM_COUNT_MAX = 1000
BUNDLE_SIZE_MAX = 8 << 20
PACKET_SIZE_MAX = 1 << 16
"""Of a packet that a write-ahead record can carry; packets of outcomes are smaller."""


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry and the way from it to the root."""

    index: int
    entry: str
    hashes: tuple[str, ...]
    packet: str | None = None


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stranger is handed."""

    schema: str
    checkpoint: str
    items: tuple[Item, ...]

    def encode(self) -> bytes:
        """Return the file."""
        return _ENCODER.encode(self) + b"\n"

    def proof(self, item: Item) -> TlogProof:
        """Return the same as a proof file of C2SP; its record is the entry."""
        return TlogProof(item.index, _hashes(item), self.checkpoint.encode())


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Bundle)


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry that is in the log, and the packet that it names where it came along."""

    index: int
    entry: Entry
    packet: bytes | None


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle proves: ``head`` was signed with ``key`` and holds ``entries``."""

    head: Checkpoint
    key: LogKey
    entries: tuple[Proven, ...]


def make_item(index: int, entry: bytes, hashes: Iterable[bytes], packet: bytes | None) -> Item:
    """Return one entry with its path."""
    texts = tuple(to_text(value) for value in hashes)
    return Item(index, entry.decode(), texts, None if packet is None else to_text(packet))


def make_bundle(head: Checkpoint, items: Iterable[Item]) -> Bundle:
    """Return the bundle of items that were proved against ``head``."""
    ordered = sorted(items, key=lambda item: item.index)
    return Bundle(SCHEMA, head.encode().decode(), tuple(ordered))


def parse_bundle(data: bytes) -> Bundle:
    """Return the bundle in a file, nothing verified; raise DecodeError unless well formed."""
    if len(data) > BUNDLE_SIZE_MAX:
        raise DecodeError(f"bundle: {len(data)} bytes, at most {BUNDLE_SIZE_MAX}")
    try:
        bundle = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"bundle: {error}") from None
    if bundle.schema != SCHEMA:
        raise DecodeError(f"bundle: schema = {bundle.schema[:40]!r}, must be {SCHEMA!r}")
    if not 1 <= len(bundle.items) <= ITEM_COUNT_MAX:
        raise DecodeError(f"bundle: {len(bundle.items)} items, must be 1 to {ITEM_COUNT_MAX}")
    try:
        is_canonical = bundle.encode() == data
    except UnicodeEncodeError:  # half of a surrogate pair
        is_canonical = False
    if not is_canonical:
        raise DecodeError("bundle: not in its deterministic encoding, with one newline at the end")
    if len(bundle.checkpoint) > NOTE_SIZE_MAX:
        raise DecodeError(f"bundle: checkpoint of more than {NOTE_SIZE_MAX} characters")
    parse_checkpoint(bundle.checkpoint.encode())
    last = -1
    for item in bundle.items:
        if not last < item.index <= TREE_SIZE_MAX:
            raise DecodeError(f"bundle: index {item.index} after {last}; they must rise")
        last = item.index
        if len(item.hashes) > HASH_COUNT_MAX:
            raise DecodeError(f"bundle: {len(item.hashes)} hashes, at most {HASH_COUNT_MAX}")
        _hashes(item)
        _packet(item)
    return bundle


def verify_bundle(bundle: Bundle, keys: Iterable[LogKey]) -> Verified:
    """Return what the bundle proves about a log whose key is known from elsewhere.

    Raises:
        DecodeError, RecordError: the checkpoint or an entry is malformed.
        ProofError: no known log signed the checkpoint, a path does not lead to its root, or a
            packet is not the one that its entry names.
    """
    head = parse_checkpoint(bundle.checkpoint.encode())
    key = check_signed(head, keys)
    return Verified(head, key, tuple(_prove(head, item) for item in bundle.items))


def _prove(head: Checkpoint, item: Item) -> Proven:
    data = item.entry.encode()
    try:
        verify_inclusion(item.index, head.size, leaf_hash(data), _hashes(item), head.root)
    except ProofError as error:
        raise ProofError(f"bundle: entry {item.index}: {error}") from None
    entry, packet = decode_entry(data), _packet(item)
    if packet is not None:
        named = entry.digest if isinstance(entry, Publish) else None
        if to_text(sha256(packet).digest()) != named:
            raise ProofError(f"bundle: the packet is not the one that entry {item.index} names")
    return Proven(item.index, entry, packet)


def _hashes(item: Item) -> tuple[bytes, ...]:
    return tuple(from_text(text, HASH_SIZE) for text in item.hashes)


def _packet(item: Item) -> bytes | None:
    if item.packet is None:
        return None
    size = len(item.packet) * 3 // 4
    if size > PACKET_SIZE_MAX:
        raise DecodeError(f"bundle: packet of {size} bytes, at most {PACKET_SIZE_MAX}")
    return from_text(item.packet, size)
