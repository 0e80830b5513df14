"""A client that says what it likes: it pays for its identity, opens sessions, and keeps no rules.

Nodes meet it like anybody: handshake, budgets and checks are theirs. It counts what became of what
it asked, and answers that it knows nobody and keeps nothing: silence would be another attack.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from qisguard.config import NodeConfig
from qisguard.errors import DecodeError
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Identity, open_descriptor
from qisguard.identity.ids import NodeId
from qisguard.identity.keys import verify
from qisguard.identity.network import Network
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.messages import Reply, Request
from qisguard.plugins import Counted, MakeEndpoint, Send, World
from qisguard.session.channel import Session
from qisguard.session.sessions import Opened, Plain, Sessions

DESCRIPTOR_DAYS = 30
BURST = 256
"""Requests that are sent in one call: what is late is not sent at once for ever."""

Asks = Iterable[tuple[float, Contact, Request | bytes]]
"""What to say to whom, and when, in seconds after the first moment; bytes are said as they are."""
Judge = Callable[[Request, Reply], int]
"""Returns how many of the things that a request carried were taken."""


def taken(request: Request, reply: Reply) -> int:
    """Return how many things a Store or Announce had taken: its packets, or else its record."""
    if not isinstance(reply, messages.Stored):
        return 0
    if isinstance(request, messages.Store) and request.packets:
        return sum(not reason for reason in reply.reasons)
    return 1


def carried(request: Request | bytes) -> int:
    """Return how many things a request carries: its packets, or else one."""
    return max(len(request.packets), 1) if isinstance(request, messages.Store) else 1


class Client:
    """Says ``asks`` in order; what came of them is told as ``metric``, as ``judge`` counts it."""

    def __init__(
        self,
        identity: Identity,
        network: Network,
        address: Address,
        today: int,
        rng: random.Random,
        asks: Asks,
        metric: str,
        judge: Judge = taken,
    ) -> None:
        expires = today + DESCRIPTOR_DAYS
        self.sessions = Sessions(
            identity,
            NodeConfig(),
            rng.randbytes,
            verify,
            lambda data: open_descriptor(data, network),
            Counter(),
        )
        self.sessions.descriptor = identity.describe(network, address, 0, expires).signed
        self._asks: Iterator[tuple[float, Contact, Request | bytes]] = iter(asks)
        self._next: tuple[float, Contact, Request | bytes] | None = next(self._asks, None)
        self._metric = metric
        self._judge = judge
        self._waiting: dict[NodeId, deque[Request | bytes]] = {}
        self._asked: dict[int, Request] = {}
        self._began: float | None = None
        self._number = 0
        self._tried = 0
        self._successes = 0
        self._datagrams = 0

    def tell(self) -> Mapping[str, Counted]:
        """See ``Tells``."""
        return {
            self._metric: (self._successes, self._tried),
            "attack_datagrams": float(self._datagrams),
        }

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Take a reply, or go on with a handshake."""
        event = self.sessions.receive(data, source, now)
        if isinstance(event, Opened):
            self._say(event.session.peer)
        elif isinstance(event, Plain):
            self._hear(event.session, event.data)
            self._say(event.session.peer)

    def handle_timer(self, now: float) -> None:
        """Say what is due."""
        if self._began is None:
            self._began = now
        for peer, _ in self.sessions.handle_timer(now):
            self._waiting.pop(peer, None)
        for _ in range(BURST):
            if self._next is None or self._began + self._next[0] > now:
                break
            _, contact, request = self._next
            self._tried += carried(request)
            self._waiting.setdefault(contact.id, deque()).append(request)
            if self.sessions.get(contact.id) is None:
                self.sessions.connect(contact.id, contact.address, now, proven=True)
            self._say(contact.id)
            self._next = next(self._asks, None)

    def next_timer(self) -> float | None:
        """See ``Endpoint``."""
        if self._began is None:
            return 0.0
        times = [self.sessions.next_timer()]
        if self._next is not None:
            times.append(self._began + self._next[0])
        return min((time for time in times if time is not None), default=None)

    def flush(self) -> None:
        """Nothing is stored."""

    def effects(self) -> Sequence[Send]:
        """Return what is to be sent."""
        outbox, self.sessions.outbox = self.sessions.outbox, []
        self._datagrams += len(outbox)
        return [Send(data, address) for data, address in outbox]

    def _say(self, peer: NodeId) -> None:
        """Say what waits for a peer, if there is a session with it."""
        session = self.sessions.get(peer)
        if session is None:
            return
        for request in self._waiting.pop(peer, ()):
            if isinstance(request, bytes):
                self.sessions.send(session, request)
                continue
            self._number += 1
            self._asked[self._number] = request
            numbered = msgspec.structs.replace(request, number=self._number)
            self.sessions.send(session, messages.encode(numbered))

    def _hear(self, session: Session, data: bytes) -> None:
        try:
            message = messages.decode(data)
        except DecodeError:
            return
        if isinstance(message, Request):
            self.sessions.send(session, messages.encode(_nothing(message)))
        elif asked := self._asked.pop(message.number, None):
            self._successes += self._judge(asked, message)


def _nothing(request: Request) -> Reply:
    """Return the reply of somebody who has nothing."""
    number = request.number
    match request:
        case messages.Ping():
            return messages.Pong(number)
        case messages.FindNode() | messages.FindValue():
            return messages.Nodes(number, [])
        case messages.ListPackets():
            return messages.Listing(number, [], more=False)
        case messages.FetchPackets():
            return messages.Packets(number, [])
    return messages.Refused(number, "not a replica of this place")


def client(
    world: World,
    identity: Identity,
    asks: Asks,
    rng: random.Random,
    metric: str,
    judge: Judge = taken,
    network: Network | None = None,
) -> MakeEndpoint:
    """Return who makes a client at an address; it is of the world's network unless told."""
    seed = rng.randbytes(16)
    where = network or world.network
    return lambda address: Client(
        identity, where, address, world.today, random.Random(seed), asks, metric, judge
    )


def nearest(world: World, place: NodeId, count: int) -> list[Contact]:
    """Return the honest members closest to a place, nearest first: its replicas."""
    return heapq.nsmallest(count, world.members, key=lambda contact: contact.id ^ place)
