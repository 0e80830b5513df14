"""R4, the store: SIGKILL at random moments; what was acknowledged must be there afterwards.

    uv run python benchmarks/reliability/kill_store.py --kills 1000 --seed 1

A child process puts provider records, index records, packets, own publications and pairs of
equivocating packets into one store file, new ones and newer versions of old ones, and commits every
1 to 64 of them. It acknowledges them over a pipe, after the commit. The parent kills it at a random
moment, sometimes while it opens the file or copies the log back; then it opens the file itself and
wants everything that was ever acknowledged about the names of that round, or something newer. At
the end it looks for everything once more. One seed gives one sequence of inputs and delays; where
the kill falls depends on the machine.

Prints ``tried / lost / upper bound`` (kills, kills after which something was missing or the file
did not open, rule of three at 95 %). Exits 1 on a loss.
"""

import argparse
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from qisguard.errors import QisguardError
from qisguard.identity.ids import from_bytes, node_id, placement, to_bytes
from qisguard.identity.keys import KeyPair
from qisguard.outcomes.packet import Outcome, OutcomePacket, open_packet, packet_body, sign_packet
from qisguard.store.record import open_record, sign_index, sign_record
from qisguard.store.sqlite import SqliteStore
from qisguard.store.store import StoreLimits

NETWORK = bytes(32)
DAY = 20_000
KINDS = 5
NAMES = 1_000
"""Items that are written again and again, each time with a higher sequence number."""
LIMITS = StoreLimits(NAMES, 1 << 40, evidence_max=10 * NAMES)
EXPIRES = 1 << 40
DELAY_MAX = 0.06
"""Seconds until a child is killed: from its start for every third one, so that the kill also falls
while it opens the file; from its first acknowledgement for the others."""


def key_of(name: int) -> bytes:
    """Return one of eight similarity keys of one prefix."""
    return bytes([7, name % 8]) + bytes(30)


def pair_of(name: int) -> KeyPair:
    """Return the identity or author of an item."""
    return KeyPair.from_seed(name.to_bytes(32, "big"))


def packet_of(name: int, seq: int, time_: int = 1) -> OutcomePacket:
    """Return the packet of an item."""
    author = pair_of(name)
    body = packet_body(
        network=NETWORK,
        template="t/1",
        key=key_of(name),
        case=name.to_bytes(16, "big"),
        author=author.public,
        seq=seq,
        day=DAY,
        exp=DAY + 9,
        arm="A",
        outcome=Outcome.after(time_, 1),
        feat={},
    )
    return sign_packet(body, author)


def put(store: SqliteStore, item: int) -> None:
    """Write item number ``item``: its name is written for the ``seq``-th time."""
    name, seq = item % NAMES, item // NAMES + 1
    place, pair = placement(key_of(name)), pair_of(name)
    kind = name % KINDS
    if kind == 0:
        record = sign_record(place, pair, EXPIRES, seq, NETWORK)
        refusal = store.put_record(record, f"net:{name % 90}", 0)
    elif kind == 1:
        key = bytes([7]) + name.to_bytes(31, "big")
        refusal = store.put_key(sign_index(key, pair, EXPIRES, seq, NETWORK), f"net:{name}", 0)
    elif kind == 2:
        store.keep_own(packet_of(name, seq))
        return
    else:
        refusal = store.put(place, packet_of(name, seq), f"issuer {name % 9}", DAY)
        if kind == 4:
            store.put(place, packet_of(name, seq, time_=2), f"issuer {name % 9}", DAY)
    if refusal:
        raise AssertionError(f"item {item} refused: {refusal.reason}")


def lost(store: SqliteStore, acknowledged: dict[int, int]) -> list[int]:
    """Return the names whose acknowledged version, or a newer one, is not held."""
    evidence = {open_packet(first).author for first, _ in store.evidence()}
    own = {
        packet.author: packet.body.seq
        for number in range(8)
        for packet in map(open_packet, store.own(key_of(number), DAY))
    }
    missing = []
    for name, seq in acknowledged.items():
        place, pair = placement(key_of(name)), pair_of(name)
        kind, held = name % KINDS, 0
        if kind == 0:
            provider = to_bytes(node_id(pair.public))
            before = (int.from_bytes(provider, "big") - 1).to_bytes(32, "big")
            for data in store.records(place, before, 1, 0):
                record = open_record(data, NETWORK, lambda *_: None)
                held = record.seq if record.provider == from_bytes(provider) else 0
        elif kind == 1:
            key = bytes([7]) + name.to_bytes(31, "big")
            before = (int.from_bytes(key, "big") - 1).to_bytes(32, "big")
            held = seq if store.keys(7, before, 1, 0) == [key] else 0
        elif kind == 2:
            held = own.get(pair.public, 0)
        else:
            data = store.current(place, pair.public, name.to_bytes(16, "big"))
            held = open_packet(data).body.seq if data else 0
            if kind == 4 and pair.public not in evidence:
                held = 0
        if held < seq:
            missing.append(name)
    return missing


def work(path: str, first: int, seed: int, pipe: int) -> None:
    """Put and commit from item ``first`` on until killed; tell the pipe what is durable."""
    rng = random.Random(seed)
    store = SqliteStore(path, LIMITS)
    if rng.random() < 0.5:  # copy the log back all the time, so that kills fall there too
        store._file.one(f"pragma wal_autocheckpoint = {rng.choice((4, 32))}")
    while True:
        size = rng.choice((1, 4, 16, 64))
        for item in range(first, first + size):
            put(store, item)
        store.commit()
        first += size
        os.write(pipe, first.to_bytes(8, "big"))


def kill_one(path: str, first: int, rng: random.Random) -> int:
    """Let one child work and kill it; return the item after the last acknowledged one."""
    reader, writer = os.pipe()
    seed, delay, is_early = rng.getrandbits(32), rng.random() * DELAY_MAX, rng.random() < 1 / 3
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            work(path, first, seed, writer)
        finally:
            os._exit(3)
    os.close(writer)
    if not is_early:
        select.select([reader], [], [], 60)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    told = b""
    while select.select([reader], [], [], 0)[0] and (chunk := os.read(reader, 1 << 16)):
        told += chunk
    os.close(reader)
    if not os.WIFSIGNALED(status):
        raise AssertionError("the child ended by itself")
    return int.from_bytes(told[-8:], "big") if told else first


def check(path: str, acknowledged: dict[int, int]) -> str | None:
    """Return what is wrong with the file, or None."""
    try:
        store = SqliteStore(path, LIMITS)
        missing = lost(store, acknowledged)
        store.close()
    except QisguardError as error:
        return str(error)
    return f"{len(missing)} items, such as {missing[:5]}" if missing else None


def names_of(items: Iterable[int]) -> dict[int, int]:
    """Return the latest sequence number of every name among items."""
    return {item % NAMES: item // NAMES + 1 for item in items}


def main() -> int:
    """Run all kills; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    began = time.perf_counter()
    first, failures, idle = 0, [], 0
    with tempfile.TemporaryDirectory(prefix="qisguard-") as folder:
        path = str(Path(folder, "store"))
        for kill in range(arguments.kills):
            begun = first
            first = kill_one(path, first, rng)
            idle += first == begun
            if wrong := check(path, names_of(range(max(begun, first - NAMES), first))):
                failures.append(f"kill {kill}: {wrong}")
            if kill % 100 == 99:
                print(f"{kill + 1} of {arguments.kills} kills", file=sys.stderr)
        if wrong := check(path, names_of(range(max(0, first - NAMES), first))):
            failures.append(f"at the end: {wrong}")
        size = Path(path).stat().st_size
    tried, count = arguments.kills, len(failures)
    result = {
        "figure": "R4 store",
        "tried": tried,
        "lost": count,
        "upper_bound": None if count else 3 / tried,
        "acknowledged": first,
        "killed_before_any_acknowledgement": idle,
        "file_size": size,
        "failures": failures[:20],
        "seed": arguments.seed,
        "seconds": round(time.perf_counter() - began, 1),
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        bound = "-" if count else f"{3 / tried:.1g}"
        print(f"R4 store: {tried} / {count} / {bound}; {first} items acknowledged")
        print("\n".join(failures[:20]), end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
