"""Proof files: one entry's place in a log, with the checkpoint, for all tools (C2SP tlog-proof).

- One spelling: base64 is canonical, the index has no leading zeros, lines end in LF.
- The extra data is authenticated by nothing; ours never has any, and none is trusted.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.errors import DecodeError, ProofError
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    Checkpoint,
    LogKey,
    parse_checkpoint,
    verify_checkpoint,
)
from qisguard.trail.merkle import HASH_SIZE, leaf_hash, verify_inclusion

MAGIC = "c2sp.org/tlog-proof@v1"
HASH_COUNT_MAX = 63
"""Of a path in a tree of less than 2^63 leaves."""
EXTRA_SIZE_MAX = 1 << 16
PROOF_SIZE_MAX = NOTE_SIZE_MAX + 2 * EXTRA_SIZE_MAX

_INDEX = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Where an entry is; ``checkpoint`` is the signed note as it was, ``extra`` nobody's word."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """Return the file, whose name should end in ``.tlog-proof``."""
        lines = [MAGIC]
        if self.extra is not None:
            lines.append(f"extra {b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [b64encode(value).decode() for value in self.hashes]
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint


def parse_proof(data: bytes) -> TlogProof:
    """Return the proof in a file, nothing verified; raise DecodeError unless well formed."""
    if len(data) > PROOF_SIZE_MAX:
        raise DecodeError(f"proof: {len(data)} bytes, at most {PROOF_SIZE_MAX}")
    top, blank, checkpoint = data.partition(b"\n\n")
    if not blank:
        raise DecodeError("proof: no empty line between the hashes and the checkpoint")
    try:
        lines = top.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise DecodeError(f"proof: not ASCII at offset {error.start}") from None
    if lines.pop(0) != MAGIC:
        raise DecodeError(f"proof: line 1 is not {MAGIC!r}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _from_base64("extra", lines.pop(0).removeprefix("extra "))
        if len(extra) > EXTRA_SIZE_MAX:
            raise DecodeError(f"proof: {len(extra)} bytes of extra data, at most {EXTRA_SIZE_MAX}")
    index = lines.pop(0).removeprefix("index ") if lines and lines[0][:6] == "index " else ""
    if not _INDEX.fullmatch(index) or int(index) >= 1 << 63:
        raise DecodeError("proof: no 'index' line with a decimal from 0 to 2^63 - 1")
    if len(lines) > HASH_COUNT_MAX:
        raise DecodeError(f"proof: {len(lines)} hashes, at most {HASH_COUNT_MAX}")
    hashes = tuple(_from_base64(f"hash {number}", line) for number, line in enumerate(lines))
    for number, value in enumerate(hashes):
        if len(value) != HASH_SIZE:
            raise DecodeError(f"proof: hash {number} has {len(value)} bytes, must be {HASH_SIZE}")
    parse_checkpoint(checkpoint)
    return TlogProof(int(index), hashes, checkpoint, extra)


def verify_proof(proof: TlogProof, entry: bytes, keys: Iterable[LogKey]) -> Checkpoint:
    """Return the checkpoint of a known log that holds ``entry`` at the index of the proof.

    Cosignatures are not looked at, whose quorum is a matter of policy.

    Raises:
        DecodeError: the checkpoint is malformed.
        ProofError: no known log signed it, or the path does not lead from the entry to its root.
    """
    head = parse_checkpoint(proof.checkpoint)
    check_signed(head, keys)
    verify_inclusion(proof.index, head.size, leaf_hash(entry), proof.hashes, head.root)
    return head


def check_signed(head: Checkpoint, keys: Iterable[LogKey]) -> LogKey:
    """Return the key with which the log itself signed; raise ProofError if none of ``keys`` did."""
    for key in verify_checkpoint(head, keys):
        if key.name == head.origin:
            return key
    raise ProofError(f"checkpoint: no known key of {head.origin!r} itself signed it")


def _from_base64(what: str, text: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise DecodeError(f"proof: {what}: {text[:60]!r} is not base64") from None
    if b64encode(data).decode() != text:
        raise DecodeError(f"proof: {what}: {text[:60]!r} is not canonical base64")
    return data
