"""Look-ups as our node does them: ``qisguard.node.lookup``, compiled, in rounds.

In each round every path sends up to alpha requests; the answers come in that order. A path ends
when the ``count`` nearest contacts that it knows have answered or failed. Adversaries are silent,
name only colluders nearer to the target than themselves, or answer as honest nodes do.
"""

import numpy as np

from qisguard.lab.model.compiled import compiled
from qisguard.lab.model.space import Arrays, Counts, Flags, Ids, Places, Positions, Totals, nearest
from qisguard.lab.model.tables import known_nearest, mix

QUERIES_MAX = 32
QUERIES_PER_SIBLING = 8
CONTACTS_MAX = 64
CONTACTS_PER_SIBLING = 8
"""The bounds of ``qisguard.node.lookup``."""

HONEST, DROP, COLLUDE = 0, 1, 2

NEW, ASKED, ANSWERED = 0, 1, 2


@compiled
def learn(
    contact: int,
    far: np.uint64,
    hop: int,
    size: int,
    known: Positions,
    distance: Ids,
    state: Counts,
    hops: Counts,
) -> int:
    """Enter a contact into a path's shortlist, nearest first; return the new size."""
    place = size
    while place > 0 and distance[place - 1] > far:
        place -= 1
    if place > 0 and distance[place - 1] == far:
        return size
    for index in range(size, place, -1):
        known[index] = known[index - 1]
        distance[index] = distance[index - 1]
        state[index] = state[index - 1]
        hops[index] = hops[index - 1]
    known[place] = contact
    distance[place] = far
    state[place] = NEW
    hops[place] = hop
    return size + 1


@compiled
def forget(
    keep: int, size: int, known: Positions, distance: Ids, state: Counts, hops: Counts
) -> int:
    """Keep the nearest contacts and all that were asked; return the new size."""
    kept = 0
    for index in range(size):
        if index < keep or state[index] != NEW:
            known[kept] = known[index]
            distance[kept] = distance[index]
            state[kept] = state[index]
            hops[kept] = hops[index]
            kept += 1
    return kept


@compiled
def slot_of(node: int, keys: Positions, turns: Positions, turn: int) -> np.int64:
    """Return where in a hash table a node is, or belongs; entries of other turns are empty."""
    slot = np.int64(mix(np.uint64(node)) & np.uint64(keys.size - 1))
    while turns[slot] == turn and keys[slot] != node:
        slot = (slot + 1) & np.int64(keys.size - 1)
    return slot


@compiled
def colluders_for(
    net: Arrays, node: int, target: np.uint64, circle: Positions, circle_size: int, out: Positions
) -> int:
    """Write the colluders nearest to a target that are nearer than the one who answers."""
    size = 0
    for index in range(circle_size):
        other = net.colluders[circle[index]]
        if net.ids[other] ^ target < net.ids[node] ^ target:
            out[size] = other
            size += 1
    return size


@compiled
def find_closest(
    net: Arrays,
    targets: Ids,
    starts: Places,
    alpha: int,
    behaviour: int,
    found: Positions,
    messages: Totals,
    adversary_saw: Flags,
    hops: Counts,
    path_hops: Counts,
) -> None:
    """Look up ``targets`` (q,) from ``starts`` (q,); write into the other arrays.

    ``found`` (q, count): the nearest contacts that answered, nearest first, -1 beyond. ``hops``
    (q,): after how many replies in a row the nearest was heard of, and asked. ``path_hops`` (q, d):
    the same for the nearest that answered on each path, -1 where nobody did.
    """
    d, count = path_hops.shape[1], found.shape[1]
    dealt = max(net.k, d)
    queries_max = QUERIES_MAX + QUERIES_PER_SIBLING * count
    contacts_max = CONTACTS_MAX + CONTACTS_PER_SIBLING * count
    # answered contacts are never forgotten, so a path may hold more than its bound
    room = contacts_max + queries_max + alpha + max(dealt, net.k)
    known = np.empty((d, room), np.int32)
    distance = np.empty((d, room), np.uint64)
    state = np.empty((d, room), np.int16)
    depth = np.empty((d, room), np.int16)
    sizes = np.empty(d, np.int64)
    asked_count = np.empty(d, np.int64)
    sent = np.empty((d, alpha), np.int64)
    sent_count = np.empty(d, np.int64)
    circle = np.empty(net.k, np.int32)
    best = np.empty(count, np.uint64)
    best_hops = np.empty(count, np.int16)
    reply = np.empty(dealt + 2 * net.k + net.siblings, np.int32)
    slots = 64
    while slots < 4 * d * queries_max:
        slots *= 2
    keys = np.empty(slots, np.int32)
    owners = np.empty(slots, np.int16)
    turns = np.zeros(slots, np.int32)
    for q in range(targets.size):
        target, start, turn = targets[q], starts[q], q + 1
        circle_size = 0
        if behaviour == COLLUDE:
            circle_size, _ = nearest(
                net.colluder_ids, 0, net.colluder_ids.size, 0, target, net.k, circle
            )
        size = known_nearest(net, start, target, start, dealt, reply)
        for path in range(d):
            sizes[path] = 0
            asked_count[path] = 0
        hop = 0
        for index in range(size):  # into one list, nearest first, then dealt
            sizes[0] = learn(
                reply[index],
                net.ids[reply[index]] ^ target,
                hop,
                sizes[0],
                known[0],
                distance[0],
                state[0],
                depth[0],
            )
        for index in range(size):
            reply[index] = known[0, index]
        sizes[0] = 0
        for index in range(size):
            path = index % d
            place = sizes[path]
            known[path, place] = reply[index]
            distance[path, place] = net.ids[reply[index]] ^ target
            state[path, place] = NEW
            depth[path, place] = 0
            sizes[path] += 1
            if sizes[path] > contacts_max:
                sizes[path] = forget(
                    4 * count,
                    sizes[path],
                    known[path],
                    distance[path],
                    state[path],
                    depth[path],
                )
        message_count = 0
        is_done = False
        while not is_done:
            is_done = True
            for path in range(d):
                sent_count[path] = 0
                if asked_count[path] >= queries_max:
                    continue
                own = 0
                for index in range(sizes[path]):
                    if own == count or sent_count[path] == alpha:
                        break
                    node = known[path, index]
                    if state[path, index] != NEW:
                        own += 1
                        continue
                    slot = slot_of(node, keys, turns, turn)
                    if turns[slot] == turn:  # another path asked it
                        continue
                    own += 1
                    keys[slot], owners[slot], turns[slot] = node, path, turn
                    state[path, index] = ASKED
                    sent[path, sent_count[path]] = node
                    sent_count[path] += 1
                asked_count[path] += sent_count[path]
                message_count += sent_count[path]
                is_done &= sent_count[path] == 0
            for path in range(d):
                for index in range(sent_count[path]):
                    node = sent[path, index]
                    far = net.ids[node] ^ target
                    place = 0
                    while distance[path, place] != far:
                        place += 1
                    lies = net.adversary[node] and behaviour != HONEST
                    adversary_saw[q] |= net.adversary[node]
                    if lies and behaviour == DROP:
                        sizes[path] -= 1
                        for other in range(place, sizes[path]):
                            known[path, other] = known[path, other + 1]
                            distance[path, other] = distance[path, other + 1]
                            state[path, other] = state[path, other + 1]
                            depth[path, other] = depth[path, other + 1]
                        continue
                    state[path, place] = ANSWERED
                    hop = depth[path, place] + 1
                    if lies:
                        size = colluders_for(net, node, target, circle, circle_size, reply)
                    else:
                        size = known_nearest(net, node, target, start, net.k, reply)
                    for other in range(size):
                        slot = slot_of(reply[other], keys, turns, turn)
                        if turns[slot] == turn and owners[slot] == path:
                            continue  # asked by this path: it is known, or it was silent
                        sizes[path] = learn(
                            reply[other],
                            net.ids[reply[other]] ^ target,
                            hop,
                            sizes[path],
                            known[path],
                            distance[path],
                            state[path],
                            depth[path],
                        )
                    if sizes[path] > contacts_max:
                        sizes[path] = forget(
                            4 * count,
                            sizes[path],
                            known[path],
                            distance[path],
                            state[path],
                            depth[path],
                        )
        messages[q] = message_count
        size = 0
        found[q, :] = -1
        for path in range(d):
            path_hops[q, path] = -1
            for index in range(sizes[path]):
                if state[path, index] != ANSWERED:
                    continue
                hop = depth[path, index] + 1
                if path_hops[q, path] < 0:
                    path_hops[q, path] = hop
                far = distance[path, index]
                if size == count and far > best[count - 1]:
                    break
                place = min(size, count - 1)
                while place > 0 and best[place - 1] > far:
                    best[place] = best[place - 1]
                    best_hops[place] = best_hops[place - 1]
                    found[q, place] = found[q, place - 1]
                    place -= 1
                best[place] = far
                best_hops[place] = hop
                found[q, place] = known[path, index]
                size = min(size + 1, count)
        hops[q] = best_hops[0] if size > 0 else 0
