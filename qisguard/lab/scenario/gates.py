"""Gates: what a result must show, in the words of the scenario file.

``defended.success >= 0.95`` holds when the whole interval is at .95 or above, is broken when the
whole interval is below, and is *not measured* while the interval lies across: more seeds decide.
``defended.success.low >= 0.95`` names an end (``low``, ``high``, ``estimate``, ``width``), and
either holds or is broken.
"""

import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from qisguard.errors import ScenarioError
from qisguard.fill import nearest, show
from qisguard.lab.statistics import Interval

ENDS = ("low", "high", "estimate", "width")
SAMPLES_MIN = 3
"""Fewer trials than this measure nothing, whatever their interval says."""

_FORM = re.compile(
    r"\s*(?P<arm>[a-z]+)\.(?P<metric>[a-z_0-9]+)(?:\.(?P<end>[a-z0-9]+))?"
    r"\s*(?P<sign><=|>=|<|>)\s*(?P<bound>-?[0-9.]+(?:e-?[0-9]+)?)\s*"
)
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class State(StrEnum):
    """What became of a gate."""

    HELD = "held"
    BROKEN = "broken"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition on one interval."""

    text: str
    arm: str
    metric: str
    end: str
    sign: str
    bound: float

    def judge(self, interval: Interval | None, samples: int) -> State:
        """Return whether the condition holds for what ``samples`` trials measured."""
        if interval is None or samples < SAMPLES_MIN:
            return State.NOT_MEASURED
        compare = _SIGNS[self.sign]
        if self.end:
            ends = {
                "low": interval.low,
                "high": interval.high,
                "estimate": interval.estimate,
                "width": interval.high - interval.low,
            }
            return State.HELD if compare(ends[self.end], self.bound) else State.BROKEN
        low, high = compare(interval.low, self.bound), compare(interval.high, self.bound)
        if low and high:
            return State.HELD
        return State.BROKEN if not low and not high else State.NOT_MEASURED


def read_gate(text: str, arms: Collection[str], metrics: Collection[str], place: str) -> Gate:
    """Return the gate in ``text``; raise ScenarioError naming what is wrong and what is allowed."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ScenarioError(
            f"{place} = {show(text)}, must be ARM.METRIC >= NUMBER, such as "
            "'defended.success >= 0.95'"
        )
    arm, metric, end = found["arm"], found["metric"], (found["end"] or "").removesuffix("95")
    end = {"lo": "low", "hi": "high"}.get(end, end)
    for what, name, known in (("arm", arm, arms), ("metric", metric, metrics)):
        if name not in known:
            raise ScenarioError(
                f"{place} = {show(text)}: unknown {what} {name!r}{nearest(name, known)}"
            )
    if end and end not in ENDS:
        raise ScenarioError(f"{place} = {show(text)}: unknown end {end!r}{nearest(end, ENDS)}")
    try:
        bound = float(found["bound"])
    except ValueError:
        raise ScenarioError(f"{place} = {show(text)}: {found['bound']!r} is not a number") from None
    return Gate(text.strip(), arm, metric, end, found["sign"], bound)
