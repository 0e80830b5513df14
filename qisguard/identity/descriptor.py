"""A node's descriptor: what its identity key vouches for, until it expires.

The identity key signs descriptors and handshakes and nothing else; TLS, log and witness keys are
named here and do that work. The bytes that were signed are the bytes that travel.

- Validity is counted in whole days and bounded, so that a lost key is forgotten.
- Of two descriptors of one identity the higher sequence number is the newer one.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from qisguard.errors import DecodeError, IdentityError
from qisguard.fill import INTEGER_MAX
from qisguard.identity import puzzle
from qisguard.identity.address import Address
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
VALIDITY_DAYS_MAX = 400
"""A year and the five weeks in which it is renewed; a descriptor that lasts longer is refused."""


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
        """Raise IdentityError unless it is valid on calendar day ``today``, and not for too long.

        Raises:
            IdentityError: the last day is before ``today`` or more than 400 days after it.
        """
        if self.expires < today:
            raise IdentityError(f"descriptor: expired on day {self.expires}, today is {today}")
        if self.expires - today > VALIDITY_DAYS_MAX:
            raise IdentityError(
                f"descriptor: expires on day {self.expires}, {self.expires - today} days after "
                f"today, must be at most {VALIDITY_DAYS_MAX}"
            )


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
        """Return a signed descriptor of this node at ``address``, valid through day ``expires``.

        ``seq`` must be higher than that of every earlier descriptor of this identity: a node that
        remembers none takes the Unix time in seconds; ``renew`` goes on from the last one.

        Raises:
            IdentityError: an address, number or solution that nobody would accept.
        """
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

    def renew(
        self, network: Network, address: Address, expires: int, last: Descriptor
    ) -> Descriptor:
        """Return the descriptor that follows ``last``; raise as ``describe``."""
        if last.id != self.id:
            raise IdentityError("descriptor: the one to renew belongs to another identity")
        return self.describe(network, address, last.seq + 1, expires)


def renewal_day(issued: int, expires: int) -> int:
    """Return the calendar day on which to renew: after two thirds of the validity, rounded down.

    The last third is for those who cannot be reached at once. It is never before ``issued``.
    """
    return issued + 2 * max(expires - issued, 0) // 3


def open_descriptor(
    data: bytes, network: Network, may_pay: Callable[[NodeId], bool] | None = None
) -> Descriptor:
    """Return the descriptor in ``data`` if it holds in ``network``; ``check_day`` is up to callers.

    Cheap checks come first: size, shape, network, fields, the puzzles that cost one hash, identity
    key, signature, the other keys. Only then the Argon2id puzzle, where the network has one:
    somebody who cannot sign for an id that solved the static puzzle never costs a node that memory.
    Somebody who can may sign wrong solutions all day; ``may_pay`` is asked with the id before each
    evaluation, so that a caller can give every id a budget.

    Raises:
        DecodeError: the bytes are not a descriptor.
        IdentityError: wrong network, unsolved puzzle, bad address or unusable key.
        ProofError: the signature does not verify.
    """
    if not SIGNATURE_SIZE < len(data) <= DESCRIPTOR_SIZE_MAX:
        raise DecodeError(
            f"descriptor: {len(data)} bytes, must be {SIGNATURE_SIZE + 1} to {DESCRIPTOR_SIZE_MAX}"
        )
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
    if not 0 < fields.port < 1 << 16 or not _is_ip(fields.host):
        raise IdentityError(
            f"descriptor: address {fields.host[:45]!r} port {fields.port}; "
            "must be the canonical form of a unicast IP address and a port from 1 to 65535"
        )
    for name, number in (("sequence", fields.seq), ("expiry day", fields.expires)):
        if not 0 <= number <= INTEGER_MAX:
            raise IdentityError(f"descriptor: {name} {number}, must be 0 to {INTEGER_MAX}")
    puzzle.check_solution_size(fields.solution)
    identifier = node_id(fields.key)
    puzzle.check_static(network.c1, identifier)
    if network.cost is None:
        network.check_dynamic(identifier, fields.solution)
    check_enrollable(fields.key)
    verify(fields.key, DESCRIPTOR_TAG, body, data[-SIGNATURE_SIZE:])
    for key in keys[1:]:  # each costs as much as a signature, so only those that were signed for
        check_enrollable(key)
    if network.cost is not None:
        if may_pay is not None and not may_pay(identifier):
            raise IdentityError("dynamic puzzle: this id has spent its budget of evaluations")
        network.check_dynamic(identifier, fields.solution)
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
    """Return whether ``host`` is the one text form of an address that a node can have.

    IPv4 inside IPv6 is refused: versions of Python disagree about its text form, and it would be a
    second name for an IPv4 address.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.scope_id):
        return False
    return str(address) == host and not address.is_unspecified and not address.is_multicast
