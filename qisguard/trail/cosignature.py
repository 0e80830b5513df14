"""Cosignatures: a witness says that a checkpoint continues all it saw (C2SP tlog-cosignature).

- The statement of version 1: at this time, of all consistent trees of this origin that I have seen,
  this is the largest.
- It does not name the witness, so that one key is one witness, and no key of another use.
- A line of an unknown key is ignored; a bad one of a known witness condemns the whole note.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from qisguard.errors import DecodeError, ProofError
from qisguard.identity.keys import SIGNATURE_SIZE, KeyPair, verify
from qisguard.trail.checkpoint import (
    LINE_COUNT_MAX,
    NO_TAG,
    Checkpoint,
    Line,
    check_name,
    key_id,
    parse_vkey_of,
    show_vkey,
)

COSIGNATURE_V1 = 0x04
"""The signature type of Ed25519 cosignatures (C2SP tlog-cosignature, format)."""
TIME_MAX = (1 << 63) - 1
_TIME_SIZE = 8


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A witness's public key and its name."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """Return the 4-byte key id (C2SP tlog-cosignature, format)."""
        return key_id(self.name, COSIGNATURE_V1, self.public)

    @property
    def vkey(self) -> str:
        """Return ``name+id+key``, the form of keys in trust policies."""
        return show_vkey(self.name, COSIGNATURE_V1, self.public)


def parse_witness_vkey(text: str) -> WitnessKey:
    """Return the witness's key behind ``name+id+key``.

    Raises:
        DecodeError: not this form, another signature type, or an id that is not the key's.
        IdentityError: a key that cannot be enrolled.
    """
    return WitnessKey(*parse_vkey_of(text, COSIGNATURE_V1))


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A cosignature that verified: who, and when in seconds since 1970."""

    witness: WitnessKey
    time: int


def cosign(checkpoint: Checkpoint, name: str, key: KeyPair, time: int) -> Line:
    """Return the line in which witness ``name`` cosigns at ``time``, seconds since 1970."""
    check_name(name)
    if not 0 <= time <= TIME_MAX:
        raise ValueError(f"cosignature: time = {time}, must be 0 to {TIME_MAX}")
    signature = key.sign(NO_TAG, _statement(checkpoint, time))
    stamp = time.to_bytes(_TIME_SIZE, "big")
    return Line(name, WitnessKey(name, key.public).id, stamp + signature)


def verify_cosignature(checkpoint: Checkpoint, line: Line, witness: WitnessKey) -> Cosigned:
    """Return what a line of ``witness`` says of a checkpoint.

    Raises:
        DecodeError: it is not 72 bytes, or its time is 2^63 or later.
        ProofError: it is of another key, or does not verify.
    """
    if (line.name, line.id) != (witness.name, witness.id):
        raise ProofError(f"cosignature: of {line.name[:80]!r}, not of {witness.name!r}")
    if len(line.signature) != _TIME_SIZE + SIGNATURE_SIZE:
        raise DecodeError(
            f"cosignature: {len(line.signature)} bytes of {witness.name!r}, "
            f"must be {_TIME_SIZE + SIGNATURE_SIZE}"
        )
    time = int.from_bytes(line.signature[:_TIME_SIZE], "big")
    if time > TIME_MAX:
        raise DecodeError(f"cosignature: time = {time} of {witness.name!r}, at most {TIME_MAX}")
    try:
        verify(witness.public, NO_TAG, _statement(checkpoint, time), line.signature[_TIME_SIZE:])
    except ProofError:
        raise ProofError(
            f"cosignature: that of {witness.name!r} (key id {witness.id.hex()}) does not verify"
        ) from None
    return Cosigned(witness, time)


def verify_cosignatures(checkpoint: Checkpoint, witnesses: Iterable[WitnessKey]) -> list[Cosigned]:
    """Return what known witnesses say, in the order of the lines; none may have signed.

    Raises:
        DecodeError, ProofError: a known witness has a malformed or wrong line, or two.
    """
    known = {(witness.name, witness.id): witness for witness in witnesses}
    found: dict[WitnessKey, Cosigned] = {}
    for line in checkpoint.lines:
        witness = known.get((line.name, line.id))
        if witness is None:
            continue
        if witness in found:
            raise ProofError(f"cosignature: two lines of {witness.name!r}")
        found[witness] = verify_cosignature(checkpoint, line, witness)
    return list(found.values())


def merge_cosignatures(
    checkpoint: Checkpoint, lines: Iterable[Line], witnesses: Iterable[WitnessKey]
) -> Checkpoint:
    """Return the checkpoint with the ``lines`` of known witnesses added, each verified.

    A later time of one witness takes the place of an earlier one. Lines of unknown keys are left
    out. Lines that the checkpoint has stay where they are.

    Raises:
        DecodeError, ProofError: a known witness has a malformed or wrong line.
        ValueError: the note would have more lines than a note may.
    """
    known = {(witness.name, witness.id): witness for witness in witnesses}
    merged = list(checkpoint.lines)
    for line in lines:
        witness = known.get((line.name, line.id))
        if witness is None:
            continue
        said = verify_cosignature(checkpoint, line, witness)
        at = next((i for i, old in enumerate(merged) if _is_of(old, witness)), None)
        if at is None:
            merged.append(line)
        elif verify_cosignature(checkpoint, merged[at], witness).time < said.time:
            merged[at] = line
    if len(merged) > LINE_COUNT_MAX:
        raise ValueError(f"cosignatures: {len(merged)} lines, at most {LINE_COUNT_MAX}")
    return replace(checkpoint, lines=tuple(merged))


def quorum_size(witness_count: int, faulty_count: int) -> int:
    """Return how many of n witnesses must cosign when f of them may lie: the least q > (n + f) / 2.

    Two sets of q among n share at least 2q - n members, and 2q - n > f: one of them is honest, and
    an honest witness cosigns one history only. So no two histories have a quorum each.

    Raises:
        ValueError: the honest alone would be fewer than a quorum, so that f liars stop every log
            by their silence; this needs n > 3f.
    """
    if not faulty_count >= 0 or witness_count <= 3 * faulty_count:
        raise ValueError(
            f"quorum: {witness_count} witnesses of which {faulty_count} may lie, "
            "must be more than three times as many"
        )
    return (witness_count + faulty_count) // 2 + 1


def _is_of(line: Line, witness: WitnessKey) -> bool:
    return (line.name, line.id) == (witness.name, witness.id)


def _statement(checkpoint: Checkpoint, time: int) -> bytes:
    """Return what is signed (C2SP tlog-cosignature, Ed25519 signed message)."""
    return f"cosignature/v1\ntime {time}\n".encode() + checkpoint.text
