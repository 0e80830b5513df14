"""How many replies deep a look-up had to go: heard at the nodes that answer, on any engine."""

from qisguard.identity.ids import NodeId, from_bytes
from qisguard.node.messages import FindNode, Nodes, Reply, Request
from qisguard.node.node import Node


class HopRecorder:
    """A behaviour that changes nothing and remembers who named whom to whom; give one to all nodes.

    A contact that the asker's own table gave to the look-up is 1 hop away; whom a node h hops away
    names is at most h + 1 away. Only replies count, not the order in which they came: an engine
    with other delays gives the same hops.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._known: dict[tuple[NodeId, NodeId], set[NodeId]] = {}
        self._named: dict[tuple[NodeId, NodeId], dict[NodeId, list[NodeId]]] = {}

    def begin(self, node: Node, target: NodeId) -> None:
        """Take down whom ``node`` knows near ``target``; call it before the look-up."""
        near = node.table.closest(target, max(node.config.k, node.config.disjoint_paths))
        known = {contact.id for contact in [*near, *node.bootstraps]}
        self._known[node.me.id, target] = known
        self._named[node.me.id, target] = {}

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply:
        """See ``Behaviour``: hand on the honest reply."""
        if isinstance(request, FindNode) and isinstance(honest, Nodes):
            self.requests += 1
            named = self._named.get((sender, from_bytes(request.target)))
            if named is not None:
                named[node.me.id] = [from_bytes(identifier) for identifier, _, _ in honest.contacts]
        return honest

    def act(self, node: Node, now: float) -> None:
        """See ``Behaviour``: nothing to do."""

    def take(self, asker: NodeId, target: NodeId, found: NodeId) -> int | None:
        """Return and forget how many hops it was to ``found``: 0 to oneself, None if unnamed."""
        named, frontier = self._named.pop((asker, target)), self._known.pop((asker, target))
        if found == asker:
            return 0
        seen, hops = set(frontier), 1
        while frontier:
            if found in frontier:
                return hops
            frontier = {i for node in frontier for i in named.get(node, ())} - seen
            seen |= frontier
            hops += 1
        return None
