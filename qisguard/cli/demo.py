"""``qisguard demo``: the story from the network to the report, with nothing to configure."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from qisguard.exits import Exit

DEFAULT_OUT = Path("qisguard-demo")

Seed = Annotated[int, typer.Option(min=0, help="First seed; the others follow it.")]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print report.json instead of words.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer seeds, a third of the time.")]

OPTIONAL = {
    "lifelines": "lifelines is missing, so a synthetic cohort stands in for GBSG2 and is labelled "
    "so; to get it: pip install lifelines",
    "matplotlib": "matplotlib is missing, so there will be report.json but no report.html; "
    "to get it: pip install 'qisguard[lab]'",
}
"""What the demo can do without, and what that means."""


def demo(
    seed: Seed = 1, out: Out = DEFAULT_OUT, as_json: AsJson = False, quick: Quick = False
) -> None:
    """Form a network on this machine, ask it, attack it, defend it, audit it and report."""
    missing = [note for name, note in OPTIONAL.items() if find_spec(name) is None]
    for note in missing:
        typer.echo(f"note: {note}", err=True)

    from qisguard.cli.progress import Progress
    from qisguard.lab.demo.whole import run_demo
    from qisguard.reports import RENDERERS
    from qisguard.reports.summary import summary

    with Progress("demo") as progress:
        result = run_demo(seed, out, quick, progress.update)
        if OPTIONAL["matplotlib"] not in missing:
            progress.say("drawing the report")
            html = RENDERERS["html"].render({"report.json": result.encoded})
            result.save("report.html", html)
    if as_json:
        typer.echo(result.encoded.decode())
    else:
        prefix = "uv run " if "UV_RUN_RECURSION_DEPTH" in os.environ else ""
        typer.echo(summary(result.report, _next(out), prefix))
    raise typer.Exit(Exit.CLEAN if result.holds else Exit.FINDING)


def _next(out: Path) -> list[tuple[str, str]]:
    """Return what to type after a demo, and what it does."""
    commands = [
        (f"qisguard audit {out}/trails/* --trust {out}/policy", "verify every trail yourself"),
        (f"qisguard audit {out}/damaged/* --trust {out}/policy", "see a damaged one caught"),
    ]
    if (out / "report.html").exists():
        commands.append((f"xdg-open {out}/report.html", "the report (macOS: open)"))
    return commands
