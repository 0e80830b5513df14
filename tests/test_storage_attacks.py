"""Attacks on what is stored: each hurts where nothing is done about it, and what helps, helps.

Where the protection is always on, the trial shows that nothing is gained.
"""

from typing import Any

import pytest

from qisguard.attacks import ATTACKS
from tests.scenarios import ratio, trial, value

SMALL: dict[str, Any] = {"network__nodes": 40, "workload__operations": 10}
FEW: dict[str, Any] = {"network__nodes": 40, "workload__operations": 4}


def test_replicas_that_forget_lose_records_that_have_few_replicas() -> None:
    point = {"network__nodes": 60, "workload__operations": 20}
    assert ratio("storage-drop", "clean", "readable", **point) == 1.0
    assert ratio("storage-drop", "attacked", "readable", **point) < 0.95
    assert ratio("storage-drop", "attacked", "stored", **point) == 1.0
    assert ratio("storage-drop", "defended", "readable", **point) == 1.0


def test_the_identities_closest_to_a_key_censor_it_unless_replicas_follow_a_roster() -> None:
    assert ratio("storage-censor", "clean", "readable", **SMALL) == 1.0
    assert ratio("storage-censor", "attacked", "readable", **SMALL) == 0.0
    assert ratio("storage-censor", "defended", "readable", **SMALL) == 1.0
    assert ratio("storage-censor", "guarded", "readable", **SMALL) == 1.0


def test_a_censor_that_comes_after_the_record_does_as_well() -> None:
    assert ratio("storage-censor-after", "attacked", "readable", **SMALL) < 0.5
    assert ratio("storage-censor-after", "defended", "readable", **SMALL) == 1.0


@pytest.mark.long
def test_spam_of_one_network_fills_stores_up_to_the_cap_and_pushes_out_nobody() -> None:
    name = "provider-spam-records"
    assert value(name, "attacked", "store_max", **FEW) > 35
    assert value(name, "defended", "store_max", **FEW) <= 4 * (8 + 1)
    assert ratio(name, "defended", "records_kept", **FEW) > 0.9
    assert ratio(name, "guarded", "readable", **FEW) == 1.0


@pytest.mark.long
def test_a_cap_locks_honest_records_out_where_spam_of_many_networks_came_first() -> None:
    """What the card admits: nothing tells forty networks of spam from forty honest ones."""
    name = "provider-spam-networks"
    assert ratio(name, "attacked", "readable", **FEW) == 1.0
    assert ratio(name, "defended", "readable", **FEW) == 0.0


def test_packets_of_invented_authors_give_way_to_an_issuer_and_to_nobody_off_the_roster() -> None:
    for name, readable in (("provider-spam-packets", 0.0), ("provider-spam-roster", 1.0)):
        assert ratio(name, "attacked", "false_read", **FEW) > 0.9
        assert value(name, "attacked", "store_max", **FEW) > 300
        assert value(name, "defended", "store_max", **FEW) < 70
        assert ratio(name, "defended", "readable", **FEW) == readable


def test_records_in_the_names_of_others_are_never_taken() -> None:
    attacked = trial("index-poisoning", "attacked", attack__identities=2, **FEW)
    assert attacked.ratios["false_accepted"] == (0, 2 * 20 * 3 * 8)
    assert ratio("index-poisoning", "attacked", "readable", attack__identities=2, **FEW) == 1.0


def test_a_swamp_hides_the_provider_from_a_reader_in_a_hurry_and_from_no_other() -> None:
    name = "provider-swamp"
    first = sum(ratio(name, "attacked", "provider_first", seed, **SMALL) for seed in (1, 2))
    assert first / 2 < 0.7
    assert ratio(name, "clean", "provider_first", **SMALL) == 1.0
    assert ratio(name, "attacked", "provider_found", **SMALL) == 1.0
    cost = {
        arm: value(name, arm, "datagrams", **SMALL) for arm in ("clean", "attacked", "defended")
    }
    assert cost["attacked"] > 1.5 * cost["clean"]
    assert cost["defended"] < 1.2 * cost["clean"]


def test_readers_take_no_altered_and_no_invented_packet() -> None:
    attacked = trial("packet-forgery", "attacked", **SMALL)
    clean = trial("packet-forgery", "clean", **SMALL)
    assert attacked.ratios["false_read"] == (0, 10)
    assert attacked.ratios["readable"] == (10, 10)
    assert attacked.values["datagrams"] > clean.values["datagrams"]


def test_old_versions_are_read_where_all_of_few_replicas_lie() -> None:
    point = {"network__nodes": 40, "workload__operations": 20}
    assert ratio("stale-packets", "clean", "readable", **point) == 1.0
    assert ratio("stale-packets", "attacked", "stale_read", **point) > 0.1
    assert ratio("stale-packets", "defended", "stale_read", **point) == 0.0
    assert ratio("stale-packets", "defended", "readable", **point) == 1.0


def test_two_bodies_of_one_number_are_found_out_when_replicas_compare() -> None:
    assert ratio("equivocation", "attacked", "false_accepted") == 1.0
    assert ratio("equivocation", "attacked", "evidence_found") == 0.0
    assert ratio("equivocation", "defended", "evidence_found") == 1.0
    assert "evidence_found" not in trial("equivocation", "clean").ratios


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("provider_spam", {"packets_each": -1}, "packets_each = -1, must be 0 to 100000"),
        ("provider_spam", {"per_second": 0.0}, "per_second = 0.0, must be 0.001 to 100000"),
        ("index_poisoning", {"records_each": 0}, "records_each = 0, must be 1 to 100000"),
        ("provider_swamp", {"invented": 0}, "invented = 0, must be 1 to 100000"),
        ("packet_forgery", {"invented": 29}, "invented = 29, must be 0 to 28"),
        ("equivocation", {"cases": 0}, "cases = 0, must be 1 to 10000"),
        ("cross_network_replay", {"items_each": 0}, "items_each = 0, must be 1 to 100000"),
        ("replay", {"delay": 0.0}, "delay = 0.0, must be 0.001 to 1000000"),
        ("replay", {"most": 0}, "most = 0, must be 1 to 1000000"),
        ("amplification", {"count": 0}, "count = 0, must be 1 to 1000000"),
        ("hello_flood", {"victims": 10_001}, "victims = 10001, must be 0 to 10000"),
        ("request_flood", {"duration": 0.0}, "duration = 0.0, must be 0.001 to 1000000"),
        ("malformed", {"count": 0}, "count = 0, must be 1 to 10000000"),
        ("id_grinding", {"among": 51}, "among = 51, must be 1 to nodes = 50"),
        ("precomputed_ids", {"identities": 0}, "identities = 0, must be 1 to 1000000"),
        ("puzzle_reuse", {"identities": 0}, "identities = 0, must be 1 to 10000000"),
        ("key_dictionary", {"queries": 0}, "queries = 0, must be 1 to 1000000"),
    ],
)
def test_a_parameter_out_of_range_is_named_with_what_is_allowed(
    name: str, parameters: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        ATTACKS[name](**parameters)
    assert str(caught.value) == message
