"""Can an attacker keep honest peers out by speaking in their name? Two attackers, with figures.

    uv run python benchmarks/reliability/lockout.py --seeds 20 [--json]

A target and 20 honest peers on a simulated network (one way 5 to 25 ms, no loss unless asked for).
Half of the peers have a session already and ask in it all the time; the other half open one.

- ``spoofer``: floods the target with Hellos, Auths and sealed datagrams, in equal parts, whose
  source address is that of an honest peer. ``hellos`` sends Hellos alone, the worst part.
- ``claimer``: from addresses of its own, with cookies that it went to get, sends Auths that show
  the descriptors of honest peers under signatures that do not verify.
- ``gossip``: a peer whom the target asks names honest ids at false addresses and invented ids at
  the honest addresses. Here the target opens the sessions: to contacts that it had proved before,
  and to others for the first time.

The attack goes on until everybody is in touch or 30 seconds have passed. Success is one handshake
attempt (three tries of each part) and, separately, being in touch within 30 seconds when attempts
are repeated every second. CPU time is the target's for each virtual second: the simulated network
does not slow down when it passes 1, a real node would drop datagrams.
"""

import argparse
import heapq
import json
import platform
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TypeAlias

from qisguard.config import DATAGRAM_SIZE, NodeConfig
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Identity, open_descriptor
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.identity.keys import KeyPair, verify
from qisguard.identity.network import Network
from qisguard.lab.identities import mine
from qisguard.lab.statistics import wilson
from qisguard.session import wire
from qisguard.session.sessions import Opened, Plain, Sessions

DAY = 20_000
PEERS = 20
CONFIG = NodeConfig()
LATENCY = (0.005, 0.025)
PATIENCE = 30.0
ASKING = 2.0
"""Seconds for which those with sessions ask; newcomers come meanwhile."""
CLAIMER_ADDRESSES = 8


Flood: TypeAlias = Iterator[tuple[float, Callable[[], object]]]
"""When an attack does what, without end."""


class Side:
    """One identity at one address, on the simulated network."""

    def __init__(self, identity: Identity, network: Network, address: Address, seed: str) -> None:
        self.identity = identity
        self.address = address
        self.counts: Counter[str] = Counter()
        self.sessions = Sessions(
            identity,
            CONFIG,
            random.Random(seed).randbytes,
            verify,
            lambda data: open_descriptor(data, network),
            self.counts,
        )
        self.sessions.descriptor = identity.describe(network, address, 0, DAY + 30).signed


@dataclass
class Tally:
    """What happened to honest peers; latencies in seconds."""

    attempts: int = 0
    at_once: int = 0
    in_time: int = 0
    latencies: list[float] = field(default_factory=list)
    asked: int = 0
    answered: int = 0
    cpu: float = 0.0
    seconds: float = 0.0
    flood: int = 0


class World:
    """A heap of datagrams under way, and the attack that is merged into it."""

    def __init__(self, seed: int, loss_ratio: float) -> None:
        self.rng = rng = random.Random(f"lockout {seed}")
        authority = KeyPair.from_seed(rng.randbytes(32))
        self.network = Network("lockout", authority.public, rng.randbytes(32), 0, 0)
        self.target = self.person(("192.0.2.1", 4_000))
        self.peers = [self.person((f"10.0.{n}.1", 4_000)) for n in range(PEERS)]
        self.sides = {side.address: side for side in [self.target, *self.peers]}
        self.loss_ratio = loss_ratio
        self.now = 0.0
        self.order = 0
        self.heap: list[tuple[float, int, Address, bytes, Address]] = []
        self.opened: dict[tuple[Address, NodeId], float] = {}
        self.failed: set[tuple[Address, NodeId]] = set()
        self.tally = Tally()
        self.flood: Flood = iter(())
        self.next_flood: tuple[float, Callable[[], object]] | None = None
        self.cookies: dict[Address, list[bytes]] = {}

    def person(self, address: Address) -> Side:
        """Return somebody with a fresh identity."""
        identity = mine(self.network, self.rng.randbytes)
        return Side(identity, self.network, address, f"{address} {self.rng.random()}")

    def send_all(self, side: Side) -> None:
        """Put on the line what a side sends."""
        for data, to in side.sessions.outbox:
            self.send(data, side.address, to)
        side.sessions.outbox.clear()

    def send(self, data: bytes, source: Address, to: Address) -> None:
        """Put one datagram on the line."""
        if self.rng.random() >= self.loss_ratio:
            low, high = LATENCY
            self.order += 1
            arrival = self.now + low + (high - low) * self.rng.random()
            heapq.heappush(self.heap, (arrival, self.order, to, data, source))

    def start(self, flood: Flood) -> None:
        """Let an attack begin; it goes on until nobody looks any more."""
        self.flood = flood
        self.next_flood = next(flood, None)

    def run(self, until: float) -> None:
        """Deliver everything that is due, flood and timers included."""
        while True:
            timer = min(
                ((due, side.address) for side in self.sides.values() if (due := _due(side))),
                default=None,
            )
            times = [until]
            times += [self.heap[0][0]] if self.heap else []
            times += [timer[0]] if timer else []
            next_time = min(times)
            while self.next_flood and self.next_flood[0] <= next_time:
                self.now = self.next_flood[0]
                self.attack(self.next_flood[1])
                self.next_flood = next(self.flood, None)
                if self.target.sessions.outbox:
                    self.send_all(self.target)
                    next_time = min(next_time, self.heap[0][0] if self.heap else until)
            self.now = max(self.now, next_time)
            if self.heap and self.heap[0][0] <= self.now:
                _, _, to, data, source = heapq.heappop(self.heap)
                self.deliver(to, data, source)
            elif timer and timer[0] <= self.now:
                side = self.sides[timer[1]]
                for peer, _ in side.sessions.handle_timer(self.now):
                    self.failed.add((side.address, peer))
                self.send_all(side)
            else:
                return

    def attack(self, act: Callable[[], object]) -> None:
        """Do one thing to the target; its CPU time counts."""
        self.tally.flood += 1
        start = time.process_time()
        act()
        self.tally.cpu += time.process_time() - start

    def at_target(self, data: bytes, source: Address) -> None:
        """Hand the target one datagram of the attack."""
        self.target.sessions.receive(data, source, self.now)

    def deliver(self, to: Address, data: bytes, source: Address) -> None:
        """Hand over an honest datagram, or note a cookie that the claimer went to get."""
        side = self.sides.get(to)
        if side is None:
            if data[0] == wire.COOKIE:
                self.cookies.setdefault(to, []).append(data)
            return
        event = side.sessions.receive(data, source, self.now)
        if isinstance(event, Opened):
            self.opened.setdefault((side.address, event.session.peer), self.now)
        if isinstance(event, Plain):
            if event.data == b"ask":
                side.sessions.send(event.session, b"answer")
            else:
                self.tally.answered += 1
        self.send_all(side)


def _due(side: Side) -> float | None:
    return side.sessions.next_timer()


# --- attacks -------------------------------------------------------------------------------------
Attack: TypeAlias = Callable[[World, float], Flood]
"""Takes the rate in datagrams per second."""


def spoofer(world: World, rate: float) -> Flood:
    """Hellos, Auths and sealed datagrams that claim to come from honest peers."""
    return _spoof(world, rate, (wire.HELLO, wire.AUTH, wire.SEALED))


def hellos(world: World, rate: float) -> Flood:
    """Hellos alone."""
    return _spoof(world, rate, (wire.HELLO,))


def _spoof(world: World, rate: float, kinds: tuple[int, ...]) -> Flood:
    rng = random.Random(world.rng.random())
    me = to_bytes(world.target.identity.id)
    descriptors = {peer.address: peer.sessions.descriptor for peer in world.peers}
    addresses = list(descriptors)
    start = world.now
    for n in count():
        now = start + n / rate
        source = addresses[n % len(addresses)]
        kind = kinds[n // len(addresses) % len(kinds)]
        if kind == wire.HELLO:
            data = (b"\x01\x01" + rng.randbytes(48) + me).ljust(DATAGRAM_SIZE, b"\0")
        elif kind == wire.AUTH:
            cookie = int(now * 1_000).to_bytes(8, "big") + rng.randbytes(32)
            parts = (rng.randbytes(16), rng.randbytes(32), cookie, rng.randbytes(8))
            data = wire.Auth(*parts, descriptors[source], rng.randbytes(64)).encode()
        else:
            data = b"\x05" + rng.randbytes(60)
        yield now, partial(world.at_target, data, source)


def claimer(world: World, rate: float) -> Flood:
    """Auths with good cookies and stolen descriptors; a third of the datagrams fetch cookies."""
    rng = random.Random(world.rng.random())
    me = to_bytes(world.target.identity.id)
    asked: dict[bytes, bytes] = {}
    start = world.now
    for n in count():
        source = (f"198.51.100.{1 + n % CLAIMER_ADDRESSES}", 4_000)
        cookies = world.cookies.get(source)
        if n // CLAIMER_ADDRESSES % 3 == 0 or not cookies:
            nonce, ephemeral = rng.randbytes(16), rng.randbytes(32)
            asked[nonce] = ephemeral
            data = wire.Hello(nonce, ephemeral, me).encode()
        else:
            if len(cookies) > 1:
                cookies.pop(0)
            nonce = cookies[0][2:18]
            stolen = rng.choice(world.peers).sessions.descriptor
            parts = (nonce, asked[nonce], cookies[0][18:], rng.randbytes(8), stolen)
            data = wire.Auth(*parts, rng.randbytes(64)).encode()
        yield start + n / rate, partial(world.at_target, data, source)


def lies(world: World, rate: float) -> Flood:
    """Honest ids at false addresses, and invented ids at honest ones, as a look-up would hear."""
    rng = random.Random(world.rng.random())
    target, start = world.target.sessions, world.now
    for n in count():
        now = start + n / rate
        if rng.random() < 0.5:
            honest = rng.choice(world.peers).identity.id
            false = (f"203.{rng.randrange(256)}.{rng.randrange(256)}.1", 4_000)
            act = partial(target.connect, honest, false, now)
        else:
            invented = NodeId(rng.getrandbits(256))
            act = partial(target.connect, invented, rng.choice(world.peers).address, now)
        yield now, act


# --- scenarios -----------------------------------------------------------------------------------
def from_outside(seed: int, attack: Attack | None, rate: float, loss_ratio: float) -> Tally:
    """Honest peers come to a target under a flood."""
    world = World(seed, loss_ratio)
    target, friends, newcomers = world.target, world.peers[: PEERS // 2], world.peers[PEERS // 2 :]
    for friend in friends:
        _connect(world, friend, target)
    world.run(5.0)
    world.tally = tally = Tally()
    begin = world.now
    if attack:
        world.start(attack(world, rate))
    asks = [begin + 0.1 + n * 0.05 for n in range(int(ASKING / 0.05))]
    starts = {begin + 0.3 + world.rng.random(): peer for peer in newcomers}
    for moment in sorted([*asks, *starts]):
        world.run(moment)
        world.now = moment
        if peer := starts.get(moment):
            _connect(world, peer, target)
            continue
        friend = world.rng.choice(friends)
        if session := friend.sessions.get(target.identity.id):
            friend.sessions.send(session, b"ask")
            world.send_all(friend)
        tally.asked += 1
    _finish(world, {peer.address: (start, peer, target) for start, peer in starts.items()})
    tally.seconds = world.now - begin
    return tally


def gossip(seed: int, rate: float, loss_ratio: float, *, proven: bool) -> Tally:
    """The target connects to honest peers while a liar talks about them."""
    world = World(seed, loss_ratio)
    world.now = begin = 5.0
    if rate:
        world.start(lies(world, rate))
    wanted = {begin + 2.0 + world.rng.random(): peer for peer in world.peers}
    for moment in sorted(wanted):
        world.run(moment)
        world.now = moment
        _connect(world, world.target, wanted[moment], proven=proven)
    pairs = {peer.address: (start, world.target, peer) for start, peer in wanted.items()}
    _finish(world, pairs, proven=proven)
    world.tally.seconds = world.now - begin
    return world.tally


def _connect(world: World, one: Side, other: Side, *, proven: bool = True) -> None:
    started = one.sessions.connect(other.identity.id, other.address, world.now, proven)
    if not started:
        world.failed.add((one.address, other.identity.id))
    world.send_all(one)


def _finish(
    world: World, pairs: dict[Address, tuple[float, Side, Side]], *, proven: bool = True
) -> None:
    """Repeat failed attempts until everybody is in touch or out of patience; count."""
    tally = world.tally
    first_failed: set[tuple[Address, NodeId]] = set()
    world.run(world.now + 0.2)
    end = world.now + PATIENCE
    keys = {(one.address, other.identity.id) for _, one, other in pairs.values()}
    while not keys <= world.opened.keys() and world.now < end:
        for _, one, other in pairs.values():
            key = (one.address, other.identity.id)
            if key in world.failed and key not in world.opened:
                first_failed.add(key)
                world.failed.discard(key)
                _connect(world, one, other, proven=proven)
        moment = world.now + 1.0
        world.run(moment)
        world.now = moment
    for start, one, other in pairs.values():
        key = (one.address, other.identity.id)
        opened = world.opened.get(key, float("inf")) - start
        tally.attempts += 1
        tally.at_once += key in world.opened and key not in first_failed
        tally.in_time += opened <= PATIENCE
        if opened <= PATIENCE:
            tally.latencies.append(opened)


def summary(name: str, rate: float, tallies: list[Tally]) -> dict[str, object]:
    """Return the figures of one scenario over all seeds."""
    attempts = sum(t.attempts for t in tallies)
    at_once, in_time = sum(t.at_once for t in tallies), sum(t.in_time for t in tallies)
    latencies = sorted(latency for t in tallies for latency in t.latencies)
    asked, answered = sum(t.asked for t in tallies), sum(t.answered for t in tallies)
    result: dict[str, object] = {
        "scenario": name,
        "rate_per_second": rate,
        "attempts": attempts,
        "opened_at_first_attempt": _share(at_once, attempts),
        "opened_within_30_s": _share(in_time, attempts),
        "median_ms": round(statistics.median(latencies) * 1_000, 1) if latencies else None,
        "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1_000, 1) if latencies else None,
        "cpu_per_second": round(sum(t.cpu for t in tallies) / sum(t.seconds for t in tallies), 3),
        "attack_datagrams": sum(t.flood for t in tallies),
    }
    if asked:
        result["asked_in_open_sessions_answered"] = _share(answered, asked)
    return result


def _share(successes: int, trials: int) -> str:
    interval = wilson(successes, trials)
    return (
        f"{successes}/{trials} = {interval.estimate:.4f} ({interval.low:.4f}, {interval.high:.4f})"
    )


def main() -> int:
    """Run all scenarios; return 1 when a peer that is known or comes itself was kept out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--loss", type=float, default=0.0, help="share of datagrams lost")
    parser.add_argument("--rates", type=float, nargs="+", default=[1_000.0, 10_000.0, 40_000.0])
    parser.add_argument("--gossip", type=float, nargs="+", default=[10.0, 100.0, 1_000.0])
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    given = parser.parse_args()
    if given.seeds < 1 or not 0 <= given.loss < 1:
        parser.error("--seeds must be at least 1, --loss at least 0 and below 1")
    seeds = range(given.seeds)
    results = [
        summary("no attack", 0, [from_outside(s, None, 0, given.loss) for s in seeds]),
    ]
    attacks: dict[str, Attack] = {"spoofer": spoofer, "hellos": hellos, "claimer": claimer}
    for name, attack in attacks.items():
        for rate in given.rates:
            tallies = [from_outside(s, attack, rate, given.loss) for s in seeds]
            results.append(summary(name, rate, tallies))
            print(results[-1], file=sys.stderr)
    for proven in (True, False):
        name = f"gossip, {'proven contacts' if proven else 'first contact by hearsay'}"
        for rate in (0.0, *given.gossip):
            tallies = [gossip(s, rate, given.loss, proven=proven) for s in seeds]
            results.append(summary(name, rate, tallies))
            print(results[-1], file=sys.stderr)
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    if given.json:
        print(json.dumps({"machine": machine, "seeds": given.seeds, "results": results}, indent=1))
    else:
        print(machine)
        for result in results:
            print("\n".join(f"{name}: {value}" for name, value in result.items()), end="\n\n")
    shares = [
        str(result["opened_within_30_s"]).split(" ")[0].split("/")
        for result in results
        if "first contact" not in str(result["scenario"])
    ]
    return 0 if all(good == tried for good, tried in shares) else 1


if __name__ == "__main__":
    sys.exit(main())
