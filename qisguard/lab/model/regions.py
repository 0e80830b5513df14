"""Who keeps a record, and what a reader finds when the ids closest to its key are the adversary's.

Sridhar et al., NDSS 2024: Sybil ids closest to a key take every place among its k closest nodes and
keep nothing. *Region store and read* goes to everybody within the key's expected k-radius instead.
Whoever stores or reads takes the nearest nodes that it sees, up to a number or a distance, so all
that is needed of a network are the nearest nodes of each key: one row for each trial.

Letters in shapes: t trials (keys), e Sybils of each, w nodes that a row has room for.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qisguard.errors import ScenarioError
from qisguard.lab.model.closest import closest_nodes
from qisguard.lab.model.network import Network
from qisguard.lab.model.space import Flags, Ids

SPACE = 2.0**64


class Rule(StrEnum):
    """Which of the nodes that are seen keep a record, or are read from."""

    CLOSEST = "closest"
    """The k closest."""
    SUBTREE = "subtree"
    """All in the subtree around the key where k to 2 k nodes are expected (our node, rule N-22)."""
    RADIUS = "radius"
    """All within the expected radius of k nodes, k / N of the id space (Sridhar et al.)."""


@dataclass(frozen=True, slots=True)
class Neighbourhoods:
    """The nodes nearest to t keys, nearest first.

    distance: (t, w) uint64, ascending.
    adversary: (t, w) bool; these drop what they should keep, and answer nothing.
    """

    distance: Ids
    adversary: Flags


def crowded(network: Network, keys: Ids, count: int, seed: int) -> Ids:
    """Return ``count`` ids for each key, nearer to it than every node of the network: (t, count).

    Raises:
        ScenarioError: there is no room for that many between a key and its closest node.
    """
    near = network.ids[closest_nodes(network.arrays, keys, 1, honest_only=False)[:, 0]] ^ keys
    if not keys.size or int(near.min()) <= count:
        raise ScenarioError(f"sybils = {count}, must fit between each key and its closest node")
    rng = np.random.Generator(np.random.PCG64(seed))
    step = near[:, None] // np.uint64(count)  # one in each step: all different
    offset = rng.integers(0, step, (keys.size, count), np.uint64)
    distance: Ids = np.arange(count, dtype=np.uint64) * step + offset
    return keys[:, None] ^ distance


def neighbourhoods(
    network: Network, keys: Ids, width: int, sybils: Ids | None = None
) -> Neighbourhoods:
    """Return the ``width`` nodes nearest to each key, and the key's own Sybils among them.

    keys: (t,) uint64; sybils: (t, e) uint64, ids that are there in the trial of their key only.
    Rows have width + e entries.
    """
    if not 1 <= width <= network.size:
        raise ScenarioError(f"width = {width}, must be 1 to the {network.size} nodes there are")
    nodes = closest_nodes(network.arrays, keys, width, honest_only=False)
    distance = network.ids[nodes] ^ keys[:, None]
    adversary = network.adversary[nodes]
    if sybils is None:
        return Neighbourhoods(distance, adversary)
    distance = np.concatenate([distance, sybils ^ keys[:, None]], axis=1)
    adversary = np.concatenate([adversary, np.ones(sybils.shape, np.bool_)], axis=1)
    order = np.argsort(distance, axis=1)
    return Neighbourhoods(
        np.take_along_axis(distance, order, 1), np.take_along_axis(adversary, order, 1)
    )


def estimated_sizes(nearby: Neighbourhoods, count: int) -> NDArray[np.float64]:
    """Return how many nodes the density of the ``count`` nearest suggests, (t,).

    The estimate of ``qisguard.node.siblings``: (m - 1) / d, with d the share of the id space up to
    the m-th nearest. Sybils beside a key make it too high.
    """
    return (count - 1) * SPACE / nearby.distance[:, count - 1].astype(np.float64)


def chosen(
    nearby: Neighbourhoods,
    rule: Rule,
    k: int,
    sizes: NDArray[np.float64],
    seen: Flags | None = None,
) -> Flags:
    """Return whom a writer or reader of each key chooses, (t, w), at least its k closest.

    sizes: (t,), how many nodes each of them believes there are.
    seen: (t, w), whom its look-up finds; all by default. A region ends where the row ends.
    """
    if seen is None:
        seen = np.ones(nearby.adversary.shape, np.bool_)
    closest = seen & (np.cumsum(seen, axis=1) <= k)
    if rule is Rule.CLOSEST:
        return closest
    radius = k / np.maximum(sizes, k)
    if rule is Rule.SUBTREE:
        radius = 2.0 ** -np.floor(-np.log2(radius))
    inside = nearby.distance.astype(np.float64) < radius[:, None] * SPACE
    return closest | (seen & inside)


def see(
    nearby: Neighbourhoods, honest_ratio: float, seed: int, *, adversary_ratio: float = 1.0
) -> Flags:
    """Return whom one look-up for each key finds, (t, w), each node with the given probability.

    The adversary sees to it that its own nodes are found, unless ``adversary_ratio`` says other.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    ratio = np.where(nearby.adversary, adversary_ratio, honest_ratio)
    return rng.random(nearby.adversary.shape) < ratio


def readable(nearby: Neighbourhoods, held: Flags, read: Flags) -> Flags:
    """Return whether some honest node that keeps the record is read from, (t,)."""
    found: Flags = np.any(held & read & ~nearby.adversary, axis=1)
    return found
