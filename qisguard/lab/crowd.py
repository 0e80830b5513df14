"""A crowd of honest nodes on ``virtual`` for measurements: who is who follows from a seed alone.

Nodes are known by number. A node that restarts keeps its identity and its address and has forgotten
everything else; one that is new has a new number.
"""

import random
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from qisguard.config import NodeConfig
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import NodeId
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.lab.engine import Handle
from qisguard.lab.identities import mine
from qisguard.lab.links import Links
from qisguard.lab.skew import Skew
from qisguard.lab.virtual import VirtualEngine
from qisguard.lab.warm import nearest, warm_start
from qisguard.node.checks import Checks, memoised
from qisguard.node.node import Node
from qisguard.node.operations import Found
from qisguard.outcomes.packet import Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.plugins import Clock
from qisguard.store.memory import MemoryStore
from qisguard.store.store import StoreLimits

FIRST_DAY = 20_000
SEEDS = 3
"""Everybody joins through this many nodes, the first ones unless told otherwise."""


@lru_cache(maxsize=1)
def crowd_network() -> Network:
    """Return the network of every crowd: no puzzles, no roster."""
    authority = KeyPair.from_seed(random.Random("crowd authority").randbytes(32))
    return Network("crowd", authority.public, bytes(32), 0, 0)


@lru_cache(maxsize=1 << 15)
def crowd_identity(number: int) -> Identity:
    """Return the identity of node ``number``, the same in every crowd."""
    return mine(crowd_network(), random.Random(f"crowd {number}").randbytes)


def crowd_packet(
    key: bytes,
    case: int,
    day: int,
    author: int = 0,
    network: Network | None = None,
    seq: int = 1,
) -> OutcomePacket:
    """Return a small signed packet under ``key``, of a crowd's network unless told otherwise."""
    pair = KeyPair.from_seed(random.Random(f"crowd author {author}").randbytes(32))
    body = packet_body(
        network=(network or crowd_network()).id,
        template="crowd/1",
        key=key,
        case=case.to_bytes(16, "big"),
        author=pair.public,
        seq=seq,
        day=day,
        exp=day + 1_000,
        arm="A",
        outcome=Outcome.after(100, 1),
        feat={},
    )
    return sign_packet(body, pair)


@dataclass(frozen=True, slots=True)
class Score:
    """How good one look-up was, against the truth at the moment it ended.

    ``found_closest``: it returned the live node that is closest to the target. ``recall_ratio``:
    the share of the k closest live nodes that it returned. It ``succeeded`` when it found the
    closest and at least half of the k closest. ``seconds`` are engine time, ``dead_ratio`` is the
    share of what it returned that was not running, ``hops`` and ``requests`` the node counted.
    """

    found_closest: bool
    recall_ratio: float
    seconds: float
    dead_ratio: float = 0.0
    hops: int = 0
    requests: int = 0

    @property
    def succeeded(self) -> bool:
        """Return whether the look-up did what it is for."""
        return self.found_closest and self.recall_ratio >= 0.5


@dataclass
class Crowd:
    """Nodes by number, those that are stopped included; see the module."""

    engine: VirtualEngine
    config: NodeConfig
    seed: int
    nodes: list[Node] = field(default_factory=list)
    checks: Checks = field(default_factory=memoised)
    _lives: dict[int, int] = field(default_factory=dict)
    _ids: list[NodeId] = field(default_factory=list)

    @classmethod
    def make(
        cls,
        seed: int,
        links: Links,
        config: NodeConfig,
        *,
        clock: Clock = Clock(FIRST_DAY),  # noqa: B008 frozen, so one default serves all
        start: float = 0.0,
    ) -> "Crowd":
        """Return a crowd of nobody; ``start`` is where engine time begins, in seconds."""
        return cls(VirtualEngine(seed, clock, links, start=start), config, seed)

    # --- who is there ----------------------------------------------------------------------------
    def add(self, skew: Skew | None = None) -> Node:
        """Put the next node on the network; it knows nobody yet."""
        number = len(self.nodes)
        node = self.engine.add(lambda address: self._node(number, address, skew))
        if skew is not None:
            self.engine.set_clock(node, skew)
        self.nodes.append(node)
        insort(self._ids, node.me.id)
        return node

    def stop(self, number: int) -> None:
        """Let a node crash."""
        self.engine.stop(self.nodes[number])
        self._ids.remove(self.nodes[number].me.id)

    def restart(self, number: int) -> Node:
        """Start a node again that was stopped: the same identity, an empty memory."""
        old = self.nodes[number]
        node = self.engine.restart(old, lambda address: self._node(number, address, None))
        self.nodes[number] = node
        insort(self._ids, node.me.id)
        return node

    def running(self) -> list[Node]:
        """Return the nodes that were not stopped, by number."""
        return [node for node in self.nodes if self.engine.is_running(node)]

    def join(self, node: Node, through: Sequence[Node] = ()) -> list[Handle]:
        """Let a node join, through the first nodes unless told otherwise."""
        seeds = [n.me for n in through or self.nodes[:SEEDS] if n is not node]
        return self.engine.act(node, lambda now: [node.join(seeds, now)])

    async def gather(self, count: int) -> None:
        """Add ``count`` nodes that join one after the other."""
        for _ in range(count):
            await self.engine.finish(self.join(self.add()))

    def warm(self, count: int) -> int:
        """Add ``count`` nodes with tables filled from global knowledge; return the entries made."""
        nodes = [self.add() for _ in range(count)]
        for node in nodes:
            node.bootstraps[:] = [other.me for other in self.nodes[:SEEDS] if other is not node]
        rng = random.Random(f"warm {self.seed}")
        return warm_start(self.running(), rng, self.engine.now(), nodes)

    def is_live(self, identifier: NodeId) -> bool:
        """Return whether a node with this id is running."""
        at = bisect_left(self._ids, identifier)
        return at < len(self._ids) and self._ids[at] == identifier

    # --- look-ups --------------------------------------------------------------------------------
    def closest(self, target: NodeId, among: Sequence[Node] | None = None) -> list[NodeId]:
        """Return the ids of the k running nodes closest to ``target``, nearest first."""
        ids = self._ids if among is None else sorted(node.me.id for node in among)
        return nearest(ids, target, self.config.k)

    async def look_up(
        self, node: Node, target: NodeId, among: Sequence[Node] | None = None
    ) -> Score:
        """Look ``target`` up from ``node`` and judge the answer against the nodes ``among`` all."""
        started = self.engine.now()
        action: Callable[[float], Sequence[int]] = lambda now: [node.find(target, now)]  # noqa: E731
        (found,) = await self.engine.finish(self.engine.act(node, action))
        return self.judge(found, target, self.engine.now() - started, among)

    def judge(
        self, found: object, target: NodeId, seconds: float, among: Sequence[Node] | None = None
    ) -> Score:
        """Return the score of what a look-up ended with; a node that crashed found nothing."""
        contacts = found.contacts if isinstance(found, Found) else ()
        truth = self.closest(target, among)
        got = {contact.id for contact in contacts}
        dead = sum(not self.is_live(identifier) for identifier in got)
        return Score(
            bool(truth) and truth[0] in got,
            sum(identifier in got for identifier in truth) / max(len(truth), 1),
            seconds,
            dead / max(len(got), 1),
            found.hops if isinstance(found, Found) else 0,
            found.message_count if isinstance(found, Found) else 0,
        )

    def _node(self, number: int, address: Address, skew: Skew | None) -> Node:
        life = self._lives[number] = self._lives.get(number, 0) + 1
        config = self.config
        now = self.engine.now() if skew is None else skew.read(self.engine.now())
        return Node(
            crowd_identity(number),
            crowd_network(),
            address,
            config,
            clock=self.engine.clock,
            draw=random.Random(f"node {self.seed} {number} {life}").randbytes,
            store=MemoryStore(StoreLimits(config.packets_per_key_max, config.sequence_jump_max)),
            checks=self.checks,
            now=now,
        )
