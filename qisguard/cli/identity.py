"""``qisguard id``: make, show and renew the identity of a node, and make keys that sign packets."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from qisguard.exits import Exit

if TYPE_CHECKING:  # ``--help`` must not load cryptography
    from qisguard.identity.descriptor import Identity
    from qisguard.identity.network import Network
    from qisguard.service.mining import Effort

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the identity.")]
NetworkFile = Annotated[
    Path, typer.Option("--network", metavar="FILE", help="Signed file of the network.")
]
Authority = Annotated[
    str,
    typer.Option(metavar="KEY", help="Public key of the network's authority, or a file of it."),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder to make; must not exist.")]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, max=1_024, help="Processes to search with; as many as cores if not given."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def identity() -> None:
    """Make, show and renew the identity of a node; make keys that sign packets."""


@app.command()
def new(
    network: NetworkFile,
    authority: Authority,
    out: Out,
    jobs: Jobs = None,
    as_json: AsJson = False,
) -> None:
    """Solve both puzzles of a network on all cores and write a fresh identity.

    The search is memoryless: how long it still takes does not depend on how long it has taken.
    Interrupted, it leaves nothing.
    """
    from qisguard.cli.progress import Progress
    from qisguard.errors import QisguardError
    from qisguard.service.identities import create

    try:
        joined = open_network_file(network, authority)
        with Progress("id new", counted=False) as progress:
            progress.say(f"a key of {joined.c1} bits, then {_price(joined)}")
            made = create(out, joined, jobs=jobs, watch=lambda e: progress.tell(_words(e)))
    except QisguardError as error:
        _refuse(error)
    _show(out, made, joined, as_json)


@app.command()
def show(
    folder: Folder, network: NetworkFile, authority: Authority, as_json: AsJson = False
) -> None:
    """Show an identity and whether its puzzles are solved; exit 1 when one is not."""
    from qisguard.errors import QisguardError
    from qisguard.service.identities import read

    try:
        joined, found = open_network_file(network, authority), read(folder)
    except QisguardError as error:
        _refuse(error)
    _show(folder, found, joined, as_json)


@app.command()
def mine(
    folder: Folder,
    network: NetworkFile,
    authority: Authority,
    jobs: Jobs = None,
    as_json: AsJson = False,
) -> None:
    """Solve the dynamic puzzle again, for the epoch of the network file.

    Nothing is done when the solution holds already. Interrupted, it leaves the old one.
    """
    from qisguard.cli.progress import Progress
    from qisguard.errors import QisguardError
    from qisguard.service.identities import read, renew_solution

    try:
        joined = open_network_file(network, authority)
        found = read(folder)
        if not all(met >= wanted for met, wanted in _bits(found, joined)):
            with Progress("id mine", counted=False) as progress:
                progress.say(_price(joined))
                watch = lambda e: progress.tell(_words(e))  # noqa: E731 one line, used once
                found = renew_solution(folder, joined, jobs=jobs, watch=watch)
    except QisguardError as error:
        _refuse(error)
    _show(folder, found, joined, as_json)


@app.command()
def author(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="File to make; must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Make a key that signs packets, and print its public half for the roster."""
    from qisguard.errors import QisguardError
    from qisguard.identity.keys import to_text
    from qisguard.service.identities import create_key

    try:
        public = to_text(create_key(path).public)
    except QisguardError as error:
        _refuse(error)
    if as_json:
        typer.echo(json.dumps({"schema": "qisguard.author/v1", "file": str(path), "key": public}))
    else:
        typer.echo(public)


def open_network_file(path: Path, authority: str) -> "Network":
    """Return the network of a signed file; raise QisguardError."""
    from qisguard.errors import IdentityError, QisguardError
    from qisguard.identity.network import open_network
    from qisguard.identity.signed import FILE_SIZE_MAX

    key = public_key(authority)
    try:
        with path.open("rb") as file:
            return open_network(file.read(FILE_SIZE_MAX + 1), key)
    except OSError as error:
        raise IdentityError(f"--network {path}: {error.strerror}; type: ls -ld {path}") from None
    except QisguardError as error:
        raise type(error)(f"--network {path}: {error}") from None


def public_key(given: str) -> bytes:
    """Return the key that was given, or the one in the file that was."""
    from qisguard.errors import DecodeError, IdentityError
    from qisguard.identity.keys import KEY_SIZE, from_text

    try:
        return from_text(given, KEY_SIZE)
    except DecodeError as error:
        reason = str(error)
    try:
        with Path(given).open("rb") as file:
            return from_text(file.read(64).decode("latin-1").removesuffix("\n"), KEY_SIZE)
    except DecodeError as error:
        reason = str(error)
    except (OSError, ValueError):  # a NUL in a path is a ValueError
        pass
    raise IdentityError(f"--authority {given}: neither a key nor a file with one: {reason}")


def _price(network: "Network") -> str:
    if network.cost is None:
        return f"2^{network.c2} hashes on average"
    passes = "one pass" if network.passes == 1 else f"{network.passes} passes"
    return f"2^{network.c2} Argon2id evaluations of {network.memory} KiB, {passes}, on average"


def _words(effort: "Effort") -> str:
    jobs = "one process" if effort.jobs == 1 else f"{effort.jobs} processes"
    return (
        f"{effort.name} of {effort.bits} bits, {jobs}: {effort.tries:,} tries in "
        f"{effort.elapsed:.0f} s; {effort.done_ratio:.0%} are done by now; from any moment about "
        f"{effort.left:.0f} s more are expected ({effort.expected:,.0f} tries)"
    )


def _bits(found: "Identity", network: "Network") -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (bits met, bits wanted) of the static and of the dynamic puzzle."""
    from qisguard.identity.puzzle import dynamic_bits, static_bits

    where = (network.id, network.epoch, found.id)
    dynamic = dynamic_bits(*where, found.solution, network.cost)
    return (static_bits(found.id), network.c1), (dynamic, network.c2)


def _show(folder: Path, found: "Identity", network: "Network", as_json: bool) -> NoReturn:
    """Print an identity and exit 0 when both puzzles are solved, 1 when one is not."""
    from qisguard.identity.ids import short, to_bytes
    from qisguard.identity.keys import to_text

    static, dynamic = _bits(found, network)
    end = Exit.CLEAN
    command = f"qisguard id mine {folder} --network FILE --authority KEY"
    if dynamic[0] < dynamic[1]:
        end = Exit.FINDING
    if static[0] < static[1]:
        end = Exit.FINDING
        command = "qisguard id new --network FILE --authority KEY --out DIR"
    keys = {
        "identity": found.key.public,
        "tls": found.tls.public,
        "log": found.log.public,
        "witness": found.witness.public,
    }
    if as_json:
        value = {
            "schema": "qisguard.identity/v1",
            "folder": str(folder),
            "network": network.name,
            "id": to_text(to_bytes(found.id)),
            "short": short(found.id),
            "keys": {name: to_text(key) for name, key in keys.items()},
            "static": {"bits": static[0], "wanted": static[1], "solved": static[0] >= static[1]},
            "dynamic": {
                "form": network.puzzle.value,
                "bits": dynamic[0],
                "wanted": dynamic[1],
                "solved": dynamic[0] >= dynamic[1],
            },
            "exit": int(end),
        }
        typer.echo(json.dumps(value, indent=2))
        raise typer.Exit(end)
    lines = [
        f"identity        {folder}",
        f"network         {network.name}",
        f"node id         {to_text(to_bytes(found.id))} ({short(found.id)})",
        *(f"{name + ' key':15} {to_text(key)}" for name, key in keys.items()),
        f"static puzzle   {_state(*static)}",
        f"dynamic puzzle  {_state(*dynamic)} ({network.puzzle.value}, this epoch)",
    ]
    typer.echo("\n".join(lines))
    if end is Exit.FINDING:
        typer.echo(f"next: {command}")
    raise typer.Exit(end)


def _state(bits: int, wanted: int) -> str:
    word = "solved" if bits >= wanted else "NOT SOLVED"
    return f"{word}: {bits} bits, {wanted} wanted"


def _refuse(error: Exception) -> NoReturn:
    """Print an error of ours and the command that it names."""
    what, _, command = str(error).partition("; type: ")
    code = getattr(error, "code", "QE-000")
    typer.echo(f"{code} {what}\ntry: {command or 'qisguard id --help'}", err=True)
    raise typer.Exit(Exit.USAGE)
