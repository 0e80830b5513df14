"""What a run needs of an engine: places for nodes, and waiting until their work is done.

The same coroutine drives real sockets (``live``) and the simulated network (``virtual``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from qisguard.identity.address import Address
from qisguard.node.node import Node
from qisguard.plugins import Clock, MakeEndpoint

MakeNode = Callable[[Address], Node]


@dataclass(frozen=True, slots=True)
class Handle:
    """Operation ``id`` of ``node``."""

    node: Node
    id: int


class Engine(Protocol):
    """One network while it runs."""

    name: str
    clock: Clock

    def now(self) -> float:
        """Return engine seconds since the start."""

    def add(self, make: MakeNode, host: str = "") -> Node:
        """Give a node an address, at ``host`` if one is named, and put it on the network."""

    def let_speak(self, make: MakeEndpoint, host: str = "") -> None:
        """Give any other endpoint an address and put it on the network."""

    def act(self, node: Node, action: Callable[[float], Sequence[int]]) -> list[Handle]:
        """Call ``action(now)`` on a node, send what it wants sent, return its operations."""

    def touch(self, node: Node) -> None:
        """Run a node's timer and send what is pending, after its behaviour changed."""

    async def finish(self, handles: Sequence[Handle]) -> list[object]:
        """Return what operations ended with; raise ScenarioError when they do not end in time."""

    async def quiet(self, nodes: Sequence[Node]) -> None:
        """Return when no operation of ``nodes`` is under way."""

    async def pause_until(self, handle: Handle) -> None:
        """Return when an operation has ended; its result stays to be taken."""

    def has_ended(self, handle: Handle) -> bool:
        """Return whether an operation has ended, or never will because its node was stopped."""

    def take(self, handle: Handle) -> tuple[object, float] | None:
        """Return and forget what an operation ended with and when; None while it is under way."""

    async def pause(self, seconds: float) -> None:
        """Let so much engine time pass."""

    def measures(self) -> dict[str, float]:
        """Return what the engine counted: datagrams, losses, seconds, digest if it replays."""

    def close(self) -> None:
        """Close every node and give the addresses back."""
