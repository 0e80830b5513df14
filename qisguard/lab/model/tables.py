"""Routing tables that are computed instead of stored.

A node's bucket of depth b lies in one range of the sorted ids: those that share b leading bits with
the node and differ in the next. Whom the bucket holds is a function of the network's seed, the node
and the depth, so ten million nodes need no table. Buckets and their order are those of
``qisguard.node.routing``; the sibling list is complete.
"""

import numpy as np

from qisguard.lab.model.compiled import compiled
from qisguard.lab.model.space import ONE, Arrays, Positions, nearest, shared_bits, subtree

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@compiled
def mix(value: np.uint64) -> np.uint64:
    """Return 64 well mixed bits (the finaliser of SplitMix64; Steele et al., OOPSLA 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled
def bucket(net: Arrays, node: int, depth: int, out: Positions, size: int) -> int:
    """Append whom a node knows at ``depth``: a bucket of k, and siblings; return the new size.

    Members are a uniform sample without repetition (Floyd's; Bentley and Floyd, CACM 1987).
    """
    own = net.ids[node]
    low, high = subtree(net, own ^ (ONE << np.uint64(63 - depth)), depth + 1)
    width = high - low
    near_low, near_high = subtree(net, own, depth + 1)
    sibling_count = net.siblings - (near_high - near_low - 1)
    if width <= net.k or sibling_count >= width:
        for position in range(low, high):
            out[size] = position
            size += 1
        return size
    begin = size
    state = mix(net.seed ^ mix(own + np.uint64(depth)))
    for top in range(width - net.k, width):
        state += GOLDEN
        share = (mix(state) >> np.uint64(32)) * np.uint64(top + 1)
        place = low + np.int64(share >> np.uint64(32))
        taken = False
        for other in range(begin, size):
            taken |= out[other] == place
        out[size] = low + top if taken else place
        size += 1
    if sibling_count > 0:
        drawn = size
        added, _ = nearest(net.ids, low, high, depth + 1, own, sibling_count, out[drawn:])
        for index in range(drawn, drawn + added):
            repeated = False
            for other in range(begin, drawn):
                repeated |= out[other] == out[index]
            if not repeated:
                out[size] = out[index]
                size += 1
    return size


@compiled
def keep_nearest(
    net: Arrays, target: np.uint64, asker: int, begin: int, size: int, limit: int, out: Positions
) -> int:
    """Drop the asker from ``out[begin:size]`` and all but the nearest, so that ``limit`` remain."""
    for index in range(begin, size):
        if out[index] == asker:
            size -= 1
            out[index] = out[size]
            break
    if size <= limit:
        return size
    for index in range(begin, limit):
        best = index
        for other in range(index + 1, size):
            if net.ids[out[other]] ^ target < net.ids[out[best]] ^ target:
                best = other
        out[index], out[best] = out[best], out[index]
    return limit


@compiled
def known_nearest(
    net: Arrays, node: int, target: np.uint64, asker: int, count: int, out: Positions
) -> int:
    """Write the ``count`` contacts that a node knows nearest to a target, in any order.

    All of one bucket are nearer than all of the next: first the depths where the target differs
    from the node, ascending, then the others, descending (``RoutingTable.closest``). ``out`` has
    room for count + k + siblings. The asker is left out. Return how many there are.
    """
    own = net.ids[node]
    differs = own ^ target
    depth = shared_bits(own, target)
    size, leaf = 0, depth
    is_alone = depth == 64
    while not is_alone:
        if (differs >> np.uint64(63 - leaf)) & ONE == ONE:
            end = bucket(net, node, leaf, out, size)
            size = keep_nearest(net, target, asker, size, end, count, out)
            if size == count:
                return size
        leaf += 1
        low, high = subtree(net, own, leaf)
        is_alone = high - low <= 1
    for up in range(leaf - 1, -1, -1):
        if (differs >> np.uint64(63 - up)) & ONE == np.uint64(0):
            end = bucket(net, node, up, out, size)
            size = keep_nearest(net, target, asker, size, end, count, out)
            if size == count:
                return size
    return size
