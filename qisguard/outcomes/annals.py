"""Annals: what one node remembers over the years, the archive and the reputation of issuers.

- The archive takes packets that this node took as a replica, after it verified them.
- Reputation takes what this node fetched: outcomes that somebody else confirmed or refuted later.
- Both lie in one open file, the store's where there is one: what acknowledges a packet makes the
  sums that it is part of durable too.
- Nobody else's word is taken for either.
"""

from collections.abc import Iterable, Mapping, Sequence

from qisguard.identity.roster import NONE, Roster
from qisguard.outcomes.archive import Archive, Name, Past, Row, Tables, agreed
from qisguard.outcomes.packet import OutcomePacket
from qisguard.outcomes.reputation import Reputation, Standings
from qisguard.outcomes.verified import Verified

Sums = tuple[int, str, str, int, int, float, float, int, int]
"""A row of the archive without its key, as it travels."""


class Annals:
    """See the module; ``horizons`` gives the horizon in days of every template that is archived.

    Packets of other templates are not archived; ``roster`` says who is which issuer.
    """

    def __init__(
        self,
        file: Tables,
        roster: Roster,
        horizons: Mapping[str, int],
        *,
        rows_max: int = 1_000_000,
        daily_rows_max: int = 1_024,
        pairs_max: int = 100_000,
    ) -> None:
        self._roster = roster
        self._horizons = horizons
        self._archive = Archive(file, rows_max, daily_rows_max)
        self._reputation = Reputation(file, pairs_max=pairs_max)
        self._verified = Verified(file, self._reputation, roster, horizons)

    def took(self, packet: OutcomePacket, held: OutcomePacket | None, today: int) -> None:
        """Archive a packet that was taken as a replica, in the place of ``held`` if any."""
        horizon = self._horizons.get(packet.body.tpl)
        if horizon is not None:
            self._archive.note(packet, held, self._roster, today, horizon)

    def fetched(
        self,
        packets: Iterable[OutcomePacket],
        first_seen: Mapping[bytes, Sequence[int]],
        today: int,
    ) -> None:
        """Judge what was read; ``first_seen`` are the days that replicas name, by digest."""
        self._verified.note(packets, first_seen, today)

    def convict(self, packet: OutcomePacket, today: int) -> None:
        """Note that the author of a packet signed another one of the same number before."""
        self._verified.convict(packet, today)

    def page(
        self, place: bytes, first: int, step: int, after: Name, limit: int
    ) -> list[tuple[Sums, Name]]:
        """Return rows of a place as they travel, and their names; see ``Archive.page``."""
        rows = self._archive.page(place, first, step, after, limit)
        return [(_sums(row), (row.day, row.issuer, row.arm)) for row in rows]

    def standings(self, today: int) -> Standings:
        """Return what every issuer turned out to be worth, today."""
        return self._reputation.standings(today)

    def counts(self) -> dict[str, int]:
        """Return how much is remembered, and what there was no room for or no right to say."""
        return {
            "archived rows": self._archive.count,
            "archive refused": self._archive.refused,
            "verified": self._verified.count,
            "evidence ignored": self._reputation.ignored,
        }


def past_of(
    replicas: Mapping[bytes, Sequence[Sequence[Sums]]], roster: Roster, arms: tuple[str, str]
) -> Past:
    """Return the past of a question from what replicas of each of its keys say.

    Rows of issuers that are on no roster of ours are left out: replicas cannot invent one.
    """
    known = {NONE, *(issuer.name for issuer in roster.issuers)}
    rows: list[Row] = []
    for key, told in replicas.items():
        rows += agreed([[_row(key, sums) for sums in held if sums[1] in known] for held in told])
    return Past.of(rows, arms)


def _sums(row: Row) -> Sums:
    return (
        row.day,
        row.issuer,
        row.arm,
        row.cases,
        row.known,
        row.total,
        row.squares,
        row.person_days,
        row.revised,
    )


def _row(key: bytes, sums: Sums) -> Row:
    day, issuer, arm, cases, known, total, squares, person_days, revised = sums
    return Row(day, issuer, arm, key, cases, known, total, squares, person_days, revised)
