"""``qisguard trail stamp|batch|upgrade|info|headers``: proofs of time of a trail's checkpoints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from qisguard.exits import Exit

if TYPE_CHECKING:  # ``--help`` must not load cryptography
    from qisguard.notary.policy import NotaryPolicy
    from qisguard.service.stamping import Notaries, Worth

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Public folder of the trail.")]
Config = Annotated[
    Path | None,
    typer.Option("--node", metavar="CONFIG", help="Ask whom this node's configuration names."),
]
Calendar = Annotated[
    list[str] | None,
    typer.Option(metavar="URL", help="OpenTimestamps calendar to ask; repeat for several."),
]
Authority = Annotated[
    list[str] | None,
    typer.Option(metavar="URL", help="Time-stamping authority (RFC 3161) to ask; repeat."),
]
Timeout = Annotated[
    float | None, typer.Option(min=0.1, max=600.0, help="Seconds that each one has.")
]
Trust = Annotated[
    Path | None,
    typer.Option(
        "--policy", metavar="FILE", help="Known blocks and authorities: notary.toml of a policy."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def stamp(
    folder: Folder,
    node: Config = None,
    calendar: Calendar = None,
    authority: Authority = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Have the trail's checkpoint confirmed by those that the configuration or a flag names.

    Exits 0 when somebody confirmed or promised it, 3 when nobody answered. A promise is no proof:
    'qisguard trail upgrade' completes it some hours later.
    """
    from qisguard.errors import QisguardError
    from qisguard.service.stamping import stamp_trail

    try:
        notaries = _notaries(node, calendar, authority, timeout)
        if not notaries.calendars and not notaries.authorities:
            _refuse("QE-400", "nobody to ask: say --calendar URL, --authority URL or --node CONFIG")
        done = stamp_trail(folder, notaries)
    except (QisguardError, OSError) as error:
        _refuse(getattr(error, "code", "QE-600"), str(error))
    end = Exit.CLEAN if done.written or done.kept else Exit.NOT_MEASURED
    if as_json:
        names = {"written": done.written, "kept": done.kept, "problems": done.problems}
        _echo("stamp", end, size=done.size, **names)
    else:
        for path in done.written:
            typer.echo(f"{folder}/{path}: of the checkpoint of size {done.size}")
        for path in done.kept:
            typer.echo(f"{folder}/{path}: is there already, and kept")
        if any(path.endswith(".ots") for path in done.written):
            typer.echo(f"next, some hours later: qisguard trail upgrade {folder}")
        _tell(done.problems)
    raise typer.Exit(end)


def batch(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Public folders of the trails.")
    ],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Secret key that signs the receipts.")],
    node: Config = None,
    calendar: Calendar = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Have one stamp cover the checkpoints of many trails; each gets a receipt.

    Exits 0 when a calendar promised, 3 when none answered; 'qisguard trail upgrade' completes the
    receipt of each trail.
    """
    from qisguard.errors import QisguardError
    from qisguard.service.identities import load_key
    from qisguard.service.stamping import stamp_batch

    try:
        notaries = _notaries(node, calendar, None, timeout)
        if not notaries.calendars:
            _refuse("QE-400", "no calendar to ask: say --calendar URL or --node CONFIG")
        done = stamp_batch(folders, load_key(key), notaries)
    except (QisguardError, OSError) as error:
        _refuse(getattr(error, "code", "QE-600"), str(error))
    end = Exit.CLEAN if done.written or done.kept else Exit.NOT_MEASURED
    if as_json:
        names = {"written": done.written, "kept": done.kept, "problems": done.problems}
        _echo("batch", end, count=done.size, **names)
    else:
        for path in done.written:
            typer.echo(path)
        for path in done.kept:
            typer.echo(f"{path}: is complete already, and kept")
        _tell(done.problems)
    raise typer.Exit(end)


def upgrade(
    folder: Folder,
    node: Config = None,
    calendar: Calendar = None,
    timeout: Timeout = None,
    policy: Trust = None,
    as_json: AsJson = False,
) -> None:
    """Ask the named calendars what became of their promises.

    Exits 0 when no stamp waits any more, 1 when one is refuted, 3 when one still waits.
    """
    from qisguard.errors import ProofError, QisguardError
    from qisguard.service.stamping import upgrade_trail

    try:
        notaries = _notaries(node, calendar, None, timeout)
        if not notaries.calendars:
            _refuse("QE-400", "no calendar to ask: say --calendar URL or --node CONFIG")
        done = upgrade_trail(folder, notaries, _policy(policy))
    except ProofError as error:
        _refuse(error.code, str(error), Exit.FINDING)
    except (QisguardError, OSError) as error:
        _refuse(getattr(error, "code", "QE-600"), str(error))
    end = _verdict(done.proofs, waits_only=True)
    if as_json:
        rows = [_row(worth) for worth in done.proofs]
        _echo("upgrade", end, written=done.written, problems=done.problems, proofs=rows)
    else:
        _show(done.proofs)
        _tell(done.problems)
    raise typer.Exit(end)


def info(folder: Folder, policy: Trust = None, as_json: AsJson = False) -> None:
    """Say what every proof of time beside a trail is worth, offline.

    It trusts the copies of checkpoints beside the proofs; 'qisguard audit' compares those with the
    log. Exits 0 when every proof is complete, 1 when one is refuted, 3 when there is none or
    something is missing.
    """
    from qisguard.errors import ProofError, QisguardError
    from qisguard.service.stamping import describe_trail

    try:
        found = describe_trail(folder, _policy(policy))
    except ProofError as error:
        _refuse(error.code, str(error), Exit.FINDING)
    except (QisguardError, OSError) as error:
        _refuse(getattr(error, "code", "QE-600"), str(error))
    end = _verdict(found)
    if as_json:
        _echo("info", end, proofs=[_row(worth) for worth in found])
    else:
        _show(found)
    raise typer.Exit(end)


def headers(
    folder: Folder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Raw block headers, 80 bytes each.")],
    start: Annotated[int, typer.Option("--from", min=0, help="Height of the first of them.")],
    policy: Trust = None,
    as_json: AsJson = False,
) -> None:
    """Add block headers to the archive beside a trail, checked one by one.

    Exits 1 when a header does not hold: without work, out of its chain, or not the known block.
    """
    from qisguard.errors import ProofError, QisguardError
    from qisguard.service.stamping import add_headers

    try:
        archive = add_headers(folder, _read(file), start, _policy(policy))
    except ProofError as error:
        _refuse(error.code, str(error), Exit.FINDING)
    except (QisguardError, OSError) as error:
        _refuse(getattr(error, "code", "QE-600"), str(error))
    if as_json:
        _echo("headers", Exit.CLEAN, start=archive.start, tip=archive.tip, pinned=archive.pinned)
        return
    known = "none that the policy names" if archive.pinned is None else str(archive.pinned)
    typer.echo(f"blocks {archive.start} to {archive.tip}; known block: {known}")


def register(app: typer.Typer) -> None:
    """Add these commands to ``qisguard trail``."""
    for command in (stamp, batch, upgrade, info, headers):
        app.command(command.__name__)(command)


def _notaries(
    node: Path | None,
    calendars: list[str] | None,
    authorities: list[str] | None,
    timeout: float | None,
) -> "Notaries":
    """Return whom to ask: a flag replaces what the configuration says of its kind."""
    import os

    from qisguard.service.config import load_config
    from qisguard.service.stamping import TIMEOUT, Notaries
    from qisguard.transport.web import check_url

    named = {"--calendar": calendars or [], "--authority": authorities or []}
    if node is not None:
        table = load_config(node, os.environ, is_run=False).notary
        timeout = timeout or float(table.timeout)
        configured = {"--calendar": table.calendars, "--authority": table.authorities}
        named = {flag: given or list(configured[flag]) for flag, given in named.items()}
    checked = {flag: tuple(check_url(url, flag) for url in urls) for flag, urls in named.items()}
    return Notaries(checked["--calendar"], checked["--authority"], timeout or TIMEOUT)


def _policy(path: Path | None) -> "NotaryPolicy":
    from qisguard.notary.policy import NotaryPolicy, parse_notary_policy

    return NotaryPolicy() if path is None else parse_notary_policy(_read(path))


def _read(path: Path) -> bytes:
    from qisguard.notary.headers import ARCHIVE_SIZE_MAX

    with path.open("rb") as file:
        return file.read(ARCHIVE_SIZE_MAX)


def _verdict(found: "list[Worth]", *, waits_only: bool = False) -> Exit:
    from qisguard.notary.judging import State

    states = {worth.judgement.state for worth in found}
    if State.REFUTED in states:
        return Exit.FINDING
    if waits_only:
        return Exit.NOT_MEASURED if any(worth.waits_for for worth in found) else Exit.CLEAN
    return Exit.CLEAN if states == {State.ANCHORED} else Exit.NOT_MEASURED


def _show(found: "list[Worth]") -> None:
    from qisguard.cli.words import table

    if not found:
        typer.echo("no proof of time; next: qisguard trail stamp DIR --calendar URL")
        return
    rows = [[worth.file, str(worth.judgement.state), worth.judgement.reason] for worth in found]
    typer.echo(table(rows))


def _row(worth: "Worth") -> dict[str, object]:
    return {
        "file": worth.file,
        "size": worth.size,
        "state": str(worth.judgement.state),
        "reason": worth.judgement.reason,
        "time": worth.judgement.time,
        "margin": worth.judgement.margin,
        "waits_for": list(worth.waits_for),
    }


def _tell(problems: list[str]) -> None:
    for problem in problems:
        typer.echo(problem, err=True)


def _echo(what: str, end: Exit, **values: object) -> None:
    from qisguard.cli.words import echo_json

    echo_json({"schema": f"qisguard.trail-{what}/v1", **values, "exit": int(end)})


def _refuse(code: str, what: str, end: Exit = Exit.USAGE) -> NoReturn:
    typer.echo(f"{code} {what}\ntry: qisguard trail --help", err=True)
    raise typer.Exit(end)
