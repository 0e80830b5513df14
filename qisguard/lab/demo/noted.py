"""Signatures that this process made itself: a simulated network need not check its own arithmetic.

Both ends of every session of a virtual network live in one process, and half of what a run would
spend on cryptography is verifying what it signed a moment ago. A signature made by a key of the
run is good for exactly the bytes it was made for; every other one is verified as ever.
"""

from dataclasses import dataclass, field, replace

from qisguard.identity import keys
from qisguard.identity.descriptor import Identity
from qisguard.identity.keys import KeyPair
from qisguard.lab.demo.members import Hospital, Members

Signed = set[tuple[bytes, bytes, bytes, bytes]]
"""Public key, tag, body and signature of everything that was signed."""


@dataclass(frozen=True, slots=True)
class NotedKey(KeyPair):
    """A key pair that notes what it signs in ``signed``."""

    signed: Signed = field(repr=False)

    def sign(self, tag: bytes, body: bytes) -> bytes:
        """Return the 64-byte signature over ``tag ‖ body``."""
        signature = KeyPair.sign(self, tag, body)
        self.signed.add((self.public, tag, body, signature))
        return signature


class Notes:
    """What the keys of one run have signed so far."""

    def __init__(self) -> None:
        self._signed: Signed = set()

    def members(self, members: Members) -> Members:
        """Return the same members with keys that note what they sign from now on."""
        return replace(
            members,
            hospitals=tuple(self._hospital(hospital) for hospital in members.hospitals),
            sybils=tuple(self._identity(identity) for identity in members.sybils),
        )

    def verify(self, public: bytes, tag: bytes, body: bytes, signature: bytes) -> None:
        """Raise ProofError as ``keys.verify`` does; what was signed here costs a look-up."""
        if (public, tag, body, signature) not in self._signed:
            keys.verify(public, tag, body, signature)

    def _hospital(self, hospital: Hospital) -> Hospital:
        identities = tuple(self._identity(identity) for identity in hospital.identities)
        return replace(hospital, author=self._key(hospital.author), identities=identities)

    def _identity(self, identity: Identity) -> Identity:
        return replace(identity, key=self._key(identity.key))

    def _key(self, pair: KeyPair) -> KeyPair:
        return NotedKey(pair.public, pair.secret, self._signed)
