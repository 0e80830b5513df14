"""Packets, sequence numbers and evidence in a SQLite file. The rules are those of ``store``."""

from qisguard.identity.keys import SIGNATURE_SIZE
from qisguard.outcomes.packet import OutcomePacket
from qisguard.plugins import Rejected
from qisguard.store import store as rules
from qisguard.store.shares import Shares
from qisguard.store.sqlite_file import Result, SqliteFile
from qisguard.store.sqlite_scopes import Groups, Kind, Scope, Scopes
from qisguard.store.store import StoreLimits

_NAMED = "scope = ? and author = ? and name = ?"
_GONE = "past = 1, due = last, digest = null, data = null"


class SqlitePackets:
    """The current packet of every name, and the sequence numbers of those that have gone."""

    def __init__(self, file: SqliteFile, limits: StoreLimits, groups: Groups) -> None:
        self._file = file
        self._limits = limits
        self._groups = groups
        self._scopes = Scopes(
            file,
            groups,
            "packets",
            "select grp, count(*) from packets where past = 0 and scope = ? group by 1",
        )
        rows = file.all("select grp, count(*), sum(past = 0) from packets group by grp")
        self.names = Shares({groups.name(group): count for group, count, _ in rows})
        self.held_count = sum(held for _, _, held in rows)
        pairs = file.all("select grp, count(*) from evidence group by grp")
        self.evidence_shares = Shares(dict(pairs))
        self.evidence_refused = 0

    def put(self, where: bytes, packet: OutcomePacket, group: str, today: int) -> Rejected | None:
        """See ``Store``."""
        self._file.check()
        seq = packet.body.seq
        scope = self._scopes.find(Kind.PACKETS, where)
        known = None
        if scope:
            query = f"select id, seq, grp, past, due from packets where {_NAMED}"
            known = self._file.one(query, (scope.number, packet.author, packet.case))
        if refusal := self._limits.judge_sequence(known[1] if known else None, seq):
            return refusal
        if known and known[1] == seq:
            return rules.OLDER if known[3] else self._same_sequence(known[0], packet, group)
        if not known and not self._limits.has_room_for_name(self.names.total, self.names.of(group)):
            return rules.STORE_FULL
        if not known or known[3]:
            if scope and (refusal := self._make_room(scope, group)):
                return refusal
            scope = scope or self._scopes.make(Kind.PACKETS, where)
            self._add(known, scope, packet, group, today)
        elif scope:
            self._replace(known, scope, packet, group)
        return None

    def current(self, where: bytes, author: bytes, case: bytes) -> bytes | None:
        """See ``Store``."""
        return self._data(where, "author = ? and name = ?", author, case)

    def get(self, where: bytes, digest: bytes) -> bytes | None:
        """See ``Store``."""
        return self._data(where, "past = 0 and digest = ?", digest)

    def page(self, where: bytes, after: bytes, limit: int, today: int) -> list[tuple[bytes, int]]:
        """See ``Store``."""
        scope = self._scopes.find(Kind.PACKETS, where)
        if scope is None:
            return []
        rows = self._file.all(
            "select digest, first_day from packets where past = 0 and scope = ? and digest > ?"
            " and expires >= ? order by digest limit ?",
            (scope.number, after, today, limit),
        )
        return [(digest, day) for digest, day in rows]

    def places(self, after: bytes, limit: int) -> list[bytes]:
        """See ``Store``."""
        rows = self._file.all(
            "select name from scopes where kind = ? and name > ? and exists (select 1 from packets"
            " indexed by packets_scope where past = 0 and scope = scopes.id) order by name limit ?",
            (Kind.PACKETS, after, limit),
        )
        return [name for (name,) in rows]

    def evidence(self) -> list[tuple[bytes, bytes]]:
        """See ``Store``."""
        rows = self._file.all("select first, second from evidence order by author, name")
        return [(first, second) for first, second in rows]

    def expire(self, today: int) -> int:
        """Forget the packets whose day has passed, and sequence numbers; count the packets."""
        file = self._file
        late = "past = 0 and due < ?"
        file.write(
            f"update packets set due = expires where {late} and expires >= ?", (today, today)
        )
        rows = file.all(f"select scope, grp from packets where {late}", (today,))
        if rows:
            file.write(f"update packets set {_GONE} where {late}", (today,))
            for number, group in rows:
                self._uncount(number, group)
        past = (today - self._limits.sequence_memory_days,)
        forgotten = file.all("select scope, grp from packets where past = 1 and due < ?", past)
        if forgotten:
            file.write("delete from packets where past = 1 and due < ?", past)
            for _, group in forgotten:
                self.names.remove(self._groups.name(group))
            self._scopes.forget_empty({number for number, _ in forgotten})
        return len(rows)

    def _add(
        self, known: Result | None, scope: Scope, packet: OutcomePacket, group: str, today: int
    ) -> None:
        """Hold a packet of a new name, or of one whose packet has gone."""
        body, number = packet.body, self._groups.number(group)
        values = (number, body.exp, body.exp, body.seq, today, packet.digest, packet.data)
        if known:
            self.names.move(self._groups.name(known[2]), group)
            self._file.write(
                "update packets set past = 0, grp = ?, due = ?, expires = ?, last = max(last, ?),"
                " seq = ?, first_day = ?, digest = ?, data = ? where id = ?",
                (*values[:3], body.exp, *values[3:], known[0]),
            )
        else:
            self.names.add(group)
            self._file.insert(
                "insert into packets (scope, author, name, past, last, grp, due, expires, seq,"
                " first_day, digest, data) values (?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
                (scope.number, packet.author, packet.case, body.exp, *values),
            )
        if scope.shares:
            scope.shares.add(group)
        self.held_count += 1

    def _replace(self, known: Result, scope: Scope, packet: OutcomePacket, group: str) -> None:
        """Put a packet in the place of one that is held."""
        row, _, number, _, due = known
        body, old = packet.body, self._groups.name(number)
        self._file.write(
            "update packets set expires = ?, last = max(last, ?), seq = ?, digest = ?, data = ?"
            " where id = ?",
            (body.exp, body.exp, body.seq, packet.digest, packet.data, row),
        )
        if group == old and body.exp >= due:
            return  # the common case: no index but that of digests was touched
        self._file.write(
            "update packets set grp = ?, due = ? where id = ?",
            (self._groups.number(group), min(due, body.exp), row),
        )
        self.names.move(old, group)
        if scope.shares:
            scope.shares.move(old, group)

    def _same_sequence(self, row: int, packet: OutcomePacket, group: str) -> Rejected | None:
        """Say whether a packet of the sequence number that is held says something else."""
        (data,) = self._file.one("select data from packets where id = ?", (row,)) or (b"",)
        if data[:-SIGNATURE_SIZE] == packet.data[:-SIGNATURE_SIZE]:
            return None
        name = (packet.author, packet.case)
        if not self._file.one("select 1 from evidence where author = ? and name = ?", name):
            shares = self.evidence_shares
            if self._limits.has_room_for_pair(shares.total, shares.of(group)):
                shares.add(group)
                self._file.insert(
                    "insert into evidence values (?, ?, ?, ?, ?)",
                    (*name, group, data, packet.data),
                )
            else:
                self.evidence_refused += 1
        return rules.EQUIVOCATION

    def _make_room(self, scope: Scope, group: str) -> Rejected | None:
        shares = self._scopes.shares(scope)
        if shares.total < self._limits.packets_per_key_max:
            return None
        loser = shares.loser(group)
        if loser is None:
            return rules.KEY_FULL
        among = "past = 0 and scope = ? and grp = ?"
        values = (scope.number, self._groups.number(loser))
        query = f"select id, due, expires from packets where {among} order by due, id limit 1"
        while True:
            row, due, expires = self._file.one(query, values) or (0, 0, 0)
            if due == expires:
                break
            self._file.write(
                f"update packets set due = expires where {among} and due = ?", (*values, due)
            )
        self._file.write(f"update packets set {_GONE} where id = ?", (row,))
        self._uncount(*values)
        return None

    def _uncount(self, number: int, group: int) -> None:
        """Count a packet no longer; its name still counts."""
        if shares := self._scopes.counted(number):
            shares.remove(self._groups.name(group))
        self.held_count -= 1

    def _data(self, where: bytes, condition: str, *values: bytes) -> bytes | None:
        scope = self._scopes.find(Kind.PACKETS, where)
        row = scope and self._file.one(
            f"select data from packets where scope = ? and {condition}", (scope.number, *values)
        )
        return row[0] if row else None
