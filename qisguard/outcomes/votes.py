"""Votes: verified packets as columns, one row a packet, in an order that no peer can influence.

- The unit is the case of an author. ``current`` marks the latest version of each case; whether
  older versions may vote as well is for a defence to say.
- A tombstone or an expired packet has no row, and still supersedes what came before it.
- Age is never the packet's own claim: it counts from the issuer's enrolment, or, off the roster,
  from the first day on which somebody else attested a packet of that author.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.identity.keys import SIGNATURE_SIZE
from qisguard.identity.roster import NONE, Roster
from qisguard.outcomes.packet import TIME_TO_EVENT, OutcomePacket
from qisguard.plugins import Accepts


@dataclass(frozen=True, slots=True)
class Votes:
    """Columns of n votes.

    Attributes:
        kind: what was measured: ``binary``, ``numeric`` or ``time-to-event``.
        issuers: names that ``issuer`` indexes: the roster in its order, then ``none``.
        issuer: (n,) index of the issuer.
        author: (n,) index of the author key, in the order of the keys.
        case: (n,) index of the (author, case) pair, ascending.
        arm: (n,) 0 or 1, the place of the treatment in the pair that is compared.
        value: (n,) 0 or 1, a number in the template's unit, or days to the event or to the end of
            observation.
        event: (n,) False where observation ended before anything happened; True for other kinds.
        day: (n,) calendar day that the packet claims to be of.
        age: (n,) days that the author has been known, never negative.
        enrolled: (n,) whether the author is on the roster.
        current: (n,) whether this is the latest version of its case.
    """

    kind: str
    issuers: tuple[str, ...]
    issuer: NDArray[np.int64]
    author: NDArray[np.int64]
    case: NDArray[np.int64]
    arm: NDArray[np.int64]
    value: NDArray[np.float64]
    event: NDArray[np.bool_]
    day: NDArray[np.int64]
    age: NDArray[np.float64]
    enrolled: NDArray[np.bool_]
    current: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.value)

    def where(self, mask: NDArray[np.bool_]) -> "Votes":
        """Return the rows of an (n,) mask."""
        return Votes(
            self.kind,
            self.issuers,
            self.issuer[mask],
            self.author[mask],
            self.case[mask],
            self.arm[mask],
            self.value[mask],
            self.event[mask],
            self.day[mask],
            self.age[mask],
            self.enrolled[mask],
            self.current[mask],
        )


@dataclass(frozen=True, slots=True)
class Collected:
    """The votes, and how many packets are not among them, by reason and issuer."""

    votes: Votes
    lost: dict[str, dict[str, int]]

    @property
    def dropped(self) -> dict[str, int]:
        """Return how many packets are not among the votes, by reason."""
        return {reason: sum(issuers.values()) for reason, issuers in self.lost.items()}


def collect(
    packets: Sequence[OutcomePacket],
    roster: Roster,
    arms: tuple[str, str],
    today: int,
    first_seen: Mapping[bytes, int],
    accepts: Sequence[Accepts] = (),
    kind: str = TIME_TO_EVENT,
) -> Collected:
    """Return verified packets as votes, the same for any order of ``packets``.

    Args:
        packets: signature already checked; copies of one body count once.
        roster: who belongs to which issuer, since when.
        arms: the two treatments that are compared; the first is arm 0.
        today: calendar day.
        first_seen: day on which somebody else first attested a packet, by packet digest.
        accepts: checks on each packet, in order; the first refusal wins and is counted.
        kind: the kind of outcome that is asked for.
    """
    lost: dict[str, Counter[str]] = {}

    def drop(reason: str, packet: OutcomePacket) -> None:
        issuer = roster.by_author.get(packet.author)
        lost.setdefault(reason, Counter())[issuer.name if issuer else NONE] += 1

    versions: dict[tuple[bytes, bytes, int, bytes], OutcomePacket] = {}
    known: dict[bytes, int] = {}
    for packet in packets:
        body = packet.data[:-SIGNATURE_SIZE]
        name = (packet.author, packet.case, packet.body.seq, body)
        if packet.author not in roster.by_author:
            seen = first_seen.get(packet.digest, today)
            known[packet.author] = min(seen, known.get(packet.author, today))
        other = versions.get(name)
        if other is not None:
            drop("copy", packet)  # one body fetched twice, or signed twice, is one packet
        if other is None or packet.data < other.data:
            versions[name] = packet

    latest: dict[tuple[bytes, bytes], OutcomePacket] = {}
    rows: list[OutcomePacket] = []
    for name in sorted(versions):
        packet = versions[name]
        held = latest.get(name[:2])
        reason = _refusal(packet, held, roster, today, accepts)
        if reason:
            drop(reason, packet)
            continue
        if held is None or packet.body.seq > held.body.seq:
            latest[name[:2]] = packet
        else:  # the same number on another body; the first in byte order stays the current one
            drop("equivocation", packet)
            continue
        reason = _silence(packet, arms, today, kind)
        if reason:
            drop(reason, packet)
        else:
            rows.append(packet)
    votes = _columns(kind, rows, latest, roster, arms, today, known)
    return Collected(votes, {reason: dict(issuers) for reason, issuers in lost.items()})


def _refusal(
    packet: OutcomePacket,
    held: OutcomePacket | None,
    roster: Roster,
    today: int,
    accepts: Sequence[Accepts],
) -> str | None:
    """Return why the packet has no effect at all."""
    if packet.network != roster.network:
        return "another network"
    for check in accepts:
        if refusal := check.accept(packet, held, today):
            return refusal.reason
    return None


def _silence(packet: OutcomePacket, arms: tuple[str, str], today: int, kind: str) -> str | None:
    """Return why an accepted packet says nothing about this question."""
    if packet.body.gone:
        return "tombstone"
    if packet.body.exp < today:
        return "expired"
    if packet.body.kind != kind:
        return "another kind of outcome"
    if packet.body.arm not in arms:
        return "another treatment"
    return None


def _columns(
    kind: str,
    rows: Sequence[OutcomePacket],
    latest: Mapping[tuple[bytes, bytes], OutcomePacket],
    roster: Roster,
    arms: tuple[str, str],
    today: int,
    known: Mapping[bytes, int],
) -> Votes:
    index = {issuer.name: place for place, issuer in enumerate(roster.issuers)}
    none = len(index)
    authors = {author: place for place, author in enumerate(sorted({p.author for p in rows}))}
    cases = {case: place for place, case in enumerate(sorted({(p.author, p.case) for p in rows}))}
    issuers = [roster.by_author.get(packet.author) for packet in rows]
    since = [
        issuer.enrolled if issuer else known[packet.author]
        for packet, issuer in zip(rows, issuers, strict=True)
    ]
    outcome = [p.body.time if kind == TIME_TO_EVENT else p.body.value for p in rows]
    ended = [kind == TIME_TO_EVENT and not p.body.event for p in rows]
    return Votes(
        kind=kind,
        issuers=(*index, NONE),
        issuer=np.array([index[i.name] if i else none for i in issuers], np.int64),
        author=np.array([authors[p.author] for p in rows], np.int64),
        case=np.array([cases[p.author, p.case] for p in rows], np.int64),
        arm=np.array([arms.index(p.body.arm) for p in rows], np.int64),
        value=np.array(outcome, np.float64),
        event=~np.array(ended, np.bool_),
        day=np.array([p.body.day for p in rows], np.int64),
        age=np.maximum(0.0, today - np.array(since, np.float64)),
        enrolled=np.array([issuer is not None for issuer in issuers], np.bool_),
        current=np.array([latest[p.author, p.case] is p for p in rows], np.bool_),
    )
