"""Datagrams with a false source: to make others hit a victim, or to wear nodes out.

Whoever answers a stranger before it proved its address can be aimed at somebody else, and whoever
remembers it can be filled. Only a simulated network delivers a false source.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qisguard.attacks.emitter import Emitter, Tally, Victim
from qisguard.identity.address import Address
from qisguard.identity.ids import to_bytes
from qisguard.node.contact import Contact
from qisguard.plugins import Card, Mint, Recruit, Send, World
from qisguard.session import wire


@dataclass(frozen=True, slots=True)
class Amplification:
    """Throws every kind of datagram at honest nodes, as if the victim had sent it."""

    count: int = 1_000
    per_second: float = 500.0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 1_000_000:
            raise ValueError(f"count = {self.count}, must be 1 to 1000000")
        if not 0.001 <= self.per_second <= 1e6:
            raise ValueError(f"per_second = {self.per_second}, must be 0.001 to 1000000")

    spoofs = True
    card = Card(
        id="amplification",
        family="reflection",
        summary="makes nodes answer a victim that never asked, with a false source address",
        capability="sends datagrams with any source; no identity",
        breaks="third parties: bytes that reach them per byte sent (amplification)",
        source="RFC 9000, section 8.1 (three times); PROOF R13 (at most once)",
        seen="cookies that nobody comes back with",
        limits="always on here: the first answer is a cookie, 58 bytes for a Hello of 1,200",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return the victim, and who spoofs it."""
        tally = Tally()
        seed = rng.randbytes(16)
        yield Recruit(speaks=lambda address: Victim(address, tally))
        yield Recruit(
            speaks=lambda _: Emitter(self._sends(world, tally, random.Random(seed)), tally)
        )

    def _sends(
        self, world: World, tally: Tally, rng: random.Random
    ) -> Iterator[tuple[float, Send]]:
        for number in range(self.count):
            contact = rng.choice(world.members)
            data = _KINDS[number % len(_KINDS)](contact, rng)
            yield number / self.per_second, Send(data, contact.address, tally.address)


@dataclass(frozen=True, slots=True)
class HelloFlood:
    """Throws Hellos from addresses that do not exist, ``per_second`` at each of the ``victims``.

    ``victims`` = 0 are all honest nodes; it goes on for ``duration`` seconds.
    """

    per_second: float = 100.0
    duration: float = 20.0
    victims: int = 0

    def __post_init__(self) -> None:
        if not 0.001 <= self.per_second <= 1e6:
            raise ValueError(f"per_second = {self.per_second}, must be 0.001 to 1000000")
        if not 0.001 <= self.duration <= 1e6:
            raise ValueError(f"duration = {self.duration}, must be 0.001 to 1000000")
        if not 0 <= self.victims <= 10_000:
            raise ValueError(f"victims = {self.victims}, must be 0 to 10000")

    spoofs = True
    card = Card(
        id="hello_flood",
        family="flooding",
        summary="first words from addresses that do not exist, as many as the line carries",
        capability="sends datagrams with any source; no identity",
        breaks="availability of handshakes (success, latency_p95)",
        source="PROOF R11; QUIC, RFC 9000, section 21.3",
        seen="cookies that nobody comes back with; 'dropped: hello budget' when it is over budget",
        limits="a Hello leaves no state; one budget for everybody, so a small one locks all out",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return one flooder."""
        seed = rng.randbytes(16)
        return [Recruit(speaks=lambda _: Emitter(self._sends(world, random.Random(seed))))]

    def _sends(self, world: World, rng: random.Random) -> Iterator[tuple[float, Send]]:
        aims = world.members
        if self.victims:
            aims = tuple(rng.sample(aims, min(self.victims, len(aims))))
        for number in range(int(self.per_second * self.duration)):
            for contact in aims:
                source: Address = (f"10.255.{rng.randrange(256)}.{rng.randrange(1, 255)}", 9)
                yield number / self.per_second, Send(_hello(contact, rng), contact.address, source)


def _hello(contact: Contact, rng: random.Random) -> bytes:
    nonce, ephemeral = rng.randbytes(wire.NONCE_SIZE), rng.randbytes(wire.EPHEMERAL_SIZE)
    return wire.Hello(nonce, ephemeral, to_bytes(contact.id)).encode()


def _cookie(contact: Contact, rng: random.Random) -> bytes:
    return wire.Cookie(rng.randbytes(wire.NONCE_SIZE), rng.randbytes(wire.COOKIE_SIZE)).encode()


def _auth(contact: Contact, rng: random.Random) -> bytes:
    sizes = (wire.NONCE_SIZE, wire.EPHEMERAL_SIZE, wire.COOKIE_SIZE, wire.SESSION_SIZE, 300, 64)
    return wire.Auth(*(rng.randbytes(size) for size in sizes)).encode()


def _accept(contact: Contact, rng: random.Random) -> bytes:
    sizes = (wire.SESSION_SIZE, wire.SESSION_SIZE, wire.EPHEMERAL_SIZE, 300, 64)
    return wire.Accept(*(rng.randbytes(size) for size in sizes)).encode()


def _sealed(contact: Contact, rng: random.Random) -> bytes:
    header = wire.seal_header(rng.randbytes(wire.SESSION_SIZE), rng.randrange(1 << 32))
    return header + rng.randbytes(rng.randrange(wire.TAG_SIZE, 200))


def _noise(contact: Contact, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 1_200))


_KINDS = (_hello, _cookie, _auth, _accept, _sealed, _noise)
