"""Hashes of whole tiles at a time: the same as ``trail.merkle``, without its calls per hash."""

from collections.abc import Sequence
from hashlib import sha256

from qisguard.trail.merkle import HASH_SIZE
from qisguard.trail.tiles import TILE_WIDTH

_PAIR = 2 * HASH_SIZE
_FULL = tuple(range(0, TILE_WIDTH * HASH_SIZE, _PAIR))


def leaf_hashes(entries: Sequence[bytes]) -> list[bytes]:
    """Return the leaf hash of every entry."""
    hashed = sha256
    return [hashed(b"\x00" + entry).digest() for entry in entries]


def full_root(hashes: bytes) -> bytes:
    """Return the root over the 256 hashes of a full tile, given in one piece."""
    hashed = sha256
    places = _FULL
    while len(hashes) > HASH_SIZE:
        hashes = b"".join([hashed(b"\x01" + hashes[at : at + _PAIR]).digest() for at in places])
        places = places[: len(places) // 2]
    return hashes
