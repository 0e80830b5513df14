"""What one node knows of other nodes' logs, and what of that contradicts itself.

- A head counts when its log signed it with the key that the log's node names in its descriptor; who
  brought it does not matter.
- The first head of a log is taken as it is (*anchor*); of every other the log itself must prove
  that it continues the anchor, or that the anchor continues it.
- Two signed roots of one size are evidence, and the log is frozen: nothing of it is taken any more.
- A log that does not prove in time is *silent*. That is no evidence: it may be down, or slow.
- Memory is bounded: logs, heads of a log, evidence; who comes late to a full place stays outside.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from qisguard.errors import DecodeError, ProofError
from qisguard.identity.descriptor import Descriptor
from qisguard.identity.ids import NodeId
from qisguard.identity.keys import SIGNATURE_SIZE, verify
from qisguard.trail.checkpoint import NO_TAG, Checkpoint, Line, LogKey, origin_of
from qisguard.trail.evidence import Evidence, convict
from qisguard.trail.merkle import EMPTY_ROOT, verify_consistency

DOUBTS_MAX = 8
"""Heads of one log that wait for proof; more are only compared."""
SEEN_MAX = 32
"""Heads of one log that others are compared with, the newest: two histories meet in one of them."""


@dataclass(frozen=True, slots=True)
class Head:
    """What travels of a checkpoint whose log is known: size, root, the log's signature."""

    size: int
    root: bytes
    signature: bytes

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Head":
        """Return the head of a checkpoint whose first line is the log's."""
        return cls(checkpoint.size, checkpoint.root, checkpoint.lines[0].signature)

    def note(self, key: LogKey) -> Checkpoint:
        """Return the checkpoint that the log signed."""
        line = Line(key.name, key.id, self.signature)
        return Checkpoint(key.name, self.size, self.root, (line,))


class Taken(StrEnum):
    """What came of a head that somebody showed."""

    NEW = "new"
    KNOWN = "known"
    STRANGE = "log unknown"
    FROZEN = "log frozen"
    FORGED = "signature wrong"
    FULL = "too many to prove"


@dataclass(slots=True)
class Log:
    """One log: its key, what names the key, its anchor, heads seen, and since when it owes proof.

    ``doubts`` has the sizes that are not proved, each with the time at which the log was asked.
    """

    key: LogKey
    descriptor: bytes
    anchor: Head | None = None
    seen: dict[int, Head] = field(default_factory=dict)
    doubts: dict[int, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A pair of heads of one log, by size; the log is to prove that the newer continues the older.

    ``shown`` is the size of the one that is not the anchor.
    """

    log: NodeId
    old: Head
    new: Head
    shown: int


class Logs:
    """All logs that one node of ``network`` follows."""

    def __init__(self, network: bytes, logs_max: int, evidence_max: int) -> None:
        self._network = network
        self._logs_max = logs_max
        self._evidence_max = evidence_max
        self._logs: dict[NodeId, Log] = {}
        self._ids: list[NodeId] = []
        self._evidence: dict[NodeId, Evidence] = {}

    def __len__(self) -> int:
        return len(self._logs)

    def key_of(self, descriptor: Descriptor) -> LogKey:
        """Return the key of the log that a descriptor names."""
        return LogKey(origin_of(self._network, descriptor.id), descriptor.log_key)

    def follow(self, descriptor: Descriptor) -> bool:
        """Follow the log of a node that proved its id; return whether its key is as before.

        A log that changes its key starts anew: what the old key signed is forgotten, because the
        two say nothing about each other.
        """
        key = self.key_of(descriptor)
        log = self._logs.get(descriptor.id)
        if log is None:
            if len(self._logs) >= self._logs_max:
                self._forget_one()
            self._logs[descriptor.id] = Log(key, descriptor.signed)
            insort(self._ids, descriptor.id)
            return True
        if log.key == key:
            log.descriptor = descriptor.signed
            return True
        self._logs[descriptor.id] = Log(key, descriptor.signed)
        return False

    def take(self, node: NodeId, head: Head) -> Taken | Evidence:
        """Take a head of a node's log, whoever showed it; return what came of it.

        Evidence is for the caller to ``keep``; until then the log goes on.
        """
        log = self._logs.get(node)
        if node in self._evidence:
            return Taken.FROZEN
        if log is None:
            return Taken.STRANGE
        held = log.seen.get(head.size)
        if held is not None and held.root == head.root:
            return Taken.KNOWN
        if not _is_signed(head, log.key) or (head.size == 0 and head.root != EMPTY_ROOT):
            return Taken.FORGED
        if held is not None:
            one, other = held.note(log.key).encode(), head.note(log.key).encode()
            return convict(log.key, one, other, log.descriptor)
        _remember(log, head)
        if log.anchor is None:
            log.anchor = head
        elif len(log.doubts) >= DOUBTS_MAX:
            return Taken.FULL
        else:
            log.doubts[head.size] = None
        return Taken.NEW

    def prove(self, doubt: Doubt, proof: tuple[bytes, ...]) -> bool:
        """Take a log's answer to a doubt; return whether it proves that one continues the other."""
        log = self._logs.get(doubt.log)
        if log is None or log.anchor not in (doubt.old, doubt.new):
            return True  # the anchor has moved meanwhile: the doubt is another one now
        try:
            verify_consistency(
                doubt.old.size, doubt.new.size, doubt.old.root, doubt.new.root, proof
            )
        except ProofError:
            return False
        log.doubts.pop(doubt.shown, None)
        log.anchor = doubt.new
        return True

    def doubts(self) -> Iterator[Doubt]:
        """Yield what is not proved, at most two of each log: owed for longest, and the largest."""
        for node, log in self._logs.items():
            owed = [size for size, asked in log.doubts.items() if asked is not None]
            fresh = [size for size, asked in log.doubts.items() if asked is None]
            for size in [*owed[:1], *sorted(fresh)[-1:]]:
                if log.anchor is not None:
                    old, new = sorted((log.anchor, log.seen[size]), key=lambda h: h.size)
                    yield Doubt(node, old, new, size)

    def asked(self, doubt: Doubt, now: float) -> None:
        """The log was asked to prove this at ``now``; others that it owes take their turn."""
        log = self._logs.get(doubt.log)
        if log and doubt.shown in log.doubts:
            asked = log.doubts.pop(doubt.shown)
            log.doubts[doubt.shown] = now if asked is None else asked

    def owing(self) -> list[NodeId]:
        """Return the logs that were asked for a proof and have not given it."""
        return [
            node
            for node, log in self._logs.items()
            if any(asked is not None for asked in log.doubts.values())
        ]

    def silent(self, since: float) -> list[NodeId]:
        """Return the logs that were asked for a proof before ``since`` and have not given it."""
        return [
            node
            for node, log in self._logs.items()
            if any(asked is not None and asked < since for asked in log.doubts.values())
        ]

    def heads(self, after: bytes, count: int) -> list[tuple[NodeId, Head]]:
        """Return anchors of logs whose ids follow ``after``, ascending, less those frozen."""
        start = bisect_right(self._ids, int.from_bytes(after, "big")) if after else 0
        found: list[tuple[NodeId, Head]] = []
        for at in range(start, len(self._ids)):
            node = self._ids[at]
            if (head := self._logs[node].anchor) and node not in self._evidence:
                found.append((node, head))
                if len(found) == count:
                    break
        return found

    def keep(self, node: NodeId, evidence: Evidence) -> bool:
        """Keep evidence that was verified and freeze its log; return whether it was new."""
        if node in self._evidence or len(self._evidence) >= self._evidence_max:
            return False
        self._evidence[node] = evidence
        if log := self._logs.get(node):
            log.anchor, log.seen, log.doubts = None, {}, {}
        return True

    def evidence(self) -> dict[NodeId, Evidence]:
        """Return all evidence, by whose log it is about, oldest first."""
        return self._evidence

    def _forget_one(self) -> None:
        """Forget the log followed for longest that has shown nothing, else the oldest."""
        idle = next((i for i, log in self._logs.items() if log.anchor is None), None)
        gone = next(iter(self._logs)) if idle is None else idle
        del self._logs[gone], self._ids[bisect_left(self._ids, gone)]


def _remember(log: Log, head: Head) -> None:
    """Add a head to those seen, in the place of the one seen first that nothing depends on."""
    if len(log.seen) >= SEEN_MAX:
        kept = {*log.doubts, log.anchor.size if log.anchor else head.size}
        del log.seen[next(size for size in log.seen if size not in kept)]
    log.seen[head.size] = head


def _is_signed(head: Head, key: LogKey) -> bool:
    if len(head.signature) != SIGNATURE_SIZE:
        return False
    try:
        verify(key.public, NO_TAG, head.note(key).text, head.signature)
    except (ProofError, DecodeError):
        return False
    return True
