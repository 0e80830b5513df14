"""Numbers for groups and for what has a cap, and the counts that are worth keeping in memory."""

from collections.abc import Iterable
from enum import IntEnum

from qisguard.store.shares import Shares
from qisguard.store.sqlite_file import SqliteFile

SCOPES_MAX = 4_096
"""Scopes whose numbers and counts are kept in memory; others are counted again when asked for."""


class Kind(IntEnum):
    """What a scope bounds."""

    RECORDS = 0
    INDEX = 1
    PACKETS = 2


class Groups:
    """Group names and their numbers in the file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._names: dict[int, str] = dict(file.all("select id, name from groups"))
        self._numbers = {name: number for number, name in self._names.items()}

    def number(self, name: str) -> int:
        """Return the number of a group, a new one when it has none."""
        number = self._numbers.get(name)
        if number is None:
            number = self._file.insert("insert into groups (name) values (?)", (name,))
            self._numbers[name], self._names[number] = number, name
        return number

    def known(self, name: str) -> int:
        """Return the number of a group, 0 when it has none."""
        return self._numbers.get(name, 0)

    def name(self, number: int) -> str:
        """Return the name of a group."""
        name = self._names.get(number)
        if name is None:
            raise self._file.damaged(f"group {number} is missing")
        return name

    def forget_unused(self, *used: Shares) -> None:
        """Forget every group that nobody counts."""
        for name in [n for n in self._numbers if not any(shares.of(n) for shares in used)]:
            number = self._numbers.pop(name)
            del self._names[number]
            self._file.write("delete from groups where id = ?", (number,))


class Scope:
    """One place or prefix; ``shares`` is None until it is asked for."""

    __slots__ = ("number", "shares")

    def __init__(self, number: int) -> None:
        self.number = number
        self.shares: Shares | None = None


class Scopes:
    """Places and prefixes by name, the latest used in memory.

    ``count`` is a query for (group number, count) of a scope that reads indexes only.
    """

    def __init__(self, file: SqliteFile, groups: Groups, table: str, count: str) -> None:
        self._file = file
        self._groups = groups
        self._table = table
        self._count = count
        self._by_name: dict[tuple[Kind, bytes], Scope] = {}
        self._by_number: dict[int, Scope] = {}

    def find(self, kind: Kind, name: bytes) -> Scope | None:
        """Return a scope that holds something, or None."""
        scope = self._by_name.pop((kind, name), None)
        if scope is None:
            row = self._file.one("select id from scopes where kind = ? and name = ?", (kind, name))
            if row is None:
                return None
            scope = self._remember(Scope(row[0]))
        self._by_name[kind, name] = scope  # the latest used is last
        return scope

    def make(self, kind: Kind, name: bytes) -> Scope:
        """Return a new scope."""
        number = self._file.insert("insert into scopes (kind, name) values (?, ?)", (kind, name))
        scope = self._by_name[kind, name] = self._remember(Scope(number))
        scope.shares = Shares()
        return scope

    def shares(self, scope: Scope) -> Shares:
        """Return who has how much of a scope."""
        if scope.shares is None:
            rows = self._file.all(self._count, (scope.number,))
            scope.shares = Shares({self._groups.name(group): count for group, count in rows})
        return scope.shares

    def counted(self, number: int) -> Shares | None:
        """Return the counts of a scope where they are in memory and have to be kept right."""
        scope = self._by_number.get(number)
        return scope.shares if scope else None

    def forget_empty(self, numbers: Iterable[int]) -> None:
        """Forget those of these scopes that nothing is left of."""
        for number in numbers:
            row = self._file.one(f"select 1 from {self._table} where scope = ? limit 1", (number,))
            if row is None:
                found = self._file.one("select kind, name from scopes where id = ?", (number,))
                if found:
                    self._by_name.pop((Kind(found[0]), found[1]), None)
                self._by_number.pop(number, None)
                self._file.write("delete from scopes where id = ?", (number,))

    def _remember(self, scope: Scope) -> Scope:
        if len(self._by_name) >= SCOPES_MAX:
            oldest = self._by_name.pop(next(iter(self._by_name)))
            del self._by_number[oldest.number]
        self._by_number[scope.number] = scope
        return scope
