"""Somebody who completes the handshake like everybody and then says whatever he likes.

A counterpart for one node, driven by hand: the fuzzer and the tests of hostile peers use it.
"""

from collections import Counter

from qisguard.config import NodeConfig
from qisguard.errors import ScenarioError
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Identity, open_descriptor
from qisguard.identity.keys import verify
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw
from qisguard.node.node import Node
from qisguard.plugins import Clock
from qisguard.session.channel import Session
from qisguard.session.sessions import Plain, Sessions


class Stranger:
    """One side of sessions with single nodes; ``heard`` collects what they said, decrypted."""

    def __init__(
        self,
        identity: Identity,
        network: Network,
        address: Address,
        *,
        clock: Clock,
        draw: Draw,
        config: NodeConfig = NodeConfig(),  # noqa: B008 frozen, so one default serves all
    ) -> None:
        self.address = address
        self.identity = identity
        self.counts: Counter[str] = Counter()
        self.heard: list[bytes] = []
        today = clock.day(0.0)
        self.sessions = Sessions(
            identity,
            config,
            draw,
            verify,
            lambda data: open_descriptor(data, network),
            self.counts,
        )
        self.sessions.descriptor = identity.describe(network, address, 0, today + 365).signed

    def greet(self, node: Node, now: float) -> Session:
        """Return a session with ``node``; raise ScenarioError when it opens none."""
        self.sessions.connect(node.me.id, node.me.address, now)
        for _ in range(3):
            self.deliver(node, now)
        session = self.sessions.get(node.me.id)
        if session is None:
            raise ScenarioError("stranger: the node opened no session")
        return session

    def say(self, node: Node, plaintext: bytes, now: float) -> list[bytes]:
        """Seal ``plaintext`` for ``node``; return what it answers, decrypted."""
        session = self.sessions.get(node.me.id) or self.greet(node, now)
        node.receive_datagram(self.sessions.seal(session, plaintext), self.address, now)
        heard = len(self.heard)
        self.deliver(node, now)
        return self.heard[heard:]

    def deliver(self, node: Node, now: float) -> None:
        """Carry what is under way between the two; the rest of the world hears nothing."""
        for data, _ in self.sessions.outbox:
            node.receive_datagram(data, self.address, now)
        self.sessions.outbox.clear()
        node.flush()
        for effect in node.effects():
            if effect.to == self.address:
                event = self.sessions.receive(effect.data, node.me.address, now)
                if isinstance(event, Plain):
                    self.heard.append(event.data)
