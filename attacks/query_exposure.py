"""Watching: attackers who do everything right and write down who asks for what.

More paths make look-ups harder to capture and show them to more nodes: that is the price.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.identity.ids import NodeId
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Answers honestly; what it saw is noted by the laboratory for every attacker alike."""

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Return the honest reply."""
        return honest

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None


@dataclass(frozen=True, slots=True)
class QueryExposure:
    """A share of the network watches."""

    card = Card(
        id="query_exposure",
        family="privacy",
        summary="watchers learn who looks for which place",
        capability="a share m of all identities that behave well",
        breaks="privacy of queries (exposed)",
        source="catalogue Q2: 1 - (1 - m)^messages",
        seen="nothing: watchers do what everybody does",
        limits="keyed templates hide what a place means, not who asks for it",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return watchers with random ids."""
        return [Recruit(Onlooker(), mint.identity()) for _ in range(world.budget)]
