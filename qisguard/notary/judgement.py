"""What a proof of time is worth: one state and the reason for it."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How much a proof of time is worth; only ``ANCHORED`` proves something."""

    NONE = "none"
    PENDING = "pending"
    UNVERIFIED = "anchored-unverified"
    ANCHORED = "anchored"
    REFUTED = "refuted"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The state of one proof, why, and by when the text existed if that is shown.

    Attributes:
        state: how much it is worth.
        reason: one sentence without a full stop, for people.
        time: seconds since 1970 by which the text existed, plus or minus ``margin`` seconds; None
            unless the state is ``ANCHORED``.
        margin: seconds.
    """

    state: State
    reason: str
    time: int | None = None
    margin: int = 0
