"""Iterative look-ups over disjoint paths (Kademlia, section 2.3; S/Kademlia, section 4.4).

Sans-IO: the caller sends ``queries_to_send`` and reports each reply, delay or silence. The closest
known contacts are dealt into d paths; a node is asked at most once in the whole look-up, so a liar
spoils only the path that it is on. Several addresses may be named for one id: the one named first
is asked first, the next as soon as that one is late, refused or silent, so that a liar who names
honest ids at false addresses takes them from nobody. And who named an address is remembered, for
they answer for it (``qisguard.session.hearsay``); one that may not be knocked at by their word is
forgotten until somebody else names it.

A path ends when its ``count`` closest known contacts, the target's siblings, have answered or
failed: nothing that a peer claims about itself ends it (S/Kademlia, section 4.2, lets a sibling say
that it is one; a liar would say so at once).
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from qisguard.identity.ids import NodeId
from qisguard.node.contact import Contact

Filter = Callable[[NodeId, Sequence[Contact]], Sequence[Contact]]
"""Defences with the ``route`` seam: may drop and reorder candidates, never add."""


QUERIES_PER_SIBLING = 8
QUERIES_MAX = 32
"""A path asks at most 32 + 8 * count: colluders can invent nearer contacts without end."""
ADDRESSES_MAX = 16
"""A path remembers at most so many addresses of one id that wait to be asked."""
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
        self._others: dict[NodeId, list[Contact]] = {}
        self._informants: dict[Contact, list[NodeId]] = {}
        self._asked: set[NodeId] = set()
        self._ask_count = 0
        self._in_flight: dict[NodeId, list[Contact]] = {}
        self._late: set[NodeId] = set()
        self._depth: dict[NodeId, int] = {}
        self._answered: dict[NodeId, Contact] = {}

    def learn(
        self, contacts: Iterable[Contact], depth: int = 0, informant: NodeId | None = None
    ) -> None:
        for contact in contacts:
            if contact in self._shared.silent:
                continue
            held = self._known.get(contact.id)
            if held is None:
                self._known[contact.id] = contact
                self._depth[contact.id] = depth
            elif contact != held:  # hearsay never moves a contact
                others = self._others.setdefault(contact.id, [])
                if contact not in others and len(others) < ADDRESSES_MAX:
                    others.append(contact)
            if informant is not None:
                self._informants.setdefault(contact, []).append(informant)
        if len(self._known) > 8 * self._count + CONTACTS_MAX:
            self._forget_the_farthest(depth)

    def informants(self, contact: Contact) -> Sequence[NodeId]:
        return self._informants.get(contact, ())

    def queries(self) -> list[Contact]:
        found = []
        for late in sorted(self._late & self._others.keys()):
            if other := self._next_of(late):
                found.append(other)
                self._late.discard(late)
        room = self._alpha - len(self._in_flight) + len(self._late)
        found += self.wanted()[: max(room, 0)]
        for contact in found:
            self._asked.add(contact.id)
            self._ask_count += 1
            self._in_flight.setdefault(contact.id, []).append(contact)
            self._shared.used.add(contact.id)
        return found

    def wanted(self) -> list[Contact]:
        """Return whom to ask among the closest that are its own, or not asked by another."""
        if self._ask_count >= QUERIES_MAX + QUERIES_PER_SIBLING * self._count:
            return []
        used, silent = self._shared.used, self._shared.silent
        asked, target = self._asked, self._target
        own = {
            identifier ^ target: contact
            for identifier, contact in self._known.items()
            if identifier in asked or (identifier not in used and contact not in silent)
        }
        nearest = [own[distance] for distance in sorted(own)[: self._count]]
        return [contact for contact in nearest if contact.id not in asked]

    def close(self, identifier: NodeId, contacts: Iterable[Contact] | None) -> bool:
        if identifier not in self._in_flight:
            return False
        if contacts is None:
            self._shared.silent.add(self._gave_up(identifier, 0))
        else:
            self._late.discard(identifier)
            self._others.pop(identifier, None)
            self._answered[identifier] = self._in_flight.pop(identifier)[-1]
            self.learn(contacts, self.depth(identifier) + 1, identifier)
        return True

    def refuse(self, identifier: NodeId) -> bool:
        if identifier not in self._in_flight:
            return False
        self._ask_count -= 1
        self._informants.pop(self._gave_up(identifier, -1), None)
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

    def _gave_up(self, identifier: NodeId, at: int) -> Contact:
        """Return the contact that is no longer asked; its next address is known instead."""
        flights = self._in_flight[identifier]
        contact = flights.pop(at)
        if flights:
            return contact
        del self._in_flight[identifier]
        self._late.discard(identifier)
        self._asked.discard(identifier)
        self._shared.used.discard(identifier)
        if other := self._next_of(identifier):
            self._known[identifier] = other
        else:
            self._known.pop(identifier, None)
            self._depth.pop(identifier, None)
        return contact

    def _next_of(self, identifier: NodeId) -> Contact | None:
        """Return and forget the next address of an id that is worth a try."""
        others = self._others.pop(identifier, [])
        others = [contact for contact in others if contact not in self._shared.silent]
        if len(others) > 1:
            self._others[identifier] = others[1:]
        return others[0] if others else None

    def _forget_the_farthest(self, depth: int) -> None:
        keep = heapq.nsmallest(4 * self._count, self._known.values(), key=self._distance)
        asked = {i: self._known[i] for i in self._in_flight if i in self._known}
        self._known = {c.id: c for c in keep} | asked | self._answered
        self._depth = {i: self._depth.get(i, depth) for i in self._known}
        self._others = {i: c for i, c in self._others.items() if i in self._known}
        self._informants = {c: i for c, i in self._informants.items() if c.id in self._known}

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
        """Return the contacts to ask now; each that is asked is returned once."""
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

    def handle_refusal(self, sender: NodeId) -> None:
        """Take note that a contact was not asked, because of who named it."""
        any(path.refuse(sender) for path in self._paths)

    def informants(self, contact: Contact) -> Sequence[NodeId]:
        """Return who named a contact; nobody did when the look-up started from it."""
        return [informant for path in self._paths for informant in path.informants(contact)]

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
