"""One S/Kademlia node: an endpoint that joins sessions, routing, look-ups, store and trail.

- Sans-IO: datagrams, time and randomness come in as arguments, effects and events go out.
- ``flush`` makes durable what the pending effects acknowledge; engines call it before they send.
- When that fails nothing is sent, and from then on writes are refused (``storage_fault``).
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from qisguard.config import NodeConfig
from qisguard.errors import DecodeError, IdentityError, StoreError, TrailError
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Descriptor, Identity
from qisguard.identity.ids import NodeId
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw
from qisguard.identity.roster import Roster
from qisguard.node import archiving, messages, operations, publishing, reading
from qisguard.node.checks import Checks
from qisguard.node.contact import Contact
from qisguard.node.gate import Gate
from qisguard.node.gossip import Gossip, GossipParts
from qisguard.node.maintenance import Maintenance
from qisguard.node.messages import AboutLogs, Reply, Request
from qisguard.node.outlook import Outlook
from qisguard.node.probing import Probing
from qisguard.node.requests import Requests
from qisguard.node.routing import RoutingTable
from qisguard.node.scribe import Scribe
from qisguard.node.serve import Server
from qisguard.node.survey import Survey
from qisguard.node.work import Done, Work
from qisguard.outcomes.packet import OutcomePacket
from qisguard.plugins import Accepts, Admits, Behaviour, Clock, Defense, Send
from qisguard.session.channel import Session
from qisguard.session.sessions import Opened, Sessions
from qisguard.store.store import Store

if TYPE_CHECKING:
    from qisguard.outcomes.annals import Annals
    from qisguard.trail.log import Trail

EXPIRY_PERIOD = 3_600.0
DAY = 86_400.0


class Node:
    """A node at ``address``, started at ``now`` seconds; ``clock`` maps them to calendar days."""

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
        checks: Checks = Checks(),  # noqa: B008 frozen, so one default serves all
        gossip: GossipParts | None = None,
        annals: "Annals | None" = None,
        now: float = 0.0,
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
        self._scribe = Scribe(trail, config, now)
        self._store = store
        self.annals = annals
        self._now = now
        rules = [d for d in defenses if isinstance(d, Admits)]
        self.table = RoutingTable(self.me.id, config, rules)
        self.survey = Survey(config, self.table, roster)
        self._gate = Gate(config, roster)
        self.sessions = Sessions(
            identity,
            config,
            draw,
            checks.verify,
            self._open_descriptor,
            self.counts,
            self._gate.organisation,
            lambda descriptor: descriptor.expires >= clock.day(self._now),
        )
        self._renew(now)
        who = self.me, identity, network, config, clock, roster
        parts = store, checks, defenses, self.table, self.survey
        self._outlook = Outlook(*who, *parts, self.sessions, self.bootstraps, self.counts)
        self._server = Server(
            network.id,
            config,
            self.me.id,
            self.table,
            store,
            roster,
            [d for d in defenses if isinstance(d, Accepts)],
            checks,
            clock.day,
            self.counts,
            annals,
        )
        self._requests = Requests(config, self.sessions, self.table, self.counts)
        self._events: list[Done] = []
        self._work = Work(self.me.id, self._requests, self._answer_here)
        self._maintenance = Maintenance(
            self.me.id, config, self.table, self.survey, store, roster, draw, now, self.bootstraps
        )
        self._probing = Probing(self.table, config.probe_interval, now)
        self.gossip: Gossip | None = None
        if gossip:
            seen = self._open_undated, self.table, clock, draw, self.counts
            self.gossip = Gossip(gossip, identity, network, *seen, now)
        self._next_expiry = now + EXPIRY_PERIOD
        self._next_act: float | None = now if behaviour else None

    # --- what the node is asked to do ------------------------------------------------------------
    def join(self, bootstraps: Sequence[Contact], now: float) -> int:
        """Find our own neighbourhood through ``bootstraps``; return the operation's id."""
        self.bootstraps[:] = bootstraps
        return self.find(self.me.id, now)

    def find(self, target: NodeId, now: float) -> int:
        """Look up the contacts closest to ``target``; return the operation's id."""
        self.table.looked_up(target, now)
        return self._work.start(operations.find(self._around(now), target, self.config.k), now)

    def publish(self, packets: Sequence[OutcomePacket], now: float) -> list[int]:
        """Publish signed packets under their keys; return one operation id for each key.

        They are kept, and published again every ``republish_interval``.

        Raises:
            StoreError, TrailError: they cannot be kept; nothing was sent.
        """
        if self.storage_fault:
            raise StoreError(f"store: {self.storage_fault}")
        around = self._around(now)
        by_key: dict[bytes, list[bytes]] = {}
        day = self.clock.day(now)
        known = {own for key in {p.key for p in packets} for own in self._store.own(key, day)}
        for packet in packets:
            by_key.setdefault(packet.key, []).append(packet.data)
            self._store.keep_own(packet)
        self._scribe.published(packets, known, day)
        if self.config.announces_keys:
            for prefix in sorted({key[0] for key in by_key}):
                keys = [key for key in by_key if key[0] == prefix]
                self._work.start_unasked(publishing.announce(around, prefix, keys), now)
        return [
            self._work.start(publishing.publish(around, key, group), now)
            for key, group in by_key.items()
        ]

    def retrieve(self, keys: Sequence[bytes], now: float) -> list[int]:
        """Fetch every packet under each key; return one operation id for each key."""
        around = self._around(now)
        return [self._work.start(reading.retrieve(around, key), now) for key in keys]

    def providers(self, place: NodeId, now: float) -> int:
        """Read the provider records of a place; return the operation's id."""
        return self._work.start(reading.providers(self._around(now), place), now)

    def archived(self, keys: Sequence[bytes], first: int, step: int, now: float) -> list[int]:
        """Ask for the past of each key from day ``first`` on, ``step`` days to a row."""
        around = self._around(now)
        asked = [archiving.archived(around, key, first, step) for key in keys]
        return [self._work.start(operation, now) for operation in asked]

    def value(self, key: bytes, digest: bytes, now: float) -> int:
        """Fetch the one packet with this digest; return the operation's id."""
        return self._work.start(reading.value(self._around(now), key, digest), now)

    def walk(self, prefix: int, now: float) -> int:
        """Read the index of a domain prefix; return the operation's id."""
        return self._work.start(reading.walk(self._around(now), prefix), now)

    def corrupt(self, behaviour: Behaviour | None) -> None:
        """Let somebody else decide what this node says from now on; None makes it honest again."""
        self.behaviour = behaviour
        self._next_act = self._now if behaviour else None

    def close(self, now: float) -> None:
        """Flush, sign a last checkpoint, and stop promising anything."""
        self._now = now
        self._sign(now)

    def _around(self, now: float) -> operations.Surroundings:
        self._now = now  # what is logged from here on is not older
        return self._outlook.at(now)

    # --- how the node is -------------------------------------------------------------------------
    @property
    def is_busy(self) -> bool:
        """Return whether an operation that somebody asked for has not ended."""
        return self._work.is_busy

    @property
    def storage_fault(self) -> str | None:
        """Return why nothing can be made durable any more, or None."""
        return self._server.fault

    def contacts(self) -> list[Contact]:
        """Return the contacts worth saving for the next start."""
        return list(self.table)

    def status(self, now: float) -> dict[str, object]:
        """Return what an operator wants to see, without addresses, ids of peers or packets."""
        return {
            "contacts": len(self.table),
            "siblings": len(self.table.siblings),
            **self.survey.status(),
            "sessions": len(self.sessions),
            "requests": len(self._requests),
            "operations": len(self._work),
            **({"gossip": self.gossip.status(now)} if self.gossip else {}),
            "store": self._store.counts() if not self.storage_fault else {},
            "descriptor_expires": self.descriptor.expires,
            "day": self.clock.day(now),
            "fault": self.storage_fault,
            **({"annals": self.annals.counts()} if self.annals and not self.storage_fault else {}),
            "counts": dict(self.counts),
        }

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
        self._work.run(now)

    def handle_timer(self, now: float) -> None:
        """Repeat or give up what is due, work in the background, sign a checkpoint."""
        self._now = now
        self._requests.handle_timer(now)
        if self.behaviour and self._next_act is not None and self._next_act <= now:
            self._next_act = self.behaviour.act(self, now)
        if self._next_renewal <= now:
            self._renew(now)
        self._work.run(now)
        if peer := self._probing.step(now):
            ended = partial(self._probing.ended, peer)
            ping = operations.ping(peer)
            self._work.start_unasked(ping, now, lambda alive, _: ended(alive is True))
        if self.gossip and (task := self.gossip.step(self._around(now), now)):
            self._work.start_unasked(task, now)
        if not self.storage_fault:
            try:
                if self._scribe.next_timer(now) <= now:
                    self._sign(now)
                self._maintain(now)
            except (StoreError, TrailError) as error:
                self._fail(error)

    def next_timer(self) -> float | None:
        """Return the earliest time at which something is due."""
        first = min(self._next_renewal, self._probing.next_timer())
        if self.gossip:
            first = min(first, self.gossip.next_timer())
        if self._server.fault is None:
            checkpoint = self._scribe.next_timer(self._now)
            first = min(first, checkpoint, self._next_expiry, self._maintenance.next_timer())
        if self._next_act is not None and self._next_act < first:
            first = self._next_act
        due = self._requests.next_timer()
        return first if due is None or first < due else due

    def flush(self) -> None:
        """Make durable what the pending effects acknowledge; if that fails, nothing is sent."""
        if self._server.fault:
            return
        try:
            if taken := self._server.taken:
                self._server.taken = []
                self._scribe.held(taken, self.clock.day(self._now))
            self._collect()
            self._store.commit()
            self._scribe.flush()
        except (StoreError, TrailError) as error:
            self._fail(error)

    def effects(self) -> Sequence[Send]:
        """Return and forget what is to be sent."""
        outbox, self.sessions.outbox = self.sessions.outbox, []
        return [Send(data, address) for data, address in outbox]

    def events(self) -> Sequence[Done]:
        """Return and forget what operations ended with."""
        self._collect()
        events, self._events = self._events, []
        return events

    def _collect(self) -> None:
        """Note in the trail what was fetched, before anybody is told of it."""
        if not self._work.ended:
            return
        ended, self._work.ended = self._work.ended, []
        for identifier, value in ended:
            if isinstance(value, StoreError):
                self._fail(value)
            self._scribe.fetched(value, self.clock.day(self._now))
            archiving.learn(self.annals, value, self.clock.day(self._now))
            self._events.append(Done(identifier, value))

    def _sign(self, now: float) -> None:
        """Sign the trail; raises TrailError. Nothing is signed before it is durable."""
        self.flush()
        if not self.storage_fault:
            self._scribe.sign(now)

    def _fail(self, error: StoreError | TrailError) -> None:
        """Storage failed: whatever waits to be sent may acknowledge what was lost."""
        self._server.fault = self._server.fault or str(error)
        self.counts["storage faults"] += 1
        self.sessions.outbox.clear()

    def _maintain(self, now: float) -> None:
        if self._next_expiry <= now:
            self._next_expiry = now + EXPIRY_PERIOD
            self._store.expire(self.clock.day(now), int(now))
        if task := self._maintenance.step(now):
            self._work.start_unasked(
                task(self._around(now)), now, lambda _, then: self._maintenance.ended(then)
            )

    def _renew(self, now: float) -> None:
        """Sign a new descriptor; sequence numbers are seconds, so that they rise over restarts."""
        days = self.config.descriptor_days
        expires = self.clock.day(now) + days
        self.descriptor = self.identity.describe(
            self.network, self.me.address, seq=int(now), expires=expires
        )
        self.sessions.descriptor = self.descriptor.signed
        self._next_renewal = now + days * DAY / self.clock.rate * 2 / 3

    # --- messages --------------------------------------------------------------------------------
    def _meet(self, session: Session, now: float) -> None:
        """A session opened: take the contact, send what waited for it."""
        contact = Contact(session.peer, session.address)
        if refusal := self.table.heard_from(contact, now):
            self.counts[f"not admitted: {refusal.reason}"] += 1
            for doubtful in self.table.questions(now):
                self._work.start_unasked(operations.ping(doubtful), now)
        self._maintenance.met(contact, session.descriptor.seq, now)
        if self.gossip:
            self.gossip.met(session.descriptor)
        for neighbour in self.table.take_new_siblings():
            self._maintenance.greet(neighbour, now)
        self._requests.session_opened(session, now)

    def _receive_message(self, session: Session, data: bytes, now: float) -> None:
        try:
            message = messages.decode(data)
        except DecodeError:
            self.counts["dropped: malformed message"] += 1
            return
        self.table.seen(session.peer, now)
        if self.sessions.needs_rekey(session, now):
            self.sessions.connect(session.peer, session.address, now, proven=True)
        if isinstance(message, Request):
            self._receive_request(session, message, now)
        else:
            self._requests.receive_reply(session, message, now)

    def _receive_request(self, session: Session, request: Request, now: float) -> None:
        if not self._gate.lets_in(session.descriptor, session.address, now):
            self.counts["busy: request budget"] += 1
            busy = messages.Refused(request.number, messages.BUSY)
            self.sessions.send(session, messages.encode(busy))
            return
        self.counts[f"requests: {type(request).__name__}"] += 1
        payer = self._gate.payer(session.peer, session.address)
        reply: Reply | None
        if self.gossip and isinstance(request, AboutLogs):
            reply = self.gossip.answer(request, session.descriptor, now)
        else:
            reply = self._server.answer(request, session.peer, payer, now)
        if self.behaviour and reply is not None:
            reply = self.behaviour.answer(self, session.peer, request, reply, now)
        if reply is not None:
            self.sessions.send(session, messages.encode(reply))

    def _answer_here(self, request: Request, now: float) -> Reply:
        payer = self._gate.payer(self.me.id, self.me.address)
        return self._server.answer(request, self.me.id, payer, now)

    def _open_undated(self, data: bytes) -> Descriptor:
        return self._gate.look_at(data, self.network, self._checks, self._now)

    def _open_descriptor(self, data: bytes) -> Descriptor:
        descriptor = self._open_undated(data)
        try:
            descriptor.check_day(self.clock.day(self._now))
        except IdentityError:
            self.counts["descriptors out of date: here or there a clock may be wrong"] += 1
            raise
        return descriptor
