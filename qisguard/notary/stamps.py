"""Detached OpenTimestamps files: a digest, and a tree of operations that ends in attestations.

The format is that of python-opentimestamps (``DetachedTimestampFile``), which other people's tools
read and write. Ours is stricter where that one is lenient:

- every number has one spelling, nothing appears twice in one node, nothing follows the tree;
- size, depth, count and the bytes to hash are bounded before anything is hashed;
- Keccak is not followed (no attestation that is judged here uses it): what lies behind it is kept,
  and proves nothing. SHA-1 and RIPEMD-160 are: of two colliding texts both existed by the time.
"""

from binascii import hexlify
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1, sha256

from qisguard.errors import DecodeError
from qisguard.notary.ripemd import ripemd160

MAGIC = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94"
VERSION = 1
STAMP_SIZE_MAX = 1 << 16
ANSWER_SIZE_MAX = 10_000
"""Bytes of a calendar's answer; python-opentimestamps reads no more of one either."""
LEVEL_COUNT_MAX = 256
"""Nodes from the root of a tree to its deepest leaf; the limit of python-opentimestamps."""
NODE_COUNT_MAX = 4_096
MESSAGE_SIZE_MAX = 4_096
"""Bytes of what an operation takes or gives (python-opentimestamps, ``MAX_RESULT_LENGTH``)."""
WORK_SIZE_MAX = 1 << 18
"""Bytes that the hashes of one tree take together; a common stamp takes 10,000."""
PAYLOAD_SIZE_MAX = 8_192
URI_SIZE_MAX = 1_000
HEIGHT_MAX = (1 << 32) - 1

SHA1, RIPEMD160, SHA256, KECCAK256 = 0x02, 0x03, 0x08, 0x67
APPEND, PREPEND, REVERSE, HEXLIFY = 0xF0, 0xF1, 0xF2, 0xF3
DIGEST_SIZES = {SHA1: 20, RIPEMD160: 20, SHA256: 32, KECCAK256: 32}
OPERATIONS = {
    SHA1: "sha1",
    RIPEMD160: "ripemd160",
    SHA256: "sha256",
    KECCAK256: "keccak256",
    APPEND: "append",
    PREPEND: "prepend",
    REVERSE: "reverse",
    HEXLIFY: "hexlify",
}
_ATTESTATION, _MORE = 0x00, 0xFF
_TAG_SIZE = 8
_PENDING = bytes.fromhex("83dfe30d2ef90c8e")
_BITCOIN = bytes.fromhex("0588960d73d71901")
_URI_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/:")


@dataclass(frozen=True, slots=True)
class Pending:
    """A calendar's promise: at ``uri`` there will be more. It proves nothing."""

    uri: str


@dataclass(frozen=True, slots=True)
class Bitcoin:
    """The message is the Merkle root of the Bitcoin block at ``height``."""

    height: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """An attestation of another kind, kept as it came."""

    tag: bytes
    payload: bytes


Attestation = Pending | Bitcoin | Unknown


@dataclass(frozen=True, slots=True)
class Operation:
    """One step from message to message; only append and prepend have an argument."""

    tag: int
    argument: bytes = b""

    def apply(self, message: bytes) -> bytes | None:
        """Return the next message, or None behind Keccak."""
        match self.tag:
            case 0x08:
                return sha256(message).digest()
            case 0x02:
                return sha1(message, usedforsecurity=False).digest()
            case 0x03:
                return ripemd160(message)
            case 0xF0:
                return message + self.argument
            case 0xF1:
                return self.argument + message
            case 0xF2:
                return message[::-1]
            case 0xF3:
                return hexlify(message)
        return None

    def size_after(self, size: int) -> int:
        """Return how long the next message is; raise DecodeError above the limit."""
        if self.tag in DIGEST_SIZES:
            return DIGEST_SIZES[self.tag]
        after = 2 * size if self.tag == HEXLIFY else size + len(self.argument)
        if after > MESSAGE_SIZE_MAX:
            raise DecodeError(f"stamp: a message of {after} bytes, at most {MESSAGE_SIZE_MAX}")
        return after


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A node: what attests to its message, and what follows from it. One of them is not empty."""

    attestations: tuple[Attestation, ...] = ()
    branches: tuple[tuple[Operation, "Timestamp"], ...] = ()


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file: ``digest`` is that of the stamped bytes under the hash ``operation``."""

    operation: int
    digest: bytes
    timestamp: Timestamp


def walk(timestamp: Timestamp, message: bytes) -> Iterator[tuple[bytes | None, Attestation]]:
    """Yield every attestation with its message, None where a hash was not followed."""
    waiting: list[tuple[Timestamp, bytes | None]] = [(timestamp, message)]
    while waiting:
        node, reached = waiting.pop()
        for attestation in node.attestations:
            yield reached, attestation
        for operation, below in reversed(node.branches):
            waiting.append((below, None if reached is None else operation.apply(reached)))


def merge(one: Timestamp, other: Timestamp) -> Timestamp:
    """Return the tree with the attestations and branches of both, in the order of the format."""
    branches = dict(one.branches)
    for operation, below in other.branches:
        mine = branches.get(operation)
        branches[operation] = below if mine is None else merge(mine, below)
    return Timestamp(
        tuple(sorted({*one.attestations, *other.attestations}, key=_order)),
        tuple(sorted(branches.items(), key=lambda item: (item[0].tag, item[0].argument))),
    )


def graft(timestamp: Timestamp, message: bytes, commitment: bytes, answer: Timestamp) -> Timestamp:
    """Return the tree in which every node whose message is ``commitment`` has ``answer`` too."""
    branches = []
    for operation, below in timestamp.branches:
        reached = operation.apply(message)
        grown = below if reached is None else graft(below, reached, commitment, answer)
        branches.append((operation, grown))
    grown = Timestamp(timestamp.attestations, tuple(branches))
    return merge(grown, answer) if message == commitment else grown


def encode_stamp(stamp: Stamp) -> bytes:
    """Return the file; raise DecodeError when it would be one that we do not read."""
    parts = [MAGIC, _varuint(VERSION), bytes([stamp.operation]), stamp.digest]
    data = b"".join([*parts, encode_timestamp(stamp.timestamp)])
    decode_stamp(data)
    return data


def encode_timestamp(timestamp: Timestamp) -> bytes:
    """Return a tree as a calendar answers it: attestations first, each kind in order."""
    items = [bytes([_ATTESTATION]) + _encode_attestation(a) for a in timestamp.attestations]
    for operation, below in timestamp.branches:
        step = bytes([operation.tag])
        if operation.tag in (APPEND, PREPEND):
            step += _varuint(len(operation.argument)) + operation.argument
        items.append(step + encode_timestamp(below))
    more = bytes([_MORE])
    return b"".join([*(more + item for item in items[:-1]), *items[-1:]])


def decode_stamp(data: bytes) -> Stamp:
    """Return the stamp in a file, nothing verified.

    Raises:
        DecodeError: not this format, not the one spelling of it, or beyond its limits.
    """
    if len(data) > STAMP_SIZE_MAX:
        raise DecodeError(f"stamp: {len(data)} bytes, at most {STAMP_SIZE_MAX}")
    reader = _Reader(data)
    if reader.take(len(MAGIC)) != MAGIC:
        raise DecodeError("stamp: does not start like an OpenTimestamps file")
    if (version := reader.varuint(255)) != VERSION:
        raise DecodeError(f"stamp: version {version}, only {VERSION} is known")
    operation = reader.byte()
    if operation not in DIGEST_SIZES:
        raise DecodeError(f"stamp: {operation:#04x} is no hash of a file")
    digest = reader.take(DIGEST_SIZES[operation])
    timestamp = reader.timestamp(len(digest), 1)
    reader.finish()
    return Stamp(operation, digest, timestamp)


def decode_timestamp(data: bytes, size: int) -> Timestamp:
    """Return a calendar's answer about a message of ``size`` bytes.

    Raises:
        DecodeError: not this format, not the one spelling of it, or beyond its limits.
    """
    if len(data) > ANSWER_SIZE_MAX:
        raise DecodeError(f"answer: {len(data)} bytes, at most {ANSWER_SIZE_MAX}")
    reader = _Reader(data)
    timestamp = reader.timestamp(size, 1)
    reader.finish()
    return timestamp


class _Reader:
    """The bytes that are left, and how many nodes were read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._nodes = 0
        self._work = 0

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise DecodeError(f"stamp: ends at byte {len(self._data)}, within a field")
        self._at += size
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def varuint(self, largest: int) -> int:
        """Return a little-endian base-128 number; it is refused with a leading zero."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if value > largest:
                raise DecodeError(f"stamp: a number above {largest} before byte {self._at}")
            if not byte & 0x80:
                if byte == 0 and shift:
                    raise DecodeError(f"stamp: a number with leading zeros before byte {self._at}")
                return value
            shift += 7
            if shift > 63:
                raise DecodeError(f"stamp: a number without end before byte {self._at}")

    def finish(self) -> None:
        if self._at < len(self._data):
            raise DecodeError(f"stamp: {len(self._data) - self._at} bytes follow its end")

    def timestamp(self, size: int, level: int) -> Timestamp:
        self._nodes += 1
        if level > LEVEL_COUNT_MAX:
            raise DecodeError(f"stamp: more than {LEVEL_COUNT_MAX} levels")
        if self._nodes > NODE_COUNT_MAX:
            raise DecodeError(f"stamp: more than {NODE_COUNT_MAX} nodes")
        attestations: dict[Attestation, None] = {}
        branches: dict[Operation, Timestamp] = {}
        more = True
        while more:
            tag = self.byte()
            more = tag == _MORE
            if more:
                tag = self.byte()
            if tag == _ATTESTATION:
                attestation = self._attestation()
                if attestation in attestations:
                    raise DecodeError(f"stamp: an attestation twice before byte {self._at}")
                attestations[attestation] = None
                self._nodes += 1
                continue
            operation = self._operation(tag)
            if operation in branches:
                raise DecodeError(f"stamp: an operation twice before byte {self._at}")
            self._work += size if operation.tag in DIGEST_SIZES else 0
            if self._work > WORK_SIZE_MAX:
                raise DecodeError(f"stamp: more than {WORK_SIZE_MAX} bytes to hash")
            branches[operation] = self.timestamp(operation.size_after(size), level + 1)
        return Timestamp(tuple(attestations), tuple(branches.items()))

    def _operation(self, tag: int) -> Operation:
        if tag not in OPERATIONS:
            raise DecodeError(f"stamp: unknown operation {tag:#04x} before byte {self._at}")
        if tag not in (APPEND, PREPEND):
            return Operation(tag)
        size = self.varuint(MESSAGE_SIZE_MAX)
        if not size:
            raise DecodeError(f"stamp: an empty argument before byte {self._at}")
        return Operation(tag, self.take(size))

    def _attestation(self) -> Attestation:
        tag = self.take(_TAG_SIZE)
        payload = self.take(self.varuint(PAYLOAD_SIZE_MAX))
        if tag not in (_PENDING, _BITCOIN):
            return Unknown(tag, payload)
        reader = _Reader(payload)
        found: Attestation
        if tag == _BITCOIN:
            found = Bitcoin(reader.varuint(HEIGHT_MAX))
        else:
            uri = reader.take(reader.varuint(URI_SIZE_MAX))
            if not _URI_BYTES.issuperset(uri):
                raise DecodeError("stamp: the address of a calendar has a character out of its set")
            found = Pending(uri.decode("ascii"))
        reader.finish()
        return found


def _order(attestation: Attestation) -> tuple[bytes, str, int, bytes]:
    """Return the place among others: by tag, then by what is inside."""
    if isinstance(attestation, Pending):
        return _PENDING, attestation.uri, 0, b""
    if isinstance(attestation, Bitcoin):
        return _BITCOIN, "", attestation.height, b""
    return attestation.tag, "", 0, attestation.payload


def _encode_attestation(attestation: Attestation) -> bytes:
    if isinstance(attestation, Pending):
        uri = attestation.uri.encode("ascii")
        tag, payload = _PENDING, _varuint(len(uri)) + uri
    elif isinstance(attestation, Bitcoin):
        tag, payload = _BITCOIN, _varuint(attestation.height)
    else:
        tag, payload = attestation.tag, attestation.payload
    return tag + _varuint(len(payload)) + payload


def _varuint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
