"""R19 for proofs of time: one change in a stamp, a receipt or a header archive, judged again.

    uv run python benchmarks/reliability/forged_proofs.py --count 1000000 --seed 1

A change is a flipped bit, another byte, a byte more, a byte less, a piece repeated or cut out, or
two pieces exchanged. Nothing may stay "anchored", with one exception that is counted apart: a
stamp also holds a calendar's promise, which proves nothing; a change that leaves all that leads to
a block as it was, and touches promises only, changes nothing.
"""

import argparse
import json
import random
import struct
import sys
from collections import Counter
from dataclasses import dataclass, replace
from hashlib import sha256

from qisguard.errors import QisguardError
from qisguard.identity.keys import KeyPair
from qisguard.notary.batches import decode_receipt, encode_receipt, make_batch
from qisguard.notary.headers import Headers, Network, block_hash, open_headers
from qisguard.notary.judging import State, judge
from qisguard.notary.policy import NotaryPolicy
from qisguard.notary.stamps import (
    APPEND,
    PREPEND,
    SHA256,
    Bitcoin,
    Operation,
    Pending,
    Stamp,
    Timestamp,
    decode_stamp,
    encode_stamp,
    walk,
)

EASY_BITS = 0x207FFFFF
START = 100
HEIGHT = START + 2


@dataclass(frozen=True)
class Case:
    """A stamp and a receipt that hold, and the archive that they lead to."""

    text: bytes
    stamp: bytes
    receipt: bytes
    chain: Headers
    policy: NotaryPolicy


def make_case(rng: random.Random) -> Case:
    """Return proofs of a random text, one alone and one in a batch of seven."""
    text = b"qisguard.invalid/net/node\n%d\n%s\n" % (
        rng.getrandbits(20),
        rng.randbytes(24).hex().encode(),
    )
    others = [rng.randbytes(60) for _ in range(6)]
    receipt = make_batch([*others[:3], text, *others[3:]], KeyPair.from_seed(rng.randbytes(32)))[3]
    alone, one_root = _stamp(sha256(text).digest(), HEIGHT, rng)
    batch, other_root = _stamp(sha256(receipt.head).digest(), HEIGHT + 1, rng)
    raw, previous = b"", bytes(32)
    for number, merkle in enumerate((bytes(32), bytes(32), one_root, other_root)):
        header = _mine(previous, merkle, 1_700_000_000 + 600 * number)
        raw, previous = raw + header, block_hash(header)
    policy = NotaryPolicy(Network.REGTEST, {START + 3: previous}, 1)
    chain = open_headers(
        Headers(Network.REGTEST, START, raw).encode(), policy.network, policy.blocks
    )
    file = encode_receipt(replace(receipt, stamp=batch))
    return Case(text, alone, file, chain, policy)


def _stamp(digest: bytes, height: int, rng: random.Random) -> tuple[bytes, bytes]:
    message, steps = digest, []
    for _ in range(8):
        side = rng.choice((APPEND, PREPEND))
        steps += [Operation(side, rng.randbytes(32)), Operation(SHA256)]
    for step in steps:
        message = step.apply(message) or b""
    timestamp = Timestamp((Bitcoin(height),))
    for step in reversed(steps):
        timestamp = Timestamp((), ((step, timestamp),))
    promise = Timestamp((Pending("https://calendar.example"),))
    both = Timestamp((), ((Operation(APPEND, rng.randbytes(8)), promise), *timestamp.branches))
    return encode_stamp(Stamp(SHA256, digest, both)), message


def _mine(previous: bytes, root: bytes, time: int) -> bytes:
    for nonce in range(1 << 20):
        raw = struct.pack("<i32s32sIII", 4, previous, root, time, EASY_BITS, nonce)
        if block_hash(raw)[31] < 0x7F:
            return raw
    raise AssertionError("one nonce in two works")


def change(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one change."""
    at, size = rng.randrange(len(data)), rng.randrange(1, 40)
    piece = data[at : at + size]
    match rng.randrange(7):
        case 0 | 1:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 2:
            return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        case 3:
            return data[:at] + bytes([rng.randrange(256)]) + data[at:]
        case 4:
            return data[:at] + data[at + size :]
        case 5:
            return data[:at] + piece + data[at:]
    to = rng.randrange(len(data))
    rest = data[:at] + data[at + size :]
    return rest[:to] + piece + rest[to:]


def anchors(proof: bytes) -> object:
    """Return everything in a proof that is more than a promise."""
    receipt = None
    if proof[:1] == b"{":
        found = decode_receipt(proof)
        receipt, proof = replace(found, stamp=b""), found.stamp
    stamp = decode_stamp(proof)
    leaves = walk(stamp.timestamp, stamp.digest)
    blocks = frozenset(leaf for leaf in leaves if isinstance(leaf[1], Bitcoin))
    return receipt, stamp.operation, stamp.digest, blocks


def try_one(case: Case, rng: random.Random) -> tuple[str, str]:
    """Change one proof or the archive; return what was changed and what came of it."""
    what = rng.choice(("stamp", "receipt", "archive"))
    proof = case.receipt if what == "receipt" else case.stamp
    headers = case.chain
    if what == "archive":
        data = case.chain.encode()
        changed = change(data, rng)
        if changed == data:
            return what, "same bytes"
        try:
            headers = open_headers(changed, case.policy.network, case.policy.blocks)
        except QisguardError:
            return what, "refused"
    else:
        changed = change(proof, rng)
        if changed == proof:
            return what, "same bytes"
        proof, before = changed, proof
    found = judge(case.text, proof, headers, case.policy)
    if found.state is not State.ANCHORED:
        return what, str(found.state)
    if what != "archive" and anchors(proof) == anchors(before):
        return what, "anchored: promises changed only"
    return what, "ACCEPTED"


def main() -> int:
    """Run; exit 1 when anything false was accepted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    seen: Counter[tuple[str, str]] = Counter()
    case = make_case(rng)
    for number in range(options.count):
        if number % 2_000 == 0:
            case = make_case(rng)
            for proof in (case.stamp, case.receipt):
                if judge(case.text, proof, case.chain, case.policy).state is not State.ANCHORED:
                    raise AssertionError("the proof itself does not hold")
        seen[try_one(case, rng)] += 1
    found = {f"{what}: {end}": count for (what, end), count in sorted(seen.items())}
    accepted = sum(count for (_, end), count in seen.items() if end == "ACCEPTED")
    print(
        json.dumps({"changes": options.count, "seed": options.seed, **found, "accepted": accepted})
    )
    return 1 if accepted else 0


if __name__ == "__main__":
    sys.exit(main())
