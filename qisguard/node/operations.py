"""What a node does on its own account, as generators: find, publish, retrieve.

An operation yields the requests to send and is resumed with one answer at a time, ``None`` for a
peer that stayed silent. It owns no socket and no clock, so the order of answers is all that it
depends on.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from qisguard.errors import QisguardError
from qisguard.identity.ids import NodeId, from_bytes, placement, to_bytes
from qisguard.identity.roster import Issuer, Roster
from qisguard.node import messages
from qisguard.node.checks import Checks
from qisguard.node.config import NodeConfig, ReplicaRule
from qisguard.node.lookup import Filter, Lookup
from qisguard.node.messages import FetchPackets, FindNode, ListPackets, Reply, Request, Store
from qisguard.node.record import ProviderRecord
from qisguard.node.routing import Contact
from qisguard.outcomes.packet import OutcomePacket

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to one contact."""

    contact: Contact
    request: Request


Answered: TypeAlias = tuple[NodeId, Request, Reply | None]
Operation: TypeAlias = Generator[Sequence[Ask], Answered, T]

STORE_PAYLOAD_MAX = 1_120
"""Record and packets of one Store: what is left of a datagram after session header and framing."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What operations need to know of the node that runs them."""

    me: Contact
    config: NodeConfig
    roster: Roster | None
    keep: Filter
    known: Callable[[NodeId], Contact | None]
    network: bytes


@dataclass(slots=True)
class Retrieved:
    """What one key gave: verified packets by digest and the days replicas first saw them."""

    key: bytes
    packets: dict[bytes, OutcomePacket] = field(default_factory=dict)
    first_seen: dict[bytes, list[int]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    replicas_asked: int = 0
    replicas_answered: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """How many replicas acknowledged each of ``packet_count`` packets, and refusals by reason."""

    key: bytes
    packet_count: int
    replica_count: int
    acknowledged: int
    refused: Mapping[str, int]


def find(
    around: Surroundings, target: NodeId, start: Sequence[Contact]
) -> Operation[list[Contact]]:
    """Return the contacts closest to ``target``, this node among them, nearest first."""
    config = around.config
    lookup = Lookup(
        target,
        start,
        k=config.k,
        alpha=config.alpha,
        disjoint_paths=config.disjoint_paths,
        keep=around.keep,
    )
    request = FindNode(0, to_bytes(target))
    while not lookup.done:
        sender, _, reply = yield [Ask(c, request) for c in lookup.queries_to_send()]
        if isinstance(reply, messages.Nodes):
            lookup.handle_nodes(sender, contacts_in(reply))
        else:
            lookup.handle_silence(sender)
    return sorted([around.me, *lookup.closest()], key=lambda c: c.id ^ target)[: config.k]


def replicas(
    around: Surroundings, place: NodeId, start: Sequence[Contact]
) -> Operation[list[Contact]]:
    """Return the nodes that keep the records of a place, nearest first.

    Open networks: the closest found. With the rule ``roster``: the closest ids *of the roster*, at
    most ``replicas_per_issuer`` each, so that an id which is not on the roster is never chosen and
    there is nothing to search for.
    """
    config = around.config
    if config.replica_rule is not ReplicaRule.ROSTER or around.roster is None:
        found = yield from find(around, place, start)
        return found[: config.replica_count]
    wanted = roster_replicas(around.roster, place, config.replica_count, config.replicas_per_issuer)
    known: dict[NodeId, Contact | None] = {i: around.known(i) for i in wanted}
    if not all(known.values()):  # the roster names the replicas; a look-up finds their addresses
        for contact in (yield from find(around, place, start)):
            known[contact.id] = known.get(contact.id) or contact
    for identifier in wanted:
        if known[identifier] is None:
            nearby = yield from find(around, identifier, start)
            known[identifier] = next((c for c in nearby if c.id == identifier), None)
    return [held for identifier in wanted if (held := known[identifier])]


def roster_replicas(roster: Roster, place: NodeId, count: int, per_issuer: int) -> list[NodeId]:
    """Return the ``count`` roster ids closest to ``place``, at most ``per_issuer`` of an issuer."""
    taken: dict[str, int] = {}
    chosen: list[NodeId] = []
    nodes: list[tuple[int, NodeId, Issuer]] = [(n ^ place, n, i) for n, i in roster.by_node.items()]
    for _, identifier, issuer in sorted(nodes, key=lambda node: node[0]):
        if len(chosen) == count:
            break
        if taken.get(issuer.name, 0) < per_issuer:
            taken[issuer.name] = taken.get(issuer.name, 0) + 1
            chosen.append(identifier)
    return chosen


def publish(
    around: Surroundings,
    key: bytes,
    packets: Sequence[OutcomePacket],
    record: ProviderRecord,
    start: Sequence[Contact],
) -> Operation[Published]:
    """Store the packets of one key, inline with their provider record, on the key's replicas."""
    targets = yield from replicas(around, placement(key), start)
    batches = list(_batches(record, packets))
    asks = [Ask(contact, batch) for contact in targets for batch in batches]
    refused: dict[str, int] = {}
    acknowledged = 0
    for count in range(len(asks)):
        _, request, reply = yield asks if count == 0 else ()
        size = len(request.packets) if isinstance(request, Store) else 0
        if not isinstance(reply, messages.Stored):
            reason = reply.reason if isinstance(reply, messages.Refused) else "silent replica"
            refused[reason] = refused.get(reason, 0) + size
            continue
        if len(reply.reasons) != size:
            refused["miscounted reply"] = refused.get("miscounted reply", 0) + size
            continue
        for reason in reply.reasons:
            if reason:
                refused[reason] = refused.get(reason, 0) + 1
            else:
                acknowledged += 1
    return Published(key, len(packets), len(targets), acknowledged, refused)


def _batches(record: ProviderRecord, packets: Sequence[OutcomePacket]) -> Iterator[Store]:
    batch: list[bytes] = []
    room = STORE_PAYLOAD_MAX - len(record.data)
    for packet in packets:
        size = len(packet.data) + 3
        if batch and (size > room or len(batch) == messages.PACKETS_MAX):
            yield Store(0, record.data, batch)
            batch, room = [], STORE_PAYLOAD_MAX - len(record.data)
        batch.append(packet.data)
        room -= size
    yield Store(0, record.data, batch)


def retrieve(
    around: Surroundings, key: bytes, start: Sequence[Contact], checks: Checks
) -> Operation[Retrieved]:
    """Return every packet that any replica of ``key`` holds.

    All replicas list digests, each up to the cap of a key; each packet is then fetched once, from
    one replica after the other until somebody delivers bytes that verify: a liar can add nothing
    and hide nothing that one honest replica holds.
    """
    place = placement(key)
    result = Retrieved(key)
    targets = yield from replicas(around, place, start)
    holders: dict[bytes, list[Contact]] = {}
    listed: Counter[NodeId] = Counter()
    by_id = {contact.id: contact for contact in targets}
    pages: list[Ask] = [Ask(c, ListPackets(0, to_bytes(place), b"")) for c in targets]
    result.replicas_asked = waiting = len(targets)
    while waiting:
        sender, request, reply = yield pages
        pages = []
        waiting -= 1
        if not isinstance(reply, messages.Listing) or not isinstance(request, ListPackets):
            continue
        digests = [digest for digest, _ in reply.entries]
        if digests != sorted(set(digests)) or (digests and digests[0] <= request.after):
            result.refused["disordered listing"] = result.refused.get("disordered listing", 0) + 1
            continue
        for digest, day in reply.entries:
            holders.setdefault(digest, []).append(by_id[sender])
            result.first_seen.setdefault(digest, []).append(day)
        listed[sender] += len(digests)
        if reply.more and digests and listed[sender] < around.config.packets_per_key_max:
            pages = [Ask(by_id[sender], ListPackets(0, to_bytes(place), digests[-1]))]
            waiting += 1
        else:
            result.replicas_answered += 1
    yield from _fetch(around.network, place, holders, result, checks)
    return result


def _fetch(
    network: bytes,
    place: NodeId,
    holders: dict[bytes, list[Contact]],
    result: Retrieved,
    checks: Checks,
) -> Operation[None]:
    """Fetch each listed packet from one of its holders, spreading the load over them."""
    missing = sorted(holders)
    attempt = 0
    while missing:
        wanted: dict[Contact, list[bytes]] = {}
        for digest in missing:
            known = holders[digest]
            if attempt < len(known):
                contact = known[(digest[0] + attempt) % len(known)]
                wanted.setdefault(contact, []).append(digest)
        attempt += 1
        asks = [
            Ask(contact, FetchPackets(0, to_bytes(place), digests[at : at + 2]))
            for contact, digests in wanted.items()
            for at in range(0, len(digests), 2)
        ]
        if not asks:
            break
        for count in range(len(asks)):
            _, request, reply = yield asks if count == 0 else ()
            if isinstance(reply, messages.Packets) and isinstance(request, FetchPackets):
                _take(reply.packets, network, place, set(request.digests), result, checks)
        missing = [digest for digest in missing if digest not in result.packets]
    if missing:
        result.refused["not delivered"] = len(missing)


def _take(
    packets: Sequence[bytes],
    network: bytes,
    place: NodeId,
    wanted: set[bytes],
    result: Retrieved,
    checks: Checks,
) -> None:
    for data in packets[: len(wanted)]:
        reason = ""
        try:
            packet = checks.packet(data)
            if packet.digest not in wanted:
                reason = "packet nobody asked for"
            elif placement(packet.key) != place:
                reason = "packet of another key"
            elif packet.network != network:
                reason = "packet of another network"
            else:
                result.packets[packet.digest] = packet
        except QisguardError as error:
            reason = f"invalid packet: {type(error).__name__}"
        if reason:
            result.refused[reason] = result.refused.get(reason, 0) + 1


def contacts_in(reply: messages.Nodes) -> list[Contact]:
    """Return the contacts of a reply; one with a malformed address is left out."""
    return [
        Contact(from_bytes(identifier), (messages.unpack_host(host), port))
        for identifier, host, port in reply.contacts
        if len(host) in (4, 16)
    ]
