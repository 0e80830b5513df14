"""How far an answer can be trusted: the worst of what applies, and every reason in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.answer import State
from qisguard.outcomes.arrays import Floats
from qisguard.outcomes.estimate import POOLED, Estimate
from qisguard.outcomes.fragility import FlipRadius

DRIFT = "drift"
"""A detector whose reason begins with this word says that the past differs from the present."""
MAJORITY = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """What an answer is judged by.

    Attributes:
        estimate: what decides.
        pooled, across: both estimates; ``across`` is None with too few issuers.
        flip: None without a decision.
        flags: (id, reason) of each detector that raised one.
        weight: (2, g) the weight of each issuer in each arm.
        issuers: (g,) all names.
        arms: the two treatments.
        threshold: the share of poison that the reader reckons with.
    """

    estimate: Estimate
    pooled: Estimate
    across: Estimate | None
    flip: FlipRadius | None
    flags: Sequence[tuple[str, str]]
    weight: Floats
    issuers: Sequence[str]
    arms: tuple[str, str]
    threshold: float


def judge(found: Found) -> tuple[State, tuple[str, ...]]:
    """Return the worst state that applies, and every reason."""
    flags = [f"{name}: {reason}" for name, reason in found.flags]
    mixed, fragile = _mixed(found), _fragile(found)
    reasons = (*flags, *mixed, *fragile)
    if any(not reason.startswith(DRIFT) for _, reason in found.flags):
        return State.SUSPECT, reasons
    if mixed:
        return State.MIXED, reasons
    if flags:
        return State.DRIFT, reasons
    return (State.FRAGILE if fragile else State.OK), reasons


def _mixed(found: Found) -> list[str]:
    pooled, across = found.pooled, found.across
    if across is None or pooled.difference * across.difference >= 0:
        return []
    return [f"pooled votes say {pooled.difference:+.3f}, issuers say {across.difference:+.3f}"]


def _fragile(found: Found) -> list[str]:
    estimate, reasons = found.estimate, []
    names = [found.issuers[place] for place in estimate.issuers]
    if estimate.low <= 0 <= estimate.high:
        reasons.append(f"the interval {estimate.low:+.3f} to {estimate.high:+.3f} includes 0")
    towards = estimate.without * estimate.difference
    if len(names) > 1 and (towards <= 0).any():
        reasons.append(f"without {names[int(np.argmin(towards))]} the decision would be another")
    return [*reasons, *_turned(found), *_alone(found, names)]


def _turned(found: Found) -> list[str]:
    """Return where less poison than the reader reckons with would reverse the decision."""
    flip = found.flip
    if flip is None or flip.safe >= found.threshold:
        return []
    everywhere = flip.everywhere is not None and flip.everywhere <= flip.safe
    where = " in every issuer" if everywhere else ""
    return [f"safe only below {flip.safe:.1%} of poison{where}, under {found.threshold:.0%}"]


def _alone(found: Found, names: Sequence[str]) -> list[str]:
    """Return who has more than half of what decides: nobody else could contradict it."""
    shares = found.estimate.shares
    if shares.max() > MAJORITY:
        return [f"{names[int(shares.argmax())]} has {shares.max():.0%} of the weight that decides"]
    if found.estimate.method != POOLED:
        return []
    own = found.weight / found.weight.sum(axis=1, keepdims=True)
    return [
        f"{found.issuers[int(share.argmax())]} has {share.max():.0%} of the weight of {arm}"
        for arm, share in zip(found.arms, own, strict=True)
        if share.max() > MAJORITY
    ]
