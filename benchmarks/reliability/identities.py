"""Show one node many identities that do not exist (PROOF R14): its memory must not grow.

    uv run python benchmarks/reliability/identities.py --count 1000000 [--kind puzzle] [--json]

Each identity is new and comes from a new address. Three kinds, one after the other:

- ``hello``: a Hello, answered with a cookie; the identity is never heard of again;
- ``cookie``: an Auth with a cookie that this node never made;
- ``puzzle``: a Hello, then an Auth with the true cookie and a descriptor with an unsolved puzzle.

What is measured is ``Sessions``, which is all of a node that strangers reach. The budget for Hellos
is lifted, so that every single one is worked on. Figures: CPU time for each identity, without
making it; resident memory; the size of every table.
"""

import argparse
import json
import platform
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from qisguard.config import NodeConfig
from qisguard.identity.address import Address
from qisguard.identity.descriptor import open_descriptor
from qisguard.identity.ids import to_bytes
from qisguard.identity.keys import KeyPair, verify
from qisguard.identity.network import Network
from qisguard.lab.identities import mine
from qisguard.session import wire
from qisguard.session.sessions import Sessions

DAY = 20_000
STATIC_BITS = 12
STEP = 0.000_02
"""Virtual seconds between two identities."""
CONFIG = NodeConfig(hellos_per_second=1e7)
RSS_GROWTH_MAX = 8.0
"""MiB from a tenth of the run, when all tables are full, to its end."""
JUDGED_FROM = 100_000
"""Memory is judged only in runs at least this long."""


class Crowd:
    """One node's sessions, and strangers without number."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        authority = KeyPair.from_seed(rng.randbytes(32))
        network = Network("crowd", authority.public, rng.randbytes(32), STATIC_BITS, 0)
        identity = mine(network, rng.randbytes)
        self.me = to_bytes(identity.id)
        self.counts: Counter[str] = Counter()
        self.sessions = Sessions(
            identity,
            CONFIG,
            rng.randbytes,
            verify,
            lambda data: open_descriptor(data, network),
            self.counts,
        )
        own = identity.describe(network, ("192.0.2.1", 4_000), 0, DAY + 30)
        self.sessions.descriptor = own.signed
        self._before, _, self._after = own.signed.partition(own.key)
        self.now = 0.0
        self.bytes_in = self.bytes_out = 0
        self.seconds = 0.0
        self.kinds: dict[str, Callable[[int], None]] = {
            "hello": self.hello,
            "cookie": self.cookie,
            "puzzle": self.puzzle,
        }

    def deliver(self, data: bytes, source: Address) -> bytes:
        """Hand one datagram over; return what is answered."""
        self.bytes_in += len(data)
        start = time.process_time()
        self.sessions.receive(data, source, self.now)
        self.seconds += time.process_time() - start
        answers = [answer for answer, _ in self.sessions.outbox]
        self.sessions.outbox.clear()
        self.bytes_out += sum(map(len, answers))
        return b"".join(answers)

    def hello(self, index: int) -> None:
        """Ask for a cookie and never come back."""
        rng = self.rng
        data = wire.Hello(rng.randbytes(16), rng.randbytes(32), self.me).encode()
        self.deliver(data, address_of(index))

    def cookie(self, index: int) -> None:
        """Make up a cookie of this very moment."""
        stamp = int(self.now * 1_000).to_bytes(8, "big")
        rng = self.rng
        self.deliver(
            self.auth(rng.randbytes(16), rng.randbytes(32), stamp + rng.randbytes(32)),
            address_of(index),
        )

    def puzzle(self, index: int) -> None:
        """Prove the address, and show an identity that paid nothing."""
        rng, source = self.rng, address_of(index)
        nonce, ephemeral = rng.randbytes(16), rng.randbytes(32)
        answer = self.deliver(wire.Hello(nonce, ephemeral, self.me).encode(), source)
        self.deliver(self.auth(nonce, ephemeral, answer[-wire.COOKIE_SIZE :]), source)

    def auth(self, nonce: bytes, ephemeral: bytes, cookie: bytes) -> bytes:
        """Return an Auth of a new identity; its descriptor has the right shape and network."""
        rng = self.rng
        descriptor = self._before + rng.randbytes(32) + self._after
        fields = (nonce, ephemeral, cookie, rng.randbytes(8), descriptor, rng.randbytes(64))
        return wire.Auth(*fields).encode()


def address_of(index: int) -> Address:
    """Return the address of one stranger, different for each."""
    return (f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}", 1_024 + (index >> 24))


def rss_mib() -> float:
    """Return the resident memory of this process now, or its peak where that is all there is."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / (1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(kind: str, seed: int, count: int) -> dict[str, object]:
    """Return what ``count`` identities of one kind did to a fresh node."""
    crowd = Crowd(seed)
    act = crowd.kinds[kind]
    before = rss_mib()
    start = time.perf_counter()
    settled = before
    for index in range(count):
        crowd.now += STEP
        act(index)
        if index == count // 10:
            crowd.sessions.handle_timer(crowd.now)
            settled = rss_mib()
        if index % 500_000 == 499_999:
            elapsed = time.perf_counter() - start
            print(f"{kind}: {index + 1:,} in {elapsed:.0f} s, {rss_mib():.1f} MiB", file=sys.stderr)
    after = rss_mib()
    sizes = crowd.sessions.sizes()
    return {
        "kind": kind,
        "tried": count,
        "seed": seed,
        "sessions": sizes["sessions"],
        "rss_before_mib": round(before, 1),
        "rss_settled_mib": round(settled, 1),
        "rss_after_mib": round(after, 1),
        "is_flat": count < JUDGED_FROM or after - settled <= RSS_GROWTH_MAX,
        "tables": {name: size for name, size in sizes.items() if size},
        "bytes_in": crowd.bytes_in,
        "bytes_out": crowd.bytes_out,
        "cpu_us_each": round(crowd.seconds / count * 1e6, 1),
        "seconds": round(time.perf_counter() - start, 1),
        "outcomes": dict(sorted(crowd.counts.items())),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


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
