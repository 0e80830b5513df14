"""Cosignatures over the node's own wire: ours for logs of others, those of witnesses for our log.

- Who is asked, and who is cosigned, is in the policy: who is near can be ground out, and changes.
- A log asks in its node's own session, so that origin and key follow from the descriptor there.
- A consistency proof has at most 32 hashes here, enough for 2^31 entries: larger logs use HTTP.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from qisguard.errors import ProofError, QisguardError
from qisguard.identity.descriptor import Descriptor
from qisguard.identity.ids import NodeId
from qisguard.node import messages
from qisguard.node.operations import Ask, Operation, Outcome, Surroundings, find
from qisguard.trail.checkpoint import Checkpoint, Line, LogKey, origin_of
from qisguard.trail.cosignature import WitnessKey, verify_cosignature
from qisguard.trail.evidence import Evidence
from qisguard.trail.gossip import Head
from qisguard.trail.merkle import HASH_SIZE
from qisguard.trail.witness import AddCheckpoint, Status, Witness


class OwnLog(Protocol):
    """The log of this node, as others may see it."""

    @property
    def head(self) -> Checkpoint:
        """Return the last signed checkpoint."""

    def cosign(self, size: int, lines: Sequence[Line]) -> Checkpoint:
        """Publish the checkpoint of ``size`` with lines of witnesses, verified, added to it."""

    def prove_growth(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the consistency proof between two sizes; raise QisguardError if there is none."""


def witness_name(network: bytes, node: NodeId) -> str:
    """Return the name under which a node cosigns."""
    return f"{origin_of(network, node)}/witness"


def prove(own: OwnLog | None, old_size: int, new_size: int) -> bytes:
    """Return the proof that our log grew, as it travels; raise ProofError if it cannot."""
    if own is None or not old_size <= new_size <= own.head.size:
        raise ProofError(f"growth: this log has not the sizes {old_size} and {new_size}")
    hashes = own.prove_growth(old_size, new_size)
    if len(hashes) > messages.PROOF_HASHES_MAX:
        raise ProofError(f"growth: {len(hashes)} hashes, at most {messages.PROOF_HASHES_MAX}")
    return b"".join(hashes)


def split_proof(proof: bytes) -> tuple[bytes, ...]:
    """Return the hashes of a proof; what is no whole hash at its end is refused as one, later."""
    return tuple(proof[at : at + HASH_SIZE] for at in range(0, len(proof), HASH_SIZE))


class Server:
    """Cosigns the logs of ``nodes``."""

    def __init__(
        self,
        witness: Witness,
        logs: dict[str, list[LogKey]],
        nodes: frozenset[NodeId],
        counts: Counter[str],
    ) -> None:
        self._witness = witness
        self._logs = logs
        self._nodes = nodes
        self._counts = counts

    def add(
        self, request: messages.AddCheckpoint, peer: Descriptor, key: LogKey, time: int
    ) -> tuple[messages.Cosigned, Evidence | None]:
        """Return the answer to a peer whose log has ``key``, and evidence if it is in there.

        ``time`` is in seconds since 1970. Raises TrailError if nothing is durable.
        """
        if peer.id in self._nodes:
            self._logs[key.name] = [key]
        head = Head(request.size, request.root, request.signature)
        asked = AddCheckpoint(request.old, split_proof(request.proof), head.note(key))
        answer = self._witness.add(asked, time)
        self._counts[f"gossip: asked to cosign, {answer.status.value}"] += 1
        line = b"" if answer.line is None else answer.line.signature
        evidence = answer.evidence and replace(answer.evidence, descriptor=peer.signed)
        return (
            messages.Cosigned(request.number, answer.status.value, answer.size, line),
            evidence,
        )


class Client:
    """Has the head of ``own`` cosigned by ``witnesses``, and again after ``renewal`` seconds."""

    def __init__(
        self,
        own: OwnLog,
        network: bytes,
        witnesses: frozenset[NodeId],
        renewal: float,
        counts: Counter[str],
    ) -> None:
        self._own = own
        self._network = network
        self._witnesses = witnesses
        self._renewal = renewal
        self._counts = counts
        self._keys: dict[NodeId, WitnessKey] = {}
        self._sizes: dict[NodeId, int] = {}
        self._cosigned: dict[NodeId, tuple[int, float]] = {}

    def met(self, peer: Descriptor) -> None:
        """Remember the key of a witness that proved its id."""
        if peer.id in self._witnesses:
            name = witness_name(self._network, peer.id)
            self._keys[peer.id] = WitnessKey(name, peer.witness_key)

    def run(self, around: Surroundings, now: float) -> Operation[None]:
        """Ask every witness that has not cosigned the head, or not for long."""
        head, lines = self._own.head, list[Line]()
        asks: list[Ask] = []
        for witness in sorted(self._witnesses - {around.me.id}):
            size, time = self._cosigned.get(witness, (-1, now))
            if size == head.size and now - time < self._renewal:
                continue
            contact = around.known(witness)
            if contact is None:
                found = yield from find(around, witness, around.config.k)
                contact = next((c for c in found.contacts if c.id == witness), None)
            if contact and (request := self._request(head, self._sizes.get(witness, 0))):
                asks.append(Ask(contact, request))
        by_id = {ask.contact.id: ask.contact for ask in asks}
        waiting = len(asks)
        while waiting:
            sender, request_, reply = yield asks
            asks, waiting = [], waiting - 1
            if isinstance(request_, messages.AddCheckpoint):
                said = self._take(sender, request_, reply, head, now)
                if isinstance(said, Line):
                    lines.append(said)
                elif said is not None:
                    asks, waiting = [Ask(by_id[sender], said)], waiting + 1
        if lines:
            with self._counted("cosignatures not kept"):
                self._own.cosign(head.size, lines)

    def _request(self, head: Checkpoint, old_size: int) -> messages.AddCheckpoint | None:
        """Return the request to cosign a head from a size on; None if that cannot be proved."""
        if old_size > head.size:
            self._counts["gossip: a witness remembers more than our log has"] += 1
            return None
        proof = b""
        if old_size:
            with self._counted("growth of our own log not provable"):
                proof = prove(self._own, old_size, head.size)
        shown = Head.of(head)
        return messages.AddCheckpoint(0, old_size, proof, shown.size, shown.root, shown.signature)

    def _take(
        self,
        sender: NodeId,
        request: messages.AddCheckpoint,
        reply: Outcome,
        head: Checkpoint,
        now: float,
    ) -> Line | messages.AddCheckpoint | None:
        """Return the line once it is verified, or what to ask instead, or None."""
        key = self._keys.get(sender)
        if not isinstance(reply, messages.Cosigned) or key is None:
            self._counts["gossip: no answer of a witness"] += 1
            return None
        if reply.status == Status.CONFLICT and reply.size > request.old == self._told(sender):
            self._sizes[sender] = reply.size  # only ever larger: a liar cannot keep us asking
            return self._request(head, reply.size)
        if reply.status != Status.COSIGNED:
            self._counts[f"gossip: not cosigned, {reply.status}"] += 1
            return None
        line = Line(key.name, key.id, reply.cosignature)
        with self._counted("cosignatures wrong"):
            verify_cosignature(head, line, key)
            self._sizes[sender], self._cosigned[sender] = head.size, (head.size, now)
            self._counts["gossip: cosigned"] += 1
            return line
        return None

    def _told(self, witness: NodeId) -> int:
        """Return the size that a witness is believed to remember."""
        return self._sizes.get(witness, 0)

    @contextmanager
    def _counted(self, what: str) -> Iterator[None]:
        try:
            yield
        except QisguardError:
            self._counts[f"gossip: {what}"] += 1
