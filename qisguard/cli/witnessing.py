"""``qisguard trail witness`` and ``qisguard trail cosign``: the witness protocol over HTTP."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from qisguard.cli.trail import AsJson, Folder, KeyFile, State
from qisguard.exits import Exit

_ENDS = {"QE-800": Exit.NOT_MEASURED, "QE-500": Exit.FINDING}
"""A witness that cannot be reached or refuses; one that remembers more than the log, or lies."""

if TYPE_CHECKING:  # ``--help`` must not load cryptography
    from qisguard.service.witnessing import Standing


def witness(
    log: Annotated[
        list[str], typer.Option("--log", metavar="VKEY", help="Key of a log to cosign; repeatable.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of this witness; has no spaces.")],
    key: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Its own secret key, used for nothing else."),
    ],
    state: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of what it has cosigned; never lose it.")
    ],
    listen: Annotated[
        str, typer.Option(metavar="IP:PORT", help="TCP address to serve on.")
    ] = "127.0.0.1:7380",
    expose: Annotated[
        bool, typer.Option("--expose", help="Allow an address that is not loopback.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Cosign checkpoints of logs over HTTP until SIGTERM (exit 0) or Ctrl-C (exit 130)."""
    from qisguard.errors import QisguardError
    from qisguard.service.witnessing import run_witness

    def tell(standing: "Standing") -> None:
        value: dict[str, object] = {
            "witness": standing.key.vkey,
            "url": standing.url,
            "logs": standing.log_count,
        }
        _show("witness", value, as_json=as_json)

    try:
        is_interrupted = run_witness(name, key, log, state, listen, expose, tell)
    except (QisguardError, OSError) as error:
        _refuse(error)
    raise typer.Exit(Exit.INTERRUPTED if is_interrupted else Exit.CLEAN)


def cosign(
    folder: Folder,
    key: KeyFile,
    witness: Annotated[str, typer.Option(metavar="VKEY", help="Key of the witness.")],
    url: Annotated[str, typer.Option(metavar="URL", help="Its submission prefix.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Have the checkpoint of a trail cosigned by a witness, and keep its line."""
    from qisguard.errors import QisguardError
    from qisguard.service.trails import Place
    from qisguard.service.witnessing import cosign_trail

    try:
        head, said = cosign_trail(Place.of(folder, state), key, witness, url)
    except (QisguardError, OSError) as error:
        _refuse(error)
    value: dict[str, object] = {
        "witness": said.witness.name,
        "size": head.size,
        "root": head.root.hex(),
        "time": said.time,
    }
    _show("cosigned", value, as_json=as_json)


def _show(what: str, value: dict[str, object], *, as_json: bool) -> None:
    from qisguard.cli.words import echo_json, table

    if as_json:
        echo_json({"schema": f"qisguard.{what}/v1", **value})
    else:
        typer.echo(table([(name, str(found)) for name, found in value.items()]))
    sys.stdout.flush()  # a witness goes on for long, and somebody waits for its address


def _refuse(error: Exception) -> NoReturn:
    """Print an error of ours, or of a file."""
    what = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
    typer.echo(f"{getattr(error, 'code', 'QE-600')} {what}\ntry: qisguard trail --help", err=True)
    raise typer.Exit(_ENDS.get(getattr(error, "code", ""), Exit.USAGE))
