"""The ``live`` engine: real nodes on real UDP sockets on loopback, in one process."""

import asyncio
import time
from collections.abc import Callable, Sequence

from qisguard.errors import ScenarioError
from qisguard.lab.engine import Handle, MakeNode
from qisguard.node.node import Node
from qisguard.plugins import Clock
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
        self._done: dict[tuple[Node, int], object] = {}
        self._changed = asyncio.Event()

    def now(self) -> float:
        """See ``Engine``."""
        return time.monotonic() - self._start

    def add(self, make: MakeNode) -> Node:
        """See ``Engine``."""
        sock = open_socket("127.0.0.1", is_loopback)
        host, port = sock.getsockname()[:2]
        node = make((host, port))
        self._drivers[node] = UdpDriver(
            node, sock, self.now, is_loopback, lambda: self._take_events(node)
        )
        return node

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
        names = [(handle.node, handle.id) for handle in handles]
        await self._until(lambda: all(name in self._done for name in names))
        return [self._done.pop(name) for name in names]

    async def quiet(self, nodes: Sequence[Node]) -> None:
        """See ``Engine``."""
        await self._until(lambda: not any(node.is_busy for node in nodes))
        self._done = {name: value for name, value in self._done.items() if name[0] not in nodes}

    def measures(self) -> dict[str, float]:
        """See ``Engine``."""
        drivers = self._drivers.values()
        return {
            "datagrams": sum(driver.sent for driver in drivers),
            "lost": sum(driver.lost for driver in drivers),
            "refused": sum(driver.refused for driver in drivers),
            "seconds": self.now(),
        }

    def close(self) -> None:
        """See ``Engine``."""
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
            self._done[node, event.id] = event.value
            self._changed.set()
