"""The same store in one SQLite file: durable once ``commit`` returned. See ``sqlite_file``."""

from qisguard.identity.ids import NodeId, to_bytes
from qisguard.outcomes.packet import OutcomePacket
from qisguard.plugins import Rejected
from qisguard.store.record import IndexRecord, ProviderRecord
from qisguard.store.sqlite_file import SqliteFile
from qisguard.store.sqlite_packets import SqlitePackets
from qisguard.store.sqlite_records import SqliteRecords
from qisguard.store.sqlite_scopes import Groups, Kind
from qisguard.store.store import StoreLimits


class SqliteStore:
    """See ``Store``. Raises StoreError where ``path`` cannot be opened; after a failure, always.

    Only one store may have a file open; ``:memory:`` is a file of its own each time. What else is
    kept in ``file`` becomes durable with it, or not at all.
    """

    def __init__(self, path: str, limits: StoreLimits) -> None:
        self._file = SqliteFile(path)
        self._groups = Groups(self._file)
        self._records = SqliteRecords(self._file, limits, self._groups)
        self._packets = SqlitePackets(self._file, limits, self._groups)

    @property
    def file(self) -> SqliteFile:
        """Return the open file."""
        return self._file

    def put_record(self, record: ProviderRecord, group: str, now: int) -> Rejected | None:
        """See ``Store``."""
        return self._records.put(Kind.RECORDS, record, to_bytes(record.place), b"", group, now)

    def records(self, place: NodeId, after: bytes, limit: int, now: int) -> list[bytes]:
        """See ``Store``."""
        return self._records.at(to_bytes(place), after, limit, now)

    def put_key(self, record: IndexRecord, group: str, now: int) -> Rejected | None:
        """See ``Store``."""
        return self._records.put(Kind.INDEX, record, record.key[:1], record.key, group, now)

    def keys(self, prefix: int, after: bytes, limit: int, now: int) -> list[bytes]:
        """See ``Store``."""
        return self._records.keys(bytes([prefix]), after, limit, now)

    def put(self, place: NodeId, packet: OutcomePacket, group: str, today: int) -> Rejected | None:
        """See ``Store``."""
        return self._packets.put(to_bytes(place), packet, group, today)

    def current(self, place: NodeId, author: bytes, case: bytes) -> bytes | None:
        """See ``Store``."""
        return self._packets.current(to_bytes(place), author, case)

    def page(self, place: NodeId, after: bytes, limit: int, today: int) -> list[tuple[bytes, int]]:
        """See ``Store``."""
        return self._packets.page(to_bytes(place), after, limit, today)

    def get(self, place: NodeId, digest: bytes) -> bytes | None:
        """See ``Store``."""
        return self._packets.get(to_bytes(place), digest)

    def places(self, after: bytes, limit: int) -> list[bytes]:
        """See ``Store``."""
        return self._packets.places(after, limit)

    def keep_own(self, packet: OutcomePacket) -> None:
        """See ``Store``."""
        body = packet.body
        self._file.write(
            "insert into own (key, author, name, seq, expires, data) values (?, ?, ?, ?, ?, ?)"
            " on conflict (key, author, name) do update set seq = excluded.seq,"
            " expires = excluded.expires, data = excluded.data where excluded.seq > own.seq",
            (packet.key, packet.author, packet.case, body.seq, body.exp, packet.data),
        )

    def own_keys(self, after: bytes, limit: int) -> list[bytes]:
        """See ``Store``."""
        query = "select distinct key from own where key > ? order by key limit ?"
        return [key for (key,) in self._file.all(query, (after, limit))]

    def own(self, key: bytes, today: int) -> list[bytes]:
        """See ``Store``."""
        query = "select data from own where key = ? and expires >= ? order by author, name"
        return [data for (data,) in self._file.all(query, (key, today))]

    def evidence(self) -> list[tuple[bytes, bytes]]:
        """See ``Store``."""
        return self._packets.evidence()

    def counts(self) -> dict[str, int]:
        """See ``Store``."""
        (own,) = self._file.one("select count(*) from own") or (0,)
        return {
            "records": self._records.all.total - self._records.index_count,
            "index records": self._records.index_count,
            "packets": self._packets.held_count,
            "names": self._packets.names.total,
            "own": own,
            "evidence": self._packets.evidence_shares.total,
            "evidence refused": self._packets.evidence_refused,
        }

    def expire(self, today: int, now: int) -> int:
        """See ``Store``."""
        self._file.write("delete from own where expires < ?", (today,))
        expired = self._packets.expire(today) + self._records.expire(now)
        self._groups.forget_unused(self._records.all, self._packets.names)
        return expired

    def commit(self) -> None:
        """See ``Store``."""
        self._file.commit()

    def close(self) -> None:
        """See ``Store``."""
        self._file.close()
