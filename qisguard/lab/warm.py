"""A warm start: routing tables filled from what everybody knows, without a single datagram.

Joining costs a network of n nodes some n * k handshakes, most of the time that a simulation of
thousands of nodes would take. Here every table is filled as joins would fill it in the long run:
each bucket with a random sample of the ids that belong there, and with the nearest of all nodes.
Sessions are not invented: the first request to a contact opens one, and pays for it. What is
measured after a warm start says nothing about joining, and has to say that the start was warm.
"""

import random
from bisect import bisect_left
from collections.abc import Sequence

from qisguard.identity.ids import ID_BITS, NodeId
from qisguard.node.node import Node
from qisguard.node.routing import Contact


def warm_start(
    nodes: Sequence[Node], rng: random.Random, now: float, only: Sequence[Node] | None = None
) -> int:
    """Fill the tables of ``nodes`` (or of ``only`` some) with each other; return the entries made.

    The rules of admission hold: what a table refuses is not in it, and not counted.
    """
    contacts = sorted((node.me for node in nodes), key=lambda contact: contact.id)
    ids = [contact.id for contact in contacts]
    taken = 0
    for node in nodes if only is None else only:
        chosen = _choose(contacts, ids, node, rng)
        rng.shuffle(chosen)
        taken += sum(node.table.heard_from(contact, now) is None for contact in chosen)
    return taken


def _choose(
    contacts: Sequence[Contact], ids: Sequence[NodeId], node: Node, rng: random.Random
) -> list[Contact]:
    """Return k of each bucket's range, drawn evenly, and the nearest of all."""
    own, config = node.me.id, node.config
    wanted = config.siblings * config.sibling_factor
    chosen: dict[NodeId, Contact] = {}
    low, high = 0, len(contacts)
    ranges: list[Sequence[Contact]] = []
    for bits in range(ID_BITS):
        if high - low <= 1:
            break
        half = ID_BITS - bits - 1
        middle = bisect_left(ids, (own >> half | 1) << half, low, high)
        if own >> half & 1:
            ranges.append(range_of := contacts[low:middle])
            low = middle
        else:
            ranges.append(range_of := contacts[middle:high])
            high = middle
        for contact in rng.sample(range_of, min(config.k, len(range_of))):
            chosen[contact.id] = contact
    near: list[Contact] = []
    for range_of in reversed(ranges):  # a deeper range is nearer, whole
        if len(near) >= wanted:
            break
        near += sorted(range_of, key=lambda contact: contact.id ^ own)
    chosen.update((contact.id, contact) for contact in near[:wanted])
    return list(chosen.values())
