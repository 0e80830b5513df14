"""What attackers saw (who asked for which place), and what came twice and was taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from qisguard.identity.address import Address
from qisguard.identity.ids import NodeId, from_bytes, placement
from qisguard.node import messages
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.plugins import Behaviour, Effect
from qisguard.session.wire import AUTH, SEALED


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


class Echoes:
    """The laboratory's own ear: what arrives at an honest node again, and whether it was dropped.

    Sealed messages and Auths count, the datagrams that have an effect. A node drops one and counts
    it, or it was taken; a repeated Auth is taken when it opens one more session.
    """

    def __init__(self, nodes: Mapping[Address, Node]) -> None:
        self.arrived = 0
        self.taken = 0
        self._nodes = nodes
        self._heard: set[tuple[Address, bytes]] = set()
        self._pending: tuple[Node, int, int] | None = None

    def overhear(self, data: bytes, source: Address, to: Address, now: float) -> None:
        """Look at a datagram that is about to arrive."""
        self.settle()
        node = self._nodes.get(to)
        if node is None or not data or data[0] not in (AUTH, SEALED):
            return
        name = (to, sha256(data).digest())
        if name not in self._heard:
            self._heard.add(name)
            return
        drops = -1 if data[0] == AUTH else _drops(node)
        self._pending = node, drops, len(node.sessions)

    def settle(self) -> None:
        """Judge what arrived last."""
        if self._pending is None:
            return
        (node, drops, sessions), self._pending = self._pending, None
        self.arrived += 1
        self.taken += len(node.sessions) > sessions if drops < 0 else _drops(node) == drops

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Nobody knows this address."""

    def handle_timer(self, now: float) -> None:
        """Nothing is ever due."""

    def next_timer(self) -> float | None:
        """See ``Endpoint``."""
        return None

    def flush(self) -> None:
        """Nothing is stored."""

    def effects(self) -> Sequence[Effect]:
        """Say nothing."""
        return ()


def _drops(node: Node) -> int:
    return sum(count for reason, count in node.counts.items() if reason.startswith("dropped"))


def place_of(request: Request) -> NodeId | None:
    """Return the place that a request is about, if it tells one."""
    if isinstance(request, messages.FindNode):
        return NodeId(from_bytes(request.target))
    if isinstance(request, messages.FindProviders | messages.FindValue):
        return NodeId(from_bytes(request.place))
    if isinstance(request, messages.ListPackets | messages.FetchPackets):
        return placement(request.key)
    return None
