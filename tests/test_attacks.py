"""What attackers publish: structurally perfect lies, bounded by what their card says they hold."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from qisguard.attacks import ATTACKS
from qisguard.attacks.insider import CompromisedHospital
from qisguard.attacks.publisher import Publisher
from qisguard.attacks.sybil import SybilPoisoning
from qisguard.defenses.structure import Structure
from qisguard.lab.demo.members import Members
from qisguard.lab.demo.scenario import load_scenario
from qisguard.lab.identities import Prepared
from qisguard.node.node import Node
from qisguard.outcomes.packet import OutcomePacket, open_packet
from qisguard.plugins import Insider, Question, Recruit, World
from tests.stories import SYBILS, people, scenario

DATA = scenario([("clean", 0, 0), ("sybils", SYBILS, 1)])
LOADED = load_scenario(DATA)
KEYS = LOADED.template.expand(LOADED.scenario.question.values)


def _world(members: Members, broken: int = 0) -> World:
    """Return what attackers know when they want hormonal therapy to lose."""
    example = next(p for h in members.hospitals for p in h.packets if p.key in KEYS)
    insiders = tuple(
        Insider(h.name, h.identities[0].id, h.author, h.packets) for h in members.hospitals[:broken]
    )
    question = Question(
        keys=KEYS,
        target="hormone",
        other="no-hormone",
        horizon=730,
        template=LOADED.template.id,
        example=example,
        insiders=insiders,
    )
    return World(
        network=members.network,
        today=LOADED.first_day + 5,
        budget=len(members.sybils),
        config=LOADED.node,
        question=question,
    )


def _packets(recruit: Recruit) -> list[OutcomePacket]:
    assert isinstance(recruit.plays, Publisher)
    return list(recruit.plays.packets)


def _sybils(attack: SybilPoisoning) -> list[Recruit]:
    members = people(DATA)
    return list(attack.recruit(_world(members), Prepared(members.sybils), random.Random(1)))


def _insiders(attack: CompromisedHospital, broken: int = 1) -> list[Recruit]:
    return list(attack.recruit(_world(people(DATA), broken), Prepared(()), random.Random(1)))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_registered_under_the_id_of_its_card(name: str) -> None:
    card = ATTACKS[name].card
    assert card.id == name
    for text in (card.summary, card.capability, card.breaks, card.source, card.seen, card.limits):
        assert text


def test_every_lie_has_a_valid_signature_and_fits_the_template() -> None:
    structure = Structure(LOADED.template)
    recruits = [*_sybils(SybilPoisoning(packets_each=2, target_ratio=0.5))]
    recruits += _insiders(CompromisedHospital(invented=5), broken=2)
    packets = [packet for recruit in recruits for packet in _packets(recruit)]
    assert len(packets) > 2 * SYBILS
    for packet in packets:
        assert open_packet(packet.data) == packet
        assert structure.accept(packet, None, LOADED.first_day + 5) is None


def test_each_sybil_has_an_identity_of_the_pool_and_an_author_key_of_its_own() -> None:
    recruits = _sybils(SybilPoisoning())
    assert [recruit.identity for recruit in recruits] == list(people(DATA).sybils)
    authors = Counter(packet.author for recruit in recruits for packet in _packets(recruit))
    assert set(authors.values()) == {1}
    assert not set(authors) & set(people(DATA).roster.by_author)


def test_the_target_arm_dies_early_and_the_other_never() -> None:
    recruits = _sybils(SybilPoisoning(packets_each=4, target_ratio=0.5))
    bodies = [packet.body for recruit in recruits for packet in _packets(recruit)]
    told: dict[str, set[bool]] = {"hormone": set(), "no-hormone": set()}
    for body in bodies:
        assert body.time is not None
        told[body.arm].add(body.event == 1 and body.time < 730)
        assert body.event == 1 or body.time > 730
    assert told == {"hormone": {True}, "no-hormone": {False}}


@pytest.mark.parametrize(("ratio", "low", "high"), [(0.0, 0, 0), (0.5, 0.35, 0.65), (1.0, 1, 1)])
def test_the_target_ratio_is_the_share_of_lies_about_the_target(
    ratio: float, low: float, high: float
) -> None:
    recruits = _sybils(SybilPoisoning(packets_each=4, target_ratio=ratio))
    bodies = [packet.body for recruit in recruits for packet in _packets(recruit)]
    assert low <= sum(body.arm == "hormone" for body in bodies) / len(bodies) <= high


def test_a_broken_hospital_rewrites_each_of_its_cases_of_the_question_and_no_other() -> None:
    members = people(DATA)
    (recruit,) = _insiders(CompromisedHospital(invented=3))
    hospital = members.hospitals[0]
    assert recruit.takes == hospital.identities[0].id
    before = {p.case: p for p in hospital.packets if p.key in KEYS}
    after = {p.case: p for p in _packets(recruit)}
    assert set(before) < set(after)
    assert {p.author for p in after.values()} == {hospital.author.public}
    for case, packet in before.items():
        assert after[case].body.seq == packet.body.seq + 1
        assert (after[case].key, after[case].body.arm) == (packet.key, packet.body.arm)
    invented = [after[case].body for case in set(after) - set(before)]
    assert Counter(body.arm for body in invented) == {"hormone": 3, "no-hormone": 3}
    assert {body.seq for body in invented} == {1}


def test_a_hospital_without_a_case_of_the_question_still_invents() -> None:
    world = _world(people(DATA), 1)
    assert world.question is not None
    (insider,) = world.question.insiders
    idle = replace(insider, packets=tuple(p for p in insider.packets if p.key not in KEYS))
    attack = CompromisedHospital(invented=2)
    (recruit,) = attack.recruit(
        replace(world, question=replace(world.question, insiders=(idle,))),
        Prepared(()),
        random.Random(1),
    )
    assert len(_packets(recruit)) == 4


def test_the_same_generator_gives_the_same_lies() -> None:
    assert _packets(_sybils(SybilPoisoning())[0]) == _packets(_sybils(SybilPoisoning())[0])
    (first,), (again,) = _insiders(CompromisedHospital()), _insiders(CompromisedHospital())
    assert _packets(first) == _packets(again)


def test_a_publisher_speaks_once() -> None:
    class Heard(list[int]):
        """Counts what is published, in place of a whole node."""

        def publish(self, packets: object, now: float) -> list[int]:
            self.append(1)
            return self

    heard = Heard()
    publisher = Publisher(_packets(_sybils(SybilPoisoning())[0]))
    node: Node = heard  # type: ignore[assignment] # all that a publisher uses of a node
    assert publisher.act(node, 0.0) is None
    assert publisher.act(node, 1.0) is None
    assert len(heard) == 1
