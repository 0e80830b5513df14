"""Requests under way: each waits for its session and its turn, and ends in a reply or silence.

- A request is repeated when no reply comes within the measured round trip, a bounded number of
  times. Half way a new session is sought beside the old one: the peer may have restarted. What was
  not answered is sent again in it, and a silent session is closed with the request that it failed.
- A reply counts only from the peer that was asked, under the number it was asked by.
- Few requests are in flight to one peer: bulk work neither overruns its budget there nor our queue.
- A peer that says "busy" is asked again later.
- A hurried request ends for its operation when chance hardly explains the silence, and goes on
  beside it: the routing table holds a peer to be silent only after the last try.
"""

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field

import msgspec

from qisguard.config import NodeConfig
from qisguard.identity.address import Address
from qisguard.identity.ids import NodeId
from qisguard.node import messages
from qisguard.node.contact import NEVER
from qisguard.node.messages import Reply, Request
from qisguard.node.operations import LATE, REFUSED, Answered, Ask, Outcome
from qisguard.node.round_trips import RENEWAL_TRIES, RoundTrips
from qisguard.node.routing import RoutingTable
from qisguard.session.channel import Session
from qisguard.session.sessions import Sessions


@dataclass(slots=True)
class _Pending:
    """A request that waits for its turn, its session or its reply."""

    operation: int
    ask: Ask
    asked: float
    deadline: float = 0.0
    sent: float = 0.0
    tries: int = 0
    is_over: bool = False
    is_second: bool = False
    peer: NodeId = field(init=False)
    address: Address = field(init=False)
    request: Request = field(init=False)

    def __post_init__(self) -> None:
        self.peer, self.address = self.ask.contact.id, self.ask.contact.address
        self.request = self.ask.request


@dataclass(slots=True)
class _Line:
    """What one peer is asked: how much is in flight, what waits, and where a session is sought."""

    waiting: deque[_Pending] = field(default_factory=deque)
    in_flight: dict[int, _Pending] = field(default_factory=dict)
    sought: set[Address] = field(default_factory=set)


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
        self._round_trips = RoundTrips(config)
        self._number = 0
        self._sent: dict[int, _Pending] = {}
        self._due: list[tuple[float, int]] = []
        self._hurried: deque[_Pending] = deque()
        self._woke = NEVER
        self._renewal_tries = min(RENEWAL_TRIES, config.request_tries // 2)
        self._waited_for: dict[bool, deque[_Pending]] = {False: deque(), True: deque()}
        self._lines: dict[NodeId, _Line] = {}

    def __len__(self) -> int:
        return len(self._sent) + sum(len(line.waiting) for line in self._lines.values())

    def ask(self, operation: int, ask: Ask, now: float) -> None:
        """Send a request of an operation as soon as its peer's session and turn allow."""
        pending = _Pending(operation, ask, now)
        line = self._lines.setdefault(pending.peer, _Line())
        if len(line.waiting) >= self._config.queued_per_peer_max:
            self._counts["requests refused here"] += 1
            self._end(pending, None)
            return
        line.waiting.append(pending)
        is_stranger = self._sessions.get(pending.peer) is None
        if ask.hurry:
            self._waited_for[is_stranger].append(pending)
            self._hurried.append(pending)
        if is_stranger:
            self._seek(line, pending.address, pending.peer, now)
        self._advance(pending.peer, now)

    def session_opened(self, session: Session, now: float) -> None:
        """Send what waited for this peer, and again what it has not answered for long."""
        if line := self._lines.get(session.peer):
            line.sought.clear()
            for number, pending in line.in_flight.items():
                if pending.tries > self._renewal_tries:
                    self._transmit(number, pending, session, now)
        self._advance(session.peer, now)

    def receive_reply(self, session: Session, reply: Reply, now: float) -> None:
        """Take a reply; one that nobody waits for is dropped: it may be an injection."""
        pending = self._sent.get(reply.number)
        if pending is None or pending.peer != session.peer:
            self._counts["dropped: reply nobody asked for"] += 1
            return
        if pending.tries == 1:
            self._round_trips.add(session.peer, now - pending.sent)
        is_busy = isinstance(reply, messages.Refused) and reply.reason == messages.BUSY
        if is_busy and pending.tries < self._config.request_tries:
            self._counts["busy peers"] += 1
            self._wait(reply.number, pending, now)
            return
        if not is_busy:
            self._round_trips.answered(pending.tries)
        self._leave(reply.number)
        self._end(pending, reply)
        self._advance(session.peer, now)

    def handle_timer(self, now: float) -> None:
        """Repeat handshakes and requests that are due, or give them up."""
        due = self.next_timer()
        if due is not None and now - due > self._config.request_timeout_min:
            self._woke = now  # this node itself stood still: answers may lie unread
        for peer, address in self._sessions.handle_timer(now):
            self._counts["handshakes failed"] += 1
            self._fail_waiting(peer, address, now)
        while self._due and self._due[0][0] <= now:
            deadline, number = heapq.heappop(self._due)
            pending = self._sent.get(number)
            if pending is not None and pending.deadline == deadline:
                self._retry(number, pending, now)
        while (late := self._next_late()) is not None and late <= now:
            pending = self._hurried.popleft()
            self.answered.append((pending.operation, (pending.peer, pending.request, LATE)))
        for is_stranger, asked in self._waited_for.items():
            while (end := self._next_end(is_stranger)) is not None and end <= now:
                self._counts["requests not waited for"] += 1
                self._end(asked.popleft(), None)

    def next_timer(self) -> float | None:
        """Return when something is due."""
        due = self._due
        while due and not self._is_current(*due[0]):
            heapq.heappop(due)
        first = due[0][0] if due else None
        for time in (
            self._next_late() if self._hurried else None,
            self._next_end(False) if self._waited_for[False] else None,
            self._next_end(True) if self._waited_for[True] else None,
            self._sessions.next_timer(),
        ):
            if time is not None and (first is None or time < first):
                first = time
        return first

    def _next_late(self) -> float | None:
        """Return when the hurried request asked first has taken longer than usual."""
        while self._hurried and self._hurried[0].is_over:
            self._hurried.popleft()
        return self._hurried[0].asked + self._round_trips.usual() if self._hurried else None

    def _next_end(self, is_stranger: bool) -> float | None:
        """Return when the hurried request asked first of one kind is not waited for any more."""
        asked = self._waited_for[is_stranger]
        while asked and asked[0].is_over:
            asked.popleft()
        patience = self._round_trips.patience(is_stranger) if asked else None
        if patience is None:
            return None
        return max(asked[0].asked + patience, self._woke + self._config.request_timeout)

    def _is_current(self, deadline: float, number: int) -> bool:
        pending = self._sent.get(number)
        return pending is not None and pending.deadline == deadline

    def _advance(self, peer: NodeId, now: float) -> None:
        """Send what may be sent to a peer now, or open a session for it."""
        line = self._lines.get(peer)
        if line is None:
            return
        while line.waiting and len(line.in_flight) < self._config.requests_per_peer_max:
            session = self._sessions.get(peer)
            if session is None:
                if not line.sought:
                    for address in dict.fromkeys(pending.address for pending in line.waiting):
                        self._seek(line, address, peer, now)
                break
            self._send(line.waiting.popleft(), session, now)
        self._drop_if_idle(peer, line)

    def _seek(self, line: _Line, address: Address, peer: NodeId, now: float) -> None:
        """Start a handshake with a peer at one of the addresses that it is said to have."""
        if address in line.sought:
            return
        known = self._table.get(peer)
        is_proven = known is not None and known.address == address
        wait = min(self._round_trips.usual(), self._config.handshake_timeout)
        named = [p.ask.informants for p in line.waiting if p.address == address]
        informants = [] if () in named else [peer for peers in named for peer in peers]
        if self._sessions.connect(peer, address, now, is_proven, wait, informants):
            line.sought.add(address)
            return
        for pending in self._take_waiting(line, address):
            self._counts["requests refused here"] += 1
            self._end(pending, REFUSED if pending.ask.hurry else None)
        self._drop_if_idle(peer, line)

    def _take_waiting(self, line: _Line, address: Address) -> list[_Pending]:
        """Remove and return what waits for a peer at one address."""
        taken = [pending for pending in line.waiting if pending.address == address]
        line.waiting = deque(p for p in line.waiting if p.address != address)
        return taken

    def _drop_if_idle(self, peer: NodeId, line: _Line) -> None:
        if not line.waiting and not line.in_flight and self._lines.get(peer) is line:
            del self._lines[peer]

    def _send(self, pending: _Pending, session: Session, now: float) -> None:
        self._number = (self._number + 1) % (1 << 32)
        pending.request = msgspec.structs.replace(pending.request, number=self._number)
        self._lines[pending.peer].in_flight[self._number] = pending
        self._sent[self._number] = pending
        self._transmit(self._number, pending, session, now)

    def _transmit(self, number: int, pending: _Pending, session: Session, now: float) -> None:
        pending.tries = min(pending.tries + 1, self._config.request_tries)
        pending.sent = now
        self._wait(number, pending, now)
        self._sessions.send(session, messages.encode(pending.request))

    def _wait(self, number: int, pending: _Pending, now: float) -> None:
        pending.deadline = now + self._round_trips.timeout(pending.peer, max(pending.tries, 1))
        heapq.heappush(self._due, (pending.deadline, number))

    def _retry(self, number: int, pending: _Pending, now: float) -> None:
        session = self._sessions.get(pending.peer)
        if pending.tries >= self._config.request_tries:
            self._leave(number)
            if session and session.last <= pending.asked:
                self._sessions.close(session)
            self._give_up(pending)
            self._advance(pending.peer, now)
            return
        self._counts["requests repeated"] += 1
        if session:
            self._transmit(number, pending, session, now)
            if pending.tries == self._renewal_tries + 1:
                self._sessions.connect(session.peer, session.address, now, proven=True)
            return
        line = self._lines[pending.peer]
        line.waiting.appendleft(pending)
        self._leave(number)
        self._seek(line, pending.address, pending.peer, now)
        self._advance(pending.peer, now)

    def _leave(self, number: int) -> None:
        """Take a request out of flight."""
        pending = self._sent.pop(number)
        line = self._lines[pending.peer]
        del line.in_flight[number]
        self._drop_if_idle(pending.peer, line)

    def _fail_waiting(self, peer: NodeId, address: tuple[str, int], now: float) -> None:
        """Give up what waited for a handshake that failed; other addresses are still tried."""
        line = self._lines.get(peer)
        if line is None:
            return
        line.sought.discard(address)
        for pending in self._take_waiting(line, address):
            if self._round_trips.is_lossy and pending.ask.hurry and not pending.is_second:
                pending.is_second = True
                line.waiting.append(pending)
            else:
                self._give_up(pending)
        self._advance(peer, now)

    def _give_up(self, pending: _Pending) -> None:
        self._counts["requests unanswered"] += 1
        self._table.failed(pending.ask.contact)
        self._end(pending, None)

    def _end(self, pending: _Pending, reply: Outcome) -> None:
        """Tell the operation, once, what came of its request."""
        if not pending.is_over:
            pending.is_over = True
            self.answered.append((pending.operation, (pending.peer, pending.request, reply)))
