"""Iterative look-ups over disjoint paths (Kademlia, section 2.3; S/Kademlia, section 4.4).

Sans-IO: the caller sends ``queries_to_send`` and reports each reply, delay or silence. The closest
known contacts are dealt into d paths; a node is asked at most once in the whole look-up, so a liar
spoils only the path that it is on. Silence gives an id back, but not its address: a liar that names
honest ids at false addresses takes them from nobody.

A path ends when its ``count`` closest known contacts, the target's siblings, have answered or
failed: nothing that a peer claims about itself ends it (S/Kademlia, section 4.2, lets a sibling say
that it is one; a liar would say so at once).
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from qisguard.identity.ids import NodeId
from qisguard.node.routing import Contact

Filter = Callable[[NodeId, Sequence[Contact]], Sequence[Contact]]
"""Defences with the ``route`` seam: may drop and reorder candidates, never add."""


QUERIES_PER_SIBLING = 8
QUERIES_MAX = 32
"""A path asks at most 32 + 8 * count: colluders can invent nearer contacts without end."""
CONTACTS_MAX = 64
"""A path remembers at most 64 + 8 * count contacts beside those that it asked."""


@dataclass(slots=True)
class _Shared:
    """What all paths of a look-up know: ids that one of them asked, contacts that were silent."""

    used: set[NodeId] = field(default_factory=set)
    silent: set[Contact] = field(default_factory=set)


class _Path:
    """One of the d searches: what it knows, asked and heard."""

    def __init__(self, target: NodeId, count: int, alpha: int, shared: _Shared) -> None:
        self._target = target
        self._count = count
        self._alpha = alpha
        self._shared = shared
        self._known: dict[NodeId, Contact] = {}
        self._asked: set[NodeId] = set()
        self._in_flight: dict[NodeId, Contact] = {}
        self._late: set[NodeId] = set()
        self._depth: dict[NodeId, int] = {}
        self._answered: dict[NodeId, Contact] = {}
        self._failed: set[NodeId] = set()

    def learn(self, contacts: Iterable[Contact], depth: int = 0) -> None:
        for contact in contacts:
            if contact.id not in self._failed:
                self._known.setdefault(contact.id, contact)  # hearsay never moves a known contact
                self._depth.setdefault(contact.id, depth)
        if len(self._known) > 8 * self._count + CONTACTS_MAX:
            keep = heapq.nsmallest(4 * self._count, self._known.values(), key=self._distance)
            self._known = {c.id: c for c in keep} | self._in_flight | self._answered
            self._depth = {i: self._depth.get(i, depth) for i in self._known}

    def queries(self) -> list[Contact]:
        room = self._alpha - len(self._in_flight) + len(self._late)
        if room <= 0:
            return []
        found = self.wanted()[:room]
        for contact in found:
            self._asked.add(contact.id)
            self._in_flight[contact.id] = contact
            self._shared.used.add(contact.id)
        return found

    def wanted(self) -> list[Contact]:
        """Return whom to ask among the closest that are its own, or not asked by another."""
        if len(self._asked) >= QUERIES_MAX + QUERIES_PER_SIBLING * self._count:
            return []
        used, silent = self._shared.used, self._shared.silent
        own = (
            contact
            for contact in self._known.values()
            if contact.id in self._asked or (contact.id not in used and contact not in silent)
        )
        nearest = heapq.nsmallest(self._count, own, key=self._distance)
        return [contact for contact in nearest if contact.id not in self._asked]

    def close(self, identifier: NodeId, contacts: Iterable[Contact] | None) -> bool:
        contact = self._in_flight.pop(identifier, None)
        if contact is None:
            return False
        self._late.discard(identifier)
        if contacts is None:
            self._known.pop(identifier, None)
            self._depth.pop(identifier, None)
            self._failed.add(identifier)
            self._shared.used.discard(identifier)
            self._shared.silent.add(contact)
        else:
            self._answered[identifier] = contact
            self.learn(contacts, self.depth(identifier) + 1)
        return True

    def late(self, identifier: NodeId) -> None:
        if identifier in self._in_flight:
            self._late.add(identifier)

    def depth(self, identifier: NodeId) -> int:
        return self._depth.get(identifier, 0)

    @property
    def answered(self) -> Iterable[Contact]:
        return self._answered.values()

    @property
    def is_waiting(self) -> bool:
        return bool(self._in_flight)

    def _distance(self, contact: Contact) -> int:
        return contact.id ^ self._target


class Lookup:
    """Search for the ``count`` contacts closest to ``target`` that answer.

    ``done`` when on every path the closest ``count`` known contacts have answered or failed, or the
    path has asked as many as it may.
    """

    def __init__(
        self,
        target: NodeId,
        start: Sequence[Contact],
        *,
        count: int,
        alpha: int,
        disjoint_paths: int = 1,
        keep: Filter = lambda target, contacts: contacts,
    ) -> None:
        self.target = target
        self.message_count = 0
        self._count = count
        self._keep = keep
        shared = _Shared()
        self._paths = [_Path(target, count, alpha, shared) for _ in range(disjoint_paths)]
        dealt = sorted(keep(target, start), key=lambda c: c.id ^ target)
        for index, contact in enumerate(dealt):
            self._paths[index % disjoint_paths].learn([contact])

    def queries_to_send(self) -> list[Contact]:
        """Return the contacts to ask now; each is returned once in the life of the look-up."""
        queries = [contact for path in self._paths for contact in path.queries()]
        self.message_count += len(queries)
        return queries

    def handle_nodes(self, sender: NodeId, contacts: Sequence[Contact]) -> None:
        """Take one reply. A reply nobody asked for is dropped: it may be an injection."""
        self._close(sender, self._keep(self.target, contacts))

    def handle_late(self, sender: NodeId) -> None:
        """Take note that an answer takes long: somebody else may be asked meanwhile."""
        for path in self._paths:
            path.late(sender)

    def handle_silence(self, sender: NodeId) -> None:
        """Take note that a contact did not answer."""
        self._close(sender, None)

    def _close(self, sender: NodeId, contacts: Sequence[Contact] | None) -> None:
        any(path.close(sender, contacts) for path in self._paths)

    @property
    def done(self) -> bool:
        """Return whether nothing is in flight and nothing is left to ask."""
        if any(path.is_waiting for path in self._paths):
            return False
        return not any(path.wanted() for path in self._paths)

    def closest(self) -> list[Contact]:
        """Return the contacts that answered on any path, nearest to the target first."""
        answered = (contact for path in self._paths for contact in path.answered)
        return heapq.nsmallest(self._count, answered, key=lambda c: c.id ^ self.target)

    @property
    def hops(self) -> int:
        """Return after how many replies in a row the closest contact was heard of, and asked."""
        nearest = {contact.id for contact in self.closest()[:1]}
        depths = [
            path.depth(contact.id) + 1
            for path in self._paths
            for contact in path.answered
            if contact.id in nearest
        ]
        return max(depths, default=0)
