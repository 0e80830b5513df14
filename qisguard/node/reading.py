"""Operations that read: every packet of a key, one packet, the providers of a key, a domain's keys.

What replicas say is a hint until it verifies: packets and records carry their own signatures, a
digest names exactly one packet, and an invented key costs its reader one empty look-up. ``flags``
are what detectors said about the replicas: they take nothing away.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from qisguard.errors import QisguardError
from qisguard.identity.ids import NodeId, placement, to_bytes
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.messages import (
    FetchPackets,
    FindProviders,
    FindValue,
    ListKeys,
    ListPackets,
)
from qisguard.node.operations import (
    Ask,
    Operation,
    Outcome,
    Surroundings,
    lookup_for,
    page_through,
    queries,
    replicas,
    take,
)
from qisguard.outcomes.packet import OutcomePacket
from qisguard.store.record import ProviderRecord, index_place, open_record


@dataclass(slots=True)
class Retrieved:
    """What one key gave: verified packets by digest and the days replicas first saw them."""

    key: bytes
    packets: dict[bytes, OutcomePacket] = field(default_factory=dict)
    first_seen: dict[bytes, list[int]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    replicas_asked: int = 0
    replicas_answered: int = 0
    flags: Sequence[str] = ()


@dataclass(slots=True)
class Provided:
    """The provider records of one place that verify, newest of each provider."""

    place: NodeId
    records: dict[NodeId, ProviderRecord] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    replicas_asked: int = 0
    replicas_answered: int = 0
    flags: Sequence[str] = ()


@dataclass(slots=True)
class Walked:
    """The similarity keys of a domain prefix, and how many replicas of the index named each."""

    prefix: int
    keys: Counter[bytes] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    replicas_asked: int = 0
    replicas_answered: int = 0
    flags: Sequence[str] = ()


def retrieve(around: Surroundings, key: bytes) -> Operation[Retrieved]:
    """Return every packet that any replica of ``key`` holds.

    All replicas list digests, each up to the cap of a key; each packet is then fetched once, from
    one replica after the other until somebody delivers bytes that verify: a liar can add nothing
    and hide nothing that one honest replica holds.
    """
    place = placement(key)
    name = to_bytes(place)
    result = Retrieved(key)
    targets, result.flags = yield from replicas(around, place)
    by_id = {contact.id: contact for contact in targets}
    holders: dict[bytes, list[Contact]] = {}
    listed = dict.fromkeys(by_id, 0)

    def read(sender: NodeId, after: bytes, reply: Outcome) -> bytes | None:
        if not isinstance(reply, messages.Listing):
            return None
        digests = [digest for digest, _ in reply.entries]
        if not _is_rising(digests, after):
            result.refused["disordered listing"] += 1
            return None
        for digest, day in reply.entries:
            holders.setdefault(digest, []).append(by_id[sender])
            result.first_seen.setdefault(digest, []).append(day)
        listed[sender] += len(digests)
        is_last = not reply.more or listed[sender] >= around.config.packets_per_key_max
        return b"" if is_last or not digests else digests[-1]

    result.replicas_asked = len(targets)
    result.replicas_answered = yield from page_through(
        targets, lambda after: ListPackets(0, name, after), read
    )
    yield from _fetch(around, place, holders, result)
    return result


def value(around: Surroundings, key: bytes, digest: bytes) -> Operation[OutcomePacket | None]:
    """Return the packet with this digest from the first node on the way that has it, or None.

    A liar can withhold it and nothing else: other bytes have another digest.
    """
    place = placement(key)
    lookup = lookup_for(around, place, around.config.replica_count)
    request = FindValue(0, to_bytes(place), digest)
    if data := around.store.get(place, digest):
        return around.checks.packet(data)
    while not lookup.done:
        sender, _, reply = yield queries(lookup, request)
        if isinstance(reply, messages.Packets):
            for data in reply.packets[:1]:
                packet, _ = _open(around, data, place, {digest})
                if packet:
                    return packet
            lookup.handle_nodes(sender, ())
        else:
            take(lookup, sender, reply)
    return None


def providers(around: Surroundings, place: NodeId) -> Operation[Provided]:
    """Return the provider records that the replicas of a place hold, page by page."""
    name = to_bytes(place)
    result = Provided(place)
    targets, result.flags = yield from replicas(around, place)
    listed = {contact.id: 0 for contact in targets}

    def read(sender: NodeId, after: bytes, reply: Outcome) -> bytes | None:
        if not isinstance(reply, messages.Providers):
            return None
        for data in reply.records:
            try:
                record = open_record(data, around.network, around.checks.verify)
            except QisguardError as error:
                result.refused[f"invalid record: {type(error).__name__}"] += 1
                return None
            if record.place != place or to_bytes(record.provider) <= after:
                result.refused["record of another place, or out of order"] += 1
                return None
            after = to_bytes(record.provider)
            held = result.records.get(record.provider)
            if held is None or held.seq < record.seq:
                result.records[record.provider] = record
        listed[sender] += len(reply.records)
        is_last = not reply.more or listed[sender] >= around.config.providers_per_key_max
        return b"" if is_last or not reply.records else after

    result.replicas_asked = len(targets)
    result.replicas_answered = yield from page_through(
        targets, lambda after: FindProviders(0, name, after), read
    )
    return result


def walk(around: Surroundings, prefix: int) -> Operation[Walked]:
    """Return the keys that the index of a domain prefix names."""
    result = Walked(prefix)
    targets, result.flags = yield from replicas(around, index_place(prefix))
    listed = {contact.id: 0 for contact in targets}

    def read(sender: NodeId, after: bytes, reply: Outcome) -> bytes | None:
        if not isinstance(reply, messages.Keys):
            return None
        if not _is_rising(reply.keys, after) or any(key[0] != prefix for key in reply.keys):
            result.refused["key of another prefix, or out of order"] += 1
            return None
        result.keys.update(reply.keys)
        listed[sender] += len(reply.keys)
        is_last = not reply.more or listed[sender] >= around.config.index_keys_max
        return b"" if is_last or not reply.keys else reply.keys[-1]

    result.replicas_asked = len(targets)
    result.replicas_answered = yield from page_through(
        targets, lambda after: ListKeys(0, prefix, after), read
    )
    return result


def _is_rising(names: Sequence[bytes], after: bytes) -> bool:
    """Return whether a page is in strictly ascending order and behind its cursor."""
    return list(names) == sorted(set(names)) and (not names or names[0] > after)


def _fetch(
    around: Surroundings, place: NodeId, holders: dict[bytes, list[Contact]], result: Retrieved
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
                names = set(request.digests)
                for data in reply.packets[: len(names)]:
                    packet, reason = _open(around, data, place, names)
                    if packet:
                        result.packets[packet.digest] = packet
                    else:
                        result.refused[reason] += 1
        missing = [digest for digest in missing if digest not in result.packets]
    if missing:
        result.refused["not delivered"] += len(missing)


def _open(
    around: Surroundings, data: bytes, place: NodeId, wanted: set[bytes]
) -> tuple[OutcomePacket | None, str]:
    """Return a packet that was asked for and verifies, or why it is none."""
    try:
        packet = around.checks.packet(data)
    except QisguardError as error:
        return None, f"invalid packet: {type(error).__name__}"
    if packet.digest not in wanted:
        return None, "packet nobody asked for"
    if placement(packet.key) != place:
        return None, "packet of another key"
    if packet.network != around.network:
        return None, "packet of another network"
    return packet, ""
