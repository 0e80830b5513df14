"""What others gave a trail and it keeps beside its log: notes, evidence, proofs of time.

``witness/<sha256 of origin>/checkpoint`` are notes of other logs, ``evidence/<sha256>.json`` pairs
of notes that contradict each other, ``notary/`` proofs about checkpoints by their size.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from qisguard.audit.findings import Findings, printable
from qisguard.audit.folder import Folder, is_regular
from qisguard.errors import DecodeError, ProofError, QisguardError
from qisguard.notary.headers import HEADER_SIZE, PREFIX_SIZE
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    Checkpoint,
    LogKey,
    parse_checkpoint,
    verify_checkpoint,
)
from qisguard.trail.evidence import EVIDENCE_SIZE_MAX, Evidence, decode_evidence

WITNESS, EVIDENCE, NOTARY = FOLDERS = ("witness", "evidence", "notary")
FILE_COUNT_MAX = 4096
"""Files of one of these folders that are read; more are no finding, and not measured."""
PROOF_SIZE_MAX = 1 << 16
ARCHIVE_SIZE_MAX = PREFIX_SIZE + HEADER_SIZE * 1_500_000
ARCHIVE = "headers.otsh"
COPY = "checkpoint"
_DIGEST = re.compile("[0-9a-f]{64}", re.ASCII)
_EVIDENCE = re.compile(r"([0-9a-f]{64})\.json", re.ASCII)
_PROOF = re.compile(r"(0|[1-9][0-9]{0,18})\.(ots|tsr|chainpoint\.json|checkpoint)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint that lies in ``file`` beside another log; signed if by the log it is of."""

    file: str
    head: Checkpoint
    is_signed: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof of time in ``file`` about the checkpoint of ``size``."""

    file: str
    size: int
    kind: str
    data: bytes


@dataclass(slots=True)
class Beside:
    """What was read beside one log.

    notes: of other logs, and of this one.
    copies: file, size by its name, and note that was stamped; they are among the notes.
    archive: block headers.
    """

    notes: list[Note] = field(default_factory=list)
    evidence: list[tuple[str, Evidence]] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    copies: list[tuple[str, int, Checkpoint]] = field(default_factory=list)
    archive: bytes | None = None
    unmeasured: list[str] = field(default_factory=list)


def read_beside(folder: Folder, logs: Sequence[LogKey], out: Findings) -> Beside:
    """Return what lies beside a log; report what does not belong there, or is not what it says."""
    beside = Beside()
    for path, name in _files(folder, WITNESS, beside, out):
        _read_note(folder, path, name, logs, beside, out)
    for path, name in _files(folder, EVIDENCE, beside, out):
        _read_evidence(folder, path, name, beside, out)
    for path, name in _files(folder, NOTARY, beside, out):
        _read_proof(folder, path, name, logs, beside, out)
    return beside


def _files(folder: Folder, name: str, beside: Beside, out: Findings) -> Iterator[tuple[str, str]]:
    """Yield path and name of the files in a folder; those below ``witness`` lie one deeper."""
    if not folder.is_folder(name):
        return  # reported with the top of the trail, unless there is none
    entries = folder.entries(name)
    if len(entries) > FILE_COUNT_MAX:
        what = f"{name}: {len(entries) - FILE_COUNT_MAX} files beyond {FILE_COUNT_MAX} not read"
        beside.unmeasured.append(what)
    for entry in entries[:FILE_COUNT_MAX]:
        path = f"{name}/{entry.name}"
        if name != WITNESS:
            if is_regular(folder, entry, path, out) is not None:
                yield path, entry.name
        elif not entry.is_dir(follow_symlinks=False) or not _DIGEST.fullmatch(entry.name):
            out.add("AUD-12", printable(path), "does not belong in a trail")
        else:
            for inner in folder.entries(path):
                inside = f"{path}/{inner.name}"
                if is_regular(folder, inner, inside, out) is None:
                    continue
                if inner.name == "checkpoint":
                    yield inside, entry.name
                else:
                    out.add("AUD-12", printable(inside), "does not belong in a trail")


def _read_note(
    folder: Folder, path: str, name: str, logs: Sequence[LogKey], beside: Beside, out: Findings
) -> None:
    data = folder.read(path, NOTE_SIZE_MAX)
    if data is None:
        out.add("AUD-10", path, f"is unreadable or larger than {NOTE_SIZE_MAX} bytes")
        return
    head = _parse_note(data, path, logs, beside, out)
    if head is not None and sha256(head.origin.encode()).hexdigest() != name:
        said = f"is of origin {printable(head.origin)!r}, whose SHA-256 is not its folder's name"
        out.add("AUD-12", path, said)
        beside.notes.pop()  # one note of an origin is kept here, whatever is put there


def _parse_note(
    data: bytes, path: str, logs: Sequence[LogKey], beside: Beside, out: Findings
) -> Checkpoint | None:
    """Take a note, checked under the key of its log if that is known."""
    try:
        head = parse_checkpoint(data)
    except DecodeError as error:
        out.add("AUD-10", path, str(error))
        return None
    is_signed = False
    if any(key.name == head.origin for key in logs):
        try:
            signers = verify_checkpoint(head, logs)
            is_signed = any(key.name == head.origin for key in signers)
            if not is_signed:
                out.add("AUD-11", path, f"not signed by {printable(head.origin)!r} itself")
        except ProofError as error:
            out.add("AUD-11", path, str(error))
    beside.notes.append(Note(path, head, is_signed))
    return head


def _read_evidence(folder: Folder, path: str, name: str, beside: Beside, out: Findings) -> None:
    match = _EVIDENCE.fullmatch(name)
    if match is None:
        out.add("AUD-12", printable(path), "does not belong in a trail")
        return
    data = folder.read(path, EVIDENCE_SIZE_MAX)
    if data is None:
        out.add("AUD-12", path, f"is unreadable or larger than {EVIDENCE_SIZE_MAX} bytes")
    elif sha256(data).hexdigest() != match[1]:
        out.add("AUD-12", path, "content is not what its name says")
    else:
        try:
            beside.evidence.append((path, decode_evidence(data)))
        except QisguardError as error:
            out.add("AUD-12", path, f"is no evidence: {error}")


def _read_proof(
    folder: Folder, path: str, name: str, logs: Sequence[LogKey], beside: Beside, out: Findings
) -> None:
    if name == ARCHIVE:
        beside.archive = folder.read(path, ARCHIVE_SIZE_MAX)
        if beside.archive is None:
            beside.unmeasured.append(f"{path}: unreadable or larger than {ARCHIVE_SIZE_MAX} bytes")
        return
    match = _PROOF.fullmatch(name)
    if match is None:
        out.add("AUD-12", printable(path), "does not belong in a trail")
        return
    data = folder.read(path, PROOF_SIZE_MAX)
    if data is None:
        out.add("AUD-40", path, f"is unreadable or larger than {PROOF_SIZE_MAX} bytes")
    elif match[2] != COPY:
        beside.proofs.append(Proof(path, int(match[1]), match[2], data))
    else:
        head = _parse_note(data, path, logs, beside, out)
        if head is not None:
            beside.copies.append((path, int(match[1]), head))
