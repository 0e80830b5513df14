"""What a campaign found: intervals, differences, gates, expectations, and the verdict.

Everything that is printed, drawn or written is made from a ``Summary``, after the verdict is known.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np

from qisguard.exits import Exit
from qisguard.lab.campaign.intervals import Counts, Resampler, Series, Values
from qisguard.lab.campaign.ledger import Counts as Trials
from qisguard.lab.campaign.ledger import Done, Failed
from qisguard.lab.campaign.plan import Plan
from qisguard.lab.scenario.gates import SAMPLES_MIN, Gate, State, read_gate
from qisguard.lab.statistics import Interval
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.measured import METRICS

FORMAT = 1
PAIRS = (
    ("attack", Arm.ATTACKED, Arm.CLEAN),
    ("defences", Arm.DEFENDED, Arm.ATTACKED),
    ("cost", Arm.GUARDED, Arm.CLEAN),
)
"""What the attack does, what the defences win back, what they cost honest nodes."""
FAILURES_SHOWN = 20


class Row(msgspec.Struct, frozen=True):
    """One metric at one point: of an arm, or the difference ``what`` of two (``arm`` - ``less``).

    ``low`` and ``high`` are None where fewer than ``SAMPLES_MIN`` trials measured it. ``hits`` and
    ``tries`` are sums over ``seeds`` trials, None for values and differences.
    """

    point: int
    engine: str
    arm: str
    metric: str
    kind: str
    unit: str
    seeds: int
    hits: int | None
    tries: int | None
    estimate: float
    low: float | None
    high: float | None
    what: str = ""
    less: str = ""

    @property
    def interval(self) -> Interval | None:
        """Return the interval, None while this is not measured."""
        if self.low is None or self.high is None:
            return None
        return Interval(self.estimate, self.low, self.high)


class GateRow(msgspec.Struct, frozen=True):
    """A gate at one point, and what became of it."""

    point: int
    gate: str
    state: State
    seeds: int
    estimate: float | None
    low: float | None
    high: float | None


class ExpectedRow(msgspec.Struct, frozen=True):
    """What a source says, beside what was measured: it ``agrees``, ``differs``, or is not known."""

    point: int
    value: str
    low: float
    high: float
    source: str
    note: str
    state: str
    measured: tuple[float, float, float] | None


class UntilRow(msgspec.Struct, frozen=True):
    """Whether an interval became as narrow as was wanted, and how wide it is."""

    point: int
    until: str
    reached: bool
    width: float | None
    seeds: int


class Failure(msgspec.Struct, frozen=True):
    """A trial that ended with an error."""

    point: int
    arm: str
    seed: int
    error: str
    tries: int


class Summary(msgspec.Struct, frozen=True):
    """The result of a campaign; ``is_complete`` says whether every trial that it wants has ended.

    ``results_digest`` covers the digests of all trials: equal for equal runs, '' where an engine
    does not replay. ``verdict`` is the name of ``exit``.
    """

    format: int
    name: str
    title: str
    scenario_digest: str
    engines: list[str]
    points: list[dict[str, Any]]
    seeds: list[int]
    trials: dict[str, int]
    is_complete: bool
    rows: list[Row]
    differences: list[Row]
    gates: list[GateRow]
    expected: list[ExpectedRow]
    until: list[UntilRow]
    failures: list[Failure]
    notes: list[str]
    results_digest: str
    cpu_seconds: float
    verdict: str
    exit: int


Measurements = Mapping[str, Mapping[str, Mapping[int, tuple[int, int] | float]]]
"""By arm, metric and seed."""


class Gathered:
    """Everything that was measured at one point, seed by seed."""

    def __init__(self, plan: Plan, point: int, done: Iterable[Done]) -> None:
        self.point = point
        self.loaded = plan.loaded[point]
        self.notes: list[str] = []
        self.digests: list[str] = []
        self.seeds: set[int] = set()
        self.cpu_seconds = 0.0
        self._by: dict[str, dict[str, dict[int, tuple[int, int] | float]]] = {}
        self._resampler = Resampler(plan.digest, plan.points[point])
        for one in done:
            arm, seed, measured = one.entry.arm, one.entry.seed, one.measured
            self.seeds.add(seed)
            self.notes += measured.notes
            self.digests.append(measured.digest)
            self.cpu_seconds += measured.cpu_seconds
            metrics = self._by.setdefault(arm, {})
            for metric, counted in measured.ratios.items():
                if counted[1]:  # nobody tried: this trial measures nothing
                    metrics.setdefault(metric, {})[seed] = counted
            for metric, value in (measured.values | measured.times).items():
                metrics.setdefault(metric, {})[seed] = value

    def rows(self) -> list[Row]:
        """Return every metric of every arm."""
        found = []
        for metric in self._metrics():
            for arm in self.loaded.arms:
                by_seed = self._by.get(arm, {}).get(metric, {})
                if by_seed:
                    series = _series(metric, by_seed, sorted(by_seed))
                    interval = self._resampler.interval(series)
                    found.append(self._row(metric, arm, series, interval))
        return found

    def row(self, arm: str, metric: str) -> Row | None:
        """Return one metric of one arm, None when no trial measured it."""
        by_seed = self._by.get(arm, {}).get(metric, {})
        if not by_seed:
            return None
        series = _series(metric, by_seed, sorted(by_seed))
        return self._row(metric, arm, series, self._resampler.interval(series))

    def differences(self) -> list[Row]:
        """Return the differences of arms, over the seeds that both have."""
        found = []
        for metric in self._metrics():
            for what, arm, less in PAIRS:
                one, two = (self._by.get(a, {}).get(metric, {}) for a in (arm, less))
                seeds = sorted(one.keys() & two.keys())
                if seeds:
                    first, second = _series(metric, one, seeds), _series(metric, two, seeds)
                    interval = self._resampler.difference(first, second)
                    row = self._row(metric, arm, first, interval)
                    pair = {"what": what, "less": str(less), "hits": None, "tries": None}
                    found.append(msgspec.structs.replace(row, **pair))
        return found

    def _metrics(self) -> list[str]:
        return [m for m in METRICS if any(m in metrics for metrics in self._by.values())]

    def _row(self, metric: str, arm: str, series: Series, interval: Interval) -> Row:
        is_measured = len(series) >= SAMPLES_MIN
        counts = series if isinstance(series, Counts) else None
        return Row(
            point=self.point,
            engine=self.loaded.scenario.engine,
            arm=str(arm),
            metric=metric,
            kind=METRICS[metric].kind,
            unit=METRICS[metric].unit,
            seeds=len(series),
            hits=int(counts.hits.sum()) if counts else None,
            tries=int(counts.tries.sum()) if counts else None,
            estimate=interval.estimate,
            low=interval.low if is_measured else None,
            high=interval.high if is_measured else None,
        )


def summarise(
    plan: Plan, gathered: list[Gathered], failed: list[Failed], trials: Trials
) -> Summary:
    """Return what a campaign found; the same results give the same summary."""
    rows = [row for one in gathered for row in one.rows()]
    by = {(row.point, row.arm, row.metric): row for row in rows}
    gates = [_judge(gate, one.point, by) for one in gathered for gate in plan.gates(one.point)]
    until = [_until(plan.until, one.point, by) for one in gathered if plan.until]
    failures = [Failure(f.entry.point, f.entry.arm, f.entry.seed, f.error, f.tries) for f in failed]
    is_complete = not trials.pending and not trials.leased
    end = verdict(gates, until, bool(failures), is_complete)
    digests = [digest for one in gathered for digest in one.digests]
    return Summary(
        format=FORMAT,
        name=plan.name,
        title=plan.loaded[0].scenario.title,
        scenario_digest=plan.digest,
        engines=plan.engines,
        points=list(plan.points),
        seeds=sorted({seed for one in gathered for seed in one.seeds}),
        trials={name: getattr(trials, name) for name in ("pending", "leased", "done", "failed")},
        is_complete=is_complete,
        rows=rows,
        differences=[row for one in gathered for row in one.differences()],
        gates=gates,
        expected=[row for one in gathered for row in _compare(one, by)],
        until=until,
        failures=failures[:FAILURES_SHOWN],
        notes=list(dict.fromkeys(note for one in gathered for note in one.notes)),
        results_digest=_digest(digests),
        cpu_seconds=sum(one.cpu_seconds for one in gathered),
        verdict=end.name.lower(),
        exit=int(end),
    )


def verdict(
    gates: Iterable[GateRow], until: Iterable[UntilRow], has_failures: bool, is_complete: bool
) -> Exit:
    """Return what the run says to a script.

    A gate that is broken is a finding. Anything that was wanted and is not known (a gate, a width,
    a trial that failed or is still to come) is not measured.
    """
    states = [gate.state for gate in gates]
    if State.BROKEN in states:
        return Exit.FINDING
    is_narrow = all(row.reached for row in until)
    if State.NOT_MEASURED in states or not is_narrow or has_failures or not is_complete:
        return Exit.NOT_MEASURED
    return Exit.CLEAN


By = Mapping[tuple[int, str, str], Row]


def _judge(gate: Gate, point: int, by: By) -> GateRow:
    row = by.get((point, gate.arm, gate.metric))
    if row is None:
        return GateRow(point, gate.text, State.NOT_MEASURED, 0, None, None, None)
    state = gate.judge(row.interval, row.seeds)
    return GateRow(point, gate.text, state, row.seeds, row.estimate, row.low, row.high)


def _until(gate: Gate, point: int, by: By) -> UntilRow:
    row = by.get((point, gate.arm, gate.metric))
    interval = row.interval if row else None
    width = interval.high - interval.low if interval else None
    seeds = row.seeds if row else 0
    return UntilRow(point, gate.text, gate.judge(interval, seeds) is State.HELD, width, seeds)


def _compare(one: Gathered, by: By) -> Iterable[ExpectedRow]:
    """Yield what sources say of one point, and whether the interval overlaps with it."""
    for expected in one.loaded.scenario.expected:
        place = read_gate(f"{expected.value} >= 0", list(map(str, Arm)), METRICS, "expected")
        row = by.get((one.point, place.arm, place.metric))
        found = row.interval if row else None
        if found is None:
            state = str(State.NOT_MEASURED)
        else:
            overlaps = found.low <= expected.high and found.high >= expected.low
            state = "agrees" if overlaps else "differs"
        yield ExpectedRow(
            one.point,
            expected.value,
            expected.low,
            expected.high,
            expected.source,
            expected.note,
            state,
            (found.estimate, found.low, found.high) if found else None,
        )


def _series(metric: str, by_seed: Mapping[int, Any], seeds: list[int]) -> Series:
    found = np.array([by_seed[seed] for seed in seeds], dtype=np.float64)
    return Counts(found[:, 0], found[:, 1]) if METRICS[metric].kind == "ratio" else Values(found)


def _digest(digests: list[str]) -> str:
    if not digests or not all(digests):
        return ""
    return sha256("\n".join(digests).encode()).hexdigest()
