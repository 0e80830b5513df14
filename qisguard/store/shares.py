"""Who makes room when something is full: the group that has most of it.

A *group* is an organisation, or a network for those who are on no roster. Whoever floods makes its
own group the largest one, so a flood pushes out itself. A newcomer is let in only where the
exchange leaves the shares more even than before: two groups of one size never push each other out
in turn, and those who came first stay.

What this does not stop: somebody who really holds addresses in as many networks as there is room.
"""

from collections.abc import Mapping
from heapq import heapify, heappop, heappush


class Shares:
    """How many things each group has within one bound; finding the largest is no scan.

    ``sizes`` holds no zeros. The heap keeps one entry for each change and is built when somebody
    asks for the first time: most bounds are never reached.
    """

    __slots__ = ("_heap", "sizes", "total")

    def __init__(self, sizes: Mapping[str, int] | None = None) -> None:
        self.sizes = dict(sizes or {})
        self.total = sum(self.sizes.values())
        self._heap: list[tuple[int, str]] | None = None

    def of(self, group: str) -> int:
        """Return how many a group has."""
        return self.sizes.get(group, 0)

    def add(self, group: str) -> None:
        """Count one more."""
        self._set(group, self.of(group) + 1)
        self.total += 1

    def remove(self, group: str, count: int = 1) -> None:
        """Count ``count`` fewer."""
        self._set(group, self.of(group) - count)
        self.total -= count

    def move(self, old: str, new: str) -> None:
        """Count one from now on for another group; nothing was added, so nothing is checked."""
        if old != new:
            self.remove(old)
            self.add(new)

    def loser(self, newcomer: str) -> str | None:
        """Return the group that makes room for one more of ``newcomer``, or None for nobody.

        The largest group loses, the first by name where several are. Nobody does where the
        newcomer's own group would be at least as large as the loser has been.
        """
        largest = self._largest()
        return largest if self.of(newcomer) + 1 < self.of(largest) else None

    def _largest(self) -> str:
        if self._heap is None or len(self._heap) > 4 * len(self.sizes) + 64:
            self._heap = [(-size, group) for group, size in self.sizes.items()]
            heapify(self._heap)
        while self.of(self._heap[0][1]) != -self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][1]

    def _set(self, group: str, size: int) -> None:
        if size:
            self.sizes[group] = size
            if self._heap is not None:
                heappush(self._heap, (-size, group))
        else:
            del self.sizes[group]
