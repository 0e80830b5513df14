"""One S/Kademlia node: an endpoint that joins sessions, routing, look-ups, store and trail.

- Sans-IO: datagrams, time and randomness come in as arguments, effects and events go out.
- ``flush`` makes durable what the pending effects acknowledge; engines call it before they send.
- Operations are generators; the node feeds them one answer at a time, so their order is the only
  thing that decides what happens.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qisguard.errors import DecodeError
from qisguard.identity.descriptor import Address, Descriptor, Identity
from qisguard.identity.ids import NodeId, placement
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw
from qisguard.identity.roster import Roster
from qisguard.node import messages, operations
from qisguard.node.budget import Budgets
from qisguard.node.channel import Session
from qisguard.node.checks import Checks
from qisguard.node.config import NodeConfig
from qisguard.node.lookup import Filter
from qisguard.node.messages import Reply, Request
from qisguard.node.operations import Answered, Operation
from qisguard.node.record import sign_record
from qisguard.node.requests import Requests
from qisguard.node.routing import Contact, RoutingTable
from qisguard.node.serve import Server
from qisguard.node.session import Opened, Sessions
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
        self._events: list[Done] = []
        self._operations: dict[int, Operation[object]] = {}
        self._operation_count = 0
        self._requests = Requests(config, self.sessions, self.table, self.counts)
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
        record = sign_record(place, self.identity.key, expires, self._record_seq, self.network.id)
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

    def handle_timer(self, now: float) -> None:
        """Repeat or give up what is due, let a behaviour act, sign a checkpoint."""
        self._now = now
        self._requests.handle_timer(now)
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

    def next_timer(self) -> float | None:
        """Return the earliest time at which something is due."""
        times = [self._next_checkpoint, self._next_expiry]
        if (request := self._requests.next_timer()) is not None:
            times.append(request)
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
        outbox, self.sessions.outbox = self.sessions.outbox, []
        return [Send(data, address) for data, address in outbox]

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
        self._requests.session_opened(session, now)

    def _receive_message(self, session: Session, data: bytes, now: float) -> None:
        try:
            message = messages.decode(data)
        except DecodeError:
            self.counts["dropped: malformed message"] += 1
            return
        if isinstance(message, Request):
            self._receive_request(session, message, now)
        else:
            self._requests.receive_reply(session, message)

    def _receive_request(self, session: Session, request: Request, now: float) -> None:
        if not self._budgets.spend(session.peer, now):
            self.counts["dropped: request budget of an identity"] += 1
            return
        self.counts[f"requests: {type(request).__name__}"] += 1
        reply: Reply | None = self._server.answer(request, session.descriptor, now)
        if self.behaviour and reply is not None:
            reply = self.behaviour.answer(self, session.peer, request, reply, now)
        if reply is not None:
            self.sessions.send(session, messages.encode(reply))

    # --- operations ------------------------------------------------------------------------------
    def _start(self, operation: Operation[object], now: float) -> int:
        self._now = now
        self._operation_count += 1
        self._operations[self._operation_count] = operation
        self._resume(self._operation_count, None, now)
        self._run_ready(now)
        return self._operation_count

    def _run_ready(self, now: float) -> None:
        """Resume operations until no answer is left to take."""
        while self._requests.answered:
            identifier, answer = self._requests.answered.popleft()
            self._resume(identifier, answer, now)

    def _resume(self, identifier: int, answer: Answered | None, now: float) -> None:
        operation = self._operations.get(identifier)
        if operation is None:
            return
        try:
            asks = next(operation) if answer is None else operation.send(answer)
        except StopIteration as stop:
            del self._operations[identifier]
            self._finish(identifier, stop.value, now)
            return
        for ask in asks:
            if ask.contact.id == self.me.id:  # this node is a replica itself: ask without a wire
                reply = self._server.answer(ask.request, self.descriptor, now)
                self._requests.answered.append((identifier, (self.me.id, ask.request, reply)))
            else:
                self._requests.ask(identifier, ask, now)

    def _finish(self, identifier: int, value: object, now: float) -> None:
        if self._trail and isinstance(value, operations.Retrieved) and value.packets:
            self._trail.append(entries.fetch(self.clock.day(now), value.key, value.packets))
        self._events.append(Done(identifier, value))

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
