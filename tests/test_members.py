"""The people of a run: everything follows from the seed, everybody paid, everything verifies."""

import random

import pytest

from qisguard.identity.keys import KeyPair
from qisguard.lab.demo.cohort import assign
from qisguard.lab.demo.members import make_members
from qisguard.lab.demo.scenario import load_scenario
from qisguard.lab.identities import price
from qisguard.outcomes.packet import Outcome, open_packet
from tests.builders import draw, make_network
from tests.stories import SYBILS, cohort, people, scenario

DATA = scenario([("clean", 0, 0), ("sybils", SYBILS, 0)], nodes_per_issuer=2)


def test_the_same_seed_gives_the_same_people_and_another_gives_others() -> None:
    again = people.__wrapped__(DATA, 1)
    first, other = people(DATA, 1), people(DATA, 2)
    assert (again.network, again.roster) == (first.network, first.roster)
    assert again.hospitals[0].packets == first.hospitals[0].packets
    assert other.network.id != first.network.id
    assert not set(first.roster.by_node) & set(other.roster.by_node)


def test_every_identity_solved_both_puzzles_of_its_network() -> None:
    members = people(DATA)
    everybody = [i for h in members.hospitals for i in h.identities] + list(members.sybils)
    assert len(everybody) == 12 + SYBILS
    for identity in everybody:
        members.network.check_puzzles(identity.id, identity.solution)
    assert members.mining_seconds > 0


def test_sybils_are_on_nobodys_roster_and_hospitals_are() -> None:
    members = people(DATA)
    assert not {i.id for i in members.sybils} & set(members.roster.by_node)
    for hospital in members.hospitals:
        assert members.roster.by_author[hospital.author.public].name == hospital.name
        for identity in hospital.identities:
            assert members.roster.by_node[identity.id].name == hospital.name


def test_every_patient_is_one_signed_packet_of_its_own_hospital() -> None:
    members, loaded = people(DATA), load_scenario(DATA)
    cases = set()
    for hospital in members.hospitals:
        assert hospital.packets
        for packet in hospital.packets:
            assert open_packet(packet.data) == packet
            assert packet.author == hospital.author.public
            assert packet.network == members.network.id
            body = packet.body
            assert not loaded.template.fault(body.arm, Outcome.of(body), body.feat)
            cases.add(packet.case)
    assert len(cases) == len(cohort())


def test_enrolment_lies_in_the_days_that_the_scenario_allows() -> None:
    first_day = load_scenario(DATA).first_day
    ages = [first_day - hospital.enrolled for hospital in people(DATA).hospitals]
    assert all(200 <= age <= 2000 for age in ages)
    assert len(set(ages)) > 1


def test_a_priced_key_keeps_its_identity_and_pays_for_each_network_anew() -> None:
    key = KeyPair.from_seed(bytes(32))
    one, two = make_network(c2=6, name="one"), make_network(c2=6, name="two")
    first, second = price(one, key, draw(1)), price(two, key, draw(1))
    assert first.id == second.id
    one.check_puzzles(first.id, first.solution)
    two.check_puzzles(second.id, second.solution)
    assert first.solution != second.solution


def test_wards_must_be_as_many_as_hospitals() -> None:
    loaded = load_scenario(DATA)
    wards = assign(cohort(), 5, random.Random(1))
    with pytest.raises(ValueError, match="argument"):
        make_members(loaded, wards, (), draw(1), random.Random(1))
