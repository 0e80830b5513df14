"""Replay: what was overheard is sent again, from where it came and from elsewhere.

Nothing is read: the datagrams are sealed. A node that takes one twice would count a request twice,
store twice, or open a session that its owner never asked for.
"""

import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from qisguard.identity.address import Address
from qisguard.plugins import Card, Counted, MakeEndpoint, Mint, Recruit, Send, World


class Echo:
    """Sends everything that it overhears again after ``delay`` seconds, at most ``most`` of it."""

    def __init__(self, delay: float, most: int) -> None:
        self._delay = delay
        self._most = most
        self._heard: set[bytes] = set()
        self._due: deque[tuple[float, Send]] = deque()
        self._pending: list[Send] = []
        self._count = 0

    def tell(self) -> Mapping[str, Counted]:
        """See ``Tells``."""
        return {"attack_datagrams": float(self._count)}

    def overhear(self, data: bytes, source: Address, to: Address, now: float) -> None:
        """Keep a datagram, unless it is known or an echo of our own."""
        name = sha256(data).digest()
        if name in self._heard or len(self._heard) >= self._most:
            return
        self._heard.add(name)
        again = now + self._delay
        self._due += [(again, Send(data, to, source)), (again, Send(data, to))]

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Do not care for answers."""

    def handle_timer(self, now: float) -> None:
        """Send again what is due."""
        while self._due and self._due[0][0] <= now:
            self._pending.append(self._due.popleft()[1])

    def next_timer(self) -> float | None:
        """See ``Endpoint``."""
        return self._due[0][0] if self._due else None

    def flush(self) -> None:
        """Nothing is stored."""

    def effects(self) -> Sequence[Send]:
        """Return what is to be sent."""
        pending, self._pending = self._pending, []
        self._count += len(pending)
        return pending


@dataclass(frozen=True, slots=True)
class Replay:
    """Somebody on the path sends the first ``most`` datagrams again, ``delay`` seconds later."""

    delay: float = 0.5
    most: int = 5_000

    def __post_init__(self) -> None:
        if not 0.001 <= self.delay <= 1e6:
            raise ValueError(f"delay = {self.delay}, must be 0.001 to 1000000")
        if not 1 <= self.most <= 1_000_000:
            raise ValueError(f"most = {self.most}, must be 1 to 1000000")

    spoofs = True
    card = Card(
        id="replay",
        family="replay",
        summary="sends every overheard datagram again, from its own source and from another",
        capability="hears all traffic, sends with any source; holds no key",
        breaks="that a request counts once (replays_accepted)",
        source="Baumgart and Mies, ICPADS 2007, section 4.2 (nonce in signatures)",
        seen="'dropped: replayed or stale counter' and 'dropped: no such session'",
        limits="always on here: a window over counters, a session has one address",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return one listener."""
        echo: MakeEndpoint = lambda _: Echo(self.delay, self.most)  # noqa: E731
        return [Recruit(speaks=echo)]
