"""A probe of one running node: malformed datagrams at a bounded rate, and is it still there?

Heartbeats (Hellos, which a node answers with a cookie) go on before, during and after the bad
datagrams. It needs no identity and opens no session: what it measures is what any stranger can do.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from qisguard.config import DATAGRAM_SIZE
from qisguard.errors import DecodeError, ScenarioError, ScopeError
from qisguard.identity.address import Address
from qisguard.identity.ids import to_bytes
from qisguard.identity.scope import Scope
from qisguard.lab.brakes import Brakes, Limits
from qisguard.lab.journal.lines import Kind
from qisguard.lab.journal.writing import begin
from qisguard.lab.links import flip
from qisguard.lab.live import LiveEngine
from qisguard.node.contact import Contact
from qisguard.plugins import Clock, Send
from qisguard.session import wire
from qisguard.transport.udp import is_loopback

ATTACK = "malformed"
"""What a scope must allow for a probe."""
HEARTBEAT = 0.1
"""Seconds between two Hellos: far below the budget of any node."""
REST = 2.0
"""Seconds of heartbeats alone, before and after."""
RATE_MAX = 20_000
TICK = 0.01


@dataclass(slots=True)
class Phase:
    """Heartbeats of one part of a probe; latencies in seconds, of those that were answered."""

    name: str
    sent: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Return how many heartbeats were answered."""
        return len(self.latencies)

    @property
    def latency_p50(self) -> float | None:
        """Return the median time to an answer, in seconds."""
        return median(self.latencies) if self.latencies else None


@dataclass(slots=True)
class Probed:
    """What a probe measured; bytes and datagrams of the bad part, heartbeats left out."""

    target: Contact
    phases: list[Phase]
    bad_datagrams: int = 0
    bad_bytes: int = 0
    answers: int = 0
    answer_bytes: int = 0

    @property
    def amplification(self) -> float:
        """Return bytes that came back for each byte of bad datagrams."""
        return self.answer_bytes / self.bad_bytes if self.bad_bytes else 0.0

    @property
    def is_alive(self) -> bool:
        """Return whether the node answered afterwards at least half of what it answered before."""
        before, after = self.phases[0], self.phases[-1]
        return 2 * after.answered * before.sent >= before.answered * after.sent > 0


class Prober:
    """The endpoint that speaks; ``rate`` bad datagrams a second for ``seconds``."""

    def __init__(
        self, target: Contact, rate: int, seconds: float, rest: float, seed: int, start: float
    ) -> None:
        self._target = target
        self._rate = rate
        self._rng = random.Random(f"probe {seed}")
        self._outbox: list[Send] = []
        self._ends = (start + rest, start + rest + seconds, start + 2 * rest + seconds)
        self._beat = start
        self._bad = self._ends[0]
        self._asked: dict[bytes, tuple[Phase, float]] = {}
        self.probed = Probed(target, [Phase("before"), Phase("during"), Phase("after")])

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Count an answer: to a heartbeat, or to something that deserved none."""
        if source != self._target.address:
            return
        try:
            message = wire.decode(data)
        except DecodeError:
            message = None
        asked = self._asked.pop(message.nonce, None) if isinstance(message, wire.Cookie) else None
        if asked:
            phase, sent = asked
            phase.latencies.append(now - sent)
        else:
            self.probed.answers += 1
            self.probed.answer_bytes += len(data)

    def handle_timer(self, now: float) -> None:
        """Send the heartbeats and bad datagrams that are due."""
        if now >= self._ends[2]:
            return
        phase = self.probed.phases[sum(now >= end for end in self._ends[:2])]
        if now >= self._beat:
            self._beat = now + HEARTBEAT
            hello = self._hello()
            self._asked[hello.nonce] = phase, now
            phase.sent += 1
            self._send(hello.encode())
        while self._bad <= now and self._bad < self._ends[1]:
            self._bad += 1 / self._rate
            data = self._malformed()
            self.probed.bad_datagrams += 1
            self.probed.bad_bytes += len(data)
            self._send(data)

    def next_timer(self) -> float | None:
        """Return when the next datagram is due."""
        if self._bad < self._ends[1]:
            return min(self._beat, self._bad + TICK)
        return self._beat if self._beat < self._ends[2] else None

    def flush(self) -> None:
        """Nothing is kept."""

    def effects(self) -> Sequence[Send]:
        """Return and forget what is to be sent."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def _send(self, data: bytes) -> None:
        self._outbox.append(Send(data, self._target.address))

    def _hello(self) -> wire.Hello:
        rng = self._rng
        server = to_bytes(self._target.id)
        return wire.Hello(rng.randbytes(wire.NONCE_SIZE), rng.randbytes(32), server)

    def _malformed(self) -> bytes:
        """Return bytes that are no valid datagram, or one that nobody should act upon."""
        rng, kind = self._rng, self._rng.randrange(5)
        if kind == 0:
            return rng.randbytes(rng.randrange(1, DATAGRAM_SIZE + 1))
        if kind == 1:
            return bytes([rng.randrange(256)]) * rng.randrange(1, DATAGRAM_SIZE + 1)
        whole = self._hello().encode()
        if kind == 2:
            return whole[: rng.randrange(1, len(whole))]
        if kind == 3:
            return flip(whole[:64], rng) + whole[64:-1]
        head = bytes([rng.choice((wire.COOKIE, wire.AUTH, wire.ACCEPT, wire.SEALED)), 1])
        return head + rng.randbytes(rng.randrange(0, DATAGRAM_SIZE - 1))


def probe(
    target: Contact,
    *,
    rate: int = 1_000,
    seconds: float = 5.0,
    rest: float = REST,
    seed: int = 1,
    scope: Scope | None = None,
    home: str = "127.0.0.1",
) -> Probed:
    """Probe a node from the address ``home``; see the module.

    Raises:
        ScopeError: the target is neither on loopback nor in ``scope``.
        ScenarioError: a number is out of range.
    """
    if not 1 <= rate <= RATE_MAX or not 0 < seconds <= 600:
        raise ScenarioError(
            f"probe: rate = {rate}, seconds = {seconds}, must be 1 to {RATE_MAX} and up to 600"
        )
    if refusal := refused(target.address, scope):
        raise ScopeError(f"probe: {refusal}")
    limits = Limits(seconds=seconds + 60, datagrams_per_second=rate * 2.0 + 100)

    async def run() -> Probed:
        engine = LiveEngine(Clock(0), Brakes(limits), scope, ATTACK, target.address)
        prober = Prober(target, rate, seconds, rest, seed, engine.now())
        try:
            engine.let_speak(lambda _: prober, home)
            await engine.pause(seconds + 2 * rest + 0.5)
        finally:
            engine.close()
        return prober.probed

    with begin() as journal, journal.noted(Kind.SOCKETS, f"UDP on {home}"):
        return asyncio.run(run())


def refused(address: Address, scope: Scope | None) -> str:
    """Return why an address must not be probed, or ""."""
    if is_loopback(address[0]):
        return ""
    if scope is None:
        return f"{address[0]} is not on this machine, and no scope names it"
    return scope.refusal(address, ATTACK, time.time())
