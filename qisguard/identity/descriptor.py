"""A node's descriptor: what its identity key vouches for, until it expires.

The identity key signs descriptors and handshakes and nothing else; TLS, log and witness keys are
named here and do that work. The bytes that were signed are the bytes that travel.
"""

import ipaddress
from dataclasses import dataclass

import msgspec

from qisguard.errors import DecodeError, IdentityError
from qisguard.identity.ids import NodeId, node_id
from qisguard.identity.keys import (
    DESCRIPTOR_TAG,
    KEY_SIZE,
    SIGNATURE_SIZE,
    KeyPair,
    check_enrollable,
    verify,
)
from qisguard.identity.network import Network

DESCRIPTOR_SIZE_MAX = 512

Address = tuple[str, int]
"""IP address in text form and UDP port."""


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    v: int
    network: bytes
    key: bytes
    solution: bytes
    host: str
    port: int
    tls_key: bytes
    log_key: bytes
    witness_key: bytes
    seq: int
    expires: int


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A verified descriptor. ``expires`` is a calendar day; ``signed`` is what travels."""

    id: NodeId
    key: bytes
    address: Address
    tls_key: bytes
    log_key: bytes
    witness_key: bytes
    seq: int
    expires: int
    signed: bytes

    def check_day(self, today: int) -> None:
        """Raise IdentityError when the descriptor expired before calendar day ``today``."""
        if self.expires < today:
            raise IdentityError(f"descriptor: expired on day {self.expires}, today is {today}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything secret and stable about one node."""

    key: KeyPair
    solution: bytes
    tls: KeyPair
    log: KeyPair
    witness: KeyPair

    @property
    def id(self) -> NodeId:
        """Return the node id of the identity key."""
        return node_id(self.key.public)

    def describe(self, network: Network, address: Address, seq: int, expires: int) -> Descriptor:
        """Return a signed descriptor of this node at ``address``, valid through day ``expires``."""
        body = _ENCODER.encode(
            _Body(
                1,
                network.id,
                self.key.public,
                self.solution,
                *address,
                self.tls.public,
                self.log.public,
                self.witness.public,
                seq,
                expires,
            )
        )
        return open_descriptor(body + self.key.sign(DESCRIPTOR_TAG, body), network)


def open_descriptor(data: bytes, network: Network) -> Descriptor:
    """Return the descriptor in ``data`` if it holds in ``network``; ``check_day`` is up to callers.

    Cheap checks come first: size, shape, network, puzzles (two hashes), then keys and signature.

    Raises:
        DecodeError: the bytes are not a descriptor.
        IdentityError: wrong network, unsolved puzzle, bad address or unusable key.
        ProofError: the signature does not verify.
    """
    if not SIGNATURE_SIZE < len(data) <= DESCRIPTOR_SIZE_MAX:
        raise DecodeError(f"descriptor: {len(data)} bytes, at most {DESCRIPTOR_SIZE_MAX}")
    body = data[:-SIGNATURE_SIZE]
    try:
        fields = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"descriptor: {error}") from None
    if _ENCODER.encode(fields) != body:
        raise DecodeError("descriptor: not in its deterministic encoding")
    if fields.v != 1 or fields.network != network.id:
        raise IdentityError("descriptor: belongs to another network or version")
    keys = (fields.key, fields.tls_key, fields.log_key, fields.witness_key)
    if any(len(key) != KEY_SIZE for key in keys) or len(set(keys)) != len(keys):
        raise IdentityError(
            "descriptor: identity, tls, log and witness must be four different keys"
        )
    if fields.seq < 0 or not 0 < fields.port < 1 << 16 or not _is_ip(fields.host):
        raise IdentityError(
            f"descriptor: address {fields.host[:45]!r} port {fields.port} sequence {fields.seq}; "
            "must be an IP address, a port from 1 to 65535 and a sequence from 0"
        )
    identifier = node_id(fields.key)
    network.check_puzzles(identifier, fields.solution)
    for key in keys:
        check_enrollable(key)
    verify(fields.key, DESCRIPTOR_TAG, body, data[-SIGNATURE_SIZE:])
    return Descriptor(
        identifier,
        fields.key,
        (fields.host, fields.port),
        fields.tls_key,
        fields.log_key,
        fields.witness_key,
        fields.seq,
        fields.expires,
        data,
    )


def _is_ip(host: str) -> bool:
    try:
        return "%" not in host and str(ipaddress.ip_address(host)) == host
    except ValueError:
        return False
