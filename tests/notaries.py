"""A small regtest chain and stamps that lead to it; third-party vectors where there are any."""

import json
import os
import struct
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from qisguard.notary.headers import HEADER_SIZE, Headers, Network, block_hash, open_headers
from qisguard.notary.policy import NotaryPolicy
from qisguard.notary.stamps import (
    APPEND,
    PREPEND,
    SHA256,
    Bitcoin,
    Operation,
    Stamp,
    Timestamp,
)

EASY_BITS = 0x207FFFFF
FIRST_TIME = 1_700_000_000
TEXT = b"qisguard.invalid/net/node\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"


def vectors(folder: str) -> Path:
    """Return a folder of third-party vectors; skips the test without it."""
    found = os.environ.get("QISGUARD_VECTORS")
    if not found or not (Path(found) / folder).is_dir():
        pytest.skip(f"QISGUARD_VECTORS does not name a folder with {folder}")
    return Path(found) / folder


def known_header(height: int, network: str = "mainnet") -> dict[str, Any]:
    """Return what is published about a block."""
    listed = json.loads((vectors("bitcoin-headers") / "headers.json").read_text())["headers"]
    found: dict[str, Any] = next(
        one for one in listed if (one["height"], one["network"]) == (height, network)
    )
    return found


def mine(previous: bytes, root: bytes, time: int, bits: int = EASY_BITS) -> bytes:
    """Return a header whose hash is below the easiest target."""
    nonce = 0
    while True:
        raw = struct.pack("<i32s32sIII", 4, previous, root, time, bits, nonce)
        if block_hash(raw)[31] < 0x7F:
            return raw
        nonce += 1


def mined(roots: Sequence[bytes], start: int = 100) -> Headers:
    """Return a regtest chain with these Merkle roots, ten minutes apart, its first block pinned."""
    raw, previous = b"", bytes(32)
    for number, root in enumerate(roots):
        header = mine(previous, root, FIRST_TIME + 600 * number)
        previous = block_hash(header)
        raw += header
    pins = {start: block_hash(raw[:HEADER_SIZE])}
    return open_headers(Headers(Network.REGTEST, start, raw).encode(), Network.REGTEST, pins)


def policy_of(chain: Headers, confirmations: int = 1) -> NotaryPolicy:
    """Return the policy that knows the chain's first block."""
    first = chain.header(chain.start)
    assert first is not None
    return NotaryPolicy(Network.REGTEST, {chain.start: first.hash}, confirmations)


def anchored_at(height: int, text: bytes = TEXT) -> tuple[Stamp, bytes]:
    """Return a stamp of ``text`` that leads to the block at ``height``, and the root it needs."""
    steps = [Operation(APPEND, b"right"), Operation(SHA256), Operation(PREPEND, b"left")]
    steps.append(Operation(SHA256))
    digest = message = sha256(text).digest()
    for step in steps:
        after = step.apply(message)
        assert after is not None
        message = after
    timestamp = Timestamp((Bitcoin(height),))
    for step in reversed(steps):
        timestamp = Timestamp((), ((step, timestamp),))
    return Stamp(SHA256, digest, timestamp), message
