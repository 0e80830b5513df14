"""Requests under way: each waits for its peer's session, and ends in a reply or in silence.

- A request is repeated when no reply comes, a bounded number of times; before the last try a new
  session is opened, because the peer may have restarted.
- A reply counts only from the peer that was asked, under the number it was asked by.
- What waits for one session is bounded.
"""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass

import msgspec

from qisguard.identity.ids import NodeId
from qisguard.node import messages
from qisguard.node.channel import Session
from qisguard.node.config import NodeConfig
from qisguard.node.messages import Reply, Request
from qisguard.node.operations import Answered, Ask
from qisguard.node.routing import Contact, RoutingTable
from qisguard.node.session import Sessions


@dataclass(slots=True)
class _Pending:
    """A request that waits for its session or its reply."""

    operation: int
    contact: Contact
    request: Request
    deadline: float = 0.0
    tries: int = 0


class Requests:
    """All requests of one node; ``answered`` collects (operation, answer) in order of arrival."""

    def __init__(
        self, config: NodeConfig, sessions: Sessions, table: RoutingTable, counts: Counter[str]
    ) -> None:
        self.answered: deque[tuple[int, Answered]] = deque()
        self._config = config
        self._sessions = sessions
        self._table = table
        self._counts = counts
        self._number = 0
        self._sent: OrderedDict[int, _Pending] = OrderedDict()
        self._queued: dict[NodeId, list[_Pending]] = {}

    def __len__(self) -> int:
        return len(self._sent) + sum(len(queue) for queue in self._queued.values())

    def ask(self, operation: int, ask: Ask, now: float) -> None:
        """Send a request of an operation, at once or when a session with its contact is open."""
        self._forward(_Pending(operation, ask.contact, ask.request), now)

    def session_opened(self, session: Session, now: float) -> None:
        """Send what waited for this peer."""
        for pending in self._queued.pop(session.peer, []):
            self._send(pending, session, now)

    def receive_reply(self, session: Session, reply: Reply) -> None:
        """Take a reply; one that nobody waits for is dropped: it may be an injection."""
        pending = self._sent.get(reply.number)
        if pending is None or pending.contact.id != session.peer:
            self._counts["dropped: reply nobody asked for"] += 1
            return
        del self._sent[reply.number]
        self.answered.append((pending.operation, (session.peer, pending.request, reply)))

    def handle_timer(self, now: float) -> None:
        """Repeat handshakes and requests that are due, or give them up."""
        for peer, address in self._sessions.handle_timer(now):
            self._counts["handshakes failed"] += 1
            for pending in self._queued.pop(peer, []):
                if pending.contact.address == address:
                    self._give_up(pending)
                else:  # a handshake at another address is still under way
                    self._queued.setdefault(peer, []).append(pending)
        while self._sent:
            number, pending = next(iter(self._sent.items()))
            if pending.deadline > now:
                break
            del self._sent[number]
            self._retry(pending, now)

    def next_timer(self) -> float | None:
        """Return when something is due: all wait equally long, so the first sent is first."""
        first = next(iter(self._sent.values())).deadline if self._sent else None
        handshake = self._sessions.next_timer()
        if first is None or handshake is None:
            return handshake if first is None else first
        return min(first, handshake)

    def _forward(self, pending: _Pending, now: float) -> None:
        if session := self._sessions.get(pending.contact.id):
            self._send(pending, session, now)
        else:
            self._await_session(pending, now)

    def _send(self, pending: _Pending, session: Session, now: float) -> None:
        if not pending.tries:
            self._number = (self._number + 1) % (1 << 32)
            pending.request = msgspec.structs.replace(pending.request, number=self._number)
        pending.tries += 1
        pending.deadline = now + self._config.request_timeout
        self._sent[pending.request.number] = pending
        self._sessions.send(session, messages.encode(pending.request))

    def _await_session(self, pending: _Pending, now: float) -> None:
        peer = pending.contact.id
        waiting = len(self._queued.get(peer, ()))
        if waiting >= self._config.queued_per_peer_max or not self._sessions.connect(
            peer, pending.contact.address, now
        ):
            self._counts["requests refused here"] += 1
            self._end(pending)
        else:
            self._queued.setdefault(peer, []).append(pending)

    def _retry(self, pending: _Pending, now: float) -> None:
        if pending.tries >= self._config.request_tries:
            self._give_up(pending)
            return
        self._counts["requests repeated"] += 1
        session = self._sessions.get(pending.contact.id)
        if session and pending.tries == self._config.request_tries - 1:
            self._sessions.close(session)
        self._forward(pending, now)

    def _give_up(self, pending: _Pending) -> None:
        self._counts["requests unanswered"] += 1
        self._table.failed(pending.contact)
        self._end(pending)

    def _end(self, pending: _Pending) -> None:
        """Tell the operation that nobody answered."""
        self.answered.append((pending.operation, (pending.contact.id, pending.request, None)))
