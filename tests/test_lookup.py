"""Look-ups: the oracle, disjoint paths, and liars that do their worst."""

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.identity.ids import NodeId
from qisguard.node.contact import Contact
from qisguard.node.lookup import QUERIES_MAX, QUERIES_PER_SIBLING, Lookup
from tests.builders import make_contact

ids = st.integers(1, 2**256 - 1).map(NodeId)
Answer = Callable[[Contact], Sequence[Contact] | None]


def _run(lookup: Lookup, answer: Answer, rng: random.Random | None = None) -> list[Contact]:
    """Ask and answer until nothing is left, in random order if ``rng``; return who was asked."""
    asked: list[Contact] = []
    flight: list[Contact] = []
    while True:
        new = lookup.queries_to_send()
        asked += new
        flight += new
        if not flight:
            assert lookup.done
            return asked
        peer = flight.pop(rng.randrange(len(flight)) if rng else 0)
        nodes = answer(peer)
        if nodes is None:
            lookup.handle_silence(peer.id)
        else:
            lookup.handle_nodes(peer.id, nodes)


@pytest.mark.rule("N-11")
@given(nodes=st.sets(ids, min_size=1, max_size=40), target=ids)
def test_a_look_up_ends_at_the_closest_nodes_of_a_full_network(
    nodes: set[NodeId], target: NodeId
) -> None:
    """Oracle: sort everyone by distance. Every peer here knows everyone."""
    everyone = [make_contact(node) for node in sorted(nodes)]
    lookup = Lookup(target, everyone[:1], count=8, alpha=3)
    _run(lookup, lambda peer: everyone)
    assert lookup.closest() == sorted(everyone, key=lambda c: target ^ c.id)[:8]


@pytest.mark.rule("N-12")
@given(
    nodes=st.sets(ids, min_size=10, max_size=60),
    target=ids,
    seed=st.integers(0, 999),
    paths=st.integers(1, 4),
    silent_ratio=st.sampled_from([0.0, 0.3, 0.9]),
)
@settings(max_examples=60, deadline=None)
def test_a_look_up_always_ends_and_asks_nobody_twice(
    nodes: set[NodeId], target: NodeId, seed: int, paths: int, silent_ratio: float
) -> None:
    rng = random.Random(seed)
    everyone = [make_contact(node) for node in sorted(nodes)]

    def answer(peer: Contact) -> Sequence[Contact] | None:
        if rng.random() < silent_ratio:
            return None
        return rng.sample(everyone, rng.randrange(len(everyone)))

    lookup = Lookup(target, everyone[:4], count=4, alpha=2, disjoint_paths=paths)
    asked = _run(lookup, answer, rng)
    assert len(asked) == len(set(asked)) == lookup.message_count
    assert len({contact.id for contact in asked}) == len(asked)
    assert set(lookup.closest()) <= set(asked)


def test_with_one_path_and_honest_peers_the_k_nearest_of_a_kademlia_network_are_found() -> None:
    rng = random.Random("kademlia")
    everyone = [make_contact(rng.getrandbits(256)) for _ in range(300)]

    def answer(peer: Contact) -> Sequence[Contact]:
        """Every peer knows its own neighbourhood and a few far ones."""
        near = sorted(everyone, key=lambda c: c.id ^ peer.id)[:20]
        far = random.Random(peer.id).sample(everyone, 20)
        return sorted(near + far, key=lambda c: c.id ^ target)[:20]

    for trial in range(10):
        target = NodeId(rng.getrandbits(256))
        lookup = Lookup(target, everyone[trial : trial + 1], count=20, alpha=3)
        _run(lookup, answer, rng)
        assert lookup.closest() == sorted(everyone, key=lambda c: c.id ^ target)[:20]


@pytest.mark.rule("N-12")
def test_a_liar_on_one_path_does_not_spoil_another() -> None:
    """The liar names only accomplices; the other path still finds every honest node."""
    target = NodeId(0)
    honest = [make_contact(1_000 + index) for index in range(8)]
    liar = make_contact(999)
    accomplices = [make_contact(1 + index) for index in range(100)]

    def answer(peer: Contact) -> Sequence[Contact]:
        return honest if peer in honest else accomplices[:20]

    lookup = Lookup(target, [liar, honest[0]], count=8, alpha=2, disjoint_paths=2)
    asked = _run(lookup, answer)
    assert set(honest) <= set(asked)


@pytest.mark.rule("N-13")
def test_a_liar_cannot_burn_honest_ids_with_false_addresses() -> None:
    """It names the honest nodes at dead addresses before the honest path meets them."""
    target = NodeId(0)
    honest = [make_contact(100 + index) for index in range(6)]
    liar, guide = make_contact(98), make_contact(99)
    false = [Contact(contact.id, ("192.0.2.66", 666)) for contact in honest]

    def answer(peer: Contact) -> Sequence[Contact] | None:
        if peer in false:
            return None
        return false if peer == liar else honest

    lookup = Lookup(target, [liar, guide], count=8, alpha=1, disjoint_paths=2)
    _run(lookup, answer)
    assert set(honest) <= set(lookup.closest())


@pytest.mark.rule("N-13")
def test_on_one_path_too_honest_ids_are_found_behind_false_addresses() -> None:
    """Five liars name each honest node at a dead address of their own, before its friend does."""
    target = NodeId(0)
    honest = [make_contact(100 + index) for index in range(6)]
    liars = [make_contact(90 + index) for index in range(5)]
    guide = make_contact(99)

    def answer(peer: Contact) -> Sequence[Contact] | None:
        if peer in liars:
            return [Contact(c.id, (f"192.0.2.{liars.index(peer)}", 666)) for c in honest]
        return None if peer.address[0].startswith("192.0.2.") else honest

    lookup = Lookup(target, [*liars, guide], count=12, alpha=1)
    _run(lookup, answer)
    assert set(honest) <= set(lookup.closest())


@pytest.mark.rule("N-13")
def test_the_next_address_of_an_id_is_asked_as_soon_as_one_is_late() -> None:
    true, false = make_contact(1), Contact(NodeId(1), ("192.0.2.66", 666))
    liar, guide = make_contact(8), make_contact(9)
    lookup = Lookup(NodeId(0), [liar, guide], count=3, alpha=2)
    assert lookup.queries_to_send() == [liar, guide]
    lookup.handle_nodes(liar.id, [false])
    assert lookup.queries_to_send() == [false]
    lookup.handle_nodes(guide.id, [true])
    assert lookup.queries_to_send() == []
    lookup.handle_late(true.id)
    assert lookup.queries_to_send() == [true]
    lookup.handle_nodes(true.id, [])
    assert true in lookup.closest()
    lookup.handle_silence(true.id)
    assert lookup.done


@pytest.mark.rule("N-42")
def test_a_refused_contact_is_asked_again_when_somebody_else_names_it() -> None:
    wanted, liar, guide = make_contact(1), make_contact(8), make_contact(9)
    lookup = Lookup(NodeId(0), [liar, guide], count=3, alpha=1)
    assert lookup.queries_to_send() == [liar]
    assert lookup.informants(liar) == []
    lookup.handle_nodes(liar.id, [wanted])
    assert lookup.queries_to_send() == [wanted]
    assert lookup.informants(wanted) == [liar.id]
    lookup.handle_refusal(wanted.id)
    assert lookup.queries_to_send() == [guide]
    lookup.handle_nodes(guide.id, [wanted])
    assert lookup.queries_to_send() == [wanted]
    assert lookup.informants(wanted) == [guide.id], "the liar no longer answers for it"
    lookup.handle_silence(wanted.id)
    assert lookup.done


def test_a_peer_that_answers_late_may_have_been_forgotten_meanwhile() -> None:
    """A hundred nearer contacts arrive while one request is in flight."""
    target = NodeId(0)
    slow, quick = make_contact(10_000), make_contact(10_001)
    lookup = Lookup(target, [slow, quick], count=2, alpha=2)
    assert set(lookup.queries_to_send()) == {slow, quick}
    lookup.handle_nodes(quick.id, [make_contact(1 + index) for index in range(100)])
    lookup.handle_nodes(slow.id, [])
    assert slow in lookup.closest()


@pytest.mark.rule("N-14")
def test_colluders_that_invent_ever_nearer_nodes_cannot_keep_a_look_up_alive() -> None:
    target = NodeId(0)
    invented = 1 << 255

    def answer(peer: Contact) -> Sequence[Contact]:
        nonlocal invented
        invented -= 20
        return [make_contact(invented + index) for index in range(20)]

    for paths in (1, 3):
        lookup = Lookup(
            target, [make_contact((1 << 255) + 1)], count=4, alpha=3, disjoint_paths=paths
        )
        assert len(_run(lookup, answer)) <= paths * (QUERIES_MAX + QUERIES_PER_SIBLING * 4)


def test_replies_nobody_asked_for_are_dropped() -> None:
    lookup = Lookup(NodeId(0), [make_contact(5)], count=4, alpha=1)
    lookup.handle_nodes(NodeId(9), [make_contact(1)])
    lookup.handle_silence(NodeId(9))
    assert lookup.queries_to_send() == [make_contact(5)]
    lookup.handle_nodes(NodeId(5), [])
    lookup.handle_nodes(NodeId(5), [make_contact(1)])
    assert lookup.done


@pytest.mark.rule("N-13")
def test_hearsay_never_moves_a_known_contact() -> None:
    known = make_contact(5)
    lookup = Lookup(NodeId(0), [known, make_contact(9)], count=4, alpha=2)
    _run(lookup, lambda peer: [Contact(known.id, ("192.0.2.66", 666))])
    assert known in lookup.closest()


@pytest.mark.parametrize("paths", [1, 2, 5])
def test_a_look_up_from_nothing_ends_at_once(paths: int) -> None:
    lookup = Lookup(NodeId(0), [], count=4, alpha=2, disjoint_paths=paths)
    assert lookup.done
    assert lookup.queries_to_send() == []
    assert lookup.closest() == []


def test_a_filter_may_drop_candidates_that_peers_name() -> None:
    everyone = [make_contact(1 + index) for index in range(20)]
    lookup = Lookup(
        NodeId(0),
        everyone,
        count=4,
        alpha=2,
        keep=lambda target, contacts: [c for c in contacts if c.id % 2],
    )
    assert all(contact.id % 2 for contact in _run(lookup, lambda peer: everyone))
