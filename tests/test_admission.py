"""Who may enter a routing table: ids that were searched for, networks that are full."""

import random

import pytest

from qisguard.config import NodeConfig
from qisguard.identity.address import network_of
from qisguard.identity.ids import NodeId
from qisguard.node.admission import (
    Neighbours,
    SharedPrefixLimit,
    SubnetLimit,
    forget,
    own_rules,
)
from qisguard.node.contact import Contact
from qisguard.node.routing import RoutingTable
from qisguard.plugins import Admits, Rejected

OWN = NodeId(1 << 200)


def _contact(prefix: int, low: int, host: str, port: int = 4_000) -> Contact:
    return Contact(NodeId(OWN ^ (1 << (255 - prefix)) ^ low), (host, port))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.1.2.3", "10.1.2.250", True),
        ("10.1.2.3", "10.1.3.3", False),
        ("2001:db8:1::1", "2001:db8:1:ffff::2", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("::ffff:10.1.2.3", "10.1.2.4", True),
        ("::ffff:10.1.2.3", "::ffff:10.1.3.3", False),
        ("2002:a01:203::1", "10.1.2.4", True),
        ("2002:a01:203::1", "2002:a01:303::1", False),
        ("64:ff9b::10.1.2.3", "10.1.2.4", True),
        ("64:ff9b::10.1.2.3", "64:ff9b::10.1.3.3", False),
        ("::1", "0.0.0.0", False),
    ],
)
def test_a_network_is_a_slash_24_or_48_however_its_addresses_are_written(
    one: str, other: str, same: bool
) -> None:
    assert (network_of(one) == network_of(other)) is same


@pytest.mark.rule("N-06")
def test_an_id_that_was_searched_for_is_refused() -> None:
    table = RoutingTable(OWN, NodeConfig(shared_bits_max=20))
    assert table.heard_from(_contact(20, 0, "10.0.0.1"), 0.0) is None
    assert table.heard_from(_contact(21, 0, "10.0.1.1"), 0.0) == Rejected("id too close")
    assert len(table.siblings) == 1


@pytest.mark.rule("N-07")
def test_one_network_gets_two_places_in_a_bucket_and_ten_in_the_table() -> None:
    table = RoutingTable(OWN, NodeConfig())
    reasons = [
        table.heard_from(_contact(prefix, low, f"10.0.0.{low + 1}", prefix + 1), 0.0)
        for prefix in range(7)
        for low in range(3)
    ]
    full = Rejected("network full in bucket")
    assert reasons == [None, None, full] * 5 + [Rejected("network full in table")] * 6
    assert table.heard_from(_contact(0, 9, "10.0.1.1"), 0.0) is None, "another network"


def test_a_network_finds_its_places_whatever_the_order_of_arrival() -> None:
    for seed in range(10):
        table = RoutingTable(OWN, NodeConfig(subnet_table_max=100))
        crowd = [_contact(prefix, low, "10.0.0.1", low + 1) for prefix in range(7) for low in (1,)]
        random.Random(seed).shuffle(crowd)
        assert [table.heard_from(contact, 0.0) for contact in crowd] == [None] * 7


def test_siblings_without_a_place_in_their_bucket_are_counted_too() -> None:
    table = RoutingTable(OWN, NodeConfig(k=1, failures_max=1))
    assert table.heard_from(_contact(3, 9, "10.0.9.1"), 0.0) is None
    crowd = [_contact(3, low, "10.0.0.1", low + 1) for low in range(4)]
    refusals = [table.heard_from(contact, 0.0) for contact in crowd]
    assert refusals == [None, None, *[Rejected("network full in bucket")] * 2]
    assert len(table.siblings) == 3


def test_a_network_gets_a_place_back_when_one_of_its_contacts_leaves_or_moves() -> None:
    table = RoutingTable(OWN, NodeConfig(failures_max=1))
    crowd = [_contact(0, low, "10.0.0.1", low + 1) for low in range(4)]
    refusals = [table.heard_from(contact, 0.0) for contact in crowd]
    assert [refusal is None for refusal in refusals] == [True, True, False, False]
    table.failed(crowd[0])
    assert table.heard_from(crowd[2], 1.0) is None
    assert table.heard_from(Contact(crowd[1].id, ("10.0.7.1", 1)), 2.0) is None
    assert table.heard_from(crowd[3], 3.0) is None


def test_address_diversity_can_be_lifted_where_all_share_one_address() -> None:
    config = NodeConfig(address_diversity=False)
    table = RoutingTable(OWN, config)
    for low in range(20):
        assert table.heard_from(_contact(0, low, "127.0.0.1", low + 1), 0.0) is None
    assert own_rules(OWN, config) == [SharedPrefixLimit(OWN, 32)]


def test_own_rules_are_those_of_a_defence() -> None:
    rules = own_rules(OWN, NodeConfig())
    assert all(isinstance(rule, Admits) for rule in rules)
    crowd = [_contact(0, low, "10.0.0.1", low + 1) for low in range(3)]
    rule = SubnetLimit(2, 10)
    assert rule.admit(crowd[2], crowd[:1], crowd[:1], 0.0) is None
    assert rule.admit(crowd[2], crowd[:2], crowd[:2], 0.0) == Rejected("network full in bucket")
    assert rule.admit(crowd[2], [], crowd[:2] * 5, 0.0) == Rejected("network full in table")


def test_a_rule_sees_neighbours_without_the_contact_it_decides_about() -> None:
    crowd = [_contact(0, low, "10.0.0.1", low + 1) for low in range(3)]
    network = network_of("10.0.0.1")
    seen = Neighbours(crowd, {network: 3}, crowd[1])
    assert list(seen) == [crowd[0], crowd[2]]
    assert (len(seen), seen[1], seen[:1]) == (2, crowd[2], (crowd[0],))
    assert crowd[1] not in seen
    assert (seen.of_network(network), seen.of_network(7)) == (2, 0)
    assert Neighbours(crowd, {network: 3}, None).of_network(network) == 3


def test_a_network_without_contacts_leaves_no_trace() -> None:
    table = RoutingTable(OWN, NodeConfig(failures_max=1))
    for round_trip in range(3):
        for low in range(15):
            contact = _contact(0, low, f"10.{round_trip}.{low}.1")
            table.heard_from(contact, 0.0)
            table.failed(contact)
    assert not table._networks
    assert not table._buckets[0].networks
    networks = table._networks
    networks[7] += 1
    forget(networks, 7)
    assert not networks
