"""Rows in memory that expire, the bounds that they count in, and who goes first there."""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, TypeVar

from qisguard.store.shares import Shares


@dataclass(slots=True, eq=False)
class Row:
    """Something that expires and that a group pays for; ``number`` counts arrivals."""

    number: int
    group: str
    expires: int
    seq: int
    data: bytes
    is_held: bool


R = TypeVar("R", bound=Row)


class Bound(Generic[R]):
    """Something with a cap: who has how much of it, and which row of a group expires soonest.

    Each group has a heap of lower bounds, put right when they come first: a refresh that expires
    later costs nothing here. Rows that have gone leave their entries behind until there are too
    many of them.
    """

    def __init__(self) -> None:
        self.shares = Shares()
        self._heaps: dict[str, list[tuple[int, int, int, R]]] = {}
        self._pushed = 0

    def add(self, row: R) -> None:
        """Count a row, for its group."""
        self.shares.add(row.group)
        heap = self._heaps.setdefault(row.group, [])
        if len(heap) > 2 * self.shares.of(row.group) + 16:
            rows = {e[3].number: e[3] for e in heap if self._is_of(e[3], row.group)}
            heap[:] = [(r.expires, r.number, 0, r) for r in rows.values()]
            heapify(heap)
        self._pushed += 1
        heappush(heap, (row.expires, row.number, self._pushed, row))

    def remove(self, row: R) -> None:
        """Count a row no longer; its group must still be the one it was added with."""
        self.shares.remove(row.group)
        if not self.shares.of(row.group):
            del self._heaps[row.group]

    def first_to_go(self, newcomer: str) -> R | None:
        """Return the row that makes room for a newcomer of a group, or None for no row."""
        loser = self.shares.loser(newcomer)
        if loser is None:
            return None
        heap = self._heaps[loser]
        while True:
            due, number, pushed, row = heap[0]
            if not self._is_of(row, loser):
                heappop(heap)
            elif row.expires > due:
                heapreplace(heap, (row.expires, number, pushed, row))
            else:
                return row

    @staticmethod
    def _is_of(row: Row, group: str) -> bool:
        return row.is_held and row.group == group


def soonest(rows: Iterable[R]) -> R:
    """Return the row that expires first, the earlier one taken where several do."""
    return min(rows, key=lambda row: (row.expires, row.number))
