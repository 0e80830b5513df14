"""One S/Kademlia node: an endpoint that joins sessions, routing, look-ups, store and trail.

- Sans-IO: datagrams, time and randomness come in as arguments, effects and events go out.
- ``flush`` makes durable what the pending effects acknowledge; engines call it before they send.
- Requests wait for their peer's session, are repeated when no reply comes, and end in silence after
  a bounded number of tries.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from qisguard.errors import DecodeError
from qisguard.identity.descriptor import Address, Descriptor, Identity
from qisguard.identity.ids import NodeId, placement
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw
from qisguard.identity.roster import Roster
from qisguard.node import messages, operations
from qisguard.node.budget import Budgets
from qisguard.node.checks import Checks
from qisguard.node.config import NodeConfig
from qisguard.node.lookup import Filter
from qisguard.node.messages import Reply, Request
from qisguard.node.operations import Ask, Operation
from qisguard.node.record import sign_record
from qisguard.node.routing import Contact, RoutingTable
from qisguard.node.serve import Server
from qisguard.node.session import Opened, Session, Sessions
from qisguard.node.store import Store
from qisguard.outcomes.packet import OutcomePacket
from qisguard.plugins import Accepts, Admits, Behaviour, Clock, Defense, Routes, Send
from qisguard.trail import entries

if TYPE_CHECKING:
    from qisguard.trail.log import Trail

CHECKPOINT_PERIOD = 60.0
"""Sign a checkpoint at least this often, in seconds (HARDENING, LOG-01)."""
EXPIRY_PERIOD = 3_600.0


@dataclass(frozen=True, slots=True)
class Done:
    """Operation ``id`` of this node ended with ``value``."""

    id: int
    value: object


@dataclass(slots=True)
class _Pending:
    """A request that waits for its reply."""

    operation: int
    contact: Contact
    request: Request
    deadline: float
    tries: int = 0


class Node:
    """A node at ``address``. Time is engine seconds; ``clock`` maps them to calendar days."""

    def __init__(
        self,
        identity: Identity,
        network: Network,
        address: Address,
        config: NodeConfig,
        *,
        clock: Clock,
        draw: Draw,
        store: Store,
        trail: "Trail | None" = None,
        roster: Roster | None = None,
        defenses: Sequence[Defense] = (),
        behaviour: Behaviour | None = None,
        descriptor_days: int = 365,
        checks: Checks = Checks(),  # noqa: B008 frozen, so one default serves all
    ) -> None:
        self.identity = identity
        self.network = network
        self.config = config
        self.clock = clock
        self.roster = roster
        self.behaviour = behaviour
        self.counts: Counter[str] = Counter()
        self.me = Contact(identity.id, address)
        self.bootstraps: list[Contact] = []
        self._checks = checks
        self._trail = trail
        self._store = store
        self._now = 0.0
        admits = [d for d in defenses if isinstance(d, Admits)]
        self.table = RoutingTable(self.me.id, config.k, admits)
        self._routes = [d for d in defenses if isinstance(d, Routes)]
        self.sessions = Sessions(
            identity,
            config,
            draw,
            checks.verify,
            self._open_descriptor,
            self.counts,
        )
        expires = clock.day(0.0) + descriptor_days
        self.descriptor = identity.describe(network, address, seq=0, expires=expires)
        self.sessions.descriptor = self.descriptor.signed
        accepts = [d for d in defenses if isinstance(d, Accepts)]
        self._server = Server(
            network.id, config, self.table, store, roster, accepts, checks, clock.day, self.counts
        )
        self._budgets = Budgets(config.requests_per_second, config.addresses_tracked_max)
        self._effects: list[Send] = []
        self._events: list[Done] = []
        self._operations: dict[int, Operation[object]] = {}
        self._operation_count = 0
        self._number = 0
        self._pending: OrderedDict[int, _Pending] = OrderedDict()
        self._queued: dict[NodeId, list[_Pending]] = {}
        self._ready: deque[tuple[int, operations.Answered | None]] = deque()
        self._record_seq = 0
        self._next_checkpoint = CHECKPOINT_PERIOD
        self._next_expiry = EXPIRY_PERIOD
        self._next_act: float | None = 0.0 if behaviour else None

    # --- what the node is asked to do ------------------------------------------------------------
    def join(self, bootstraps: Sequence[Contact], now: float) -> int:
        """Find our own neighbourhood through ``bootstraps``; return the operation's id."""
        self.bootstraps = list(bootstraps)
        return self._start(operations.find(self._around(), self.me.id, self._near(self.me.id)), now)

    def find(self, target: NodeId, now: float) -> int:
        """Look up the contacts closest to ``target``; return the operation's id."""
        return self._start(operations.find(self._around(), target, self._near(target)), now)

    def publish(self, packets: Sequence[OutcomePacket], now: float) -> list[int]:
        """Publish signed packets under their keys; return one operation id for each key."""
        by_key: dict[bytes, list[OutcomePacket]] = {}
        day = self.clock.day(now)
        for packet in packets:
            by_key.setdefault(packet.key, []).append(packet)
            if self._trail:
                self._trail.append(entries.publish(day, packet.data), [packet.data])
        return [self._publish_key(key, group, now) for key, group in by_key.items()]

    def _publish_key(self, key: bytes, packets: Sequence[OutcomePacket], now: float) -> int:
        place = placement(key)
        self._record_seq += 1
        expires = int(now + self.config.record_lifetime)
        record = sign_record(
            place, self.me.id, expires, self._record_seq, self.identity.key, self.network.id
        )
        near = self._near(place)
        return self._start(operations.publish(self._around(), key, packets, record, near), now)

    def retrieve(self, keys: Sequence[bytes], now: float) -> list[int]:
        """Fetch every packet under each key; return one operation id for each key."""
        around = self._around()
        return [
            self._start(
                operations.retrieve(around, key, self._near(placement(key)), self._checks), now
            )
            for key in keys
        ]

    def corrupt(self, behaviour: Behaviour | None) -> None:
        """Let somebody else decide what this node says from now on; None makes it honest again."""
        self.behaviour = behaviour
        self._next_act = self._now if behaviour else None

    def close(self, now: float) -> None:
        """Flush, sign a last checkpoint, and stop promising anything."""
        self.flush()
        if self._trail:
            self._trail.checkpoint()

    @property
    def is_busy(self) -> bool:
        """Return whether an operation of this node has not ended."""
        return bool(self._operations)

    # --- endpoint --------------------------------------------------------------------------------
    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram, whatever it holds."""
        self._now = now
        event = self.sessions.receive(data, source, now)
        if isinstance(event, Opened):
            self._meet(event.session, now)
        elif event is not None:
            if event.is_first:
                self._meet(event.session, now)
            self._receive_message(event.session, event.data, now)
        self._run_ready(now)
        self._collect()

    def handle_timer(self, now: float) -> None:
        """Repeat or give up what is due, let a behaviour act, sign a checkpoint."""
        self._now = now
        for peer, address in self.sessions.handle_timer(now):
            self.counts["handshakes failed"] += 1
            for pending in self._queued.pop(peer, []):
                if pending.contact.address == address:
                    self._give_up(pending)
                else:  # a handshake at another address is still under way
                    self._queued.setdefault(peer, []).append(pending)
        while self._pending:
            number, pending = next(iter(self._pending.items()))
            if pending.deadline > now:
                break
            del self._pending[number]
            self._retry(pending, now)
        if self.behaviour and self._next_act is not None and self._next_act <= now:
            self._next_act = self.behaviour.act(self, now)
        if self._next_checkpoint <= now:
            self._next_checkpoint = now + CHECKPOINT_PERIOD
            if self._trail:
                self.flush()
                self._trail.checkpoint()
        if self._next_expiry <= now:
            self._next_expiry = now + EXPIRY_PERIOD
            self._store.expire(self.clock.day(now), int(now))
        self._run_ready(now)
        self._collect()

    def next_timer(self) -> float | None:
        """Return the earliest time at which something is due."""
        times = [self._next_checkpoint, self._next_expiry]
        if self._pending:
            times.append(next(iter(self._pending.values())).deadline)
        if (handshake := self.sessions.next_timer()) is not None:
            times.append(handshake)
        if self._next_act is not None:
            times.append(self._next_act)
        return min(times)

    def flush(self) -> None:
        """Make durable what the pending effects acknowledge."""
        if taken := self._server.taken:
            self._server.taken = []
            if self._trail:
                day = self.clock.day(self._now)
                self._trail.append(entries.hold(day, taken))
        self._store.commit()
        if self._trail:
            self._trail.flush()

    def effects(self) -> Sequence[Send]:
        """Return and forget what is to be sent."""
        effects, self._effects = self._effects, []
        return effects

    def events(self) -> Sequence[Done]:
        """Return and forget what operations ended with."""
        events, self._events = self._events, []
        return events

    # --- messages --------------------------------------------------------------------------------
    def _meet(self, session: Session, now: float) -> None:
        """A session opened: take the contact, send what waited for it."""
        contact = Contact(session.peer, session.address)
        if refusal := self.table.heard_from(contact, now):
            self.counts[f"not admitted: {refusal.reason}"] += 1
        for pending in self._queued.pop(session.peer, []):
            self._send_request(pending, session, now)

    def _receive_message(self, session: Session, data: bytes, now: float) -> None:
        try:
            message = messages.decode(data)
        except DecodeError:
            self.counts["dropped: malformed message"] += 1
            return
        if isinstance(message, Request):
            self._receive_request(session, message, now)
        else:
            self._receive_reply(session, message)

    def _receive_request(self, session: Session, request: Request, now: float) -> None:
        if not self._budgets.spend(session.peer, now):
            self.counts["dropped: request budget of an identity"] += 1
            return
        self.counts[f"requests: {type(request).__name__}"] += 1
        reply: Reply | None = self._server.answer(request, session.descriptor, now)
        if self.behaviour and reply is not None:
            reply = self.behaviour.answer(self, session.peer, request, reply, now)
        if reply is not None:
            self._transmit(session, messages.encode(reply))

    def _receive_reply(self, session: Session, reply: Reply) -> None:
        pending = self._pending.get(reply.number)
        if pending is None or pending.contact.id != session.peer:
            self.counts["dropped: reply nobody asked for"] += 1
            return
        del self._pending[reply.number]
        self._ready.append((pending.operation, (session.peer, pending.request, reply)))

    def _transmit(self, session: Session, plaintext: bytes) -> None:
        self._effects.append(Send(self.sessions.seal(session, plaintext), session.address))

    # --- operations ------------------------------------------------------------------------------
    def _start(self, operation: Operation[object], now: float) -> int:
        self._now = now
        self._operation_count += 1
        self._operations[self._operation_count] = operation
        self._ready.append((self._operation_count, None))
        self._run_ready(now)
        self._collect()
        return self._operation_count

    def _run_ready(self, now: float) -> None:
        """Resume operations until none has an answer left to take."""
        while self._ready:
            identifier, answer = self._ready.popleft()
            operation = self._operations.get(identifier)
            if operation is None:
                continue
            try:
                asks = next(operation) if answer is None else operation.send(answer)
            except StopIteration as stop:
                del self._operations[identifier]
                self._finish(identifier, stop.value, now)
                continue
            for ask in asks:
                self._ask(identifier, ask, now)

    def _finish(self, identifier: int, value: object, now: float) -> None:
        if self._trail and isinstance(value, operations.Retrieved) and value.packets:
            self._trail.append(entries.fetch(self.clock.day(now), value.key, value.packets))
        self._events.append(Done(identifier, value))

    def _ask(self, identifier: int, ask: Ask, now: float) -> None:
        if ask.contact.id == self.me.id:  # this node is among the replicas: ask without a wire
            reply = self._server.answer(ask.request, self.descriptor, now)
            self._ready.append((identifier, (self.me.id, ask.request, reply)))
            return
        pending = _Pending(identifier, ask.contact, ask.request, 0.0)
        if session := self.sessions.get(ask.contact.id):
            self._send_request(pending, session, now)
        else:
            self._await_session(pending, now)

    def _await_session(self, pending: _Pending, now: float) -> None:
        peer = pending.contact.id
        waiting = len(self._queued.get(peer, ()))
        if waiting >= self.config.queued_per_peer_max or not self.sessions.connect(
            peer, pending.contact.address, now
        ):
            self.counts["requests refused here"] += 1
            self._ready.append((pending.operation, (peer, pending.request, None)))
        else:
            self._queued.setdefault(peer, []).append(pending)

    def _send_request(self, pending: _Pending, session: Session, now: float) -> None:
        if not pending.tries:
            self._number = (self._number + 1) % (1 << 32)
            pending.request = msgspec.structs.replace(pending.request, number=self._number)
        pending.tries += 1
        pending.deadline = now + self.config.request_timeout
        self._pending[pending.request.number] = pending
        self._transmit(session, messages.encode(pending.request))

    def _retry(self, pending: _Pending, now: float) -> None:
        """Repeat a request; before the last try open a new session, the peer may have restarted."""
        if pending.tries >= self.config.request_tries:
            self._give_up(pending)
            return
        self.counts["requests repeated"] += 1
        session = self.sessions.get(pending.contact.id)
        if session and pending.tries == self.config.request_tries - 1:
            self.sessions.close(session)
            session = None
        if session:
            self._send_request(pending, session, now)
        else:
            self._await_session(pending, now)

    def _give_up(self, pending: _Pending) -> None:
        self.counts["requests unanswered"] += 1
        self.table.failed(pending.contact)
        answer = (pending.contact.id, pending.request, None)
        self._ready.append((pending.operation, answer))

    def _open_descriptor(self, data: bytes) -> Descriptor:
        descriptor = self._checks.descriptor(data, self.network)
        descriptor.check_day(self.clock.day(self._now))
        return descriptor

    # --- surroundings ----------------------------------------------------------------------------
    def _around(self) -> operations.Surroundings:
        return operations.Surroundings(
            self.me, self.config, self.roster, self._keep(), self._known, self.network.id
        )

    def _known(self, identifier: NodeId) -> Contact | None:
        """Return a contact that proved its id in a session which is open, or this node itself."""
        if identifier == self.me.id:
            return self.me
        session = self.sessions.get(identifier)
        return Contact(identifier, session.address) if session else None

    def _keep(self) -> Filter:
        return partial(_keep, self._routes, self.me.id, self._now)

    def _near(self, target: NodeId) -> list[Contact]:
        near = self.table.closest(target, max(self.config.k, self.config.disjoint_paths))
        known = {contact.id for contact in near}
        if len(near) < self.config.k:
            near += [c for c in self.bootstraps if c.id not in known]
        return near

    def _collect(self) -> None:
        """Move what the sessions want to send behind what is already pending, in order."""
        outbox = self.sessions.outbox
        if outbox:
            self._effects.extend(Send(data, address) for data, address in outbox)
            outbox.clear()


def _keep(
    routes: Sequence[Routes],
    own: NodeId,
    now: float,
    target: NodeId,
    contacts: Sequence[Contact],
) -> Sequence[Contact]:
    """Return the look-up candidates that every ``route`` defence keeps, without ourselves."""
    kept: Sequence[Contact] = [c for c in contacts if c.id != own]
    for rule in routes:
        kept = rule.route(target, kept, now)
    return kept
