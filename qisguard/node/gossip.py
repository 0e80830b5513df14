"""Nodes watch each other's logs: heads are exchanged, compared and proved.

- Whom to exchange with is drawn from the routing table each time: nobody can choose it.
- A page of heads costs its reader at most as many signature checks as it has, and none for what is
  known already.
- Silence is counted and never passed on: nobody is blamed for being down.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from qisguard.errors import QisguardError, TrailError
from qisguard.identity.descriptor import Descriptor, Identity
from qisguard.identity.ids import NodeId, from_bytes, to_bytes
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw
from qisguard.node import cosigning, messages
from qisguard.node.contact import Contact
from qisguard.node.cosigning import OwnLog, prove, split_proof, witness_name
from qisguard.node.messages import AboutLogs, Reply
from qisguard.node.operations import Ask, Operation, Outcome, Surroundings
from qisguard.node.routing import RoutingTable
from qisguard.node.telling import Archive, OpenDescriptor, Telling
from qisguard.plugins import Clock
from qisguard.session.budget import Budgets
from qisguard.trail.checkpoint import LogKey
from qisguard.trail.gossip import Doubt, Head, Logs, Taken
from qisguard.trail.witness import Memory, Witness

T = TypeVar("T")

PAGES_MAX = 16
"""Pages of heads read from one peer in one round."""
DOUBTS_MAX = 16
"""Proofs asked for in one round."""
OWING_MAX = 4
"""Logs that owe a proof and are asked for their newest head in one round."""


@dataclass(frozen=True, slots=True)
class GossipPolicy:
    """What a node does about logs; times in seconds.

    ``witnesses`` cosign our log; ``witnessed`` are the nodes whose logs we cosign. A log that owes
    a proof for longer than ``patience`` is *silent*. Cosignatures are renewed after ``renewal``.
    Of every peer ``requests_per_second`` are answered, ``requests_burst`` at once.
    """

    witnesses: frozenset[NodeId] = frozenset()
    witnessed: frozenset[NodeId] = frozenset()
    interval: float = 60.0
    fan_out: int = 2
    patience: float = 600.0
    renewal: float = 3_600.0
    logs_max: int = 4_096
    evidence_max: int = 1_024
    requests_per_second: float = 2.0
    requests_burst: float = 64.0


@dataclass(frozen=True, slots=True)
class GossipParts:
    """What a node needs in order to gossip: the policy, what it must not forget, and its own log.

    ``memory`` is the witness's, ``archive`` that of evidence; ``own`` is None where no log is kept.
    """

    policy: GossipPolicy
    memory: Memory
    archive: Archive | None = None
    own: OwnLog | None = None


class Gossip:
    """All of this for one node, started at ``now`` seconds."""

    def __init__(
        self,
        parts: GossipParts,
        identity: Identity,
        network: Network,
        open_descriptor: OpenDescriptor,
        table: RoutingTable,
        clock: Clock,
        draw: Draw,
        counts: Counter[str],
        now: float,
    ) -> None:
        policy = parts.policy
        self.policy = policy
        self.logs = Logs(network.id, policy.logs_max, policy.evidence_max)
        self._me = identity.id
        self._own = parts.own
        self._table = table
        self._clock = clock
        self._draw = draw
        self._counts = counts
        witnessed: dict[str, list[LogKey]] = {}
        name = witness_name(network.id, identity.id)
        witness = Witness(name, identity.witness, witnessed, parts.memory)
        self._server = cosigning.Server(witness, witnessed, policy.witnessed, counts)
        self._client = parts.own and cosigning.Client(
            parts.own, network.id, policy.witnesses, policy.renewal, counts
        )
        self._telling = Telling(
            self.logs, parts.archive, open_descriptor, self._choose, witness.frozen.add, counts
        )
        self._budgets = Budgets(policy.requests_per_second, policy.logs_max, policy.requests_burst)
        part = int.from_bytes(draw(4), "big") / (1 << 32)  # nodes do not all work at once
        self._next_round = now + policy.interval * part

    def met(self, peer: Descriptor) -> None:
        """A session opened: follow the log of this peer."""
        if not self.logs.follow(peer):
            self._counts["gossip: log keys changed"] += 1
        if self._client:
            self._client.met(peer)

    def status(self, now: float) -> dict[str, int]:
        """Return what an operator wants to see, in numbers."""
        return {
            "logs": len(self.logs),
            "evidence": len(self.logs.evidence()),
            "silent_logs": len(self.silent(now)),
        }

    def silent(self, now: float) -> list[NodeId]:
        """Return the logs that have owed a proof for longer than ``patience``."""
        return self.logs.silent(now - self.policy.patience)

    # --- what others ask -------------------------------------------------------------------------
    def answer(self, request: AboutLogs, peer: Descriptor, now: float) -> Reply:
        """Return the honest reply to what a peer asks about logs."""
        number = request.number
        if not self._budgets.spend(peer.id, now):
            self._counts["busy: gossip budget"] += 1
            return messages.Refused(number, messages.BUSY)
        try:
            match request:
                case messages.ListHeads():
                    return self._list(request)
                case messages.ProveGrowth():
                    return messages.Growth(number, prove(self._own, request.old, request.new))
                case messages.AddCheckpoint():
                    return self._add(request, peer, now)
                case messages.Accuse():
                    return messages.Stored(number, [self._telling.hear(request)])
        except QisguardError as error:
            self._counts[f"gossip: refused, {type(error).__name__}"] += 1
            return messages.Refused(number, f"gossip: {type(error).__name__}")

    def _list(self, request: messages.ListHeads) -> messages.Heads:
        own = [] if self._own is None else [_on_wire(self._me, Head.of(self._own.head))]
        held = self.logs.heads(request.after, messages.HEADS_MAX + 1)
        page = [_on_wire(node, head) for node, head in held[: messages.HEADS_MAX]]
        return messages.Heads(request.number, own, page, len(held) > messages.HEADS_MAX)

    def _add(
        self, request: messages.AddCheckpoint, peer: Descriptor, now: float
    ) -> messages.Cosigned:
        """Cosign the head of a peer that the policy names; compare it in any case."""
        self._take(peer.id, Head(request.size, request.root, request.signature))
        time = int(self._clock.first_day * 86_400 + now * self._clock.rate)
        reply, evidence = self._server.add(request, peer, self.logs.key_of(peer), time)
        if evidence:
            self._telling.keep(peer.id, evidence)
        return reply

    def _take(self, node: NodeId, head: Head) -> None:
        taken = self.logs.take(node, head)
        if isinstance(taken, Taken):
            self._counts[f"gossip: head {taken.value}"] += 1
            return
        try:
            self._telling.keep(node, taken)
        except TrailError:
            self._counts["gossip: evidence not durable"] += 1

    # --- what this node asks ---------------------------------------------------------------------
    def next_timer(self) -> float:
        """Return when ``step`` has something to do."""
        telling = self._telling.next
        return self._next_round if telling is None else min(self._next_round, telling)

    def step(self, around: Surroundings, now: float) -> Operation[None] | None:
        """Return the operation to start now, if any."""
        if self._next_round <= now:
            self._next_round = now + self.policy.interval
            return self._round(around, now)
        if self._telling.next is not None and self._telling.next <= now:
            return self._telling.step(self.policy.fan_out, now)
        return None

    def _round(self, around: Surroundings, now: float) -> Operation[None]:
        """Read heads of a few contacts, have doubts settled and our head cosigned, remind."""
        cursor = self._draw(len(to_bytes(self._me)))
        peers = {contact.id: contact for contact in self._choose(self.policy.fan_out)}
        for node in self._some(self.logs.owing(), OWING_MAX):
            if contact := around.known(node) or self._table.get(node):
                peers[node] = contact
        asks = [Ask(contact, messages.ListHeads(0, cursor)) for contact in peers.values()]
        pages = dict.fromkeys(peers, 1)
        doubts: dict[tuple[NodeId, int, int], Doubt] = {}
        for doubt in self._some(list(self.logs.doubts()), DOUBTS_MAX):
            if contact := around.known(doubt.log) or self._table.get(doubt.log):
                sizes = doubt.old.size, doubt.new.size
                doubts[doubt.log, *sizes] = doubt
                asks.append(Ask(contact, messages.ProveGrowth(0, *sizes)))
                self.logs.asked(doubt, now)
        waiting = len(asks)
        while waiting:
            sender, request, reply = yield asks
            asks, waiting = [], waiting - 1
            if isinstance(request, messages.ProveGrowth):
                self._settle(doubts[sender, request.old, request.new], reply)
            elif isinstance(request, messages.ListHeads):
                after = self._read(sender, request, reply, cursor)
                if after is not None and pages[sender] < PAGES_MAX:
                    pages[sender] += 1
                    asks, waiting = [Ask(peers[sender], messages.ListHeads(0, after))], waiting + 1
        if self._client:
            yield from self._client.run(around, now)
        yield from self._telling.remind()

    def _some(self, items: Sequence[T], count: int) -> Sequence[T]:
        """Return at most ``count`` items, from a random one on, so that all get their turn."""
        if len(items) <= count:
            return items
        start = int.from_bytes(self._draw(8), "big") % len(items)
        return [*items[start:], *items[:start]][:count]

    def _choose(self, count: int) -> Sequence[Contact]:
        """Return contacts at random."""
        pool = list(self._table)
        chosen: list[Contact] = []
        while pool and len(chosen) < count:
            chosen.append(pool.pop(int.from_bytes(self._draw(8), "big") % len(pool)))
        return chosen

    def _read(
        self, sender: NodeId, request: messages.ListHeads, reply: Outcome, start: bytes
    ) -> bytes | None:
        """Take a page of heads; return after which id the next page begins, or None at the end.

        Pages go round: from a random id to the last one, then from the first one.
        """
        if not isinstance(reply, messages.Heads):
            return None
        for _, size, root, signature in reply.own:
            self._take(sender, Head(size, root, signature))
        last = request.after
        for node, size, root, signature in reply.heads:
            if node <= last:
                self._counts["gossip: heads out of order"] += 1
                return None
            last = node
            if from_bytes(node) != self._me:
                self._take(from_bytes(node), Head(size, root, signature))
        is_second_half = request.after < start
        if reply.more and reply.heads:
            return None if is_second_half and last >= start else last
        return None if is_second_half else b""

    def _settle(self, doubt: Doubt, reply: Outcome) -> None:
        is_proved = isinstance(reply, messages.Growth) and self.logs.prove(
            doubt, split_proof(reply.proof)
        )
        self._counts["gossip: growth proved" if is_proved else "gossip: growth not proved"] += 1


def _on_wire(node: NodeId, head: Head) -> messages.WireHead:
    return (to_bytes(node), head.size, head.root, head.signature)
