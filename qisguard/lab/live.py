"""The ``live`` engine: real nodes on real UDP sockets on loopback, in one process.

Nothing is sent anywhere else, except to the targets of a signed scope: see ``identity.scope``. On
loopback, too, nothing is sent to a socket that the engine did not open, whoever named it: another
program of this machine, such as a resolver, could carry it further.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from qisguard.errors import ScenarioError
from qisguard.identity.address import Address
from qisguard.identity.scope import Scope, is_private
from qisguard.lab.brakes import Brakes, Limits
from qisguard.lab.engine import Handle, MakeNode
from qisguard.node.node import Node
from qisguard.plugins import Clock, MakeEndpoint
from qisguard.transport.udp import UdpDriver, is_loopback, open_socket

PATIENCE = 60.0
"""Seconds after which an operation that has not ended is a fault."""


class LiveEngine:
    """Sockets on 127.0.0.0/8; must be made inside a running event loop.

    ``scope`` lets ``attack`` reach private addresses that consented, and no others; ``target`` is
    somebody else's socket on loopback that the user named.
    """

    name = "live"

    def __init__(
        self,
        clock: Clock,
        brakes: Brakes | None = None,
        scope: Scope | None = None,
        attack: str = "",
        target: Address | None = None,
    ) -> None:
        self.clock = clock
        self._brakes = brakes or Brakes(Limits())
        self._scope = scope
        self._attack = attack
        self._near: set[Address] = set() if target is None else {target}
        self._start = time.monotonic()
        self._drivers: dict[Node, UdpDriver] = {}
        self._speakers: list[UdpDriver] = []
        self._done: dict[tuple[Node, int], tuple[object, float]] = {}
        self._changed = asyncio.Event()

    def now(self) -> float:
        """See ``Engine``."""
        return time.monotonic() - self._start

    def add(self, make: MakeNode, host: str = "") -> Node:
        """See ``Engine``; every address of 127.0.0.0/8 is this machine."""
        sock = open_socket(host or "127.0.0.1", is_loopback)
        address: Address = sock.getsockname()[:2]
        self._near.add(address)
        node = make(address)
        self._drivers[node] = UdpDriver(
            node,
            sock,
            self.now,
            self._allow,
            lambda: self._take_events(node),
            self._brakes.let,
        )
        return node

    def let_speak(self, make: MakeEndpoint, host: str = "") -> None:
        """See ``Engine``; what claims another source address is refused, and counted."""
        at_home = is_loopback if self._scope is None else _is_near
        sock = open_socket(host or "127.0.0.1", at_home)
        address: Address = sock.getsockname()[:2]
        self._near.add(address)
        driver = UdpDriver(make(address), sock, self.now, self._allow, let=self._brakes.let)
        self._speakers.append(driver)

    async def pause(self, seconds: float) -> None:
        """See ``Engine``."""
        end = self.now() + seconds
        while (left := end - self.now()) > 0:
            self._brakes.check()
            await asyncio.sleep(min(left, 1.0))

    def act(self, node: Node, action: Callable[[float], Sequence[int]]) -> list[Handle]:
        """See ``Engine``."""
        handles = [Handle(node, identifier) for identifier in action(self.now())]
        self._drivers[node].pump()
        return handles

    def touch(self, node: Node) -> None:
        """See ``Engine``."""
        node.handle_timer(self.now())
        self._drivers[node].pump()

    async def finish(self, handles: Sequence[Handle]) -> list[object]:
        """See ``Engine``."""
        await self._until(lambda: all(map(self.has_ended, handles)))
        return [self._done.pop((handle.node, handle.id))[0] for handle in handles]

    async def pause_until(self, handle: Handle) -> None:
        """See ``Engine``."""
        await self._until(lambda: self.has_ended(handle))

    def has_ended(self, handle: Handle) -> bool:
        """See ``Engine``."""
        return (handle.node, handle.id) in self._done

    def take(self, handle: Handle) -> tuple[object, float] | None:
        """See ``Engine``."""
        return self._done.pop((handle.node, handle.id), None)

    async def quiet(self, nodes: Sequence[Node]) -> None:
        """See ``Engine``."""
        await self._until(lambda: not any(node.is_busy for node in nodes))
        self._done = {name: value for name, value in self._done.items() if name[0] not in nodes}

    def measures(self) -> dict[str, float]:
        """See ``Engine``."""
        drivers = [*self._drivers.values(), *self._speakers]
        return {
            "datagrams": sum(driver.sent for driver in drivers),
            "lost": sum(driver.lost for driver in drivers),
            "refused": sum(driver.refused for driver in drivers),
            "seconds": self.now(),
        }

    def close(self) -> None:
        """See ``Engine``."""
        for driver in self._speakers:
            driver.close()
        for node, driver in self._drivers.items():
            driver.close()
            node.close(self.now())

    def _allow(self, address: Address) -> bool:
        """Return whether a datagram may go to ``address``, whoever named it."""
        if is_loopback(address[0]):
            return address in self._near
        scope = self._scope
        return scope is not None and not scope.refusal(address, self._attack, time.time())

    async def _until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            self._changed.clear()
            self._brakes.check()
            left = deadline - time.monotonic()
            if left <= 0:
                raise ScenarioError(f"live: an operation did not end within {PATIENCE} seconds")
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, 1.0))
            except TimeoutError:
                continue

    def _take_events(self, node: Node) -> None:
        for event in node.events():
            self._done[node, event.id] = event.value, self.now()
            self._changed.set()


def _is_near(host: str) -> bool:
    """Return whether an endpoint may speak from here when a scope lets it leave the machine."""
    return is_loopback(host) or is_private(host)
