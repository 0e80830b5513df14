"""What honest nodes hold when a trial ends: who kept what was published, and who has evidence.

The laboratory looks into every store, which nobody in the network can: that is how it knows which
lies nobody noticed.
"""

from collections import defaultdict
from collections.abc import Iterator

from qisguard.config import ReplicaRule
from qisguard.identity.ids import NodeId, from_bytes, to_bytes
from qisguard.lab.trial.ground import Ground
from qisguard.lab.trial.work import Plan
from qisguard.lab.warm import nearest
from qisguard.node.node import Node
from qisguard.node.operations import roster_replicas
from qisguard.outcomes.packet import OutcomePacket
from qisguard.store.record import provider_of
from qisguard.store.store import Store

PAGE = 256


def holdings(
    ground: Ground, plan: Plan, publishers: dict[NodeId, Node]
) -> tuple[dict[str, tuple[int, int]], dict[str, float]]:
    """Return ratios and values of what honest stores hold; nothing where nothing was published."""
    if not plan.packets:
        return {}, {}
    ratios = {
        "packets_kept": _packets_kept(ground, plan),
        "records_kept": _records_kept(ground, publishers),
        "places_bad": _places_bad(ground, plan),
    }
    exist, found = _equivocations(ground)
    if exist:
        ratios["evidence_found"] = len(exist & found), len(exist)
    sizes = [_store(ground, node).counts() for node in ground.honest]
    return ratios, {"store_max": max(size["records"] + size["packets"] for size in sizes)}


def _store(ground: Ground, node: Node) -> Store:
    return ground.stores[node.me.id]


def _replicas(ground: Ground, place: NodeId) -> list[Store]:
    """Return the stores of the honest nodes that should keep a place."""
    config, roster = ground.config, ground.people.roster
    honest = sorted(node.me.id for node in ground.honest)
    if config.replica_rule is ReplicaRule.ROSTER and roster is not None:
        chosen = roster_replicas(roster, place, config.replica_count, config.replicas_per_issuer)
        wanted = [identifier for identifier in chosen if identifier in set(honest)]
    else:
        wanted = nearest(honest, place, config.replica_count)
    return [ground.stores[identifier] for identifier in wanted]


def _packets_kept(ground: Ground, plan: Plan) -> tuple[int, int]:
    held = [
        store.get(place, packet.digest) is not None
        for place, packet in zip(plan.places, plan.packets, strict=True)
        for store in _replicas(ground, place)
    ]
    return sum(held), len(held)


def _records_kept(ground: Ground, publishers: dict[NodeId, Node]) -> tuple[int, int]:
    now, held = int(ground.engine.now()), []
    for place, publisher in publishers.items():
        before = to_bytes(NodeId(publisher.me.id - 1))
        for store in _replicas(ground, place):
            page = store.records(place, before, 1, now)
            held.append(bool(page) and provider_of(page[0]) == publisher.me.id)
    return sum(held), len(held)


def _places_bad(ground: Ground, plan: Plan) -> tuple[int, int]:
    liars = {node.me.id for node in ground.liars}
    everybody = sorted(node.me.id for node in (*ground.honest, *ground.liars))
    count = ground.config.replica_count
    closest = [i for place in plan.places for i in nearest(everybody, place, count)]
    return sum(i in liars for i in closest), len(closest)


def _equivocations(ground: Ground) -> tuple[set[tuple[bytes, bytes]], set[tuple[bytes, bytes]]]:
    """Return the (author, case) of which two bodies of one number exist, and those found out."""
    bodies: dict[tuple[bytes, bytes, int], set[bytes]] = defaultdict(set)
    found: set[tuple[bytes, bytes]] = set()
    for node in ground.honest:
        store = _store(ground, node)
        for first, second in store.evidence():
            packet = ground.checks.packet(first)
            found.add((packet.author, packet.case))
            bodies[packet.author, packet.case, packet.body.seq] |= {first, second}
        for packet in _packets(ground, store):
            bodies[packet.author, packet.case, packet.body.seq].add(packet.data)
    return {(author, case) for (author, case, _), held in bodies.items() if len(held) > 1}, found


def _packets(ground: Ground, store: Store) -> Iterator[OutcomePacket]:
    after = b""
    while places := store.places(after, PAGE):
        after = places[-1]
        for name in places:
            place, last = from_bytes(name), b""
            while page := store.page(place, last, PAGE, 0):
                last = page[-1][0]
                for digest, _ in page:
                    if data := store.get(place, digest):
                        yield ground.checks.packet(data)
