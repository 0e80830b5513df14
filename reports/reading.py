"""What a report is read from: which engine, which two networks, which step is the headline.

- The engine with the most answers carries the figures; every other one is shown beside it.
- The two networks that are compared are those named ``undefended`` and ``defended``; without such
  names, the first and the last network.
- The headline is the step that ``Report.headline`` names, else a step named ``headline``, else the
  largest number of Sybils, alone, that a curve was kept for or that was tried.
- A budget (Sybils, hospitals) can occur in more than one step. Without an attack the first step
  counts, because a network that recovered has a past; under attack the worst for the answer counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from qisguard.errors import DecodeError
from qisguard.lab.demo.results import Curve, NetworkRow, Rate, Report, Row, WeightRow, decode
from qisguard.reports.words import printable, tag

FORMAT = 1
REPORT_FILE = "report.json"
HEADLINE = "headline"


class Budget(NamedTuple):
    """What the attacker has at one step."""

    sybils: int
    hospitals: int


CLEAN = Budget(0, 0)


@dataclass(frozen=True, slots=True)
class Limit:
    """Where a network gives way along growing budgets; None where it does not.

    ``first`` is the smallest budget with a flip, ``broken`` the smallest that flips at least half
    of the seeds, ``last`` the largest that was tried, ``undecided`` the smallest that left a seed
    without a decision.
    """

    first: Rate | None
    broken: Rate | None
    last: Rate
    undecided: Rate | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A report and the choices by which it is read; ``headline`` is None when nothing attacked."""

    report: Report
    engine: str
    networks: tuple[str, ...]
    undefended: str
    defended: str
    headline: Budget | None

    def label(self, network: str) -> str:
        """Return a network's name for a heading."""
        return {"undefended": "Without defences", "defended": "With defences"}.get(network, network)

    @property
    def pair(self) -> tuple[str, ...]:
        """Return the compared networks that the report holds: two, or one."""
        return tuple(dict.fromkeys(n for n in (self.undefended, self.defended) if n))

    @property
    def engines(self) -> tuple[str, ...]:
        """Return every engine, the one of the figures first."""
        found = [row.engine for row in self.report.rows] + [r.engine for r in self.report.rates]
        return tuple(dict.fromkeys((self.engine, *found)))

    def engine_seeds(self, engine: str) -> list[int]:
        """Return the seeds that ran on ``engine``."""
        found = {row.seed for row in self.report.rows if row.engine == engine}
        for rate in self.report.rates:
            if rate.engine == engine:
                found.update(rate.seeds)
        return sorted(found)

    @property
    def seeds(self) -> list[int]:
        """Return the seeds of the engine of the figures."""
        return self.engine_seeds(self.engine)

    def rate(self, network: str, budget: Budget | None, engine: str = "") -> Rate | None:
        """Return the rate at a budget: the first when clean, the highest otherwise."""
        if budget is None:
            return None
        found = [
            rate
            for rate in self.report.rates
            if (rate.engine, rate.network) == (engine or self.engine, network)
            and (rate.sybils, rate.hospitals) == budget
        ]
        if not found or budget == CLEAN:
            return found[0] if found else None
        return max(found, key=lambda rate: rate.rate)

    def sweep(self, network: str, kind: str) -> list[Rate]:
        """Return rates by growing budget: of ``sybils`` alone, ``hospitals`` alone, or ``both``."""
        budgets = {
            Budget(rate.sybils, rate.hospitals)
            for rate in self.report.rates
            if (rate.engine, rate.network) == (self.engine, network)
        }
        kinds = {
            "sybils": [b for b in budgets if not b.hospitals],
            "hospitals": [b for b in budgets if not b.sybils],
            "both": [b for b in budgets if b.sybils and b.hospitals],
        }
        found = [self.rate(network, budget) for budget in sorted(kinds[kind])]
        return [rate for rate in found if rate]

    def limit(self, network: str, kind: str) -> Limit | None:
        """Return where ``network`` gives way to one kind of attack, or None if none was tried."""
        tried = [r for r in self.sweep(network, kind) if r.sybils or r.hospitals]
        if not tried:
            return None
        return Limit(
            first=next((r for r in tried if r.flips), None),
            broken=next((r for r in tried if r.flips and 2 * r.flips >= len(r.seeds)), None),
            last=tried[-1],
            undecided=next((r for r in tried if r.undecided), None),
        )

    def recovered(self, network: str) -> Rate | None:
        """Return the rate of a step without an attack that came after one, if there is one."""
        found = [
            rate
            for rate in self.report.rates
            if (rate.engine, rate.network) == (self.engine, network)
            and (rate.sybils, rate.hospitals) == CLEAN
        ]
        return found[-1] if len(found) > 1 else None

    def step(self, network: str, budget: Budget | None) -> str | None:
        """Return the name of the step at a budget."""
        if rate := self.rate(network, budget):
            return rate.step
        rows = (row for row in self.report.rows if row.engine == self.engine)
        return next(
            (r.step for r in rows if r.network == network and (r.sybils, r.hospitals) == budget),
            None,
        )

    def rows(self, network: str, budget: Budget | None, engine: str = "") -> list[Row]:
        """Return the answers at a budget, by seed."""
        step = self.step(network, budget)
        found = [
            row
            for row in self.report.rows
            if (row.engine, row.network, row.step) == (engine or self.engine, network, step)
        ]
        return sorted(found, key=lambda row: row.seed)

    def curves(self, network: str, budget: Budget | None) -> list[Curve]:
        """Return the survival curves kept for a budget."""
        step = self.step(network, budget)
        return [c for c in self.report.curves if (c.network, c.step) == (network, step)]

    def weights(self, network: str) -> list[WeightRow]:
        """Return who has weight at the headline, else at the last step that has weights."""
        kept = [row for row in self.report.weights if row.network == network]
        step = self.step(network, self.headline)
        at_headline = [row for row in kept if row.step == step]
        return at_headline or [row for row in kept if row.step == kept[-1].step]

    def source(self, told: Sequence[Curve] | Sequence[WeightRow]) -> str:
        """Return the engine and seed that curves or weights come from."""
        named = {(item.engine, item.seed) for item in told if item.engine}
        if not named and self.report.rows:
            named = {(self.report.rows[0].engine, self.report.rows[0].seed)}
        return "; ".join(tag(engine, [seed]) for engine, seed in sorted(named))

    def network_rows(self, engine: str, network: str) -> list[NetworkRow]:
        """Return what the engine counted of one network, by seed."""
        found = [n for n in self.report.networks if (n.engine, n.network) == (engine, network)]
        return sorted(found, key=lambda row: row.seed)

    @property
    def truth(self) -> str | None:
        """Return the arm that does better in the cohort itself, without any network."""
        known = [arm for arm in self.report.truth if arm.estimate is not None]
        return max(known, key=lambda arm: arm.estimate or 0.0).code if len(known) > 1 else None


def load(folder: Mapping[str, bytes]) -> Report:
    """Return the report of a result folder with unprintable characters spelled out.

    Raises:
        DecodeError: there is no ``report.json``, or it is not a report of a format known here.
    """
    data = folder.get(REPORT_FILE)
    if data is None:
        raise DecodeError(f"{REPORT_FILE}: not in the result folder; build it from a finished run")
    try:
        report = decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"{REPORT_FILE}: not a report: {error}") from None
    if report.format != FORMAT:
        raise DecodeError(f"{REPORT_FILE}: format = {report.format}, must be {FORMAT}")
    for curve in report.curves:
        if len(curve.times) != len(curve.survival):
            raise DecodeError(
                f"{REPORT_FILE}: curves: {len(curve.times)} times and {len(curve.survival)} values"
            )
    for rate in report.rates:
        size = len(rate.seeds)
        if not size or min(rate.flips, rate.undecided) < 0 or rate.flips + rate.undecided > size:
            raise DecodeError(
                f"{REPORT_FILE}: rates: flips = {rate.flips}, undecided = {rate.undecided}, must "
                f"be counts among the seeds, {size}"
            )
        if not 0 <= rate.lo <= rate.hi <= 1 or not 0 <= rate.rate <= 1:
            raise DecodeError(
                f"{REPORT_FILE}: rates: {rate.rate} from {rate.lo} to {rate.hi}, must be in [0, 1]"
            )
    return clean(report)


def clean(report: Report) -> Report:
    """Return ``report`` with unprintable characters spelled out."""
    return msgspec.convert(printable(msgspec.to_builtins(report)), Report)


def read(report: Report) -> Reading:
    """Return the choices by which ``report`` is read; see the rules at the top of the module."""
    answers = Counter(row.engine for row in report.rows)
    for rate in report.rates:
        answers[rate.engine] += 0 if report.rows else len(rate.seeds)
    engine = max(answers, key=lambda name: answers[name]) if answers else ""
    everything: list[Rate | Row] = [*report.rates, *report.rows]
    named = (told.network for told in everything if told.engine == engine)
    networks = list(dict.fromkeys(named))
    undefended = "undefended" if "undefended" in networks else ""
    defended = "defended" if "defended" in networks else ""
    others = [name for name in networks if name not in (undefended, defended)]
    if not undefended and others:
        undefended = others.pop(0)
    if not defended and others:
        defended = others[-1]
    headline = _headline(report, engine)
    return Reading(report, engine, tuple(networks), undefended, defended, headline)


def _headline(report: Report, engine: str) -> Budget | None:
    steps: dict[str, Budget] = {}
    everything: list[Rate | Row] = [*report.rates, *report.rows]
    for told in everything:
        if told.engine == engine:
            steps.setdefault(told.step, Budget(told.sybils, told.hospitals))
    for name in (report.headline, HEADLINE):
        if steps.get(name, CLEAN) != CLEAN:
            return steps[name]
    drawn = {curve.step for curve in report.curves}
    alone = {name: b for name, b in steps.items() if b.sybils and not b.hospitals}
    kept = [budget for name, budget in alone.items() if name in drawn]
    anything = [budget for budget in steps.values() if budget != CLEAN]
    return max(kept or list(alone.values()) or anything, default=None)
