"""The truth that look-ups are measured against: which nodes are closest to a target."""

import numpy as np

from qisguard.lab.model.compiled import compiled
from qisguard.lab.model.space import Arrays, Ids, Places, Positions, around, nearest


@compiled
def write_closest(
    net: Arrays, targets: Ids, without: Places, honest_only: bool, out: Positions
) -> None:
    """Write the positions of the closest nodes to each target into ``out`` (q, count).

    Nearest first, -1 beyond the last; ``without`` (q,): a node to leave out for each target.
    """
    count = out.shape[1]
    distance = np.empty(count, np.uint64)
    buffer = np.empty(2 * count, np.int32)
    for q in range(targets.size):
        target = targets[q]
        wanted = count + 1
        size = -1
        while size < count:
            wanted = min(wanted, net.ids.size)
            if buffer.size < wanted:
                buffer = np.empty(wanted, np.int32)
            low, high, depth = around(net, target, wanted)
            taken, _ = nearest(net.ids, low, high, depth, target, wanted, buffer)
            size = 0
            for index in range(taken):
                node = buffer[index]
                if node == without[q] or (honest_only and net.adversary[node]):
                    continue
                far = net.ids[node] ^ target
                if size == count and far > distance[count - 1]:
                    continue
                place = min(size, count - 1)
                while place > 0 and distance[place - 1] > far:
                    distance[place] = distance[place - 1]
                    out[q, place] = out[q, place - 1]
                    place -= 1
                distance[place] = far
                out[q, place] = node
                size = min(size + 1, count)
            if wanted == net.ids.size:
                break
            wanted *= 2
        out[q, size:] = -1


def closest_nodes(
    net: Arrays, targets: Ids, count: int, *, without: Places | None = None, honest_only: bool
) -> Positions:
    """Return the positions of the ``count`` nodes closest to each target, nearest first.

    targets: (q,) uint64; without: (q,) int64, one node to leave out for each target.
    The result is (q, count) int32, -1 where there are no more nodes.
    """
    if without is None:
        without = np.full(targets.size, -1, np.int64)
    out = np.empty((targets.size, count), np.int32)
    write_closest(net, targets, without, honest_only, out)
    return out
