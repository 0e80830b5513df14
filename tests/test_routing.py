"""The routing table against a slow model, and the rules about who stays."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qisguard.identity.ids import NodeId, shared_prefix
from qisguard.node.routing import Contact, RoutingTable
from qisguard.plugins import Card, Rejected
from tests.builders import make_contact

OWN = NodeId(1 << 200)
K = 3
Model: TypeAlias = dict[int, tuple[list[Contact], list[Contact]]]

# Few prefixes and few ids, so that buckets fill and the same contact comes back.
identifiers = st.builds(
    lambda bit, low: NodeId(OWN ^ (1 << bit) ^ low),
    st.sampled_from([255, 230, 9]),
    st.integers(0, 7),
)
contacts = st.builds(make_contact, identifiers, st.sampled_from([4_000, 4_001]))


class RoutingMachine(RuleBasedStateMachine):
    """The model keeps two lists for each bucket and searches them from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.table = RoutingTable(OWN, K)
        self.model: Model = {}

    def _lists(self, contact: Contact) -> tuple[list[Contact], list[Contact]]:
        return self.model.setdefault(shared_prefix(OWN, contact.id), ([], []))

    @rule(contact=contacts)
    def hear_from(self, contact: Contact) -> None:
        """Hear from a contact."""
        members, waiting = self._lists(contact)
        refusal = self.table.heard_from(contact, 0.0)
        if contact.id in [c.id for c in members]:
            members[:] = [c for c in members if c.id != contact.id] + [contact]
            assert refusal is None
        elif len(members) < K:
            members.append(contact)
            assert refusal is None
        else:
            waiting[:] = ([c for c in waiting if c.id != contact.id] + [contact])[-K:]
            assert refusal == Rejected("bucket full")

    @rule(contact=contacts)
    def fail(self, contact: Contact) -> None:
        """Lose a contact."""
        members, waiting = self._lists(contact)
        self.table.failed(contact)
        if contact in waiting:
            waiting.remove(contact)
        if contact in members:
            members.remove(contact)
            if waiting:
                members.append(waiting.pop())

    @rule(place=identifiers, count=st.integers(0, 8))
    def closest(self, place: NodeId, count: int) -> None:
        """Sort everybody."""
        everyone = [c for members, _ in self.model.values() for c in members]
        expected = sorted(everyone, key=lambda c: c.id ^ place)[:count]
        assert self.table.closest(place, count) == expected

    @invariant()
    def holds_the_members_of_the_model(self) -> None:
        """Compare whole tables."""
        everyone = {c for members, _ in self.model.values() for c in members}
        assert set(self.table) == everyone
        assert len(self.table) == len(everyone)
        assert all(contact.id in self.table for contact in everyone)


RoutingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRoutingTable = RoutingMachine.TestCase


def test_a_node_is_not_its_own_contact() -> None:
    table = RoutingTable(OWN, K)
    assert table.heard_from(make_contact(OWN), 0.0) == Rejected("own id")
    table.failed(make_contact(OWN))
    assert len(table) == 0


def test_a_full_bucket_keeps_those_it_has_known_for_long() -> None:
    table = RoutingTable(OWN, K)
    old = [make_contact(OWN ^ (1 << 255) ^ index) for index in range(K)]
    for contact in old:
        table.heard_from(contact, 0.0)
    for index in range(10, 60):
        table.heard_from(make_contact(OWN ^ (1 << 255) ^ index), 1.0)
    assert set(table) == set(old)


def test_memory_is_bounded_whoever_comes() -> None:
    table = RoutingTable(OWN, K)
    for index in range(20_000):
        table.heard_from(make_contact(OWN ^ (1 << 250) ^ index), 0.0)
    bucket = table._buckets[5]
    assert (len(bucket.members), len(bucket.waiting)) == (K, K)


def test_silence_at_a_false_address_does_not_remove_a_contact() -> None:
    table = RoutingTable(OWN, K)
    contact = make_contact(77)
    table.heard_from(contact, 0.0)
    table.failed(Contact(contact.id, ("192.0.2.66", 666)))
    assert list(table) == [contact]
    table.failed(contact)
    assert len(table) == 0


@dataclass(frozen=True, slots=True)
class _NoOdds:
    """Refuse odd ids."""

    card = Card("no-odds", "", "", "", "", "", "", "")

    def admit(
        self,
        contact: Contact,
        bucket: Sequence[Contact],
        table: Collection[Contact],
        now: float,
    ) -> Rejected | None:
        return Rejected("odd") if contact.id & 1 else None


@pytest.mark.parametrize(("identifier", "count"), [(2, 1), (3, 0)])
def test_an_admission_rule_decides_before_the_bucket(identifier: int, count: int) -> None:
    table = RoutingTable(OWN, K, [_NoOdds()])
    refusal = table.heard_from(make_contact(identifier), 0.0)
    assert len(table) == count
    assert refusal == (None if count else Rejected("odd"))
