"""What a node does unasked, a little at a time: refresh, publish again, hand over, repair.

- *Refresh*: a bucket without a look-up for a while gets one (Kademlia, section 2.3), and the
  bootstraps are asked for our neighbourhood. The widest ranges tell the size of the network.
- *Knock*: a bootstrap that was lost is called again and again: after a cut, when every table is
  full of its own side, that is the way back to the other one.
- *Republish*: what this node published is published again, by it, before its records expire.
- *Hand over*: who comes to live closest to a place, or starts again there, gets what is held there
  from its neighbours. They do it before all else: who came may be needed soon.
- *Repair*: who holds something compares it with another replica of its place, round after round
  with another one, and goes on to the next while it finds something missing (anti-entropy, and
  rumours that end with who knows them: Demers et al., PODC 1987, sections 1.3 and 1.4). A place
  that has few holders left is filled at once, one that is whole costs each of them one question,
  and a dead or lying replica delays no other. Where neighbours change fast rounds follow fast.

One background operation runs at a time; looking for the next one takes bounded steps.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from qisguard.config import NodeConfig, ReplicaRule
from qisguard.identity.ids import ID_BITS, NodeId, from_bytes, shared_prefix, to_bytes
from qisguard.identity.puzzle import Draw
from qisguard.identity.roster import Roster
from qisguard.node import publishing
from qisguard.node.contact import NEVER, Contact
from qisguard.node.messages import Ping
from qisguard.node.operations import (
    Ask,
    Operation,
    Surroundings,
    find,
    region_depth,
    roster_replicas,
)
from qisguard.node.routing import RoutingTable
from qisguard.node.survey import Survey
from qisguard.store.store import Store

Task: TypeAlias = Callable[[Surroundings], Operation[object]]
Search: TypeAlias = Iterator[Task | None]
"""Yields background operations, and None after each bounded piece of looking for them."""

SPACING = 0.01
"""Seconds between two pieces of background work."""
PAGE = 64
"""Places or keys looked at in one piece."""
GIVERS = 3
"""So many of the nearest replicas look after a newcomer: under churn the nearest may be dead."""
GREETINGS_MAX = 256
"""New neighbours that wait for what they shall hold."""
STARTS_MAX = 1_024
"""Siblings whose latest start is remembered; who is forgotten is greeted once more."""
HASTE = 12
"""Rounds of repair that one ``repair_interval`` has at most."""
TURNOVER_RATIO = 0.25
"""When this share of the siblings was replaced since the last round, the next one is due."""


class Maintenance:
    """The background work of one node; ``now`` in seconds; ``bootstraps`` may change."""

    def __init__(
        self,
        own: NodeId,
        config: NodeConfig,
        table: RoutingTable,
        survey: Survey,
        store: Store,
        roster: Roster | None,
        draw: Draw,
        now: float,
        bootstraps: Sequence[Contact],
    ) -> None:
        self._own = own
        self._config = config
        self._table = table
        self._survey = survey
        self._store = store
        self._roster = roster
        self._draw = draw
        self._bootstraps = bootstraps
        self._searches: deque[Search] = deque()
        self._greetings: set[NodeId] = set()
        self._started: dict[NodeId, int] = {}
        self._is_running = False
        self._next_step: float | None = None
        self._next_refresh = now + config.refresh_interval / 60  # soon after joining
        self._next_knock = now + config.knock_interval
        self._knocks = 0
        self._lost: set[NodeId] = set()
        self._called: dict[NodeId, float] = {}
        self._next_look = now + self._part_of(config.refresh_interval)
        self._next_republish = now + self._part_of(config.republish_interval)
        self._next_repair = now + self._part_of(config.repair_interval / HASTE)
        self._repaired = now - self._part_of(config.repair_interval)
        self._repairs = 0
        self._changes = table.sibling_changes
        self._next_due = self._first_due()

    def greet(self, contact: Contact, now: float) -> None:
        """A new neighbour proved itself: look for what it shall hold from now on."""
        if len(self._greetings) < GREETINGS_MAX and contact.id not in self._greetings:
            self._greetings.add(contact.id)
            self._add(self._hand_over(contact), now, is_urgent=True)

    def met(self, contact: Contact, seq: int, now: float) -> None:
        """A session opened; a sibling with another descriptor ``seq`` than before started again.

        It may have lost what it held, and it never left the table if nobody noticed.
        """
        if self._table.is_sibling(contact.id) and self._started.get(contact.id) != seq:
            self._started[contact.id] = seq
            if len(self._started) > STARTS_MAX:
                del self._started[next(iter(self._started))]
            self.greet(contact, now)

    def next_timer(self) -> float:
        """Return when ``step`` has something to do."""
        return self._next_due if self._next_step is None else min(self._next_step, self._next_due)

    def step(self, now: float) -> Task | None:
        """Return the operation to start now, if any; ``ended`` must be called when it has ended."""
        if self._next_refresh <= now:
            self._next_refresh = now + self._config.refresh_interval / 4
            self._add(self._refresh(now), now)
        if self._next_knock <= now:
            self._next_knock = now + self._config.knock_interval
            self._add(self._knock(now), now)
        if self._next_look <= now:
            self._next_look = now + self._config.refresh_interval
            self._add(self._look_around(), now)
        if self._next_republish <= now:
            interval = self._config.republish_interval
            self._next_republish = now + interval * 0.9 + self._part_of(interval * 0.1)
            self._add(self._republish(), now)
        if self._next_repair <= now:
            self._next_repair = now + self._config.repair_interval / HASTE
            if self._is_repair_due(now):
                self._repaired, self._changes = now, self._table.sibling_changes
                self._repairs += 1
                self._add(self._repair(self._repairs), now)
        self._next_due = self._first_due()
        if self._next_step is None or self._next_step > now or self._is_running:
            return None
        return self._look(now)

    def _is_repair_due(self, now: float) -> bool:
        """Return whether an interval is over, or many neighbours came and went before."""
        replaced = (self._table.sibling_changes - self._changes) / 2
        is_old = now - self._repaired >= self._config.repair_interval
        return is_old or replaced >= TURNOVER_RATIO * max(len(self._table.siblings), 1)

    def _first_due(self) -> float:
        return min(
            self._next_refresh,
            self._next_look,
            self._next_knock,
            self._next_republish,
            self._next_repair,
        )

    def ended(self, now: float) -> None:
        """The operation that ``step`` returned has ended."""
        self._is_running = False
        self._next_step = now + SPACING if self._searches else None

    def _look(self, now: float) -> Task | None:
        """Take one piece of the first search."""
        try:
            task = next(self._searches[0])
        except StopIteration:
            self._searches.popleft()
            task = None
        self._is_running = task is not None
        waits = bool(self._searches) and not self._is_running
        self._next_step = now + SPACING if waits else None
        return task

    def _add(self, search: Search, now: float, is_urgent: bool = False) -> None:
        if is_urgent:
            self._searches.appendleft(search)
        else:
            self._searches.append(search)
        if self._next_step is None and not self._is_running:
            self._next_step = now

    def _part_of(self, interval: float) -> float:
        """Return a random part of an interval, so that nodes do not all work at once."""
        return interval * int.from_bytes(self._draw(4), "big") / (1 << 32)

    # --- what there is to do ---------------------------------------------------------------------
    def _refresh(self, now: float) -> Search:
        for target in self._table.stale_targets(now, self._draw):
            yield self._refresh_with(target, now)
        for prefix in self._survey.due(now):
            yield self._refresh_with(self._table.random_id(prefix, self._draw), now)

    def _refresh_with(self, target: NodeId, now: float) -> Task:
        self._table.looked_up(target, now)
        return partial(self._look_into, target=target, now=now)

    def _look_into(self, around: Surroundings, target: NodeId, now: float) -> Operation[None]:
        """Look up a random id, and let the survey know how near to it others live."""
        found = yield from find(around, target, self._config.k)
        ids = [contact.id for contact in found.contacts]
        self._survey.take(shared_prefix(self._own, target), target, ids, now)

    def _look_around(self) -> Search:
        """Ask the bootstraps for our neighbourhood: a cut may have left us only our own side."""
        start = list(self._bootstraps)
        yield partial(find, target=self._own, count=self._config.k, start=start)

    def _knock(self, now: float) -> Search:
        """Call the next bootstrap if it was lost when last called, or was not called for long.

        One that answers is left in peace: the bootstraps of a large network are in few tables.
        """
        self._knocks += 1
        if self._bootstraps:
            contact = self._bootstraps[self._knocks % len(self._bootstraps)]
            is_due = now - self._called.get(contact.id, NEVER) >= self._config.refresh_interval / 4
            if contact.id in self._lost or (is_due and contact.id not in self._table):
                self._called[contact.id] = now
                yield partial(self._call, contact=contact)

    def _call(self, around: Surroundings, contact: Contact) -> Operation[None]:
        """Ping a bootstrap; when one that was lost is back, find our neighbourhood through it."""
        _, _, reply = yield [Ask(contact, Ping(0))]
        if reply is None:
            self._lost.add(contact.id)
        elif contact.id in self._lost:
            self._lost.discard(contact.id)
            yield from find(around, self._own, self._config.k, [contact])

    def _republish(self) -> Search:
        after = b""
        while page := self._store.own_keys(after, PAGE):
            after = page[-1]
            for key in page:
                yield partial(publishing.republish, key=key)
            yield None

    def _repair(self, turn: int) -> Search:
        after = b""
        while page := self._store.places(after, PAGE):
            after = page[-1]
            for name in page:
                place = from_bytes(name)
                yield partial(publishing.repair, place=place, others=self._others(place, turn))
            yield None

    def _hand_over(self, contact: Contact) -> Search:
        """Look through the places around a contact; others have far nearer replicas."""
        wide = self._survey.size() / (2 * self._config.replica_count)
        bits = max(0, int(wide).bit_length() - 1)
        first = contact.id >> ID_BITS - bits << ID_BITS - bits
        last = first + (1 << ID_BITS - bits) - 1
        after = to_bytes(NodeId(first - 1)) if first else b""
        while page := self._store.places(after, PAGE):
            after = page[-1]
            for name in page:
                place = from_bytes(name)
                if place <= last and self._owes(place, contact):
                    yield partial(publishing.hand_over, place=place, contact=contact)
            if from_bytes(after) > last:
                break
            yield None
        self._greetings.discard(contact.id)

    def _keepers(self, place: NodeId) -> list[NodeId]:
        """Return who keeps a place, as far as this node knows, nearest first."""
        config = self._config
        if config.replica_rule is ReplicaRule.ROSTER and self._roster is not None:
            count, each = config.replica_count, config.replicas_per_issuer
            return roster_replicas(self._roster, place, count, each)
        count = config.replica_count
        is_region = config.replica_rule is ReplicaRule.REGION
        near = self._table.answering(place, config.region_max if is_region else count)
        nearest = sorted([self._own, *(c.id for c in near)], key=lambda i: i ^ place)
        if is_region:
            depth = region_depth(self._survey.size(), count)
            count = max(count, sum(shared_prefix(i, place) >= depth for i in nearest))
        return nearest[:count]

    def _others(self, place: NodeId, turn: int) -> list[NodeId]:
        """Return the other keepers of a place, beginning with another one each turn.

        We may be none any more: what we hold is of use to those who are.
        """
        keepers = self._keepers(place)
        at = keepers.index(self._own) if self._own in keepers else 0
        others = [keeper for keeper in keepers if keeper != self._own]
        first = (at + turn) % max(len(others), 1)
        return others[first:] + others[:first]

    def _owes(self, place: NodeId, contact: Contact) -> bool:
        """Return whether a contact keeps a place and we are among the nearest others that do."""
        keepers = self._keepers(place)
        others = [keeper for keeper in keepers if keeper != contact.id]
        return contact.id in keepers and self._own in others[:GIVERS]
