"""``qisguard node``: run nodes, ask a running one how it is, show what a configuration means."""

import os
from pathlib import Path
from typing import Annotated

import typer

from qisguard.cli.words import echo_json, table
from qisguard.exits import Exit

app = typer.Typer(
    help="Run a node as a service, and ask a running one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Configs = Annotated[
    list[Path], typer.Argument(metavar="CONFIG...", help="One TOML file for each node.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Override one value; repeatable."),
]
Show = Annotated[
    bool, typer.Option("--show-config", help="Print every value with its origin; run nothing.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Place = Annotated[
    Path, typer.Argument(metavar="CONFIG|STATE-FOLDER", help="The node's file or state folder.")
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the page docs/node-config.md.")]


@app.command("run")
def run(configs: Configs, sets: Sets = None, show: Show = False, as_json: AsJson = False) -> None:
    """Run the node of each configuration until SIGTERM (exit 0) or Ctrl-C (exit 130)."""
    import signal
    import sys

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.CLEAN))  # until the nodes listen to it
    from qisguard.service.config import load_config
    from qisguard.service.documents import as_json as config_json
    from qisguard.service.documents import as_text
    from qisguard.service.running import run_nodes

    loaded = [load_config(path, os.environ, sets or ()) for path in configs]
    if show:
        for config in loaded:
            typer.echo(config_json(config) if as_json else as_text(config))
            for warning in config.warnings():
                typer.echo(f"warning: {config.path}: {warning}", err=True)
        return
    ended = run_nodes(loaded)
    raise typer.Exit(Exit.INTERRUPTED if ended == signal.SIGINT else Exit.CLEAN)


@app.command("status")
def status(place: Place, as_json: AsJson = False) -> None:
    """Ask a running node how it is; exit 3 when it is not running."""
    from qisguard.errors import ServiceError
    from qisguard.service.asks import Control
    from qisguard.service.places import state_of

    state = state_of(place, os.environ)
    try:
        with Control(state) as control:
            told = control.status()
    except ServiceError as error:
        typer.echo(f"{error.code} {error}\ntry: qisguard node run CONFIG", err=True)
        raise typer.Exit(Exit.NOT_MEASURED) from None
    if as_json:
        echo_json({"schema": "qisguard.node-status/v1", **told})
        return
    counts = told.pop("counts", {})
    rows = []
    for name, value in told.items():
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        rows += [[f"{name} {part}".rstrip(), str(number)] for part, number in pairs]
    typer.echo(table(rows))
    typer.echo("counts")
    typer.echo(table([[f"  {name}", str(count)] for name, count in counts.items()]))
    if told.get("fault"):
        typer.echo("writes are refused: the store or the trail could not be made durable", err=True)


@app.command("config")
def config(markdown: Markdown = False) -> None:
    """Document every key of a configuration file."""
    from qisguard.service.documents import markdown as page
    from qisguard.service.options import options

    if markdown:
        typer.echo(page(), nl=False)
        return
    typer.echo(table([[option.key, option.allowed, option.doc] for option in options()]))
