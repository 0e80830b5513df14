"""How often detectors of crowding notice Sybils that sit closest to a key.

Every detector sees the same keys, so two of them are compared on pairs. Sybils are placed without
regard to any detector; ``qisguard.lab.placement`` is the attacker who has regard.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.lab.keyspace import ROWS_MAX, Detector, honest_ids, view_size, with_closest
from qisguard.lab.statistics import Interval, wilson


@dataclass(frozen=True, slots=True)
class Detection:
    """How many of ``draws`` keys with ``sybils`` closest Sybils a detector flagged."""

    detector: str
    threshold: float
    sybils: int
    alarms: int
    draws: int

    @property
    def rate(self) -> Interval:
        """Return the ratio of keys flagged, Wilson 95 %; without Sybils, of false alarms."""
        return wilson(self.alarms, self.draws)

    @property
    def missed(self) -> Interval:
        """Return the ratio of keys not flagged, Wilson 95 %."""
        return wilson(self.draws - self.alarms, self.draws)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two detectors missed of the same keys."""

    sybils: int
    draws: int
    first_missed: int
    second_missed: int
    both_missed: int

    @property
    def missed_ratio(self) -> Interval:
        """Return missed by the first / missed by the second, with a 95 % interval of pairs.

        Wald's interval of the logarithm (Nam and Blackwelder 2002); infinite where one missed none.
        """
        one, two = self.first_missed, self.second_missed
        if not one or not two:
            return Interval(one / two if two else math.inf, 0.0, math.inf)
        spread = 1.96 * math.sqrt((one + two - 2 * self.both_missed) / (one * two))
        ratio = one / two
        return Interval(ratio, ratio * math.exp(-spread), ratio * math.exp(spread))


def detection_rates(
    detectors: Mapping[str, Detector],
    n: int,
    sybils: Sequence[int],
    draws: int,
    seed: int,
    believed: float | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[Detection]:
    """Return one row for each detector and number of Sybils.

    Args:
        detectors: by the name to report.
        n: honest nodes.
        sybils: how many ids are placed closer to the key than the closest honest one.
        draws: keys for each number of Sybils.
        seed: the same seed gives the same rows.
        believed: size that the detectors are told; ``n`` when not given.
        progress: what ended, how many have, how many there are.
    """
    rows = []
    for index, count in enumerate(sybils):
        flagged = _flags(detectors, n, count, draws, seed, believed or n)
        rows += [
            Detection(name, detector.threshold, count, int(flagged[name].sum()), draws)
            for name, detector in detectors.items()
        ]
        progress(f"{count} Sybils", index + 1, len(sybils))
    return rows


def compare(
    first: Detector, second: Detector, n: int, sybils: int, draws: int, seed: int
) -> Comparison:
    """Return what two detectors missed of the same ``draws`` keys with ``sybils`` Sybils."""
    flagged = _flags({"first": first, "second": second}, n, sybils, draws, seed, n)
    one, two = ~flagged["first"], ~flagged["second"]
    return Comparison(sybils, draws, int(one.sum()), int(two.sum()), int((one & two).sum()))


def _flags(
    detectors: Mapping[str, Detector], n: int, sybils: int, draws: int, seed: int, believed: float
) -> dict[str, NDArray[np.bool_]]:
    """Return (draws,) flags of every detector."""
    rng = np.random.default_rng([seed, sybils])
    view = view_size(n, max(detector.k for detector in detectors.values()), believed)
    flags: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in detectors}
    for start in range(0, draws, ROWS_MAX):
        rows = min(ROWS_MAX, draws - start)
        ids = with_closest(honest_ids(n, view, rows, rng), sybils, rng)
        for name, detector in detectors.items():
            flags[name].append(detector.scores(ids, believed) > detector.threshold)
    return {name: np.concatenate(parts) for name, parts in flags.items()}
