"""A witness: cosigns only what continues all it cosigned before (C2SP tlog-witness).

- It remembers one checkpoint of each log, the largest that it cosigned.
- Looking at it, and replacing it by a larger one, is one step, durable before the answer: between
  two steps another request could be answered, and the log rolled back.
- A log that signs two roots for one size is told apart from one that is merely behind: the answer
  carries the evidence, and the log is not cosigned any more.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Protocol

from qisguard.errors import DecodeError, ProofError, TrailError
from qisguard.identity.keys import KeyPair
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    Checkpoint,
    Line,
    LogKey,
    decode_base64,
    parse_checkpoint,
    parse_size,
    parse_text,
    show_base64,
    verify_checkpoint,
)
from qisguard.trail.cosignature import TIME_MAX, WitnessKey, cosign
from qisguard.trail.evidence import Evidence, convict
from qisguard.trail.files import Files
from qisguard.trail.merkle import EMPTY_ROOT, HASH_SIZE, verify_consistency

PROOF_COUNT_MAX = 63
"""Hashes in one request (C2SP tlog-witness, add-checkpoint)."""
REQUEST_SIZE_MAX = NOTE_SIZE_MAX + 4_096
FOLDER = "witness"


class Status(IntEnum):
    """What became of a request, as an HTTP status (C2SP tlog-witness, add-checkpoint)."""

    COSIGNED = 200
    MALFORMED = 400
    FORBIDDEN = 403
    UNKNOWN = 404
    CONFLICT = 409
    UNPROVEN = 422


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A log asks for a cosignature; ``proof`` leads from ``old_size`` to the checkpoint."""

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint

    def encode(self) -> bytes:
        """Return the body of the request."""
        rows = [f"old {self.old_size}", *(show_base64(value) for value in self.proof), "", ""]
        return "\n".join(rows).encode() + self.checkpoint.encode()


def parse_add_checkpoint(data: bytes) -> AddCheckpoint:
    """Return the request in ``data``, nothing verified; raise DecodeError unless well formed.

    Signature lines that are malformed are no signatures: the checkpoint is without lines then, so
    that its log is told the same as for a signature that does not verify.
    """
    if len(data) > REQUEST_SIZE_MAX:
        raise DecodeError(f"add-checkpoint: {len(data)} bytes, at most {REQUEST_SIZE_MAX}")
    head, blank, note = data.partition(b"\n\n")
    rows = head.split(b"\n")
    if not blank:
        raise DecodeError("add-checkpoint: no empty line between proof and checkpoint")
    if len(rows) > 1 + PROOF_COUNT_MAX:
        raise DecodeError(f"add-checkpoint: {len(rows) - 1} hashes, at most {PROOF_COUNT_MAX}")
    try:
        first, *lines = (row.decode("ascii") for row in rows)
    except UnicodeDecodeError:
        raise DecodeError("add-checkpoint: proof is not ASCII") from None
    if not first.startswith("old "):
        raise DecodeError(f"add-checkpoint: begins {first[:20]!r}, must be 'old ' and a size")
    old_size = parse_size("add-checkpoint: old size", first.removeprefix("old "))
    proof = tuple(decode_base64("add-checkpoint: hash", line) for line in lines)
    if any(len(value) != HASH_SIZE for value in proof):
        raise DecodeError(f"add-checkpoint: a hash that has not {HASH_SIZE} bytes")
    text = parse_text(note.rpartition(b"\n\n")[0] + b"\n")
    try:
        return AddCheckpoint(old_size, proof, parse_checkpoint(note))
    except DecodeError:
        return AddCheckpoint(old_size, proof, text)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request; ``size`` is the one cosigned last, where that is in conflict.

    ``checkpoint`` is the one asked about, with our line, where it was cosigned. ``evidence`` is
    there when the log contradicted what it had signed before.
    """

    status: Status
    reason: str = ""
    size: int = 0
    checkpoint: Checkpoint | None = None
    line: Line | None = None
    evidence: Evidence | None = None


class Memory(Protocol):
    """What a witness must not forget: for each origin the note that it cosigned last."""

    def get(self, origin: str) -> bytes | None:
        """Return the note; raise TrailError when it cannot be read."""

    def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
        """Replace ``old`` by ``new``, durably, and return True; False if ``old`` is not there.

        Nobody sees a state in between. Raises TrailError when it cannot be made durable.
        """


class FileMemory:
    """Notes in files, ``witness/<SHA-256 of origin>/checkpoint``; with MemoryFiles, in memory.

    One writer alone: whoever makes it holds the lock of ``files``. A copy of each note goes to
    ``shown``, for monitors; it is never read again.
    """

    def __init__(self, files: Files, shown: Files | None = None) -> None:
        self._files = files
        self._shown = shown

    def get(self, origin: str) -> bytes | None:
        """Return the note."""
        try:
            return self._files.read(note_path(origin))
        except OSError as error:
            raise TrailError(f"witness: {error}") from error

    def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
        """Replace the note if it is still ``old``."""
        if self.get(origin) != old:
            return False
        try:
            self._files.write({note_path(origin): new})
            if self._shown:
                self._shown.write({note_path(origin): new})
        except OSError as error:
            raise TrailError(f"witness: {error}") from error
        return True


def note_path(origin: str) -> str:
    """Return where the note of a log lies (the layout in which witnesses are monitored)."""
    return f"{FOLDER}/{sha256(origin.encode()).hexdigest()}/checkpoint"


class Witness:
    """The witness ``name``, for the ``logs`` that its policy names: origin to keys.

    ``logs`` may change between requests.
    """

    def __init__(
        self, name: str, key: KeyPair, logs: Mapping[str, Collection[LogKey]], memory: Memory
    ) -> None:
        self.key = WitnessKey(name, key.public)
        self.frozen: set[str] = set()
        self._pair = key
        self._logs = logs
        self._memory = memory

    def add(self, request: AddCheckpoint, time: int) -> Answer:
        """Answer a request at ``time``, seconds since 1970; raise TrailError if nothing is durable.

        The order of the checks is that of the specification.
        """
        asked = request.checkpoint
        keys = self._logs.get(asked.origin)
        if not keys:
            return Answer(Status.UNKNOWN, "unknown log")
        try:
            verify_checkpoint(asked, keys)
        except ProofError:
            return Answer(Status.FORBIDDEN, "invalid signature")
        if asked.origin in self.frozen:
            return Answer(Status.FORBIDDEN, "log signed two histories")
        if request.old_size > asked.size:
            return Answer(Status.MALFORMED, "old size is larger than the checkpoint")
        stored = self._memory.get(asked.origin)
        held = None if stored is None else self._read(asked.origin, stored)
        size = 0 if held is None else held.size
        if held and size == asked.size and held.root != asked.root:
            return self._refuse_root(held, asked, keys)
        if request.old_size != size:
            return Answer(Status.CONFLICT, "another size was cosigned last", size)
        try:
            _check_growth(request, held)
        except ProofError as error:
            return Answer(Status.UNPROVEN, f"consistency proof: {error}"[:200])
        line = cosign(asked, self.key.name, self._pair, min(max(time, 0), TIME_MAX))
        signed = Checkpoint(asked.origin, asked.size, asked.root, (*_own_lines(asked, keys), line))
        if not self._memory.swap(asked.origin, stored, signed.encode()):
            latest = self._memory.get(asked.origin)
            size = self._read(asked.origin, latest).size if latest else 0
            return Answer(Status.CONFLICT, "another size was cosigned last", size)
        return Answer(Status.COSIGNED, "", asked.size, signed, line)

    def latest(self, origin: str) -> bytes | None:
        """Return the note that was cosigned last for an origin, with our line."""
        return self._memory.get(origin)

    def _read(self, origin: str, note: bytes) -> Checkpoint:
        """Return a remembered note; raise TrailError when it is not one of ours for this origin."""
        try:
            held = parse_checkpoint(note)
        except DecodeError as error:
            raise TrailError(
                f"witness: what is remembered of {origin!r} is damaged: {error}"
            ) from None
        if held.origin != origin:
            raise TrailError(f"witness: remembers {held.origin!r} in the place of {origin!r}")
        return held

    def _refuse_root(self, held: Checkpoint, asked: Checkpoint, keys: Collection[LogKey]) -> Answer:
        """Refuse a second root of one size; where one key signed both, freeze the log for that."""
        evidence = None
        for key in keys:
            notes = [_only(held, key), _only(asked, key)]
            if all(note.lines for note in notes):
                evidence = convict(key, notes[0].encode(), notes[1].encode())
                self.frozen.add(asked.origin)
        return Answer(Status.CONFLICT, "another root was cosigned", held.size, evidence=evidence)


def _check_growth(request: AddCheckpoint, held: Checkpoint | None) -> None:
    """Raise ProofError unless the request proves that the new tree continues the held one."""
    asked = request.checkpoint
    old_root = EMPTY_ROOT if held is None else held.root
    verify_consistency(request.old_size, asked.size, old_root, asked.root, request.proof)


def _only(checkpoint: Checkpoint, key: LogKey) -> Checkpoint:
    """Return a checkpoint with the line of one key alone."""
    lines = tuple(line for line in checkpoint.lines if (line.name, line.id) == (key.name, key.id))
    return Checkpoint(checkpoint.origin, checkpoint.size, checkpoint.root, lines)


def _own_lines(checkpoint: Checkpoint, keys: Collection[LogKey]) -> tuple[Line, ...]:
    """Return the lines of the log itself: others' are not remembered, so that notes stay small."""
    return tuple(line for key in keys for line in _only(checkpoint, key).lines)
