"""Show one node many identities that do not exist (PROOF R14): its memory must not grow.

    uv run python benchmarks/reliability/identities.py --count 1000000 [--kind puzzle] [--json]

Each identity is new and comes from a new address. Three kinds, one after the other:

- ``hello``: a Hello, answered with a cookie; the identity is never heard of again;
- ``cookie``: an Auth with a cookie that this node never made;
- ``puzzle``: a Hello, then an Auth with the true cookie and a descriptor with an unsolved puzzle.

A whole node on the simulated network, with five honest neighbours who look something up once in a
simulated second; the strangers own 10.128.0.0/9. The budget for Hellos is lifted, so that every
single one is worked on. Figures: CPU time for each identity, everything included; resident memory
of the process; the size of every table of the node's sessions; look-ups answered meanwhile.
"""

import argparse
import asyncio
import json
import platform
import random
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from qisguard.config import NodeConfig
from qisguard.identity.address import Address
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.lab.engine import Handle
from qisguard.lab.identities import mine
from qisguard.lab.links import Links
from qisguard.lab.virtual import VirtualEngine
from qisguard.node.node import Node
from qisguard.plugins import Clock, Send
from qisguard.session import wire
from qisguard.store.memory import MemoryStore
from qisguard.store.store import StoreLimits

DAY = 20_000
STATIC_BITS = 12
STEP = 0.000_1
"""Virtual seconds between two identities: 10,000 come in a second."""
BATCH = 10
NEIGHBOURS = 5
CONFIG = NodeConfig(hellos_per_second=1e7)
RSS_GROWTH_MAX = 8.0
"""MiB from a tenth of the run, when all tables are full, to its end."""
JUDGED_FROM = 100_000
"""Memory is judged only in runs at least this long."""


class Many:
    """Strangers without number, on all addresses of one network; an endpoint of the engine."""

    def __init__(self, kind: str, count: int, victim: Node, rng: random.Random) -> None:
        self.asked = 0
        self.bytes_in = self.bytes_out = 0
        self._kind = kind
        self._count = count
        self._victim = victim
        self._rng = rng
        signed = victim.sessions.descriptor
        self._before, _, self._after = signed.partition(victim.identity.key.public)
        self._next = 0.0
        self._waiting: dict[bytes, tuple[bytes, Address]] = {}
        self._outbox: list[Send] = []

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Take a cookie; those of kind ``puzzle`` come back with it."""
        self.bytes_out += len(data)
        answer = wire.decode(data)
        if isinstance(answer, wire.Cookie) and answer.nonce in self._waiting:
            ephemeral, home = self._waiting.pop(answer.nonce)
            self._say(self._auth(answer.nonce, ephemeral, answer.cookie), home)

    def handle_timer(self, now: float) -> None:
        """Let the next strangers come."""
        self._next = now + STEP * BATCH
        for _ in range(min(BATCH, self._count - self.asked)):
            self._come(address_of(self.asked), now)
            self.asked += 1

    def next_timer(self) -> float | None:
        """Return when the next strangers come."""
        return self._next if self.asked < self._count else None

    def flush(self) -> None:
        """Nothing is kept."""

    def effects(self) -> Sequence[Send]:
        """Return and forget what is to be sent."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def _come(self, home: Address, now: float) -> None:
        rng = self._rng
        nonce, ephemeral = rng.randbytes(16), rng.randbytes(32)
        if self._kind == "cookie":
            made_up = int(now * 1_000).to_bytes(8, "big") + rng.randbytes(32)
            self._say(self._auth(nonce, ephemeral, made_up), home)
            return
        if self._kind == "puzzle":
            self._waiting[nonce] = ephemeral, home
        self._say(wire.Hello(nonce, ephemeral, to_bytes(self._victim.me.id)).encode(), home)

    def _auth(self, nonce: bytes, ephemeral: bytes, cookie: bytes) -> bytes:
        """Return an Auth of a new identity; its descriptor has the right shape and network."""
        rng = self._rng
        descriptor = self._before + rng.randbytes(32) + self._after
        fields = (nonce, ephemeral, cookie, rng.randbytes(8), descriptor, rng.randbytes(64))
        return wire.Auth(*fields).encode()

    def _say(self, data: bytes, home: Address) -> None:
        self.bytes_in += len(data)
        self._outbox.append(Send(data, self._victim.me.address, source=home))


class Honest:
    """A few honest nodes around the victim, who ask it for something all the time."""

    def __init__(self, engine: VirtualEngine, nodes: Sequence[Node], rng: random.Random) -> None:
        self._engine = engine
        self._nodes = nodes
        self._rng = rng
        self._under_way: list[Handle] = []
        self.asked = self.answered = 0

    def ask(self) -> None:
        """Let everybody look something up, and count what came of the last round."""
        self.answered += sum(self._engine.take(handle) is not None for handle in self._under_way)
        target = NodeId(self._rng.getrandbits(256))
        self._under_way = []
        for node in self._nodes:
            self._under_way += self._engine.act(node, lambda now, n=node: [n.find(target, now)])
        self.asked += len(self._under_way)


def address_of(index: int) -> Address:
    """Return the address of one stranger, different for each."""
    host = index & 0x7F_FFFF
    return (f"10.{128 + (host >> 16)}.{host >> 8 & 255}.{host & 255}", 1_024 + (index >> 23))


def rss_mib() -> float:
    """Return the resident memory of this process now, or its peak where that is all there is."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / (1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(kind: str, seed: int, count: int) -> dict[str, object]:
    """Return what ``count`` identities of one kind did to a fresh node."""
    return asyncio.run(_run(kind, seed, count))


async def _run(kind: str, seed: int, count: int) -> dict[str, object]:
    rng = random.Random(seed)
    authority = KeyPair.from_seed(rng.randbytes(32))
    network = Network("crowd", authority.public, rng.randbytes(32), STATIC_BITS, 0)
    engine = VirtualEngine(seed, Clock(DAY), Links(latency=(0.001, 0.002)))
    nodes = [_node(engine, network, rng) for _ in range(1 + NEIGHBOURS)]
    seeds = [nodes[0].me]
    for node in nodes[1:]:
        await engine.finish(engine.act(node, lambda now, n=node: [n.join(seeds, now)]))
    many = Many(kind, count, nodes[0], rng)
    sessions_before = len(nodes[0].sessions)
    honest = Honest(engine, nodes[1:], rng)
    before = rss_mib()
    start, cpu = time.perf_counter(), time.process_time()
    settled, told = 0.0, 0
    engine.let_speak(lambda _: many, owns="10.128.0.0/9")
    while engine.now() < count * STEP + 5.0:
        engine.advance(engine.now() + 1.0)
        honest.ask()
        if not settled and many.asked >= count // 10:
            settled = rss_mib()
        if many.asked - told >= 500_000:
            told = many.asked
            elapsed = time.perf_counter() - start
            print(f"{kind}: {told:,} in {elapsed:.0f} s, {rss_mib():.1f} MiB", file=sys.stderr)
    after, cpu = rss_mib(), time.process_time() - cpu
    sizes = nodes[0].sessions.sizes()
    return {
        "kind": kind,
        "tried": many.asked,
        "seed": seed,
        "sessions": len(nodes[0].sessions) - sessions_before,
        "contacts": len(nodes[0].table),
        "rss_before_mib": round(before, 1),
        "rss_settled_mib": round(settled, 1),
        "rss_after_mib": round(after, 1),
        "is_flat": count < JUDGED_FROM or after - settled <= RSS_GROWTH_MAX,
        "tables": {name: size for name, size in sizes.items() if size},
        "look_ups_asked": honest.asked - NEIGHBOURS,
        "look_ups_answered": honest.answered,
        "bytes_in": many.bytes_in,
        "bytes_out": many.bytes_out,
        "cpu_us_each": round(cpu / count * 1e6, 1),
        "seconds": round(time.perf_counter() - start, 1),
        "outcomes": dict(sorted(nodes[0].counts.items())),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _node(engine: VirtualEngine, network: Network, rng: random.Random) -> Node:
    identity = mine(network, rng.randbytes)
    return engine.add(
        lambda address: Node(
            identity,
            network,
            address,
            CONFIG,
            clock=engine.clock,
            draw=random.Random(rng.getrandbits(64)).randbytes,
            store=MemoryStore(StoreLimits.of(CONFIG)),
        )
    )


def main() -> int:
    """Run; print the results; return 1 when a session was opened or memory grew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    kinds = ("hello", "cookie", "puzzle")
    parser.add_argument("--kind", choices=kinds, help="only this kind; all three without it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1_000_000, help="identities of each kind")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    given = parser.parse_args()
    if given.count < 1:
        parser.error("--count must be at least 1")
    chosen = (given.kind,) if given.kind else kinds
    results = [run(kind, given.seed, given.count) for kind in chosen]
    if given.json:
        print(json.dumps(results, indent=1))
    else:
        for result in results:
            print("\n".join(f"{name}: {value}" for name, value in result.items()), end="\n\n")
    return 0 if all(r["is_flat"] and not r["sessions"] for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
