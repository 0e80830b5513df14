"""Log entries: small typed records, in the deterministic JSON of everything else that is signed.

- An entry names bytes by digest and never holds them, so that they can be erased without breaking
  the log.
- A batch is one entry with a root and a count: nobody else's traffic can fill a log.
- Decoding is strict: unknown fields, repeated keys and any second spelling are refused.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

import msgspec

from qisguard.errors import DecodeError, RecordError
from qisguard.fill import INTEGER_MAX
from qisguard.identity.keys import from_text, to_text
from qisguard.trail.checkpoint import check_name
from qisguard.trail.merkle import HASH_SIZE, leaf_hash, root

ENTRY_SIZE_MAX = 512


class Publish(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="publish",
    tag_field="kind",
):
    """The node published a packet of its own issuer on calendar day ``day``.

    ``digest`` is SHA-256 of body ‖ signature. ``seq`` and ``key`` repeat the packet's fields for
    readers to whom the packet is erased; a similarity key of an unkeyed template can be guessed
    back, so it is left out unless the template is keyed.
    """

    day: int
    digest: str
    seq: int | None = None
    key: str | None = None


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hold", tag_field="kind"):
    """The node accepted ``count`` packets of others to hold."""

    day: int
    root: str
    count: int


class Fetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="fetch", tag_field="kind"):
    """The node received ``count`` packets when it asked for similarity key ``key``."""

    day: int
    key: str
    root: str
    count: int


class Roster(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="roster", tag_field="kind"
):
    """The node went over to the roster with sequence number ``seq``: SHA-256 of the signed file."""

    day: int
    seq: int
    digest: str


class Revocations(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="revocations", tag_field="kind"
):
    """The node went over to the revocation list ``seq``: SHA-256 of the signed file."""

    day: int
    seq: int
    digest: str


class Report(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="report", tag_field="kind"
):
    """A report was made; ``digest`` is its SHA-256."""

    day: int
    digest: str


class Succeeds(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="succeeds", tag_field="kind"
):
    """This log takes the place of ``origin``, whose writer lost its state.

    ``size`` and ``root`` are the last of it that the writer still knew. Only the first entry of a
    log says this; nothing is claimed about what the lost log held beyond.
    """

    day: int
    origin: str
    size: int
    root: str


Entry = Publish | Hold | Fetch | Roster | Revocations | Report | Succeeds

_DIGEST = re.compile("[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII)
"""Unpadded base64url of 32 bytes: the last two bits of the last character are zero."""
_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def publish(
    day: int, packet: bytes, *, seq: int | None = None, key: bytes | None = None
) -> Publish:
    """Return the entry for a packet's bytes, body ‖ signature."""
    return Publish(
        day=day,
        digest=to_text(sha256(packet).digest()),
        seq=seq,
        key=None if key is None else to_text(key),
    )


def hold(day: int, digests: Iterable[bytes]) -> Hold:
    """Return the entry for a batch of packets that others asked the node to hold."""
    names = sorted(set(digests))
    return Hold(day=day, root=to_text(batch_root(names)), count=len(names))


def fetch(day: int, key: bytes, digests: Iterable[bytes]) -> Fetch:
    """Return the entry for a batch of packets received for similarity key ``key``."""
    names = sorted(set(digests))
    return Fetch(day=day, key=to_text(key), root=to_text(batch_root(names)), count=len(names))


def batch_root(digests: Iterable[bytes]) -> bytes:
    """Return the RFC 6962 root over packet digests, sorted: the order of arrival says nothing."""
    return root([leaf_hash(digest) for digest in sorted(digests)])


def encode_entry(entry: Entry) -> bytes:
    """Return the bytes that are logged."""
    return _ENCODER.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Return the entry in ``data``.

    Raises:
        DecodeError: not an entry of a known kind, or not its deterministic encoding.
        RecordError: a value out of its bounds.
    """
    if len(data) > ENTRY_SIZE_MAX:
        raise DecodeError(f"entry: {len(data)} bytes, at most {ENTRY_SIZE_MAX}")
    try:
        entry = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"entry: {error}") from None
    if _ENCODER.encode(entry) != data:
        raise DecodeError("entry: not in its deterministic encoding")
    _check_bounds(entry)
    return entry


def encode_checked(entry: Entry) -> bytes:
    """Return the bytes that are logged, once it is sure that they decode to this entry.

    What is encoded here is deterministic already, so that it need not be encoded again as
    ``decode_entry`` does; ``encode_entry`` and ``decode_entry`` together are the slow form of this.

    Raises:
        DecodeError: a field of another type, or an entry that is too long.
        RecordError: a value out of its bounds.
    """
    data = _ENCODER.encode(entry)
    if len(data) > ENTRY_SIZE_MAX:
        raise DecodeError(f"entry: {len(data)} bytes, at most {ENTRY_SIZE_MAX}")
    try:
        _check_bounds(_DECODER.decode(data))
    except msgspec.MsgspecError as error:
        raise DecodeError(f"entry: {error}") from None
    return data


def _check_bounds(entry: Entry) -> None:
    """Raise RecordError or DecodeError unless numbers and digests are what they may be."""
    if not 0 <= entry.day <= INTEGER_MAX:
        raise RecordError(f"entry: day = {entry.day}, must be 0 to {INTEGER_MAX}")
    match entry:
        case Publish(digest=digest, seq=seq, key=key):
            _check_digest(digest)
            if key is not None:
                _check_digest(key)
            if seq is not None and not 0 <= seq <= INTEGER_MAX:
                raise RecordError(f"entry: seq = {seq}, must be 0 to {INTEGER_MAX}")
        case Hold(root=tree, count=count):
            _check_batch(tree, count)
        case Fetch(key=wanted, root=tree, count=count):
            _check_batch(tree, count)
            _check_digest(wanted)
        case Roster(seq=number, digest=digest) | Revocations(seq=number, digest=digest):
            _check_digest(digest)
            if not 0 <= number <= INTEGER_MAX:
                raise RecordError(f"entry: seq = {number}, must be 0 to {INTEGER_MAX}")
        case Report(digest=digest):
            _check_digest(digest)
        case Succeeds(origin=origin, size=size, root=tree):
            check_name(origin)
            _check_digest(tree)
            if not 0 <= size <= INTEGER_MAX:
                raise RecordError(f"entry: size = {size}, must be 0 to {INTEGER_MAX}")


def _check_batch(tree: str, count: int) -> None:
    _check_digest(tree)
    if not 1 <= count <= INTEGER_MAX:
        raise RecordError(f"entry: count = {count}, must be 1 to {INTEGER_MAX}")


def _check_digest(text: str) -> None:
    """Raise DecodeError unless this is the canonical form of 32 bytes."""
    if not _DIGEST.fullmatch(text):
        from_text(text, HASH_SIZE)  # says what is wrong
