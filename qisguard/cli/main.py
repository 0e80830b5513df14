"""The command ``qisguard``: registers commands and turns errors into one line and an exit code.

Only Typer is imported here and in the command modules; what a command needs loads when it runs.
"""

import os
import signal
import sys
from typing import Any

import typer

from qisguard import __version__
from qisguard.cli.attack import app as attack_app
from qisguard.cli.audit import audit
from qisguard.cli.bench import bench
from qisguard.cli.calibrate import calibrate
from qisguard.cli.demo import demo
from qisguard.cli.identity import app as identity
from qisguard.cli.net import app as net_app
from qisguard.cli.node import app as node_app
from qisguard.cli.publish import publish
from qisguard.cli.query import query
from qisguard.cli.scope import app as scope_app
from qisguard.cli.template import app as template_app
from qisguard.cli.trail import app as trail_app
from qisguard.cli.witnessing import cosign, witness
from qisguard.errors import QisguardError
from qisguard.exits import Exit

USAGE_ERROR: Any = typer.BadParameter.__bases__[0]
"""What Typer raises for wrong arguments; some versions carry a copy of Click of their own."""

app = typer.Typer(
    name="qisguard",
    help="Attack, defend and audit peer-to-peer networks that contain liars.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo)
app.command("audit")(audit)
app.command("bench")(bench)
app.command("calibrate")(calibrate)
app.add_typer(identity, name="id")
app.command("publish")(publish)
app.command("query")(query)
app.add_typer(template_app, name="template")
trail_app.command("witness")(witness)
trail_app.command("cosign")(cosign)
app.add_typer(trail_app, name="trail")
app.add_typer(node_app, name="node")
app.add_typer(net_app, name="net")
app.add_typer(scope_app, name="scope")
app.add_typer(attack_app, name="attack")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qisguard {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Attack, defend and audit peer-to-peer networks that contain liars."""


def main() -> None:
    """Run the command line; every exit code is one of ``Exit``."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both leave nothing behind
    try:
        status = app(standalone_mode=False)
    except USAGE_ERROR as error:
        error.show()
        if error.ctx is None or error.ctx.command.get_help_option(error.ctx) is None:
            typer.echo(f"try: qisguard {_command()}--help", err=True)
        sys.exit(Exit.USAGE)
    except QisguardError as error:
        typer.echo(f"{error.code} {error}", err=True)
        typer.echo(f"try: qisguard {_command()}--help", err=True)
        sys.exit(Exit.USAGE)
    except (typer.Abort, KeyboardInterrupt):
        status = Exit.INTERRUPTED  # newer Typer returns this code instead of raising
    except Exception as error:
        if os.environ.get("QISGUARD_DEBUG"):
            raise
        typer.echo(f"qisguard: internal error: {type(error).__name__}: {error}", err=True)
        typer.echo(
            "Set QISGUARD_DEBUG=1 and run it again for the traceback; please report.", err=True
        )
        sys.exit(Exit.INTERNAL)
    if status == Exit.INTERRUPTED:
        typer.echo("qisguard: interrupted; nothing is left running", err=True)
    sys.exit(status)


def _command() -> str:
    """Return the command that was typed, for the hint."""
    words = sys.argv[1:]
    for word in words:
        if any(command.name == word for command in app.registered_commands):
            return f"{word} "
        for group in app.registered_groups:
            if group.name == word and group.typer_instance:
                inner = {command.name for command in group.typer_instance.registered_commands}
                second = next((f"{name} " for name in words if name in inner), "")
                return f"{word} {second}"
    return ""
