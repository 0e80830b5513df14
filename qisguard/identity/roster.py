"""The roster: which author keys and nodes belong to which issuer, since when, signed.

An *issuer* is an organisation, the unit that gets a share of the weight. Keys outside the roster
belong together to one issuer, ``none``: inventing keys buys nothing beyond its share.
"""

from dataclasses import dataclass, field

import msgspec

from qisguard.errors import IdentityError
from qisguard.identity.ids import NodeId, from_bytes, to_bytes
from qisguard.identity.keys import (
    KEY_SIZE,
    ROSTER_TAG,
    KeyPair,
    check_enrollable,
    from_text,
    to_text,
)
from qisguard.identity.signed import seal, unseal

NONE = "none"
"""The issuer of everybody who is on nobody's roster."""


class _Issuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    enrolled: int
    authors: list[str]
    nodes: list[str]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    net: str
    seq: int
    issuers: list[_Issuer]


@dataclass(frozen=True, slots=True)
class Issuer:
    """An organisation; ``enrolled`` is a calendar day, ``authors`` are Ed25519 public keys."""

    name: str
    enrolled: int
    authors: tuple[bytes, ...]
    nodes: tuple[NodeId, ...]


@dataclass(frozen=True)
class Roster:
    """Issuers by name, with the look-ups that the node and the synthesis need."""

    network: bytes
    seq: int
    issuers: tuple[Issuer, ...]
    by_author: dict[bytes, Issuer] = field(init=False, repr=False, compare=False)
    by_node: dict[NodeId, Issuer] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_author", {a: i for i in self.issuers for a in i.authors})
        object.__setattr__(self, "by_node", {n: i for i in self.issuers for n in i.nodes})


def seal_roster(roster: Roster, authority: KeyPair) -> bytes:
    """Return the signed roster file."""
    body = _Body(
        v=1,
        net=to_text(roster.network),
        seq=roster.seq,
        issuers=[
            _Issuer(
                name=issuer.name,
                enrolled=issuer.enrolled,
                authors=[to_text(author) for author in issuer.authors],
                nodes=[to_text(to_bytes(node)) for node in issuer.nodes],
            )
            for issuer in roster.issuers
        ],
    )
    return seal(ROSTER_TAG, body, authority)


def open_roster(data: bytes, network: bytes, authority: bytes) -> Roster:
    """Return the roster that ``authority`` signed for the network with this 32-byte id.

    Raises:
        DecodeError, ProofError: not a signed roster of this authority.
        IdentityError: another network, a name or key enrolled twice, or a key that cannot be.
    """
    body = unseal(ROSTER_TAG, data, authority, _Body)
    if body.v != 1 or from_text(body.net, KEY_SIZE) != network:
        raise IdentityError("roster: belongs to another network or version")
    issuers = tuple(
        Issuer(
            issuer.name,
            issuer.enrolled,
            tuple(from_text(author, KEY_SIZE) for author in issuer.authors),
            tuple(from_bytes(from_text(node, KEY_SIZE)) for node in issuer.nodes),
        )
        for issuer in body.issuers
    )
    names = [issuer.name for issuer in issuers]
    authors = [author for issuer in issuers for author in issuer.authors]
    nodes = [node for issuer in issuers for node in issuer.nodes]
    for what, values in (("issuer", names), ("author key", authors), ("node", nodes)):
        if len(set(values)) != len(values):
            raise IdentityError(f"roster: the same {what} is enrolled twice")
    if NONE in names:
        raise IdentityError(f"roster: the issuer name {NONE!r} is reserved for unknown keys")
    for author in authors:
        check_enrollable(author)
    return Roster(network, body.seq, issuers)
