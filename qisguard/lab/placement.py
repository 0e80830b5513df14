"""The attacker who knows the detector: Sybils around a key, as many as pass without a flag.

It knows the honest ids around the key, the detector with its threshold and the size of the network
that the detector believes in (the active attack of de Moura Netto et al., 2025). Among the k
closest it wants as many places as it can have: for s = k, k - 1, ... it puts s ids before the
honest one that has to go, moves one id at a time to where the score falls most, and stops at the
first s whose score raises no flag.

Ids move between cells: powers of two, the region's edge, and a narrow outermost cell. The
divergence is a separable convex function of the counts of ids in octaves, so that moves of one id
end at its minimum; the other scores are least with all ids outermost, where the search starts. So
what it finds is the optimum for these detectors, up to the width of the outermost cell.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from qisguard.lab.keyspace import Detector, honest_ids, view_size
from qisguard.lab.statistics import Interval, bootstrap_interval, wilson

DEPTH = 14
"""Halvings of the distance that the attacker considers; further in, no histogram expects an id."""
SLIVER = 1 / 64
"""Width of the outermost cell, as a share of its distance from the key."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Sybils as distances in shares of the id space, ascending; all are among the k closest.

    ``hashes`` is how many keys have to be tried for them on average, one after the other.
    """

    distances: tuple[float, ...]
    score: float
    hashes: float


@dataclass(frozen=True, slots=True)
class Censorship:
    """How many of the k places next to a key the attacker wins, key by key.

    ``flagged`` counts, by the name of the detector, the keys that it flags with these Sybils.
    """

    k: int
    places: tuple[int, ...]
    hashes: tuple[float, ...]
    flagged: Mapping[str, int]

    @property
    def share(self) -> Interval:
        """Return the mean share of the k places, with a bootstrap 95 % interval over keys."""
        values = [won / self.k for won in self.places]
        return bootstrap_interval(values, fmean, random.Random(0), repeats=1_000)

    def at_least(self, places: int) -> Interval:
        """Return the ratio of keys with this many places or more, Wilson 95 %."""
        return wilson(sum(won >= places for won in self.places), len(self.places))

    def flagged_by(self, name: str) -> Interval:
        """Return the ratio of keys that a detector flags, Wilson 95 %."""
        return wilson(self.flagged[name], len(self.places))


def evade(
    detector: Detector, honest: NDArray[np.float64], believed: float, places: int, budget: int
) -> Placement:
    """Return the Sybils that win the most of the ``places`` closest places without a flag.

    Args:
        detector: what is to be evaded; a score of exactly its threshold passes.
        honest: (view,) distances of the honest ids around the key, ascending; more than ``places``.
        believed: size of the network that the detector is told.
        places: how many of the closest ids decide about the key.
        budget: how many Sybils there are at most.
    """
    if not len(honest) > places >= 1:
        raise ValueError(f"honest: {len(honest)} ids, must be more than places = {places} >= 1")
    for wanted in range(min(places, budget), 0, -1):
        edges = _edges(float(honest[places - wanted]), detector.k / believed)
        counts, score = _search(detector, honest, believed, edges, wanted)
        if score <= detector.threshold:
            distances = np.sort(np.repeat((edges[:-1] + edges[1:]) / 2, counts))
            hashes = float((counts / (edges[:-1] - edges[1:])).sum())
            return Placement(tuple(distances.tolist()), score, hashes)
    return Placement((), float(detector.scores(honest[None], believed)[0]), 0.0)


def active_censorship(
    detector: Detector,
    n: int,
    keys: int,
    seed: int,
    budget: int,
    watchers: Mapping[str, Detector],
    places: int = 20,
    believed: float | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Censorship:
    """Return what the attacker who knows ``detector`` wins around ``keys`` random keys.

    Args:
        detector: what the attacker evades.
        n: honest nodes.
        keys: how many keys are attacked, each on its own.
        seed: the same seed gives the same honest ids, whatever the detector.
        budget: Sybils for each key, at most.
        watchers: detectors, by name, that look at the result.
        places: how many of the closest ids decide about a key.
        believed: size that the detectors are told, known to the attacker; ``n`` when not given.
        progress: what ended, how many have, how many there are.
    """
    rng = np.random.default_rng([seed, n])
    widest = max(places, detector.k, *(watcher.k for watcher in watchers.values()))
    size = believed or n
    honest = honest_ids(n, view_size(n, widest, size), keys, rng)
    won, hashes, flagged = [], [], dict.fromkeys(watchers, 0)
    for index, row in enumerate(honest):
        placed = evade(detector, row, size, places, budget)
        won.append(len(placed.distances))
        hashes.append(placed.hashes)
        seen = np.sort(np.append(row, placed.distances))[None]
        for name, watcher in watchers.items():
            flagged[name] += bool(watcher.scores(seen, size)[0] > watcher.threshold)
        progress(f"{won[-1]} places won", index + 1, keys)
    return Censorship(places, tuple(won), tuple(hashes), flagged)


def _edges(limit: float, region: float) -> NDArray[np.float64]:
    """Return the borders of the cells below ``limit``, descending; the last one is 0."""
    powers = 2.0 ** np.floor(np.log2(limit)) * 0.5 ** np.arange(DEPTH)
    borders = np.append(powers, [region, limit * (1 - SLIVER)])
    inner = borders[borders < limit]
    return np.concatenate([[limit], np.unique(inner)[::-1], [0.0]])


def _search(
    detector: Detector,
    honest: NDArray[np.float64],
    believed: float,
    edges: NDArray[np.float64],
    sybils: int,
) -> tuple[NDArray[np.int64], float]:
    """Return (cells,) counts with the lowest score that moves of one id reach, and that score."""
    middles = (edges[:-1] + edges[1:]) / 2
    counts = np.zeros(len(middles), dtype=np.int64)
    counts[0] = sybils
    score = float(_scores(detector, honest, believed, middles, counts[None])[0])
    while score > detector.threshold:
        sources, goals = np.nonzero((counts[:, None] > 0) & ~np.eye(len(counts), dtype=bool))
        moved = np.tile(counts, (len(sources), 1))
        rows = np.arange(len(sources))
        moved[rows, sources] -= 1
        moved[rows, goals] += 1
        scores = _scores(detector, honest, believed, middles, moved)
        best = int(np.argmin(scores))
        if not scores[best] < score:
            break
        counts, score = moved[best], float(scores[best])
    return counts, score


def _scores(
    detector: Detector,
    honest: NDArray[np.float64],
    believed: float,
    middles: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the scores of the honest ids with (rows, cells) counts of Sybils among them."""
    sybils = int(counts[0].sum())
    placed = np.repeat(np.tile(middles, len(counts)), counts.ravel()).reshape(-1, sybils)
    others = np.broadcast_to(honest, (len(counts), len(honest)))
    return detector.scores(np.sort(np.concatenate([placed, others], axis=1), axis=1), believed)
