"""A campaign in words: the table on a terminal, and ``summary.md``; nothing is decided here."""

from collections.abc import Iterable, Sequence

from qisguard.lab.campaign.summary import PAIRS, GateRow, Row, Summary
from qisguard.lab.scenario.gates import Gate, read_gate
from qisguard.lab.scenario.loading import point_name
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.measured import METRICS

Table = tuple[list[str], list[list[str]]]
"""Heads and rows."""
NOTHING = "\u2013"
WHAT = {
    "attack": "attack does",
    "defences": "defences win back",
    "cost": "defences cost",
}


def text(summary: Summary, replay: str) -> str:
    """Return what a command prints at its end."""
    blocks = [_head(summary)]
    for title, table in _tables(summary, is_short=True):
        blocks.append(f"{title}\n{_columns(table)}" if title else _columns(table))
    if len(summary.points) > 1:
        blocks.append("The other metrics are in summary.md and summary.json.")
    for title, lines in _lists(summary):
        blocks.append("\n".join([title, *(f"  {line}" for line in lines)]))
    blocks.append("\n".join([f"replay: {replay}", _verdict(summary)]))
    return "\n\n".join(blocks)


def markdown(summary: Summary, replay: str) -> bytes:
    """Return ``summary.md``: every metric of every point."""
    blocks = [f"# {summary.name}", _head(summary)]
    for title, table in _tables(summary, is_short=False):
        blocks.append(f"## {title or 'Arms'}")
        blocks.append(_piped(table))
    for title, lines in _lists(summary):
        blocks += [f"## {title[:1].upper()}{title[1:]}", "\n".join(f"- {line}" for line in lines)]
    blocks += [f"Replay: `{replay}`", _verdict(summary)]
    return ("\n\n".join(blocks) + "\n").encode()


def number(value: float) -> str:
    """Return a number with about three figures."""
    size = abs(value)
    if size >= 100 or value == round(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3g}"


def measured(row: Row | None) -> str:
    """Return an estimate with its interval, or that there is none."""
    if row is None:
        return NOTHING
    if row.low is None or row.high is None:
        return f"not measured ({row.seeds} trials)"
    show = (
        _points if row.what and row.kind == "ratio" else _percent if row.kind == "ratio" else None
    )
    if show is None:
        plus = "+" if row.what and row.estimate > 0 else ""
        return f"{plus}{number(row.estimate)} ({number(row.low)} to {number(row.high)})"
    return f"{show(row.estimate)} ({show(row.low)} to {show(row.high)})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%" if value not in (0, 1) else f"{100 * value:.0f}%"


def _points(value: float) -> str:
    """Return a difference of ratios in percentage points."""
    return f"{100 * value:+.1f}" if value else "0"


def _head(summary: Summary) -> str:
    trials = summary.trials
    left = trials["pending"] + trials["leased"]
    counted = [f"{trials['done']} trials"]
    counted += [f"{trials['failed']} failed"] if trials["failed"] else []
    counted += [f"{left} still to run"] if left else []
    seeds = summary.seeds
    named = f"seeds {seeds[0]} to {seeds[-1]}" if seeds else "no seed"
    return (
        f"{summary.title}\n{', '.join(summary.engines)}; {named}; {', '.join(counted)}; "
        f"{summary.cpu_seconds:.1f} s of CPU; scenario {summary.scenario_digest[:12]}"
    )


def _tables(summary: Summary, *, is_short: bool) -> Iterable[tuple[str, Table]]:
    if len(summary.points) == 1:
        yield "", _arms(summary, 0)
        yield (
            "Differences over the same seeds, in percentage points where of a ratio",
            _pairs(summary, 0),
        )
        return
    for metric in _metrics(summary, is_short=is_short):
        yield f"{metric}: {METRICS[metric].doc}", _grid(summary, metric)


def _arms(summary: Summary, point: int) -> Table:
    by = {(r.metric, r.arm): r for r in summary.rows if r.point == point}
    arms = [arm for arm in Arm if any(key[1] == arm for key in by)]
    metrics = list(dict.fromkeys(metric for metric, _ in by))
    rows = []
    for metric in metrics:
        of = METRICS[metric]
        rows.append([metric, *(measured(by.get((metric, arm))) for arm in arms), of.unit])
    return ["metric", *map(str, arms), "unit"], rows


def _pairs(summary: Summary, point: int) -> Table:
    by = {(r.metric, r.what): r for r in summary.differences if r.point == point}
    whats = [what for what, *_ in PAIRS if any(key[1] == what for key in by)]
    metrics = list(dict.fromkeys(metric for metric, _ in by))
    names = {what: f"{WHAT[what]} ({arm} - {less})" for what, arm, less in PAIRS}
    rows = [[m, *(measured(by.get((m, w))) for w in whats), METRICS[m].better] for m in metrics]
    return ["metric", *(names[what] for what in whats), "better"], rows


def _grid(summary: Summary, metric: str) -> Table:
    by = {(r.point, r.arm): r for r in summary.rows if r.metric == metric}
    arms = [arm for arm in Arm if any(key[1] == arm for key in by)]
    changes = {(r.point, r.what): r for r in summary.differences if r.metric == metric}
    whats = [what for what, *_ in PAIRS if any(key[1] == what for key in changes)]
    rows = [
        [
            point_name(point),
            *(measured(by.get((i, arm))) for arm in arms),
            *(measured(changes.get((i, what))) for what in whats),
        ]
        for i, point in enumerate(summary.points)
    ]
    return ["point", *map(str, arms), *(WHAT[what] for what in whats)], rows


def _metrics(summary: Summary, *, is_short: bool) -> list[str]:
    """Return the metrics to show: all, or those that the scenario asks about."""
    every = list(dict.fromkeys(row.metric for row in summary.rows))
    texts = [gate.gate for gate in summary.gates] + [row.until for row in summary.until]
    texts += [f"{row.value} >= 0" for row in summary.expected]
    wanted = {_read(one).metric for one in texts}
    chosen = [metric for metric in every if metric in wanted]
    return chosen if is_short and chosen else every


def _read(gate: str) -> Gate:
    return read_gate(gate, list(map(str, Arm)), METRICS, "gate")


def _lists(summary: Summary) -> Iterable[tuple[str, list[str]]]:
    """Yield the parts that are a line for each thing, those that there are."""
    if summary.gates:
        yield "gates", [_gate(summary, gate) for gate in summary.gates]
    if summary.until:
        lines = []
        for row in summary.until:
            width = "not measured" if row.width is None else f"width {number(row.width)}"
            state = "reached" if row.reached else "not reached"
            where = _where(summary, row.point)
            lines.append(f"{state}: {where}{row.until}: {width} with {row.seeds} seeds")
        yield "until", lines
    if summary.expected:
        lines = []
        for one in summary.expected:
            kind = METRICS[_read(f"{one.value} >= 0").metric].kind
            show = _percent if kind == "ratio" else number
            found = NOTHING
            if one.measured:
                middle, low, high = map(show, one.measured)
                found = f"{middle} ({low} to {high})"
            note = f"; {one.note}" if one.note else ""
            lines.append(
                f"{one.state}: {_where(summary, one.point)}{one.value} measured {found}, expected "
                f"{show(one.low)} to {show(one.high)} ({one.source}){note}"
            )
        yield "expected", lines
    if summary.failures:
        lines = [
            f"{_where(summary, f.point)}{f.arm} seed {f.seed}, tried {f.tries} times: {f.error}"
            for f in summary.failures
        ]
        more = summary.trials["failed"] - len(lines)
        yield "trials that failed", [*lines, *([f"and {more} more"] if more > 0 else [])]
    if summary.notes:
        yield "notes", summary.notes


def _gate(summary: Summary, gate: GateRow) -> str:
    read = _read(gate.gate)
    show = _percent if METRICS[read.metric].kind == "ratio" else number
    found = f"{gate.seeds} trials measured it"
    if gate.low is not None and gate.high is not None and gate.estimate is not None:
        found = f"{show(gate.estimate)} ({show(gate.low)} to {show(gate.high)})"
    return f"{gate.state}: {_where(summary, gate.point)}{gate.gate}: {found}"


def _where(summary: Summary, point: int) -> str:
    return f"{point_name(summary.points[point])}: " if len(summary.points) > 1 else ""


def _verdict(summary: Summary) -> str:
    if not summary.is_complete:
        words = "not everything has run"
    elif summary.exit == 1:
        words = "a gate is broken"
    elif summary.exit == 3:
        words = "nothing is broken, but not everything that was asked is known"
    else:
        words = "every gate holds" if summary.gates else "measured; there is no gate"
    return f"verdict: {words} (exit {summary.exit})"


def _columns(table: Table) -> str:
    head, rows = table
    every: Sequence[Sequence[str]] = [head, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    )


def _piped(table: Table) -> str:
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
