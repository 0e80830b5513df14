"""How large the network is, as one node sees it: from the roster, from look-ups, from siblings.

A *survey* is seven look-ups with random targets, spread over the ids as evenly as chance would do
it at best: four in the half that is not ours, two in the quarter and one in the eighth beside us.
They are refreshes of the three widest ranges, which are due anyway; the newest seven count.

- Nobody can foresee their targets, so crowding round a node moves none of them, and crowding a
  whole range moves at most four, which takes as many identities as half of the network has.
- What others can choose is never counted: look-ups of our own id, of keys, of what users ask for.
- Until there are seven the siblings' density has to do, which identities placed near us inflate;
  ``source`` tells which of the two is believed.
- Who stands on the way of most look-ups, and has identities ready near any target, moves them.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from enum import StrEnum
from statistics import median

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId
from qisguard.identity.roster import Roster
from qisguard.node.routing import RoutingTable
from qisguard.node.size import estimate_size, radius

LOOKUPS = (4, 2, 1)
"""Look-ups that count, by the number of leading bits that their targets share with our id."""


class SizeSource(StrEnum):
    """Where a node has the size of the network from."""

    ROSTER = "roster"
    LOOKUPS = "look-ups"
    SIBLINGS = "siblings"


class Survey:
    """The size of the network around the node that ``table`` belongs to."""

    def __init__(self, config: NodeConfig, table: RoutingTable, roster: Roster | None) -> None:
        self._config = config
        self._table = table
        self._roster = roster
        self._sizes = [deque[float](maxlen=count) for count in LOOKUPS]
        self._taken = [0.0 for _ in LOOKUPS]

    @property
    def source(self) -> SizeSource:
        """Return what ``size`` rests on."""
        if self._roster is not None:
            return SizeSource.ROSTER
        is_complete = all(len(held) == held.maxlen for held in self._sizes)
        return SizeSource.LOOKUPS if is_complete else SizeSource.SIBLINGS

    def size(self) -> float:
        """Return the number of nodes that this node believes in, itself included."""
        match self.source:
            case SizeSource.ROSTER:
                return float(max(1, len(self._roster.by_node) if self._roster else 1))
            case SizeSource.LOOKUPS:
                return median(size for held in self._sizes for size in held)
            case SizeSource.SIBLINGS:
                return self._table.size()

    def status(self) -> dict[str, object]:
        """Return what an operator wants to see."""
        return {"network_size": round(self.size()), "network_size_from": self.source.value}

    def due(self, now: float) -> Iterator[int]:
        """Yield the ranges to look into, by their prefix; it goes on with what was taken since."""
        if self._roster is not None or not len(self._table):
            return
        for prefix, held in enumerate(self._sizes):
            missing = LOOKUPS[prefix] - len(held)
            is_old = now - self._taken[prefix] >= self._config.refresh_interval
            yield from (prefix for _ in range(missing or is_old))

    def take(self, prefix: int, target: NodeId, found: Sequence[NodeId], now: float) -> None:
        """Take what a look-up of a random id in one of our ranges found, this node among it.

        One that found fewer than it wanted found everybody; one that found nobody else says
        nothing.
        """
        if prefix >= len(LOOKUPS) or len(found) < 2:
            return
        k = self._config.k
        few = len(found) < k
        size = len(found) if few else estimate_size([radius(target, found, k)], k).size
        self._sizes[prefix].append(float(size))
        self._taken[prefix] = now
