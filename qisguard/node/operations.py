"""What a node does on its own account, as generators: here, finding nodes and replicas.

An operation yields the requests to send and is resumed with one answer at a time: a reply, ``LATE``
once for a hurried request that takes long, ``REFUSED`` for one that may not be sent, ``None`` for a
peer that stayed silent. It owns no socket and no clock, so the order of answers is all that it
depends on.
"""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, TypeAlias, TypeVar

from qisguard.config import NodeConfig, ReplicaRule
from qisguard.identity.address import unpack_host
from qisguard.identity.ids import ID_BITS, NodeId, from_bytes, shared_prefix, to_bytes
from qisguard.identity.roster import Roster
from qisguard.node import messages
from qisguard.node.checks import Checks
from qisguard.node.contact import Contact
from qisguard.node.lookup import Filter, Lookup
from qisguard.node.messages import FindNode, Reply, Request
from qisguard.store.record import IndexRecord, ProviderRecord
from qisguard.store.store import Store

T = TypeVar("T")

REGION_SEARCHES_MAX = 64
"""Look-ups that one walk through a region may take: Sybils can fill it without end."""


class Late(Enum):
    """Not an answer: the request takes longer than usual, and is still under way."""

    LATE = "late"


LATE: Final = Late.LATE


class NotAsked(Enum):
    """Not an answer: this node may not knock there by the word of those who named the address."""

    REFUSED = "refused"


REFUSED: Final = NotAsked.REFUSED


class Ask(NamedTuple):
    """One request to one contact; with ``hurry`` the operation is told when it takes long.

    ``informants`` named the contact's address; if there are none, this node knows it by itself.
    """

    contact: Contact
    request: Request
    hurry: bool = False
    informants: Sequence[NodeId] = ()


Outcome: TypeAlias = Reply | Late | NotAsked | None
Answered: TypeAlias = tuple[NodeId, Request, Outcome]
Operation: TypeAlias = Generator[Sequence[Ask], Answered, T]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What operations need to know of the node that runs them, at the time they start.

    ``near`` gives the contacts that a look-up starts from, ``known`` the one that proved an id,
    ``record`` our own signed provider record for a place, ``index`` our index record for a key,
    ``size`` the estimated network size, ``inspect`` the flags of detectors about those found.
    """

    me: Contact
    config: NodeConfig
    roster: Roster | None
    network: bytes
    today: int
    size: float
    store: Store
    checks: Checks
    keep: Filter
    near: Callable[[NodeId], Sequence[Contact]]
    known: Callable[[NodeId], Contact | None]
    record: Callable[[NodeId], ProviderRecord]
    index: Callable[[bytes], IndexRecord]
    inspect: Callable[[NodeId, Sequence[Contact]], tuple[str, ...]]


class Replicas(NamedTuple):
    """The nodes that keep a place, nearest first, and what detectors say about them."""

    contacts: Sequence[Contact]
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The closest contacts, this node among them, nearest first; and what finding them took."""

    contacts: Sequence[Contact]
    hops: int
    message_count: int


def lookup_for(
    around: Surroundings, target: NodeId, count: int, start: Sequence[Contact] = ()
) -> Lookup:
    """Return a look-up of the ``count`` contacts closest to ``target``; see ``find``."""
    return Lookup(
        target,
        start or around.near(target),
        count=count,
        alpha=around.config.alpha,
        disjoint_paths=around.config.disjoint_paths,
        keep=around.keep,
    )


def find(
    around: Surroundings, target: NodeId, count: int, start: Sequence[Contact] = ()
) -> Operation[Found]:
    """Return the ``count`` contacts closest to ``target`` that answer, this node among them.

    The look-up starts from the nearest known contacts, or from ``start`` alone: beside nearer ones,
    which may all be on our side of a cut, nobody in ``start`` would be asked.
    """
    lookup = lookup_for(around, target, count, start)
    request = FindNode(0, to_bytes(target))
    while not lookup.done:
        sender, _, reply = yield queries(lookup, request)
        take(lookup, sender, reply)
    closest = [around.known(c.id) or c for c in lookup.closest()]  # a liar may have moved it
    contacts = sorted([around.me, *closest], key=lambda c: c.id ^ target)[:count]
    return Found(contacts, lookup.hops, lookup.message_count)


def ping(contact: Contact) -> Operation[bool]:
    """Return whether a contact is alive; its silence is noted where requests end."""
    _, _, reply = yield [Ask(contact, messages.Ping(0))]
    return reply is not None


def queries(lookup: Lookup, request: Request) -> list[Ask]:
    """Return what a look-up wants to ask now."""
    contacts = lookup.queries_to_send()
    return [Ask(c, request, hurry=True, informants=lookup.informants(c)) for c in contacts]


def take(lookup: Lookup, sender: NodeId, reply: Outcome) -> None:
    """Tell a look-up what came of one of its requests."""
    if reply is LATE:
        lookup.handle_late(sender)
    elif reply is REFUSED:
        lookup.handle_refusal(sender)
    elif isinstance(reply, messages.Nodes):
        lookup.handle_nodes(sender, contacts_in(reply))
    else:
        lookup.handle_silence(sender)


def replicas(around: Surroundings, place: NodeId) -> Operation[Replicas]:
    """Return the nodes that keep the records of a place.

    ``closest``: the closest found. ``roster``: the closest ids *of the roster*, at most
    ``replicas_per_issuer`` each, so that an id which is not on the roster is never chosen, there
    is nothing to search for, and no detector is asked. ``region``: everybody in the region where
    ``replica_count`` nodes are expected. ``flagged``: the closest, and the region when a detector
    flags them.
    """
    config = around.config
    if config.replica_rule is ReplicaRule.ROSTER and around.roster is not None:
        return Replicas((yield from _on_roster(around, around.roster, place)))
    if config.replica_rule is ReplicaRule.REGION:
        contacts = yield from region(around, place)
    else:
        contacts = list((yield from find(around, place, config.replica_count)).contacts)
    flags = around.inspect(place, contacts)
    if flags and config.replica_rule is ReplicaRule.FLAGGED:
        contacts = yield from region(around, place)
    return Replicas(contacts, flags)


def _on_roster(around: Surroundings, roster: Roster, place: NodeId) -> Operation[list[Contact]]:
    """Return the replicas of a place by roster; who is not found is left out."""
    config = around.config
    wanted = roster_replicas(roster, place, config.replica_count, config.replicas_per_issuer)
    known: dict[NodeId, Contact | None] = {i: around.known(i) for i in wanted}
    if not all(known.values()):  # the roster names the replicas; a look-up finds their addresses
        for contact in (yield from find(around, place, config.k)).contacts:
            known[contact.id] = known.get(contact.id) or contact
    for identifier in wanted:
        if known[identifier] is None:
            nearby = yield from find(around, identifier, config.k)
            known[identifier] = next((c for c in nearby.contacts if c.id == identifier), None)
    return [held for identifier in wanted if (held := known[identifier])]


def region(around: Surroundings, place: NodeId) -> Operation[list[Contact]]:
    """Return everybody in the region of a place, nearest first (region store and read).

    The region is the subtree around the place where between one and two times ``replica_count``
    nodes are expected, from the estimated network size. Identities crowded around the key fill the
    nearest places but cannot push the honest rest out of the region; a look-up that comes back full
    of contacts from inside is followed by look-ups of the neighbouring subtrees.
    """
    config = around.config
    depth = region_depth(around.size, config.replica_count)
    found: dict[NodeId, Contact] = {}
    subtrees = [(place, depth)]
    for _ in range(REGION_SEARCHES_MAX):
        if not subtrees or len(found) >= config.region_max:
            break
        target, depth = subtrees.pop(0)
        nearest = (yield from find(around, target, config.k)).contacts
        inside = [c for c in nearest if shared_prefix(c.id, target) >= depth]
        if not found:  # an inflated size estimate never leaves fewer than the closest
            found = {c.id: c for c in nearest[: config.replica_count]}
        found |= {c.id: c for c in inside}
        while len(inside) == config.k and depth < ID_BITS - 1:  # there may be more beside these
            subtrees.append((NodeId(target ^ 1 << ID_BITS - 1 - depth), depth + 1))
            depth += 1
            inside = [c for c in inside if shared_prefix(c.id, target) >= depth]
    return sorted(found.values(), key=lambda c: c.id ^ place)[: config.region_max]


def region_depth(size: float, count: int) -> int:
    """Return how many leading bits a region shares in which ``count`` to twice as many live."""
    return max(0, int(math.log2(max(size / count, 1.0))))


def roster_replicas(roster: Roster, place: NodeId, count: int, per_issuer: int) -> list[NodeId]:
    """Return the ``count`` roster ids closest to ``place``, at most ``per_issuer`` of an issuer."""
    taken: dict[str, int] = {}
    chosen: list[NodeId] = []
    for identifier in sorted(roster.by_node, key=place.__xor__):
        if len(chosen) == count:
            break
        issuer = roster.by_node[identifier]
        if taken.get(issuer.name, 0) < per_issuer:
            taken[issuer.name] = taken.get(issuer.name, 0) + 1
            chosen.append(identifier)
    return chosen


def page_through(
    targets: Sequence[Contact],
    ask: Callable[[bytes], Request],
    read: Callable[[NodeId, bytes, Outcome], bytes | None],
) -> Operation[int]:
    """Read all pages of all targets at once; return how many came to their end.

    ``ask`` gives the request for the page after a cursor. ``read`` is called with who answered, the
    cursor and the answer, and returns the next cursor, ``b""`` at the end, or None to give up.
    """
    by_id = {contact.id: contact for contact in targets}
    cursors = dict.fromkeys(by_id, b"")
    asks = [Ask(contact, ask(b"")) for contact in targets]
    waiting, ended = len(asks), 0
    while waiting:
        sender, _, reply = yield asks
        asks = []
        waiting -= 1
        cursor = read(sender, cursors[sender], reply)
        if cursor:
            cursors[sender] = cursor
            asks = [Ask(by_id[sender], ask(cursor))]
            waiting += 1
        elif cursor is not None:
            ended += 1
    return ended


def contacts_in(reply: messages.Nodes) -> list[Contact]:
    """Return the contacts of a reply; one with a malformed address is left out."""
    return [
        Contact(from_bytes(identifier), (unpack_host(host), port))
        for identifier, host, port in reply.contacts
        if len(host) in (4, 16)
    ]
