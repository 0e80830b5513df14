"""What a node keeps for others: provider records and packets, bounded and latest-wins.

- One current packet per (place, author, case): a higher sequence number replaces, a lower one is
  refused even after expiry, an equal one with another body is equivocation.
- When the cap of a key is reached the largest group (issuer) loses first, so a flood can only push
  out itself.
- The whole store is capped too, and no group may fill more than half of it.
"""

import sqlite3
from bisect import bisect_right, insort
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

from qisguard.identity.ids import NodeId, to_bytes
from qisguard.node.record import ProviderRecord
from qisguard.outcomes.packet import OutcomePacket
from qisguard.plugins import Rejected


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Caps of one store; ``packets_max`` counts every (place, author, case) ever taken."""

    packets_per_key_max: int
    sequence_jump_max: int
    packets_max: int = 1_000_000
    records_max: int = 1_000_000

    def refuse_packet(self, total: int, of_group: int) -> Rejected | None:
        """Return why a store this full takes no new case of a group that has this many."""
        is_full = total >= self.packets_max or of_group >= max(self.packets_max // 2, 1)
        return Rejected("store full") if is_full else None


class Store(Protocol):
    """Synchronous, and a function of its arguments: the core may use it."""

    def put_record(self, record: ProviderRecord, group: str = "", now: int = 0) -> Rejected | None:
        """Keep the record with the highest sequence number of each provider."""

    def records(self, place: NodeId, after: bytes, limit: int, now: int) -> list[bytes]:
        """Return the records of a place that have not expired, in order of provider."""

    def put(self, place: NodeId, packet: OutcomePacket, group: str, today: int) -> Rejected | None:
        """Keep a verified packet or say why not; ``group`` pays for it when the key is full."""

    def put_key(self, record: Any, group: str, now: int) -> Rejected | None: ...
    def keys(self, prefix: int, after: bytes, limit: int, now: int) -> list[bytes]: ...
    def places(self, after: bytes, limit: int) -> list[bytes]: ...
    def keep_own(self, packet: OutcomePacket) -> None: ...
    def own_keys(self, after: bytes, limit: int) -> list[bytes]: ...
    def own(self, key: bytes, today: int) -> list[bytes]: ...
    def counts(self) -> dict[str, int]: ...

    def current(self, place: NodeId, author: bytes, case: bytes) -> bytes | None:
        """Return the bytes of the current packet of an (author, case)."""

    def page(self, place: NodeId, after: bytes, limit: int, today: int) -> list[tuple[bytes, int]]:
        """Return (digest, day first seen) after a digest, ascending, at most ``limit``."""

    def get(self, place: NodeId, digest: bytes) -> bytes | None:
        """Return the bytes of a packet."""

    def expire(self, today: int, now: int) -> int:
        """Forget packets whose day has passed and records whose second has; return how many."""

    def commit(self) -> None:
        """Make everything put so far durable."""


@dataclass(slots=True)
class _Held:
    digest: bytes
    data: bytes
    seq: int
    expires: int
    group: str
    first_day: int


def judge_sequence(held: int | None, seq: int, jump_max: int) -> Rejected | None:
    """Return why a packet of sequence ``seq`` may not follow ``held``, or None."""
    if held is None:
        return None
    if seq < held:
        return Rejected("older sequence")
    if seq > held + jump_max:
        return Rejected("sequence jump")
    return None


class MemoryStore:
    """A store in dictionaries: fast, and gone with the process."""

    def __init__(self, limits: StoreLimits) -> None:
        self._limits = limits
        self._records: dict[NodeId, dict[NodeId, ProviderRecord]] = {}
        self._held: dict[NodeId, dict[tuple[bytes, bytes], _Held]] = {}
        self._digests: dict[NodeId, list[bytes]] = {}
        self._by_digest: dict[tuple[NodeId, bytes], _Held] = {}
        self._highest: dict[tuple[NodeId, bytes, bytes], int] = {}
        self._group_sizes: Counter[str] = Counter()
        self._record_count = 0

    def put_record(self, record: ProviderRecord, group: str = "", now: int = 0) -> Rejected | None:
        """See ``Store``."""
        known = self._records.get(record.place, {}).get(record.provider)
        if known is not None and record.seq < known.seq:
            return Rejected("older record")
        if known is None:
            if self._record_count >= self._limits.records_max:
                return Rejected("store full")
            self._record_count += 1
        self._records.setdefault(record.place, {})[record.provider] = record
        return None

    def records(self, place: NodeId, after: bytes, limit: int, now: int) -> list[bytes]:
        """See ``Store``."""
        at_place = self._records.get(place, {})
        return [
            r.data
            for _, r in sorted(at_place.items())
            if r.expires > now and to_bytes(r.provider) > after
        ][:limit]

    def put_key(self, record: Any, group: str, now: int) -> Rejected | None:
        self._index = getattr(self, "_index", {})
        self._index.setdefault(record.prefix, set()).add(record.key)
        return None

    def keys(self, prefix: int, after: bytes, limit: int, now: int) -> list[bytes]:
        return sorted(k for k in getattr(self, "_index", {}).get(prefix, ()) if k > after)[:limit]

    def places(self, after: bytes, limit: int) -> list[bytes]:
        return sorted(to_bytes(p) for p in self._held if to_bytes(p) > after)[:limit]

    def keep_own(self, packet: OutcomePacket) -> None:
        self._own = getattr(self, "_own", {})
        self._own.setdefault(packet.key, {})[packet.author, packet.case] = packet

    def own_keys(self, after: bytes, limit: int) -> list[bytes]:
        return sorted(k for k in getattr(self, "_own", {}) if k > after)[:limit]

    def own(self, key: bytes, today: int) -> list[bytes]:
        return [
            p.data for p in getattr(self, "_own", {}).get(key, {}).values() if p.body.exp >= today
        ]

    def counts(self) -> dict[str, int]:
        return {}

    def put(self, place: NodeId, packet: OutcomePacket, group: str, today: int) -> Rejected | None:
        """See ``Store``."""
        name = (packet.author, packet.case)
        seq = packet.body.seq
        highest = self._highest.get((place, *name))
        if refusal := judge_sequence(highest, seq, self._limits.sequence_jump_max):
            return refusal
        known = self._held.get(place, {}).get(name)
        digest = packet.digest
        if highest == seq:
            if known is not None and known.data[:-64] == packet.data[:-64]:
                return None
            return Rejected("equivocation" if known is not None else "older sequence")
        size = self._group_sizes[group]
        if highest is None and (refusal := self._limits.refuse_packet(len(self._highest), size)):
            return refusal
        if known is None and (refusal := self._make_room(place, group)):
            return refusal
        first_day = known.first_day if known else today
        if known:
            self._remove(place, name)
        held = _Held(digest, packet.data, seq, packet.body.exp, group, first_day)
        self._held.setdefault(place, {})[name] = held
        insort(self._digests.setdefault(place, []), digest)
        self._by_digest[place, digest] = held
        self._group_sizes[group] += highest is None
        self._highest[(place, *name)] = seq
        return None

    def current(self, place: NodeId, author: bytes, case: bytes) -> bytes | None:
        """See ``Store``."""
        held = self._held.get(place, {}).get((author, case))
        return held.data if held else None

    def page(self, place: NodeId, after: bytes, limit: int, today: int) -> list[tuple[bytes, int]]:
        """See ``Store``."""
        digests = self._digests.get(place, [])
        found: list[tuple[bytes, int]] = []
        for digest in digests[bisect_right(digests, after) :]:
            if len(found) >= limit:
                break
            held = self._by_digest[place, digest]
            if held.expires >= today:
                found.append((digest, held.first_day))
        return found

    def get(self, place: NodeId, digest: bytes) -> bytes | None:
        """See ``Store``."""
        held = self._by_digest.get((place, digest))
        return held.data if held else None

    def expire(self, today: int, now: int) -> int:
        """See ``Store``."""
        old = [
            (p, n) for p, held in self._held.items() for n, h in held.items() if h.expires < today
        ]
        for place, name in old:
            self._remove(place, name)
        before = self._record_count
        for record in [r for at in self._records.values() for r in at.values() if r.expires <= now]:
            at_place = self._records[record.place]
            del at_place[record.provider]
            self._record_count -= 1
            if not at_place:
                del self._records[record.place]
        return len(old) + before - self._record_count

    def commit(self) -> None:
        """See ``Store``: nothing to do, a memory store promises nothing past the process."""

    def _make_room(self, place: NodeId, group: str) -> Rejected | None:
        at_place = self._held.get(place, {})
        if len(at_place) < self._limits.packets_per_key_max:
            return None
        sizes = Counter(held.group for held in at_place.values())
        largest = max(sorted(sizes), key=lambda name: sizes[name])
        if sizes[group] + 1 > sizes[largest]:
            return Rejected("key full")
        self._remove(place, max(n for n, held in at_place.items() if held.group == largest))
        return None

    def _remove(self, place: NodeId, name: tuple[bytes, bytes]) -> None:
        held = self._held[place].pop(name)
        self._digests[place].remove(held.digest)
        del self._by_digest[place, held.digest]
        if not self._held[place]:
            del self._held[place], self._digests[place]


_SCHEMA = """
create table if not exists packets (
  place blob not null, author blob not null, name blob not null, seq integer not null,
  digest blob not null, first_day integer not null, expires integer not null,
  grp text not null, data blob not null);
create unique index if not exists packets_name on packets (place, author, name);
create unique index if not exists packets_digest on packets (place, digest);
create table if not exists highest (
  place blob not null, author blob not null, name blob not null, seq integer not null,
  grp text not null);
create unique index if not exists highest_name on highest (place, author, name);
create table if not exists records (
  place blob not null, provider blob not null, expires integer not null, seq integer not null,
  data blob not null);
create unique index if not exists records_name on records (place, provider);
"""


class SqliteStore:
    """The same store in one SQLite file: write-ahead log, durable once ``commit`` returned."""

    def __init__(self, path: str, limits: StoreLimits) -> None:
        self._limits = limits
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute("pragma cache_size = -65536")
        self._db.executescript(_SCHEMA)
        self._group_sizes = Counter[str](
            dict(self._db.execute("select grp, count(*) from highest group by grp").fetchall())
        )
        self._name_count = self._group_sizes.total()
        (self._record_count,) = self._one("select count(*) from records", ())
        self._open = False

    def close(self) -> None:
        """Commit and close the file."""
        self.commit()
        self._db.close()

    def put_record(self, record: ProviderRecord, group: str = "", now: int = 0) -> Rejected | None:
        """See ``Store``."""
        where = (to_bytes(record.place), to_bytes(record.provider))
        known = self._one("select seq from records where place = ? and provider = ?", where)
        if known is not None and record.seq < known[0]:
            return Rejected("older record")
        if known is None:
            if self._record_count >= self._limits.records_max:
                return Rejected("store full")
            self._record_count += 1
        self._write(
            "insert or replace into records values (?, ?, ?, ?, ?)",
            (*where, record.expires, record.seq, record.data),
        )
        return None

    def records(self, place: NodeId, after: bytes, limit: int, now: int) -> list[bytes]:
        """See ``Store``."""
        rows = self._db.execute(
            "select data from records where place = ? and expires > ? order by provider",
            (to_bytes(place), now),
        )
        return [row[0] for row in rows]

    def put(self, place: NodeId, packet: OutcomePacket, group: str, today: int) -> Rejected | None:
        """See ``Store``."""
        where = to_bytes(place)
        name = (where, packet.author, packet.case)
        seq = packet.body.seq
        row = self._one(
            "select seq, grp from highest where place = ? and author = ? and name = ?", name
        )
        highest = row[0] if row else None
        if refusal := judge_sequence(highest, seq, self._limits.sequence_jump_max):
            return refusal
        known = self._one(
            "select data, first_day from packets where place = ? and author = ? and name = ?", name
        )
        if highest == seq:
            if known is not None and known[0][:-64] == packet.data[:-64]:
                return None
            return Rejected("equivocation" if known is not None else "older sequence")
        size = self._group_sizes[group]
        if row is None and (refusal := self._limits.refuse_packet(self._name_count, size)):
            return refusal
        if known is None and (refusal := self._make_room(where, group)):
            return refusal
        first_day = known[1] if known else today
        self._write(
            "insert or replace into packets values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*name, seq, packet.digest, first_day, packet.body.exp, group, packet.data),
        )
        if row is None:
            self._name_count += 1
            self._group_sizes[group] += 1
        payer = row[1] if row else group
        self._write("insert or replace into highest values (?, ?, ?, ?, ?)", (*name, seq, payer))
        return None

    def current(self, place: NodeId, author: bytes, case: bytes) -> bytes | None:
        """See ``Store``."""
        row = self._one(
            "select data from packets where place = ? and author = ? and name = ?",
            (to_bytes(place), author, case),
        )
        return bytes(row[0]) if row else None

    def page(self, place: NodeId, after: bytes, limit: int, today: int) -> list[tuple[bytes, int]]:
        """See ``Store``."""
        rows = self._db.execute(
            "select digest, first_day from packets where place = ? and digest > ? and expires >= ?"
            " order by digest limit ?",
            (to_bytes(place), after, today, limit),
        )
        return list(rows)

    def get(self, place: NodeId, digest: bytes) -> bytes | None:
        """See ``Store``."""
        where = (to_bytes(place), digest)
        row = self._one("select data from packets where place = ? and digest = ?", where)
        return bytes(row[0]) if row else None

    def expire(self, today: int, now: int) -> int:
        """See ``Store``."""
        packets = self._write("delete from packets where expires < ?", (today,))
        records = self._write("delete from records where expires <= ?", (now,))
        self._record_count -= records
        return packets + records

    def commit(self) -> None:
        """See ``Store``."""
        if self._open:
            self._db.execute("commit")
            self._open = False

    def _make_room(self, place: bytes, group: str) -> Rejected | None:
        (total,) = self._one("select count(*) from packets where place = ?", (place,)) or (0,)
        if total < self._limits.packets_per_key_max:
            return None
        sizes = dict(
            self._db.execute(
                "select grp, count(*) from packets where place = ? group by grp", (place,)
            ).fetchall()
        )
        largest = max(sorted(sizes), key=lambda name: int(sizes[name]))
        if sizes.get(group, 0) + 1 > sizes[largest]:
            return Rejected("key full")
        self._write(
            "delete from packets where rowid = (select rowid from packets where place = ? and"
            " grp = ? order by author desc, name desc limit 1)",
            (place, largest),
        )
        return None

    def _one(self, query: str, values: tuple[object, ...]) -> Any:
        """Return the first row, or None; columns have the types of the schema."""
        return self._db.execute(query, values).fetchone()

    def _write(self, query: str, values: tuple[object, ...]) -> int:
        if not self._open:
            self._db.execute("begin immediate")
            self._open = True
        return self._db.execute(query, values).rowcount
