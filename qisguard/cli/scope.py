"""``qisguard scope``: which hosts beyond this machine may be attacked, and with whose leave."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qisguard.cli.words import echo_json, table
from qisguard.exits import Exit

if TYPE_CHECKING:  # ``--help`` must not load cryptography
    from qisguard.identity.scope import Scope, Target

app = typer.Typer(
    help="Say which private hosts may be attacked: drafted, consented to, signed, checked.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Draft = Annotated[Path, typer.Argument(metavar="DRAFT", help="Draft made by scope init.")]
ScopeFile = Annotated[Path, typer.Argument(metavar="SCOPE", help="Signed scope file.")]
NetworkFile = Annotated[
    Path, typer.Option("--network", metavar="FILE", help="Signed file of the network.")
]
Authority = Annotated[
    str, typer.Option(metavar="KEY", help="Public key of the network's authority, or a file of it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Out = Annotated[Path, typer.Option(metavar="FILE", help="File to make; must not exist.")]


@app.command("init")
def init(
    out: Out,
    network: NetworkFile,
    authority: Authority,
    target: Annotated[
        list[str],
        typer.Option(metavar="HOST:LOW-HIGH=KEY", help="Host, ports and identity key; repeatable."),
    ],
    attack: Annotated[list[str], typer.Option(metavar="ID", help="What is allowed; repeatable.")],
    days: Annotated[float, typer.Option(help="How long it is valid from now, at most 30.")] = 1.0,
) -> None:
    """Draft a scope for its targets to consent to."""
    from qisguard.cli.identity import open_network_file
    from qisguard.identity.scope import Scope, write_draft

    now = int(time.time())
    joined = open_network_file(network, authority)
    targets = tuple(map(_target, target))
    scope = Scope(joined.id, tuple(attack), now, now + int(days * 86_400), targets)
    _write_new(out, write_draft(scope))
    typer.echo(f"next, each target: qisguard scope consent {out} --identity DIR")


@app.command("consent")
def agree(
    draft: Draft,
    identity: Annotated[Path, typer.Option(metavar="DIR", help="Identity folder of the target.")],
) -> None:
    """Sign, as a target, what the draft says about this identity's hosts."""
    from dataclasses import replace

    from qisguard.errors import IdentityError
    from qisguard.identity.keys import to_text
    from qisguard.identity.scope import consent, write_draft
    from qisguard.service.identities import read

    scope, key = _draft(draft), read(identity).key
    mine = [t for t in scope.targets if t.key == key.public]
    if not mine:
        raise IdentityError(f"{draft}: names no target with the key {to_text(key.public)}")
    targets = tuple(consent(scope, t, key) if t in mine else t for t in scope.targets)
    _replace(draft, write_draft(replace(scope, targets=targets)))
    missing = sum(not t.consent for t in targets)
    typer.echo(f"{len(mine)} of {len(targets)} targets consent now, {missing} are missing")


@app.command("sign")
def sign(
    draft: Draft,
    out: Out,
    key: Annotated[Path, typer.Option(metavar="FILE", help="The authority's secret key.")],
) -> None:
    """Sign, as the network's authority, a draft that every target consented to."""
    from qisguard.identity.scope import seal_scope
    from qisguard.service.identities import load_key

    _write_new(out, seal_scope(_draft(draft), load_key(key)))
    typer.echo(f"next: qisguard scope show {out} --network FILE --authority KEY")


@app.command("show")
def show(
    scope: ScopeFile, network: NetworkFile, authority: Authority, as_json: AsJson = False
) -> None:
    """Show what a signed scope allows."""
    from qisguard.identity.keys import to_text

    opened = open_signed(scope, network, authority)
    state = "valid" if opened.begins <= time.time() < opened.expires else "not valid now"
    if as_json:
        value = {
            "schema": "qisguard.scope/v1",
            "state": state,
            "attacks": opened.attacks,
            "begins": opened.begins,
            "expires": opened.expires,
            "targets": [
                {"host": t.host, "ports": t.ports, "key": to_text(t.key)} for t in opened.targets
            ],
        }
        echo_json(value)
        return
    typer.echo(f"{state}: from {_date(opened.begins)} until {_date(opened.expires)}")
    typer.echo(f"attacks: {', '.join(opened.attacks)}")
    rows = [[t.host, f"{t.ports[0]}-{t.ports[1]}", to_text(t.key)] for t in opened.targets]
    typer.echo(table(rows, ["host", "ports", "consented by"]))


@app.command("check")
def check(
    scope: ScopeFile,
    target: Annotated[str, typer.Argument(metavar="HOST:PORT", help="What is to be attacked.")],
    attack: Annotated[str, typer.Option(metavar="ID", help="The attack.")],
    network: NetworkFile,
    authority: Authority,
) -> None:
    """Say whether a scope allows an attack on an address now; exit 4 when it does not."""
    from qisguard.service.addresses import parse_address

    address = parse_address(target, "HOST:PORT")
    refusal = open_signed(scope, network, authority).refusal(address, attack, time.time())
    if refusal:
        typer.echo(f"refused: {refusal}")
        raise typer.Exit(Exit.REFUSED)
    typer.echo(f"allowed: {attack} against {target}")


def open_signed(path: Path, network: Path, authority: str) -> "Scope":
    """Return the scope in a signed file; raise QisguardError."""
    from qisguard.cli.identity import open_network_file, public_key
    from qisguard.identity.scope import open_scope

    return open_scope(_read(path), open_network_file(network, authority).id, public_key(authority))


def _draft(path: Path) -> "Scope":
    from qisguard.identity.scope import read_draft

    return read_draft(_read(path))


def _target(text: str) -> "Target":
    """Return the target in ``10.1.2.3:4400-4410=KEY``; one port may stand alone."""
    import re

    from qisguard.errors import ScenarioError
    from qisguard.identity.keys import KEY_SIZE, from_text
    from qisguard.identity.scope import Target

    found = re.fullmatch(r"\[?([0-9a-fA-F.:]+?)\]?:([0-9]{1,5})(?:-([0-9]{1,5}))?=(.+)", text)
    if not found:
        raise ScenarioError(
            f"--target = {text!r}, must be HOST:LOW-HIGH=KEY such as 10.1.2.3:4400-4410=KEY"
        )
    ports = int(found[2]), int(found[3] or found[2])
    return Target(found[1], ports, from_text(found[4], KEY_SIZE))


def _read(path: Path) -> bytes:
    from qisguard.errors import ScenarioError
    from qisguard.identity.signed import FILE_SIZE_MAX

    try:
        with path.open("rb") as file:
            return file.read(FILE_SIZE_MAX + 1)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from None


def _write_new(path: Path, data: bytes) -> None:
    from qisguard.errors import ScenarioError

    try:
        with path.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise ScenarioError(f"--out {path}: {error.strerror}") from None


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
