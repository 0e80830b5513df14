"""Look-ups as S/Kademlia's authors count them: a path ends at a sibling, or at an adversary.

Baumgart and Mies, ICPADS 2007, sections 4.4 and 5: the k contacts that the start knows nearest are
dealt to d paths; each asks one node at a time, a node is asked at most once in the whole look-up. A
path succeeds when it asks an honest node in whose sibling range the target lies, and fails when it
asks an adversary: that names only colluders from there on.
"""

import numpy as np

from qisguard.lab.model.compiled import compiled
from qisguard.lab.model.space import (
    Arrays,
    Counts,
    Flags,
    Ids,
    Places,
    Positions,
    Totals,
    around,
    nearest,
)
from qisguard.lab.model.tables import known_nearest

HOPS_MAX = 32
"""A path that asked so many has failed."""


@compiled
def reach_siblings(
    net: Arrays,
    targets: Ids,
    starts: Places,
    adversaries_kill: bool,
    found: Positions,
    messages: Totals,
    adversary_saw: Flags,
    path_hops: Counts,
) -> None:
    """Look up ``targets`` (q,) from ``starts`` (q,); write into the other arrays.

    ``found`` (q, count): siblings reached, in the order of their paths, where there is room, -1
    elsewhere. ``path_hops`` (q, d): nodes asked up to the sibling, -1 on a path that failed.
    """
    d = path_hops.shape[1]
    dealt = max(net.k, d)
    room = (dealt + d - 1) // d + net.k * HOPS_MAX
    heard = np.empty((d, room), np.int32)
    distance = np.empty((d, room), np.uint64)
    heard_count = np.empty(d, np.int64)
    live = np.empty(d, np.bool_)
    asked_count = np.empty(d, np.int64)
    used = np.empty(d * HOPS_MAX, np.int32)
    reply = np.empty(dealt + 2 * net.k + net.siblings, np.int32)
    for q in range(targets.size):
        target, start = targets[q], starts[q]
        low, high, depth = around(net, target, min(net.siblings, net.ids.size))
        _, last = nearest(net.ids, low, high, depth, target, net.siblings, reply)
        limit = net.ids[last] ^ target
        found[q, :] = -1
        if net.ids[start] ^ target <= limit:
            path_hops[q, :] = 0
            found[q, 0] = start
            continue
        path_hops[q, :] = -1
        size = known_nearest(net, start, target, start, dealt, reply)
        for index in range(1, size):  # nearest first
            moved = reply[index]
            place = index
            while place > 0 and net.ids[reply[place - 1]] ^ target > net.ids[moved] ^ target:
                reply[place] = reply[place - 1]
                place -= 1
            reply[place] = moved
        heard_count[:] = 0
        for index in range(size):
            path = index % d
            heard[path, heard_count[path]] = reply[index]
            distance[path, heard_count[path]] = net.ids[reply[index]] ^ target
            heard_count[path] += 1
        live[:] = True
        asked_count[:] = 0
        used_count, reached_count, live_count = 0, 0, d
        while live_count > 0:
            for path in range(d):
                if not live[path]:
                    continue
                node = -1
                while node < 0 and heard_count[path] > 0:
                    best = 0
                    for index in range(1, heard_count[path]):
                        if distance[path, index] < distance[path, best]:
                            best = index
                    node = heard[path, best]
                    near = distance[path, best]
                    heard_count[path] -= 1
                    heard[path, best] = heard[path, heard_count[path]]
                    distance[path, best] = distance[path, heard_count[path]]
                    for index in range(used_count):
                        if used[index] == node:
                            node = -1
                            break
                if node < 0 or asked_count[path] == HOPS_MAX:
                    live[path] = False
                    live_count -= 1
                    continue
                used[used_count] = node
                used_count += 1
                asked_count[path] += 1
                is_killed = False
                if net.adversary[node]:
                    adversary_saw[q] = True
                    is_killed = adversaries_kill
                if is_killed or near <= limit:
                    live[path] = False
                    live_count -= 1
                    if not is_killed:
                        path_hops[q, path] = asked_count[path]
                        if reached_count < found.shape[1]:
                            found[q, reached_count] = node
                            reached_count += 1
                    continue
                size = known_nearest(net, node, target, start, net.k, reply)
                for index in range(size):
                    place = heard_count[path]
                    heard[path, place] = reply[index]
                    distance[path, place] = net.ids[reply[index]] ^ target
                    heard_count[path] += 1
        messages[q] = used_count
