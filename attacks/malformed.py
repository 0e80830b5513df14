"""Malformed input: noise, real datagrams altered on the way, and nonsense inside good sessions.

A node that raises ends the trial with its exception: a crash is never a number among others.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qisguard.attacks.client import client
from qisguard.attacks.emitter import Emitter
from qisguard.config import DATAGRAM_SIZE
from qisguard.identity.address import Address
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.plugins import Card, Counted, Mint, Recruit, Send, World

KEPT = 64
"""Overheard datagrams that are kept to be altered."""


class Fuzzer:
    """Throws noise and altered copies of what it overhears, each at who it was meant for."""

    def __init__(self, world: World, count: int, per_second: float, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self._kept: list[tuple[bytes, Address, Address]] = []
        times = (number / per_second for number in range(count))
        self._emitter = Emitter((time, self._send()) for time in times)
        self.receive_datagram = self._emitter.receive_datagram
        self.handle_timer = self._emitter.handle_timer
        self.next_timer = self._emitter.next_timer
        self.flush = self._emitter.flush

    def tell(self) -> Mapping[str, Counted]:
        """See ``Tells``."""
        return self._emitter.tell()

    def effects(self) -> Sequence[Send]:
        """Return what is to be sent."""
        return self._emitter.effects()

    def overhear(self, data: bytes, source: Address, to: Address, now: float) -> None:
        """Keep a few datagrams of everybody, altered ones among them."""
        if not 0 < len(data) <= DATAGRAM_SIZE:
            return
        if len(self._kept) < KEPT:
            self._kept.append((data, source, to))
        else:
            self._kept[self._rng.randrange(KEPT)] = data, source, to

    def _send(self) -> Send:
        rng = self._rng
        if not self._kept or rng.random() < 0.25:
            size = rng.choice((0, 1, 2, 60, 1_199, 1_200, 1_201, 65_000, rng.randrange(1_200)))
            noise = bytes([rng.randrange(8)]) + rng.randbytes(max(size - 1, 0)) if size else b""
            return Send(noise, rng.choice(self._world.members).address)
        data, source, to = rng.choice(self._kept)
        return Send(alter(data, rng), to, source)


def alter(data: bytes, rng: random.Random) -> bytes:
    """Return bytes that are not ``data``: some changed, cut off, added, or doubled."""
    at = rng.randrange(max(len(data), 1))
    match rng.randrange(4):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data + rng.randbytes(rng.randrange(1, 64))
        case _:
            return data[at:] + data


@dataclass(frozen=True, slots=True)
class Malformed:
    """``count`` datagrams from outside, and as many messages from inside over the identities."""

    count: int = 2_000
    per_second: float = 500.0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 10_000_000:
            raise ValueError(f"count = {self.count}, must be 1 to 10000000")
        if not 0.001 <= self.per_second <= 1e6:
            raise ValueError(f"per_second = {self.per_second}, must be 0.001 to 1000000")

    spoofs = True
    card = Card(
        id="malformed",
        family="malformed input",
        summary="datagrams that are wrong in every place, from outside and from inside sessions",
        capability="hears traffic, sends with any source; a few identities for sessions",
        breaks="that nodes run at all (the trial ends with their exception), and success",
        source="PROOF R1; catalogue M1 (at least one crash is typical of first attempts)",
        seen="'dropped: DecodeError', 'dropped: seal broken', 'dropped: malformed message'",
        limits="always on here: every failure to read is counted, none is raised",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return one fuzzer outside, and clients inside."""
        seed = rng.randbytes(16)
        yield Recruit(
            speaks=lambda _: Fuzzer(world, self.count, self.per_second, random.Random(seed))
        )
        for _ in range(world.budget):
            asks = self._asks(world, random.Random(rng.randbytes(16)))
            identity = mint.identity()
            speaks = client(world, identity, asks, rng, "false_accepted")
            yield Recruit(identity=identity, speaks=speaks)

    def _asks(self, world: World, rng: random.Random) -> Iterator[tuple[float, Contact, bytes]]:
        for number in range(self.count // world.budget):
            good: tuple[messages.Message, ...] = (
                messages.FindNode(number, rng.randbytes(32)),
                messages.Store(number, rng.randbytes(rng.randrange(160)), [rng.randbytes(99)]),
                messages.ListPackets(number, rng.randbytes(32), b""),
                messages.Nodes(number, [(rng.randbytes(32), rng.randbytes(4), 1)]),
            )
            words = alter(messages.encode(rng.choice(good)), rng)
            yield number / self.per_second, rng.choice(world.members), words[:1_150] or b"\xc1"
