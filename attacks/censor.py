"""What identities do that stand where records are kept: they take them, and hand nothing out."""

from dataclasses import dataclass

from qisguard.attacks.lookup_lies import Colluder
from qisguard.identity.ids import NodeId
from qisguard.node import messages
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node


@dataclass(slots=True)
class Mute:
    """Answers pings alone: nothing about contacts, nothing about records."""

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Be there, and say nothing."""
        return honest if isinstance(request, messages.Ping) else None

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None


@dataclass(slots=True)
class Censor(Colluder):
    """Leads look-ups to its gang; acknowledges records, and denies having any."""

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Answer as a replica without a single record."""
        number = request.number
        match request:
            case messages.Store():
                return messages.Stored(number, [""] * len(request.packets))
            case messages.ListPackets():
                return messages.Listing(number, [], False)
            case messages.FetchPackets():
                return messages.Packets(number, [])
            case messages.FindProviders():
                return messages.Providers(number, [], False)
            case messages.FindValue():
                about = messages.FindNode(number, request.place)
                return super(Censor, self).answer(node, sender, about, honest, now)
        return super(Censor, self).answer(node, sender, request, honest, now)
