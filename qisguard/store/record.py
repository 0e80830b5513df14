"""What a provider announces, signed by its identity key: "I hold packets of this key until then".

A *provider record* lies at the placement of a key and does not tell the key. An *index record* lies
at the place of a domain prefix and tells one key of that domain. Both name the provider by its
public key, so that anybody can check them; both are taken only in their provider's own session, so
that index poisoning in somebody else's name is refused before any signature is checked.
"""

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from qisguard.errors import DecodeError, RecordError
from qisguard.fill import INTEGER_MAX
from qisguard.identity.ids import ID_SIZE, NodeId, from_bytes, node_id, to_bytes
from qisguard.identity.keys import INDEX_TAG, KEY_SIZE, RECORD_TAG, SIGNATURE_SIZE, KeyPair
from qisguard.outcomes.packet import Verify


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    v: int
    where: bytes
    provider: bytes
    expires: int
    seq: int


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """``place`` is the placement of the key; ``expires`` in seconds of the network's clock."""

    place: NodeId
    provider: NodeId
    expires: int
    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """``key`` is a similarity key whose first byte is the domain prefix."""

    key: bytes
    provider: NodeId
    expires: int
    seq: int
    data: bytes

    @property
    def prefix(self) -> int:
        """Return the domain prefix that the record is indexed under."""
        return self.key[0]


def index_place(prefix: int) -> NodeId:
    """Return where the index of a domain prefix lives."""
    return from_bytes(sha256(b"qisguard-index-v1" + bytes([prefix])).digest())


def sign_record(
    place: NodeId, key: KeyPair, expires: int, seq: int, network: bytes
) -> ProviderRecord:
    """Return a provider record signed with the identity key, bound to one network."""
    data = _sign(RECORD_TAG, to_bytes(place), key, expires, seq, network)
    return ProviderRecord(place, node_id(key.public), expires, seq, data)


def sign_index(
    similarity: bytes, key: KeyPair, expires: int, seq: int, network: bytes
) -> IndexRecord:
    """Return an index record for one similarity key, signed with the identity key."""
    data = _sign(INDEX_TAG, similarity, key, expires, seq, network)
    return IndexRecord(similarity, node_id(key.public), expires, seq, data)


def open_record(data: bytes, network: bytes, check: Verify) -> ProviderRecord:
    """Return the provider record in ``data`` if its provider signed it.

    Raises:
        DecodeError: not a record.
        RecordError: numbers out of range.
        ProofError: the signature does not verify.
    """
    body = _open(RECORD_TAG, data, network, check)
    return ProviderRecord(
        from_bytes(body.where), node_id(body.provider), body.expires, body.seq, data
    )


def open_index(data: bytes, network: bytes, check: Verify) -> IndexRecord:
    """Return the index record in ``data`` if its provider signed it; raises as ``open_record``."""
    body = _open(INDEX_TAG, data, network, check)
    return IndexRecord(body.where, node_id(body.provider), body.expires, body.seq, data)


def provider_of(data: bytes) -> NodeId:
    """Return the provider that a record names, before its signature is checked."""
    return node_id(_decode(data).provider)


def join_record(where: bytes, public: bytes, expires: int, seq: int, signature: bytes) -> bytes:
    """Return the bytes of a record of either kind from its parts; they have one encoding only."""
    return _ENCODER.encode(_Body(1, where, public, expires, seq)) + signature


def _sign(tag: bytes, where: bytes, key: KeyPair, expires: int, seq: int, network: bytes) -> bytes:
    body = _ENCODER.encode(_Body(1, where, key.public, expires, seq))
    return body + key.sign(tag, network + body)


def _decode(data: bytes) -> _Body:
    body = data[:-SIGNATURE_SIZE]
    try:
        fields = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"record: {error}") from None
    sizes = (len(fields.where), len(fields.provider))
    if fields.v != 1 or sizes != (ID_SIZE, KEY_SIZE) or _ENCODER.encode(fields) != body:
        raise DecodeError("record: unknown version, or not in its deterministic encoding")
    return fields


def _open(tag: bytes, data: bytes, network: bytes, check: Verify) -> _Body:
    fields = _decode(data)
    if not 0 <= fields.seq <= INTEGER_MAX or not 0 <= fields.expires <= INTEGER_MAX:
        raise RecordError(f"record: sequence {fields.seq} or expiry {fields.expires} out of range")
    check(fields.provider, tag, network + data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:])
    return fields
