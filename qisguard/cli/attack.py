"""``qisguard attack``: run attacks against networks and nodes, and measure what they do."""

import typer

from qisguard.cli.probe import probe
from qisguard.cli.reproduce import reproduce

app = typer.Typer(
    help="Run attacks against networks and nodes, and measure what they do.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("probe")(probe)
app.command("reproduce")(reproduce)


@app.callback()
def attack() -> None:
    """Run attacks against networks and nodes, and measure what they do."""
