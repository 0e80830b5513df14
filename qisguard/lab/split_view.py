"""How long a log with two histories stays unnoticed, on ``virtual``, and who else is blamed.

A crowd joins; every honest node keeps a trail that grows, and gossips. Then one node begins to show
two histories (``attacks.two_histories``), covered by accomplices.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from qisguard.attacks.two_histories import Accomplice, TwoHistories
from qisguard.config import NodeConfig
from qisguard.identity.address import Address
from qisguard.identity.ids import NodeId
from qisguard.lab.crowd import FIRST_DAY, crowd_identity, crowd_network
from qisguard.lab.links import Links
from qisguard.lab.virtual import VirtualEngine
from qisguard.node.checks import memoised
from qisguard.node.contact import Contact
from qisguard.node.gossip import GossipParts, GossipPolicy
from qisguard.node.node import Node
from qisguard.plugins import Behaviour, Clock
from qisguard.store.memory import MemoryStore
from qisguard.store.store import StoreLimits
from qisguard.trail import entries
from qisguard.trail.checkpoint import origin_of
from qisguard.trail.evidence import EvidenceFiles
from qisguard.trail.files import MemoryFiles
from qisguard.trail.log import Trail
from qisguard.trail.shown import ShownTrail
from qisguard.trail.witness import FileMemory

SETTLING = 120.0
"""Seconds between the last join and the first lie."""
STEP = 1.0
"""Seconds between two looks at who knows."""
_CHECKS = memoised()


@dataclass(frozen=True, slots=True)
class SplitView:
    """One run; times in seconds. ``growth`` is the pause between two entries of an honest trail."""

    nodes: int = 60
    honest_share: float = 1.0
    fan_out: int = 2
    interval: float = 60.0
    growth: float = 300.0
    loss_ratio: float = 0.0
    apart: bool = False
    limit: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Noticed:
    """What came of a run.

    ``first`` and ``last``: seconds from the first lie until the first and until every honest node
    had evidence; None if that did not happen. ``blamed`` counts honest logs under evidence at any
    honest node; ``silent`` those that some honest node called silent at the end, ``liar_silent``
    the honest nodes that called the liar so. ``datagrams``: of one node in a minute, all traffic.
    """

    first: float | None
    last: float | None
    holders: int
    honest: int
    blamed: int
    silent: int
    liar_silent: int
    datagrams: float


async def run_split_view(view: SplitView, seed: int) -> Noticed:
    """Play one run; the same view and seed give the same result."""
    rng = random.Random(f"split view {seed}")
    clock = Clock(FIRST_DAY)
    engine = VirtualEngine(seed, clock, Links(loss_ratio=view.loss_ratio))
    honest_count = max(2, round(view.honest_share * view.nodes))
    honest: list[Node] = []
    trails: list[Trail] = []
    rest: list[Node] = []
    first: list[Contact] = []
    for number in range(view.nodes):
        is_honest = number < honest_count - (1 if honest_count == view.nodes else 0)
        trail, parts = _parts(number, view) if is_honest else (None, None)
        node = engine.add(partial(_node, number, parts, clock, rng.random()))
        await engine.finish(engine.act(node, partial(_join, node, first)))
        first = [*first, node.me][:3]
        (honest if is_honest else rest).append(node)
        if trail is not None:
            trails.append(trail)
    engine.advance(engine.now() + SETTLING)
    liar, start = rest[0], engine.now()
    behaviours: list[Behaviour] = [TwoHistories(apart=view.apart)]
    behaviours += [Accomplice() for _ in rest[1:]]
    for node, behaviour in zip(rest, behaviours, strict=True):
        node.corrupt(behaviour)
    sent = engine.measures()["datagrams"]
    noticed: tuple[float | None, float | None] = (None, None)
    due = [start + rng.random() * view.growth for _ in trails]
    while engine.now() < start + view.limit and noticed[1] is None:
        engine.advance(engine.now() + STEP)
        _grow(trails, due, engine.now(), view.growth, rng)
        noticed = _look(honest, liar.me.id, engine.now() - start, noticed)
    now = engine.now()
    kept = [set(node.gossip.logs.evidence()) for node in honest if node.gossip]
    quiet = [node.gossip.silent(now) for node in honest if node.gossip]
    minutes = (now - start) / 60
    return Noticed(
        *noticed,
        holders=sum(liar.me.id in known for known in kept),
        honest=len(honest),
        blamed=len(set().union(*kept) - {node.me.id for node in rest}),
        silent=len(set().union(*quiet) - {node.me.id for node in rest}),
        liar_silent=sum(liar.me.id in logs for logs in quiet),
        datagrams=(engine.measures()["datagrams"] - sent) / view.nodes / minutes,
    )


def _parts(number: int, view: SplitView) -> tuple[Trail, GossipParts]:
    """Return the trail of an honest node, and what lets it gossip about it."""
    identity = crowd_identity(number)
    public = MemoryFiles()
    origin = origin_of(crowd_network().id, identity.id)
    trail = Trail.create(public, MemoryFiles(), origin, identity.log)
    policy = GossipPolicy(fan_out=view.fan_out, interval=view.interval)
    shown = ShownTrail(trail, public)
    return trail, GossipParts(policy, FileMemory(MemoryFiles()), EvidenceFiles(public), shown)


def _join(node: Node, first: Sequence[Contact], now: float) -> list[int]:
    return [node.join(first, now)]


def _node(
    number: int, parts: GossipParts | None, clock: Clock, seed: float, address: Address
) -> Node:
    config = NodeConfig()
    return Node(
        crowd_identity(number),
        crowd_network(),
        address,
        config,
        clock=clock,
        draw=random.Random(seed).randbytes,
        store=MemoryStore(StoreLimits.of(config)),
        checks=_CHECKS,
        gossip=parts,
    )


def _grow(
    trails: Sequence[Trail], due: list[float], now: float, growth: float, rng: random.Random
) -> None:
    for number, trail in enumerate(trails):
        if due[number] <= now:
            due[number] = now + growth * rng.uniform(0.5, 1.5)
            trail.append(entries.hold(FIRST_DAY, [rng.randbytes(32)]))
            trail.checkpoint()


def _look(
    honest: Sequence[Node],
    liar: NodeId,
    after: float,
    noticed: tuple[float | None, float | None],
) -> tuple[float | None, float | None]:
    """Return when the first and the last honest node had evidence against the liar."""
    known = [node.gossip is not None and liar in node.gossip.logs.evidence() for node in honest]
    first = after if noticed[0] is None and any(known) else noticed[0]
    return first, after if all(known) else None
