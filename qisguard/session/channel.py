"""An open session: two keys, two counters, and a window that lets no datagram in twice."""

import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from qisguard.identity.address import Address
from qisguard.identity.descriptor import Descriptor
from qisguard.identity.ids import NodeId

REPLAY_WINDOW = 1_024
"""How far behind the highest counter a datagram may arrive (RFC 6479 uses the same idea)."""
COUNTER_MAX = 1 << 32
"""A session is closed before a counter could repeat; nonces have room for 2^64."""
COUNTER_REKEY = COUNTER_MAX - (1 << 26)
"""From here on a successor is wanted: 67 million datagrams are left to open it in."""
_NONCE = struct.Struct("!IQ")


@dataclass(slots=True)
class Session:
    """One open session; ``receive_id`` is the name the peer writes on datagrams to us.

    Times are seconds: ``opened`` here, ``last`` heard from authentically. A session that is not
    ``confirmed`` is not used for sending: on the server's side the Accept may never have arrived,
    and a successor is used once the peer was heard in it. At most one session with a peer is
    ``in_use`` for sending. ``group`` is whose share of the table it takes, ``peer`` the id that the
    peer authenticated.
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
    is_initiator: bool = False
    counter: int = 0
    highest: int = -1
    window: int = 0
    group: str = ""
    is_closed: bool = False
    in_use: bool = False
    rekey_not_before: float = 0.0
    empties: int = 0
    opened: float = field(init=False)
    peer: NodeId = field(init=False)

    def __post_init__(self) -> None:
        self.opened = self.last
        self.peer = self.descriptor.id

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


def nonce_of(counter: int) -> bytes:
    """Return the 12-byte nonce of a counter: each key seals each counter once."""
    return _NONCE.pack(0, counter)
