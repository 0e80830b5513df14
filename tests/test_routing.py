"""The rules about who stays in a routing table, who is near, and what wants a look-up."""

import random
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId, shared_prefix
from qisguard.node.contact import Contact
from qisguard.node.routing import RoutingTable
from qisguard.plugins import Card, Rejected
from tests.builders import draw, make_contact

OWN = NodeId(1 << 200)
CONFIG = NodeConfig(failures_max=1, k=3, siblings=2, sibling_factor=2, questionable_after=10.0)
NO_SIBLINGS = NodeConfig(failures_max=1, k=3, siblings=1, sibling_factor=1, questionable_after=10.0)


def _in_range(prefix: int, low: int) -> Contact:
    """Return contact number ``low`` of a range, in a network of its own."""
    identifier = NodeId(OWN ^ (1 << (255 - prefix)) ^ low)
    return Contact(identifier, (f"10.{prefix}.{low}.1", 4_000))


def _fill(table: RoutingTable, contacts: Sequence[Contact], now: float = 0.0) -> None:
    for contact in contacts:
        table.heard_from(contact, now)


def _random_table(own: NodeId, count: int, rng: random.Random) -> RoutingTable:
    """Return the table of a node that met its nearest 200 in a network of ``count`` nodes."""
    table = RoutingTable(own, NodeConfig(address_diversity=False))
    others = sorted(rng.getrandbits(256) ^ own for _ in range(count - 1))
    near = [NodeId(distance ^ own) for distance in others[:200]]
    rng.shuffle(near)
    _fill(table, [Contact(identifier, ("10.0.0.1", 4_000)) for identifier in near])
    return table


# --- who stays -----------------------------------------------------------------------------------
def test_a_node_is_not_its_own_contact() -> None:
    table = RoutingTable(OWN, CONFIG)
    assert table.heard_from(make_contact(OWN), 0.0) == Rejected("own id")
    table.failed(make_contact(OWN))
    assert len(table) == 0


@pytest.mark.rule("N-03")
def test_a_full_bucket_keeps_those_it_has_known_for_long() -> None:
    table = RoutingTable(OWN, NO_SIBLINGS)
    old = [_in_range(0, low) for low in range(3)]
    _fill(table, old)
    _fill(table, [_in_range(0, low) for low in range(10, 60)], 1.0)
    assert set(table) == set(old)


def test_memory_is_bounded_whoever_comes() -> None:
    table = RoutingTable(OWN, CONFIG)
    for index in range(20_000):
        contact = Contact(
            NodeId(OWN ^ (1 << 250) ^ index), (f"10.{index >> 8}.{index & 255}.1", 4_000)
        )
        table.heard_from(contact, 0.0)
    bucket = table._buckets[5]
    assert [len(bucket.members), len(bucket.waiting)] == [3, 3]
    assert len(table.siblings) == 4
    assert len(bucket.networks) == len(table._networks) == len(table) <= 7


@pytest.mark.rule("N-04")
def test_silence_at_a_false_address_does_not_remove_a_contact() -> None:
    table = RoutingTable(OWN, CONFIG)
    contact = _in_range(3, 7)
    table.heard_from(contact, 0.0)
    table.failed(Contact(contact.id, ("192.0.2.66", 666)))
    assert list(table) == [contact]
    table.failed(contact)
    assert len(table) == 0


def test_of_those_who_wait_the_one_seen_last_takes_a_free_place() -> None:
    table = RoutingTable(OWN, NO_SIBLINGS)
    members = [_in_range(0, low) for low in range(3)]
    waiting = [_in_range(0, low) for low in range(4, 7)]
    _fill(table, members)
    _fill(table, waiting, 1.0)
    table.seen(waiting[0].id, 2.0)
    table.failed(members[2])
    assert set(table) == {*members[:2], waiting[0]}


@pytest.mark.rule("N-03")
def test_only_the_member_seen_least_recently_is_questioned_and_once_in_a_period() -> None:
    table = RoutingTable(OWN, NO_SIBLINGS)
    members = [_in_range(0, low) for low in range(3)]
    for index, contact in enumerate(members):
        table.heard_from(contact, float(index))
    assert table.questions(50.0) == [], "nobody waits"
    table.heard_from(_in_range(0, 5), 9.0)
    assert table.questions(10.0) == [], "silent for exactly the period"
    assert table.questions(10.5) == [members[0]]
    assert table.questions(20.4) == []
    assert table.questions(20.5) == [members[0]]
    table.seen(members[0].id, 20.6)
    assert table.questions(20.7) == [members[1]]
    table.failed(members[1])
    assert set(table) == {members[0], members[2], _in_range(0, 5)}


def test_a_member_that_answers_stays_and_the_newcomer_goes_on_waiting() -> None:
    table = RoutingTable(OWN, NO_SIBLINGS)
    members = [_in_range(0, low) for low in range(3)]
    _fill(table, members)
    table.heard_from(_in_range(0, 5), 1.0)
    for now in (20.0, 40.0, 60.0):
        for contact in table.questions(now):
            table.seen(contact.id, now)
    assert set(table) == set(members)


@pytest.mark.rule("N-01")
@pytest.mark.rule("N-08")
def test_a_known_contact_moves_by_its_own_session_only_where_the_rules_let_it() -> None:
    table = RoutingTable(OWN, CONFIG)
    crowd = [Contact(_in_range(0, low).id, ("10.9.9.1", 1 + low)) for low in range(2)]
    settled = _in_range(0, 2)
    _fill(table, [*crowd, settled])
    there = Contact(settled.id, ("10.9.9.2", 4_000))
    assert table.heard_from(there, 1.0) == Rejected("network full in bucket")
    assert table.get(settled.id) == settled
    elsewhere = Contact(settled.id, ("10.9.8.2", 4_000))
    assert table.heard_from(elsewhere, 2.0) is None
    assert table.get(settled.id) == elsewhere
    assert elsewhere in table.siblings
    near = Contact(crowd[0].id, ("10.9.9.77", 4_000))
    assert table.heard_from(near, 3.0) is None, "its own place is not counted against it"


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


@pytest.mark.parametrize(("low", "count"), [(2, 1), (3, 0)])
def test_an_admission_rule_decides_before_the_bucket(low: int, count: int) -> None:
    table = RoutingTable(OWN, CONFIG, [_NoOdds()])
    refusal = table.heard_from(_in_range(0, low), 0.0)
    assert len(table) == count
    assert refusal == (None if count else Rejected("odd"))


@pytest.mark.rule("N-08")
def test_a_waiting_contact_that_the_rules_refuse_when_its_turn_comes_is_forgotten() -> None:
    table = RoutingTable(OWN, NO_SIBLINGS)
    members = [_in_range(0, low) for low in range(3)]
    flood = [Contact(_in_range(0, low).id, ("10.9.9.1", low)) for low in range(4, 7)]
    _fill(table, [*members, *flood])
    for contact in members:
        table.failed(contact)
    assert set(table) == {*flood[1:]}, "a third of one network"
    assert table.heard_from(members[0], 2.0) is None, "so a place is free"


# --- who is near ---------------------------------------------------------------------------------
@pytest.mark.rule("N-05")
def test_a_full_bucket_does_not_keep_a_close_neighbour_out() -> None:
    table = RoutingTable(OWN, CONFIG)
    crowd = [_in_range(4, low) for low in range(40, 60)]
    _fill(table, crowd)
    near = _in_range(4, 1)
    assert len(table._buckets[4].members) == 3
    assert table.heard_from(near, 1.0) is None
    assert near.id in table
    assert table.siblings[0] == near
    assert table.closest(near.id, 1) == [near]


@pytest.mark.rule("N-05")
def test_siblings_are_the_nearest_and_the_farthest_makes_room() -> None:
    table = RoutingTable(OWN, CONFIG)
    crowd = [_in_range(prefix, low) for prefix in (0, 1, 4) for low in range(9)]
    random.Random(1).shuffle(crowd)
    _fill(table, crowd)
    expected = sorted(crowd, key=lambda c: c.id ^ OWN)[:4]
    assert table.siblings == tuple(expected)
    table.failed(expected[0])
    assert table.siblings == tuple(sorted(crowd, key=lambda c: c.id ^ OWN)[1:5])


def test_new_siblings_are_told_once_and_only_while_they_are_siblings() -> None:
    table = RoutingTable(OWN, CONFIG)
    first = [_in_range(3, low) for low in range(4)]
    _fill(table, first)
    assert table.take_new_siblings() == first
    assert table.take_new_siblings() == []
    nearer = [_in_range(5, low) for low in range(5)]
    _fill(table, nearer[:4])
    table.failed(nearer[1])
    assert table.take_new_siblings() == [nearer[0], nearer[2], nearer[3], first[0]]


ids = st.integers(0, 2**256 - 1).map(NodeId)


@given(seed=st.integers(0, 10_000), target=ids, count=st.integers(0, 130), near=st.booleans())
@settings(max_examples=60, deadline=None)
def test_walking_buckets_outward_gives_the_order_of_a_sort(
    seed: int, target: NodeId, count: int, near: bool
) -> None:
    rng = random.Random(seed)
    own = NodeId(rng.getrandbits(256))
    table = _random_table(own, rng.choice([1, 2, 30, 400]), rng)
    place = NodeId(own ^ (target >> rng.randrange(20))) if near else target
    everybody = sorted(table, key=lambda contact: contact.id ^ place)
    assert table.closest(place, count) == everybody[:count]
    assert table.rank(place) == sum((c.id ^ place) < (own ^ place) for c in everybody)


# --- how many there are --------------------------------------------------------------------------
def test_a_node_that_knows_nobody_is_alone() -> None:
    table = RoutingTable(OWN, CONFIG)
    assert table.size() == 1.0
    table.heard_from(_in_range(0, 0), 0.0)
    assert table.size() == 2.0


@pytest.mark.parametrize(
    ("count", "median_error", "low", "high"),
    [(50, 0.02, 1.0, 1.5), (500, 0.1, 0.6, 1.9), (5_000, 0.1, 0.6, 1.7)],
)
def test_the_estimated_size_of_a_random_network_is_near_the_true_one(
    count: int, median_error: float, low: float, high: float
) -> None:
    """50 networks each: the error of the median ratio, and where its central 90 % lie.

    The error of one estimate from 20 contacts is 24 %; it is never less than what the table holds.
    """
    ratios = []
    for seed in range(50):
        rng = random.Random(f"size {count} {seed}")
        table = _random_table(NodeId(rng.getrandbits(256)), count, rng)
        ratios.append(table.size() / count)
    assert abs(statistics.median(ratios) - 1.0) <= median_error
    assert sorted(ratios)[2] >= low
    assert sorted(ratios)[47] <= high


# --- refresh -------------------------------------------------------------------------------------
@pytest.mark.rule("N-09")
def test_every_range_down_to_our_nearest_contact_is_refreshed_once_an_interval() -> None:
    table, drawn = RoutingTable(OWN, NodeConfig(refresh_interval=100.0)), draw("refresh")
    assert table.stale_targets(0.0, drawn) == [], "nobody to ask"
    _fill(table, [_in_range(0, 1), _in_range(1, 1), _in_range(4, 1)])
    targets = table.stale_targets(0.0, drawn)
    assert [shared_prefix(OWN, target) for target in targets] == [0, 1, 2, 3, 4], "empty ones too"
    for target in targets:
        table.looked_up(target, 10.0)
    table.looked_up(_in_range(2, 5).id, 60.0)
    assert table.stale_targets(109.0, drawn) == []
    again = table.stale_targets(110.0, drawn)
    assert [shared_prefix(OWN, target) for target in again] == [0, 1, 3, 4]
    assert not {*again} & {*targets}, "random within the range"


def test_refresh_targets_depend_on_nothing_but_the_drawn_bytes() -> None:
    tables = [RoutingTable(OWN, CONFIG) for _ in range(2)]
    for table in tables:
        _fill(table, [_in_range(6, 1)])
    one, other = (table.stale_targets(0.0, draw("same")) for table in tables)
    assert one == other
    assert len(set(one)) == 7


@pytest.mark.rule("N-04")
def test_a_contact_leaves_after_so_many_silences_in_a_row_and_words_between_them_save_it() -> None:
    table = RoutingTable(OWN, NodeConfig(failures_max=2))
    contact = make_contact(OWN ^ 1 << 250)
    table.heard_from(contact, 0.0)
    table.failed(contact)
    table.seen(contact.id, 1.0)
    table.failed(contact)
    assert contact in list(table)
    table.failed(contact)
    assert contact not in list(table)
