"""What an author key has signed: the one place where sequence numbers come from.

Two packets of one case with one number and different words are *equivocation*: evidence against the
author that never goes away. So the rules are:

- A number is taken, and the packet signed with it is written down durably, *before* any byte of it
  leaves. After a crash at any moment the same words are sent again as the same bytes, and other
  words get the next number.
- Without a casebook (a new key, or a lost file) the network is asked first: what it holds of this
  author is written down before anything new is signed. If nobody answers, nothing is signed.
- A case that moved to another key gets a tombstone at the old one.

The casebook lies beside the author key, because both must be kept, and kept in one place only. A
copy of the key on a second machine, or an old backup of the casebook, can equivocate: nothing here
can know of the other.
"""

import hmac
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from qisguard.errors import StoreError
from qisguard.identity.keys import KeyPair
from qisguard.outcomes.packet import (
    CASE_SIZE,
    Body,
    OutcomePacket,
    open_packet,
    packet_body,
    sign_packet,
)
from qisguard.outcomes.template import Template
from qisguard.service.cases import Case

SUFFIX = ".casebook"
PSEUDONYM_TAG = b"qisguard/case-pseudonym/v1\n"
SEED_SIZE = 32
LIFETIME_DAYS = 3_650
"""Outcomes stay in the network for ten years."""
WAIT = 10.0
"""Seconds that one command waits for another with the same key."""

_SCHEMA = """
create table if not exists signed (
  network blob not null, name blob not null, data blob not null, tombstone blob,
  stored integer not null,
  primary key (network, name)) without rowid;
"""


def pseudonym(author: KeyPair, template: str, case: str) -> bytes:
    """Return the 16 bytes that stand for a case of one author in one template.

    HMAC-SHA256 under a key derived from the author's secret: the same every time, and without the
    key nobody finds the case's name by trying, or the same case in another template.
    """
    key = hmac.digest(author.secret[:SEED_SIZE], PSEUDONYM_TAG, "sha256")
    return hmac.digest(key, f"{template}\0{case}".encode(), "sha256")[:CASE_SIZE]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The packet of one line's case: ``is_new`` when signed just now.

    ``is_stored`` when every replica acknowledged it before: it need not be sent again, its node
    publishes it anew by itself.
    """

    line: int
    packet: OutcomePacket
    is_new: bool
    is_stored: bool = False


class Casebook:
    """The casebook of one author key in one network. Use as a context manager."""

    def __init__(self, key_file: Path, author: KeyPair, network: bytes) -> None:
        """Open the casebook beside a key file, made with mode 0600 if need be."""
        self.path = key_file.with_name(key_file.name + SUFFIX)
        self._author = author
        self._network = network
        with self._explained():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            self._db = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
            self._db.execute("pragma synchronous = full")
            self._db.executescript(_SCHEMA)

    def __enter__(self) -> "Casebook":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was signed for this network, as far as is known here."""
        with self._explained():
            query = "select 1 from signed where network = ? limit 1"
            return self._db.execute(query, (self._network,)).fetchone() is None

    def adopt(self, packets: Iterable[OutcomePacket]) -> int:
        """Write down what the network holds of this author; return how many packets that are."""
        count = 0
        with self._transaction():
            for packet in packets:
                if packet.author != self._author.public or packet.network != self._network:
                    continue
                held = self._held(packet.case)
                if held is None or held.body.seq < packet.body.seq:
                    self._write(packet, None, stored=True)
                count += 1
        return count

    def prepare(self, cases: Sequence[Case], template: Template, today: int) -> list[Prepared]:
        """Return the packets to send, every new one signed and durably written down."""
        with self._transaction():
            return [row for case in cases for row in self._prepare(case, template, today)]

    def mark_stored(self, packets: Sequence[OutcomePacket]) -> None:
        """Write down which cases every replica acknowledged, tombstones included."""
        sent = {packet.data for packet in packets}
        with self._transaction():
            for name in sorted({packet.case for packet in packets}):
                held, tombstone = self._held(name), self._tombstone(name)
                if held and held.data in sent and (not tombstone or tombstone.data in sent):
                    self._db.execute(
                        "update signed set stored = 1 where network = ? and name = ?",
                        (self._network, name),
                    )

    def _prepare(self, case: Case, template: Template, today: int) -> list[Prepared]:
        name = pseudonym(self._author, template.name, case.name)
        held, tombstone = self._held(name), self._tombstone(name)
        new = self._body(case, template, name, held.body.seq + 1 if held else 1, today)
        if held and _words(held.body) == _words(new) and held.body.exp >= today:
            is_stored = self._row(name, "stored") == (1,)
            again = [held, tombstone] if tombstone else [held]
            return [Prepared(case.line, packet, False, is_stored) for packet in again]
        made: list[Prepared] = []
        if held and held.key != case.key and not held.body.gone:
            body = _bury(held.body, today)
            tombstone = sign_packet(body, self._author)
            made.append(Prepared(case.line, tombstone, True))
            new = msgspec.structs.replace(new, seq=body.seq + 1)
        packet = sign_packet(new, self._author)
        self._write(packet, tombstone)
        return [Prepared(case.line, packet, True), *made]

    def _body(self, case: Case, template: Template, name: bytes, seq: int, today: int) -> Body:
        return packet_body(
            network=self._network,
            template=template.id,
            key=case.key,
            case=name,
            author=self._author.public,
            seq=seq,
            day=today,
            exp=today + LIFETIME_DAYS,
            arm=case.arm,
            outcome=case.outcome,
            feat=case.feat,
        )

    def _held(self, name: bytes) -> OutcomePacket | None:
        row = self._row(name, "data")
        return open_packet(row[0]) if row else None

    def _tombstone(self, name: bytes) -> OutcomePacket | None:
        """Return what was left where the case was last, in case nobody heard it yet."""
        row = self._row(name, "tombstone")
        return open_packet(row[0]) if row and row[0] else None

    def _row(self, name: bytes, column: str) -> tuple[Any, ...] | None:
        query = f"select {column} from signed where network = ? and name = ?"
        row: tuple[Any, ...] | None = self._db.execute(query, (self._network, name)).fetchone()
        return row

    def _write(
        self, packet: OutcomePacket, tombstone: OutcomePacket | None, *, stored: bool = False
    ) -> None:
        buried = tombstone.data if tombstone else None
        self._db.execute(
            "insert or replace into signed values (?, ?, ?, ?, ?)",
            (self._network, packet.case, packet.data, buried, stored),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"casebook {self.path}: {error.strerror}") from None
        except sqlite3.Error as error:
            raise StoreError(f"casebook {self.path}: {error}") from None


def _words(body: Body) -> Body:
    """Return what a packet says: everything but its number and its days."""
    return msgspec.structs.replace(body, seq=0, day=0, exp=0)


def _bury(old: Body, today: int) -> Body:
    """Return the tombstone of a case at the key that it left."""
    return msgspec.structs.replace(
        old,
        seq=old.seq + 1,
        day=today,
        exp=max(old.exp, today),
        gone=True,
        arm="",
        kind="",
        value=None,
        time=None,
        event=None,
        feat={},
    )
