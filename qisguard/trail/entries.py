"""Log entries: small typed records, in the deterministic JSON of everything else that is signed.

- An entry names bytes by digest and never holds them, so that they can be erased without breaking
  the log.
- A batch is one entry with a root and a count: nobody else's traffic can fill a log.
- Decoding is strict: unknown fields, repeated keys and any second spelling are refused.
"""

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from qisguard.errors import DecodeError, RecordError
from qisguard.fill import INTEGER_MAX
from qisguard.identity.keys import from_text, to_text
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


Entry = Publish | Hold | Fetch

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
    if not 0 <= entry.day <= INTEGER_MAX:
        raise RecordError(f"entry: day = {entry.day}, must be 0 to {INTEGER_MAX}")
    if isinstance(entry, Publish):
        from_text(entry.digest, HASH_SIZE)
        if entry.seq is not None and not 0 <= entry.seq <= INTEGER_MAX:
            raise RecordError(f"entry: seq = {entry.seq}, must be 0 to {INTEGER_MAX}")
    else:
        from_text(entry.root, HASH_SIZE)
        if not 1 <= entry.count <= INTEGER_MAX:
            raise RecordError(f"entry: count = {entry.count}, must be 1 to {INTEGER_MAX}")
    if not isinstance(entry, Hold) and entry.key is not None:
        from_text(entry.key, HASH_SIZE)
    return entry
