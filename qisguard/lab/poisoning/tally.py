"""What polls are counted for: flips, what the reader was told, what became of the poison."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from qisguard.lab.poisoning.play import Answered, Cast
from qisguard.lab.poisoning.population import ARMS, Population
from qisguard.outcomes.answer import State
from qisguard.outcomes.packet import BINARY

Z_95 = 1.959963984540054
"""Normal quantile of a two-sided 95 % interval."""


@dataclass(slots=True)
class Tally:
    """Counts of one trial; a poll is *flipped* when the worse arm is called the better one."""

    population: Population
    ratios: dict[str, tuple[int, int]] = field(default_factory=dict)
    _sums: dict[str, list[float]] = field(default_factory=dict)
    _events: list[str] = field(default_factory=list)

    def count(self, polled: Cast, found: Answered) -> None:
        """Count one poll."""
        answer, truth = found.answer, self.population.truth
        is_ok, is_flagged = answer.state is State.OK, bool(answer.flags)
        self._events.append(f"{answer.decision} {answer.state} {answer.difference}")
        if truth:
            flipped = self.is_flipped(found)
            self.add("flipped", flipped)
            self.add("flipped_unnoticed", flipped and is_ok)
            if flipped:
                self.add("warned", not is_ok)
        self.add("answers_ok", is_ok)
        self.add("answers_flagged", is_flagged)
        if answer.difference is not None and answer.low is not None and answer.high is not None:
            self.add("covered", answer.low <= truth <= answer.high)
            self.value("bias", answer.difference - truth)
            self.value("interval_width", answer.high - answer.low)
        if answer.beside is not None:
            self.value("mean_bias", answer.beside.difference - truth)
            if truth:
                self.add("mean_flipped", answer.beside.difference * truth < 0)
        if answer.flip is not None:
            self.value("safe_below", answer.flip.safe)
        if self.population.table.kind == BINARY:
            self._cover_arm(polled, found)
        kept, all_poison = int(found.poison.sum()), int(polled.poison.sum())
        if all_poison:
            weights = found.weighed.weights
            share = weights[found.poison].sum() / max(float(weights.sum()), 1e-300)
            self.add("poison_kept", kept, all_poison)
            self.value("poison_share", float(share))
        self.add("honest_kept", len(found.poison) - kept, len(polled.votes) - all_poison)

    def _cover_arm(self, polled: Cast, found: Answered) -> None:
        """Count intervals of the first arm: the answer's, and one of independent cases."""
        truth, arm = self.population.table.first, found.answer.arms[0]
        if arm.low is None or arm.high is None:
            return
        yes = polled.votes.value[polled.votes.arm == 0]
        mean = float(yes.mean())
        half = Z_95 * float(np.sqrt(mean * (1 - mean) / len(yes)))
        self.add("arm_covered", arm.low <= truth <= arm.high)
        self.add("arm_covered_if_independent", abs(mean - truth) <= half)

    def is_flipped(self, found: Answered) -> bool:
        """Return whether the answer names the worse arm."""
        return found.answer.decision == ARMS[1 - self.population.target]

    def watched(self, delays: Sequence[int | None]) -> None:
        """Count delays in packets; the median takes polls without a report for endless."""
        self.add("detected", sum(one is not None for one in delays), len(delays))
        middle = sorted(math.inf if one is None else one for one in delays)[len(delays) // 2]
        if math.isfinite(middle):
            self.value("delay", middle)
        self._events.append(f"{delays}")

    def add(self, metric: str, hits: int, tries: int = 1) -> None:
        """Count successes of tries."""
        old = self.ratios.get(metric, (0, 0))
        self.ratios[metric] = (old[0] + int(hits), old[1] + tries)

    def value(self, metric: str, number: float) -> None:
        """Take one number of one poll."""
        self._sums.setdefault(metric, []).append(number)

    @property
    def values(self) -> dict[str, float]:
        """Return the mean of each number over the polls."""
        return {metric: float(np.mean(numbers)) for metric, numbers in self._sums.items()}

    @property
    def events(self) -> str:
        """Return a digest of every answer, in hex."""
        return sha256("\n".join(self._events).encode()).hexdigest()
