"""Answer: what the votes say, how sure that is, and how little poison would change it.

Plain values throughout, so that an answer is JSON, MessagePack or a row without help. When the
cohort is too small nothing about it is told but that.
"""

from dataclasses import dataclass
from enum import StrEnum

from qisguard.outcomes.explain import Step
from qisguard.outcomes.fragility import FlipRadius
from qisguard.outcomes.tally import Beside

UNDECIDED = "undecided"


class State(StrEnum):
    """How far an answer can be trusted; the first that applies, in this order."""

    TOO_SMALL = "too small"
    SUSPECT = "suspect"
    MIXED = "mixed"
    DRIFT = "drift"
    FRAGILE = "fragile"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class ArmAnswer:
    """One treatment: its statistic with an interval, and the median in days or units if any."""

    arm: str
    cases: int | None
    effective: float | None
    estimate: float | None
    low: float | None
    high: float | None
    median: float | None


@dataclass(frozen=True, slots=True)
class Contamination:
    """Bounds of the difference if this share of the data, unknown which, is poison.

    Across issuers: this share of the issuers, or of every issuer's cases, whichever is worse.
    """

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """The difference without one issuer: its range, and whose absence moves it most."""

    low: float
    high: float
    issuer: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that knows how fragile it is.

    Attributes:
        decision: the code of the arm that does better, or ``undecided``.
        state: the worst of what applies; ``reasons`` has all of it, in words.
        label: always ``association``: nobody assigned these treatments at random.
        estimand: what the estimates estimate, in words.
        kind: of the outcome; ``unit``: of numbers, empty for shares.
        arms: the two treatments in the order of the question.
        difference: first arm less second, with its 95 % interval ``low`` to ``high``.
        method: ``pooled`` or ``issuer-trimmed``, what the decision was made by.
        method_note: why this method, and what the interval allows for.
        beside: a second statistic that does not decide, None where one says it all.
        packets: packets received; ``cases``: cases that count; ``issuers``: issuers that count.
        effective: how many independent patients the estimates are worth.
        contamination: bounds at 5 and 10 %.
        flip: the flip radius.
        leave_one_out: None with fewer than two issuers.
        largest_issuer: who has most of the weight that decides; ``none_share`` is that of ``none``.
        dropped: packets that do not count, by reason.
        flags: what detectors reported.
        steps: how it was made, from packets to this decision.
    """

    decision: str
    state: State
    reasons: tuple[str, ...]
    estimand: str
    kind: str
    unit: str
    arms: tuple[ArmAnswer, ArmAnswer]
    difference: float | None
    low: float | None
    high: float | None
    method: str
    method_note: str
    beside: Beside | None
    packets: int
    cases: int | None
    issuers: int | None
    effective: float | None
    contamination: tuple[Contamination, ...]
    flip: FlipRadius | None
    leave_one_out: LeaveOneOut | None
    largest_issuer: str | None
    largest_share: float | None
    none_share: float | None
    dropped: dict[str, int]
    flags: tuple[str, ...]
    steps: tuple[Step, ...]
    label: str = "association"
