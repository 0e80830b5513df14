"""Evidence about logs, passed on: verified first, told until it is known, kept for ever.

Rumours end with who knows them already (Demers et al., PODC 1987, section 1.4): a node tells each
piece to a few contacts drawn at random, again and again, until ``KNOWN_MAX`` of them knew it. That
leaves out about e^-5 of all nodes, so that from then on one piece a round goes to one contact.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from qisguard.errors import ProofError
from qisguard.identity.descriptor import Descriptor
from qisguard.identity.ids import NodeId
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.operations import Ask, Operation
from qisguard.trail.evidence import Evidence, convict
from qisguard.trail.gossip import Head, Logs

KNOWN_MAX = 4
GOES_MAX = 32
"""Goes in which a piece is told, whatever those who are told say."""
AT_ONCE_MAX = 4
"""Pieces told in one go."""
PAUSE = 1.0
"""Seconds between two goes."""
KNOWN = "known"
"""What a node says to evidence that it has, or has no room for."""

Choose = Callable[[int], Sequence[Contact]]
OpenDescriptor = Callable[[bytes], Descriptor]


class Archive(Protocol):
    """Where evidence is kept."""

    def load(self) -> Iterator[Evidence]:
        """Yield what was kept; raise TrailError when it cannot be read."""

    def keep(self, evidence: Evidence) -> None:
        """Keep one more, durably; raise TrailError when that fails."""


class Telling:
    """The evidence of one node; ``choose`` draws contacts, ``frozen`` is told whose log it is."""

    def __init__(
        self,
        logs: Logs,
        archive: Archive | None,
        open_descriptor: OpenDescriptor,
        choose: Choose,
        freeze: Callable[[str], None],
        counts: Counter[str],
    ) -> None:
        self._logs = logs
        self._archive = archive
        self._open = open_descriptor
        self._choose = choose
        self._freeze = freeze
        self._counts = counts
        self._left: dict[NodeId, int] = {}
        self._goes: Counter[NodeId] = Counter()
        self._turn = 0
        self.next: float | None = None
        for evidence in archive.load() if archive else ():
            if evidence.descriptor is None:
                raise ProofError("evidence: names no node")
            logs.keep(open_descriptor(evidence.descriptor).id, evidence)
            freeze(evidence.key.name)

    def hear(self, request: messages.Accuse) -> str:
        """Take what a peer tells; return why it is not kept, or an empty string.

        Raises:
            DecodeError, IdentityError, ProofError: it is no evidence.
            TrailError: it is told on, but could not be made durable here.
        """
        descriptor = self._open(request.descriptor)
        if descriptor.id in self._logs.evidence():
            return KNOWN
        key = self._logs.key_of(descriptor)
        one = Head(request.size, request.root, request.signature).note(key)
        other = Head(request.size, request.other_root, request.other_signature).note(key)
        evidence = convict(key, one.encode(), other.encode(), descriptor.signed)
        return "" if self.keep(descriptor.id, evidence) else KNOWN

    def keep(self, node: NodeId, evidence: Evidence) -> bool:
        """Keep evidence that was verified, and begin to tell it; return whether it is new."""
        if not self._logs.keep(node, evidence):
            return False
        self._freeze(evidence.key.name)
        self._counts["gossip: evidence"] += 1
        self._left[node] = KNOWN_MAX
        self.next = self.next or 0.0
        if self._archive:
            self._archive.keep(evidence)
        return True

    def step(self, fan_out: int, now: float) -> Operation[None]:
        """Return the operation that tells what is new."""
        told = list(self._left)[:AT_ONCE_MAX]
        for node in told:
            self._goes[node] += 1
            if self._goes[node] == GOES_MAX:
                del self._left[node], self._goes[node]
        self.next = now + PAUSE if self._left else None
        return self._tell(told, fan_out)

    def remind(self) -> Operation[None]:
        """Tell one piece, the next one each time, to one contact."""
        if known := list(self._logs.evidence()):
            self._turn += 1
            yield from self._tell([known[self._turn % len(known)]], 1)

    def _tell(self, nodes: Sequence[NodeId], fan_out: int) -> Operation[None]:
        about: dict[bytes, NodeId] = {}
        asks: list[Ask] = []
        for node in nodes:
            request = _accuse(self._logs.evidence()[node])
            about[request.descriptor] = node
            asks += [Ask(c, request) for c in self._choose(fan_out) if c.id != node]
        waiting = len(asks)
        while waiting:
            _, request_, reply = yield asks
            asks, waiting = [], waiting - 1
            if isinstance(request_, messages.Accuse) and isinstance(reply, messages.Stored):
                self._told(about[request_.descriptor], reply)

    def _told(self, node: NodeId, reply: messages.Stored) -> None:
        """Count who knew already."""
        self._counts["gossip: evidence told"] += 1
        if reply.reasons == [KNOWN] and node in self._left:
            self._left[node] -= 1
            if not self._left[node]:
                del self._left[node], self._goes[node]


def _accuse(evidence: Evidence) -> messages.Accuse:
    one, other = (Head.of(note) for note in evidence.notes)
    signed = evidence.descriptor or b""
    return messages.Accuse(
        0, one.size, one.root, one.signature, other.root, other.signature, signed
    )
