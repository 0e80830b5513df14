"""The routing table: k-buckets that prefer contacts which have lived long (Kademlia, section 2.4).

- A contact enters only after a session with it: hearsay is asked, never kept.
- Buckets are told apart by the length of the prefix shared with our own id, which is where the
  tree ends up when a bucket splits only while its range holds our own id.
- A full bucket keeps its members; the newcomer waits in a bounded replacement cache until one dies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qisguard.identity.descriptor import Address
from qisguard.identity.ids import NodeId, shared_prefix
from qisguard.plugins import Admits, Rejected


@dataclass(frozen=True, slots=True)
class Contact:
    """An id and the address it is said, or known, to have."""

    id: NodeId
    address: Address


@dataclass(slots=True)
class KBucket:
    """Members from the one seen least recently to the one seen last, and those who wait."""

    members: dict[NodeId, Contact] = field(default_factory=dict)
    waiting: dict[NodeId, Contact] = field(default_factory=dict)


class RoutingTable:
    """The contacts of the node ``own``."""

    def __init__(self, own: NodeId, k: int, admits: Sequence[Admits] = ()) -> None:
        self._own = own
        self._k = k
        self._admits = admits
        self._buckets: dict[int, KBucket] = {}

    def __len__(self) -> int:
        return sum(len(bucket.members) for bucket in self._buckets.values())

    def __iter__(self) -> Iterator[Contact]:
        for bucket in self._buckets.values():
            yield from bucket.members.values()

    def __contains__(self, identifier: NodeId) -> bool:
        bucket = self._buckets.get(shared_prefix(self._own, identifier))
        return bucket is not None and identifier in bucket.members

    def heard_from(self, contact: Contact, now: float) -> Rejected | None:
        """Take a contact whose identity a session has proved; return why it was not admitted."""
        if contact.id == self._own:
            return Rejected("own id")
        bucket = self._buckets.setdefault(shared_prefix(self._own, contact.id), KBucket())
        if bucket.members.pop(contact.id, None):
            bucket.members[contact.id] = contact
            return None
        for rule in self._admits:
            if refusal := rule.admit(contact, tuple(bucket.members.values()), tuple(self), now):
                return refusal
        if len(bucket.members) < self._k:
            bucket.members[contact.id] = contact
            return None
        bucket.waiting.pop(contact.id, None)
        bucket.waiting[contact.id] = contact
        if len(bucket.waiting) > self._k:
            del bucket.waiting[next(iter(bucket.waiting))]
        return Rejected("bucket full")

    def failed(self, contact: Contact) -> None:
        """Remove a contact that stayed silent; of those who wait the one seen last takes its place.

        Silence at an address that the table does not know says nothing: it may be a liar's hearsay.
        """
        bucket = self._buckets.get(shared_prefix(self._own, contact.id))
        if bucket is None:
            return
        if bucket.waiting.get(contact.id) == contact:
            del bucket.waiting[contact.id]
        if bucket.members.get(contact.id) != contact:
            return
        del bucket.members[contact.id]
        if bucket.waiting:
            promoted = bucket.waiting.popitem()[1]
            bucket.members[promoted.id] = promoted

    def closest(self, target: NodeId, count: int) -> list[Contact]:
        """Return up to ``count`` contacts, nearest to ``target`` first."""
        return sorted(self, key=lambda contact: contact.id ^ target)[:count]
