"""What nodes tell each other about logs: comparing, proving, cosigning, telling, and limits."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import msgspec
import pytest

from qisguard.attacks.two_histories import TwoHistories
from qisguard.config import NodeConfig
from qisguard.errors import ProofError
from qisguard.identity.descriptor import Descriptor, Identity, open_descriptor
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.lab.virtual import VirtualEngine
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.cosigning import prove, witness_name
from qisguard.node.gossip import Gossip, GossipParts, GossipPolicy
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.node.routing import RoutingTable
from qisguard.trail import entries
from qisguard.trail.checkpoint import (
    Line,
    LogKey,
    origin_of,
    parse_checkpoint,
    sign_checkpoint,
)
from qisguard.trail.cosignature import WitnessKey, verify_cosignatures
from qisguard.trail.evidence import EvidenceFiles, check_descriptor, convict, decode_evidence
from qisguard.trail.files import MemoryFiles
from qisguard.trail.gossip import DOUBTS_MAX, SEEN_MAX, Head, Logs, Taken
from qisguard.trail.log import Trail
from qisguard.trail.merkle import consistency_proof, leaf_hash, root
from qisguard.trail.shown import ShownTrail
from qisguard.trail.witness import FileMemory
from tests.builders import (
    CLOCK,
    DAY,
    NETWORK,
    address_of,
    draw,
    make_engine,
    make_identity,
    make_node,
)

LEAVES = [leaf_hash(bytes([n])) for n in range(60)]
FORK = [*LEAVES[:5], *(leaf_hash(b"fork%d" % n) for n in range(55))]
ME, PEER, OTHER = (make_identity(n) for n in (0, 1, 2))


def _describe(identity: Identity, seq: int = 1) -> Descriptor:
    return identity.describe(NETWORK, address_of(9), seq, DAY + 30)


def _head(identity: Identity, size: int, leaves: Sequence[bytes] = LEAVES) -> Head:
    origin = origin_of(NETWORK.id, identity.id)
    return Head.of(sign_checkpoint(origin, size, root(leaves[:size]), identity.log))


def _logs(*identities: Identity, logs_max: int = 10, evidence_max: int = 10) -> Logs:
    logs = Logs(NETWORK.id, logs_max, evidence_max)
    for identity in identities:
        logs.follow(_describe(identity))
    return logs


# --- what is known of logs -----------------------------------------------------------------------
@pytest.mark.rule("N-50")
def test_the_first_head_is_the_anchor_and_the_next_ones_wait_for_proof() -> None:
    logs = _logs(PEER)
    for size in (9, 9, 12, 7):
        logs.take(PEER.id, _head(PEER, size))
    assert [(i, head.size) for i, head in logs.heads(b"", 9)] == [(PEER.id, 9)]
    (doubt,) = logs.doubts()
    assert (doubt.old.size, doubt.new.size) == (9, 12)
    assert logs.prove(doubt, tuple(consistency_proof(LEAVES[:12], 9)))
    (doubt,) = logs.doubts()
    assert (doubt.old.size, doubt.new.size) == (7, 12)
    assert logs.prove(doubt, tuple(consistency_proof(LEAVES[:12], 7)))
    assert not list(logs.doubts())
    assert [head.size for _, head in logs.heads(b"", 9)] == [12]


@pytest.mark.rule("N-51")
def test_two_signed_roots_of_one_size_are_evidence_whoever_showed_them() -> None:
    logs = _logs(PEER)
    logs.take(PEER.id, _head(PEER, 9))
    found = logs.take(PEER.id, _head(PEER, 9, FORK))
    assert not isinstance(found, Taken)
    again = decode_evidence(found.encode())
    assert check_descriptor(again, NETWORK).id == PEER.id
    assert logs.keep(PEER.id, again)
    assert not logs.keep(PEER.id, again)
    assert logs.take(PEER.id, _head(PEER, 20)) is Taken.FROZEN
    assert logs.heads(b"", 9) == []


def test_a_head_that_waits_for_proof_contradicts_as_well_as_the_anchor() -> None:
    logs = _logs(PEER)
    logs.take(PEER.id, _head(PEER, 3))
    logs.take(PEER.id, _head(PEER, 9))
    assert not isinstance(logs.take(PEER.id, _head(PEER, 9, FORK)), Taken)


def test_histories_that_never_meet_in_size_are_a_proof_that_is_owed_and_no_evidence() -> None:
    logs = _logs(PEER)
    logs.take(PEER.id, _head(PEER, 9))
    logs.take(PEER.id, _head(PEER, 12, FORK))
    (doubt,) = logs.doubts()
    logs.asked(doubt, 10.0)
    assert not logs.prove(doubt, tuple(consistency_proof(FORK[:12], 9)))
    assert logs.silent(10.0) == []
    assert logs.silent(10.1) == [PEER.id]
    assert not logs.evidence()


@pytest.mark.parametrize(
    ("head", "taken"),
    [
        (replace(_head(PEER, 9), size=10), Taken.FORGED),
        (replace(_head(PEER, 9), root=bytes(32)), Taken.FORGED),
        (_head(OTHER, 9), Taken.FORGED),
        (replace(_head(PEER, 9), signature=b""), Taken.FORGED),
        (_head(PEER, 9), Taken.NEW),
    ],
)
def test_a_head_counts_when_its_log_signed_it(head: Head, taken: Taken) -> None:
    logs = _logs(PEER)
    assert logs.take(PEER.id, head) is taken
    assert logs.take(OTHER.id, _head(OTHER, 9)) is Taken.STRANGE


def test_a_signed_empty_tree_with_a_root_is_no_tree() -> None:
    origin = origin_of(NETWORK.id, PEER.id)
    logs = _logs(PEER)
    wrong = Head.of(sign_checkpoint(origin, 0, bytes(32), PEER.log))
    assert logs.take(PEER.id, wrong) is Taken.FORGED


@pytest.mark.rule("N-50")
def test_what_waits_for_proof_is_bounded_and_still_compared() -> None:
    logs = _logs(PEER)
    logs.take(PEER.id, _head(PEER, 9))
    sizes = range(10, 10 + DOUBTS_MAX)
    assert {logs.take(PEER.id, _head(PEER, size)) for size in sizes} == {Taken.NEW}
    assert logs.take(PEER.id, _head(PEER, 40)) is Taken.FULL
    for size in range(20, 60):
        assert logs.take(PEER.id, _head(PEER, size)) in (Taken.FULL, Taken.KNOWN)
    kept = [size for size in range(1, 60) if logs.take(PEER.id, _head(PEER, size)) is Taken.KNOWN]
    assert len(kept) <= SEEN_MAX
    assert not isinstance(logs.take(PEER.id, _head(PEER, 10, FORK)), Taken)


def test_a_log_with_another_key_starts_anew() -> None:
    logs = _logs(PEER)
    logs.take(PEER.id, _head(PEER, 9))
    assert logs.follow(_describe(PEER, 2))
    changed = replace(PEER, log=OTHER.tls)
    assert not logs.follow(_describe(changed, 3))
    assert logs.heads(b"", 9) == []
    assert logs.take(PEER.id, _head(PEER, 9, FORK)) is Taken.FORGED


def test_logs_and_evidence_are_bounded() -> None:
    logs = _logs(*(make_identity(n) for n in range(20)), logs_max=5, evidence_max=1)
    assert len(logs) == 5
    key = LogKey(origin_of(NETWORK.id, PEER.id), PEER.log.public)
    notes = [_head(PEER, 9, leaves).note(key).encode() for leaves in (LEAVES, FORK)]
    evidence = convict(key, notes[0], notes[1], _describe(PEER).signed)
    assert logs.keep(PEER.id, evidence)
    assert not logs.keep(OTHER.id, evidence)


def test_proofs_of_the_largest_logs_fit_a_message() -> None:
    """From any size to size n a proof has at most the hashes that this bound allows."""
    for size in range(1, 60):
        longest = max(len(consistency_proof(LEAVES[:size], old)) for old in range(size + 1))
        assert longest <= (size - 1).bit_length() + 1
    assert (2**31 - 1).bit_length() + 1 == messages.PROOF_HASHES_MAX


# --- one node asked by hand ----------------------------------------------------------------------
def _shown(identity: Identity, count: int = 0) -> tuple[Trail, ShownTrail]:
    public = MemoryFiles()
    origin = origin_of(NETWORK.id, identity.id)
    trail = Trail.create(public, MemoryFiles(), origin, identity.log)
    _grow(trail, count)
    return trail, ShownTrail(trail, public)


def _grow(trail: Trail, count: int) -> None:
    for number in range(trail.size, trail.size + count):
        trail.append(entries.hold(DAY, [number.to_bytes(32, "big")]))
    trail.checkpoint()


def _gossip(parts: GossipParts, identity: Identity = ME) -> Gossip:
    return Gossip(
        parts,
        identity,
        NETWORK,
        partial(open_descriptor, network=NETWORK),
        RoutingTable(identity.id, NodeConfig()),
        CLOCK,
        draw("gossip"),
        Counter(),
        0.0,
    )


def _add(identity: Identity, old: int, new: int, leaves: Sequence[bytes]) -> messages.AddCheckpoint:
    head = _head(identity, new, leaves)
    proof = b"".join(consistency_proof(leaves[:new], old))
    return messages.AddCheckpoint(1, old, proof, new, head.root, head.signature)


@pytest.mark.rule("W-43")
def test_a_node_cosigns_what_its_policy_names_and_nothing_else() -> None:
    gossip = _gossip(
        GossipParts(GossipPolicy(witnessed=frozenset({PEER.id})), FileMemory(MemoryFiles()))
    )
    reply = gossip.answer(_add(PEER, 0, 9, LEAVES), _describe(PEER), 5.0)
    assert isinstance(reply, messages.Cosigned)
    key = LogKey(origin_of(NETWORK.id, PEER.id), PEER.log.public)
    witness = WitnessKey(witness_name(NETWORK.id, ME.id), ME.witness.public)
    line = Line(witness.name, witness.id, reply.cosignature)
    note = _head(PEER, 9).note(key)
    (said,) = verify_cosignatures(replace(note, lines=(*note.lines, line)), [witness])
    assert said.time == DAY * 86_400 + 5
    stranger = gossip.answer(_add(OTHER, 0, 9, LEAVES), _describe(OTHER), 5.0)
    assert isinstance(stranger, messages.Cosigned)
    assert (stranger.status, stranger.cosignature) == (404, b"")


@pytest.mark.rule("W-43")
@pytest.mark.parametrize(
    ("request_", "status", "size"),
    [
        (_add(PEER, 9, 20, LEAVES), 200, 20),
        (_add(PEER, 0, 20, LEAVES), 409, 9),
        (_add(PEER, 9, 20, FORK), 422, 0),
        (_add(PEER, 9, 9, FORK), 409, 9),
    ],
)
def test_the_statuses_are_those_of_the_http_form(
    request_: messages.AddCheckpoint, status: int, size: int
) -> None:
    files = MemoryFiles()
    policy = GossipPolicy(witnessed=frozenset({PEER.id}))
    archive = EvidenceFiles(files)
    gossip = _gossip(GossipParts(policy, FileMemory(MemoryFiles()), archive))
    gossip.met(_describe(PEER))
    gossip.answer(_add(PEER, 0, 9, LEAVES), _describe(PEER), 0.0)
    reply = gossip.answer(request_, _describe(PEER), 0.0)
    assert isinstance(reply, messages.Cosigned)
    assert (reply.status, reply.size) == (status, size) or (status == 409 and reply.status == 403)
    is_split = request_.size == 9
    assert len(list(archive.load())) == is_split
    again = _gossip(GossipParts(policy, FileMemory(MemoryFiles()), archive))
    assert (PEER.id in again.logs.evidence()) == is_split
    after = again.answer(_add(PEER, 0, 9, LEAVES), _describe(PEER), 0.0)
    assert isinstance(after, messages.Cosigned)
    assert after.status == (403 if is_split else 200)


def test_a_witness_that_cannot_remember_does_not_cosign() -> None:
    class Full(MemoryFiles):
        """A disk without room."""

        def write(self, files: object) -> None:
            """Fail."""
            raise OSError(28, "No space left on device")

    gossip = _gossip(GossipParts(GossipPolicy(witnessed=frozenset({PEER.id})), FileMemory(Full())))
    reply = gossip.answer(_add(PEER, 0, 9, LEAVES), _describe(PEER), 0.0)
    assert reply == messages.Refused(1, "gossip: TrailError")


@pytest.mark.rule("W-44")
def test_evidence_is_verified_before_it_is_kept_or_passed_on() -> None:
    gossip = _gossip(GossipParts(GossipPolicy(), FileMemory(MemoryFiles())))
    one, other = _head(PEER, 9), _head(PEER, 9, FORK)
    described = _describe(PEER).signed
    good = messages.Accuse(1, 9, one.root, one.signature, other.root, other.signature, described)
    forger = make_identity(5)
    forged = _head(replace(PEER, log=forger.log), 9, FORK)
    bad = [
        replace_message(good, size=10),
        replace_message(good, other_root=good.root, other_signature=good.signature),
        replace_message(good, other_signature=bytes(64)),
        replace_message(good, other_root=forged.root, other_signature=forged.signature),
        replace_message(good, descriptor=_describe(OTHER).signed),
        replace_message(good, descriptor=described[:-1] + b"\0"),
        replace_message(good, descriptor=b""),
    ]
    for request in bad:
        assert isinstance(gossip.answer(request, _describe(OTHER), 0.0), messages.Refused)
    assert not gossip.logs.evidence()
    assert gossip.next_timer() > 0.0
    assert gossip.answer(good, _describe(OTHER), 0.0) == messages.Stored(1, [""])
    assert gossip.answer(good, _describe(OTHER), 0.0) == messages.Stored(1, ["known"])
    assert gossip.next_timer() == 0.0


def replace_message(message: messages.Accuse, **change: object) -> messages.Accuse:
    """Return a message with fields changed."""
    return msgspec.structs.replace(message, **change)


@pytest.mark.rule("W-41")
def test_pages_of_heads_ascend_and_the_own_head_comes_with_each() -> None:
    trail, shown = _shown(ME, 5)
    gossip = _gossip(GossipParts(GossipPolicy(), FileMemory(MemoryFiles()), None, shown))
    people = [make_identity(n) for n in range(1, 18)]
    for identity in people:
        gossip.met(_describe(identity))
        gossip.logs.take(identity.id, _head(identity, 4))
    after, seen = b"", list[bytes]()
    for _ in range(4):
        reply = gossip.answer(messages.ListHeads(3, after), _describe(PEER), 0.0)
        assert isinstance(reply, messages.Heads)
        assert reply.own == [(to_bytes(ME.id), 5, trail.head.root, trail.head.lines[0].signature)]
        seen += [head[0] for head in reply.heads]
        if not reply.more:
            break
        after = seen[-1]
    assert seen == sorted(to_bytes(identity.id) for identity in people)


@pytest.mark.rule("W-42")
def test_growth_is_proved_between_any_two_heads_that_were_signed() -> None:
    trail, shown = _shown(ME)
    gossip = _gossip(GossipParts(GossipPolicy(), FileMemory(MemoryFiles()), None, shown))
    heads = [trail.head]
    for count in (3, 1, 252, 1, 300):
        _grow(trail, count)
        heads.append(trail.head)
    rng = random.Random(1)
    for old in heads:
        for new in heads:
            asked = messages.ProveGrowth(rng.getrandbits(32), old.size, new.size)
            reply = gossip.answer(asked, _describe(PEER), 1e9)
            if old.size > new.size:
                assert isinstance(reply, messages.Refused)
                continue
            assert isinstance(reply, messages.Growth)
            logs = _logs(ME)
            logs.take(ME.id, Head.of(old))
            logs.take(ME.id, Head.of(new))
            hashes = [reply.proof[at : at + 32] for at in range(0, len(reply.proof), 32)]
            for doubt in list(logs.doubts()):
                assert logs.prove(doubt, tuple(hashes))
    with pytest.raises(ProofError, match="has not the sizes"):
        prove(shown, 0, trail.size + 1)
    with pytest.raises(ProofError, match="has not the sizes"):
        prove(None, 0, 0)


@pytest.mark.rule("W-40")
def test_a_peer_has_a_budget_of_requests_about_logs() -> None:
    policy = GossipPolicy(requests_per_second=1.0, requests_burst=5.0)
    gossip = _gossip(GossipParts(policy, FileMemory(MemoryFiles())))

    def busy(identity: Identity, now: float) -> int:
        asked = messages.ListHeads(1, b"")
        replies = [gossip.answer(asked, _describe(identity), now) for _ in range(20)]
        return sum(reply == messages.Refused(1, messages.BUSY) for reply in replies)

    assert [busy(PEER, 0.0), busy(PEER, 3.0), busy(OTHER, 3.0)] == [15, 17, 15]


@pytest.mark.rule("W-40")
def test_a_node_without_a_policy_refuses_and_asks_nothing() -> None:
    async def run() -> None:
        engine = make_engine(3)
        plain = engine.add(lambda address: make_node(0, address))
        await engine.finish(engine.act(plain, lambda now: [plain.join([], now)]))
        asking = engine.add(lambda address: make_node(1, address, gossip=_parts(1)[1]))
        await engine.finish(engine.act(asking, lambda now: [asking.join([plain.me], now)]))
        engine.advance(600.0)
        assert not any("gossip" in name for name in plain.counts)
        assert "gossip" not in plain.status(600.0)
        assert plain.counts["requests: ListHeads"] > 5
        assert len(asking.table) == 1

    asyncio.run(run())


# --- nodes on a simulated network ----------------------------------------------------------------
def _parts(number: int, policy: GossipPolicy | None = None) -> tuple[Trail, GossipParts]:
    trail, shown = _shown(make_identity(number), 3)
    archive = EvidenceFiles(MemoryFiles())
    return trail, GossipParts(policy or GossipPolicy(), FileMemory(MemoryFiles()), archive, shown)


async def _crowd(
    engine: VirtualEngine, count: int, policy: GossipPolicy
) -> tuple[list[Node], list[Trail]]:
    nodes: list[Node] = []
    trails: list[Trail] = []
    for number in range(count):
        trail, parts = _parts(number, policy)
        node = engine.add(
            partial(lambda n, p, address: make_node(n, address, gossip=p), number, parts)
        )
        seeds = [other.me for other in nodes[:3]]
        await engine.finish(engine.act(node, partial(_join, node, seeds)))
        nodes.append(node)
        trails.append(trail)
    return nodes, trails


def _join(node: Node, seeds: Sequence[Contact], now: float) -> list[int]:
    return [node.join(seeds, now)]


@pytest.mark.rule("N-53")
def test_witnesses_cosign_over_the_wire_and_the_checkpoint_carries_their_lines() -> None:
    async def run() -> None:
        engine = make_engine(5)
        ids = frozenset(make_identity(n).id for n in range(4))
        everybody = frozenset(make_identity(n).id for n in range(8))
        policy = GossipPolicy(witnesses=ids, witnessed=everybody)
        nodes, trails = await _crowd(engine, 8, policy)
        engine.advance(300.0)
        witnesses = [
            WitnessKey(witness_name(NETWORK.id, node.me.id), node.identity.witness.public)
            for node in nodes[:4]
        ]
        for number, trail in enumerate(trails):
            said = verify_cosignatures(parse_checkpoint(trail.head.encode()), witnesses)
            assert len(said) == (3 if number < 4 else 4), "nobody is its own witness"
        _grow(trails[7], 9)
        assert len(trails[7].head.lines) == 1
        engine.advance(engine.now() + 61.0)
        said = verify_cosignatures(trails[7].head, witnesses)
        assert len(said) == 4
        assert all(0 <= engine.now() - (s.time - DAY * 86_400) < 62 for s in said)
        assert nodes[7].counts["gossip: not cosigned, 409"] == 0

    asyncio.run(run())


@pytest.mark.rule("N-53")
def test_a_log_that_lost_its_end_is_told_by_a_witness() -> None:
    """A trail restored from an old copy: the witness remembers more, and nothing is cosigned."""

    async def run() -> None:
        engine = make_engine(5)
        witness, log = (make_identity(n).id for n in range(2))
        policy = GossipPolicy(witnesses=frozenset({witness}), witnessed=frozenset({log}))
        nodes, trails = await _crowd(engine, 2, policy)
        _grow(trails[1], 20)
        engine.advance(120.0)
        assert len(trails[1].head.lines) == 2
        engine.stop(nodes[1])
        old, parts = _parts(1, policy)
        again = engine.restart(nodes[1], partial(_again, parts))
        await engine.finish(engine.act(again, partial(_join, again, [nodes[0].me])))
        engine.advance(engine.now() + 120.0)
        assert again.counts["gossip: a witness remembers more than our log has"] > 0
        assert len(old.head.lines) == 1

    asyncio.run(run())


def _again(parts: GossipParts, address: tuple[str, int]) -> Node:
    return make_node(1, address, gossip=parts, now=120.0)


@pytest.mark.rule("N-49")
@pytest.mark.rule("N-52")
def test_two_histories_become_evidence_at_every_honest_node() -> None:
    async def run() -> None:
        engine = make_engine(7)
        nodes, trails = await _crowd(engine, 12, GossipPolicy())
        liar = nodes[-1]
        liar.corrupt(TwoHistories())
        for _ in range(10):
            engine.advance(engine.now() + 60.0)
            _grow(trails[0], 2)
        for node in nodes[:-1]:
            assert node.gossip is not None
            assert list(node.gossip.logs.evidence()) == [liar.me.id]
            assert node.gossip.silent(engine.now()) == []
            told = node.status(engine.now())["gossip"]
            assert told == {"logs": 11, "evidence": 1, "silent_logs": 0}

    asyncio.run(run())


@pytest.mark.rule("N-51")
def test_histories_that_never_meet_leave_a_silent_log_and_blame_nobody() -> None:
    async def run() -> None:
        engine = make_engine(7)
        nodes, _ = await _crowd(engine, 12, GossipPolicy(patience=300.0))
        liar = nodes[-1]
        liar.corrupt(TwoHistories(apart=True))
        engine.advance(2_400.0)
        silent = [node.gossip.silent(engine.now()) for node in nodes[:-1] if node.gossip]
        assert not any(node.gossip.logs.evidence() for node in nodes[:-1] if node.gossip)
        assert {i for logs in silent for i in logs} == {liar.me.id}
        assert sum(map(len, silent)) >= 8

    asyncio.run(run())


def test_an_honest_log_that_is_down_is_silent_at_most() -> None:
    async def run() -> None:
        engine = make_engine(9)
        nodes, trails = await _crowd(engine, 8, GossipPolicy(patience=60.0))
        for _ in range(6):
            engine.advance(engine.now() + 60.0)
            _grow(trails[7], 3)
        engine.stop(nodes[7])
        engine.advance(engine.now() + 1_200.0)
        for node in nodes[:7]:
            assert node.gossip is not None
            assert not node.gossip.logs.evidence()
            assert set(node.gossip.silent(engine.now())) <= {nodes[7].me.id}

    asyncio.run(run())


class Liar:
    """Answers what is asked about logs with something else."""

    def __init__(self, lie: Callable[[Request], Reply | None]) -> None:
        self.lie = lie

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Lie if there is a lie for this request."""
        return self.lie(request) or honest

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None


@pytest.mark.rule("N-52")
def test_evidence_that_one_node_has_is_at_all_within_seconds() -> None:
    """The rounds are far apart, so only telling can bring it."""

    async def run() -> None:
        engine, stranger = make_engine(11), make_identity(30)
        nodes, _ = await _crowd(engine, 16, GossipPolicy(interval=1e6))
        one, other = _head(stranger, 9), _head(stranger, 9, FORK)
        accusation = messages.Accuse(
            1, 9, one.root, one.signature, other.root, other.signature, _describe(stranger).signed
        )
        start = engine.now()
        assert nodes[0].gossip is not None
        nodes[0].gossip.answer(accusation, _describe(OTHER), start)
        engine.touch(nodes[0])
        engine.advance(start + 20.0)
        assert all(stranger.id in node.gossip.logs.evidence() for node in nodes if node.gossip)
        told = sum(node.counts["gossip: evidence told"] for node in nodes)
        engine.advance(start + 300.0)
        again = sum(node.counts["gossip: evidence told"] for node in nodes)
        assert told <= again <= 16 * 12, "telling ends"

    asyncio.run(run())


@pytest.mark.rule("W-41")
def test_a_page_out_of_order_ends_what_is_read() -> None:
    def lie(request: Request) -> Reply | None:
        if not isinstance(request, messages.ListHeads):
            return None
        head = (request.after, 4, bytes(32), bytes(64))
        return messages.Heads(request.number, [], [head] * 2 if request.after else [], True)

    async def run() -> None:
        engine = make_engine(11)
        nodes, _ = await _crowd(engine, 2, GossipPolicy(interval=60.0))
        nodes[1].corrupt(Liar(lie))
        engine.advance(engine.now() + 300.0)
        rounds = nodes[0].counts["gossip: heads out of order"]
        assert 4 <= rounds <= 6
        assert nodes[1].counts["requests: ListHeads"] - rounds <= 2, "no further page was asked"

    asyncio.run(run())


@pytest.mark.rule("N-53")
@pytest.mark.parametrize("line", [b"", bytes(72), bytes(8)])
def test_a_line_that_does_not_verify_is_counted_and_not_kept(line: bytes) -> None:
    def lie(request: Request) -> Reply | None:
        if not isinstance(request, messages.AddCheckpoint):
            return None
        return messages.Cosigned(request.number, 200, request.size, line)

    async def run() -> None:
        engine = make_engine(5)
        witness = frozenset({make_identity(0).id})
        nodes, trails = await _crowd(engine, 2, GossipPolicy(witnesses=witness))
        nodes[0].corrupt(Liar(lie))
        engine.advance(300.0)
        assert nodes[1].counts["gossip: cosignatures wrong"] >= 3
        assert len(trails[1].head.lines) == 1

    asyncio.run(run())
