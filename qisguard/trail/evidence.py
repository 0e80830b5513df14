"""Evidence: two notes that one log signed, of one size and with different roots.

- The file holds both notes as they were signed, and the log's key; whoever trusts that the key is
  the log's needs nothing else.
- Who knows no keys beforehand is helped by the log's *descriptor*, in which the identity behind the
  origin names the key of its log.
- The file has one spelling and its notes one order, so that a pair of notes has one name.
- Only a contradiction proves: a log that is silent, or shows a smaller tree, may be slow.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from qisguard.errors import DecodeError, ProofError, QisguardError, TrailError
from qisguard.identity.descriptor import DESCRIPTOR_SIZE_MAX, Descriptor, open_descriptor
from qisguard.identity.network import Network
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    Checkpoint,
    LogKey,
    origin_of,
    parse_checkpoint,
    parse_vkey,
    verify_checkpoint,
)
from qisguard.trail.files import Files

KIND = "equivocation"
FOLDER = "evidence"
EVIDENCE_SIZE_MAX = 4 * NOTE_SIZE_MAX + 4_096
"""Bytes: two notes in which JSON escapes every second character, one key, one descriptor."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    v: int
    kind: str
    vkey: str
    first: str
    second: str
    descriptor: str | None = None


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(_File)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A proof that the holder of ``key`` signed two histories; made by ``convict`` or decoded.

    ``first`` and ``second`` are notes in ascending order of their bytes; ``descriptor`` is the
    signed descriptor of the node that keeps the log, where the finder knew it.
    """

    key: LogKey
    first: bytes
    second: bytes
    descriptor: bytes | None = None

    @property
    def notes(self) -> tuple[Checkpoint, Checkpoint]:
        """Return both checkpoints."""
        return parse_checkpoint(self.first), parse_checkpoint(self.second)

    @property
    def name(self) -> str:
        """Return the name of the file: SHA-256 of its bytes, in hex."""
        return sha256(self.encode()).hexdigest()

    def encode(self) -> bytes:
        """Return the file."""
        described = None if self.descriptor is None else b64encode(self.descriptor).decode()
        first, second = self.first.decode(), self.second.decode()
        return _ENCODER.encode(_File(1, KIND, self.key.vkey, first, second, described))


def convict(key: LogKey, one: bytes, other: bytes, descriptor: bytes | None = None) -> Evidence:
    """Return the evidence that two notes are, in whatever order they come.

    Raises:
        DecodeError: a note is malformed.
        ProofError: they contradict nothing, or the key did not sign both.
    """
    first, second = sorted((one, other))
    a, b = parse_checkpoint(first), parse_checkpoint(second)
    for note in (a, b):
        if note.origin != key.name:
            raise ProofError(
                f"evidence: a note of {note.origin[:80]!r} under key {key.name[:80]!r}"
            )
    if a.size != b.size:
        raise ProofError(f"evidence: sizes {a.size} and {b.size} contradict nothing")
    if a.root == b.root:
        raise ProofError(f"evidence: both notes of size {a.size} have one root")
    for note in (a, b):
        verify_checkpoint(note, [key])
    return Evidence(key, first, second, descriptor)


def decode_evidence(data: bytes) -> Evidence:
    """Return the evidence in a file, verified under the key that it names.

    That this is the log's key is for the reader to know, or to learn by ``check_descriptor``.

    Raises:
        DecodeError: not evidence, or not in its one spelling.
        IdentityError: a key that cannot be enrolled.
        ProofError: the notes contradict nothing, or the key did not sign both.
    """
    if len(data) > EVIDENCE_SIZE_MAX:
        raise DecodeError(f"evidence: {len(data)} bytes, at most {EVIDENCE_SIZE_MAX}")
    try:
        file = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"evidence: {error}") from None
    if file.v != 1 or file.kind != KIND:
        raise DecodeError(
            f"evidence: version {file.v} of {file.kind[:40]!r}, must be 1 of {KIND!r}"
        )
    descriptor = None if file.descriptor is None else _decode_base64(file.descriptor)
    try:
        notes = file.first.encode(), file.second.encode()
    except UnicodeEncodeError as error:
        raise DecodeError(f"evidence: {error.reason}") from None
    evidence = convict(parse_vkey(file.vkey), *notes, descriptor)
    if evidence.encode() != data:
        raise DecodeError("evidence: not in its deterministic encoding, or notes out of order")
    return evidence


def check_descriptor(evidence: Evidence, network: Network) -> Descriptor:
    """Return the descriptor of the node whose log it was, once it is seen to name log and key.

    Its last day does not matter: what an identity signed, it signed.

    Raises:
        DecodeError, IdentityError, ProofError: the descriptor does not hold in ``network``.
        ProofError: there is none, or it is of another origin or names another key.
    """
    if evidence.descriptor is None:
        raise ProofError("evidence: has no descriptor")
    descriptor = open_descriptor(evidence.descriptor, network)
    named = LogKey(origin_of(network.id, descriptor.id), descriptor.log_key)
    if named != evidence.key:
        raise ProofError(
            f"evidence: its descriptor names the key {named.vkey}, not {evidence.key.vkey}"
        )
    return descriptor


class EvidenceFiles:
    """Evidence in the folder ``evidence/`` of ``files``, one file each, never changed."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def load(self) -> Iterator[Evidence]:
        """Yield what is there; raise TrailError at a file that is no evidence."""
        for name in self._files.names(FOLDER):
            data = self._files.read(f"{FOLDER}/{name}") or b""
            try:
                yield decode_evidence(data)
            except QisguardError as error:
                raise TrailError(f"evidence: {name[:80]!r}: {error}") from None

    def keep(self, evidence: Evidence) -> None:
        """Write one more, durably; raise TrailError when that fails."""
        try:
            self._files.write({f"{FOLDER}/{evidence.name}.json": evidence.encode()})
        except OSError as error:
            raise TrailError(f"evidence: cannot be kept: {error}") from error


def _decode_base64(text: str) -> bytes:
    if len(text) > 2 * DESCRIPTOR_SIZE_MAX:
        raise DecodeError(f"evidence: descriptor of {len(text)} characters is too long")
    try:
        return b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, UnicodeEncodeError):
        raise DecodeError("evidence: descriptor is not base64") from None
