"""A store in dictionaries: fast, and gone with the process. The rules are those of ``store``."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from qisguard.identity.ids import NodeId, to_bytes
from qisguard.identity.keys import SIGNATURE_SIZE
from qisguard.outcomes.packet import OutcomePacket
from qisguard.plugins import Rejected
from qisguard.store import store as rules
from qisguard.store.memory_bounds import Bound, Row, soonest
from qisguard.store.record import IndexRecord, ProviderRecord
from qisguard.store.shares import Shares
from qisguard.store.store import StoreLimits


@dataclass(slots=True, eq=False)
class _Record(Row):
    shelf: "_Shelf"
    name: bytes
    provider: bytes


@dataclass(slots=True, eq=False)
class _Packet(Row):
    """``last`` is the latest expiry day of any packet that was taken for the name."""

    place: "_Place"
    last: int = 0
    digest: bytes = b""
    first_day: int = 0


class _Shelf(Bound[_Record]):
    """The announcements of one place or prefix; names are the provider, or key and provider."""

    def __init__(self, where: bytes) -> None:
        super().__init__()
        self.where = where
        self.names: list[bytes] = []
        self.rows: dict[bytes, _Record] = {}

    def after(self, name: bytes) -> Iterator[_Record]:
        """Return the rows above a name, ascending."""
        names = self.names
        return (self.rows[names[at]] for at in range(bisect_right(names, name), len(names)))

    def of_key(self, key: bytes) -> list[_Record]:
        """Return the announcements of a key."""
        end = bisect_right(self.names, key + b"\xff" * 32)
        return [self.rows[name] for name in self.names[bisect_left(self.names, key) : end]]


class _Place(Bound[_Packet]):
    """The packets of one place; ``names`` also holds those whose packet has gone."""

    def __init__(self, where: bytes) -> None:
        super().__init__()
        self.where = where
        self.names: dict[tuple[bytes, bytes], _Packet] = {}
        self.digests: list[bytes] = []
        self.held: dict[bytes, _Packet] = {}


class _Announcements:
    """Provider records by place, index records by domain prefix."""

    def __init__(self, limits: StoreLimits) -> None:
        self._limits = limits
        self.shelves: dict[bytes, _Shelf] = {}
        self.all: Bound[_Record] = Bound()
        self.index_count = 0
        self._providers: Counter[bytes] = Counter()

    def put(
        self,
        where: bytes,
        key: bytes,
        record: ProviderRecord | IndexRecord,
        group: str,
        now: int,
        number: int,
    ) -> Rejected | None:
        if record.expires <= now:
            return rules.EXPIRED
        provider = to_bytes(record.provider)
        shelf = self.shelves.get(where) or _Shelf(where)
        if known := shelf.rows.get(key + provider):
            return self._refresh(known, record, group)
        if self._providers[provider] >= self._limits.records_per_provider_max:
            return rules.PROVIDER_FULL
        victim = self._make_room(shelf, key, group)
        if isinstance(victim, Rejected):
            return victim
        if victim:
            self._drop(victim)
        name = key + provider
        row = _Record(
            number, group, record.expires, record.seq, record.data, True, shelf, name, provider
        )
        self.shelves[where] = shelf
        insort(shelf.names, name)
        shelf.rows[name] = row
        shelf.add(row)
        self.all.add(row)
        self.index_count += bool(key)
        self._providers[provider] += 1
        return None

    def _refresh(
        self, known: _Record, record: ProviderRecord | IndexRecord, group: str
    ) -> Rejected | None:
        if record.seq < known.seq:
            return rules.OLDER_RECORD
        is_moved = record.expires < known.expires or group != known.group
        bounds = (known.shelf, self.all) if is_moved else ()
        for bound in bounds:
            bound.remove(known)
        known.group, known.seq = group, record.seq
        known.expires, known.data = record.expires, record.data
        for bound in bounds:
            bound.add(known)
        return None

    def _make_room(self, shelf: _Shelf, key: bytes, group: str) -> _Record | Rejected | None:
        """Return what has to go, None where there is room, or why the newcomer is refused."""
        limits = self._limits
        if key and len(rows := shelf.of_key(key)) >= limits.index_providers_max:
            loser = Shares(Counter(row.group for row in rows)).loser(group)
            if loser is None:
                return rules.KEY_FULL
            return soonest(row for row in rows if row.group == loser)
        if shelf.shares.total >= (limits.index_keys_max if key else limits.providers_per_key_max):
            return shelf.first_to_go(group) or (rules.INDEX_FULL if key else rules.KEY_FULL)
        if self.all.shares.total >= limits.records_max:
            return self.all.first_to_go(group) or rules.STORE_FULL
        return None

    def _drop(self, row: _Record) -> None:
        shelf = row.shelf
        row.is_held = False
        del shelf.names[bisect_left(shelf.names, row.name)]
        del shelf.rows[row.name]
        if not shelf.rows:
            del self.shelves[shelf.where]
        shelf.remove(row)
        self.all.remove(row)
        self.index_count -= len(row.name) > len(row.provider)
        self._providers[row.provider] -= 1
        if not self._providers[row.provider]:
            del self._providers[row.provider]

    def expire(self, now: int) -> int:
        rows = [r for s in self.shelves.values() for r in s.rows.values() if r.expires <= now]
        for row in rows:
            self._drop(row)
        return len(rows)


class _Packets:
    """The current packet of every name, and the sequence numbers of those that have gone."""

    def __init__(self, limits: StoreLimits) -> None:
        self._limits = limits
        self.places: dict[bytes, _Place] = {}
        self.ordered: list[bytes] = []
        self.names = Shares()
        self.held_count = 0
        self.evidence: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
        self._evidence_shares = Shares()
        self.evidence_refused = 0

    def put(
        self, where: bytes, packet: OutcomePacket, group: str, today: int, number: int
    ) -> Rejected | None:
        limits = self._limits
        name, seq = (packet.author, packet.case), packet.body.seq
        place = self.places.get(where) or _Place(where)
        known = place.names.get(name)
        if refusal := limits.judge_sequence(known.seq if known else None, seq):
            return refusal
        if known and known.seq == seq:
            return self._same_sequence(known, packet, group)
        if not known and not limits.has_room_for_name(self.names.total, self.names.of(group)):
            return rules.STORE_FULL
        is_held = known is not None and known.is_held
        if not is_held and place.shares.total >= limits.packets_per_key_max:
            victim = place.first_to_go(group)
            if victim is None:
                return rules.KEY_FULL
            self._drop(victim)
        if known is None:
            known = place.names[name] = _Packet(number, group, 0, 0, b"", False, place)
            self.places[where] = place
            self.names.add(group)
        elif is_held:
            self._drop(known)
        self._hold(known, packet, group)
        if not is_held:
            known.first_day = today
        return None

    def _hold(self, row: _Packet, packet: OutcomePacket, group: str) -> None:
        place = row.place
        self.names.move(row.group, group)
        row.group, row.seq, row.expires = group, packet.body.seq, packet.body.exp
        row.data, row.digest, row.is_held = packet.data, packet.digest, True
        row.last = max(row.last, row.expires)
        if not place.held:
            insort(self.ordered, place.where)
        place.held[row.digest] = row
        insort(place.digests, row.digest)
        place.add(row)
        self.held_count += 1

    def _drop(self, row: _Packet) -> None:
        """Forget a packet, but not its sequence number."""
        place = row.place
        row.is_held, row.data = False, b""
        del place.held[row.digest]
        del place.digests[bisect_left(place.digests, row.digest)]
        place.remove(row)
        self.held_count -= 1
        if not place.held:
            del self.ordered[bisect_left(self.ordered, place.where)]

    def _same_sequence(self, known: _Packet, packet: OutcomePacket, group: str) -> Rejected | None:
        if not known.is_held:
            return rules.OLDER
        if known.data[:-SIGNATURE_SIZE] == packet.data[:-SIGNATURE_SIZE]:
            return None
        name = (packet.author, packet.case)
        if name not in self.evidence:
            shares = self._evidence_shares
            if self._limits.has_room_for_pair(shares.total, shares.of(group)):
                self.evidence[name] = (known.data, packet.data)
                shares.add(group)
            else:
                self.evidence_refused += 1
        return rules.EQUIVOCATION

    def expire(self, today: int) -> int:
        rows = [r for p in self.places.values() for r in p.held.values() if r.expires < today]
        for row in rows:
            self._drop(row)
        memory = self._limits.sequence_memory_days
        for place in list(self.places.values()):
            for name, row in list(place.names.items()):
                if not row.is_held and row.last + memory < today:
                    del place.names[name]
                    self.names.remove(row.group)
            if not place.names:
                del self.places[place.where]
        return len(rows)


class MemoryStore:
    """See ``Store``; no call but ``expire`` costs more when the store is fuller."""

    def __init__(self, limits: StoreLimits) -> None:
        self._records = _Announcements(limits)
        self._packets = _Packets(limits)
        self._own: dict[bytes, dict[tuple[bytes, bytes], OutcomePacket]] = {}
        self._arrived = 0

    def put_record(self, record: ProviderRecord, group: str, now: int) -> Rejected | None:
        """See ``Store``."""
        self._arrived += 1
        where = to_bytes(record.place)
        return self._records.put(where, b"", record, group, now, self._arrived)

    def records(self, place: NodeId, after: bytes, limit: int, now: int) -> list[bytes]:
        """See ``Store``."""
        found: list[bytes] = []
        if shelf := self._records.shelves.get(to_bytes(place)):
            for row in shelf.after(after):
                if len(found) >= limit:
                    break
                if row.expires > now:
                    found.append(row.data)
        return found

    def put_key(self, record: IndexRecord, group: str, now: int) -> Rejected | None:
        """See ``Store``."""
        self._arrived += 1
        return self._records.put(record.key[:1], record.key, record, group, now, self._arrived)

    def keys(self, prefix: int, after: bytes, limit: int, now: int) -> list[bytes]:
        """See ``Store``."""
        found: list[bytes] = []
        if shelf := self._records.shelves.get(bytes([prefix])):
            last = after
            for row in shelf.after(after):
                if len(found) >= limit:
                    break
                key = row.name[:32]
                if row.expires > now and key != last:
                    found.append(key)
                    last = key
        return found

    def put(self, place: NodeId, packet: OutcomePacket, group: str, today: int) -> Rejected | None:
        """See ``Store``."""
        self._arrived += 1
        return self._packets.put(to_bytes(place), packet, group, today, self._arrived)

    def current(self, place: NodeId, author: bytes, case: bytes) -> bytes | None:
        """See ``Store``."""
        at = self._packets.places.get(to_bytes(place))
        row = at.names.get((author, case)) if at else None
        return row.data if row and row.is_held else None

    def page(self, place: NodeId, after: bytes, limit: int, today: int) -> list[tuple[bytes, int]]:
        """See ``Store``."""
        found: list[tuple[bytes, int]] = []
        if at := self._packets.places.get(to_bytes(place)):
            for index in range(bisect_right(at.digests, after), len(at.digests)):
                if len(found) >= limit:
                    break
                row = at.held[at.digests[index]]
                if row.expires >= today:
                    found.append((row.digest, row.first_day))
        return found

    def get(self, place: NodeId, digest: bytes) -> bytes | None:
        """See ``Store``."""
        at = self._packets.places.get(to_bytes(place))
        row = at.held.get(digest) if at else None
        return row.data if row else None

    def places(self, after: bytes, limit: int) -> list[bytes]:
        """See ``Store``."""
        begin = bisect_right(self._packets.ordered, after)
        return self._packets.ordered[begin : begin + limit]

    def keep_own(self, packet: OutcomePacket) -> None:
        """See ``Store``."""
        at_key = self._own.setdefault(packet.key, {})
        held = at_key.get((packet.author, packet.case))
        if held is None or packet.body.seq > held.body.seq:
            at_key[packet.author, packet.case] = packet

    def own_keys(self, after: bytes, limit: int) -> list[bytes]:
        """See ``Store``."""
        return sorted(key for key in self._own if key > after)[:limit]

    def own(self, key: bytes, today: int) -> list[bytes]:
        """See ``Store``."""
        at_key = sorted(self._own.get(key, {}).items())
        return [packet.data for _, packet in at_key if packet.body.exp >= today]

    def evidence(self) -> list[tuple[bytes, bytes]]:
        """See ``Store``."""
        return [pair for _, pair in sorted(self._packets.evidence.items())]

    def counts(self) -> dict[str, int]:
        """See ``Store``."""
        return {
            "records": self._records.all.shares.total - self._records.index_count,
            "index records": self._records.index_count,
            "packets": self._packets.held_count,
            "names": self._packets.names.total,
            "own": sum(len(at_key) for at_key in self._own.values()),
            "evidence": len(self._packets.evidence),
            "evidence refused": self._packets.evidence_refused,
        }

    def expire(self, today: int, now: int) -> int:
        """See ``Store``."""
        for key, at_key in list(self._own.items()):
            for name in [n for n, packet in at_key.items() if packet.body.exp < today]:
                del at_key[name]
            if not at_key:
                del self._own[key]
        return self._packets.expire(today) + self._records.expire(now)

    def commit(self) -> None:
        """See ``Store``: nothing to do, a memory store promises nothing past the process."""

    def close(self) -> None:
        """See ``Store``: nothing to do."""
