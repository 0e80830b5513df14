"""``qisguard attack``: which attacks there are, what they do, and what defences change."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qisguard.cli.cleanup import cleanup
from qisguard.cli.probe import probe
from qisguard.cli.reproduce import reproduce
from qisguard.cli.words import echo_json, table
from qisguard.exits import Exit

if TYPE_CHECKING:  # ``--help`` must not load what runs trials
    from qisguard.lab.campaign.folder import RunFolder
    from qisguard.lab.campaign.plan import Plan
    from qisguard.lab.campaign.workers import Workers
    from qisguard.lab.journal.writing import Journal

app = typer.Typer(
    help="Attack a laboratory network, measure what that does, and what defences change.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RUNS = Path("qisguard-runs")

Name = Annotated[str, typer.Argument(metavar="FILE|ID", help="A scenario file, or a name.")]
File = Annotated[str, typer.Argument(metavar="FILE|ID", help="A scenario with a [grid].")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help=f"Folder for the run; {RUNS}/NAME-N unless given."),
]
Seeds = Annotated[int | None, typer.Option(help="Seeds instead of what the file says.")]
Until = Annotated[
    str | None,
    typer.Option(metavar="WIDTH", help="More seeds until, say, 'defended.success.width < 0.02'."),
]
FailOn = Annotated[
    list[str] | None,
    typer.Option(metavar="GATE", help="One more gate, such as 'defended.success >= 0.95'."),
]
Count = Annotated[
    int | None,
    typer.Option(min=1, envvar="QISGUARD_WORKERS", help="Processes; one for each core."),
]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run on a Dask cluster instead.")
]
Jobs = Annotated[int, typer.Option(min=0, help="Trials to run again; all unless given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """Name every attack, and every scenario that comes with qisguard."""
    from qisguard.lab.campaign import catalogue

    attacks, scenarios = catalogue.attacks(), catalogue.scenarios()
    if as_json:
        echo_json({"attacks": attacks, "scenarios": scenarios})
        return
    keys = ("id", "family", "engine", "summary")
    for title, rows in (("attack", attacks), ("scenario", scenarios)):
        typer.echo(table([[row[key] for key in keys] for row in rows], (title, *keys[1:])))
        typer.echo()
    typer.echo("next: qisguard attack show ID, qisguard attack run SCENARIO")


@app.command("show")
def show(name: Name, as_json: AsJson = False) -> None:
    """Tell what an attack or a scenario is: what it needs, breaks, and looks like."""
    from qisguard.lab.campaign import catalogue

    found = catalogue.show_one(name)
    if as_json:
        echo_json(found)
    else:
        from qisguard.reports.cards import card

        typer.echo(card(found))


@app.command("plan")
def plan(
    name: Name,
    seeds: Seeds = None,
    until: Until = None,
    fail_on: FailOn = None,
    workers: Count = None,
    as_json: AsJson = False,
) -> None:
    """Check a scenario, and tell what its run would cost; no campaign is started.

    One trial of each arm is measured for that. A file with a [grid] is planned as a sweep.
    """
    from dataclasses import asdict

    from qisguard.lab.campaign.drive import cores
    from qisguard.lab.campaign.estimate import estimate
    from qisguard.lab.scenario.loading import point_name

    made, _ = _plan(name, seeds, until, fail_on, is_sweep=None)
    cost = estimate(made, workers or cores())
    if as_json:
        echo_json({"name": made.name, "scenario_digest": made.digest, **asdict(cost)})
        return
    loaded = made.loaded[cost.point]
    rows = [
        ["scenario", f"{made.name} ({made.digest[:12]}), engine {', '.join(made.engines)}"],
        ["points", f"{cost.points}, each with the arms {', '.join(loaded.arms)}"],
        ["seeds", f"{cost.seeds}" + (f", up to {cost.most}" if cost.most > cost.seeds else "")],
        [
            "trials",
            f"{cost.jobs}" + (f", up to {cost.jobs_most}" if cost.most > cost.seeds else ""),
        ],
        ["nodes", f"{cost.nodes} in the largest network, attackers included"],
        ["one trial", ", ".join(f"{arm} {s:.2f} s" for arm, s in cost.measured.items())],
        ["time", f"about {_duration(cost.seconds)} with {cost.workers} workers"],
    ]
    if cost.points > 1:
        rows[5][1] += f" at {point_name(made.points[cost.point])}"
    typer.echo(table(rows))
    word = "sweep" if cost.points > 1 else "run"
    typer.echo(f"\nevery value is allowed; next: qisguard attack {word} {shlex.quote(name)}")


@app.command("run")
def run(
    name: Name,
    out: Out = None,
    seeds: Seeds = None,
    until: Until = None,
    fail_on: FailOn = None,
    workers: Count = None,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Run a scenario with the values of the file, in every arm and with every seed.

    Exits 1 when a gate is broken, 3 when a gate, a width or a trial is not measured, otherwise 0.
    """
    made, options = _plan(name, seeds, until, fail_on, is_sweep=False)
    _start(made, options, out, (workers, scheduler), as_json)


@app.command("sweep")
def sweep(
    name: File,
    out: Out = None,
    seeds: Seeds = None,
    until: Until = None,
    fail_on: FailOn = None,
    workers: Count = None,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Run a scenario at every point of its grid; exits like ``run``."""
    made, options = _plan(name, seeds, until, fail_on, is_sweep=True)
    _start(made, options, out, (workers, scheduler), as_json)


@app.command("resume")
def resume(
    run: Run, workers: Count = None, scheduler: Scheduler = None, as_json: AsJson = False
) -> None:
    """Go on with a run that was interrupted, and try again what failed; exits like ``run``."""
    from qisguard.lab.campaign.folder import open_run
    from qisguard.lab.journal.writing import begin

    with begin() as journal:
        _work(open_run(run), _workers(workers, scheduler, journal), as_json, journal)


@app.command("replay")
def replay(run: Run, jobs: Jobs = 0, workers: Count = None, as_json: AsJson = False) -> None:
    """Run trials of a run again and compare what happened; exits 1 when anything differs."""
    from qisguard import __version__
    from qisguard.cli.progress import Progress
    from qisguard.lab.campaign.folder import open_run
    from qisguard.lab.campaign.replay import replay as again
    from qisguard.lab.journal.writing import begin

    folder = open_run(run)
    before = folder.run.versions
    if before["qisguard"] != __version__:
        old = before["qisguard"]
        typer.echo(f"note: the run was of qisguard {old}, this is {__version__}", err=True)
    with begin() as journal, Progress("attack replay") as progress:
        found = again(folder, _workers(workers, None, journal), jobs, progress.update)
    differing = [one for one in found if not one.is_equal]
    end = Exit.FINDING if differing else Exit.CLEAN
    if as_json:
        rows = [
            {
                "point": folder.plan.points[one.done.entry.point],
                "arm": one.done.entry.arm,
                "seed": one.done.entry.seed,
                "before": one.done.measured.digest,
                "now": one.digest,
                "error": one.error,
            }
            for one in differing
        ]
        echo_json({"trials": len(found), "differing": rows, "exit": int(end)})
        raise typer.Exit(end)
    for one in differing:
        entry = one.done.entry
        now = one.error or one.digest[:16]
        typer.echo(
            f"differs: {folder.plan.points[entry.point]} {entry.arm} seed {entry.seed}: "
            f"{one.done.measured.digest[:16]} before, {now} now"
        )
    equal = len(found) - len(differing)
    typer.echo(f"{equal} of {len(found)} trials gave the same digest again (exit {end})")
    raise typer.Exit(end)


@app.command("query")
def query(
    run: Run,
    sql: Annotated[str, typer.Argument(metavar="SELECT", help="About the table results.")],
    as_json: AsJson = False,
) -> None:
    """Ask about a run in SQL (DuckDB): ``results`` has a row for each trial and metric."""
    from qisguard.lab.campaign.folder import RESULTS
    from qisguard.lab.campaign.results import ask

    columns, rows = ask(run / RESULTS, sql)
    if as_json:
        from msgspec import to_builtins

        echo_json([to_builtins(dict(zip(columns, row, strict=True))) for row in rows])
    else:
        typer.echo(table([["" if c is None else str(c) for c in row] for row in rows], columns))


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors that check as one types."""
    from qisguard.lab.campaign.catalogue import schema as found

    echo_json(found())


app.command("probe")(probe)
app.command("cleanup")(cleanup)
app.command("reproduce")(reproduce)


def _plan(
    name: str,
    seeds: int | None,
    until: str | None,
    fail_on: list[str] | None,
    *,
    is_sweep: bool | None,
) -> "tuple[Plan, Any]":
    """Return the plan of a command; ``is_sweep`` None leaves it to the file."""
    from qisguard.lab.campaign.catalogue import read
    from qisguard.lab.campaign.plan import Options, has_grid, make_plan

    data = read(name)
    options = Options(seeds, until or "", tuple(fail_on or ()))
    if is_sweep is False and has_grid(data):
        typer.echo(
            "note: this runs the values of the file alone; for its grid: "
            f"qisguard attack sweep {shlex.quote(name)}",
            err=True,
        )
    whole = has_grid(data) if is_sweep is None else is_sweep
    return make_plan(data, options, is_sweep=whole), options


def _workers(
    count: int | None, scheduler: str | None, journal: "Journal"
) -> "Callable[[], Workers]":
    """Return what makes the workers that were asked for."""
    if scheduler is not None:
        if count is not None:
            raise typer.BadParameter("--workers is about this machine, --scheduler about others")
        from qisguard.lab.campaign.cluster import Cluster

        return lambda: Cluster(scheduler)
    from qisguard.lab.campaign.drive import cores
    from qisguard.lab.campaign.pool import Pool

    return lambda: Pool(count or cores(), journal=journal)


def _start(
    made: "Plan",
    options: Any,
    out: Path | None,
    wanted: tuple[int | None, str | None],
    as_json: bool,
) -> None:
    from qisguard.lab.campaign.folder import create_run, free_folder
    from qisguard.lab.journal.writing import begin

    command = shlex.join(["qisguard", *sys.argv[1:]])
    with begin() as journal:
        workers = _workers(*wanted, journal)
        folder = create_run(out or free_folder(made.name, RUNS), made, options, command, journal)
        _work(folder, workers, as_json, journal)


def _work(
    folder: "RunFolder", workers: "Callable[[], Workers]", as_json: bool, journal: "Journal"
) -> None:
    """Run what is left, write what people read, print it, and exit with the verdict."""
    from qisguard.cli.progress import Progress
    from qisguard.errors import ServiceError
    from qisguard.lab.campaign.drive import work
    from qisguard.reports.campaign import markdown, text

    with Progress(f"attack {folder.run.name}") as progress:
        try:
            summary = work(folder, workers, progress.update, journal)
        except ServiceError as error:  # nobody is there to run trials
            typer.echo(f"{error.code} {error}", err=True)
            typer.echo(f"to go on: qisguard attack resume {folder.path}", err=True)
            raise typer.Exit(Exit.NOT_MEASURED) from None
        except BaseException:
            typer.echo(f"to go on: qisguard attack resume {folder.path}", err=True)
            raise
        with journal.results(folder.path):
            folder.write("summary.md", markdown(summary, folder.replay))
            _draw(folder, summary)
    if as_json:
        from msgspec import to_builtins

        echo_json({**to_builtins(summary), "run": str(folder.path), "replay": folder.replay})
    else:
        prefix = "uv run " if "UV_RUN_RECURSION_DEPTH" in os.environ else ""
        typer.echo(text(summary, prefix + folder.replay))
    raise typer.Exit(summary.exit)


def _draw(folder: "RunFolder", summary: Any) -> None:
    from qisguard.errors import QisguardError
    from qisguard.reports.campaign_plots import plots

    try:
        drawn = plots(summary)
    except QisguardError as error:  # matplotlib is an extra, and so are figures
        typer.echo(f"note: no plots: {error}", err=True)
        return
    for name, data in drawn.items():
        folder.write(name, data)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
