"""Slow answers: attackers answer look-ups correctly, but as late as they can without being dropped.

What is late waits in the attacker's own queue; the node's timer sends it.
"""

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from qisguard.identity.ids import NodeId
from qisguard.node.messages import FindNode, Reply, Request, encode
from qisguard.node.node import Node
from qisguard.plugins import Card, Mint, Recruit, World

STEPS = 10
"""The queue is looked at so often in the time that an answer waits."""


@dataclass(slots=True)
class Sluggard:
    """Answers FIND_NODE ``seconds`` late, and at most a tenth of that later."""

    seconds: float
    late: deque[tuple[float, NodeId, Reply]] = field(default_factory=deque)

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Put an answer about contacts aside; a repeated request is answered once."""
        if not isinstance(request, FindNode):
            return honest
        if not any(to == sender and held.number == honest.number for _, to, held in self.late):
            self.late.append((now + self.seconds, sender, honest))
        return None

    def act(self, node: Node, now: float) -> float | None:
        """Send what has waited long enough."""
        while self.late and self.late[0][0] <= now:
            _, sender, reply = self.late.popleft()
            if session := node.sessions.get(sender):
                node.sessions.send(session, encode(reply))
        return now + self.seconds / STEPS


@dataclass(frozen=True, slots=True)
class LookUpSlow:
    """Attackers answer FIND_NODE ``seconds`` late."""

    seconds: float = 3.0

    def __post_init__(self) -> None:
        if not 0.1 <= self.seconds <= 600:
            raise ValueError(f"seconds = {self.seconds}, must be 0.1 to 600")

    card = Card(
        id="look_up_slow",
        family="look-up",
        summary="attackers answer FIND_NODE correctly, seconds late",
        capability="a share of all identities, anywhere in the network",
        breaks="latency of look-ups",
        source="slow-rate denial of service (Cambiaso et al., 2013), carried over; catalogue, L4",
        seen="requests repeated to peers that answer pings at once; a long tail of durations",
        limits="a request that nobody answers is given up; others are asked meanwhile",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield liars with random ids."""
        for _ in range(world.budget):
            yield Recruit(Sluggard(self.seconds), mint.identity())
