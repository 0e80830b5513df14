"""The ledger of a campaign: which trials are wanted, under way, done or failed, in SQLite.

- A trial is known by ``Job.key``; adding it twice is adding it once.
- Who works leases trials until a moment, and says so again while it lives. Leases that ran out are
  taken over, and at once those of a process of this machine that is gone.
- What is done stays done: a second result of the same trial changes nothing.
- Results come in batches, one transaction each. A process that is killed loses its last batch,
  which is run again; a power cut may lose more, and breaks nothing (WAL, synchronous = NORMAL).
"""

import os
import platform
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qisguard.errors import StoreError
from qisguard.lab.campaign.workers import Ended
from qisguard.lab.trial.measured import Measured

LEASE = 30.0
"""Seconds; who works renews its leases three times in that."""
TRIES_MAX = 3
"""Times that a trial may cost a worker its life before it counts as failed."""

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    point INTEGER NOT NULL,
    arm TEXT NOT NULL,
    seed INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    worker TEXT NOT NULL DEFAULT '',
    expires REAL NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    result BLOB
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS jobs_by_point ON jobs (point, seed, arm);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One trial: the number of its point, arm, seed, and its ``Job.key``."""

    key: str
    point: int
    arm: str
    seed: int


@dataclass(frozen=True, slots=True)
class Done:
    """A trial that ended well."""

    entry: Entry
    measured: Measured


@dataclass(frozen=True, slots=True)
class Failed:
    """A trial that did not, after ``tries``."""

    entry: Entry
    error: str
    tries: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many trials are in which state."""

    pending: int
    leased: int
    done: int
    failed: int

    @property
    def all(self) -> int:
        """Return how many there are."""
        return self.pending + self.leased + self.done + self.failed


def me() -> str:
    """Return the name of this process in a ledger."""
    return f"{platform.node()}:{os.getpid()}"


class Ledger:
    """One ledger; it belongs to one thread.

    Raises:
        StoreError: the file cannot be opened, or is no ledger.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self._path = path
        self._owner = owner
        try:
            self._sql = sqlite3.connect(path, timeout=10, isolation_level=None)
            self._sql.execute("PRAGMA journal_mode = WAL")
            self._sql.execute("PRAGMA synchronous = NORMAL")
            self._sql.executescript(_TABLE)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from None

    def close(self) -> None:
        """Close the file; what is in it is complete without any other."""
        self._sql.close()

    def add(self, entries: Iterable[Entry]) -> int:
        """Want trials; return how many are new."""
        before = self._sql.total_changes
        with self._transaction():
            self._sql.executemany(
                "INSERT OR IGNORE INTO jobs (key, point, arm, seed) VALUES (?, ?, ?, ?)",
                ((e.key, e.point, e.arm, e.seed) for e in entries),
            )
        return self._sql.total_changes - before

    def take_over(self, now: float) -> None:
        """Free what nobody works on any more, and let failed trials be tried anew.

        Raises:
            StoreError: somebody else works on this campaign.
        """
        with self._transaction():
            rows = self._sql.execute(
                "SELECT worker, max(expires) FROM jobs WHERE state = 'leased' GROUP BY worker"
            )
            for worker, expires in list(rows):
                if worker != self._owner and expires > now and _lives(worker):
                    raise StoreError(
                        f"{self._path}: {worker} works on it; end that first, or wait "
                        f"{expires - now:.0f} s if that machine is gone"
                    )
            self._sql.execute(
                "UPDATE jobs SET state = 'pending', worker = '', tries = 0, error = '' "
                "WHERE state IN ('leased', 'failed')"
            )

    def turn(self, ended: Sequence[Ended], wanted: int, now: float) -> list[Entry]:
        """Write down how trials ended and lease at most ``wanted`` more, in one transaction."""
        with self._transaction():
            for one in ended:
                self._settle(one)
            rows = self._sql.execute(
                "SELECT number, key, point, arm, seed FROM jobs WHERE state = 'pending' "
                "ORDER BY number LIMIT ?",
                (wanted,),
            ).fetchall()
            self._sql.executemany(
                "UPDATE jobs SET state = 'leased', worker = ?, expires = ? WHERE number = ?",
                ((self._owner, now + LEASE, row[0]) for row in rows),
            )
        return [Entry(*row[1:]) for row in rows]

    def renew(self, now: float) -> None:
        """Say that this process is still at work."""
        with self._transaction():
            self._sql.execute(
                "UPDATE jobs SET expires = ? WHERE state = 'leased' AND worker = ?",
                (now + LEASE, self._owner),
            )

    def release(self) -> None:
        """Give back what this process leased."""
        with self._transaction():
            self._sql.execute(
                "UPDATE jobs SET state = 'pending', worker = '' "
                "WHERE state = 'leased' AND worker = ?",
                (self._owner,),
            )

    def counts(self) -> Counts:
        """Return how many trials are in which state."""
        found = dict(self._sql.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
        return Counts(*(found.get(s, 0) for s in ("pending", "leased", "done", "failed")))

    def seeds(self, point: int) -> int:
        """Return how many seeds are wanted at a point."""
        sql = "SELECT count(DISTINCT seed) FROM jobs WHERE point = ?"
        return int(self._sql.execute(sql, (point,)).fetchone()[0])

    def results(self, point: int | None = None) -> Iterator[Done]:
        """Yield what was measured, by point, seed and arm; at one point, or at all."""
        where = "" if point is None else "AND point = :point"
        rows = self._sql.execute(
            "SELECT key, point, arm, seed, result FROM jobs "
            f"WHERE state = 'done' {where} ORDER BY point, seed, arm",
            {"point": point},
        )
        for *entry, result in rows:
            yield Done(Entry(*entry), msgspec.json.decode(result, type=Measured))

    def failures(self) -> list[Failed]:
        """Return the trials that failed."""
        rows = self._sql.execute(
            "SELECT key, point, arm, seed, error, tries FROM jobs WHERE state = 'failed' "
            "ORDER BY number"
        )
        return [Failed(Entry(*row[:4]), row[4], row[5]) for row in rows]

    def _settle(self, one: Ended) -> None:
        if one.measured is not None:
            self._sql.execute(
                "UPDATE jobs SET state = 'done', worker = ?, tries = tries + 1, error = '', "
                "result = ? WHERE key = ? AND state != 'done'",
                (one.worker, msgspec.json.encode(one.measured), one.key),
            )
            return
        self._sql.execute(
            "UPDATE jobs SET tries = tries + 1, error = :error, worker = :worker, "
            "state = CASE WHEN :again AND tries + 1 < :most THEN 'pending' ELSE 'failed' END "
            "WHERE key = :key AND state != 'done'",
            {
                "key": one.key,
                "worker": one.worker,
                "error": one.error,
                "again": one.again,
                "most": TRIES_MAX,
            },
        )

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._sql, self._path)


class _Transaction:
    """All of it or nothing; SQLite's errors become ours."""

    def __init__(self, sql: sqlite3.Connection, path: Path) -> None:
        self._sql = sql
        self._path = path

    def __enter__(self) -> None:
        try:
            self._sql.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._sql.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"{self._path}: {error}") from None
            return
        self._sql.execute("COMMIT")


def _lives(worker: str) -> bool:
    """Return whether a process may still run; only those of this machine can be looked up."""
    host, _, pid = worker.rpartition(":")
    if host != platform.node() or not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
