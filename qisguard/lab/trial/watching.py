"""What attackers saw: whom they were asked by, and for which place."""

from dataclasses import dataclass, field

from qisguard.identity.ids import NodeId, from_bytes, placement
from qisguard.node import messages
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.plugins import Behaviour


@dataclass(slots=True)
class Seen:
    """What all attackers of a trial saw together: (who asked, for which place)."""

    pairs: set[tuple[NodeId, NodeId]] = field(default_factory=set)


@dataclass(slots=True)
class Watched:
    """A behaviour whose owner keeps notes; it changes nothing."""

    inner: Behaviour
    seen: Seen

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Note the request, and let the behaviour answer it."""
        place = place_of(request)
        if place is not None:
            self.seen.pairs.add((sender, place))
        return self.inner.answer(node, sender, request, honest, now)

    def act(self, node: Node, now: float) -> float | None:
        """Let the behaviour act."""
        return self.inner.act(node, now)


def place_of(request: Request) -> NodeId | None:
    """Return the place that a request is about, if it tells one."""
    if isinstance(request, messages.FindNode):
        return NodeId(from_bytes(request.target))
    if isinstance(request, messages.FindProviders | messages.FindValue):
        return NodeId(from_bytes(request.place))
    if isinstance(request, messages.ListPackets | messages.FetchPackets):
        return placement(request.key)
    return None
