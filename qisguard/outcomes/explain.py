"""Steps from packets to a decision: what each did to which number, and which issuers lost by it.

The pipeline writes them as it goes; nothing is computed for them alone but sums per issuer. What
they tell of issuers keeps the minimum cohort: where fewer votes than that are concerned, issuers
are told together, and a rest that is still smaller has no numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qisguard.outcomes.arrays import NOTHING, Floats, Ints, sums
from qisguard.outcomes.issuers import Differences, kept

OTHERS = "other issuers"


@dataclass(frozen=True, slots=True)
class Loss:
    """What one issuer lost in a step: how many of its votes, and how much weight."""

    issuer: str
    votes: int | None
    weight: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step: ``what`` went from ``before`` to ``after``; None where there is no number.

    ``why`` says what the step does or found, ``lost`` which issuers it took from, the most first.
    """

    name: str
    what: str
    before: float | None
    after: float | None
    why: str = ""
    lost: tuple[Loss, ...] = ()


def dropped_steps(received: int, lost: Mapping[str, Mapping[str, int]]) -> tuple[Step, ...]:
    """Return a step for each reason for which packets have no vote, by issuer."""
    steps, left = [], received
    for reason, issuers in lost.items():
        count = sum(issuers.values())
        losses = [Loss(name, votes, float(votes)) for name, votes in issuers.items()]
        steps.append(Step(reason, "packets", left, left - count, "no vote", tuple(losses)))
        left -= count
    return tuple(steps)


def weight_step(
    name: str, why: str, before: Floats, after: Floats, issuer: Ints, issuers: Sequence[str]
) -> Step:
    """Return what a defence did to (n,) weights, by issuer."""
    total = float(before.sum())
    if np.array_equal(before, after):
        return Step(name, "weight", total, total, why)
    groups = len(issuers)
    less = after < before
    votes = np.bincount(issuer[less], minlength=groups)
    weight = sums(issuer[less], before[less] - after[less], groups)
    rows = zip(issuers, votes.tolist(), weight.tolist(), strict=True)
    losses = [Loss(*row) for row in rows if row[1]]
    return Step(name, "weight", total, float(after.sum()), why, tuple(losses))


def trim_step(
    found: Differences,
    trim: float,
    votes: Ints,
    issuers: Sequence[str],
    pooled: float,
    across: float,
) -> Step:
    """Return what trimming did to the difference, and whose word it left out; ``votes``: (g,)."""
    middle = found.value[kept(found.value, found.weight, trim) > NOTHING]
    outside = (found.value < middle.min()) | (found.value > middle.max())
    losses = [
        Loss(issuers[place], int(votes[place]), float(found.weight[row]))
        for row, place in enumerate(found.issuer)
        if outside[row]
    ]
    why = "one difference an issuer, weight capped, the mean of the middle ones"
    return Step("across issuers", "difference", pooled, across, why, tuple(losses))


def told(steps: Iterable[Step], min_cohort: int) -> tuple[Step, ...]:
    """Return the steps with every loss of fewer than ``min_cohort`` votes told together."""
    return tuple(replace(step, lost=_folded(step.lost, min_cohort)) for step in steps)


def _folded(losses: tuple[Loss, ...], min_cohort: int) -> tuple[Loss, ...]:
    few = [loss for loss in losses if loss.votes is not None and loss.votes < min_cohort]
    rest = [loss for loss in losses if loss not in few]
    if few:
        votes = sum(loss.votes or 0 for loss in few)
        weight = sum(loss.weight or 0.0 for loss in few)
        enough = votes >= min_cohort
        rest.append(Loss(OTHERS, votes if enough else None, weight if enough else None))
    return tuple(sorted(rest, key=lambda loss: (-(loss.weight or 0.0), loss.issuer)))
