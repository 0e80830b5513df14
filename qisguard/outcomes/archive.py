"""The archive: what a replica remembers of outcomes after newer versions have replaced them.

A replica holds the latest version of each case, so what a network said last year is gone. The
archive keeps its sums: one row for each day, issuer, treatment and similarity key.

- Rows of a day grow on that day and never change afterwards. A clock that goes back adds to the
  newest day.
- A case is counted on the day its first version arrives, and its outcome on the day that it is
  first settled: dead by the horizon or seen alive after it, or any value of another kind. What a
  later version says instead changes no sum; that there was one is counted.
- An author who unsettles a case and settles it again is counted twice, as if it had invented one.
- An issuer has so many rows a day, and the archive so many in all: oldest days go first, today
  never. What is refused is counted.
- Sums of different keys, days or issuers add up. Replicas of one key hold the same sums, so they
  are not added but compared: see ``agreed``.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass
from statistics import median
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qisguard.identity.roster import NONE, Roster
from qisguard.outcomes.packet import TIME_TO_EVENT, Body, OutcomePacket

Values: TypeAlias = Sequence[bytes | str | int | float | None]

SCHEMA = (
    "create table if not exists archive (day integer not null, issuer text not null,"
    " arm text not null, key blob not null, cases integer not null, known integer not null,"
    " total real not null, squares real not null, person_days integer not null,"
    " revised integer not null)",
    "create unique index if not exists archive_name on archive (key, day, issuer, arm)",
    "create index if not exists archive_day on archive (day)",
)
ADD = (
    "insert into archive values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " on conflict (key, day, issuer, arm) do update set cases = cases + excluded.cases,"
    " known = known + excluded.known, total = total + excluded.total,"
    " squares = squares + excluded.squares, person_days = person_days + excluded.person_days,"
    " revised = revised + excluded.revised"
)


class Tables(Protocol):
    """One SQLite file that is open: ``qisguard.store.sqlite_file.SqliteFile``."""

    def one(self, query: str, values: Values = ()) -> tuple[Any, ...] | None:
        """Return the first row, or None."""

    def all(self, query: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return every row."""

    def write(self, query: str, values: Values = ()) -> int:
        """Change rows and return how many."""


@dataclass(frozen=True, slots=True)
class Row:
    """Sums of one cell.

    Attributes:
        day: calendar day of arrival at the replica.
        issuer: organisation, or ``none``.
        arm: treatment code.
        key: similarity key.
        cases: cases whose first version arrived.
        known: cases whose outcome became known.
        total: sum of known outcomes: values, or 1 for each alive at the horizon and 0 for each
            dead.
        squares: sum of their squares.
        person_days: days of follow-up, each case up to the horizon; 0 for other kinds.
        revised: versions that changed an outcome already known.
    """

    day: int
    issuer: str
    arm: str
    key: bytes
    cases: int = 0
    known: int = 0
    total: float = 0.0
    squares: float = 0.0
    person_days: int = 0
    revised: int = 0

    @property
    def cell(self) -> tuple[int, str, str, bytes]:
        """Return what the row is about."""
        return self.day, self.issuer, self.arm, self.key

    @property
    def deaths(self) -> float:
        """Return deaths by the horizon: of a time to an event, the known who are not alive."""
        return self.known - self.total


@dataclass(frozen=True, slots=True)
class Past:
    """Columns of the r archived rows about one question, by day, merged over its keys.

    ``arm`` (r,) is 0 or 1, ``issuer`` (r,) indexes ``issuers``; the others are those of ``Row``.
    """

    issuers: tuple[str, ...]
    day: NDArray[np.int64]
    issuer: NDArray[np.int64]
    arm: NDArray[np.int64]
    known: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Iterable[Row], arms: tuple[str, str]) -> "Past":
        """Return the rows of two treatments, the same for any order of rows."""
        cells: dict[tuple[int, str, int], list[Row]] = {}
        for row in rows:
            if row.arm in arms and row.known:
                cells.setdefault((row.day, row.issuer, arms.index(row.arm)), []).append(row)
        names = sorted(cells)
        issuers = tuple(sorted({issuer for _, issuer, _ in names}))
        held = [sorted(cells[name], key=lambda row: row.key) for name in names]
        return cls(
            issuers,
            np.array([day for day, _, _ in names], np.int64),
            np.array([issuers.index(issuer) for _, issuer, _ in names], np.int64),
            np.array([arm for _, _, arm in names], np.int64),
            np.array([sum(row.known for row in rows) for rows in held], np.float64),
            np.array([sum(row.total for row in rows) for rows in held], np.float64),
            np.array([sum(row.squares for row in rows) for rows in held], np.float64),
        )

    def __len__(self) -> int:
        return len(self.day)


def settled(body: Body, horizon: int) -> float | None:
    """Return what a version says of its case, 1 for alive and 0 for dead by ``horizon``, or None.

    ``horizon`` is in days, and for times alone.
    """
    if body.kind != TIME_TO_EVENT:
        return body.value
    if body.time is None:
        return None
    if body.event and body.time <= horizon:
        return 0.0
    return 1.0 if body.time >= horizon else None


def merged(rows: Iterable[Row]) -> list[Row]:
    """Return rows with equal cells added up, in order; for rows that count different cases."""
    cells: dict[tuple[int, str, str, bytes], list[Row]] = {}
    for row in rows:
        cells.setdefault(row.cell, []).append(row)
    return [
        Row(*cell, *map(sum, zip(*(astuple(row)[4:] for row in cells[cell]), strict=True)))
        for cell in sorted(cells)
    ]


def agreed(replicas: Sequence[Iterable[Row]]) -> list[Row]:
    """Return the median over replicas of every sum of every cell: one key, held several times.

    A replica without a row says zero. Fewer than half of the replicas, lying together, keep each
    sum within what honest ones say.
    """
    held = [{row.cell: astuple(row)[4:] for row in rows} for rows in replicas]
    cells = sorted({cell for rows in held for cell in rows})
    nothing = (0,) * 6
    result = []
    for cell in cells:
        sums = zip(*(rows.get(cell, nothing) for rows in held), strict=True)
        cases, known, total, squares, days, revised = (median(column) for column in sums)
        row = Row(*cell, round(cases), round(known), total, squares, round(days), round(revised))
        if any(astuple(row)[4:]):
            result.append(row)
    return result


class Archive:
    """Daily sums in an open file, which the caller commits and closes.

    ``refused`` counts arrivals for which an issuer had no room left on a day.
    """

    def __init__(
        self, file: Tables, rows_max: int = 1_000_000, daily_rows_max: int = 1_024
    ) -> None:
        for name, value in (("rows_max", rows_max), ("daily_rows_max", daily_rows_max)):
            if value < 1:
                raise ValueError(f"{name} = {value}, must be at least 1")
        self._file = file
        self._rows_max = rows_max
        self._daily_max = daily_rows_max
        self.refused = 0
        for statement in SCHEMA:
            file.write(statement)
        (newest, rows) = file.one("select coalesce(max(day), -1), count(*) from archive") or (-1, 0)
        self._newest: int = newest
        self._rows: int = rows
        self._cells = {
            (issuer, arm, key)
            for issuer, arm, key in file.all(
                "select issuer, arm, key from archive where day = ?", (newest,)
            )
        }
        self._daily = Counter(issuer for issuer, _, _ in self._cells)

    def note(
        self,
        packet: OutcomePacket,
        held: OutcomePacket | None,
        roster: Roster,
        today: int,
        horizon: int,
    ) -> None:
        """Take one accepted version of a case; ``held`` is the version that it replaces, if any.

        Tombstones say nothing. ``horizon`` is the template's, in days.
        """
        body = packet.body
        if body.gone or (held is not None and held.body.gone):  # a case that returns was counted
            return
        before = held.body if held else None
        told, known = settled(body, horizon), before and settled(before, horizon)
        issuer = roster.by_author.get(packet.author)
        followed = min(body.time or 0, horizon) - min((before and before.time) or 0, horizon)
        value = told if known is None else None
        self._add(
            Row(
                day=today,
                issuer=issuer.name if issuer else NONE,
                arm=body.arm,
                key=packet.key,
                cases=int(held is None),
                known=int(value is not None),
                total=value or 0.0,
                squares=(value or 0.0) ** 2,
                person_days=max(0, followed),
                revised=int(known is not None and told != known),
            )
        )

    def rows(self, keys: Collection[bytes], first: int, last: int) -> list[Row]:
        """Return the rows of these keys on the days from ``first`` to ``last``, in order."""
        found = []
        for key in sorted(set(keys)):
            query = "select * from archive where key = ? and day between ? and ?"
            found += [Row(*values) for values in self._file.all(query, (key, first, last))]
        return sorted(found, key=lambda row: row.cell)

    def _add(self, row: Row) -> None:
        day = max(row.day, self._newest)
        if day > self._newest:
            self._newest = day
            self._cells.clear()
            self._daily.clear()
        name = (row.issuer, row.arm, row.key)
        if name not in self._cells:
            if self._daily[row.issuer] >= self._daily_max:
                self.refused += 1
                return
            self._make_room()
            self._cells.add(name)
            self._daily[row.issuer] += 1
            self._rows += 1
        self._file.write(ADD, (day, *name, *astuple(row)[4:]))

    def _make_room(self) -> None:
        """Forget the oldest day when the archive is full, unless it is today."""
        if self._rows < self._rows_max:
            return
        (oldest,) = self._file.one("select min(day) from archive") or (None,)
        if oldest is not None and oldest < self._newest:
            self._rows -= self._file.write("delete from archive where day = ?", (oldest,))
