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
from qisguard.node.contact import Contact
from qisguard.node.node import Node


def warm_start(
    nodes: Sequence[Node], rng: random.Random, now: float, only: Sequence[Node] | None = None
) -> int:
    """Fill the tables of ``nodes`` (or ``only`` some) with each other; return how much they hold.

    The rules of admission hold: what a table refuses is not in it.
    """
    contacts = sorted((node.me for node in nodes), key=lambda contact: contact.id)
    ids = [contact.id for contact in contacts]
    filled = nodes if only is None else only
    for node in filled:
        chosen = _choose(contacts, ids, node, rng)
        rng.shuffle(chosen)
        for contact in chosen:
            node.table.heard_from(contact, now)
        node.table.take_new_siblings()  # nobody is new: there is nothing to hand over to them
    return sum(len(node.table) for node in filled)


def survey_all(nodes: Sequence[Node], rng: random.Random, now: float) -> None:
    """Let each node know what its first survey would have found, had everybody answered."""
    ids = sorted(node.me.id for node in nodes)
    for node in nodes:
        for prefix in node.survey.due(now):
            target = node.table.random_id(prefix, rng.randbytes)
            node.survey.take(prefix, target, nearest(ids, target, node.config.k), now)


def nearest(ids: Sequence[NodeId], target: NodeId, count: int) -> list[NodeId]:
    """Return the ``count`` of sorted ids that are nearest to ``target``, nearest first.

    Ids that share a longer prefix with the target are nearer and lie next to each other, so the
    smallest range that holds enough of them holds the nearest.
    """
    low, high = 0, len(ids)
    for bits in range(ID_BITS):
        half = ID_BITS - bits - 1
        middle = bisect_left(ids, (target >> half | 1) << half, low, high)
        inner = (middle, high) if target >> half & 1 else (low, middle)
        if inner[1] - inner[0] < count:
            break
        low, high = inner
    return sorted(ids[low:high], key=lambda identifier: identifier ^ target)[:count]


def _choose(
    contacts: Sequence[Contact], ids: Sequence[NodeId], node: Node, rng: random.Random
) -> list[Contact]:
    """Return k of each bucket's range, drawn evenly, and the nearest of all."""
    own, config = node.me.id, node.config
    wanted = config.siblings * config.sibling_factor
    chosen: dict[NodeId, Contact] = {}
    low, high = 0, len(contacts)
    for bits in range(ID_BITS):
        if high - low <= 1:
            break
        half = ID_BITS - bits - 1
        middle = bisect_left(ids, (own >> half | 1) << half, low, high)
        if own >> half & 1:
            other, low = contacts[low:middle], middle
        else:
            other, high = contacts[middle:high], middle
        for contact in rng.sample(other, min(config.k, len(other))):
            chosen[contact.id] = contact
    for identifier in nearest(ids, own, wanted + 1):
        chosen[identifier] = contacts[bisect_left(ids, identifier)]
    chosen.pop(own, None)
    return list(chosen.values())
