"""An open session: two keys, two counters, and a window that lets no datagram in twice."""

import struct
from dataclasses import dataclass, field
from hashlib import blake2b

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from qisguard.identity.descriptor import Address, Descriptor
from qisguard.identity.ids import NodeId

REPLAY_WINDOW = 1_024
"""How far behind the highest counter a datagram may arrive (RFC 6479 uses the same idea)."""
COUNTER_MAX = 1 << 32
"""A session is closed and opened anew long before a counter could repeat."""


@dataclass(slots=True)
class Session:
    """One open session; ``receive_id`` is the name the peer writes on datagrams to us.

    On the server's side it is ``confirmed`` by the client's first sealed message, and not used for
    sending before that: the Accept may never have arrived.
    """

    descriptor: Descriptor
    address: Address
    receive_id: bytes
    send_id: bytes
    receiver: ChaCha20Poly1305 = field(repr=False)
    sender: ChaCha20Poly1305 = field(repr=False)
    last: float
    confirmed: bool
    accept: bytes = b""
    counter: int = 0
    highest: int = -1
    window: int = 0

    @property
    def peer(self) -> NodeId:
        """Return the id that the peer authenticated."""
        return self.descriptor.id

    def is_fresh(self, counter: int) -> bool:
        """Return whether a counter is in range and was not seen; costs no crypto."""
        behind = self.highest - counter
        if counter >= COUNTER_MAX or behind >= REPLAY_WINDOW:
            return False
        return behind < 0 or not self.window >> behind & 1

    def mark(self, counter: int) -> None:
        """Remember a counter whose datagram was authentic."""
        ahead = counter - self.highest
        if ahead > 0:
            self.window = (self.window << min(ahead, REPLAY_WINDOW) | 1) & (1 << REPLAY_WINDOW) - 1
            self.highest = counter
        else:
            self.window |= 1 << -ahead


def bind(keys: tuple[bytes, bytes], final: bytes) -> tuple[ChaCha20Poly1305, ChaCha20Poly1305]:
    """Return receiver and sender under keys bound to the transcript of the whole handshake."""
    receive, send = (blake2b(final, key=key, digest_size=32).digest() for key in keys)
    return ChaCha20Poly1305(receive), ChaCha20Poly1305(send)


def nonce_of(counter: int) -> bytes:
    """Return the 12-byte nonce of a counter: each key seals each counter once."""
    return struct.pack("!IQ", 0, counter)
