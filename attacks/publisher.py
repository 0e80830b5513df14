"""A liar whose only lie is what it publishes: it routes, stores and answers like everybody else."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from qisguard.identity.ids import NodeId
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.outcomes.packet import OutcomePacket


@dataclass(slots=True)
class Publisher:
    """Publishes ``packets`` once, at the first opportunity."""

    packets: Sequence[OutcomePacket]
    done: bool = field(default=False)

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Return the honest reply."""
        return honest

    def act(self, node: Node, now: float) -> float | None:
        """Publish, then rest for good."""
        if not self.done:
            self.done = True
            node.publish(self.packets, now)
        return None
