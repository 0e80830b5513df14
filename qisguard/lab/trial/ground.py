"""The network of one trial on an engine of real nodes: it settles, and is attacked.

The same coroutines drive ``virtual`` and ``live``.
"""

import os
import random
from dataclasses import dataclass, field

from qisguard.config import NodeConfig
from qisguard.errors import ScenarioError
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import NodeId
from qisguard.lab.engine import Engine
from qisguard.lab.scenario.loading import Loaded
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.people import FIRST_DAY, Addresses, People
from qisguard.lab.trial.watching import Echoes, Seen, Watched
from qisguard.lab.warm import warm_start
from qisguard.node.checks import Checks
from qisguard.node.node import Node
from qisguard.plugins import (
    Behaviour,
    Defense,
    Endpoint,
    MakeEndpoint,
    Overhears,
    Recruit,
    Tells,
    World,
)
from qisguard.store.memory import MemoryStore
from qisguard.store.store import Store, StoreLimits

BOOTSTRAPS = 3
"""Everybody joins through the first honest nodes."""


@dataclass
class Ground:
    """Honest nodes by number, and those who attack them."""

    loaded: Loaded
    arm: Arm
    seed: int
    engine: Engine
    people: People
    config: NodeConfig
    defenses: list[Defense]
    places: tuple[NodeId, ...]
    keys: tuple[bytes, ...]
    checks: Checks
    honest: list[Node] = field(default_factory=list)
    liars: list[Node] = field(default_factory=list)
    tellers: list[Tells] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    stores: dict[NodeId, Store] = field(default_factory=dict)
    echoes: Echoes | None = None

    def __post_init__(self) -> None:
        table = self.loaded.scenario.attack
        self._addresses = Addresses(
            127 if self.is_live else 10,
            self.loaded.scenario.network.networks,
            table.hosts,
            table.networks,
        )
        self._attackers = 0
        self._births = 0
        self._waiting: list[tuple[Node | None, Recruit]] = []

    @property
    def is_live(self) -> bool:
        """Return whether real sockets and real time are used."""
        return self.engine.name == "live"

    async def settle(self) -> None:
        """Let the honest nodes, and attackers who lie low among them, become a network."""
        nodes = [self._add_honest(identity) for identity in self.people.honest]
        if self.arm.has_attack and self.loaded.scenario.attack.arrival == "settled":
            self._recruit()
            for at, (_, recruit) in enumerate(self._waiting):
                if recruit.identity is not None:
                    node = self._add_liar(recruit.identity, None)
                    nodes.append(node)
                    self._waiting[at] = (node, recruit)
        if self.loaded.scenario.network.start == "warm":
            for node in nodes:
                self._introduce(node)
            rng = random.Random(f"warm {self.seed}")
            warm_start(nodes, rng, self.engine.now(), nodes)
            return
        joining = nodes[1:]
        random.Random(f"joining {self.seed}").shuffle(joining)
        for node in joining:
            await self.join(node)

    async def join(self, node: Node) -> None:
        """Let one node join through the bootstraps."""
        seeds = [other.me for other in self.honest[:BOOTSTRAPS] if other is not node]
        await self.engine.finish(self.engine.act(node, lambda now: [node.join(seeds, now)]))

    async def attack(self) -> None:
        """Let the attack begin, in the arms that have one."""
        if not self.arm.has_attack:
            return
        if self.loaded.scenario.attack.arrival == "joins":
            self._recruit()
        for node, recruit in self._waiting:
            await self._turn(node, recruit)
        self._waiting = []
        if self.loaded.scenario.attack.lead:
            await self.engine.pause(self.loaded.scenario.attack.lead)

    def replace(self, number: int) -> None:
        """Let an honest node crash, and a new one join in its place; simulated networks only."""
        stop = getattr(self.engine, "stop", None)
        if stop is None:
            raise ScenarioError(f"churn: {self.engine.name} cannot stop nodes, use 'virtual'")
        stop(self.honest[number])
        self._births += 1
        host = self._addresses.honest(len(self.honest) + self._births)
        node = self.honest[number] = self._make(self.people.newcomers.identity(), host)
        seeds = [other.me for other in self.honest[:BOOTSTRAPS] if other is not node]
        self.engine.act(node, lambda now: [node.join(seeds, now)])

    # --- who is there ----------------------------------------------------------------------------
    def _add_honest(self, identity: Identity) -> Node:
        node = self._make(identity, self._addresses.honest(len(self.honest)))
        self.honest.append(node)
        return node

    def _add_liar(self, identity: Identity, behaviour: Behaviour | None) -> Node:
        node = self._make(identity, self._addresses.attacker(self._attackers), behaviour)
        self._attackers += 1
        self.liars.append(node)
        self._introduce(node)
        return node

    def _introduce(self, node: Node) -> None:
        node.bootstraps[:] = [o.me for o in self.honest[:BOOTSTRAPS] if o is not node]

    def _make(self, identity: Identity, host: str, behaviour: Behaviour | None = None) -> Node:
        store = self.stores[identity.id] = MemoryStore(StoreLimits.of(self.config))
        draw = os.urandom if self.is_live else random.Random(f"{self.seed} {identity.id}").randbytes

        def make(address: Address) -> Node:
            return Node(
                identity,
                self.people.network,
                address,
                self.config,
                clock=self.engine.clock,
                draw=draw,
                store=store,
                roster=self.people.roster,
                defenses=self.defenses,
                behaviour=behaviour,
                checks=self.checks,
                now=self.engine.now(),
            )

        return self.engine.add(make, host)

    # --- who attacks -----------------------------------------------------------------------------
    def world(self) -> World:
        """Return what attackers know."""
        return World(
            network=self.people.network,
            today=FIRST_DAY,
            budget=self.loaded.attackers,
            config=self.config,
            places=self.places,
            keys=self.keys,
            members=tuple(node.me for node in self.honest),
        )

    def _recruit(self) -> None:
        rng = random.Random(f"attack {self.seed}")
        recruits = self.loaded.attack.recruit(self.world(), self.people.mint, rng)
        self._waiting = [(None, recruit) for recruit in recruits]

    async def _turn(self, node: Node | None, recruit: Recruit) -> None:
        """Let one recruit begin: a settled node turns bad, a member is broken into, one joins."""
        if isinstance(recruit.plays, Tells):
            self.tellers.append(recruit.plays)
        if recruit.speaks is not None:
            self._let_speak(recruit.speaks)
            return
        plays = Watched(recruit.plays, self.seen) if recruit.plays else None
        if recruit.takes is not None:
            node = next(n for n in self.honest if n.me.id == recruit.takes)
            self.honest.remove(node)
            self.liars.append(node)
        if node is not None:
            node.corrupt(plays)
            self.engine.touch(node)
        elif recruit.identity is not None:
            node = self._add_liar(recruit.identity, None)
            await self.join(node)
            node.corrupt(plays)
            self.engine.touch(node)

    def _let_speak(self, speaks: MakeEndpoint) -> None:
        def make(address: Address) -> Endpoint:
            endpoint = speaks(address)
            if isinstance(endpoint, Tells):
                self.tellers.append(endpoint)
            listens.append(isinstance(endpoint, Overhears))
            return endpoint

        listens: list[bool] = []
        self.engine.let_speak(make, self._addresses.attacker(self._attackers))
        self._attackers += 1
        if any(listens) and self.echoes is None:
            self.echoes = Echoes({node.me.address: node for node in self.honest})
            self.engine.let_speak(lambda address: self.echoes or Echoes({}))
