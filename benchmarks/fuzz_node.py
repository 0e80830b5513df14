"""Fuzz one node with seeded datagrams (PROOF R1): nothing may be raised, memory stays flat.

    uv run python benchmarks/fuzz_node.py --seed 1 --count 1000000 [--json]

What arrives: random bytes; valid datagrams of all five kinds, damaged or replayed; messages inside
real sessions whose structure or content is wrong; and wrong replies to what the node itself asked,
for it looks up, publishes and retrieves all the time. One seed gives one sequence of datagrams.
"""

import argparse
import json
import platform
import random
import resource
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from qisguard.config import NodeConfig
from qisguard.identity.address import Address
from qisguard.identity.ids import placement, to_bytes
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.lab.identities import mine
from qisguard.lab.stranger import Stranger
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.messages import Message, Request
from qisguard.node.node import Node
from qisguard.outcomes.packet import Outcome, packet_body, sign_packet
from qisguard.plugins import Clock, Send
from qisguard.session import wire
from qisguard.session.sessions import Plain
from qisguard.store.memory import MemoryStore
from qisguard.store.record import sign_record
from qisguard.store.store import StoreLimits

DAY = 20_000
STEP = 0.000_5
"""Virtual seconds between two datagrams."""
STRANGERS = 24
KEYS = 8
RSS_GROWTH_MAX = 16.0
"""MiB from half-way to the end; tables, caches and stores are full by then."""
JUDGED_FROM = 100_000
"""Memory is judged only in runs at least this long."""

CONFIG = NodeConfig(
    k=8,
    replica_count=4,
    disjoint_paths=2,
    address_diversity=False,
    addresses_tracked_max=512,
    sessions_max=64,
    handshakes_open_max=128,
    packets_per_key_max=100,
)
STRANGER = NodeConfig(handshakes_open_max=8)
"""Those who fuzz remember little, so that what grows is the node."""
LIMITS = StoreLimits(CONFIG.packets_per_key_max, 1_000, packets_max=2_000, records_max=500)


@dataclass
class Result:
    """What one run tried and measured; ``times`` are CPU seconds for each datagram."""

    times: "array[float]"
    tried: int = 0
    failures: list[str] = field(default_factory=list)
    failed: int = 0
    categories: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, int] = field(default_factory=dict)
    rss: list[float] = field(default_factory=list)


class Fuzzer:
    """A node, a few peers with real sessions, and an endless supply of bad input."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        authority = KeyPair.from_seed(rng.randbytes(32))
        network = Network("fuzz", authority.public, rng.randbytes(32), 0, 0)
        clock = Clock(DAY)
        draw = rng.randbytes
        self.now = 0.0
        self.node = Node(
            mine(network, draw),
            network,
            ("10.0.0.1", 4_000),
            CONFIG,
            clock=clock,
            draw=draw,
            store=MemoryStore(LIMITS),
        )
        self.strangers = [
            Stranger(
                mine(network, draw),
                network,
                (f"10.1.0.{n}", 4_000),
                clock=clock,
                draw=draw,
                config=STRANGER,
            )
            for n in range(STRANGERS)
        ]
        self.by_address = {stranger.address: stranger for stranger in self.strangers}
        self.node.bootstraps = [Contact(s.identity.id, s.address) for s in self.strangers]
        self.corpus: list[tuple[bytes, Address]] = []
        self.answers: deque[tuple[bytes, Address]] = deque(maxlen=256)
        self.asked: deque[tuple[Stranger, Request]] = deque(maxlen=256)
        self.keys = [rng.randbytes(32) for _ in range(KEYS)]
        authors = [KeyPair.from_seed(rng.randbytes(32)) for _ in range(6)]
        self.packets = [
            sign_packet(
                packet_body(
                    network=network.id,
                    template="fuzz/1",
                    key=self.keys[n % KEYS],
                    case=bytes([n % 50]) * 16,
                    author=authors[n % len(authors)].public,
                    seq=1 + n // 50,
                    day=DAY,
                    exp=DAY + n % 3,
                    arm="A",
                    outcome=Outcome.after(n, n % 2),
                    feat={},
                ),
                authors[n % len(authors)],
            )
            for n in range(300)
        ]
        self.records = [
            sign_record(placement(key), s.identity.key, 3_600 + seq, seq, network.id)
            for s in self.strangers
            for key in self.keys
            for seq in range(2)
        ]
        self.fitting = {(record.provider, record.place): record for record in self.records}
        self.kinds: dict[str, Callable[[], tuple[bytes, Address]]] = {
            "random bytes": self.random_bytes,
            "damaged datagram": self.damaged,
            "replayed datagram": self.replayed,
            "wrong structure in a session": self.wrong_structure,
            "wrong content in a session": self.wrong_content,
            "wrong reply": self.wrong_reply,
            "handshake by hand": self.handshake,
        }

    # --- one datagram of each kind ---------------------------------------------------------------
    def random_bytes(self) -> tuple[bytes, Address]:
        """Return noise that at most looks like one of the five kinds."""
        data = self.rng.randbytes(self.rng.choice((0, 1, 16, 25, 58, 200, 1_200, 1_201)))
        if self.rng.random() < 0.7:
            data = bytes([self.rng.randint(1, 5), 1]) + data[2:]
        return data, self.somewhere()

    def damaged(self) -> tuple[bytes, Address]:
        """Return a valid datagram with a few bytes changed, cut, doubled or joined to another."""
        rng = self.rng
        pick = rng.choice((self.remembered, self.handshake, self.wrong_content))
        data, source = pick()
        changed = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(changed)) if changed else 0
            match rng.randrange(6):
                case 0 | 1 if changed:
                    changed[at] ^= 1 << rng.randrange(8)
                case 2 if changed:
                    changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 3:
                    del changed[at:]
                case 4:
                    changed[at:at] = rng.randbytes(rng.randint(1, 40))
                case _:
                    changed[at:] = self.remembered()[0][at:]
        return bytes(changed), source if rng.random() < 0.9 else self.somewhere()

    def replayed(self) -> tuple[bytes, Address]:
        """Return an old datagram as it was, sometimes from elsewhere."""
        data, source = self.remembered()
        return data, source if self.rng.random() < 0.8 else self.somewhere()

    def wrong_structure(self) -> tuple[bytes, Address]:
        """Return a sealed message with one value replaced by something else, or damaged bytes."""
        rng = self.rng
        stranger = rng.choice(self.strangers)
        plaintext = messages.encode(self.message(stranger))
        if rng.random() < 0.3:
            changed = bytearray(plaintext)
            changed[rng.randrange(len(changed))] = rng.randrange(256)
            plaintext = bytes(changed[: rng.randrange(len(changed) + 1)])
        else:
            fields = msgspec.msgpack.decode(plaintext)
            inner = fields
            while isinstance(inner[at := rng.randrange(len(inner))], list) and inner[at]:
                if rng.random() < 0.3:
                    break
                inner = inner[at]
            inner[at] = self.value()
            plaintext = msgspec.msgpack.encode(fields)
        return self.seal(stranger, plaintext)

    def wrong_content(self) -> tuple[bytes, Address]:
        """Return a sealed message that decodes, whatever it says."""
        stranger = self.rng.choice(self.strangers)
        return self.seal(stranger, messages.encode(self.message(stranger)))

    def wrong_reply(self) -> tuple[bytes, Address]:
        """Return any message as the reply to something that the node asked."""
        if not self.asked:
            return self.wrong_content()
        stranger, request = self.asked.popleft()
        reply = msgspec.structs.replace(self.message(stranger), number=request.number)
        return self.seal(stranger, messages.encode(reply))

    def handshake(self) -> tuple[bytes, Address]:
        """Return the next datagram of a handshake, started by us or by the node."""
        if not self.answers:
            stranger = self.rng.choice(self.strangers)
            stranger.sessions.connect(self.node.me.id, self.node.me.address, self.now)
            list(stranger.sessions.handle_timer(self.now))
            self.collect(stranger)
            if not self.answers:
                return self.random_bytes()
        return self.answers.popleft()

    # --- parts ----------------------------------------------------------------------------------
    def somewhere(self) -> Address:
        """Return an address that nobody of ours has."""
        rng = self.rng
        if rng.random() < 0.2:
            return (f"2001:db8:{rng.randrange(1 << 16):x}::1", rng.randrange(1 << 16))
        return (f"10.2.{rng.randrange(256)}.{rng.randrange(1, 256)}", rng.randrange(1 << 16))

    def remembered(self) -> tuple[bytes, Address]:
        """Return a datagram that was once valid."""
        return self.rng.choice(self.corpus) if self.corpus else (b"", self.somewhere())

    def message(self, stranger: Stranger) -> Message:
        """Return a message that decodes: requests and replies, sensible or not."""
        rng = self.rng
        number = rng.choice((0, 1, rng.getrandbits(32)))
        key = rng.choice(self.keys)
        place = to_bytes(placement(key)) if rng.random() < 0.7 else rng.randbytes(32)
        packets = [self.packet(key) for _ in range(rng.choice((0, 1, 1, 2)))]
        record = self.record(stranger, key)
        digests = [rng.choice(self.packets).digest for _ in range(rng.randrange(28))]
        listing = [(digest, rng.choice((0, DAY, 2**32 - 1))) for digest in digests]
        if rng.random() < 0.7:
            listing.sort()
        choices: list[Callable[[], Message]] = [
            lambda: messages.Ping(number),
            lambda: messages.FindNode(number, place),
            lambda: messages.Store(number, record, packets),
            lambda: messages.Store(number, record, packets),
            lambda: messages.ListPackets(number, place, rng.randbytes(rng.choice((0, 1, 32)))),
            lambda: messages.FetchPackets(number, place, digests),
            lambda: messages.FindProviders(number, place, rng.randbytes(rng.choice((0, 1, 32)))),
            lambda: messages.FindValue(number, place, rng.choice(self.packets).digest),
            lambda: messages.Announce(number, record),
            lambda: messages.ListKeys(number, rng.randrange(256), rng.choice((b"", key))),
            lambda: messages.Pong(number),
            lambda: messages.Nodes(number, [self.contact() for _ in range(rng.randrange(21))]),
            lambda: messages.Stored(number, rng.choices(["", "no", "x" * 64], k=rng.randrange(5))),
            lambda: messages.Listing(number, listing, rng.random() < 0.5),
            lambda: messages.Packets(number, packets),
            lambda: messages.Providers(number, [record] * rng.randrange(8), rng.random() < 0.5),
            lambda: messages.Keys(number, rng.choices(self.keys, k=5), rng.random() < 0.5),
            lambda: messages.Refused(number, f"reason {rng.randrange(1_000)}"),
        ]
        return rng.choice(choices)()

    def packet(self, key: bytes) -> bytes:
        """Return a packet, mostly of this key, sometimes damaged."""
        chosen = self.rng.choice(self.packets)
        if self.rng.random() < 0.8:
            chosen = self.rng.choice([packet for packet in self.packets if packet.key == key])
        data = bytearray(chosen.data)
        if self.rng.random() < 0.3:
            data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
        return bytes(data)

    def record(self, stranger: Stranger, key: bytes) -> bytes:
        """Return a provider record, mostly of this provider and key, sometimes damaged."""
        chosen = self.rng.choice(self.records)
        if self.rng.random() < 0.9:
            chosen = self.fitting[stranger.identity.id, placement(key)]
        data = bytearray(chosen.data)
        if self.rng.random() < 0.2:
            data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
        return bytes(data)

    def contact(self) -> messages.WireContact:
        """Return a contact: one of ours, the node itself, or nobody; hosts of any size."""
        rng = self.rng
        peers = [self.node.me, *self.node.bootstraps]
        identifier = rng.choice((to_bytes(rng.choice(peers).id), rng.randbytes(32)))
        host = rng.choice((b"\x0a\x01\x00\x02", bytes(4), rng.randbytes(rng.randint(4, 16))))
        return (identifier, host, rng.choice((1, 4_000, 65_535)))

    def value(self) -> Any:
        """Return anything that MessagePack can carry."""
        rng = self.rng
        return rng.choice(
            (
                None,
                True,
                -1,
                2**64 - 1,
                -(2**63),
                1.5,
                float("nan"),
                "",
                "\U0001f4a5" * rng.randint(1, 40),
                b"",
                rng.randbytes(rng.choice((1, 31, 33, 600))),
                [],
                [[[[]]]],
                [0] * 300,
                {},
                {"a": {"b": []}},
            )
        )

    def seal(self, stranger: Stranger, plaintext: bytes) -> tuple[bytes, Address]:
        """Return ``plaintext`` inside the stranger's session; a new one when it has none."""
        session = stranger.sessions.get(self.node.me.id)
        if session is None or self.rng.random() < 0.02:
            stranger.sessions.connect(self.node.me.id, self.node.me.address, self.now)
            self.collect(stranger)
            if session is None:
                return self.handshake()
        return stranger.sessions.seal(
            session, plaintext[: wire.PLAINTEXT_SIZE_MAX]
        ), stranger.address

    # --- the run --------------------------------------------------------------------------------
    def step(self, result: Result) -> None:
        """Deliver one datagram and take what the node answers."""
        self.now += STEP
        kind = self.rng.choice(list(self.kinds))
        data, source = self.kinds[kind]()
        result.tried += 1
        result.categories[kind] += 1
        node = self.node
        start = time.thread_time()  # CPU time: the machine may be shared
        try:
            node.receive_datagram(data, source, self.now)
            node.flush()
            effects = list(node.effects())
            elapsed = time.thread_time() - start
            due = node.next_timer()
            if due is not None and due <= self.now:
                node.handle_timer(self.now)
                node.flush()
                effects += node.effects()
            node.events()
            if result.tried % 200 == 1:
                self.employ()
                effects += node.effects()
        except Exception as error:
            result.failed += 1
            elapsed = time.thread_time() - start
            effects = list(node.effects())
            if len(result.failures) < 10:
                result.failures.append(f"datagram {result.tried} ({kind}): {error!r}")
        result.times[result.tried - 1] = elapsed
        if kind in ("handshake by hand", "wrong content in a session"):
            self.remember(data, source)
        for effect in effects:
            self.take(effect)

    def employ(self) -> None:
        """Give the node something to do, so that it has questions that can be answered wrongly."""
        key = self.rng.choice(self.keys)
        match self.rng.randrange(3):
            case 0:
                self.node.find(placement(self.rng.randbytes(32)), self.now)
            case 1:
                self.node.retrieve([key], self.now)
            case _:
                mine = [packet for packet in self.packets if packet.key == key]
                self.node.publish(mine[:3], self.now)

    def remember(self, data: bytes, source: Address) -> None:
        """Keep a datagram for the mutations, in the place of a random old one."""
        if len(self.corpus) < 500:
            self.corpus.append((data, source))
        else:
            self.corpus[self.rng.randrange(500)] = (data, source)

    def take(self, effect: Send) -> None:
        """Answer handshakes, honestly or not; note requests."""
        rng = self.rng
        stranger = self.by_address.get(effect.to)
        if stranger:
            event = stranger.sessions.receive(effect.data, self.node.me.address, self.now)
            self.collect(stranger)
            if isinstance(event, Plain):
                message = messages.decode(event.data)
                if isinstance(message, Request):
                    self.asked.append((stranger, message))
        elif effect.data[0] == wire.HELLO and rng.random() < 0.5:
            hello = wire.decode(effect.data)
            if isinstance(hello, wire.Hello):
                cookie = wire.Cookie(hello.nonce, rng.randbytes(wire.COOKIE_SIZE))
                self.answers.append((cookie.encode(), effect.to))
        elif effect.data[0] == wire.AUTH:
            auth = wire.decode(effect.data)
            if isinstance(auth, wire.Auth):
                other = rng.choice(self.strangers).sessions.descriptor
                parts = (rng.randbytes(8), rng.randbytes(32), other, rng.randbytes(64))
                accept = wire.Accept(auth.session, *parts).encode()
                self.answers.append((accept, effect.to))

    def collect(self, stranger: Stranger) -> None:
        """Queue what a stranger wants to send to the node."""
        for data, to in stranger.sessions.outbox:
            if to == self.node.me.address:
                self.answers.append((data, stranger.address))
        stranger.sessions.outbox.clear()


def rss_mib() -> float:
    """Return the resident memory of this process now, or its peak where that is all there is."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / (1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(seed: int, count: int) -> Result:
    """Return what ``count`` datagrams did."""
    fuzzer, result = Fuzzer(seed), Result(times=array("d", bytes(8 * count)))
    every = max(count // 20, 1)
    start = time.perf_counter()
    while result.tried < count:
        fuzzer.step(result)
        if result.tried % every == 0:
            result.rss.append(round(rss_mib(), 1))
            left = (time.perf_counter() - start) / result.tried * (count - result.tried)
            print(
                f"{result.tried:,} of {count:,}  failed {result.failed}  "
                f"{result.rss[-1]:.0f} MiB  {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
    result.outcomes = dict(sorted(fuzzer.node.counts.items()))
    return result


def summary(result: Result, seed: int, seconds: float) -> dict[str, Any]:
    """Return the figures of a run, with everything needed to repeat it."""
    times = sorted(result.times)
    count = len(times)
    growth = result.rss[-1] - result.rss[(len(result.rss) - 1) // 2]
    return {
        "tried": result.tried,
        "failed": result.failed,
        "upper_bound": 3 / result.tried if not result.failed else None,
        "seed": seed,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "seconds": round(seconds, 1),
        "p50_us": round(times[count // 2] * 1e6, 1),
        "p99_us": round(times[count * 99 // 100] * 1e6, 1),
        "p999_us": round(times[min(count * 999 // 1000, count - 1)] * 1e6, 1),
        "max_us": round(times[-1] * 1e6, 1),
        "rss_mib": result.rss,
        "rss_growth_mib": round(growth, 1),
        "is_flat": result.tried < JUDGED_FROM or growth <= RSS_GROWTH_MAX,
        "categories": dict(result.categories),
        "outcomes": result.outcomes,
        "failures": result.failures,
    }


def main() -> int:
    """Run; print the result; return 1 when anything was raised or memory grew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    given = parser.parse_args()
    if given.count < 1:
        parser.error("--count must be at least 1")
    start = time.perf_counter()
    figures = summary(run(given.seed, given.count), given.seed, time.perf_counter() - start)
    if given.json:
        print(json.dumps(figures, indent=1))
    else:
        for name, value in figures.items():
            if isinstance(value, dict):
                print(f"{name}:")
                for key, number in value.items():
                    print(f"  {number:>10,}  {key}")
            else:
                print(f"{name}: {value}")
    return 1 if figures["failed"] or not figures["is_flat"] else 0


if __name__ == "__main__":
    sys.exit(main())
