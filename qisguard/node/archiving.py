"""The archive between nodes: a page of sums for who asks, and what all replicas say to who reads.

What replicas say of the past cannot be verified, packets that were replaced are gone: it is for
``outcomes.annals.past_of`` to make of several words one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from qisguard.identity.ids import placement, to_bytes
from qisguard.node import messages
from qisguard.node.messages import ListSums, Refused, Sums, WireSums
from qisguard.node.operations import Operation, Outcome, Surroundings, page_through, replicas
from qisguard.node.reading import Retrieved
from qisguard.session.wire import PLAINTEXT_SIZE_MAX

if TYPE_CHECKING:
    from qisguard.outcomes.annals import Annals

ROOM = PLAINTEXT_SIZE_MAX - 16
NO_ARCHIVE = "no archive here"
ROWS_MAX = 16_384
"""Rows that a reader takes from one replica: years of weeks of a hundred issuers."""

Name = tuple[int, str, str]
_SIZE = msgspec.msgpack.Encoder()


@dataclass(slots=True)
class Archived:
    """What the replicas of one key say of its past, those that told it to the end."""

    key: bytes
    replicas: list[list[WireSums]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    replicas_asked: int = 0
    replicas_answered: int = 0
    flags: Sequence[str] = ()


def answer(annals: "Annals | None", request: ListSums) -> Sums | Refused:
    """Return as many rows as fit one datagram."""
    if annals is None:
        return Refused(request.number, NO_ARCHIVE)
    after = request.day, request.issuer, request.arm
    limit = messages.SUMS_MAX
    page = annals.page(request.place, request.first, request.step, after, limit + 1)
    rows: list[WireSums] = []
    room = ROOM
    for sums, _ in page[:limit]:
        room -= len(_SIZE.encode(sums))
        if room < 0:
            break
        rows.append(sums)
    return Sums(request.number, rows, len(rows) < len(page))


def learn(annals: "Annals | None", value: object, day: int) -> None:
    """Let a node judge what it fetched by what others published of the same cases later."""
    if annals is not None and isinstance(value, Retrieved):
        annals.fetched(value.packets.values(), value.first_seen, day)


def archived(around: Surroundings, key: bytes, first: int, step: int) -> Operation[Archived]:
    """Return what every replica of a key has archived from day ``first`` on, ``step`` days a row.

    A page out of order, of other days or behind tomorrow ends what is read from that replica, and
    it has no say: half of a past would look like outcomes that nobody published.
    """
    place = placement(key)
    name = to_bytes(place)
    result = Archived(key)
    targets, result.flags = yield from replicas(around, place)
    told: dict[int, list[WireSums]] = {contact.id: [] for contact in targets}
    last = around.today + 1

    def read(sender: int, after: bytes, reply: Outcome) -> bytes | None:
        if isinstance(reply, Refused):
            result.refused[reply.reason] += 1
        if not isinstance(reply, Sums):
            return None
        cursor = _cursor(after)
        for row in reply.rows:
            if row[:3] <= cursor or not first <= row[0] <= last or (row[0] - first) % step:
                result.refused["disordered sums"] += 1
                return None
            cursor = row[:3]
        told[sender] += reply.rows
        if len(told[sender]) > ROWS_MAX or (reply.more and not reply.rows):
            result.refused["more sums than a past has"] += 1
            return None
        if reply.more:
            return _packed(cursor)
        result.replicas.append(told[sender])
        return b""

    result.replicas_asked = len(targets)
    result.replicas_answered = yield from page_through(
        targets, lambda after: ListSums(0, name, first, step, *_cursor(after)), read
    )
    return result


def _packed(cursor: Name) -> bytes:
    """Return a cursor as ``page_through`` carries it."""
    return msgspec.msgpack.encode(cursor)


def _cursor(packed: bytes) -> Name:
    return msgspec.msgpack.decode(packed, type=Name) if packed else (0, "", "")
