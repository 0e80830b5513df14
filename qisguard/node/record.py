"""Provider records: "I hold packets of this key until then", signed by the provider.

A record is announced only in its provider's own session, so index poisoning in somebody else's name
is refused before any signature is checked.
"""

from dataclasses import dataclass

import msgspec

from qisguard.errors import DecodeError, RecordError
from qisguard.identity.ids import ID_SIZE, NodeId, from_bytes, to_bytes
from qisguard.identity.keys import RECORD_TAG, SIGNATURE_SIZE, KeyPair
from qisguard.outcomes.packet import Verify


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    v: int
    place: bytes
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


def sign_record(
    place: NodeId, provider: NodeId, expires: int, seq: int, key: KeyPair, network: bytes
) -> ProviderRecord:
    """Return a record signed with the provider's identity key, bound to one network."""
    body = _ENCODER.encode(_Body(1, to_bytes(place), to_bytes(provider), expires, seq))
    data = body + key.sign(RECORD_TAG, network + body)
    return ProviderRecord(place, provider, expires, seq, data)


def open_record(
    data: bytes, provider: NodeId, key: bytes, network: bytes, check: Verify
) -> ProviderRecord:
    """Return the record in ``data`` if ``provider``, whose session this is, signed it.

    Raises:
        DecodeError: not a record.
        RecordError: somebody else's, or numbers out of range.
        ProofError: the signature does not verify.
    """
    body = data[:-SIGNATURE_SIZE]
    try:
        fields = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"record: {error}") from None
    if fields.v != 1 or len(fields.place) != ID_SIZE or _ENCODER.encode(fields) != body:
        raise DecodeError("record: unknown version, or not in its deterministic encoding")
    if fields.provider != to_bytes(provider):
        raise RecordError("record: announced by somebody else than its provider")
    if not 0 <= fields.seq < 1 << 53 or not 0 <= fields.expires < 1 << 53:
        raise RecordError(f"record: sequence {fields.seq} or expiry {fields.expires} out of range")
    check(key, RECORD_TAG, network + body, data[-SIGNATURE_SIZE:])
    return ProviderRecord(from_bytes(fields.place), provider, fields.expires, fields.seq, data)
