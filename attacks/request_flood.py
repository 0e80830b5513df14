"""A flood of look-up requests, inside good sessions: every one costs the node a search and a reply.

On ``virtual`` a node works in no time, so what is measured there is how much work nodes *did* for
the flood; what that does to others is seen on ``live``.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qisguard.attacks.client import client
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.messages import FindNode, Reply, Request
from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class RequestFlood:
    """Each identity sends ``per_second`` FIND_NODE to each of ``victims`` nodes (0: all)."""

    per_second: float = 100.0
    duration: float = 10.0
    victims: int = 0

    def __post_init__(self) -> None:
        if not 0.001 <= self.per_second <= 1e6:
            raise ValueError(f"per_second = {self.per_second}, must be 0.001 to 1000000")
        if not 0.001 <= self.duration <= 1e6:
            raise ValueError(f"duration = {self.duration}, must be 0.001 to 1000000")
        if not 0 <= self.victims <= 10_000:
            raise ValueError(f"victims = {self.victims}, must be 0 to 10000")

    card = Card(
        id="request_flood",
        family="flooding",
        summary="FIND_NODE without end, in good sessions",
        capability="a few identities with sessions, and bandwidth",
        breaks="what nodes have time for (flood_served; success and latency_p95 on live)",
        source="kadence issue 100 (8,500 requests in 4 hours were an overload)",
        seen="'busy: request budget'; 'requests: FindNode' of few peers",
        limits="budgets of identities and of networks: who has many networks has many budgets",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return flooding clients."""
        for _ in range(world.budget):
            asks = self._asks(world, random.Random(rng.randbytes(16)))
            identity = mint.identity()
            speaks = client(world, identity, asks, rng, "flood_served", _served)
            yield Recruit(identity=identity, speaks=speaks)

    def _asks(self, world: World, rng: random.Random) -> Iterator[tuple[float, Contact, Request]]:
        aims = world.members
        if self.victims:
            aims = tuple(rng.sample(aims, min(self.victims, len(aims))))
        for number in range(int(self.per_second * self.duration)):
            for contact in aims:
                yield number / self.per_second, contact, FindNode(0, rng.randbytes(32))


def _served(request: Request, reply: Reply) -> int:
    return isinstance(reply, messages.Nodes)
