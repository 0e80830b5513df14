"""The figure of S/Kademlia under every reading of its text that we could found on something.

    uv run python benchmarks/skademlia_endings.py --repeats 3 --seed 1

Baumgart and Mies (ICPADS 2007) leave open what is written in ``READINGS``. Each reading draws the
whole figure (N = 10,000, k = 16, s = 16, eta * s = 80, 12,000 look-ups a point, median of the
repeats, seeds 1, 3, 5 ...) and is put beside the row of an independent simulation and the closed
formula; then k = 2 and 8 (20 % adversaries), and N = 1,000 (10 %). Prints a Markdown table.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numba
import numpy as np
from scipy.optimize import linprog

from qisguard.lab.bench.model import CATALOGUE, TOLERANCE
from qisguard.lab.model.figure import ADVERSARIES, LOOK_UPS, PATHS, path_lengths, success_ratio
from qisguard.lab.model.network import build, draw_questions
from qisguard.lab.model.paths import HOPS_MAX
from qisguard.lab.model.space import ONE, around, nearest, shared_bits, subtree
from qisguard.lab.model.tables import GOLDEN, bucket, keep_nearest, mix

S = 16
NEAREST, RANGE, COMPLETE, NAMED = range(4)


@dataclass(frozen=True)
class Reading:
    """What the paper leaves open.

    ends: which honest node ends a path. NEAREST: one of the eta * s nearest to the target. RANGE:
        one that has the target in its own sibling range, no farther than its last sibling.
        COMPLETE: one whose sibling list holds all s siblings of the target. NAMED: one that names
        the honest node closest to it.
    is_apart: siblings take no place in buckets, which hold k others.
    is_shuffled: the first k contacts are dealt at random, not nearest first.
    is_drawn: whether a contact is an adversary is drawn for each look-up, not once for the network.
    skips_starts: a start that is a sibling itself asks nothing, and does not count.
    siblings: eta * s.
    """

    ends: int = NEAREST
    is_apart: bool = False
    is_shuffled: bool = False
    is_drawn: bool = False
    skips_starts: bool = False
    siblings: int = 80


READINGS = {
    "ours: the node is one of the 80 nearest to the target (4.2)": Reading(),
    "the target is in the node's own sibling range (4.2; the authors' simulator)": Reading(RANGE),
    "as before, and siblings take no place in buckets (4.2; the authors' simulator)": Reading(
        RANGE, is_apart=True
    ),
    "the node's list holds all 16 siblings of the target (4.4)": Reading(COMPLETE),
    "the node names the closest honest node (Kademlia, 2.3)": Reading(NAMED),
    "ours, contacts dealt at random (4.4)": Reading(is_shuffled=True),
    "ours, adversaries drawn for each look-up (5)": Reading(is_drawn=True),
    "ours, starts that are siblings left out (5)": Reading(skips_starts=True),
    "ours, sibling range 16 (s alone)": Reading(siblings=16),
    "ours, sibling range 96 (fitted to the row, founded on nothing)": Reading(siblings=96),
}


@numba.njit
def bucket_apart(net, node, depth, out, size):  # type: ignore[no-untyped-def]
    """Append a bucket of k that are no siblings, and the siblings; return the new size."""
    own = net.ids[node]
    low, high = subtree(net, own ^ (ONE << np.uint64(63 - depth)), depth + 1)
    near_low, near_high = subtree(net, own, depth + 1)
    wanted = net.siblings - (near_high - near_low - 1)
    if wanted <= 0 or high - low <= net.k or wanted >= high - low:
        return bucket(net, node, depth, out, size)
    added, last = nearest(net.ids, low, high, depth + 1, own, wanted, out[size:])
    size += added
    drawn, room = size, min(net.k, high - low - added)
    state = mix(net.seed ^ mix(own + np.uint64(depth)))
    while size - drawn < room:
        state += GOLDEN
        share = (mix(state) >> np.uint64(32)) * np.uint64(high - low)
        place = low + np.int64(share >> np.uint64(32))
        is_taken = net.ids[place] ^ own <= net.ids[last] ^ own
        for other in range(drawn, size):
            is_taken |= out[other] == place
        if not is_taken:
            out[size] = place
            size += 1
    return size


@numba.njit
def known(net, node, target, asker, count, is_apart, out):  # type: ignore[no-untyped-def]
    """Write the ``count`` nearest contacts that a node knows (``tables.known_nearest``)."""
    own = net.ids[node]
    differs, depth = own ^ target, shared_bits(own, target)
    size, leaf = 0, depth
    is_alone = depth == 64
    while not is_alone:
        leaf += 1
        low, high = subtree(net, own, leaf)
        is_alone = high - low <= 1
    for step in range(2 * leaf - depth):  # where the target differs, ascending; then the others
        at = depth + step if step < leaf - depth else 2 * leaf - depth - 1 - step
        is_near = (differs >> np.uint64(63 - at)) & ONE == ONE
        if is_near != (step < leaf - depth):
            continue
        if is_apart:
            end = bucket_apart(net, node, at, out, size)
        else:
            end = bucket(net, node, at, out, size)
        size = keep_nearest(net, target, asker, size, end, count, out)
        if size == count:
            break
    return size


@numba.njit
def ends_path(net, node, target, limit, top, ends, is_apart, out):  # type: ignore[no-untyped-def]
    """Return whether a path ends at an honest node."""
    own = net.ids[node]
    if ends == NEAREST:
        return own ^ target <= limit
    if ends == NAMED:
        size = known(net, node, target, node, net.k, is_apart, out)
        is_named = node == top[0]
        for index in range(size):
            is_named |= out[index] == top[0]
        return is_named
    low, high, depth = around(net, own, net.siblings + 1)
    _, last = nearest(net.ids, low, high, depth, own, net.siblings + 1, out)
    reach = net.ids[last] ^ own
    if ends == RANGE:
        return own ^ target <= reach
    is_complete = True
    for index in range(top.size):
        is_complete &= net.ids[top[index]] ^ own <= reach
    return is_complete


@numba.njit
def walk(  # type: ignore[no-untyped-def]
    net, targets, starts, ends, is_apart, is_shuffled, drawn_ratio, messages, saw, path_hops
):
    """Look up as ``paths.reach_siblings``, under another reading."""
    d = path_hops.shape[1]
    dealt = max(net.k, d)
    heard = np.empty((d, dealt + net.k * HOPS_MAX), np.int32)
    heard_count = np.empty(d, np.int64)
    asked_count = np.empty(d, np.int64)
    live = np.empty(d, np.bool_)
    used = np.empty(d * HOPS_MAX, np.int32)
    reply = np.empty(dealt + 2 * net.k + net.siblings + 8, np.int32)
    room = np.empty(dealt + 4 * net.k + 2 * net.siblings + 64, np.int32)
    top = np.empty(S, np.int32)
    for q in range(targets.size):
        target, start = targets[q], starts[q]
        low, high, depth = around(net, target, net.siblings)
        size, last = nearest(net.ids, low, high, depth, target, net.siblings, room)
        limit = net.ids[last] ^ target
        best = -1
        for index in range(size):
            node = room[index]
            if not net.adversary[node] and (
                best < 0 or net.ids[node] ^ target < net.ids[best] ^ target
            ):
                best = node
        low, high, depth = around(net, target, S)
        nearest(net.ids, low, high, depth, target, S, room)
        top[:] = room[:S]
        if ends == NAMED:
            top[0] = best
        path_hops[q, :] = -1
        if ends_path(net, start, target, limit, top, ends, is_apart, room):
            path_hops[q, :] = 0
            continue
        size = known(net, start, target, start, dealt, is_apart, reply)
        for index in range(1, size):  # nearest first
            moved, place = reply[index], index
            while place > 0 and net.ids[reply[place - 1]] ^ target > net.ids[moved] ^ target:
                reply[place] = reply[place - 1]
                place -= 1
            reply[place] = moved
        state = mix(target)
        if is_shuffled:  # Fisher and Yates
            for index in range(size - 1, 0, -1):
                state += GOLDEN
                share = (mix(state) >> np.uint64(32)) * np.uint64(index + 1)
                other = np.int64(share >> np.uint64(32))
                reply[index], reply[other] = reply[other], reply[index]
        heard_count[:] = 0
        for index in range(size):
            heard[index % d, heard_count[index % d]] = reply[index]
            heard_count[index % d] += 1
        live[:] = True
        asked_count[:] = 0
        used_count = 0
        while live.any():
            for path in range(d):
                if not live[path]:
                    continue
                node, near = -1, np.uint64(0)
                for index in range(heard_count[path]):
                    other = heard[path, index]
                    far = net.ids[other] ^ target
                    if (node < 0 or far < near) and not (used[:used_count] == other).any():
                        node, near = other, far
                live[path] = node >= 0 and asked_count[path] < HOPS_MAX
                if not live[path]:
                    continue
                used[used_count] = node
                used_count += 1
                asked_count[path] += 1
                is_bad = net.adversary[node]
                if drawn_ratio > 0:
                    draw = mix(net.ids[node] ^ mix(target)) >> np.uint64(11)
                    is_bad = np.float64(draw) / 2.0**53 < drawn_ratio
                saw[q] |= is_bad
                if is_bad:
                    live[path] = False
                elif ends_path(net, node, target, limit, top, ends, is_apart, room):
                    live[path] = False
                    path_hops[q, path] = asked_count[path]
                else:
                    size = known(net, node, target, start, net.k, is_apart, reply)
                    for index in range(size):
                        heard[path, heard_count[path]] = reply[index]
                        heard_count[path] += 1
        messages[q] = used_count


@dataclass(frozen=True)
class Point:
    """Success and what the formula gives for it, in %; requests; share seen, in %; mean hops."""

    success: float
    expected: float
    messages: float
    seen: float
    hops: float


def measure(
    reading: Reading, d: int, ratio: float, seed: int, *, size: int = 10_000, k: int = 16
) -> Point:
    """Return one point of the figure."""
    hops = {}
    for share in (0.0, ratio):
        network = build(
            size, 0.0 if reading.is_drawn else share, seed, k=k, siblings=reading.siblings
        )
        questions = draw_questions(network, LOOK_UPS, seed + 1)
        hops[share] = np.empty((LOOK_UPS, d), np.int16)
        messages, saw = np.zeros(LOOK_UPS, np.int32), np.zeros(LOOK_UPS, np.bool_)
        walk(
            network.arrays,
            questions.targets,
            questions.starts,
            reading.ends,
            reading.is_apart,
            reading.is_shuffled,
            share if reading.is_drawn else 0.0,
            messages,
            saw,
            hops[share],
        )
    if reading.skips_starts:
        hops = {share: found[~(found == 0).all(axis=1)] for share, found in hops.items()}
    lengths = path_lengths(hops[0.0])
    reached = (hops[ratio] >= 0).any(axis=1)
    return Point(
        100 * float(reached.mean()),
        100 * success_ratio(lengths, ratio, d),
        float(messages.mean()),
        100 * float(saw.mean()),
        float((lengths * np.arange(lengths.size)).sum()),
    )


def describe(reading: Reading, seed: int, repeats: int) -> str:
    """Return the cells of one reading."""
    row = {
        (d, m): percent
        for d in PATHS
        for m, percent in zip(ADVERSARIES[1:], CATALOGUE[d], strict=True)
    }
    points = {
        at: [measure(reading, *at, seed + 2 * repeat) for repeat in range(repeats)] for at in row
    }
    found = {at: median(p.success for p in many) for at, many in points.items()}
    apart = {at: found[at] - row[at] for at in row}
    worst = max(apart, key=lambda at: abs(apart[at]))
    formula = max(abs(found[at] - median(p.expected for p in many)) for at, many in points.items())
    few = [measure(reading, d, 0.2, seed, k=k).success for k, d in ((2, 1), (8, 4))]
    small = [measure(reading, d, 0.1, seed, size=1_000) for d in (1, 8)]
    cells = [
        f"{sum(abs(gap) <= TOLERANCE for gap in apart.values())} of {len(row)}",
        f"{apart[worst]:+.2f} (d = {worst[0]}, {worst[1]:.0%})",
        f"{sum(apart.values()) / len(apart):+.2f}",
        f"{formula:.1f}",
        f"{points[1, 0.2][0].hops:.2f}",
        f"{few[0]:.1f}",
        f"{few[1]:.1f}",
        f"{small[0].messages:.2f}, {small[1].messages:.1f}",
        f"{small[0].seen:.0f}, {small[1].seen:.0f}",
    ]
    return " | ".join(cells)


def least_gap(percents: Sequence[float]) -> float:
    """Return how near any distribution of path lengths comes to a row of one path, in points.

    With one path P(m, 1) = sum of h_i (1 - m)^i is exact, whatever ends it: what is left is the
    row's own error. A linear programme over h_0 to h_8.
    """
    passes = np.stack([(1 - np.array(ADVERSARIES[1:])) ** i for i in range(9)], axis=1)
    slack = -np.ones((len(percents), 1))
    row = np.array(percents) / 100
    solved = linprog(
        np.r_[np.zeros(9), 1],
        np.block([[passes, slack], [-passes, slack]]),
        np.r_[row, -row],
        np.r_[np.ones(9), 0][None],
        [1.0],
    )
    return 100 * float(solved.fun)


def main() -> None:
    """Print the table, a line for each reading."""
    parser = argparse.ArgumentParser(description="readings of the S/Kademlia paper")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    print(f"any path lengths at all, d = 1: largest gap {least_gap(CATALOGUE[1]):.2f}\n")
    head = [
        "reading",
        "within 1.5",
        "largest gap",
        "mean gap",
        "formula apart",
        "hops",
        "k = 2, d = 1",
        "k = 8, d = 4",
        "messages at N = 1,000, d = 1 and 8",
        "seen there",
    ]
    print("|", " | ".join(head), "|\n" + "| --- " * len(head) + "|")
    print("| the row | | | | | | 54.6 | 97.9 | 1.3, 14.5 | 13, 78 |")
    for name, reading in READINGS.items():
        print(f"| {name} | {describe(reading, wanted.seed, wanted.repeats)} |", flush=True)


if __name__ == "__main__":
    main()
