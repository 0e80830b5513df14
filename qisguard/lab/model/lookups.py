"""Many look-ups at once, on as many threads as wanted; the answer does not depend on how many."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from qisguard.errors import ScenarioError
from qisguard.lab.model import shortlists
from qisguard.lab.model.closest import closest_nodes
from qisguard.lab.model.network import Network, Questions
from qisguard.lab.model.paths import HOPS_MAX, reach_siblings
from qisguard.lab.model.space import Counts, Flags, Positions, Totals


class Ends(StrEnum):
    """When a path ends."""

    SIBLING = "sibling"
    """At a node in whose sibling range the target lies, or at an adversary (the paper's)."""
    CLOSEST = "closest"
    """When the closest contacts that it knows have answered or failed (our node's)."""


class Adversary(StrEnum):
    """What the adversary's nodes do with a request; they see it in any case."""

    HONEST = "honest"
    DROP = "drop"
    COLLUDE = "collude"
    """Name only colluders nearer to the target; ``DROP`` where paths end at siblings."""


BEHAVIOUR = {
    Adversary.HONEST: shortlists.HONEST,
    Adversary.DROP: shortlists.DROP,
    Adversary.COLLUDE: shortlists.COLLUDE,
}


@dataclass(frozen=True, slots=True)
class LookUpSettings:
    """How to look up.

    count: how many of the closest nodes are wanted.
    alpha: requests in flight on a path; 1 where paths end at siblings.
    """

    count: int = 16
    disjoint_paths: int = 1
    alpha: int = 1
    ends: Ends = Ends.SIBLING
    adversary: Adversary = Adversary.DROP

    def __post_init__(self) -> None:
        for name, most in (("count", 256), ("disjoint_paths", 64), ("alpha", 32)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise ScenarioError(f"{name} = {value}, must be 1 to {most}")
        if self.ends is Ends.SIBLING and self.alpha != 1:
            raise ScenarioError(f"alpha = {self.alpha}, must be 1 where paths end at siblings")


@dataclass(frozen=True, slots=True)
class LookUps:
    """What q look-ups brought. A node is asked at most once, so ``messages`` nodes saw a target.

    success: (q,) bool; the honest node closest to the target answered, or, where paths end at
        siblings, some path reached an honest one.
    hops: (q,) int16; nodes asked in a row up to the nearest that answered, itself included; on the
        shortest path that reached a sibling. 0: the start is a sibling itself, or nobody answered.
    messages: (q,) int32; requests sent, each to another node.
    adversary_saw: (q,) bool; a node of the adversary's was asked, so it knows who wants what.
    found: (q, count) int32; positions of the nearest that answered, nearest first, -1 beyond; where
        paths end at siblings: those reached, in the order of their paths.
    path_hops: (q, d) int16; hops on each path, -1 on one that brought nobody.
    """

    success: Flags
    hops: Counts
    messages: Totals
    adversary_saw: Flags
    found: Positions
    path_hops: Counts


def look_ups(
    network: Network, questions: Questions, settings: LookUpSettings, threads: int = 1
) -> LookUps:
    """Look up every target from its start; nothing is drawn, tables follow from the network's seed.

    Raises:
        ScenarioError: ``threads`` is out of range.
        ValueError: a start is no node (compiled code does not check).
    """
    if not 1 <= threads <= 256:
        raise ScenarioError(f"threads = {threads}, must be 1 to 256")
    total = questions.targets.size
    starts = questions.starts
    if starts.shape != (total,) or (total and not 0 <= starts.min() <= starts.max() < network.size):
        raise ValueError(f"starts must be {total} positions below {network.size}")
    result = LookUps(
        np.zeros(total, np.bool_),
        np.zeros(total, np.int16),
        np.zeros(total, np.int32),
        np.zeros(total, np.bool_),
        np.empty((total, settings.count), np.int32),
        np.empty((total, settings.disjoint_paths), np.int16),
    )
    if settings.ends is Ends.SIBLING:
        each = _to_siblings(network, questions, settings, result)
    else:
        each = _to_closest(network, questions, settings, result)
    bounds = np.linspace(0, total, threads + 1).astype(int)
    parts = [slice(low, high) for low, high in pairwise(bounds)]
    if threads == 1:
        each(parts[0])
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(each, parts))
    return result


def _to_siblings(
    network: Network, questions: Questions, settings: LookUpSettings, result: LookUps
) -> Callable[[slice], None]:
    arrays = network.arrays

    def run(part: slice) -> None:
        path_hops = result.path_hops[part]
        reach_siblings(
            arrays,
            questions.targets[part],
            questions.starts[part],
            settings.adversary is not Adversary.HONEST,
            result.found[part],
            result.messages[part],
            result.adversary_saw[part],
            path_hops,
        )
        reached = path_hops >= 0
        result.success[part] = reached.any(axis=1)
        shortest = np.where(reached, path_hops, HOPS_MAX + 1).min(axis=1)
        result.hops[part] = np.where(result.success[part], shortest, 0)

    return run


def _to_closest(
    network: Network, questions: Questions, settings: LookUpSettings, result: LookUps
) -> Callable[[slice], None]:
    arrays = network.arrays

    def run(part: slice) -> None:
        targets, starts = questions.targets[part], questions.starts[part]
        found = result.found[part]
        shortlists.find_closest(
            arrays,
            targets,
            starts,
            settings.alpha,
            BEHAVIOUR[settings.adversary],
            found,
            result.messages[part],
            result.adversary_saw[part],
            result.hops[part],
            result.path_hops[part],
        )
        wanted = closest_nodes(arrays, targets, 1, without=starts, honest_only=True)
        result.success[part] = ((found == wanted) & (wanted >= 0)).any(axis=1)

    return run
