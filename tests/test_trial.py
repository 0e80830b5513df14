"""Trials: four arms that share everything but attack and defences, on engines of real nodes."""

import pytest

from qisguard.identity.address import network_of
from qisguard.lab.scenario.loading import Loaded, load_scenario
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.engines import Job, run_job
from qisguard.lab.trial.measured import Measured
from qisguard.lab.trial.people import Addresses, gather

BASE = """
name = "small"
title = "A small network"
[network]
nodes = 30
node = { k = 4, alpha = 2, disjoint_paths = 1, siblings = 4, sibling_factor = 2 }
[workload]
operations = 6
[attack]
name = "look_up_drop"
share = 0.3
arrival = "settled"
[[defenses]]
name = "disjoint_paths"
"""
RECORDS = BASE.replace("[workload]", "[workload]\nkind = 'records'")


def _run(text: str, arm: Arm, seed: int = 1) -> Measured:
    return run_job(Job(text.encode(), {}, arm, seed))


def _loaded(text: str) -> Loaded:
    return load_scenario(text.encode())


def test_a_clean_network_finds_everything_and_nobody_spies() -> None:
    measured = _run(BASE, Arm.CLEAN)
    assert measured.ratios["success"] == (6, 6)
    assert measured.ratios["exposed"] == (0, 6)
    assert measured.ratios["table_bad"][0] == 0
    assert measured.values["hops"] >= 1


def test_a_trial_replays_and_every_seed_and_arm_is_another_trial() -> None:
    digests = {(arm, seed): _run(BASE, arm, seed).digest for arm in Arm for seed in (1, 2)}
    assert len(set(digests.values())) == len(digests)
    assert _run(BASE, Arm.DEFENDED, 2).digest == digests[Arm.DEFENDED, 2]


def test_attackers_hold_their_share_of_tables_and_see_what_they_are_asked() -> None:
    measured = _run(BASE, Arm.ATTACKED)
    bad, entries = measured.ratios["table_bad"]
    assert 0.15 < bad / entries < 0.45
    assert measured.ratios["exposed"][0] > 0


def test_an_attacker_that_is_no_node_counts_as_one_where_tables_hold_it() -> None:
    """It speaks for an identity that exists, at the address where it lives: nothing is false."""
    text = RECORDS.replace("look_up_drop", "index_poisoning")
    text = text.replace("share = 0.3", "identities = 4\nlead = 5")
    measured = _run(text, Arm.ATTACKED)
    bad, entries = measured.ratios["table_bad"]
    assert measured.values["attackers"] == 4
    assert 0 < bad <= 4 * 30
    assert measured.ratios["siblings_bad"][0] > 0
    assert measured.ratios["false_entries"] == (0, entries)
    assert _run(text, Arm.CLEAN).ratios["table_bad"][0] == 0
    joins = _run(text.replace("settled", "joins"), Arm.ATTACKED)
    assert joins.digest == measured.digest  # there is no node that could settle


def test_records_are_published_and_read_by_others() -> None:
    measured = _run(RECORDS, Arm.CLEAN)
    assert measured.ratios["stored"] == measured.ratios["readable"] == (6, 6)
    assert "success" not in measured.ratios


def test_arms_of_one_seed_have_the_same_honest_people() -> None:
    loaded = _loaded(BASE)
    assert gather(loaded, 1, False).honest == gather(loaded, 1, False).honest
    assert gather(loaded, 1, False).honest != gather(loaded, 2, False).honest
    assert len(gather(loaded, 1, False).honest) == 21


def test_a_cold_network_joins_over_the_wire() -> None:
    text = BASE.replace("nodes = 30", "nodes = 12\nstart = 'cold'")
    measured = _run(text, Arm.ATTACKED)
    assert measured.notes == []
    assert measured.ratios["success"][1] == 6
    assert "warm" in _run(BASE, Arm.CLEAN).notes[0]


def test_members_of_a_roster_may_attack_when_they_are_enrolled() -> None:
    text = BASE.replace("nodes = 30", "nodes = 30\norganisations = 5").replace(
        'disjoint_paths"\n', 'roster_routing"\n'
    )
    outside = _run(text, Arm.DEFENDED)
    assert outside.ratios["table_bad"][0] == 0
    inside = _run(text.replace("share = 0.3", "share = 0.3\nenrolled = true"), Arm.DEFENDED)
    assert inside.ratios["table_bad"][0] > 0


def test_nodes_are_replaced_while_others_ask() -> None:
    text = BASE.replace("operations = 6", "operations = 6\npause = 100.0")
    text += "[churn]\nreplaced_ratio = 0.5\nperiod = 600.0\n"
    measured = _run(text, Arm.CLEAN)
    assert measured.ratios["success"][1] == 6
    assert measured.digest != _run(BASE, Arm.CLEAN).digest


def test_a_live_trial_uses_sockets_of_this_machine() -> None:
    text = BASE.replace("title =", 'engine = "live"\ntitle =').replace("nodes = 30", "nodes = 8")
    text = text.replace("look_up_drop", "look_up_misroute")  # nobody waits for who is silent
    measured = _run(text, Arm.ATTACKED)
    assert measured.ratios["success"][1] == 6
    assert measured.digest == ""


@pytest.mark.parametrize("first", [10, 127])
def test_attackers_never_share_a_network_with_honest_nodes(first: int) -> None:
    plan = Addresses(first, 0, 0, 0)
    honest = {network_of(plan.honest(i)) for i in range(600)}
    attackers = {network_of(plan.attacker(i)) for i in range(600)}
    assert len(honest) == len(attackers) == 600
    assert not honest & attackers


def test_attackers_with_few_hosts_share_them() -> None:
    plan = Addresses(10, 0, hosts=4, networks=2)
    hosts = {plan.attacker(i) for i in range(100)}
    assert len(hosts) == 4
    assert len({network_of(host) for host in hosts}) == 2


def test_honest_nodes_can_share_networks() -> None:
    plan = Addresses(10, 3, 0, 0)
    hosts = [plan.honest(i) for i in range(30)]
    assert len({network_of(host) for host in hosts}) == 3
    assert len(set(hosts)) == 30
