"""An archive of Bitcoin block headers, each proved by work, linked, and tied to a known block.

The file is that of opentimestamps-client's header archive (``OTSH``): 16 bytes of magic, version,
network and start height, then raw headers of 80 bytes. Who made the file proves nothing with it:

- every header has the work that its own target asks for, and names the header before it;
- the target changes only where and as the rules of Bitcoin say (every 2,016 blocks);
- a block that the *policy* names must be among them: without one, anybody with some work to spend
  could have made the whole chain. Up to that block everything is fixed by its hash; after it, the
  chain is as good as the work that is in it, so a policy names a recent block.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import sha256

from qisguard.errors import DecodeError, ProofError

MAGIC = b"OTSH"
VERSION = (1, 0)
PREFIX_SIZE = 16
HEADER_SIZE = 80
HASH_SIZE = 32
ARCHIVE_SIZE_MAX = PREFIX_SIZE + HEADER_SIZE * 4_000_000
"""About 75 years of blocks."""
PERIOD = 2_016
"""Blocks between two changes of the target."""
PERIOD_SECONDS = 14 * 24 * 3_600

_PREFIX = struct.Struct("<4sBBBBII")
_HEADER = struct.Struct("<i32s32sIII")


class Network(IntEnum):
    """Which chain; of testnet everybody can make blocks at will, so that it proves nothing."""

    MAINNET = 0
    REGTEST = 2


EASIEST_BITS = {Network.MAINNET: 0x1D00FFFF, Network.REGTEST: 0x207FFFFF}


@dataclass(frozen=True, slots=True)
class Header:
    """One block header; hashes are in the order of the wire, which explorers print reversed."""

    previous: bytes
    root: bytes
    time: int
    bits: int
    hash: bytes


def block_hash(header: bytes) -> bytes:
    """Return the hash of a raw header, in the order of the wire."""
    return sha256(sha256(header).digest()).digest()


def shown(hash_: bytes) -> str:
    """Return a hash as explorers and policies print it."""
    return hash_[::-1].hex()


def target_of(bits: int) -> int:
    """Return the number that a block's hash may not exceed.

    Raises:
        ProofError: negative, zero or beyond 256 bits.
    """
    exponent, mantissa = bits >> 24, bits & 0x7FFFFF
    target = mantissa << 8 * (exponent - 3) if exponent > 3 else mantissa >> 8 * (3 - exponent)
    if bits & 0x800000 or not 0 < target < 1 << 256:
        raise ProofError(f"block header: bits {bits:#010x} are no target")
    return target


def bits_of(target: int) -> int:
    """Return the short form of a target; what does not fit it is rounded down."""
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & 0x800000:  # the highest bit is a sign
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


def next_bits(bits: int, first_time: int, last_time: int, easiest: int) -> int:
    """Return the bits of a period by the times of the period before it.

    A period counts from its own first block to its last: 2,015 intervals, as Bitcoin does.
    """
    taken = min(max(last_time - first_time, PERIOD_SECONDS // 4), PERIOD_SECONDS * 4)
    return bits_of(min(target_of(bits) * taken // PERIOD_SECONDS, target_of(easiest)))


def may_follow(old: int, new: int) -> bool:
    """Return whether these bits can be a period's after those, whatever the times were."""
    before, after = target_of(old), target_of(new)
    return before // 4 - (before >> 15) <= after <= before * 4  # the short form rounds down


@dataclass(frozen=True, slots=True)
class Headers:
    """An archive that holds: ``raw`` are its headers, the first of height ``start``.

    ``pinned`` is the greatest height whose block the policy names, None when it names none here.
    """

    network: Network
    start: int
    raw: bytes
    pinned: int | None = None

    def __len__(self) -> int:
        return len(self.raw) // HEADER_SIZE

    @property
    def tip(self) -> int:
        """Return the height of the last block; one less than the start when there is none."""
        return self.start + len(self) - 1

    def header(self, height: int) -> Header | None:
        """Return the header of a height, or None outside the archive."""
        if not self.start <= height <= self.tip:
            return None
        at = (height - self.start) * HEADER_SIZE
        return read_header(self.raw[at : at + HEADER_SIZE])

    def missing_before(self, height: int) -> int | None:
        """Return where the archive should start so that all targets up to ``height`` are computed.

        None when they are: up to the known block its hash fixes everything, and the first target
        after it needs the period before. A forger would leave that out, to work for a quarter.
        """
        if self.network is not Network.MAINNET or self.pinned is None:
            return None
        change = (self.pinned // PERIOD + 1) * PERIOD
        wanted = change - PERIOD
        return wanted if change <= height and self.start > wanted else None

    def encode(self) -> bytes:
        """Return the file."""
        return _PREFIX.pack(MAGIC, *VERSION, self.network, 0, self.start, 0) + self.raw

    def extend(self, raw: bytes, pins: Mapping[int, bytes]) -> "Headers":
        """Return the archive with more headers, all checked before they are taken.

        Raises:
            DecodeError: not a whole number of headers.
            ProofError: a header that does not hold; says which.
        """
        whole = Headers(self.network, self.start, self.raw + raw)
        return _checked(whole, self.tip + 1, pins)


def read_header(raw: bytes) -> Header:
    """Return the fields of 80 bytes."""
    _, previous, root, time, bits, _ = _HEADER.unpack(raw)
    return Header(previous, root, time, bits, block_hash(raw))


def open_headers(data: bytes, network: Network, pins: Mapping[int, bytes]) -> Headers:
    """Return the archive in a file, every header of it checked.

    Args:
        data: the file.
        network: the chain that the policy wants.
        pins: hashes of known blocks by height, in the order of the wire.

    Raises:
        DecodeError: not this format.
        ProofError: a header that does not hold, another network, another block than a pinned one.
    """
    if len(data) > ARCHIVE_SIZE_MAX:
        raise DecodeError(f"header archive: {len(data)} bytes, at most {ARCHIVE_SIZE_MAX}")
    if len(data) < PREFIX_SIZE:
        raise DecodeError(f"header archive: {len(data)} bytes, at least {PREFIX_SIZE}")
    magic, major, minor, found, zero, start, zeros = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise DecodeError("header archive: does not start with OTSH")
    if (major, minor) != VERSION or zero or zeros:
        raise DecodeError(f"header archive: version {major}.{minor}, or reserved bytes in use")
    if found != network:
        raise ProofError(f"header archive: of network {found}, the policy wants {network:d}")
    return _checked(Headers(network, start, data[PREFIX_SIZE:]), start, pins)


def _checked(chain: Headers, since: int, pins: Mapping[int, bytes]) -> Headers:
    """Return the archive, every header from the height ``since`` checked, and its known block."""
    if excess := len(chain.raw) % HEADER_SIZE:
        raise DecodeError(f"header archive: {excess} bytes after its headers")
    if chain.tip >= 1 << 32:
        raise DecodeError("header archive: heights beyond 32 bits")
    _check(chain, since)
    return replace(chain, pinned=_check_pins(chain, pins))


def _check(chain: Headers, since: int) -> None:
    """Raise ProofError unless all headers from the height ``since`` hold."""
    easiest = EASIEST_BITS[chain.network]
    limit = target_of(easiest)
    before = chain.header(since - 1)
    for height in range(since, chain.tip + 1):
        header = chain.header(height)
        assert header is not None
        target = target_of(header.bits)
        if target > limit:
            raise ProofError(f"block {height}: its target is easier than any of its network")
        if int.from_bytes(header.hash, "little") > target:
            raise ProofError(f"block {height}: hash {shown(header.hash)} has too little work")
        if before is not None:
            if header.previous != before.hash:
                raise ProofError(f"block {height}: does not follow block {height - 1}")
            _check_bits(chain, height, header, before, easiest)
        before = header


def _check_bits(chain: Headers, height: int, header: Header, before: Header, easiest: int) -> None:
    """Raise ProofError unless the target is the one that the rules want here."""
    wanted = before.bits
    if chain.network is Network.MAINNET and height % PERIOD == 0:
        first = chain.header(height - PERIOD)
        if first is None:  # the archive starts within the period: only the bounds are known
            if not may_follow(before.bits, header.bits):
                raise ProofError(f"block {height}: its target changed by more than four times")
            return
        wanted = next_bits(before.bits, first.time, before.time, easiest)
    if header.bits != wanted:
        raise ProofError(f"block {height}: bits {header.bits:#010x}, must be {wanted:#010x}")


def _check_pins(chain: Headers, pins: Mapping[int, bytes]) -> int | None:
    """Return the greatest pinned height in the archive; raise ProofError for another block."""
    highest = None
    for height in sorted(pins):
        header = chain.header(height)
        if header is None:
            continue
        if header.hash != pins[height]:
            raise ProofError(
                f"block {height}: is {shown(header.hash)}, the policy names {shown(pins[height])}"
            )
        highest = height
    return highest
