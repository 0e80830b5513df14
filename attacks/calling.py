"""Attackers who call: they open sessions with whom they choose, again and again.

A session proves an id and an address, which is all that a routing table asks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qisguard.identity.ids import NodeId
from qisguard.node.contact import Contact
from qisguard.node.messages import Ping, Reply, Request, encode
from qisguard.node.node import Node
from qisguard.plugins import Behaviour

SOON = 0.5
"""Seconds after which those are greeted with whom a session has opened."""


@dataclass(slots=True)
class Caller:
    """Calls every target each ``period`` seconds; ``inner`` decides what it answers.

    It connects anew each time: a target that restarted has forgotten the session.
    """

    inner: Behaviour
    targets: Sequence[Contact]
    period: float
    is_greeting: bool = False

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Answer as ``inner`` does."""
        return self.inner.answer(node, sender, request, honest, now)

    def act(self, node: Node, now: float) -> float | None:
        """Open sessions, and a moment later say something in them: then they count."""
        self.inner.act(node, now)
        for target in self.targets:
            session = node.sessions.get(target.id)
            if not self.is_greeting:
                node.sessions.connect(target.id, target.address, now, proven=True)
            elif session is not None:
                node.sessions.send(session, encode(Ping(0)))
        self.is_greeting = not self.is_greeting
        return now + (SOON if self.is_greeting else self.period)
