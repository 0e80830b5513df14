"""What a routing table knows of one range of ids: members, siblings without a place, who waits."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from qisguard.identity.ids import NodeId
from qisguard.node.contact import NEVER, Contact


@dataclass(slots=True, eq=False)
class Proved:
    """A contact that a session proved: one object, shared by its bucket and the sibling list.

    ``seen`` is when an authentic message last came from it and ``asked`` when it was last named as
    a question, in seconds; ``network`` is the number of its /24 or /48; ``failures`` counts the
    silences since it was last heard.
    """

    contact: Contact
    network: int
    seen: float
    asked: float = NEVER
    failures: int = 0


@dataclass(slots=True)
class KBucket:
    """What is known of one range of ids, each part from the one seen least recently to the last.

    ``members`` are at most k. ``extra`` are siblings that find no place among them. ``waiting``
    are not held: they proved themselves too late. ``networks`` counts the held ones.
    """

    members: dict[NodeId, Proved] = field(default_factory=dict)
    extra: dict[NodeId, Proved] = field(default_factory=dict)
    waiting: dict[NodeId, Proved] = field(default_factory=dict)
    networks: Counter[int] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.members) + len(self.extra)

    def __iter__(self) -> Iterator[Contact]:
        for part in (self.members, self.extra):
            for proved in part.values():
                yield proved.contact
