"""Node identifiers and the XOR metric (Kademlia, section 2.1)."""

from hashlib import sha256
from typing import NewType

from qisguard.errors import DecodeError

ID_SIZE = 32
ID_BITS = 8 * ID_SIZE

NodeId = NewType("NodeId", int)
"""A 256-bit identifier, big-endian on the wire; XOR of two is their distance."""


def node_id(public_key: bytes) -> NodeId:
    """Return the identifier that belongs to an identity public key."""
    return NodeId(int.from_bytes(sha256(b"qisguard-id-v1" + public_key).digest(), "big"))


def placement(key: bytes) -> NodeId:
    """Return where the records of a similarity key live.

    The hash of the whole key, not the key: its leading domain byte would send one disease's keys
    to the same few nodes.
    """
    return NodeId(int.from_bytes(sha256(key).digest(), "big"))


def to_bytes(identifier: NodeId) -> bytes:
    """Return the wire form, 32 bytes."""
    return identifier.to_bytes(ID_SIZE, "big")


def from_bytes(data: bytes) -> NodeId:
    """Return the identifier whose wire form is ``data``; raise DecodeError unless 32 bytes."""
    if len(data) != ID_SIZE:
        raise DecodeError(f"node id: {len(data)} bytes, must be {ID_SIZE}")
    return NodeId(int.from_bytes(data, "big"))


def shared_prefix(a: NodeId, b: NodeId) -> int:
    """Return how many leading bits two identifiers share, 0 to 256."""
    return ID_BITS - (a ^ b).bit_length()


def short(identifier: NodeId) -> str:
    """Return the first 8 hex digits, for people."""
    return f"{identifier >> (ID_BITS - 32):08x}"
