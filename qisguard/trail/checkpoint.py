"""Checkpoints: the size and root of a log, as a note that its key signs (C2SP signed-note).

- The text is exactly three lines: origin, size, root. Extension lines are refused: no auditor of
  ours could say what they mean.
- A line of an unknown key is ignored; a bad signature of a known key condemns the whole note.
- Everything has one spelling: base64 is canonical, sizes have no leading zeros, lines end in LF.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from qisguard.errors import DecodeError, IdentityError, ProofError
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.identity.keys import KEY_SIZE, SIGNATURE_SIZE, KeyPair, check_enrollable, verify
from qisguard.trail.merkle import HASH_SIZE

ED25519 = 0x01
"""The signature type of logs (C2SP signed-note, signature types)."""
ID_SIZE = 4
NOTE_SIZE_MAX = 1 << 16
LINE_COUNT_MAX = 64
"""Signature lines in one note; the specification wants at least 16."""
TREE_SIZE_MAX = (1 << 63) - 1
NO_TAG = b""
"""A note is signed as it stands; its text already says what it is."""

_SIZE = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)


def origin_of(network: bytes, node: NodeId) -> str:
    """Return the origin of a node's log: network and node by their first 16 hex digits."""
    return f"qisguard.invalid/{network.hex()[:16]}/{to_bytes(node).hex()[:16]}"


@dataclass(frozen=True, slots=True)
class LogKey:
    """A log's public key and its name, which is the log's origin."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """Return the 4-byte key id (C2SP signed-note, Ed25519 signatures)."""
        return key_id(self.name, ED25519, self.public)

    @property
    def vkey(self) -> str:
        """Return ``name+id+key``, the form of keys in trust policies."""
        return show_vkey(self.name, ED25519, self.public)


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Return the 4-byte id of a key of signature type ``kind`` (C2SP signed-note)."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:ID_SIZE]


def show_vkey(name: str, kind: int, public: bytes) -> str:
    """Return ``name+id+key`` for a key of signature type ``kind``."""
    return f"{name}+{key_id(name, kind, public).hex()}+{show_base64(bytes([kind]) + public)}"


def parse_vkey(text: str) -> LogKey:
    """Return the log's key behind ``name+id+key``; raise as ``parse_vkey_of``."""
    return LogKey(*parse_vkey_of(text, ED25519))


def parse_vkey_of(text: str, kind: int) -> tuple[str, bytes]:
    """Return name and public key behind ``name+id+key``, of signature type ``kind``.

    Raises:
        DecodeError: not this form, another signature type, or an id that is not the key's.
        IdentityError: a key that cannot be enrolled.
    """
    parts = text.split("+", 2)  # the third part is base64, which may hold a plus
    if len(parts) != 3:
        raise DecodeError(f"verifier key: {text[:80]!r} is not name+id+key")
    name, identifier, encoded = parts
    check_name(name)
    material = decode_base64("verifier key", encoded)
    if len(material) != 1 + KEY_SIZE or material[0] != kind:
        raise DecodeError(f"verifier key: {name!r} is not an Ed25519 key of signature type {kind}")
    public = material[1:]
    expected = key_id(name, kind, public).hex()
    if identifier != expected:
        raise DecodeError(f"verifier key: id {identifier[:16]!r}, but its key has {expected}")
    try:
        check_enrollable(public)
    except IdentityError as error:
        raise IdentityError(f"verifier key {name!r}: {error}") from None
    return name, public


def check_name(name: str) -> None:
    """Raise DecodeError unless ``name`` may name a key: no space, plus or control character."""
    if not name or "+" in name or any(c.isspace() or not c.isprintable() for c in name):
        raise DecodeError(f"key name: {name[:80]!r} is empty or has a space, plus or control")


@dataclass(frozen=True, slots=True)
class Line:
    """One signature line of a note."""

    name: str
    id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says it holds; ``text`` is what was signed, ``lines`` who signed it."""

    origin: str
    size: int
    root: bytes
    lines: tuple[Line, ...] = ()

    @property
    def text(self) -> bytes:
        """Return the note text: origin, size and root, one line each."""
        return f"{self.origin}\n{self.size}\n{show_base64(self.root)}\n".encode()

    def encode(self) -> bytes:
        """Return the signed note."""
        return self.text + b"\n" + encode_lines(self.lines)


def encode_lines(lines: Iterable[Line]) -> bytes:
    """Return signature lines as they stand in a note."""
    return "".join(
        f"— {line.name} {show_base64(line.id + line.signature)}\n" for line in lines
    ).encode()


def parse_lines(data: bytes) -> tuple[Line, ...]:
    """Return signature lines alone, as a witness answers; raise DecodeError unless well formed."""
    if len(data) > NOTE_SIZE_MAX:
        raise DecodeError(f"signature lines: {len(data)} bytes, at most {NOTE_SIZE_MAX}")
    text = _decode("signature lines", data)
    if not text.endswith("\n"):
        raise DecodeError("signature lines: must be there and end in newline")
    rows = text[:-1].split("\n")
    if len(rows) > LINE_COUNT_MAX:
        raise DecodeError(f"signature lines: {len(rows)}, at most {LINE_COUNT_MAX}")
    return tuple(_parse_line(number, row) for number, row in enumerate(rows, 1))


def sign_checkpoint(origin: str, size: int, root: bytes, key: KeyPair) -> Checkpoint:
    """Return the checkpoint signed by the log's key, whose name is the origin."""
    check_name(origin)
    text = Checkpoint(origin, size, root).text
    line = Line(origin, LogKey(origin, key.public).id, key.sign(NO_TAG, text))
    return Checkpoint(origin, size, root, (line,))


def parse_checkpoint(data: bytes) -> Checkpoint:
    """Return the checkpoint in ``data``, nothing verified; raise DecodeError unless well formed."""
    if len(data) > NOTE_SIZE_MAX:
        raise DecodeError(f"checkpoint: {len(data)} bytes, at most {NOTE_SIZE_MAX}")
    note = _decode("checkpoint", data)
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise DecodeError("checkpoint: must be a text, an empty line and lines that end in newline")
    rows = signatures[:-1].split("\n")
    if len(rows) > LINE_COUNT_MAX:
        raise DecodeError(f"checkpoint: {len(rows)} signature lines, at most {LINE_COUNT_MAX}")
    checkpoint = _parse_text(text)
    lines = tuple(_parse_line(number, row) for number, row in enumerate(rows, 5))
    return Checkpoint(checkpoint.origin, checkpoint.size, checkpoint.root, lines)


def parse_text(data: bytes) -> Checkpoint:
    """Return the checkpoint whose unsigned text is ``data``; raise DecodeError if malformed."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise DecodeError("checkpoint text: not UTF-8") from None
    if not text.endswith("\n"):
        raise DecodeError("checkpoint text: must end in newline")
    return _parse_text(text[:-1])


def verify_checkpoint(checkpoint: Checkpoint, keys: Iterable[LogKey]) -> list[LogKey]:
    """Return the known keys that signed, in the order of the lines; there is at least one.

    Raises:
        ProofError: no line of a known key, two of one key, or one whose signature does not verify.
    """
    known = {(key.name, key.id): key for key in keys}
    signers: list[LogKey] = []
    for line in checkpoint.lines:
        key = known.get((line.name, line.id))
        if key is None:
            continue
        if key in signers:
            raise ProofError(f"checkpoint: two signature lines of {key.name!r}")
        if len(line.signature) != SIGNATURE_SIZE:
            raise ProofError(
                f"checkpoint: signature of {key.name!r} has {len(line.signature)} bytes, "
                f"must be {SIGNATURE_SIZE}"
            )
        try:
            verify(key.public, NO_TAG, checkpoint.text, line.signature)
        except ProofError:
            raise ProofError(
                f"checkpoint: the signature of {key.name!r} (key id {key.id.hex()}) does not verify"
            ) from None
        signers.append(key)
    if not signers:
        names = ", ".join(_describe(line) for line in checkpoint.lines[:4])
        raise ProofError(f"checkpoint: signed by {names}, none of which is a known key")
    return signers


def _decode(what: str, data: bytes) -> str:
    """Return text without control characters but line feeds; raise DecodeError for any other."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DecodeError(f"{what}: not UTF-8 at offset {error.start}") from None
    for offset, char in enumerate(text):
        if char < " " and char != "\n":
            raise DecodeError(f"{what}: control character {char!r} at character {offset}")
    return text


def _describe(line: Line) -> str:
    return f"{line.name[:80]!r} with key id {line.id.hex()}"


def _parse_text(text: str) -> Checkpoint:
    """Return the checkpoint of a text whose last newline was taken off."""
    rows: Sequence[str] = text.split("\n")
    if len(rows) != 3:
        raise DecodeError(f"checkpoint: {len(rows)} lines of text, must be origin, size and root")
    origin, size, encoded = rows
    if not origin or not origin.isprintable():  # spaces are allowed, if not in the name of a key
        raise DecodeError(f"checkpoint: origin {origin[:80]!r} is empty or not printable")
    count = parse_size("checkpoint: size", size)
    tree = decode_base64("checkpoint: root", encoded)
    if len(tree) != HASH_SIZE:
        raise DecodeError(f"checkpoint: root of {len(tree)} bytes, must be {HASH_SIZE}")
    return Checkpoint(origin, count, tree)


def parse_size(what: str, text: str) -> int:
    """Return the tree size in ``text``; raise DecodeError unless a decimal in its one spelling."""
    if not _SIZE.fullmatch(text) or int(text) > TREE_SIZE_MAX:
        raise DecodeError(f"{what} {text[:40]!r} is not a decimal from 0 to 2^63 - 1")
    return int(text)


def _parse_line(number: int, row: str) -> Line:
    parts = row.split(" ")
    if len(parts) != 3 or parts[0] != "—":
        raise DecodeError(f"checkpoint: line {number} is not a dash, a key name and a signature")
    check_name(parts[1])
    material = decode_base64(f"checkpoint: line {number}", parts[2])
    if len(material) <= ID_SIZE:
        raise DecodeError(f"checkpoint: line {number} has {len(material)} bytes of signature")
    return Line(parts[1], material[:ID_SIZE], material[ID_SIZE:])


def show_base64(data: bytes) -> str:
    """Return padded standard base64, the form of hashes and signatures in notes."""
    return b64encode(data).decode()


def decode_base64(what: str, text: str) -> bytes:
    """Return the bytes behind padded standard base64; raise DecodeError unless canonical."""
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, UnicodeEncodeError):
        raise DecodeError(f"{what}: {text[:60]!r} is not base64") from None
    if show_base64(data) != text:
        raise DecodeError(f"{what}: {text[:60]!r} is not canonical base64")
    return data
