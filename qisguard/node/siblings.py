"""The sibling list: the ids nearest to our own, whatever buckets have room for (S/Kademlia, 4.2).

A bucket holds k of its range however many live in it, so in an unbalanced tree a node would not
know all of its neighbours, and with them not all replicas of the keys around it. The list holds
the nearest that the table was offered, of every range; the farthest makes room.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from qisguard.identity.ids import ID_BITS, NodeId


class SiblingList:
    """At most ``size_max`` ids, in the order of their distance to ``own``.

    ``changes`` counts who entered and who left, from the first day on.
    """

    def __init__(self, own: NodeId, size_max: int) -> None:
        self._own = own
        self._size_max = size_max
        self._distances: list[int] = []  # ascending
        self._entered: set[NodeId] = set()
        self.changes = 0

    def __len__(self) -> int:
        return len(self._distances)

    def __iter__(self) -> Iterator[NodeId]:
        return (NodeId(distance ^ self._own) for distance in self._distances)

    def __contains__(self, identifier: NodeId) -> bool:
        index = bisect_left(self._distances, identifier ^ self._own)
        return self._distances[index : index + 1] == [identifier ^ self._own]

    @property
    def is_full(self) -> bool:
        """Return whether a new id needs the place of another."""
        return len(self._distances) >= self._size_max

    def has_place(self, identifier: NodeId) -> bool:
        """Return whether an id that is not in the list is near enough to enter."""
        return not self.is_full or identifier ^ self._own < self._distances[-1]

    def add(self, identifier: NodeId) -> NodeId | None:
        """Enter an id for which there ``has_place``; return the farthest if it had to go."""
        farthest = NodeId(self._distances.pop() ^ self._own) if self.is_full else None
        insort(self._distances, identifier ^ self._own)
        self._entered.add(identifier)
        self.changes += 1 if farthest is None else 2
        if farthest is not None:
            self._entered.discard(farthest)
        return farthest

    def discard(self, identifier: NodeId) -> None:
        """Remove an id if it is in the list."""
        if identifier in self:
            del self._distances[bisect_left(self._distances, identifier ^ self._own)]
            self._entered.discard(identifier)
            self.changes += 1

    def take_entered(self) -> list[NodeId]:
        """Return the ids that entered since the last call and are still there, nearest first."""
        entered, self._entered = self._entered, set()
        return sorted(entered, key=lambda identifier: identifier ^ self._own)

    def population(self, count: int) -> float:
        """Return how many other nodes there are, estimated from how dense the nearest ones lie.

        The m-th smallest of n uniform distances lies at a share d of all ids that is
        Beta(m, n + 1 - m) distributed, so (m - 1) / d is an unbiased estimate of n, with a relative
        error of 1 / sqrt(m - 2) where n is large: order statistics of the uniform distribution
        (David and Nagaraja, 2003, section 2.3); as an estimate of network size, the interval
        density of Kostoulas et al., NCA 2005.

        m is ``count`` or the length of the list, if less. Use no more than a look-up of our own id
        brings: farther out the list has gaps, and each makes the estimate too low. Identities that
        were placed near us make it too high.
        """
        if not self._distances:
            return 0.0
        m = min(count, len(self._distances))
        return (m - 1) * ((1 << ID_BITS) / self._distances[m - 1])
