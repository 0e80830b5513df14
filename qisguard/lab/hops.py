"""How many replies deep a look-up had to go: heard at the nodes that answer, on any engine."""

from typing import TYPE_CHECKING

from qisguard.identity.ids import NodeId, from_bytes
from qisguard.node.messages import FindNode, Nodes, Reply, Request

if TYPE_CHECKING:
    from qisguard.node.node import Node


class HopRecorder:
    """A behaviour that changes nothing and remembers who named whom to whom.

    Give one to all nodes. A contact that the asker had in its own table is 1 hop away; one that a
    node h hops away names for the first time is h + 1 away (the look-up's depth).
    """

    def __init__(self) -> None:
        self.requests = 0
        self._depths: dict[tuple[NodeId, NodeId], dict[NodeId, int]] = {}

    def answer(
        self, node: "Node", sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply:
        """See ``Behaviour``: hand on the honest reply."""
        if isinstance(request, FindNode) and isinstance(honest, Nodes):
            self.requests += 1
            depths = self._depths.setdefault((sender, from_bytes(request.target)), {})
            depth = depths.setdefault(node.me.id, 1)
            for identifier, _, _ in honest.contacts:
                depths.setdefault(from_bytes(identifier), depth + 1)
        return honest

    def act(self, node: "Node", now: float) -> None:
        """See ``Behaviour``: nothing to do."""

    def take(self, asker: NodeId, target: NodeId, found: NodeId) -> int:
        """Return and forget how many hops ``asker`` needed to ``found``; 0 when it is the asker."""
        depths = self._depths.pop((asker, target), {})
        return 0 if found == asker else depths.get(found, 1)
