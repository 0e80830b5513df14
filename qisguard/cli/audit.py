"""``qisguard audit``: verify trails and bundles offline; say in words what the verdict means."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:  # ``--help`` must not load cryptography
    from qisguard.audit.auditor import AuditReport
    from qisguard.audit.one import Options, Tell
    from qisguard.audit.policy import Policy
    from qisguard.exits import Exit
    from qisguard.trail.checkpoint import Checkpoint

DAY_SECONDS = 86_400
LONG = 400
"""Bundles of entries, 256 in each, from which an audit is long enough to show how far it is."""

Words = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH... | explain AUD-NN | bundle FILE",
        help="Folders of trails to verify; a check to explain; a bundle to verify.",
    ),
]
Trust = Annotated[
    Path | None,
    typer.Option(help="Trust policy, a folder or a file of log keys, from outside the trails."),
]
Since = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="CHECKPOINT",
        help="Signed note up to which an earlier audit opened the packets; repeatable.",
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Open the packets of N entries drawn at random."),
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="Of --sample, to draw the same again; else drawn anew.")
]
Structure = Annotated[bool, typer.Option("--structure", help="Read the log alone, no packets.")]
MaxAge = Annotated[
    float | None,
    typer.Option(min=0, metavar="DAYS", help="A quorum of older cosignatures is none."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Outputs = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FORM:FILE",
        help="Also write table, json, sarif, junit or markdown to a file; repeatable.",
    ),
]


def audit(
    paths: Words = None,
    trust: Trust = None,
    since: Since = None,
    sample: Sample = None,
    seed: Seed = None,
    structure: Structure = False,
    max_age: MaxAge = None,
    as_json: AsJson = False,
    output: Outputs = None,
) -> None:
    """Verify audit trails offline: signatures, tree, packets, authors, order, witnesses, time.

    A folder that is named explain or bundle is written ./explain or ./bundle.

    Exits 0 when all that the policy requires was checked and holds, 1 on a finding, 2 when the
    arguments or the policy cannot be used, 3 when nothing is false but something could not be
    checked, such as the origin without --trust.
    """
    words = [str(path) for path in paths or []]
    if words[:1] == ["explain"]:
        _explain(words[1:])
        return
    if not words:
        _refuse("QE-400", "no trail given", "qisguard audit PATH --trust POLICY")

    from qisguard.audit import auditor
    from qisguard.audit.one import Options
    from qisguard.audit.packets import Depth
    from qisguard.errors import QisguardError

    is_bundle = words[:1] == ["bundle"]
    try:
        files = _parse_outputs(output or [])
        policy = _load(paths or [], trust, is_bundle=is_bundle)
        options = Options(
            depth=Depth.STRUCTURE if structure else Depth.FULL,
            since=tuple(_read_note(path, policy) for path in since or []),
            sample=sample,
            seed=int.from_bytes(os.urandom(6), "big") if seed is None else seed,
            now=int(time.time()),
            max_age=None if max_age is None else int(max_age * DAY_SECONDS),
        )
        if is_bundle:
            report = _audit_bundle(words[1:], policy, options)
        else:
            with _telling() as tell:
                report = auditor.audit(paths or [], policy, options, tell)
    except QisguardError as error:
        _refuse(error.code, str(error), "qisguard audit --help")
    except OSError as error:
        _refuse("QE-400", f"{error.filename}: {error.strerror}", f"ls -ld {error.filename}")
    _show(report, auditor.verdict(report), files, as_json=as_json)


def _audit_bundle(words: list[str], policy: "Policy | None", options: "Options") -> "AuditReport":
    from qisguard.audit.bundles import audit_bundle

    if len(words) != 1:
        _refuse("QE-400", "one bundle at a time", "qisguard audit bundle FILE --trust POLICY")
    return audit_bundle(Path(words[0]), policy, options)


def _load(paths: list[Path], trust: Path | None, *, is_bundle: bool) -> "Policy | None":
    from qisguard.audit.auditor import check_arguments
    from qisguard.audit.policy import load_policy

    check_arguments([] if is_bundle else paths, trust)
    return None if trust is None else load_policy(trust)


def _read_note(path: Path, policy: "Policy | None") -> "Checkpoint":
    """Return the checkpoint of ``--since``, which has to be signed if keys are known."""
    from qisguard.errors import QisguardError, ScenarioError
    from qisguard.trail.checkpoint import NOTE_SIZE_MAX, parse_checkpoint, verify_checkpoint

    with path.open("rb") as file:
        data = file.read(NOTE_SIZE_MAX + 1)
    try:
        note = parse_checkpoint(data)
        if policy is not None:
            verify_checkpoint(note, [key for key in policy.logs if key.name == note.origin])
    except QisguardError as error:
        raise ScenarioError(f"--since {path}: {error}") from None
    return note


@contextmanager
def _telling() -> "Iterator[Tell]":
    """Show how far a long audit is; a short one says nothing."""
    from contextlib import ExitStack

    from qisguard.cli.progress import Progress

    with ExitStack() as stack:
        shown: list[Progress] = []

        def tell(what: str, done: int, total: int) -> None:
            if total >= LONG and not shown:
                shown.append(stack.enter_context(Progress("audit")))
            for progress in shown:
                progress.update(f"{what}: bundles", done, total)

        yield tell


def _explain(words: list[str]) -> None:
    from qisguard.audit.findings import CHECKS

    found = CHECKS.get(words[0].upper()) if len(words) == 1 else None
    if found is None:
        known = ", ".join(CHECKS)
        what = f"no check {' '.join(words)!r}; there are {known}"
        _refuse("QE-400", what, "qisguard audit explain AUD-13")
    typer.echo(f"{words[0].upper()} ({found.severity}): {found.title}\n")
    typer.echo(f"{found.explanation}\n\nWhat to do: {found.remedy}.")


def _parse_outputs(texts: list[str]) -> list[tuple[str, Path]]:
    from qisguard.errors import ScenarioError
    from qisguard.reports.audited import FORMS

    files = []
    for text in texts:
        form, colon, name = text.partition(":")
        if form not in FORMS or not colon or not name:
            raise ScenarioError(f"-o {text[:80]!r}: must be FORM:FILE, of {', '.join(FORMS)}")
        if not Path(name).parent.is_dir():
            raise ScenarioError(f"-o {text[:80]!r}: there is no folder {Path(name).parent}")
        files.append((form, Path(name)))
    return files


def _show(
    report: "AuditReport", end: "Exit", files: list[tuple[str, Path]], *, as_json: bool
) -> NoReturn:
    """Write every form of one verdict, and end with it."""
    from qisguard.reports.audited import FORMS

    for form, path in files:
        _write(path, FORMS[form](report, end).rstrip("\n") + "\n")
    typer.echo(FORMS["json" if as_json else "table"](report, end))
    raise typer.Exit(end)


def _write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        _refuse("QE-400", f"-o {path}: {error.strerror}", f"ls -ld {path.parent}")


def _refuse(code: str, what: str, command: str) -> NoReturn:
    from qisguard.audit.findings import printable

    typer.echo(f"{code} {printable(what, 4096)}\ntry: {printable(command, 4096)}", err=True)
    raise typer.Exit(2)
