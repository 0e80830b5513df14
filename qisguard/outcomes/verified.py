"""Verified outcomes: a case that two issuers publish, and the later one agrees or does not.

- The same case under the same key, by an author of another issuer, whose outcome is settled: that
  issuer is the judge of those whom replicas saw before. Seen on one day, nobody judges.
- Two packets under one number convict their author; that convinces everybody.
- A judge judges a case of a subject once, and what it said first counts.
- Numbers are not judged: nothing says how far apart two measurements of one patient may be.
- What has been judged is remembered for ``cases_max`` cases, the oldest forgotten first: a case
  that is forgotten may be judged again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from statistics import median_low

from qisguard.identity.roster import NONE, Roster
from qisguard.outcomes.archive import Tables, settled
from qisguard.outcomes.packet import NUMERIC, OutcomePacket
from qisguard.outcomes.reputation import PROOF, Deed, Reputation

SCHEMA = (
    "create table if not exists verified (name blob not null, day integer not null)",
    "create unique index if not exists verified_name on verified (name)",
)
NAME_SIZE = 16
"""Bytes of a digest that name a judged case: two of them meet by chance once in 2^64."""


@dataclass(frozen=True, slots=True)
class _Word:
    """What one issuer says of a case, and since when."""

    since: int
    issuer: str
    arm: str
    outcome: float


class Verified:
    """Feeds ``reputation`` from packets, in an open file, which the caller commits and closes."""

    def __init__(
        self,
        file: Tables,
        reputation: Reputation,
        roster: Roster,
        horizons: Mapping[str, int],
        cases_max: int = 1_000_000,
    ) -> None:
        if cases_max < 1:
            raise ValueError(f"cases_max = {cases_max}, must be at least 1")
        self._file = file
        self._reputation = reputation
        self._roster = roster
        self._horizons = horizons
        self._cases_max = cases_max
        for statement in SCHEMA:
            file.write(statement)
        (count,) = file.one("select count(*) from verified") or (0,)
        self.count: int = count

    def note(
        self,
        packets: Iterable[OutcomePacket],
        first_seen: Mapping[bytes, Sequence[int]],
        today: int,
    ) -> None:
        """Judge earlier words by later ones; a packet that nobody has seen before is of today."""
        cases: dict[tuple[bytes, bytes], dict[bytes, OutcomePacket]] = {}
        for packet in packets:
            versions = cases.setdefault((packet.key, packet.case), {})
            held = versions.get(packet.author)
            if held is None or held.body.seq < packet.body.seq:
                versions[packet.author] = packet
        for name in sorted(case for case, authors in cases.items() if len(authors) > 1):
            words = [
                word
                for packet in cases[name].values()
                if (word := self._word(packet, first_seen, today))
            ]
            for judge in sorted(words, key=lambda word: (word.since, word.issuer)):
                for word in words:
                    if word.since < judge.since and word.issuer != judge.issuer:
                        agrees = (word.arm, word.outcome) == (judge.arm, judge.outcome)
                        deed = Deed.CONFIRMED if agrees else Deed.REFUTED
                        self._judge(b"".join(name), judge.issuer, word.issuer, deed, today)

    def convict(self, packet: OutcomePacket, today: int) -> None:
        """Note for its author that there are two packets of one number, once for each case."""
        name = packet.author + packet.case
        self._judge(name, PROOF, self._issuer(packet), Deed.EQUIVOCATED, today)

    def _issuer(self, packet: OutcomePacket) -> str:
        issuer = self._roster.by_author.get(packet.author)
        return issuer.name if issuer else NONE

    def _word(
        self, packet: OutcomePacket, first_seen: Mapping[bytes, Sequence[int]], today: int
    ) -> _Word | None:
        body = packet.body
        horizon = self._horizons.get(body.tpl)
        if body.gone or horizon is None or body.kind == NUMERIC:
            return None
        outcome = settled(body, horizon)
        if outcome is None:
            return None
        days = first_seen.get(packet.digest)
        return _Word(median_low(days) if days else today, self._issuer(packet), body.arm, outcome)

    def _judge(self, case: bytes, judge: str, subject: str, deed: Deed, today: int) -> None:
        if judge == NONE:
            return
        named = f"{judge}\0{subject}\0".encode() + case
        name = sha256(named).digest()[:NAME_SIZE]
        if not self._file.write("insert or ignore into verified values (?, ?)", (name, today)):
            return
        self.count += 1
        if self.count > self._cases_max:
            self.count -= self._file.write(
                "delete from verified where rowid = (select min(rowid) from verified)"
            )
        self._reputation.note(judge, subject, deed, today)
