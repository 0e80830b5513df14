"""The ``virtual`` engine: real nodes on a virtual clock and a simulated network.

Deterministic: one heap of events, ordered by time and then by number, and seeded generators for
the network. The digest covers every datagram and every event, so two runs of one seed can be
compared whole.

Nodes may crash, come back with an empty memory, and have clocks that are wrong; see ``links`` for
what happens to their datagrams and ``skew`` for their clocks.
"""

import heapq
import struct
from collections.abc import Callable, Sequence
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from qisguard.errors import ScenarioError
from qisguard.identity.address import Address
from qisguard.identity.ids import to_bytes
from qisguard.lab.brakes import Brakes
from qisguard.lab.engine import Handle, MakeNode
from qisguard.lab.links import Links, Traffic
from qisguard.lab.skew import Skew
from qisguard.node.node import Node
from qisguard.node.reading import Retrieved
from qisguard.node.work import Done
from qisguard.plugins import Clock, Endpoint, MakeEndpoint, Overhears

__all__ = ["PATIENCE", "Links", "VirtualEngine"]

_TIME = struct.Struct("!d").pack
_NEVER = float("inf")

PATIENCE = 600.0
"""Virtual seconds after which an operation that has not ended is a fault."""

CHECK_PERIOD = 1_024
"""Events between two looks at the brakes."""


class Speaker:
    """An endpoint that is no node: it ends no operations, and is never busy."""

    is_busy = False

    def __init__(self, endpoint: Endpoint) -> None:
        self.receive_datagram = endpoint.receive_datagram
        self.handle_timer = endpoint.handle_timer
        self.next_timer = endpoint.next_timer
        self.flush = endpoint.flush
        self.effects = endpoint.effects

    def events(self) -> Sequence[Done]:
        """Return nothing: no operation was started."""
        return ()

    def close(self, now: float) -> None:
        """Nothing was opened."""


class _Place:
    """One address, and the node that runs there, if any."""

    __slots__ = ("address", "last", "name", "node", "number", "skew", "timer", "wanted")

    def __init__(self, number: int, address: Address) -> None:
        self.number = number
        self.name = (number + 1).to_bytes(4, "big")
        self.address = address
        self.node: Node | Speaker | None = None
        self.timer = _NEVER
        """Engine time of the entry in the heap that counts; earlier ones of this place are void."""
        self.wanted = _NEVER
        """What the node asked for, in its own time."""
        self.skew: Skew | None = None
        self.last = -_NEVER

    def local(self, now: float) -> float:
        """Return what the node is given as the time."""
        if self.skew is None:
            return now
        self.last = max(self.last, self.skew.read(now))
        return self.last


class VirtualEngine:
    """A simulated network; see the module. Engine time begins at ``start``, in seconds."""

    name = "virtual"

    def __init__(
        self,
        seed: int,
        clock: Clock,
        links: Links,
        *,
        start: float = 0.0,
        brakes: Brakes | None = None,
    ) -> None:
        self.clock = clock
        self.traffic = Traffic(seed, links)
        self._brakes = brakes
        self._start = start
        self._now = start
        self._order = 0
        self._heap: list[tuple[float, int, _Place, bytes | None, _Place]] = []
        self._places: dict[Address, _Place] = {}
        self._ports: dict[str, int] = {}
        self._owners: list[tuple[IPv4Network | IPv6Network, _Place]] = []
        self._taps: list[tuple[_Place, Overhears]] = []
        self._done: dict[tuple[Node, int], tuple[object, float]] = {}
        self._digest = sha256()
        self._sent = 0
        self._lost = 0

    def now(self) -> float:
        """See ``Engine``."""
        return self._now

    def add(self, make: MakeNode, host: str = "") -> Node:
        """See ``Engine``."""
        return self._run(self._new_place(host), make)

    def let_speak(self, make: MakeEndpoint, host: str = "", owns: str = "") -> None:
        """See ``Engine``; one that overhears gets copies of all datagrams from now on.

        Whoever ``owns`` a network, such as 10.128.0.0/9, gets what is sent to any address in it
        where nobody else lives.
        """
        place = self._new_place(host)
        if owns:
            self._owners.append((ip_network(owns), place))
        endpoint = make(place.address)
        place.node = Speaker(endpoint)
        if isinstance(endpoint, Overhears):
            self._taps.append((place, endpoint))
        self._pump(place, place.node)

    def stop(self, node: Node) -> None:
        """Let a node crash: it says no goodbye, and what is under way to it vanishes.

        Its operations never end: ``finish`` returns None for them.
        """
        place = self._place_of(node)
        place.node, place.timer = None, _NEVER
        self._digest.update(b"stop" + place.name)

    def restart(self, node: Node, make: MakeNode) -> Node:
        """Run a new node at the address of one that was stopped, and return it."""
        place = self._places[node.me.address]
        if place.node is not None:
            raise ScenarioError(f"virtual: {node.me.address} is in use, stop its node first")
        self._digest.update(b"start" + place.name)
        return self._run(place, make)

    def set_clock(self, node: Node, skew: Skew) -> None:
        """Let ``node`` live by a wrong clock from now on; whoever made it told it the time by it.

        What the node is given never goes back, whatever ``skew`` says.
        """
        place = self._place_of(node)
        place.skew, place.timer = skew, _NEVER
        self._pump(place, node)

    def is_running(self, node: Node) -> bool:
        """Return whether ``node`` was not stopped."""
        return self._places[node.me.address].node is node

    def number(self, node: Node) -> int:
        """Return by which number ``traffic`` knows the address of ``node``, counted from 0."""
        return self._places[node.me.address].number

    def act(self, node: Node, action: Callable[[float], Sequence[int]]) -> list[Handle]:
        """See ``Engine``."""
        place = self._place_of(node)
        handles = [Handle(node, identifier) for identifier in action(place.local(self._now))]
        self._pump(place, node)
        return handles

    def touch(self, node: Node) -> None:
        """See ``Engine``."""
        place = self._place_of(node)
        node.handle_timer(place.local(self._now))
        self._pump(place, node)

    async def finish(self, handles: Sequence[Handle]) -> list[object]:
        """See ``Engine``."""
        deadline = self._now + PATIENCE
        for handle in handles:
            while not self.has_ended(handle):
                self._step(deadline)
        return [(self.take(handle) or (None, 0.0))[0] for handle in handles]

    async def pause_until(self, handle: Handle) -> None:
        """See ``Engine``."""
        deadline = self._now + PATIENCE
        while not self.has_ended(handle):
            self._step(deadline)

    def has_ended(self, handle: Handle) -> bool:
        """See ``Engine``."""
        return (handle.node, handle.id) in self._done or not self.is_running(handle.node)

    async def quiet(self, nodes: Sequence[Node]) -> None:
        """See ``Engine``."""
        deadline = self._now + PATIENCE
        busy = self._busy(nodes)
        while busy:
            self._step(deadline)
            if not busy[-1].is_busy or not self.is_running(busy[-1]):
                busy = self._busy(busy)
        quiet = set(nodes)
        self._done = {name: value for name, value in self._done.items() if name[0] not in quiet}

    async def pause(self, seconds: float) -> None:
        """See ``Engine``."""
        self.advance(self._now + seconds)

    def advance(self, until: float) -> None:
        """Let everything happen that is due before engine time ``until``, and stop there."""
        while self._heap and self._heap[0][0] <= until:
            self._step(until)
        self._now = max(self._now, until)

    def take(self, handle: Handle) -> tuple[object, float] | None:
        """See ``Engine``."""
        return self._done.pop((handle.node, handle.id), None)

    def measures(self) -> dict[str, float]:
        """See ``Engine``; ``lost`` is whatever did not arrive, for whatever reason."""
        lost = self._lost + self.traffic.counts["lost"] + self.traffic.counts["cut"]
        return {"datagrams": self._sent, "lost": lost, "seconds": self._now - self._start}

    def digest(self) -> str:
        """Return SHA-256 over every datagram and event so far, in hex."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """See ``Engine``."""
        for place in self._places.values():
            if place.node is not None:
                place.node.close(place.local(self._now))

    def _new_place(self, host: str) -> _Place:
        """Return a free address, at ``host`` if one is named."""
        index = len(self._places) + 1
        host = host or f"10.{index >> 8 & 255}.{index & 255}.{1 + (index >> 16)}"
        port = self._ports[host] = self._ports.get(host, 3_999) + 1
        address = (host, port)
        place = self._places[address] = _Place(index - 1, address)
        return place

    # --- the clock -------------------------------------------------------------------------------
    def _run(self, place: _Place, make: MakeNode) -> Node:
        node = place.node = make(place.address)
        self._pump(place, node)
        return node

    def _place_of(self, node: Node) -> _Place:
        place = self._places[node.me.address]
        if place.node is not node:
            raise ScenarioError(f"virtual: the node at {node.me.address} was stopped")
        return place

    def _busy(self, nodes: Sequence[Node]) -> list[Node]:
        return [node for node in nodes if node.is_busy and self.is_running(node)]

    def _step(self, deadline: float) -> None:
        """Deliver the next datagram or timer."""
        if not self._heap or self._heap[0][0] > deadline:
            raise ScenarioError(f"virtual: an operation did not end within {PATIENCE} seconds")
        self._now, order, place, data, source = heapq.heappop(self._heap)
        if self._brakes and not order % CHECK_PERIOD:
            self._brakes.check()
        node = place.node
        if data is None:
            if node is None or place.timer != self._now:
                return  # a later call to the node made this timer void
            place.timer = _NEVER
            now = place.local(self._now)
            if place.skew is not None:  # rounding must not bring a timer a moment too early
                now = place.last = max(now, place.wanted)
            node.handle_timer(now)
        elif node is None:
            self._lost += 1
            return
        else:
            self._digest.update(_TIME(self._now) + source.name + place.name + data)
            if self._taps:
                self._overhear(data, source.address, place.address)
            node.receive_datagram(data, source.address, place.local(self._now))
        self._pump(place, node)

    def _overhear(self, data: bytes, source: Address, to: Address) -> None:
        for place, tap in self._taps:
            if place.node is not None and place.address not in (source, to):
                tap.overhear(data, source, to, self._now)
                self._pump(place, place.node)

    def _pump(self, place: _Place, node: Node | Speaker) -> None:
        node.flush()
        for effect in node.effects():
            self._sent += 1
            if self._brakes:
                self._brakes.count(len(effect.data))
            to = self._places.get(effect.to) or self._owner(effect.to[0])
            if to is None:
                self._lost += 1
                continue
            origin = place if effect.source is None else self._spoofed(effect.source)
            for arrival, data in self.traffic.fate(effect.data, place.number, to.number, self._now):
                self._push(arrival, to, data, origin)
        for event in node.events():
            if isinstance(node, Node):
                self._digest.update(_summary(node, event))
                self._done[node, event.id] = event.value, self._now
        wanted = node.next_timer()
        if wanted is None:
            return
        due = wanted if place.skew is None else place.skew.when(wanted, self._now)
        if due < place.timer:
            place.timer, place.wanted = max(due, self._now), wanted
            self._push(place.timer, place, None, place)

    def _owner(self, host: str) -> _Place | None:
        """Return who owns the network of an address where nobody lives."""
        for network, place in self._owners:
            if ip_address(host) in network:
                return place
        return None

    def _spoofed(self, source: Address) -> _Place:
        """Return the place that a datagram claims to come from, which need not exist."""
        return self._places.get(source) or _Place((1 << 32) - 2, source)

    def _push(self, time: float, to: _Place, data: bytes | None, source: _Place) -> None:
        self._order += 1
        heapq.heappush(self._heap, (time, self._order, to, data, source))


def _summary(node: Node, event: Done) -> bytes:
    """Return the bytes by which the run digest knows an event."""
    text = f"{event.id} {type(event.value).__name__}"
    if isinstance(event.value, Retrieved):
        text += "".join(digest.hex() for digest in sorted(event.value.packets))
        text += repr(sorted(event.value.refused.items()))
    return to_bytes(node.me.id) + text.encode()
