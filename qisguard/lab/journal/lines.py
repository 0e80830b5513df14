"""The lines of a journal: what was made, which process it became, that it was undone.

One JSON object for each line, read strictly: a line that is not exactly one of these is damaged,
and nobody acts upon it.
"""

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from qisguard.errors import DecodeError

LINE_MAX = 8_192
"""Bytes of a line; a path has 4,096 at most."""
MARKER = ".qisguard-run"
"""File in a folder that says which line speaks of it: that line itself."""

RunId: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
Pid: TypeAlias = Annotated[int, msgspec.Meta(ge=2, le=1 << 31)]
Word: TypeAlias = Annotated[str, msgspec.Meta(max_length=200)]
Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096)]


class Kind(StrEnum):
    """Everything that the laboratory makes outside its memory."""

    FOLDER = "folder"
    FILE = "file"
    PROCESS = "process"
    RESULTS = "results"
    SOCKETS = "sockets"


UNDO = {
    Kind.FOLDER: "remove it and what it holds",
    Kind.FILE: "remove it",
    Kind.PROCESS: "kill it",
    Kind.RESULTS: "give back its leases, remove its drafts, keep its results",
    Kind.SOCKETS: "nothing: they close with their process",
}
"""How each kind is undone; a line that says anything else is damaged."""


class Made(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="made"):
    """Something is about to be made, by process ``pid`` of ``host`` that began at ``started``.

    ``when`` is in Unix seconds; ``name`` is an absolute path for whatever has one.
    """

    run: RunId
    number: Number
    kind: Kind
    name: Name
    undo: Word
    host: Word
    pid: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
    started: Word
    when: float


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="known"):
    """The process of line ``number`` runs, as ``pid`` that began at ``started``."""

    run: RunId
    number: Number
    pid: Pid
    started: Word


class Undone(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="undone"
):
    """What line ``number`` made is no longer there; ``how`` says who saw to that."""

    run: RunId
    number: Number
    how: Word
    when: float


Line: TypeAlias = Made | Known | Undone
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Made | Known | Undone)


def encode(line: Line) -> bytes:
    """Return a line without its end."""
    return msgspec.json.encode(line)


def decode(data: bytes) -> Line:
    """Return the line that these bytes are; raise DecodeError for any others."""
    if len(data) > LINE_MAX:
        raise DecodeError(f"line: {len(data)} bytes, must be at most {LINE_MAX}")
    try:
        line = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"line: {error}") from None
    if isinstance(line, Made):
        if line.undo != UNDO[line.kind]:
            raise DecodeError(f"undo = {line.undo!r}, must be {UNDO[line.kind]!r}")
        if "\0" in line.name:
            raise DecodeError("name: holds a zero byte")
    return line


def folder_name(run: str, number: int) -> str:
    """Return what a private folder is called; nothing else on the machine is called that."""
    return f"qisguard-{run}-{number}"


def file_name(stem: str, run: str, number: int) -> str:
    """Return what the draft of a file is called."""
    return f"{stem}.{run}-{number}.tmp"
