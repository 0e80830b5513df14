"""The network of one trial on an engine of real nodes: it settles, and is attacked.

The same coroutines drive ``virtual`` and ``live``.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from qisguard.config import NodeConfig
from qisguard.errors import ScenarioError
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import NodeId
from qisguard.lab.engine import Engine, MakeNode
from qisguard.lab.identities import SpentError
from qisguard.lab.scenario.loading import BOOTSTRAPS, Loaded
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.people import FIRST_DAY, Addresses, People
from qisguard.lab.trial.watching import Echoes, Seen, Watched
from qisguard.lab.virtual import VirtualEngine
from qisguard.lab.warm import survey_all, warm_start
from qisguard.node.checks import Checks
from qisguard.node.node import Node
from qisguard.outcomes.annals import Annals
from qisguard.plugins import (
    Behaviour,
    Defense,
    Endpoint,
    MakeEndpoint,
    Overhears,
    Question,
    Recruit,
    Restarts,
    Tells,
    World,
)
from qisguard.store.memory import MemoryStore
from qisguard.store.store import Store, StoreLimits


@dataclass
class Ground:
    """Honest nodes by number, and those who attack them.

    ``liars`` are attackers that are nodes, ``speakers`` the ids of those that are not. ``victims``
    are those honest nodes that the attack aims at, the same in all arms; ``homes`` says where
    everybody with an id lives, or lived, that ever took part.
    """

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
    speakers: set[NodeId] = field(default_factory=set)
    victims: list[Node] = field(default_factory=list)
    homes: dict[NodeId, Address] = field(default_factory=dict)
    tellers: list[Tells] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    stores: dict[NodeId, Store] = field(default_factory=dict)
    echoes: Echoes | None = None
    question: Question | None = None
    remember: Callable[[], Annals] | None = None
    """Makes the annals of each node, where nodes remember anything."""

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

    @property
    def attackers(self) -> set[NodeId]:
        """Return the ids of all attackers, whether they are nodes or not."""
        return self.speakers | {node.me.id for node in self.liars}

    async def settle(self) -> None:
        """Let the honest nodes, and attackers who lie low among them, become a network."""
        nodes = [self._add_honest(identity) for identity in self.people.honest]
        others = self.honest[BOOTSTRAPS:]
        count = self.loaded.scenario.attack.victims
        self.victims = random.Random(f"victims {self.seed}").sample(others, count)
        if self.arm.has_attack and self.loaded.scenario.attack.arrival == "settled":
            self._recruit()
            for at, (_, recruit) in enumerate(self._waiting):
                if recruit.identity is not None and recruit.speaks is None:
                    node = self._add_liar(recruit.identity, None)
                    nodes.append(node)
                    self._waiting[at] = (node, recruit)
        start = self.loaded.scenario.network.start
        if start != "cold":
            for node in nodes:
                self._introduce(node)
            rng = random.Random(f"warm {self.seed}")
            warm_start(nodes, rng, self.engine.now(), nodes)
            if start == "surveyed":
                survey_all(nodes, rng, self.engine.now())
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
        """Let the attack begin, in the arms that have one, and let victims restart in all arms."""
        attack = self.loaded.attack
        if self.arm.has_attack:
            if self.loaded.scenario.attack.arrival == "joins":
                self._recruit()
            for node, recruit in self._waiting:
                await self._turn(node, recruit)
            self._waiting = []
        if isinstance(attack, Restarts):
            rng = random.Random(f"restarts {self.seed}")
            for victim in self.victims:
                await self._restart(victim, attack, rng)
        if self.loaded.scenario.attack.lead:
            await self.engine.pause(self.loaded.scenario.attack.lead)

    def replace(self, number: int) -> None:
        """Let an honest node crash, and a new one join in its place; simulated networks only."""
        self._simulated("churn").stop(self.honest[number])
        self._births += 1
        host = self._addresses.honest(len(self.honest) + self._births)
        node = self.honest[number] = self._make(self.people.newcomers.identity(), host)
        seeds = [other.me for other in self.honest[:BOOTSTRAPS] if other is not node]
        self.engine.act(node, lambda now: [node.join(seeds, now)])

    async def _restart(self, victim: Node, attack: Restarts, rng: random.Random) -> None:
        """Let a victim crash, and start again with empty tables and those whom it knows."""
        engine = self._simulated("restarts")
        honest = [other.me for other in self.honest[:BOOTSTRAPS]]
        known = attack.known(honest, [liar.me for liar in self.liars], rng)
        engine.stop(victim)
        node = engine.restart(victim, self._maker(victim.identity, life=" again"))
        for nodes in (self.honest, self.victims):
            nodes[nodes.index(victim)] = node
        await engine.finish(engine.act(node, lambda now: [node.join(known, now)]))

    def _simulated(self, what: str) -> VirtualEngine:
        if isinstance(self.engine, VirtualEngine):
            return self.engine
        raise ScenarioError(f"{what}: {self.engine.name} cannot stop nodes, use 'virtual'")

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
        node = self.engine.add(self._maker(identity, behaviour), host)
        self.homes[node.me.id] = node.me.address
        return node

    def _maker(
        self, identity: Identity, behaviour: Behaviour | None = None, life: str = ""
    ) -> MakeNode:
        store = self.stores[identity.id] = MemoryStore(StoreLimits.of(self.config))
        luck = random.Random(f"{self.seed} {identity.id}{life}")
        draw = os.urandom if self.is_live else luck.randbytes

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
                annals=self.remember() if self.remember else None,
                now=self.engine.now(),
            )

        return make

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
            victims=tuple(node.me for node in self.victims),
            question=self.question,
        )

    def _recruit(self) -> None:
        rng = random.Random(f"attack {self.seed}")
        try:
            for recruit in self.loaded.attack.recruit(self.world(), self.people.mint, rng):
                self._waiting.append((None, recruit))
        except SpentError:
            pass  # those made so far attack

    async def _turn(self, node: Node | None, recruit: Recruit) -> None:
        """Let one recruit begin: a settled node turns bad, a member is broken into, one joins."""
        if isinstance(recruit.plays, Tells):
            self.tellers.append(recruit.plays)
        if recruit.speaks is not None:
            self._let_speak(recruit.speaks, recruit.identity)
            return
        plays = Watched(recruit.plays, self.seen) if recruit.plays else None
        if recruit.takes is not None:
            node = next(n for n in self.honest if n.me.id == recruit.takes)
            self.honest.remove(node)
            self.liars.append(node)
        if node is not None and recruit.leaves:
            self._simulated("attackers who leave").stop(node)
        elif node is not None:
            node.corrupt(plays)
            self.engine.touch(node)
        elif recruit.identity is not None:
            node = self._add_liar(recruit.identity, None)
            await self.join(node)
            node.corrupt(plays)
            self.engine.touch(node)

    def _let_speak(self, speaks: MakeEndpoint, identity: Identity | None) -> None:
        def make(address: Address) -> Endpoint:
            endpoint = speaks(address)
            if identity is not None:
                self.speakers.add(identity.id)
                self.homes[identity.id] = address
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
