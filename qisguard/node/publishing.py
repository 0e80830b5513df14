"""Operations that write: publish, announce in the index, hand over and repair replicas.

Packets verify by themselves, so whoever holds them may hand them on: it does so under a provider
record of its own, and says no more with it than is true.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from qisguard.identity.ids import NodeId, placement, to_bytes
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.messages import Announce, ListPackets, Store
from qisguard.node.operations import (
    Ask,
    Operation,
    Outcome,
    Surroundings,
    find,
    page_through,
    replicas,
)
from qisguard.store.record import ProviderRecord, index_place

STORE_PAYLOAD_MAX = 1_120
"""Record and packets of one Store: what is left of a datagram after session header and framing."""


@dataclass(frozen=True, slots=True)
class Published:
    """How many replicas acknowledged each of ``packet_count`` packets, and refusals by reason.

    ``flags`` are what detectors said about the replicas: they take nothing away.
    """

    key: bytes
    packet_count: int
    replica_count: int
    acknowledged: int
    refused: Mapping[str, int]
    flags: Sequence[str] = ()


@dataclass(slots=True)
class _Tally:
    """What replicas said to what was sent to them."""

    acknowledged: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, reason: str, count: int) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + count

    def take(self, size: int, reply: Outcome) -> None:
        """Count the reply to a request that carried ``size`` things."""
        if isinstance(reply, messages.Refused):
            self.refuse(reply.reason, size)
        elif not isinstance(reply, messages.Stored):
            self.refuse("silent replica", size)
        elif len(reply.reasons) != size:
            self.refuse("miscounted reply", size)
        else:
            for reason in reply.reasons:
                if reason:
                    self.refuse(reason, 1)
                else:
                    self.acknowledged += 1


def publish(around: Surroundings, key: bytes, packets: Sequence[bytes]) -> Operation[Published]:
    """Store the packets of one key, inline with our provider record, on the key's replicas."""
    place = placement(key)
    targets, flags = yield from replicas(around, place)
    batches = list(_batches(around.record(place), packets))
    tally = yield from _store([Ask(contact, batch) for contact in targets for batch in batches])
    told = tally.acknowledged, tally.refused
    return Published(key, len(packets), len(targets), *told, flags)


def republish(around: Surroundings, key: bytes) -> Operation[Published]:
    """Publish again what this node has published under a key, and enter the key again."""
    packets = around.store.own(key, around.today)
    if not packets:
        return Published(key, 0, 0, 0, {})
    published = yield from publish(around, key, packets)
    if around.config.announces_keys:
        yield from announce(around, key[0], [key])
    return published


def announce(around: Surroundings, prefix: int, keys: Sequence[bytes]) -> Operation[Published]:
    """Enter keys of one domain prefix in the index, on the replicas of the index's place."""
    targets, flags = yield from replicas(around, index_place(prefix))
    announces = [Announce(0, around.index(key).data) for key in keys]
    asks = [Ask(contact, request) for contact in targets for request in announces]
    tally = _Tally()
    for count in range(len(asks)):
        _, _, reply = yield asks if count == 0 else ()
        tally.take(1, reply)
    name = bytes([prefix])
    told = tally.acknowledged, tally.refused
    return Published(name, len(keys), len(targets), *told, flags)


def hand_over(around: Surroundings, place: NodeId, contact: Contact) -> Operation[Published]:
    """Give a replica of a place the packets that we hold there and it does not.

    ``replica_count`` is 0 when it did not say what it holds.
    """
    held: set[bytes] = set()

    def read(_: NodeId, after: bytes, reply: Outcome) -> bytes | None:
        if not isinstance(reply, messages.Listing):
            return None
        digests = [digest for digest, _ in reply.entries]
        if digests != sorted(set(digests)) or (digests and digests[0] <= after):
            return None
        held.update(digests)
        if len(held) >= around.config.packets_per_key_max:
            return b""
        return digests[-1] if reply.more and digests else b""

    name = to_bytes(place)
    ended = yield from page_through([contact], lambda after: ListPackets(0, name, after), read)
    missing = list(_missing(around, place, held)) if ended else []
    tally = _Tally()
    if missing:
        batches = _batches(around.record(place), missing)
        tally = yield from _store([Ask(contact, batch) for batch in batches])
    return Published(name, len(missing), ended, tally.acknowledged, tally.refused)


def repair(around: Surroundings, place: NodeId, others: Sequence[NodeId]) -> Operation[Published]:
    """Complete other replicas of a place, one after the other, until one takes nothing.

    Who takes nothing has it all, or is no help: the next round begins with somebody else.
    """
    name = to_bytes(place)
    count = reached = acknowledged = 0
    for identifier in others:
        contact = yield from _located(around, identifier)
        if contact is None:
            continue
        given = yield from hand_over(around, place, contact)
        count += given.packet_count
        reached += given.replica_count
        acknowledged += given.acknowledged
        if given.replica_count and not given.acknowledged:
            break
    return Published(name, count, reached, acknowledged, {})


def _located(around: Surroundings, identifier: NodeId) -> Operation[Contact | None]:
    """Return the contact with this id, looked up only when neither session nor table has it."""
    near = [around.known(identifier), *around.near(identifier)]
    if not any(contact and contact.id == identifier for contact in near):
        near = list((yield from find(around, identifier, around.config.k)).contacts)
    return next((contact for contact in near if contact and contact.id == identifier), None)


def _missing(around: Surroundings, place: NodeId, held: set[bytes]) -> Iterator[bytes]:
    """Yield the packets that we hold at a place and that are not in ``held``."""
    after = b""
    while page := around.store.page(place, after, 256, around.today):
        after = page[-1][0]
        for digest, _ in page:
            if digest not in held and (data := around.store.get(place, digest)):
                yield data


def _store(asks: Sequence[Ask]) -> Operation[_Tally]:
    tally = _Tally()
    for count in range(len(asks)):
        _, request, reply = yield asks if count == 0 else ()
        tally.take(len(request.packets) if isinstance(request, Store) else 0, reply)
    return tally


def _batches(record: ProviderRecord, packets: Sequence[bytes]) -> Iterator[Store]:
    batch: list[bytes] = []
    room = STORE_PAYLOAD_MAX - len(record.data)
    for data in packets:
        size = len(data) + 3
        if batch and (size > room or len(batch) == messages.PACKETS_MAX):
            yield Store(0, record.data, batch)
            batch, room = [], STORE_PAYLOAD_MAX - len(record.data)
        batch.append(data)
        room -= size
    yield Store(0, record.data, batch)
