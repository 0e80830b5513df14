"""The same attack as signed packets on a virtual network and as columns: the same votes."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pytest

from qisguard.attacks.insider import CompromisedHospital
from qisguard.attacks.sybil import SybilPoisoning
from qisguard.lab.demo.scenario import load_scenario
from qisguard.lab.demo.tables import Step
from qisguard.lab.poisoning.casting import cast
from qisguard.lab.poisoning.seats import take_seats
from qisguard.lab.scenario.tables import AttackTable, PopulationTable, Standing
from qisguard.node.reading import Retrieved
from qisguard.outcomes.answer import Answer
from qisguard.outcomes.ballots import Poll, Seats
from qisguard.outcomes.synthesis import conclude
from qisguard.outcomes.votes import Collected, Votes, collect
from qisguard.outcomes.weighing import weigh_votes
from qisguard.plugins import Poisons
from tests.stories import make_story, people, scenario, truth_is_hormone

SYBILS = 16
DATA = scenario([("attacked", SYBILS, 1)]).replace(b"target_ratio = 0.75", b"target_ratio = 1.0")
LOADED = load_scenario(DATA)
ARMS = ("hormone", "no-hormone")
KEYS = LOADED.template.expand(LOADED.scenario.question.values)


@dataclass(frozen=True)
class Side:
    """What a reader collected."""

    votes: Votes
    today: int


@cache
def through_a_network(sybils: int, hospitals: int) -> Side:
    """Return what a reader collects of packets that nodes published, stored and sent."""
    story, engine = make_story(DATA, "defended")
    members = people(DATA)

    async def run() -> Side:
        await story._gather()
        await story._publish()
        await story._attack(Step("attacked", sybils, hospitals))
        reader = story._homes[members.hospitals[-1].name][0]
        results = await engine.finish(engine.act(reader, partial(reader.retrieve, KEYS)))
        found = [result for result in results if isinstance(result, Retrieved)]
        packets = [packet for result in found for packet in result.packets.values()]
        seen = {d: days[0] for result in found for d, days in result.first_seen.items()}
        today = engine.clock.day(engine.now())
        return Side(collect(packets, members.roster, ARMS, today, seen).votes, today)

    return asyncio.run(run())


def as_columns(attack: Poisons, standing: Standing, budget: int, today: int) -> Votes:
    """Return the same attack on the votes of the same patients."""
    members = people(DATA)
    packets = [p for h in members.hospitals for p in h.packets if p.key in KEYS]
    honest = collect(packets, members.roster, ARMS, today, {}).votes
    rng = np.random.default_rng(1)
    table = AttackTable("constant_votes", standing=standing, issuers=1)
    seats, taken = take_seats(honest, PopulationTable(), table, budget, rng)
    if standing == "hospitals":  # the story breaks into the first one
        taken = honest.issuer == 0
        first = honest.where(taken)
        seats = Seats(first.issuer, first.age, first.enrolled, first.arm, first.value, first.event)
    target = 0 if truth_is_hormone(DATA) else 1
    poll = Poll(LOADED.template.outcome, target, (today, today), seats, None)
    return cast(honest, taken, poll, attack.poison(poll, rng), rng)[0]


def rows(votes: Votes, new: int) -> Counter[tuple[object, ...]]:
    """Return the votes as rows in any order; early deaths and first days are a matter of luck."""
    early = votes.event & (votes.value >= 30) & (votes.value <= 180)
    value = np.where(early, 30, votes.value)
    age = np.where(votes.age <= new, 0, votes.age)
    columns = (votes.issuer, votes.arm, value, votes.event, age, votes.enrolled, votes.current)
    return Counter(zip(*(column.tolist() for column in columns), strict=True))


def answered(votes: Votes) -> Answer:
    config = LOADED_SETTINGS.synthesis
    defenses = LOADED_DEFENSES
    weighed = weigh_votes(Collected(votes, {}), defenses)
    return conclude(weighed, len(votes), LOADED.template, config, defenses, ARMS)


(RUN,) = [run for run in LOADED.scenario.networks if run.name == "defended"]
LOADED_DEFENSES = LOADED.defenses(RUN, people(DATA).roster)
LOADED_SETTINGS = LOADED.settings(RUN, LOADED_DEFENSES)


@pytest.mark.parametrize(
    ("sybils", "hospitals", "attack", "standing"),
    [
        (SYBILS, 0, SybilPoisoning(target_ratio=1.0), "fresh"),
        (0, 1, CompromisedHospital(invented=10), "hospitals"),
    ],
)
def test_packets_through_a_network_and_columns_are_the_same_votes(
    sybils: int, hospitals: int, attack: Poisons, standing: Standing
) -> None:
    network = through_a_network(sybils, hospitals)
    votes = as_columns(attack, standing, sybils, network.today)
    assert len(votes) == len(network.votes) > 300
    assert rows(votes, 60) == rows(network.votes, 60)
    authors = [np.bincount(side.author) for side in (votes, network.votes)]
    assert sorted(authors[0]) == sorted(authors[1])
    assert (np.diff(votes.case) >= 0).all()
    one, other = answered(votes), answered(network.votes)
    assert (one.decision, one.state, one.cases) == (other.decision, other.state, other.cases)
    assert one.difference == pytest.approx(other.difference, abs=0.01)
