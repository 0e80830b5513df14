"""The network file: what everybody in one network agrees on, signed by its authority."""

from hashlib import sha256

import msgspec

from qisguard.errors import IdentityError
from qisguard.identity import puzzle
from qisguard.identity.ids import NodeId
from qisguard.identity.keys import (
    KEY_SIZE,
    NETWORK_TAG,
    KeyPair,
    check_enrollable,
    from_text,
    to_text,
)
from qisguard.identity.signed import seal, unseal

EPOCH_SIZE = 32
PUZZLE_BITS_MAX = 64


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    name: str
    authority: str
    epoch: str
    c1: int
    c2: int


class Network(msgspec.Struct, frozen=True):
    """Name, authority key, epoch value and puzzle difficulties of one network."""

    name: str
    authority: bytes
    epoch: bytes
    c1: int
    c2: int

    @property
    def id(self) -> bytes:
        """Return the 32-byte network id, which every signature and session is bound to."""
        return sha256(b"qisguard-net-v1" + self.authority + self.name.encode()).digest()

    def check_puzzles(self, identifier: NodeId, solution: bytes) -> None:
        """Raise IdentityError unless an identity solved both puzzles of this network."""
        puzzle.check(self.id, self.epoch, self.c1, self.c2, identifier, solution)


def seal_network(network: Network, authority: KeyPair) -> bytes:
    """Return the signed network file."""
    body = _Body(
        v=1,
        name=network.name,
        authority=to_text(network.authority),
        epoch=to_text(network.epoch),
        c1=network.c1,
        c2=network.c2,
    )
    return seal(NETWORK_TAG, body, authority)


def open_network(data: bytes, authority: bytes) -> Network:
    """Return the network that ``authority`` signed; raise QisguardError for anything else."""
    body = unseal(NETWORK_TAG, data, authority, _Body)
    if body.v != 1:
        raise IdentityError(f"network file: v = {body.v}, this version reads 1")
    if from_text(body.authority, KEY_SIZE) != authority:
        raise IdentityError("network file: names another authority than the key that signed it")
    check_enrollable(authority)
    for field, bits in (("c1", body.c1), ("c2", body.c2)):
        if not 0 <= bits <= PUZZLE_BITS_MAX:
            raise IdentityError(f"network file: {field} = {bits}, must be 0 to {PUZZLE_BITS_MAX}")
    return Network(body.name, authority, from_text(body.epoch, EPOCH_SIZE), body.c1, body.c2)
