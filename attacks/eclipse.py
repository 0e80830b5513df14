"""Eclipse of nodes that start: what they remember, or whom they ask first, is not honest."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qisguard.attacks.calling import Caller
from qisguard.attacks.lookup_lies import Colluder
from qisguard.attacks.table_flood import check_period
from qisguard.identity.ids import NodeId
from qisguard.node.contact import Contact
from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class RestartEclipse:
    """Victims restart with ``saved`` contacts, ``bad_ratio`` of them attackers, who call them."""

    saved: int = 10
    bad_ratio: float = 1.0
    period: float = 5.0

    def __post_init__(self) -> None:
        if not 1 <= self.saved <= 1_000:
            raise ValueError(f"saved = {self.saved}, must be 1 to 1000")
        if not 0 <= self.bad_ratio <= 1:
            raise ValueError(f"bad_ratio = {self.bad_ratio}, must be 0 to 1")
        check_period(self.period)

    card = Card(
        id="restart_eclipse",
        family="eclipse",
        summary="a victim restarts with poisoned contacts, and attackers call it at once",
        capability="poisoned what a victim saved, can make it restart, has few hosts",
        breaks="availability and integrity of everything that the victim asks",
        source="Heilman et al., USENIX Security 2015; Marcus et al., 2018; catalogue, E2",
        seen="after a restart all contacts are of a handful of networks",
        limits="one honest contact that answers is a way back",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield callers with random ids who share one list."""
        gang: dict[NodeId, Contact] = {}
        for _ in range(world.budget):
            yield Recruit(Caller(Colluder(gang), world.victims, self.period), mint.identity())

    def known(
        self, bootstraps: Sequence[Contact], attackers: Sequence[Contact], rng: random.Random
    ) -> Sequence[Contact]:
        """Return saved contacts, attackers among them in the ratio of this attack."""
        bad = min(round(self.bad_ratio * self.saved), len(attackers))
        return [*rng.sample(attackers, bad), *bootstraps[: self.saved - bad]]


@dataclass(frozen=True, slots=True)
class BootstrapPoisoning:
    """Victims start with ``bad`` bootstraps of attackers, the rest of ``of`` being honest."""

    bad: int = 3
    of: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.of <= 3:  # there are three honest ones
            raise ValueError(f"of = {self.of}, must be 1 to 3")
        if not 0 <= self.bad <= self.of:
            raise ValueError(f"bad = {self.bad}, must be 0 to of = {self.of}")

    card = Card(
        id="bootstrap_poisoning",
        family="eclipse",
        summary="some or all of the addresses that a newcomer starts with are attackers'",
        capability="runs, or took over, some of the bootstraps",
        breaks="which network a newcomer joins",
        source="Singh et al., INFOCOM 2006; catalogue, E5",
        seen="a newcomer that nobody else has heard of",
        limits="works only when every bootstrap is bad: one honest one leads to all others",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield colluders with random ids who share one list."""
        gang: dict[NodeId, Contact] = {}
        for _ in range(world.budget):
            yield Recruit(Colluder(gang), mint.identity())

    def known(
        self, bootstraps: Sequence[Contact], attackers: Sequence[Contact], rng: random.Random
    ) -> Sequence[Contact]:
        """Return as many bootstraps as everybody has, the bad ones first."""
        bad = min(self.bad, len(attackers))
        return [*rng.sample(attackers, bad), *bootstraps[: self.of - bad]]
