"""``qisguard bench``: measure, compare with a baseline and a bar, print."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # ``--help`` must not load numpy
    from qisguard.lab.bench.rows import Report, Row

Name = Annotated[str, typer.Argument(help="Which one; 'list' names them.")]
Seed = Annotated[int, typer.Option(min=0, help="First seed; repeats follow it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def bench(name: Name, seed: Seed = 1, as_json: AsJson = False) -> None:
    """Run a benchmark; exit 1 when a bar is not met."""
    from qisguard.cli.progress import Progress
    from qisguard.cli.words import echo_json, table
    from qisguard.lab.bench import registry

    if name == "list":
        benches = registry.BENCHES.items()
        if as_json:
            echo_json({name: bench.proves for name, bench in benches})
        else:
            typer.echo(table([(name, bench.proves) for name, bench in benches]))
        return
    with Progress(f"bench {name}") as progress:
        report = registry.run(name, seed, progress.update)
    if as_json:
        echo_json(report.as_json())
    else:
        show(report)
    raise typer.Exit(report.verdict)


def show(report: "Report") -> None:
    """Print a table of all rows, and where they were measured."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    for head in ("what", "value", "unit", "baseline", "ratio", "bar", "met"):
        numeric = head in ("value", "ratio")
        shown.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for row in report.rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        met = {None: "", True: "met", False: "NOT MET"}[row.ok]
        shown.add_row(
            row.name, _number(row.value), row.unit, _baseline(row), ratio, row.bar or "", met
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # lines are for programs then
    console.print(shown)
    with_bar = [row for row in report.rows if row.ok is not None]
    missed = sum(row.ok is False for row in with_bar)
    before, after = report.load
    where = ", ".join(f"{key} {value}" for key, value in report.machine.items())
    console.print(f"{len(with_bar) - missed} of {len(with_bar)} bars met (exit {report.verdict})")
    console.print(f"seed {report.seed}, {report.commit}; {where}; load {before:.1f}, {after:.1f}")


def _baseline(row: "Row") -> str:
    if row.baseline is None or row.baseline_value is None:
        return row.baseline or ""
    return f"{row.baseline}: {_number(row.baseline_value)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
