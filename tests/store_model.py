"""The rules of a store, as slowly and literally as they can be said: lists and full scans."""

from dataclasses import dataclass, replace

from qisguard.identity.ids import NodeId, to_bytes
from qisguard.outcomes.packet import OutcomePacket
from qisguard.plugins import Rejected
from qisguard.store.record import IndexRecord, ProviderRecord
from qisguard.store.store import StoreLimits


@dataclass(frozen=True)
class Announced:
    """One record that is held; ``where`` is its place or prefix, ``key`` empty for a place."""

    number: int
    where: bytes
    key: bytes
    group: str
    record: ProviderRecord | IndexRecord


@dataclass(frozen=True)
class Name:
    """One (place, author, case) whose sequence number is remembered, and its packet if held."""

    number: int
    name: tuple[bytes, bytes, bytes]
    group: str
    seq: int
    last: int
    first_day: int
    packet: OutcomePacket | None


def loser(groups: list[str], newcomer: str) -> str | None:
    """Return the largest of the groups unless the newcomer's would become as large."""
    largest = max(sorted(set(groups)), key=groups.count)
    return largest if groups.count(newcomer) + 1 < groups.count(largest) else None


class Model:
    """A store that never forgets how it is done."""

    def __init__(self, limits: StoreLimits) -> None:
        self.limits = limits
        self.announced: list[Announced] = []
        self.names: list[Name] = []
        self.published: list[OutcomePacket] = []
        self.pairs: list[tuple[str, OutcomePacket, OutcomePacket]] = []
        self.refused_pairs = 0
        self.number = 0

    def copy(self) -> "Model":
        """Return a model that holds the same."""
        other = Model(self.limits)
        other.announced, other.names = self.announced[:], self.names[:]
        other.published, other.pairs = self.published[:], self.pairs[:]
        other.refused_pairs, other.number = self.refused_pairs, self.number
        return other

    # --- announcements ---------------------------------------------------------------------------
    def put_record(self, record: ProviderRecord, group: str, now: int) -> Rejected | None:
        """See ``Store``."""
        return self._announce(to_bytes(record.place), b"", record, group, now)

    def put_key(self, record: IndexRecord, group: str, now: int) -> Rejected | None:
        """See ``Store``."""
        return self._announce(record.key[:1], record.key, record, group, now)

    def _announce(
        self, where: bytes, key: bytes, record: ProviderRecord | IndexRecord, group: str, now: int
    ) -> Rejected | None:
        if record.expires <= now:
            return Rejected("expired")
        self.number += 1
        new = Announced(self.number, where, key, group, record)
        for at, held in enumerate(self.announced):
            known = (held.where, held.key, held.record.provider)
            if known == (where, key, record.provider):
                if record.seq < held.record.seq:
                    return Rejected("older record")
                self.announced[at] = replace(new, number=held.number)
                return None
        of_provider = [a for a in self.announced if a.record.provider == record.provider]
        if len(of_provider) >= self.limits.records_per_provider_max:
            return Rejected("provider full")
        limits = self.limits
        here = [a for a in self.announced if a.where == where]
        bounds = [(self.announced, limits.records_max, "store full")]
        if key:
            of_key = [a for a in here if a.key == key]
            bounds.insert(0, (here, limits.index_keys_max, "index full"))
            bounds.insert(0, (of_key, limits.index_providers_max, "key full"))
        else:
            bounds.insert(0, (here, limits.providers_per_key_max, "key full"))
        for bound, cap, reason in bounds:
            if len(bound) >= cap:
                group_to_lose = loser([a.group for a in bound], group)
                if group_to_lose is None:
                    return Rejected(reason)
                mine = [a for a in bound if a.group == group_to_lose]
                self.announced.remove(min(mine, key=lambda a: (a.record.expires, a.number)))
                break
        self.announced.append(new)
        return None

    def records(self, place: NodeId, after: bytes, limit: int, now: int) -> list[bytes]:
        """See ``Store``."""
        here = [
            (to_bytes(a.record.provider), a.record.data)
            for a in self.announced
            if a.where == to_bytes(place) and not a.key and a.record.expires > now
        ]
        return [data for provider, data in sorted(here) if provider > after][:limit]

    def keys(self, prefix: int, after: bytes, limit: int, now: int) -> list[bytes]:
        """See ``Store``."""
        keys = {a.key for a in self.announced if a.key and a.record.expires > now}
        return sorted(k for k in keys if k[0] == prefix and k > after)[:limit]

    # --- packets ---------------------------------------------------------------------------------
    def put(self, place: NodeId, packet: OutcomePacket, group: str, today: int) -> Rejected | None:
        """See ``Store``."""
        limits = self.limits
        name = (to_bytes(place), packet.author, packet.case)
        body = packet.body
        known = next((n for n in self.names if n.name == name), None)
        if known:
            if body.seq < known.seq:
                return Rejected("older sequence")
            if body.seq > known.seq + limits.sequence_jump_max:
                return Rejected("sequence jump")
            if body.seq == known.seq:
                if known.packet is None:
                    return Rejected("older sequence")
                if known.packet.body == body:
                    return None
                self._equivocated(group, known.packet, packet)
                return Rejected("equivocation")
        else:
            groups = [n.group for n in self.names]
            is_half = groups.count(group) >= max(limits.packets_max // 2, 1)
            if len(groups) >= limits.packets_max or is_half:
                return Rejected("store full")
        here = [n for n in self.names if n.name[0] == name[0] and n.packet]
        if (known is None or known.packet is None) and len(here) >= limits.packets_per_key_max:
            group_to_lose = loser([n.group for n in here], group)
            if group_to_lose is None:
                return Rejected("key full")
            mine = [n for n in here if n.group == group_to_lose]
            victim = min(mine, key=lambda n: (n.packet.body.exp if n.packet else 0, n.number))
            self.names[self.names.index(victim)] = replace(victim, packet=None)
        if known is None:
            self.number += 1
            self.names.append(Name(self.number, name, group, body.seq, body.exp, today, packet))
        else:
            self.names[self.names.index(known)] = replace(
                known,
                group=group,
                seq=body.seq,
                last=max(known.last, body.exp),
                first_day=known.first_day if known.packet else today,
                packet=packet,
            )
        return None

    def _equivocated(self, group: str, first: OutcomePacket, second: OutcomePacket) -> None:
        if any((p.author, p.case) == (first.author, first.case) for _, p, _ in self.pairs):
            return
        of_group = sum(payer == group for payer, _, _ in self.pairs)
        most = self.limits.evidence_max
        if len(self.pairs) >= most or of_group >= max(most // 2, 1):
            self.refused_pairs += 1
        else:
            self.pairs.append((group, first, second))

    def held(self, place: NodeId) -> list[tuple[Name, OutcomePacket]]:
        """Return the names of a place that have a packet, with it."""
        here = [n for n in self.names if n.name[0] == to_bytes(place)]
        return [(n, n.packet) for n in here if n.packet]

    def page(self, place: NodeId, after: bytes, limit: int, today: int) -> list[tuple[bytes, int]]:
        """See ``Store``."""
        found = [
            (packet.digest, name.first_day)
            for name, packet in self.held(place)
            if packet.body.exp >= today and packet.digest > after
        ]
        return sorted(found)[:limit]

    def get(self, place: NodeId, digest: bytes) -> bytes | None:
        """See ``Store``."""
        return next((p.data for _, p in self.held(place) if p.digest == digest), None)

    def current(self, place: NodeId, author: bytes, case: bytes) -> bytes | None:
        """See ``Store``."""
        name = (to_bytes(place), author, case)
        return next((p.data for n, p in self.held(place) if n.name == name), None)

    def places(self, after: bytes, limit: int) -> list[bytes]:
        """See ``Store``."""
        return sorted({n.name[0] for n in self.names if n.packet and n.name[0] > after})[:limit]

    def evidence(self) -> list[tuple[bytes, bytes]]:
        """See ``Store``."""
        ordered = sorted(self.pairs, key=lambda pair: (pair[1].author, pair[1].case))
        return [(first.data, second.data) for _, first, second in ordered]

    # --- own publications ------------------------------------------------------------------------
    def keep_own(self, packet: OutcomePacket) -> None:
        """See ``Store``."""
        for at, held in enumerate(self.published):
            if (held.key, held.author, held.case) == (packet.key, packet.author, packet.case):
                if packet.body.seq > held.body.seq:
                    self.published[at] = packet
                return
        self.published.append(packet)

    def own_keys(self, after: bytes, limit: int) -> list[bytes]:
        """See ``Store``."""
        return sorted({p.key for p in self.published if p.key > after})[:limit]

    def own(self, key: bytes, today: int) -> list[bytes]:
        """See ``Store``."""
        here = [p for p in self.published if p.key == key and p.body.exp >= today]
        return [p.data for p in sorted(here, key=lambda p: (p.author, p.case))]

    # --- everything ------------------------------------------------------------------------------
    def expire(self, today: int, now: int) -> int:
        """See ``Store``."""
        self.published = [p for p in self.published if p.body.exp >= today]
        kept = [a for a in self.announced if a.record.expires > now]
        gone = len(self.announced) - len(kept)
        self.announced = kept
        names = []
        for name in self.names:
            is_late = name.packet is not None and name.packet.body.exp < today
            gone += is_late
            names.append(replace(name, packet=None) if is_late else name)
        memory = self.limits.sequence_memory_days
        self.names = [n for n in names if n.packet or n.last + memory >= today]
        return gone

    def counts(self) -> dict[str, int]:
        """See ``Store``."""
        return {
            "records": sum(not a.key for a in self.announced),
            "index records": sum(bool(a.key) for a in self.announced),
            "packets": sum(n.packet is not None for n in self.names),
            "names": len(self.names),
            "own": len(self.published),
            "evidence": len(self.pairs),
            "evidence refused": self.refused_pairs,
        }
