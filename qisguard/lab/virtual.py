"""The ``virtual`` engine: real nodes on a virtual clock and a simulated network.

Deterministic: one heap of events, ordered by time and then by number, and one seeded generator for
the network. The digest covers every datagram and every event, so two runs of one seed can be
compared whole.
"""

import heapq
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from qisguard.errors import ScenarioError
from qisguard.identity.descriptor import Address
from qisguard.identity.ids import to_bytes
from qisguard.lab.engine import Handle, MakeNode
from qisguard.node.node import Done, Node
from qisguard.node.reading import Retrieved
from qisguard.plugins import Clock

_TIME = struct.Struct("!d").pack

PATIENCE = 600.0
"""Virtual seconds after which an operation that has not ended is a fault."""


@dataclass(frozen=True, slots=True)
class Links:
    """One-way latency drawn uniformly from ``latency`` seconds; ``loss_ratio`` in [0, 1]."""

    latency: tuple[float, float] = (0.005, 0.025)
    loss_ratio: float = 0.0


class VirtualEngine:
    """A simulated network; see the module."""

    name = "virtual"

    def __init__(self, seed: int, clock: Clock, links: Links) -> None:
        self.clock = clock
        self._links = links
        self._rng = random.Random(f"network {seed}")
        self._now = 0.0
        self._order = 0
        self._heap: list[tuple[float, int, Address, bytes | None, Address]] = []
        self._nodes: dict[Address, Node] = {}
        self._names: dict[Address, bytes] = {}
        self._timers: dict[Address, float] = {}
        self._done: dict[tuple[Address, int], object] = {}
        self._digest = sha256()
        self._sent = 0
        self._lost = 0

    def now(self) -> float:
        """See ``Engine``."""
        return self._now

    def add(self, make: MakeNode) -> Node:
        """See ``Engine``."""
        index = len(self._nodes) + 1
        address = (f"10.{index >> 8 & 255}.{index & 255}.{1 + (index >> 16)}", 4_000)
        node = make(address)
        self._nodes[address] = node
        self._names[address] = index.to_bytes(4, "big")
        self._pump(node)
        return node

    def act(self, node: Node, action: Callable[[float], Sequence[int]]) -> list[Handle]:
        """See ``Engine``."""
        handles = [Handle(node, identifier) for identifier in action(self._now)]
        self._pump(node)
        return handles

    def touch(self, node: Node) -> None:
        """See ``Engine``."""
        node.handle_timer(self._now)
        self._pump(node)

    async def finish(self, handles: Sequence[Handle]) -> list[object]:
        """See ``Engine``."""
        names = [(handle.node.me.address, handle.id) for handle in handles]
        deadline = self._now + PATIENCE
        for name in names:
            while name not in self._done:
                self._step(deadline)
        return [self._done.pop(name) for name in names]

    async def quiet(self, nodes: Sequence[Node]) -> None:
        """See ``Engine``."""
        deadline = self._now + PATIENCE
        busy = [node for node in nodes if node.is_busy]
        while busy:
            self._step(deadline)
            if not busy[-1].is_busy:
                busy = [node for node in busy if node.is_busy]
        quiet = {node.me.address for node in nodes}
        self._done = {name: value for name, value in self._done.items() if name[0] not in quiet}

    def measures(self) -> dict[str, float]:
        """See ``Engine``."""
        return {"datagrams": self._sent, "lost": self._lost, "seconds": self._now}

    def digest(self) -> str:
        """Return SHA-256 over every datagram and event so far, in hex."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """See ``Engine``."""
        for node in self._nodes.values():
            node.close(self._now)

    def _step(self, deadline: float) -> None:
        """Deliver the next datagram or timer."""
        if not self._heap or self._heap[0][0] > deadline:
            raise ScenarioError(f"virtual: an operation did not end within {PATIENCE} seconds")
        self._now, _, address, data, source = heapq.heappop(self._heap)
        node = self._nodes[address]
        if data is None:
            if self._timers.get(address) != self._now:
                return  # a later call to the node made this timer void
            del self._timers[address]
            node.handle_timer(self._now)
        else:
            self._digest.update(
                _TIME(self._now) + self._names[source] + self._names[address] + data
            )
            node.receive_datagram(data, source, self._now)
        self._pump(node)

    def _pump(self, node: Node) -> None:
        node.flush()
        address = node.me.address
        low, high = self._links.latency
        for effect in node.effects():
            self._sent += 1
            if self._rng.random() < self._links.loss_ratio or effect.to not in self._nodes:
                self._lost += 1
                continue
            arrival = self._now + low + (high - low) * self._rng.random()
            self._push(arrival, effect.to, effect.data, address)
        for event in node.events():
            self._digest.update(_summary(node, event))
            self._done[address, event.id] = event.value
        wanted = node.next_timer()
        if wanted is not None and wanted < self._timers.get(address, float("inf")):
            self._timers[address] = max(wanted, self._now)
            self._push(self._timers[address], address, None, address)

    def _push(self, time: float, to: Address, data: bytes | None, source: Address) -> None:
        self._order += 1
        heapq.heappush(self._heap, (time, self._order, to, data, source))


def _summary(node: Node, event: Done) -> bytes:
    """Return the bytes by which the run digest knows an event."""
    text = f"{event.id} {type(event.value).__name__}"
    if isinstance(event.value, Retrieved):
        text += "".join(digest.hex() for digest in sorted(event.value.packets))
        text += repr(sorted(event.value.refused.items()))
    return to_bytes(node.me.id) + text.encode()
