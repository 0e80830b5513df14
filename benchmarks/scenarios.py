"""Run every packaged scenario at its own counts, and write what came of its gates into one page.

    uv run python benchmarks/scenarios.py
    uv run python benchmarks/scenarios.py --only replay look-up-drop --processes 2 --json

Every scenario is a run of ``qisguard attack run`` in a folder of its own below ``--runs``: one that
was interrupted goes on, one that is complete is read. A folder belongs to a scenario file as it is,
so that an edited scenario runs anew; after a change of the code, name another folder.

A scenario whose ``seeds.first`` is not 1 was changed (a gate, the network, the number of seeds)
after the seeds before that had been seen: these are run as well, and their verdicts stand in the
page beside those that count.

The page has the scenarios that ``--only`` names: attacks on votes have a page of their own,
made with ``--page docs/scenarios-poisoning.md --only $(ls scenarios/poisoning | sed s/.toml//)``.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qisguard.cli.progress import Progress
from qisguard.errors import ScenarioError
from qisguard.lab.bench.rows import commit, machine
from qisguard.lab.campaign.drive import cores, work
from qisguard.lab.campaign.folder import RUN, SUMMARY, RunFolder, create_run, open_run
from qisguard.lab.campaign.plan import Options, Plan, plan_at
from qisguard.lab.campaign.pool import Pool
from qisguard.lab.campaign.summary import ExpectedRow, GateRow, Row, Summary
from qisguard.lab.scenario.gates import State, read_gate
from qisguard.lab.scenario.loading import load_scenario, packaged, packaged_names
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.measured import METRICS
from qisguard.reports.campaign import NOTHING, measured, number

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scenarios.md"
RUNS = Path("qisguard-runs") / "scenarios"
COMMIT = "commit"
VERDICTS = {State.HELD: "holds", State.BROKEN: "**fails**", State.NOT_MEASURED: "not measured"}
"""What the page calls them."""
MODEL_SPEED = 1_000
"""Look-ups on arrays for one of real nodes, roughly: it only orders the runs."""

INTRODUCTION = """\
# Every packaged scenario at its own counts

Written by `benchmarks/scenarios.py`; no number here was typed.

- *Metric* is the one that most gates of the scenario ask about, the first of several. Behind every
  number is its 95 % interval over seeds ([how far to trust one](attack-lab.md#enough-seeds));
  {nothing} means that nobody could measure it.
- *Without attack*, *attacked* and *defended* are the arms `clean`, `attacked` and `defended`.
  `guarded`, the defences without an attack, stands where a gate asks about it.
- *Expected* is what a source says, and whether the interval overlaps with it. It is no gate.
- A gate *holds* when its whole interval does (or the one end that it names), *fails* when none of
  it does, and is *not measured* while the interval lies across. Gates say what was measured, also
  where a defence does not help: a gate that holds is no praise.
- A scenario whose seeds do not begin with 1 was changed (a gate, the network, the number of seeds)
  after the seeds before had been seen. The second table has the verdicts of what it is now on both.
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One run: a scenario with its own seeds, or with those seen before it was changed."""

    name: str
    plan: Plan
    folder: Path
    is_seen: bool

    @property
    def cost(self) -> float:
        """Return roughly how long it takes, in any unit."""
        scenario = self.plan.loaded[0].scenario
        nodes = self.plan.loaded[0].honest + self.plan.loaded[0].attackers
        each = nodes * (scenario.workload.operations + nodes / 10)
        speed = {"model": MODEL_SPEED, "direct": MODEL_SPEED}.get(scenario.engine, 1)
        return self.trials * each / speed

    @property
    def trials(self) -> int:
        """Return how many trials it has."""
        return self.plan.count * len(self.plan.loaded[0].arms)

    def open(self) -> RunFolder:
        """Return the run's folder, made now unless it is there."""
        if (self.folder / RUN).exists():
            return open_run(self.folder)
        command = f"qisguard attack run {self.name}"
        made = create_run(self.folder, self.plan, Options(self.plan.count), command)
        made.write(COMMIT, commit().encode())
        return made

    def read(self) -> "Ran | None":
        """Return what it found, None unless it is complete."""
        try:
            data = (self.folder / SUMMARY).read_bytes()
        except FileNotFoundError:
            return None
        summary = msgspec.json.decode(data, type=Summary)
        if not summary.is_complete:
            return None
        return Ran(self, summary, (self.folder / COMMIT).read_text())


@dataclass(frozen=True, slots=True)
class Ran:
    """A complete run, and the commit that began it."""

    wanted: Wanted
    summary: Summary
    commit: str


def wanted(names: Iterable[str], runs: Path) -> Iterator[Wanted]:
    """Yield the runs of scenarios."""
    for name in names:
        data = packaged(name)
        loaded = load_scenario(data)
        seeds, folder = loaded.scenario.seeds, runs / f"{name}-{loaded.digest[:12]}"
        yield Wanted(name, plan_at(data, [{}], Options()), folder, is_seen=False)
        if seeds.first > 1:
            point = {"seeds.first": 1, "seeds.count": seeds.first - 1}
            plan = plan_at(data, [point], Options())
            yield Wanted(name, plan, folder.with_name(f"{folder.name}-seen"), is_seen=True)


def run_all(every: Sequence[Wanted], processes: int) -> None:
    """Run what is not complete, the cheapest first."""
    total, before = sum(one.trials for one in every), 0
    with Progress("scenarios") as progress:
        for one in sorted(every, key=lambda one: one.cost):
            if one.read() is None:
                tell = _teller(progress, one, before, total)
                work(one.open(), lambda: Pool(processes), tell)
            before += one.trials


def _teller(
    progress: Progress, one: Wanted, before: int, total: int
) -> Callable[[str, int, int], None]:
    def tell(what: str, done: int, pending: int) -> None:
        progress.update(f"{one.name}: {what}", before + one.trials - pending + done, total)

    return tell


# --- the page ------------------------------------------------------------------------------------
def page(every: Sequence[Wanted]) -> str:
    """Return the page about all runs."""
    own = [(one, one.read()) for one in every if not one.is_seen]
    seen = [(one, one.read()) for one in every if one.is_seen]
    rows = [_row(one, ran) for one, ran in own]
    blocks = [
        INTRODUCTION.format(nothing=NOTHING),
        "\n".join(f"- {line}" for line in _counted([ran for _, ran in own if ran])),
        _origin([ran for _, ran in own + seen if ran]),
        _table(HEADS, rows),
    ]
    if seen:
        blocks += ["## Scenarios that were changed after seeds had been seen", *_twice(own, seen)]
    return "\n\n".join(block.strip() for block in blocks) + "\n"


HEADS = (
    "scenario",
    "engine",
    "seeds",
    "metric",
    "without attack",
    "attacked",
    "defended",
    "expected",
    "gates",
    "CPU s",
)


def _row(one: Wanted, ran: Ran | None) -> list[str]:
    scenario = one.plan.loaded[0].scenario
    first, last = one.plan.first, one.plan.first + one.plan.count - 1
    cells = [f"`{one.name}`: {scenario.title}", scenario.engine, f"{first} to {last}"]
    if ran is None:
        return [*cells, *["not run"] * (len(HEADS) - len(cells))]
    metric = primary(one.plan)
    by = {(row.arm, row.metric): row for row in ran.summary.rows}
    arms = [by.get((arm, metric)) for arm in (Arm.CLEAN, Arm.ATTACKED, Arm.DEFENDED)]
    return [
        *cells,
        f"{metric}, {METRICS[metric].unit}",
        *(measured(row) for row in arms),
        "<br>".join(_expected(row) for row in ran.summary.expected) or NOTHING,
        "<br>".join(_gate(gate, by) for gate in ran.summary.gates) or "none",
        f"{ran.summary.cpu_seconds:.0f}",
    ]


def primary(plan: Plan) -> str:
    """Return the metric that most gates ask about, the first of several."""
    asked = Counter(gate.metric for gate in plan.gates(0))
    return asked.most_common(1)[0][0] if asked else "success"


def _expected(row: ExpectedRow) -> str:
    place = read_gate(f"{row.value} >= 0", list(map(str, Arm)), METRICS, "expected")
    is_ratio = METRICS[place.metric].kind == "ratio"
    low, high = (f"{100 * v:.3g}%" if is_ratio else number(v) for v in (row.low, row.high))
    said = low if row.low == row.high else f"{low} to {high}"
    note = f"; {row.note}" if row.note else ""
    return f"{row.value} {said}: {row.state} ({row.source}{note})"


def _gate(gate: GateRow, by: dict[tuple[str, str], Row]) -> str:
    arm, metric = gate.gate.split()[0].split(".")[:2]
    return f"{VERDICTS[gate.state]}: {gate.gate}: {measured(by.get((arm, metric)))}"


def _counted(every: Sequence[Ran]) -> Iterator[str]:
    """Yield how many gates hold, and how many sources agree."""
    gates = Counter(gate.state for ran in every for gate in ran.summary.gates)
    sources = Counter(row.state for ran in every for row in ran.summary.expected)
    failed = sum(ran.summary.trials["failed"] for ran in every)
    yield (
        f"{len(every)} scenarios, {sum(gates.values())} gates: {gates[State.HELD]} hold, "
        f"{gates[State.BROKEN]} fail, {gates[State.NOT_MEASURED]} are not measured."
    )
    yield (
        f"{sum(sources.values())} expected values: {sources['agrees']} agree, "
        f"{sources['differs']} differ, {sources[str(State.NOT_MEASURED)]} are not measured."
    )
    cpu = sum(ran.summary.cpu_seconds for ran in every)
    trials = sum(ran.summary.trials["done"] for ran in every)
    yield f"{trials} trials, {failed} failed, {cpu / 60:.0f} minutes of CPU time."


def _origin(every: Sequence[Ran]) -> str:
    commits = ", ".join(f"`{name}`" for name in dict.fromkeys(ran.commit for ran in every))
    about = machine()
    return (
        f"Made by {commits} on {about['system']}, {about['cores']} cores, Python {about['python']}."
    )


def _twice(
    own: Iterable[tuple[Wanted, Ran | None]], seen: Iterable[tuple[Wanted, Ran | None]]
) -> Iterator[str]:
    """Yield the second table: every gate on the seeds that were seen, and on those that count."""
    first = {one.name: ran for one, ran in seen}
    rows = []
    for one, ran in own:
        before = first.get(one.name)
        if ran is None or before is None:
            continue
        pairs = zip(before.summary.gates, ran.summary.gates, strict=True)
        for (old, new), _ in zip(pairs, one.plan.gates(0), strict=True):
            cells = []
            for run, gate in ((before, old), (ran, new)):
                by = {(row.arm, row.metric): row for row in run.summary.rows}
                shown = _gate(gate, by).replace(f" {gate.gate}:", "")
                span = f"{run.summary.seeds[0]} to {run.summary.seeds[-1]}"
                cells.append(f"{shown} (seeds {span})")
            rows.append([f"`{one.name}`", new.gate, *cells])
    yield _table(("scenario", "gate", "seeds that were seen", "seeds that count"), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)


def main() -> None:
    """Run what was asked for, write the page, print what the gates say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="these scenarios")
    parser.add_argument("--processes", type=int, default=cores(), help="one for each core")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of all runs")
    parser.add_argument("--page", type=Path, default=PAGE, help="what is written")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    every = list(wanted(packaged_names(), options.runs))
    try:
        chosen = list(wanted(options.only, options.runs)) if options.only else every
    except ScenarioError as error:
        parser.error(str(error))
    run_all(chosen, options.processes)
    options.page.write_text(page(chosen))
    ran = [found for found in (one.read() for one in chosen) if found]
    if options.json:
        own = {one.wanted.name: one for one in ran if not one.wanted.is_seen}
        json.dump({name: msgspec.to_builtins(one.summary) for name, one in own.items()}, sys.stdout)
        print()
        return
    for line in _counted([one for one in ran if not one.wanted.is_seen]):
        print(line)


if __name__ == "__main__":
    main()
