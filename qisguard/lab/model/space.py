"""The id space as one sorted array: subtrees are ranges, the nearest ids lie in a few of them.

Letters in shapes: n nodes, a adversaries, k bucket size, q look-ups, d disjoint paths, t trials.
Positions are places in the sorted ids; depths count leading bits. Distance is XOR.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qisguard.lab.model.compiled import compiled

Ids = NDArray[np.uint64]
Positions = NDArray[np.int32]
Flags = NDArray[np.bool_]
Counts = NDArray[np.int16]
Totals = NDArray[np.int32]
Places = NDArray[np.int64]

ONE = np.uint64(1)


class Arrays(NamedTuple):
    """A network as compiled code takes it; see ``Network`` for the fields."""

    ids: Ids
    first: Places
    bits: int
    adversary: Flags
    colluders: Positions
    colluder_ids: Ids
    seed: np.uint64
    k: int
    siblings: int


@compiled
def shared_bits(one: np.uint64, other: np.uint64) -> int:
    """Return how many leading bits two ids share, 0 to 64."""
    differs = one ^ other
    if differs == np.uint64(0):
        return 64
    count = 0
    for step in (32, 16, 8, 4, 2, 1):
        if differs >> np.uint64(64 - step) == np.uint64(0):
            count += step
            differs <<= np.uint64(step)
    return count


@compiled
def lower_bound(ids: Ids, low: int, high: int, value: np.uint64) -> int:
    """Return the first position in [low, high] whose id is not below ``value``."""
    while low < high:
        middle = (low + high) >> 1
        if ids[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def subtree(net: Arrays, inside: np.uint64, depth: int) -> tuple[int, int]:
    """Return the range of positions of the ids that share ``depth`` leading bits with an id."""
    if depth == 0:
        return 0, net.ids.size
    prefix = inside >> np.uint64(64 - depth)
    if depth <= net.bits:
        step = np.uint64(net.bits - depth)
        return net.first[prefix << step], net.first[(prefix + ONE) << step]
    cell = inside >> np.uint64(64 - net.bits)
    low, high = net.first[cell], net.first[cell + ONE]
    least = prefix << np.uint64(64 - depth)
    low = lower_bound(net.ids, low, high, least)
    beyond = least + (ONE << np.uint64(64 - depth))
    if beyond != np.uint64(0):  # zero: the last subtree, which ends where its cell ends
        high = lower_bound(net.ids, low, high, beyond)
    return low, high


@compiled
def around(net: Arrays, target: np.uint64, count: int) -> tuple[int, int, int]:
    """Return range and depth of a small subtree around a target with at least ``count`` ids."""
    depth, expected = net.bits, 1
    while expected < count and depth > 0:
        expected <<= 1
        depth -= 1
    low, high = subtree(net, target, depth)
    while high - low < count and depth > 0:
        depth -= 1
        low, high = subtree(net, target, depth)
    return low, high, depth


@compiled
def nearest(
    ids: Ids, low: int, high: int, depth: int, target: np.uint64, count: int, out: Positions
) -> tuple[int, int]:
    """Write the positions of the ``count`` ids of a range nearest to a target, in any order.

    All ids of the range share ``depth`` leading bits. Return how many were written, and the
    position of the farthest of them.
    """
    size, last = 0, low
    bit = 63 - depth
    while low < high and count > 0:
        if high - low == 1:
            out[size] = last = low
            return size + 1, last
        middle = lower_bound(ids, low, high, (ids[low] >> np.uint64(bit) | ONE) << np.uint64(bit))
        wants_upper = (target >> np.uint64(bit)) & ONE == ONE
        near_low, near_high = (middle, high) if wants_upper else (low, middle)
        far_low, far_high = (low, middle) if wants_upper else (middle, high)
        if near_high - near_low >= count or far_low == far_high:
            low, high = near_low, near_high
        else:
            for position in range(near_low, near_high):
                out[size] = position
                size += 1
            count -= near_high - near_low
            low, high = far_low, far_high
        bit -= 1
    return size, last
