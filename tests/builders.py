"""Small real things for tests: one network, its people, nodes, packets. All from seeds."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from qisguard.config import NodeConfig
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import NodeId, placement
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw
from qisguard.identity.roster import Issuer, Roster
from qisguard.lab.engine import Engine
from qisguard.lab.identities import mine
from qisguard.lab.stranger import Stranger
from qisguard.lab.virtual import Links, VirtualEngine
from qisguard.node.checks import memoised
from qisguard.node.contact import Contact
from qisguard.node.gossip import GossipParts
from qisguard.node.node import Node
from qisguard.node.operations import Found
from qisguard.node.publishing import Published
from qisguard.node.reading import Retrieved
from qisguard.outcomes.annals import Annals
from qisguard.outcomes.packet import Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.plugins import Behaviour, Clock, Defense
from qisguard.store.memory import MemoryStore
from qisguard.store.record import ProviderRecord, sign_record
from qisguard.store.store import Store, StoreLimits
from qisguard.trail.log import Trail

DAY = 20_000
CLOCK = Clock(first_day=DAY)
TEMPLATE = "lung/1"
CHECKS = memoised()
"""Nodes of one process check the same descriptors; failures are never remembered."""
LIMITS = StoreLimits(packets_per_key_max=4_096, sequence_jump_max=1_000)


def draw(seed: object) -> Draw:
    """Return a seeded source of bytes."""
    return random.Random(str(seed)).randbytes


@lru_cache(maxsize=1_024)
def key_pair(name: str) -> KeyPair:
    """Return the key pair that ``name`` stands for."""
    return KeyPair.from_seed(draw(f"key {name}")(32))


def make_network(c1: int = 0, c2: int = 0, name: str = "test") -> Network:
    """Return a network; its puzzles are free unless asked for."""
    return Network(name, key_pair("authority").public, bytes(32), c1, c2)


NETWORK = make_network()


@lru_cache(maxsize=1_024)
def make_identity(index: int, network: Network = NETWORK) -> Identity:
    """Return the identity number ``index`` of a network."""
    return mine(network, draw(f"identity {index}"))


def make_contact(identifier: int, port: int = 4_000) -> Contact:
    """Return a contact with this id; its address follows from the id."""
    return Contact(NodeId(identifier), (f"10.{identifier >> 8 & 255}.{identifier & 255}.1", port))


def address_of(index: int) -> Address:
    """Return where the stranger or node number ``index`` lives in tests without an engine."""
    return (f"10.{9 + (index >> 8)}.{index & 255}.1", 4_000)


def make_roster(identities: Sequence[Identity], per_issuer: int = 2) -> Roster:
    """Return a roster that deals nodes to issuers; issuer n owns the author ``author-n``."""
    issuers = [
        Issuer(
            f"hospital-{index}",
            DAY - 400,
            (key_pair(f"author-{index}").public,),
            tuple(identity.id for identity in identities[at : at + per_issuer]),
        )
        for index, at in enumerate(range(0, len(identities), per_issuer))
    ]
    return Roster(NETWORK.id, 1, tuple(issuers))


def make_key(index: int) -> bytes:
    """Return a similarity key."""
    return draw(f"similarity {index}")(32)


@lru_cache(maxsize=4_096)
def make_packet(
    author: int = 0,
    case: int = 0,
    seq: int = 1,
    *,
    key: int = 0,
    time: int = 100,
    exp: int = DAY + 100,
    network: Network = NETWORK,
) -> OutcomePacket:
    """Return a signed packet about one case of one author."""
    pair = key_pair(f"author-{author}")
    return sign_packet(
        packet_body(
            network=network.id,
            template=TEMPLATE,
            key=make_key(key),
            case=case.to_bytes(16, "big"),
            author=pair.public,
            seq=seq,
            day=DAY - 10,
            exp=exp,
            arm="A",
            outcome=Outcome.after(time, 1),
            feat={"age": 61, "stage": "III"},
        ),
        pair,
    )


def make_record(
    provider: Identity, key: int = 0, *, seq: int = 1, expires: int = 3_600
) -> ProviderRecord:
    """Return a provider record for a similarity key."""
    place = placement(make_key(key))
    return sign_record(place, provider.key, expires, seq, NETWORK.id)


def make_node(
    index: int,
    address: Address | None = None,
    *,
    config: NodeConfig = NodeConfig(),  # noqa: B008 frozen, so one default serves all
    store: Store | None = None,
    roster: Roster | None = None,
    annals: Annals | None = None,
    behaviour: Behaviour | None = None,
    defenses: Sequence[Defense] = (),
    clock: Clock = CLOCK,
    trail: Trail | None = None,
    gossip: GossipParts | None = None,
    now: float = 0.0,
) -> Node:
    """Return node number ``index``, alone until it joins somebody."""
    return Node(
        make_identity(index),
        NETWORK,
        address or address_of(index),
        config,
        clock=clock,
        draw=draw(f"node {index}"),
        store=store or MemoryStore(StoreLimits.of(config)),
        trail=trail,
        roster=roster,
        annals=annals,
        behaviour=behaviour,
        defenses=defenses,
        checks=CHECKS,
        gossip=gossip,
        now=now,
    )


def make_stranger(index: int) -> Stranger:
    """Return somebody with an identity of the test network."""
    return Stranger(
        make_identity(index),
        NETWORK,
        address_of(index),
        clock=CLOCK,
        draw=draw(f"stranger {index}"),
    )


async def make_crowd(
    engine: Engine,
    count: int,
    config: NodeConfig,
    *,
    roster: Roster | None = None,
    behaviours: dict[int, Behaviour] | None = None,
) -> list[Node]:
    """Return ``count`` nodes that have joined one network; behaviours begin after joining."""
    nodes: list[Node] = []
    for index in range(count):
        nodes.append(await _join(engine, index, config, roster, [node.me for node in nodes[:3]]))
    for index, behaviour in (behaviours or {}).items():
        nodes[index].corrupt(behaviour)
    return nodes


def tell_crowd(
    count: int, config: NodeConfig, tell: Callable[[VirtualEngine, list[Node]], Awaitable[None]]
) -> None:
    """Run ``tell`` with a simulated network and ``count`` nodes that have joined it."""

    async def run() -> None:
        engine = make_engine(1)
        await tell(engine, await make_crowd(engine, count, config))

    asyncio.run(run())


async def _join(
    engine: Engine, index: int, config: NodeConfig, roster: Roster | None, seeds: list[Contact]
) -> Node:
    node = engine.add(
        lambda address: make_node(index, address, config=config, roster=roster, clock=engine.clock)
    )
    await engine.finish(engine.act(node, lambda now: [node.join(seeds, now)]))
    return node


async def find(engine: Engine, node: Node, target: NodeId) -> list[Contact]:
    """Look up the contacts closest to ``target`` from ``node``, and wait."""
    (found,) = await engine.finish(engine.act(node, lambda now: [node.find(target, now)]))
    assert isinstance(found, Found)
    return list(found.contacts)


async def publish(engine: Engine, node: Node, packets: Sequence[OutcomePacket]) -> list[Published]:
    """Publish from ``node`` and wait."""
    results = await engine.finish(engine.act(node, lambda now: node.publish(packets, now)))
    return [result for result in results if isinstance(result, Published)]


async def retrieve(engine: Engine, node: Node, *keys: int) -> list[Retrieved]:
    """Retrieve everything under the keys with these numbers, and wait."""
    wanted = [make_key(key) for key in keys]
    results = await engine.finish(engine.act(node, lambda now: node.retrieve(wanted, now)))
    return [result for result in results if isinstance(result, Retrieved)]


def make_engine(seed: int = 1, *, loss_ratio: float = 0.0) -> VirtualEngine:
    """Return a simulated network."""
    return VirtualEngine(seed, CLOCK, Links(loss_ratio=loss_ratio))
