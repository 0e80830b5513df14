"""A node that keeps two logs under one name, and shows each half of the network one of them.

It signs both with its log key, and proves growth within each. Accomplices hide it: they show no
heads, and say of every accusation that they know it, so that whoever tells them stops sooner.
"""

from dataclasses import dataclass, field

from qisguard.identity.ids import NodeId, to_bytes
from qisguard.node.messages import (
    Accuse,
    Growth,
    Heads,
    ListHeads,
    ProveGrowth,
    Refused,
    Reply,
    Request,
    Stored,
)
from qisguard.node.node import Node
from qisguard.node.telling import KNOWN
from qisguard.trail.checkpoint import origin_of, sign_checkpoint
from qisguard.trail.gossip import Head
from qisguard.trail.merkle import consistency_proof, leaf_hash, root


@dataclass(slots=True)
class TwoHistories:
    """Shows a log that grew by one entry every ``period`` seconds, another one to each half.

    The first ``common`` entries are the same. With ``apart`` no size occurs in both histories, so
    that no two notes contradict each other by themselves.
    """

    period: float = 60.0
    common: int = 4
    apart: bool = False
    _leaves: tuple[list[bytes], list[bytes]] = field(default_factory=lambda: ([], []))

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Show the history of the half that the sender is in."""
        half = sender & 1
        if isinstance(request, ListHeads):
            head = self._head(node, half, now)
            own = (to_bytes(node.me.id), head.size, head.root, head.signature)
            return Heads(request.number, [own], [], False)
        if isinstance(request, ProveGrowth):
            leaves = self._grow(half, now)
            if not request.old <= request.new <= len(leaves):
                return Refused(request.number, "no such size")
            proof = consistency_proof(leaves[: request.new], request.old)
            return Growth(request.number, b"".join(proof))
        return Stored(request.number, [KNOWN]) if isinstance(request, Accuse) else honest

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None

    def _head(self, node: Node, half: int, now: float) -> Head:
        leaves = self._grow(half, now)
        size = len(leaves)
        if self.apart and (size & 1) != half and size > self.common:
            size -= 1
        origin = origin_of(node.network.id, node.me.id)
        return Head.of(sign_checkpoint(origin, size, root(leaves[:size]), node.identity.log))

    def _grow(self, half: int, now: float) -> list[bytes]:
        leaves = self._leaves[half]
        while len(leaves) < self.common + 2 + int(now / self.period):
            name = b"both" if len(leaves) < self.common else b"half %d" % half
            leaves.append(leaf_hash(b"%s %d" % (name, len(leaves))))
        return leaves


@dataclass(slots=True)
class Accomplice:
    """Passes nothing on about logs, and says that it knows already what it is told."""

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Show no heads; know every accusation; be honest otherwise."""
        if isinstance(request, ListHeads):
            return Heads(request.number, [], [], False)
        return Stored(request.number, [KNOWN]) if isinstance(request, Accuse) else honest

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None
