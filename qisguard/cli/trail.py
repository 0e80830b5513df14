"""``qisguard trail``: start, append to, prove, export, mirror and restore logs by hand."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from qisguard.cli import stamping
from qisguard.exits import Exit

if TYPE_CHECKING:  # ``--help`` must not load cryptography
    from qisguard.trail.bundle import Bundle

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Public folder of the trail.")]
KeyFile = Annotated[
    Path,
    typer.Option("--key", metavar="FILE", help="Secret key of the log, as 'qisguard id author'."),
]
State = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Private folder of the trail; DIR-state if not given."),
]
Day = Annotated[
    int | None, typer.Option(min=0, help="Calendar day, since 1970; today if not given.")
]
What = Annotated[
    str,
    typer.Argument(
        metavar="KEY|PACKET",
        help="Similarity key, a packet's digest or file, or the index of an entry.",
    ),
]
TrailOf = Annotated[Path, typer.Option("--trail", metavar="DIR", help="Public folder.")]
First = Annotated[int, typer.Option("--from", min=0, help="Index to start looking from.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def trail() -> None:
    """Start, append to, prove, export, mirror and restore audit trails."""


@app.command()
def init(
    folder: Folder,
    origin: Annotated[str, typer.Option(metavar="NAME", help="Name of the log; has no spaces.")],
    key: KeyFile,
    state: State = None,
    succeeds: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Last checkpoint of a log that this one replaces."),
    ] = None,
    day: Day = None,
    as_json: AsJson = False,
) -> None:
    """Start a log and print the key by which others know it."""
    from qisguard.errors import QisguardError
    from qisguard.service import trails

    place = trails.Place.of(folder, state)
    try:
        found = trails.create(place, origin, key, succeeds, trails.today() if day is None else day)
    except (QisguardError, OSError) as error:
        _refuse(error)
    _print(
        "trail",
        {"trail": str(place.public), "state": str(place.state), "log": found.vkey},
        as_json=as_json,
    )


@app.command()
def append(
    folder: Folder,
    key: KeyFile,
    packets: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PACKET...", help="Files of packets, or folders of them."),
    ] = None,
    report: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Log the digest of a report.")
    ] = None,
    state: State = None,
    day: Day = None,
    as_json: AsJson = False,
) -> None:
    """Log packets and reports, and sign the checkpoint.

    What the command says was appended is on the disk; a packet that the log has is left alone.
    """
    from qisguard.cli.progress import Progress
    from qisguard.errors import QisguardError
    from qisguard.service import trails

    if not packets and not report:
        _refuse(_usage("append: nothing to append; type: qisguard trail append --help"))
    try:
        with Progress("trail append") as progress:
            done = trails.append(
                trails.Place.of(folder, state),
                key,
                packets or [],
                report or [],
                trails.today() if day is None else day,
                lambda done, total: progress.update("entries", done, total),
            )
    except (QisguardError, OSError) as error:
        _refuse(error)
    _print(
        "appended",
        {
            "appended": done.appended_count,
            "known before": done.known_count,
            "size": done.head.size,
            "root": done.head.root.hex(),
        },
        as_json=as_json,
    )


@app.command()
def prove(
    what: What,
    folder: TrailOf,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write; printed if not given.")
    ] = None,
    first: First = 0,
) -> None:
    """Prove what a trail holds of a key or packet: a bundle for 'qisguard audit bundle'.

    Exits 3 when no entry names it; that is no proof that it was never logged.
    """
    from qisguard.errors import QisguardError
    from qisguard.service import trails

    bundle = _prove(folder, what, first)
    if out is None:
        typer.echo(bundle.encode(), nl=False)
        return
    try:
        trails.save(out, bundle.encode())
    except (QisguardError, OSError) as error:
        _refuse(error)
    typer.echo(f"{out}: {len(bundle.items)} entries; next: qisguard audit bundle {out}")


@app.command()
def export(
    what: What,
    folder: TrailOf,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write into.")],
    first: First = 0,
    as_json: AsJson = False,
) -> None:
    """Write proofs as C2SP proof files, each with its entry and its packet, for other tools.

    INDEX.tlog-proof proves the bytes of INDEX.entry; INDEX.packet is what that entry names.
    """
    from qisguard.errors import QisguardError
    from qisguard.identity.keys import from_text
    from qisguard.service import trails

    bundle = _prove(folder, what, first)
    written = []
    try:
        for item in bundle.items:
            files = {"entry": item.entry.encode(), "tlog-proof": bundle.proof(item).encode()}
            if item.packet is not None:
                files["packet"] = from_text(item.packet, len(item.packet) * 3 // 4)
            for suffix, data in files.items():
                trails.save(out / f"{item.index}.{suffix}", data)
            written.append(str(out / f"{item.index}.tlog-proof"))
    except (QisguardError, OSError) as error:
        _refuse(error)
    _print("exported", {"proofs": written}, as_json=as_json)


@app.command()
def mirror(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Folder or URL of a trail's public folder.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to copy into.")],
    log: Annotated[
        str, typer.Option(metavar="KEY", help="The log's key, name+id+key, or a file of it.")
    ],
    no_packets: Annotated[bool, typer.Option("--no-packets", help="Leave packets out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a log, keeping only what its signed checkpoint proves; go on where a copy broke off.

    Exits 1 when the source shows something false, such as a checkpoint that does not continue the
    one that the mirror has; nothing of it is kept.
    """
    from qisguard.cli.progress import Progress
    from qisguard.errors import DecodeError, ProofError, QisguardError
    from qisguard.service import trails

    try:
        key = trails.log_key(log)
    except QisguardError as error:
        _refuse(error)
    try:
        with Progress("trail mirror") as progress:
            done = trails.mirror(
                source,
                folder,
                key,
                lambda done, total: progress.update("files", done, total),
                with_packets=not no_packets,
            )
    except (DecodeError, ProofError) as error:
        typer.echo(f"{error.code} {error}", err=True)
        raise typer.Exit(Exit.FINDING) from None
    except (QisguardError, OSError) as error:
        _refuse(error, Exit.NOT_MEASURED)
    _print(
        "mirrored",
        {
            "size": done.head.size,
            "root": done.head.root.hex(),
            "files copied": done.fetched_count,
            "files present": done.present_count,
            "packets copied": done.packet_count,
            "packets erased at the source": done.absent_packet_count,
        },
        as_json=as_json,
    )


@app.command()
def restore(
    folder: Folder,
    key: KeyFile,
    note: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="Largest checkpoint that a witness cosigned; repeat."),
    ],
    witness: Annotated[
        list[str], typer.Option(metavar="KEY", help="Key of a witness, name+id+key; repeat.")
    ],
    quorum: Annotated[int, typer.Option(min=1, help="How many witnesses must have answered.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Let a trail from a backup go on, once as many witnesses as the quorum say where it ended.

    Without that it would sign sizes again that it signed before: a fork, which condemns the log.
    """
    from qisguard.errors import ProofError, QisguardError
    from qisguard.service import identities, trails
    from qisguard.trail.cosignature import parse_witness_vkey

    place = trails.Place.of(folder, state)
    try:
        pair = identities.load_key(key)
        last, size = trails.restore(
            place, pair, note, [parse_witness_vkey(text) for text in witness], quorum
        )
    except ProofError as error:
        typer.echo(f"{error.code} {error}", err=True)
        raise typer.Exit(Exit.NOT_MEASURED) from None
    except (QisguardError, OSError) as error:
        _refuse(error)
    _print("restored", {"cosigned size": last.size, "size": size}, as_json=as_json)


def _prove(folder: Path, what: str, first: int) -> "Bundle":
    from qisguard.cli.progress import Progress
    from qisguard.errors import QisguardError
    from qisguard.service import trails

    try:
        with Progress("trail prove") as progress:
            bundle = trails.prove(
                folder, what, first, lambda done, total: progress.update("entries", done, total)
            )
    except (QisguardError, OSError) as error:
        _refuse(error)
    if bundle is None:
        typer.echo(
            f"QE-600 {folder}: no entry names {what}; an erased packet is found by its digest only",
            err=True,
        )
        raise typer.Exit(Exit.NOT_MEASURED)
    return bundle


def _print(what: str, value: dict[str, object], *, as_json: bool) -> None:
    from qisguard.cli.words import echo_json, table

    if as_json:
        fields = {name.replace(" ", "_"): found for name, found in value.items()}
        echo_json({"schema": f"qisguard.{what}/v1", **fields})
        return
    rows = []
    for name, found in value.items():
        lines = [str(each) for each in found] if isinstance(found, list) else [str(found)]
        rows += [(name if place == 0 else "", line) for place, line in enumerate(lines)]
    typer.echo(table(rows))


def _usage(text: str) -> Exception:
    from qisguard.errors import ScenarioError

    return ScenarioError(text)


def _refuse(error: Exception, end: Exit = Exit.USAGE) -> NoReturn:
    """Print an error of ours and the command that it names."""
    what, _, command = str(error).partition("; type: ")
    if isinstance(error, OSError):
        what, command = f"{error.filename}: {error.strerror}", f"ls -ld {error.filename}"
    code = getattr(error, "code", "QE-600")
    typer.echo(f"{code} {what}\ntry: {command or 'qisguard trail --help'}", err=True)
    raise typer.Exit(end)


stamping.register(app)
