"""A target, its honest peers and a simulated network, into which an attack on sessions is merged.

One way takes 5 to 25 ms; nothing is lost unless asked for. The network does not slow down when the
target's processor is busy: its time is measured beside it.
"""

import heapq
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from qisguard.config import NodeConfig
from qisguard.identity.address import Address, network_of
from qisguard.identity.descriptor import Identity, open_descriptor
from qisguard.identity.ids import NodeId
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
    """What happened to honest peers; latencies in seconds.

    ``hellos_max``: Hellos that the network to which the target sent most of them got.
    """

    attempts: int = 0
    at_once: int = 0
    in_time: int = 0
    latencies: list[float] = field(default_factory=list)
    asked: int = 0
    answered: int = 0
    cpu: float = 0.0
    seconds: float = 0.0
    flood: int = 0
    hellos_max: int = 0


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
        self.hellos: Counter[int] = Counter()

    def person(self, address: Address) -> Side:
        """Return somebody with a fresh identity."""
        identity = mine(self.network, self.rng.randbytes)
        return Side(identity, self.network, address, f"{address} {self.rng.random()}")

    def send_all(self, side: Side) -> None:
        """Put on the line what a side sends."""
        for data, to in side.sessions.outbox:
            if side is self.target and data[0] == wire.HELLO:
                self.hellos[network_of(to[0])] += 1
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
                for peer, where in side.sessions.handle_timer(self.now):
                    if where in self.sides:  # elsewhere nobody lives: only a lie has failed
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


@dataclass(frozen=True, slots=True)
class Connect:
    """By whose word somebody connects; with ``proven``, by nobody's."""

    proven: bool = True
    informants: tuple[NodeId, ...] = ()


COMES_ITSELF = Connect()


def _due(side: Side) -> float | None:
    return side.sessions.next_timer()


def connect(world: World, one: Side, other: Side, how: Connect = COMES_ITSELF) -> None:
    """Let one side open a session with another."""
    started = one.sessions.connect(
        other.identity.id, other.address, world.now, how.proven, informants=how.informants
    )
    if not started:
        world.failed.add((one.address, other.identity.id))
    world.send_all(one)


def finish(
    world: World, pairs: dict[Address, tuple[float, Side, Side]], how: Connect = COMES_ITSELF
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
                connect(world, one, other, how)
        moment = world.now + 1.0
        world.run(moment)
        world.now = moment
    tally.hellos_max = max(world.hellos.values(), default=0)
    for start, one, other in pairs.values():
        key = (one.address, other.identity.id)
        opened = world.opened.get(key, float("inf")) - start
        tally.attempts += 1
        tally.at_once += key in world.opened and key not in first_failed
        tally.in_time += opened <= PATIENCE
        if opened <= PATIENCE:
            tally.latencies.append(opened)


def summary(name: str, rate: float, tallies: list[Tally]) -> dict[str, object]:
    """Return the figures of one scenario over all seeds; of Hellos, those of the worst seed."""
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
    hellos = max(t.hellos_max / t.seconds for t in tallies)
    if any(t.hellos_max for t in tallies):
        result["hellos_to_one_network_per_second"] = round(hellos, 2)
    if asked:
        result["asked_in_open_sessions_answered"] = _share(answered, asked)
    return result


def _share(successes: int, trials: int) -> str:
    interval = wilson(successes, trials)
    return (
        f"{successes}/{trials} = {interval.estimate:.4f} ({interval.low:.4f}, {interval.high:.4f})"
    )
