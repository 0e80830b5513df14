"""Provider and index records in a SQLite file. The rules are those of ``store``."""

from collections import Counter

from qisguard.identity.ids import ID_SIZE, node_id, to_bytes
from qisguard.identity.keys import KEY_SIZE, SIGNATURE_SIZE
from qisguard.plugins import Rejected
from qisguard.store import store as rules
from qisguard.store.record import IndexRecord, ProviderRecord, join_record
from qisguard.store.shares import Shares
from qisguard.store.sqlite_file import Result, SqliteFile, Values
from qisguard.store.sqlite_scopes import Groups, Kind, Scope, Scopes
from qisguard.store.store import StoreLimits

_PUBLIC = slice(6 + ID_SIZE, 6 + ID_SIZE + KEY_SIZE)
"""The provider's public key within the signed bytes, which begin with fields of fixed size."""

_SAME = f"scope = ? and key = ? and rank = ? and substr(proof, 1, {KEY_SIZE}) = ?"
# The index is named: without statistics SQLite prefers that of groups and reads half a group.
_REFRESH = (
    f"update records indexed by records_name set expires = ?, seq = ?, proof = ? where {_SAME}"
    " and seq <= ? and grp = ? and due <= ?"
)
_IN_SCOPE = "scope = ? and grp = ?"
_IN_STORE = "grp = ?"
_IN_GROUPS = "grp in (select id from groups) and due <= ?"


class SqliteRecords:
    """Announcements by place or prefix."""

    def __init__(self, file: SqliteFile, limits: StoreLimits, groups: Groups) -> None:
        self._file = file
        self._limits = limits
        self._groups = groups
        self._scopes = Scopes(
            file, groups, "records", "select grp, count(*) from records where scope = ? group by 1"
        )
        rows = file.all("select grp, count(*) from records group by grp")
        self.all = Shares({groups.name(group): count for group, count in rows})
        self._providers = Counter(rank for (rank,) in file.all("select rank from records"))
        indexed = "select count(*) from records where scope in (select id from scopes where kind=?)"
        (self.index_count,) = file.one(indexed, (Kind.INDEX,)) or (0,)

    def put(
        self,
        kind: Kind,
        record: ProviderRecord | IndexRecord,
        where: bytes,
        key: bytes,
        group: str,
        now: int,
    ) -> Rejected | None:
        """Keep one announcement of scope ``where``, or say why not."""
        self._file.check()
        expires, seq = record.expires, record.seq
        if expires <= now:
            return rules.EXPIRED
        public, signature = record.data[_PUBLIC], record.data[-SIGNATURE_SIZE:]
        if join_record(key or where, public, expires, seq, signature) != record.data:
            raise ValueError("record: data is not the encoding that sign_record makes")
        proof = public + signature
        rank = _rank(to_bytes(record.provider))
        scope = self._scopes.find(kind, where)
        if scope:
            same = (scope.number, key, rank, public)
            number = self._groups.known(group)
            if self._file.write(_REFRESH, (expires, seq, proof, *same, seq, number, expires)):
                return None
            query = f"select id, seq, grp, due from records where {_SAME}"
            if known := self._file.one(query, same):
                if seq < known[1]:
                    return rules.OLDER_RECORD
                self._move(known, scope, group, expires, seq, proof)
                return None
        if self._providers[rank] >= self._limits.records_per_provider_max:
            return rules.PROVIDER_FULL
        victim = self._make_room(scope, key, group)
        if isinstance(victim, Rejected):
            return victim
        if victim:
            self._drop(victim)
        scope = self._scopes.find(kind, where) or self._scopes.make(kind, where)
        if scope.shares:
            scope.shares.add(group)
        self.all.add(group)
        self._providers[rank] += 1
        self.index_count += kind is Kind.INDEX
        self._file.insert(
            "insert into records (scope, key, rank, grp, due, expires, seq, proof)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            (scope.number, key, rank, self._groups.number(group), expires, expires, seq, proof),
        )
        return None

    def at(self, place: bytes, after: bytes, limit: int, now: int) -> list[bytes]:
        """Return records of a place, ascending by provider id."""
        scope = self._scopes.find(Kind.RECORDS, place)
        if scope is None:
            return []
        low = _rank(after[:8].ljust(8, b"\0"))
        read = "select rank, proof, expires, seq from records where scope = ? and key = x''"
        rows = self._file.all(f"{read} and rank = ? and expires > ?", (scope.number, low, now))
        rows = [row for row in rows if _provider(row) > after]
        rows += self._file.all(
            f"{read} and rank > ? and expires > ? order by rank limit ?",
            (scope.number, low, now, limit + 1),
        )
        if len({row[0] for row in rows}) < len(rows):
            # Somebody searched for ids that begin alike: 2**32 tries. Their order is exact all the
            # same: everything up to the last rank, by whole ids.
            tied = self._file.all(
                f"{read} and rank >= ? and rank <= ? and expires > ?",
                (scope.number, low, rows[-1][0], now),
            )
            rows = [row for row in sorted(tied, key=_provider) if _provider(row) > after]
        return [
            join_record(place, proof[:KEY_SIZE], expires, seq, proof[KEY_SIZE:])
            for _, proof, expires, seq in rows[:limit]
        ]

    def keys(self, prefix: bytes, after: bytes, limit: int, now: int) -> list[bytes]:
        """Return distinct keys of a prefix, ascending."""
        scope = self._scopes.find(Kind.INDEX, prefix)
        if scope is None:
            return []
        rows = self._file.all(
            "select distinct key from records where scope = ? and key > ? and expires > ?"
            " order by key limit ?",
            (scope.number, after, now, limit),
        )
        return [key for (key,) in rows]

    def expire(self, now: int) -> int:
        """Forget the records whose second has come; return how many."""
        file = self._file
        file.write(
            f"update records set due = expires where {_IN_GROUPS} and expires > ?", (now, now)
        )
        rows = file.all(
            f"select scope, grp, rank, key <> x'' from records where {_IN_GROUPS}", (now,)
        )
        if rows:
            file.write(f"delete from records where {_IN_GROUPS}", (now,))
            for row in rows:
                self._uncount(row)
            self._scopes.forget_empty({row[0] for row in rows})
        return len(rows)

    def _move(
        self, known: Result, scope: Scope, group: str, expires: int, seq: int, proof: bytes
    ) -> None:
        """Refresh a record that expires sooner than before or counts for another group."""
        row, _, number, due = known
        old = self._groups.name(number)
        if scope.shares:
            scope.shares.move(old, group)
        self.all.move(old, group)
        self._file.write(
            "update records set grp = ?, due = ?, expires = ?, seq = ?, proof = ? where id = ?",
            (self._groups.number(group), min(due, expires), expires, seq, proof, row),
        )

    def _make_room(self, scope: Scope | None, key: bytes, group: str) -> int | Rejected | None:
        """Return the row that has to go, None where there is room, or why nobody is let in."""
        limits = self._limits
        if scope and key:
            rows = self._file.all(
                "select grp, expires, id from records where scope = ? and key = ?",
                (scope.number, key),
            )
            if len(rows) >= limits.index_providers_max:
                sizes = Counter(self._groups.name(row[0]) for row in rows)
                loser = Shares(sizes).loser(group)
                if loser is None:
                    return rules.KEY_FULL
                number = self._groups.number(loser)
                return int(min(row[1:] for row in rows if row[0] == number)[1])
        cap = limits.index_keys_max if key else limits.providers_per_key_max
        if scope and (shares := self._scopes.shares(scope)).total >= cap:
            loser = shares.loser(group)
            if loser is None:
                return rules.INDEX_FULL if key else rules.KEY_FULL
            return self._soonest(_IN_SCOPE, (scope.number, self._groups.number(loser)))
        if self.all.total >= limits.records_max:
            loser = self.all.loser(group)
            if loser is None:
                return rules.STORE_FULL
            return self._soonest(_IN_STORE, (self._groups.number(loser),))
        return None

    def _soonest(self, among: str, values: Values) -> int:
        """Return the row that expires soonest, the earlier one taken where several do."""
        query = f"select id, due, expires from records where {among} order by due, id limit 1"
        while True:
            row, due, expires = self._file.one(query, values) or (0, 0, 0)
            if due == expires:
                return int(row)
            self._file.write(
                f"update records set due = expires where {among} and due = ?", (*values, due)
            )

    def _drop(self, row: int) -> None:
        found = self._file.all(
            "select scope, grp, rank, key <> x'' from records where id = ?", (row,)
        )
        self._file.write("delete from records where id = ?", (row,))
        for dropped in found:
            self._uncount(dropped)
            self._scopes.forget_empty({dropped[0]})

    def _uncount(self, row: Result) -> None:
        scope, number, rank, is_indexed = row
        group = self._groups.name(number)
        if shares := self._scopes.counted(scope):
            shares.remove(group)
        self.all.remove(group)
        self.index_count -= is_indexed
        self._providers[rank] -= 1
        if not self._providers[rank]:
            del self._providers[rank]


def _rank(provider: bytes) -> int:
    return int.from_bytes(provider[:8], "big") - (1 << 63)


def _provider(row: Result) -> bytes:
    """Return the whole provider id of a row of rank and proof."""
    return to_bytes(node_id(row[1][:KEY_SIZE]))
