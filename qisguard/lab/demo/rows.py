"""An answer as a row of results: flat, plain, and with everything that the answer warns of."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from qisguard.identity.roster import NONE
from qisguard.lab.demo.results import ArmRow, Curve, Row, WeightRow
from qisguard.lab.demo.tables import Step
from qisguard.node.reading import Retrieved
from qisguard.outcomes.answer import UNDECIDED, Answer, ArmAnswer
from qisguard.outcomes.survivals import survival_curves
from qisguard.outcomes.weighing import Weighed, weight_by_issuer

NOT_FOUND = "case not found"
"""Published by a member, and held by no replica that the reader asked."""


@dataclass(frozen=True, slots=True)
class Where:
    """The engine, seed, network and step that an answer was given in."""

    engine: str
    seed: int
    network: str
    step: Step


@dataclass(frozen=True, slots=True)
class Cost:
    """Engine seconds and datagrams that the whole network spent on one question."""

    seconds: float
    datagrams: int


def arm_row(arm: ArmAnswer) -> ArmRow:
    """Return one arm; what is not told is None."""
    return ArmRow(arm.arm, arm.cases or 0, arm.estimate, arm.low, arm.high, arm.median)


def answer_row(
    where: Where,
    answer: Answer,
    found: Sequence[Retrieved],
    missing_count: int,
    cost: Cost,
    truth: str,
) -> Row:
    """Return the row of ``answer``, flipped when it decides for the arm that ``truth`` is not.

    ``missing_count`` members' cases were published and not found.
    """
    refused: Counter[str] = Counter()
    for result in found:
        refused.update(result.refused)
    if missing_count:
        refused[NOT_FOUND] = missing_count
    flip, left_out = answer.flip, answer.leave_one_out
    return Row(
        engine=where.engine,
        seed=where.seed,
        network=where.network,
        step=where.step.name,
        sybils=where.step.sybils,
        hospitals=where.step.hospitals,
        decision=answer.decision,
        is_flipped=answer.decision not in (truth, UNDECIDED),
        is_undecided=answer.decision == UNDECIDED,
        difference=answer.difference,
        lo=answer.low,
        hi=answer.high,
        arms=[arm_row(arm) for arm in answer.arms],
        method=answer.method,
        state=str(answer.state),
        reasons=list(answer.reasons),
        flags=list(answer.flags),
        flip_radius_guaranteed=flip.safe if flip else None,
        flip_radius_found=flip.found if flip else None,
        flip_radius_attack=flip.attack if flip else "",
        leave_one_out=(left_out.low, left_out.high) if left_out else None,
        largest_issuer_share=answer.largest_share or 0.0,
        none_share=answer.none_share or 0.0,
        packet_count=answer.packets,
        issuer_count=answer.issuers or 0,
        effective_n=answer.effective or 0.0,
        dropped=answer.dropped,
        refused=dict(refused),
        replicas_asked=sum(result.replicas_asked for result in found),
        replicas_answered=sum(result.replicas_answered for result in found),
        query_seconds=cost.seconds,
        query_datagrams=cost.datagrams,
    )


def curve_rows(where: Where, weighed: Weighed, arms: tuple[str, str]) -> list[Curve]:
    """Return the weighted survival curve of each arm, one point for each day on which it falls."""
    rows = []
    curves = survival_curves(weighed.votes, weighed.weights)
    for arm, curve in zip(arms, curves, strict=True):
        times, values = curve.x, curve.y
        falls = np.flatnonzero(np.diff(values, prepend=1.0) < 0)
        rows.append(
            Curve(
                where.network,
                where.step.name,
                arm,
                [0.0, *times[falls].tolist()],
                [1.0, *np.round(values[falls], 5).tolist()],
                where.engine,
                where.seed,
            )
        )
    return rows


def weight_rows(where: Where, weighed: Weighed, broken: Collection[str]) -> list[WeightRow]:
    """Return what each issuer with votes weighs; hostile are strangers and ``broken`` members."""
    votes = weighed.votes
    rows = []
    for name, share in weight_by_issuer(weighed).items():
        own = votes.issuer == votes.issuers.index(name)
        if own.any():
            rows.append(
                WeightRow(
                    network=where.network,
                    step=where.step.name,
                    issuer=name,
                    age=round(float(votes.age[own].mean()), 1),
                    votes=int(own.sum()),
                    weight=round(share, 6),
                    is_hostile=name == NONE or name in broken,
                    engine=where.engine,
                    seed=where.seed,
                )
            )
    return rows
