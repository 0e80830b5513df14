"""The operations of one node that are under way: start, resume with each answer, end.

Operations are generators; they are fed one answer at a time, so the order of answers is the only
thing that decides what happens.
"""

from collections.abc import Callable
from dataclasses import dataclass

from qisguard.errors import StoreError
from qisguard.identity.ids import NodeId
from qisguard.node.messages import Reply, Request
from qisguard.node.operations import Answered, Operation
from qisguard.node.requests import Requests

End = Callable[[object, float], None]
"""Called with what an operation ended with, and the time."""


@dataclass(frozen=True, slots=True)
class Done:
    """Operation ``id`` of this node ended with ``value``."""

    id: int
    value: object


@dataclass(frozen=True, slots=True)
class _Running:
    operation: Operation[object]
    end: End | None


class Work:
    """All operations of the node ``own``; ``answer_here`` serves what a node asks itself."""

    def __init__(
        self, own: NodeId, requests: Requests, answer_here: Callable[[Request, float], Reply]
    ) -> None:
        self._own = own
        self._requests = requests
        self._answer_here = answer_here
        self._running: dict[int, _Running] = {}
        self._asked_for: set[int] = set()
        self._count = 0
        self.ended: list[tuple[int, object]] = []

    def __len__(self) -> int:
        return len(self._running)

    @property
    def is_busy(self) -> bool:
        """Return whether an operation that somebody asked for has not ended."""
        return bool(self._asked_for)

    def start(self, operation: Operation[object], now: float) -> int:
        """Start what somebody asked for; its number and value will be in ``ended``."""
        self._asked_for.add(self._count + 1)
        return self._start(operation, None, now)

    def start_unasked(
        self, operation: Operation[object], now: float, end: End = lambda value, now: None
    ) -> None:
        """Start an operation in the background; ``end`` is called when it has ended."""
        self._start(operation, end, now)

    def _start(self, operation: Operation[object], end: End | None, now: float) -> int:
        self._count += 1
        self._running[self._count] = _Running(operation, end)
        identifier = self._count
        self._resume(identifier, None, now)
        self.run(now)
        return identifier

    def run(self, now: float) -> None:
        """Resume operations until no answer is left to take."""
        while self._requests.answered:
            identifier, answer = self._requests.answered.popleft()
            self._resume(identifier, answer, now)

    def _resume(self, identifier: int, answer: Answered | None, now: float) -> None:
        running = self._running.get(identifier)
        if running is None:
            return
        try:
            asks = next(running.operation) if answer is None else running.operation.send(answer)
        except StopIteration as stop:
            self._finish(identifier, running, stop.value, now)
            return
        except StoreError as error:  # the node notices at its next flush
            self._finish(identifier, running, error, now)
            return
        for ask in asks:
            if ask.contact.id == self._own:  # this node is a replica itself: ask without a wire
                reply = self._answer_here(ask.request, now)
                self._requests.answered.append((identifier, (self._own, ask.request, reply)))
            else:
                self._requests.ask(identifier, ask, now)

    def _finish(self, identifier: int, running: _Running, value: object, now: float) -> None:
        del self._running[identifier]
        self._asked_for.discard(identifier)
        if running.end is None:
            self.ended.append((identifier, value))
        else:
            running.end(value, now)
