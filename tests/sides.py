"""Two sides of sessions and the line between them, driven by hand."""

from collections import Counter
from collections.abc import Callable

from qisguard.config import NodeConfig
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Descriptor, open_descriptor
from qisguard.identity.keys import verify
from qisguard.session.channel import Session
from qisguard.session.sessions import Opened, Plain, Sessions
from qisguard.session.table import Organisation, by_network
from tests.builders import DAY, NETWORK, address_of, draw, make_identity

CLIENT, SERVER, OTHER = 0, 1, 2
Tamper = Callable[[bytes], list[bytes]]


class Side:
    """Sessions of one identity at one address, and what they reported."""

    def __init__(
        self,
        index: int,
        config: NodeConfig = NodeConfig(),  # noqa: B008 frozen, so one default serves all
        seed: int = 0,
        organisation: Organisation = by_network,
        is_current: Callable[[Descriptor], bool] = lambda descriptor: True,
    ) -> None:
        self.index = index
        self.address = address_of(index)
        self.identity = make_identity(index)
        self.counts: Counter[str] = Counter()
        self.events: list[Opened | Plain] = []
        self.sessions = Sessions(
            self.identity,
            config,
            draw(f"side {index} {seed}"),
            verify,
            lambda data: open_descriptor(data, NETWORK),
            self.counts,
            organisation,
            is_current,
        )
        self.show(seq=0)

    def show(self, seq: int, expires: int = DAY + 100) -> None:
        """Use a descriptor with this sequence number from now on."""
        described = self.identity.describe(NETWORK, self.address, seq, expires)
        self.sessions.descriptor = described.signed

    def take(self, data: bytes, source: Address, now: float) -> None:
        """Receive, and note what was reported."""
        event = self.sessions.receive(data, source, now)
        if event is not None:
            self.events.append(event)

    def sent(self) -> list[bytes]:
        """Return and forget what waits to be sent."""
        sent = [data for data, _ in self.sessions.outbox]
        self.sessions.outbox.clear()
        return sent

    def session_with(self, other: "Side") -> Session | None:
        """Return the session to use for the other."""
        return self.sessions.get(other.identity.id)

    def says(self, other: "Side", text: bytes) -> bytes:
        """Return a sealed datagram."""
        session = self.session_with(other)
        assert session is not None
        return self.sessions.seal(session, text)


class Pair:
    """A client, a server and the line between them; ``tamper`` sees every datagram in order."""

    def __init__(self, config: NodeConfig = NodeConfig(), seed: int = 0) -> None:  # noqa: B008
        self.client = Side(CLIENT, config, seed)
        self.server = Side(SERVER, config, seed)
        self.now = 0.0
        self.seen: list[bytes] = []

    def run(self, tamper: Tamper = lambda data: [data]) -> None:
        """Deliver until both are silent."""
        while True:
            batch = [(self.client, self.server, data) for data in self.client.sent()]
            batch += [(self.server, self.client, data) for data in self.server.sent()]
            if not batch:
                return
            for sender, receiver, data in batch:
                self.seen.append(data)
                for delivered in tamper(data):
                    receiver.take(delivered, sender.address, self.now)

    def connect(self, tamper: Tamper = lambda data: [data]) -> None:
        """Open a session, repeating as the client does, until it opens or gives up."""
        server = self.server
        self.client.sessions.connect(server.identity.id, server.address, self.now)
        self.run(tamper)
        while (due := self.client.sessions.next_timer()) is not None:
            self.now = max(self.now, due)
            list(self.client.sessions.handle_timer(self.now))
            self.run(tamper)

    @property
    def is_open(self) -> bool:
        """Return whether the client has its session."""
        return self.client.session_with(self.server) is not None

    def talk(self) -> list[bytes]:
        """Say something each way; return what was heard."""
        here, there = self.client, self.server
        there.take(here.says(there, b"question"), here.address, self.now)
        here.take(there.says(here, b"answer"), there.address, self.now)
        return [e.data for side in (there, here) for e in side.events if isinstance(e, Plain)]


def opened() -> Pair:
    """Return a pair with a session that the client has not used."""
    pair = Pair()
    pair.connect()
    assert pair.is_open
    return pair


def join(server: Side, index: int, seed: int = 0, now: float = 0.0) -> Side:
    """Return a client that opened and confirmed a session with ``server``."""
    pair = Pair(seed=seed)
    pair.client, pair.server, pair.now = Side(index, NodeConfig(), seed), server, now
    pair.connect()
    pair.talk()
    return pair.client
