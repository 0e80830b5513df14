"""Large trails for benchmarks: honest ones, written without the care that a node's disk needs.

Bytes are those that a node would have written, so that everything that reads trails can read them.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from qisguard.audit.policy import write_policy
from qisguard.identity.ids import node_id
from qisguard.identity.keys import PACKET_TAG, KeyPair
from qisguard.identity.network import Network, seal_network
from qisguard.identity.roster import Issuer, Roster, seal_roster
from qisguard.outcomes.packet import Outcome, packet_body, sign_packet
from qisguard.trail.checkpoint import LogKey, origin_of, sign_checkpoint
from qisguard.trail.entries import encode_entry, publish
from qisguard.trail.log import CHECKPOINT
from qisguard.trail.merkle import leaf_hash
from qisguard.trail.tiles import ENTRIES, TILE_WIDTH, Tile, Tower, encode_bundle

DAY = 20_000
PIECE = 16 * TILE_WIDTH
_CASE = b"!!!!!!!!!!!!!!!!!!!!!!"


@dataclass(frozen=True, slots=True)
class Made:
    """A trail, the policy that trusts it, and a few of its packets."""

    trail: Path
    policy: Path
    packets: Sequence[bytes]


def make_trail(folder: Path, count: int, seed: int, *, has_packets: bool) -> Made:
    """Write a trail of ``count`` packets, each of a case of its own."""
    node, log, author, authority = (_key(f"{name} {seed}") for name in ("n", "l", "a", "y"))
    identity = node_id(node.public)
    network = Network("bench", authority.public, bytes(32), 0, 0)
    origin = origin_of(network.id, identity)
    roster = Roster(network.id, 1, (Issuer("bench", DAY - 9, (author.public,), (identity,)),))
    write_policy(
        folder / "policy",
        [LogKey(origin, log.public)],
        authority=authority.public,
        network=seal_network(network, authority),
        roster=seal_roster(roster, authority),
    )
    trail = folder / "trail"
    for number in range(256 if has_packets else 0):
        (trail / "packets" / f"{number:02x}").mkdir(parents=True)
    tower, packets = Tower(), list[bytes]()
    for start, entries, samples in _pieces(trail, count, author, network.id, has_packets):
        packets += samples
        for at in range(0, len(entries), TILE_WIDTH):
            rows = entries[at : at + TILE_WIDTH]
            tile = Tile(ENTRIES, (start + at) // TILE_WIDTH, len(rows))
            _write(trail / tile.path, encode_bundle(rows))
            for entry in rows:
                for full, hashes in tower.append(leaf_hash(entry)):
                    _write(trail / full.path, b"".join(hashes))
    for tile, hashes in tower.partials():
        _write(trail / tile.path, b"".join(hashes))
    head = sign_checkpoint(origin, count, tower.root(), log)
    (trail / CHECKPOINT).write_bytes(head.encode())
    return Made(trail, folder / "policy", packets)


def _pieces(
    trail: Path, count: int, author: KeyPair, network: bytes, has_packets: bool
) -> Iterator[tuple[int, list[bytes], list[bytes]]]:
    """Yield where a piece starts, its entries, and its first packet."""
    starts = range(0, count, PIECE)
    make = _make_packets if has_packets else _make_entries
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        wave = 64
        for first in range(0, len(starts), wave):
            some = starts[first : first + wave]
            ends = [min(start + PIECE, count) for start in some]
            made = pool.map(make, repeat(trail), some, ends, repeat(author), repeat(network))
            for start, (entries, samples) in zip(some, made, strict=True):
                yield start, entries, samples


def _make_packets(
    trail: Path, start: int, end: int, author: KeyPair, network: bytes
) -> tuple[list[bytes], list[bytes]]:
    """Write the packets of a piece and return its entries."""
    body = packet_body(
        network=network,
        template="nsclc/1",
        key=sha256(b"similar").digest(),
        case=bytes(16),
        author=author.public,
        seq=1,
        day=DAY - 5,
        exp=DAY + 500,
        arm="A",
        outcome=Outcome.after(100, 1),
        feat={"age": 61, "stage": "III"},
    )
    form = (
        sign_packet(body, author).data[:-64].replace(b'"' + b"A" * 22 + b'"', b'"' + _CASE + b'"')
    )
    entries, packet = list[bytes](), b""
    for number in range(start, end):
        signed = form.replace(_CASE, b"%021dA" % number)
        packet = signed + author.sign(PACKET_TAG, signed)
        entry = publish(DAY, packet, seq=1)
        name = sha256(packet).hexdigest()
        (trail / "packets" / name[:2] / name).write_bytes(packet)
        entries.append(encode_entry(entry))
    return entries, [packet]


def _make_entries(
    trail: Path, start: int, end: int, author: KeyPair, network: bytes
) -> tuple[list[bytes], list[bytes]]:
    """Return entries of packets that are not there."""
    return [encode_entry(publish(DAY, b"%d" % n, seq=1)) for n in range(start, end)], []


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        path.write_bytes(data)


def _key(name: str) -> KeyPair:
    return KeyPair.from_seed(sha256(name.encode()).digest())
