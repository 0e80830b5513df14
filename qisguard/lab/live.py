"""The ``live`` engine: real nodes on real UDP sockets on loopback, in one process."""

import asyncio
import time
from collections.abc import Callable, Sequence

from qisguard.errors import ScenarioError
from qisguard.identity.address import Address
from qisguard.lab.engine import Handle, MakeNode
from qisguard.node.node import Node
from qisguard.plugins import Clock, MakeEndpoint
from qisguard.transport.udp import UdpDriver, is_loopback, open_socket

PATIENCE = 60.0
"""Seconds after which an operation that has not ended is a fault."""


class LiveEngine:
    """Sockets on 127.0.0.1; must be made inside a running event loop."""

    name = "live"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
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
        node = make(address)
        self._drivers[node] = UdpDriver(
            node, sock, self.now, is_loopback, lambda: self._take_events(node)
        )
        return node

    def let_speak(self, make: MakeEndpoint, host: str = "") -> None:
        """See ``Engine``; what claims another source address is refused, and counted."""
        sock = open_socket(host or "127.0.0.1", is_loopback)
        address: Address = sock.getsockname()[:2]
        self._speakers.append(UdpDriver(make(address), sock, self.now, is_loopback))

    async def pause(self, seconds: float) -> None:
        """See ``Engine``."""
        await asyncio.sleep(seconds)

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

    async def _until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            self._changed.clear()
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
