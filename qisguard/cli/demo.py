"""``qisguard demo``: the story from the network to the report, with nothing to configure."""

from pathlib import Path

import typer

from qisguard.exits import Exit


def demo(
    seed: int = typer.Option(1, min=0, help="First seed; the others follow it."),
    out: Path = typer.Option(Path("qisguard-demo"), help="Folder for the results."),
    json: bool = typer.Option(False, "--json", help="Print report.json instead of words."),
    quick: bool = typer.Option(False, "--quick", help="Fewer seeds, a third of the time."),
) -> None:
    """Form a network on this machine, ask it, attack it, defend it, audit it and report."""
    from qisguard.cli.progress import Progress
    from qisguard.lab.demo import run_demo
    from qisguard.reports import RENDERERS
    from qisguard.reports.summary import summary

    with Progress("demo") as progress:
        result = run_demo(seed, out, quick, progress.update)
        progress.say("drawing the report")
        html = RENDERERS["html"].render({"report.json": result.encoded})
        result.save("report.html", html)
    if json:
        typer.echo(result.encoded.decode())
    else:
        typer.echo(summary(result.report, str(out)))
    raise typer.Exit(Exit.CLEAN if result.holds else Exit.FINDING)
