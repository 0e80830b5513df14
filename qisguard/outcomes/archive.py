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
- Others read it by place, as they read packets: who asks names no key.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass
from statistics import median_low
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qisguard.identity.ids import placement, to_bytes
from qisguard.identity.roster import NONE, Roster
from qisguard.outcomes.packet import TIME_TO_EVENT, Body, OutcomePacket

Values: TypeAlias = Sequence[bytes | str | int | float | None]
Name: TypeAlias = tuple[int, str, str]
"""Day, issuer and arm of a row among those of one key: the order of pages."""

NAME_SIZE_MAX = 64
"""Bytes of an issuer's name and of an arm that the archive takes: rows have to fit messages."""

SCHEMA = (
    "create table if not exists archive (day integer not null, issuer text not null,"
    " arm text not null, key blob not null, cases integer not null, known integer not null,"
    " total real not null, squares real not null, person_days integer not null,"
    " revised integer not null)",
    "create unique index if not exists archive_name on archive (key, day, issuer, arm)",
    "create index if not exists archive_day on archive (day)",
    "create table if not exists archive_places (place blob not null, key blob not null)",
    "create unique index if not exists archive_places_name on archive_places (place)",
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
    """Return what replicas of a key agree on: medians of their running sums, day by day.

    A replica without a row says zero. What is compared is each sum from the first day on: replicas
    that hear of a case on either side of midnight differ on two days and agree from then on, while
    the median of each day alone would lose the case. Fewer than half of the replicas, lying
    together, keep every running sum within what honest ones say. Of two in the middle it is the
    lower: counts stay counts.
    """
    held = [{row.cell: astuple(row)[4:] for row in rows} for rows in replicas]
    days: dict[tuple[str, str, bytes], set[int]] = {}
    for rows in held:
        for day, issuer, arm, key in rows:
            days.setdefault((issuer, arm, key), set()).add(day)
    result = []
    for (issuer, arm, key), found in days.items():
        running = [[0.0] * 6 for _ in held]
        before: list[float] = [0.0] * 6
        for day in sorted(found):
            for sums, rows in zip(running, held, strict=True):
                for at, value in enumerate(rows.get((day, issuer, arm, key), ())):
                    sums[at] += value
            middle = [median_low(column) for column in zip(*running, strict=True)]
            cases, known, total, squares, followed, revised = (
                new - old for new, old in zip(middle, before, strict=True)
            )
            before = middle
            seen, told = round(cases), round(known)
            cell = day, issuer, arm, key
            row = Row(*cell, seen, told, total, squares, round(followed), round(revised))
            if any(astuple(row)[4:]):
                result.append(row)
    return sorted(result, key=lambda row: row.cell)


class Archive:
    """Daily sums in an open file, which the caller commits and closes.

    ``refused`` counts arrivals for which an issuer had no room left on a day, or whose names are
    longer than ``NAME_SIZE_MAX`` bytes. So a row takes less than 300 bytes of the file.
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

    @property
    def count(self) -> int:
        """Return how many rows there are."""
        return self._rows

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

    def page(self, place: bytes, first: int, step: int, after: Name, limit: int) -> list[Row]:
        """Return rows of the key at a place behind ``after``, in order, at most ``limit``.

        Each adds up ``step`` days, the first of which is its day; periods begin on day ``first``.
        The work is bounded by ``limit`` and by the rows of one period.
        """
        held = self._file.one("select key from archive_places where place = ?", (place,))
        if held is None:
            return []
        (key,) = held
        found: list[Row] = []
        day = max(first, after[0])
        while len(found) < limit:
            next_day = "select min(day) from archive where key = ? and day >= ?"
            (day,) = self._file.one(next_day, (key, day)) or (None,)
            if day is None:
                break
            period = day - (day - first) % step
            query = (
                "select issuer, arm, sum(cases), sum(known), sum(total), sum(squares),"
                " sum(person_days), sum(revised) from archive where key = ? and day between ? and ?"
                " group by issuer, arm order by issuer, arm"
            )
            for issuer, arm, *sums in self._file.all(query, (key, period, period + step - 1)):
                if (period, issuer, arm) > after:
                    found.append(Row(period, issuer, arm, key, *sums))
            day = period + step
        return found[:limit]

    def _add(self, row: Row) -> None:
        day = max(row.day, self._newest)
        if day > self._newest:
            self._newest = day
            self._cells.clear()
            self._daily.clear()
        name = (row.issuer, row.arm, row.key)
        if name not in self._cells:
            sizes = len(row.issuer.encode()), len(row.arm.encode())
            if self._daily[row.issuer] >= self._daily_max or max(sizes) > NAME_SIZE_MAX:
                self.refused += 1
                return
            self._make_room()
            self._file.write(
                "insert or ignore into archive_places values (?, ?)",
                (to_bytes(placement(row.key)), row.key),
            )
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
            self._file.write(
                "delete from archive_places where not exists"
                " (select 1 from archive where archive.key = archive_places.key)"
            )
