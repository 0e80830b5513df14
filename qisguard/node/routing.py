"""The routing table: k-buckets that prefer contacts which have lived long (Kademlia, section 2.4).

- A contact enters, and moves, only by a session with it: hearsay is asked, never kept.
- Buckets are told apart by the length of the prefix shared with our own id, which is where the
  tree ends up when a bucket splits only while its range holds our own id: a newcomer is refused
  when its own range has k members, and in no other case. ``tests/test_routing_model.py`` compares
  the two. They differ in one thing, on purpose: a rule that counts within a bucket counts one
  range, where the tree would count in several that have not been split yet, so that its answer
  would depend on the order of arrival and a small network in two subnets could not be held.
- A full bucket keeps its members; the newcomer waits in a bounded replacement cache. It takes the
  place of the member seen least recently only after that one was asked and stayed silent.
- The sibling list (S/Kademlia, section 4.2) holds the contacts nearest to us whatever their buckets
  have room for, so that replicas and neighbours are known even where the tree is unbalanced.
- Admission rules are asked for a newcomer, for a new address, and again when a place gets free.
"""

from bisect import insort
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from qisguard.config import NodeConfig
from qisguard.identity.address import network_of
from qisguard.identity.ids import ID_BITS, NodeId, shared_prefix
from qisguard.identity.puzzle import Draw
from qisguard.node.admission import Neighbours, forget, own_rules
from qisguard.node.buckets import KBucket, Proved
from qisguard.node.contact import NEVER, Contact
from qisguard.node.siblings import SiblingList
from qisguard.plugins import Admits, Rejected


class RoutingTable:
    """The contacts of the node ``own``; ``now`` is in seconds, on a clock that never goes back.

    ``silences`` counts the requests that contacts left unanswered.
    """

    def __init__(self, own: NodeId, config: NodeConfig, admits: Sequence[Admits] = ()) -> None:
        self._own = own
        self._config = config
        self._rules = (*own_rules(own, config), *admits)
        self._siblings = SiblingList(own, config.siblings * config.sibling_factor)
        self._now = NEVER
        self._held: dict[int, Proved] = {}
        self._silent: set[NodeId] = set()
        self.silences = 0
        self._networks: Counter[int] = Counter()
        self._buckets: dict[int, KBucket] = {}
        self._prefixes: list[int] = []  # of all buckets, ascending
        self._looked_up: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Contact]:
        return (proved.contact for proved in self._held.values())

    def __contains__(self, identifier: NodeId) -> bool:
        return identifier in self._held

    def get(self, identifier: NodeId) -> Contact | None:
        """Return the contact with this id, or None when the table does not hold it."""
        proved = self._held.get(identifier)
        return proved.contact if proved else None

    # --- who enters, who leaves ------------------------------------------------------------------
    def heard_from(self, contact: Contact, now: float) -> Rejected | None:
        """Take a contact whose identity a session has proved; return why it was not admitted.

        A known contact moves to the address of this session, unless a rule refuses it there: then
        it keeps the old one.
        """
        if contact.id == self._own:
            return Rejected("own id")
        self._now = max(self._now, now)
        held = self._held.get(contact.id)
        if held and held.contact.address == contact.address:
            self.seen(contact.id, now)
            return None
        bucket = self._bucket(contact.id)
        if refusal := self._refusal(contact, bucket, held):
            return refusal
        proved = Proved(contact, network_of(contact.address[0]), now)
        if held:
            self._move(held, proved, bucket)
            return None
        if len(bucket.members) < self._config.k:
            bucket.members[contact.id] = proved
        elif self._siblings.has_place(contact.id):
            bucket.extra[contact.id] = proved
        else:
            self._wait(proved, bucket)
            return Rejected("bucket full")
        self._hold(proved, bucket)
        if self._siblings.has_place(contact.id):
            self._make_sibling(contact.id)
        return None

    def seen(self, identifier: NodeId, now: float) -> None:
        """Take note that an authentic message came from a contact, in a bucket or waiting."""
        self._now = max(self._now, now)
        bucket = self._buckets.get(shared_prefix(self._own, identifier))
        if bucket is None:
            return
        for part in (bucket.members, bucket.extra, bucket.waiting):
            if proved := part.pop(identifier, None):
                proved.seen = now
                proved.failures = 0
                self._silent.discard(identifier)
                part[identifier] = proved
                return

    def failed(self, contact: Contact) -> None:
        """Take note of a silence; after ``failures_max`` in a row those who wait take the places.

        One may be the network's fault: where a third of the datagrams is lost, four tries fail for
        one live peer in fourteen. Silence at an address that the table does not know says nothing:
        it may be a liar's hearsay.
        """
        bucket = self._buckets.get(shared_prefix(self._own, contact.id))
        if bucket is None:
            return
        if (waiting := bucket.waiting.get(contact.id)) and waiting.contact == contact:
            del bucket.waiting[contact.id]
        held = self._held.get(contact.id)
        if held is None or held.contact != contact:
            return
        held.failures += 1
        self.silences += 1
        if held.failures < self._config.failures_max:
            self._silent.add(contact.id)
            return
        self._siblings.discard(contact.id)
        self._release(held, bucket)
        self._fill_bucket(bucket)
        self._fill_siblings()

    def questions(self, now: float) -> list[Contact]:
        """Return the members to ping before a newcomer may take their place.

        Of each full bucket for which somebody waits, the member seen least recently, once it has
        been silent for longer than ``questionable_after``; each at most once in that period.
        """
        period = self._config.questionable_after
        asked = []
        for bucket in self._buckets.values():
            if bucket.waiting and len(bucket.members) == self._config.k:
                oldest = next(iter(bucket.members.values()))
                if now - oldest.seen > period and now - oldest.asked >= period:
                    oldest.asked = now
                    asked.append(oldest.contact)
        return asked

    # --- who is near -----------------------------------------------------------------------------
    def closest(self, target: NodeId, count: int) -> list[Contact]:
        """Return up to ``count`` contacts, nearest to ``target`` first."""
        found: list[Contact] = []
        for bucket in self._outward(target):
            room = count - len(found)
            if room <= 0:
                break
            distances = [identifier ^ target for identifier in bucket.members]
            if bucket.extra:
                distances += [identifier ^ target for identifier in bucket.extra]
            distances.sort()
            found += [self._held[near ^ target].contact for near in distances[:room]]
        return found

    def answering(self, target: NodeId, count: int) -> list[Contact]:
        """Return what ``closest`` does, less those who left our latest request unanswered."""
        near = self.closest(target, count + len(self._silent))
        return [contact for contact in near if contact.id not in self._silent][:count]

    def doubtful(self, now: float, under_way: Collection[Contact]) -> Contact | None:
        """Return whom to ask next whether it is alive, and note that it was asked.

        Who left our latest request unanswered comes first, then who was heard or asked least
        recently; nobody whose ping is ``under_way``.
        """
        found = min(
            (held for held in self._held.values() if held.contact not in under_way),
            key=lambda held: (not held.failures, max(held.seen, held.asked)),
            default=None,
        )
        if found is None:
            return None
        found.asked = now
        return found.contact

    @property
    def siblings(self) -> tuple[Contact, ...]:
        """Return the contacts nearest to our own id, nearest first."""
        return tuple(self._held[identifier].contact for identifier in self._siblings)

    @property
    def sibling_changes(self) -> int:
        """Return how many entered and left the sibling list so far."""
        return self._siblings.changes

    def is_sibling(self, identifier: NodeId) -> bool:
        """Return whether an id is among the siblings."""
        return identifier in self._siblings

    def take_new_siblings(self) -> list[Contact]:
        """Return who became a sibling since the last call and still is one, nearest first."""
        return [self._held[identifier].contact for identifier in self._siblings.take_entered()]

    def rank(self, place: NodeId) -> int:
        """Return how many contacts are closer to a place than we are.

        They are all those of the ranges in which the place differs from us: at the first bit in
        which such a contact differs from us, it agrees with the place.
        """
        differs = self._own ^ place
        return sum(len(b) for prefix, b in self._buckets.items() if _bit(differs, prefix))

    def size(self) -> float:
        """Return the number of nodes in the network as our neighbours tell it, ourselves included.

        Identities placed near us inflate it: ``Survey`` knows better. The density of the nearest
        ``siblings`` contacts says it; it is never less than what the table holds. The whole list
        would say it with a smaller error if it were complete, which it is not: in 200 nodes that
        had just joined, the median estimate was 45 instead of 191.
        """
        return 1.0 + max(len(self._held), self._siblings.population(self._config.siblings))

    # --- refresh ---------------------------------------------------------------------------------
    def looked_up(self, target: NodeId, now: float) -> None:
        """Take note of a look-up: the range of its target is fresh."""
        self._looked_up[shared_prefix(self._own, target)] = now

    def stale_targets(self, now: float, draw: Draw) -> list[NodeId]:
        """Return a random id in each range that saw no look-up for ``refresh_interval``.

        Ranges are those down to our nearest contact's, the empty ones among them too: after joining
        a node refreshes all that are further away than its neighbour (Kademlia, section 2.3). A
        range stays stale until ``looked_up``; one that never was is stale.
        """
        depth = max((prefix for prefix, bucket in self._buckets.items() if len(bucket)), default=-1)
        return [
            self.random_id(prefix, draw)
            for prefix in range(depth + 1)
            if now - self._looked_up.get(prefix, NEVER) >= self._config.refresh_interval
        ]

    def random_id(self, prefix: int, draw: Draw) -> NodeId:
        """Return a random id that shares exactly ``prefix`` leading bits with ours."""
        free = ID_BITS - 1 - prefix
        low = int.from_bytes(draw(ID_BITS // 8), "big") & ((1 << free) - 1)
        return NodeId((self._own >> free ^ 1) << free | low)

    # --- parts -----------------------------------------------------------------------------------
    def _bucket(self, identifier: NodeId) -> KBucket:
        prefix = shared_prefix(self._own, identifier)
        bucket = self._buckets.get(prefix)
        if bucket is None:
            bucket = self._buckets[prefix] = KBucket()
            insort(self._prefixes, prefix)
        return bucket

    def _outward(self, target: NodeId) -> Iterator[KBucket]:
        """Return buckets so that all of one are nearer to ``target`` than all of the next.

        In the range of prefix p ids differ from ours first at bit p. Where the target does so too,
        they are nearer to it than we are, and the more so the earlier; where it does not, they are
        farther away than we are, and the more so the earlier.
        """
        differs = self._own ^ target
        farther = []
        for prefix in self._prefixes:
            if _bit(differs, prefix):
                yield self._buckets[prefix]
            else:
                farther.append(prefix)
        for prefix in reversed(farther):
            yield self._buckets[prefix]

    def _refusal(
        self, contact: Contact, bucket: KBucket, held: Proved | None = None
    ) -> Rejected | None:
        """Return the first refusal of a contact; ``held`` is what the table has of it."""
        without = held.contact if held else None
        nearby = Neighbours(bucket, bucket.networks, without)
        everybody = Neighbours(self, self._networks, without)
        for rule in self._rules:
            if refusal := rule.admit(contact, nearby, everybody, self._now):
                return refusal
        return None

    def _hold(self, proved: Proved, bucket: KBucket) -> None:
        """Count a contact that found a place."""
        bucket.waiting.pop(proved.contact.id, None)
        self._held[proved.contact.id] = proved
        bucket.networks[proved.network] += 1
        self._networks[proved.network] += 1

    def _release(self, proved: Proved, bucket: KBucket) -> None:
        """Take a contact, which is no sibling any more, out of the table."""
        identifier = proved.contact.id
        bucket.members.pop(identifier, None)
        bucket.extra.pop(identifier, None)
        del self._held[identifier]
        self._silent.discard(identifier)
        forget(bucket.networks, proved.network)
        forget(self._networks, proved.network)

    def _move(self, held: Proved, moved: Proved, bucket: KBucket) -> None:
        """Give a contact its new address."""
        for networks in (bucket.networks, self._networks):
            forget(networks, held.network)
            networks[moved.network] += 1
        held.contact, held.network = moved.contact, moved.network
        self.seen(moved.contact.id, moved.seen)

    def _wait(self, proved: Proved, bucket: KBucket) -> None:
        """Put a contact last of those who wait, so first to be taken; the oldest has to go."""
        bucket.waiting.pop(proved.contact.id, None)
        bucket.waiting[proved.contact.id] = proved
        if len(bucket.waiting) > self._config.k:
            del bucket.waiting[next(iter(bucket.waiting))]

    def _make_sibling(self, identifier: NodeId) -> None:
        """Enter an id; if the farthest has to go and has no place in its bucket, it waits again."""
        farthest = self._siblings.add(identifier)
        if farthest is not None:
            bucket = self._bucket(farthest)
            if proved := bucket.extra.get(farthest):
                self._release(proved, bucket)
                self._wait(proved, bucket)

    def _fill_bucket(self, bucket: KBucket) -> None:
        """Give free places to siblings without one, else to who waits and was seen last.

        A waiting contact that the rules refuse when its turn comes is forgotten.
        """
        while len(bucket.members) < self._config.k:
            if bucket.extra:
                proved = max(bucket.extra.values(), key=lambda extra: extra.seen)
                del bucket.extra[proved.contact.id]
            elif bucket.waiting:
                proved = bucket.waiting.popitem()[1]
                if self._refusal(proved.contact, bucket):
                    continue
                self._hold(proved, bucket)
            else:
                return
            bucket.members[proved.contact.id] = proved
            bucket.members = dict(sorted(bucket.members.items(), key=lambda item: item[1].seen))

    def _fill_siblings(self) -> None:
        """Complete the sibling list with the nearest others that proved themselves."""
        for prefix in reversed(self._prefixes):
            if self._siblings.is_full:
                return
            bucket = self._buckets[prefix]
            others = [i for i in (*bucket.members, *bucket.waiting) if i not in self._siblings]
            for identifier in sorted(others, key=lambda other: other ^ self._own):
                if self._siblings.is_full:
                    return
                if proved := bucket.waiting.pop(identifier, None):
                    if self._refusal(proved.contact, bucket):
                        continue
                    bucket.extra[identifier] = proved
                    self._hold(proved, bucket)
                self._siblings.add(identifier)


def _bit(value: int, index: int) -> int:
    """Return bit ``index`` of an identifier, counted from the most significant."""
    return value >> (ID_BITS - 1 - index) & 1
