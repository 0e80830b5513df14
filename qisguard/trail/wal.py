"""The private write-ahead log: what is durable before it is in the tree.

One frame per flush: ``magic(8) ‖ first index u64 ‖ payload length u32 ‖ CRC-32 u32 ‖ payload``, and
in the payload, per entry: ``length u16 ‖ entry ‖ packet count u8 ‖ (length u16 ‖ packet)*``.

- A frame was acknowledged when its append returned, so only the last one can be torn: a tail that
  is not a whole frame is cut off.
- A broken frame with a whole one after it is corruption: somebody's acknowledged entries are gone,
  and no writer may paper over that.
- A flipped bit in the very last frame cannot be told from a torn write, and is cut off as one.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from qisguard.errors import TrailError

MAGIC = b"\xffqgwal1\n"
"""Starts with a byte that UTF-8 never has, so that no JSON body can hold it."""

_HEADER = struct.Struct(">8sQII")
_CHECKED = struct.Struct(">QI")


@dataclass(frozen=True, slots=True)
class Record:
    """One entry with its index in the log and the packet bytes that are saved beside the log."""

    index: int
    entry: bytes
    packets: tuple[bytes, ...]


def encode_record(entry: bytes, packets: Sequence[bytes]) -> bytes:
    """Return one entry of a payload."""
    data = len(entry).to_bytes(2, "big") + entry + len(packets).to_bytes(1, "big")
    for packet in packets:
        data += len(packet).to_bytes(2, "big") + packet
    return data


def encode_frame(first: int, records: Sequence[bytes]) -> bytes:
    """Return the frame of one flush; ``first`` is the log index of its first record."""
    payload = b"".join(records)
    return _HEADER.pack(MAGIC, first, len(payload), _sum(first, payload)) + payload


def decode_wal(data: bytes) -> tuple[list[Record], int]:
    """Return the records of every whole frame, and the size of these frames.

    Raises:
        TrailError: a frame inside is broken, or frames do not follow on each other.
    """
    records: list[Record] = []
    offset = 0
    while offset < len(data):
        found = _frame_at(data, offset)
        if found is None:
            after = data.find(MAGIC, offset + 1)
            while after >= 0:
                if _frame_at(data, after) is not None:
                    raise TrailError(
                        f"write-ahead log: broken at offset {offset}, but whole again at {after}: "
                        "entries that were acknowledged are damaged"
                    )
                after = data.find(MAGIC, after + 1)
            return records, offset
        first, payload = found
        if records and first != records[-1].index + 1:
            raise TrailError(
                f"write-ahead log: entry {first} at offset {offset}, expected "
                f"{records[-1].index + 1}"
            )
        records += _decode_payload(first, payload)
        offset += _HEADER.size + len(payload)
    return records, offset


def _frame_at(data: bytes, offset: int) -> tuple[int, bytes] | None:
    """Return first index and payload of the frame at ``offset``, or None if it is not whole."""
    if len(data) - offset < _HEADER.size:
        return None
    magic, first, size, checksum = _HEADER.unpack_from(data, offset)
    start = offset + _HEADER.size
    if magic != MAGIC or size > len(data) - start:
        return None
    payload = data[start : start + size]
    return (first, payload) if _sum(first, payload) == checksum else None


def _decode_payload(first: int, payload: bytes) -> list[Record]:
    """Return the records of a payload whose checksum holds: this writer made it."""
    records: list[Record] = []
    offset = 0

    def take(size: int) -> bytes:
        nonlocal offset
        offset += size
        if offset > len(payload):
            raise TrailError(f"write-ahead log: frame of entry {first} is inconsistent")
        return payload[offset - size : offset]

    while offset < len(payload):
        entry = take(int.from_bytes(take(2), "big"))
        packets = tuple(take(int.from_bytes(take(2), "big")) for _ in range(take(1)[0]))
        records.append(Record(first + len(records), entry, packets))
    return records


def _sum(first: int, payload: bytes) -> int:
    return crc32(payload, crc32(_CHECKED.pack(first, len(payload))))
