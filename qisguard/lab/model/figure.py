"""The figure of S/Kademlia: look-ups that succeed, by share of adversaries and number of paths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.lab.model.lookups import LookUpSettings, look_ups
from qisguard.lab.model.network import build, draw_questions

SIZE = 10_000
K = 16
SIBLINGS = 80
"""Every node knows eta * s = 5 * 16 neighbours (Baumgart and Mies, section 4.2)."""
LOOK_UPS = 12_000
PATHS = (1, 2, 4, 8)
ADVERSARIES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the figure, over ``look_ups`` look-ups in one network.

    successes: how many reached an honest sibling of their target.
    expected: the share that the closed formula gives for the lengths that paths had unattacked.
    messages, exposed: requests of a look-up in the mean; share of look-ups that an adversary saw.
    """

    disjoint_paths: int
    adversary_ratio: float
    look_ups: int
    successes: int
    expected: float
    messages: float
    exposed: float

    @property
    def success_ratio(self) -> float:
        """Return the share of look-ups that succeeded."""
        return self.successes / self.look_ups


def success_ratio(
    lengths: NDArray[np.float64], adversary_ratio: float, disjoint_paths: int
) -> float:
    """Return P(m, d) = sum over i of h_i (1 - (1 - (1 - m)^i)^d).

    lengths: (i_max + 1,), h_i, the share of paths that ask i nodes. Baumgart and Mies, section 5:
    paths are taken as independent and equally long.
    """
    passes = (1 - adversary_ratio) ** np.arange(lengths.size)
    return float((lengths * (1 - (1 - passes) ** disjoint_paths)).sum())


def path_lengths(path_hops: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return h_i, (i_max + 1,): the share of paths with i hops; failed ones do not count."""
    reached = path_hops[path_hops >= 0]
    return np.bincount(reached) / reached.size


def draw_figure(
    seed: int,
    *,
    size: int = SIZE,
    k: int = K,
    siblings: int = SIBLINGS,
    count: int = LOOK_UPS,
    paths: Sequence[int] = PATHS,
    adversaries: Sequence[float] = ADVERSARIES,
    threads: int = 1,
) -> list[Point]:
    """Return the figure's points, by d, then by share of adversaries.

    All points of one share have the same network and the same look-ups, so that d is all that
    differs between them; every share has the same ids.
    """
    points = {}
    lengths = {}
    for ratio in (0.0, *(ratio for ratio in adversaries if ratio)):
        network = build(size, ratio, seed, k=k, siblings=siblings)
        questions = draw_questions(network, count, seed + 1)
        for d in paths:
            settings = LookUpSettings(count=1, disjoint_paths=d)
            result = look_ups(network, questions, settings, threads)
            if not ratio:
                lengths[d] = path_lengths(result.path_hops)
            points[d, ratio] = Point(
                d,
                ratio,
                count,
                int(result.success.sum()),
                success_ratio(lengths[d], ratio, d),
                float(result.messages.mean()),
                float(result.adversary_saw.mean()),
            )
    return [points[d, ratio] for d in paths for ratio in adversaries]
