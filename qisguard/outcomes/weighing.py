"""Weighing: which packets count and for how much."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qisguard.identity.roster import Roster
from qisguard.outcomes.arrays import NOTHING, Floats
from qisguard.outcomes.explain import Step, dropped_steps, weight_step
from qisguard.outcomes.packet import TIME_TO_EVENT, OutcomePacket
from qisguard.outcomes.votes import Collected, Votes, collect
from qisguard.plugins import Accepts, Defense, Weighs


@dataclass(frozen=True, slots=True)
class Weighed:
    """The votes that count, their (n,) positive weights, what was dropped by reason, and how."""

    votes: Votes
    weights: Floats
    dropped: dict[str, int]
    steps: tuple[Step, ...] = ()


def weigh(
    packets: Sequence[OutcomePacket],
    roster: Roster,
    defenses: Sequence[Defense],
    arms: tuple[str, str],
    today: int,
    first_seen: Mapping[bytes, int],
    kind: str = TIME_TO_EVENT,
) -> Weighed:
    """Return the votes that count, after every ``Accepts`` and ``Weighs`` of ``defenses``."""
    accepts = [defense for defense in defenses if isinstance(defense, Accepts)]
    collected = collect(packets, roster, arms, today, first_seen, accepts, kind)
    return weigh_votes(collected, defenses)


def weigh_votes(collected: Collected, defenses: Sequence[Defense]) -> Weighed:
    """Return the votes that count, after every ``Weighs`` of ``defenses``; columns throughout."""
    votes, dropped = collected.votes, Counter(collected.dropped)
    steps = [*dropped_steps(len(votes) + dropped.total(), collected.lost)]
    weights = np.ones(len(votes))
    for defense in defenses:
        if not isinstance(defense, Weighs):
            continue
        new = defense.weigh(votes, weights)
        if new.shape != weights.shape or not np.isfinite(new).all() or (new < 0).any():
            raise ValueError(f"defence {defense.card.id}: weights must be (n,), finite and >= 0")
        lost = int(((weights > 0) & (new <= 0)).sum())
        if lost:
            dropped[f"no weight: {defense.card.id}"] += lost
        card = defense.card
        steps.append(weight_step(card.id, card.summary, weights, new, votes.issuer, votes.issuers))
        weights = new
    counts = weights > 0
    if not counts.all():
        votes, weights = votes.where(counts), weights[counts]
    return Weighed(votes, weights, dict(dropped), tuple(steps))


def weight_by_issuer(weighed: Weighed) -> dict[str, float]:
    """Return the share of all the votes' weight that each issuer holds."""
    issuers = weighed.votes.issuers
    sums = np.bincount(weighed.votes.issuer, weighed.weights, len(issuers))
    return dict(zip(issuers, (sums / max(sums.sum(), NOTHING)).tolist(), strict=True))


def weight_by_age(weighed: Weighed, edges: Sequence[float]) -> tuple[float, ...]:
    """Return the share of weight in each half-open age bin between ``edges``, in days.

    The first bin is everything younger than the first edge, the last everything from the last on.
    """
    place = np.searchsorted(np.asarray(edges), weighed.votes.age, side="right")
    sums = np.bincount(place, weighed.weights, len(edges) + 1)
    return tuple((sums / max(sums.sum(), NOTHING)).tolist())
