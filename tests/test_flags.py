"""Detectors in a node: flags in results and counts, and the region where configured."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from qisguard.attacks.sybil_evading import OUTER, SybilEvading
from qisguard.config import NodeConfig, ReplicaRule
from qisguard.defenses.flagged_region import FlaggedRegion
from qisguard.defenses.scan_count import ScanCount
from qisguard.identity.ids import NodeId, placement
from qisguard.lab.identities import Mine
from qisguard.lab.virtual import VirtualEngine
from qisguard.node.node import Node
from qisguard.node.operations import Replicas, replicas
from qisguard.outcomes.synthesis import SynthesisConfig
from qisguard.plugins import Card, Defense, Rejected, Settings, World
from tests.builders import (
    DAY,
    NETWORK,
    draw,
    make_contact,
    make_engine,
    make_identity,
    make_key,
    make_node,
    make_packet,
    make_roster,
    publish,
    retrieve,
)

COUNT = 4
CONFIG = NodeConfig(k=4, replica_count=COUNT)
PLACE = placement(make_key(0))
FLAG = "flagged: ids crowd around a key"


@dataclass
class Alarm:
    """Flags one place, and keeps what it was shown."""

    card = Card(*["alarm"] * 8)
    place: NodeId = PLACE
    shown: list[tuple[NodeId, tuple[NodeId, ...], float]] = field(default_factory=list)

    def inspect(self, target: NodeId, found: Sequence[NodeId], size: float) -> Rejected | None:
        """Note what is shown."""
        self.shown.append((target, tuple(found), size))
        return Rejected("crowded") if target == self.place else None


async def _crowd(
    engine: VirtualEngine, config: NodeConfig, defenses: Sequence[Defense], on_roster: bool = False
) -> list[Node]:
    roster = make_roster([make_identity(index) for index in range(24)]) if on_roster else None
    nodes: list[Node] = []
    for index in range(24):
        node = engine.add(
            lambda address, index=index: make_node(  # type: ignore[misc]
                index,
                address,
                config=config,
                roster=roster,
                defenses=defenses,
                clock=engine.clock,
            )
        )
        seeds = [other.me for other in nodes[:3]]
        await engine.finish(engine.act(node, lambda now, n=node, s=seeds: [n.join(s, now)]))  # type: ignore[misc]
        nodes.append(node)
    return nodes


async def _replicas(engine: VirtualEngine, node: Node, place: NodeId) -> Replicas:
    (found,) = await engine.finish(
        engine.act(
            node, lambda now: [node._work.start(replicas(node._outlook.at(now), place), now)]
        )
    )
    assert isinstance(found, Replicas)
    return found


def _closest(nodes: Sequence[Node], place: NodeId) -> list[NodeId]:
    return sorted((node.me.id for node in nodes), key=lambda i: i ^ place)[:COUNT]


@pytest.mark.rule("N-47")
def test_a_flag_stands_in_the_results_and_the_counts_and_takes_nothing_away() -> None:
    async def tell() -> None:
        engine, alarm = make_engine(), Alarm()
        nodes = await _crowd(engine, CONFIG, [alarm])
        (published,) = await publish(engine, nodes[0], [make_packet()])
        assert published.flags == ("crowded",)
        assert published.acknowledged == COUNT
        (got,) = await retrieve(engine, nodes[5], 0)
        assert got.flags == ("crowded",)
        assert len(got.packets) == 1
        assert got.replicas_asked == COUNT
        assert nodes[5].counts[FLAG] == 1
        assert nodes[5].status(1.0)["counts"][FLAG] == 1  # type: ignore[index]
        (provided,) = await engine.finish(
            engine.act(nodes[6], lambda now: [nodes[6].providers(PLACE, now)])
        )
        assert provided.flags == ("crowded",)  # type: ignore[attr-defined]

    asyncio.run(tell())


@pytest.mark.rule("N-47")
def test_a_detector_is_shown_the_replicas_found_and_the_size_of_the_survey() -> None:
    async def tell() -> None:
        engine, alarm = make_engine(), Alarm(place=NodeId(0))
        nodes = await _crowd(engine, CONFIG, [alarm])
        (got,) = await retrieve(engine, nodes[5], 0)
        assert got.flags == ()
        assert nodes[5].counts[FLAG] == 0
        ((target, found, size),) = alarm.shown
        assert target == PLACE
        assert list(found) == _closest(nodes, PLACE)
        assert size == nodes[5].survey.size()

    asyncio.run(tell())


@pytest.mark.rule("N-47")
def test_a_size_below_those_found_is_never_told_to_a_detector() -> None:
    """The divergence knows no network that is smaller than what it looks at."""
    alarm = Alarm()
    node = make_node(0, defenses=[alarm])
    found = [make_contact(index << 200) for index in range(1, 30)]
    assert node.survey.size() == 1.0
    node._outlook._inspect(PLACE, found)
    assert alarm.shown[-1][2] == 29


@pytest.mark.rule("N-47")
def test_replicas_by_roster_are_no_matter_for_detectors() -> None:
    async def tell() -> None:
        engine, alarm = make_engine(), Alarm()
        config = NodeConfig(k=4, replica_count=COUNT, replica_rule=ReplicaRule.ROSTER)
        nodes = await _crowd(engine, config, [alarm], on_roster=True)
        found = await _replicas(engine, nodes[1], PLACE)
        assert len(found.contacts) == COUNT
        assert found.flags == ()
        assert alarm.shown == []

    asyncio.run(tell())


@pytest.mark.rule("N-48")
def test_the_rule_flagged_is_the_region_where_a_flag_is_raised_and_the_closest_elsewhere() -> None:
    async def tell() -> None:
        engine, alarm = make_engine(), Alarm()
        config = NodeConfig(k=4, replica_count=2, replica_rule=ReplicaRule.FLAGGED)
        nodes = await _crowd(engine, config, [alarm])
        flagged = await _replicas(engine, nodes[1], PLACE)
        for key in range(1, 7):
            calm = await _replicas(engine, nodes[1], placement(make_key(key)))
            assert len(calm.contacts) == 2, "no flag, no region"
        assert len(flagged.contacts) > 2
        region = NodeConfig(k=4, replica_count=2, replica_rule=ReplicaRule.REGION)
        others = await _crowd(other := make_engine(), region, [])
        wanted = await _replicas(other, others[1], PLACE)
        assert {c.id for c in flagged.contacts} == {c.id for c in wanted.contacts}
        assert wanted.flags == ()

    asyncio.run(tell())


@pytest.mark.rule("N-48")
def test_who_lives_in_the_region_takes_what_a_flag_sends_there() -> None:
    async def tell() -> None:
        engine = make_engine()
        rule = ReplicaRule.FLAGGED
        config = NodeConfig(k=4, replica_count=1, replica_slack=1.0, replica_rule=rule)
        nodes = await _crowd(engine, config, [Alarm()])
        (published,) = await publish(engine, nodes[0], [make_packet()])
        assert published.replica_count > 1
        assert published.acknowledged == published.replica_count
        assert not published.refused

    asyncio.run(tell())


def test_the_defence_sets_the_rule_and_nothing_else() -> None:
    before = Settings(NodeConfig(), SynthesisConfig(horizon=1))
    after = FlaggedRegion(replicas=9, region_max=77).tune(before).node
    rule = ReplicaRule.FLAGGED
    assert (after.replica_rule, after.replica_count, after.region_max) == (rule, 9, 77)


@pytest.mark.parametrize("places", [1, 3, 8])
def test_evading_sybils_take_the_places_that_they_want_and_stay_far_out(places: int) -> None:
    members = tuple(make_contact(random.Random(i).getrandbits(256)) for i in range(60))
    config = NodeConfig(k=8, replica_count=8)
    world = World(NETWORK, DAY, 2 * places, config, (PLACE, NodeId(7 << 250)), members=members)
    recruits = list(
        SybilEvading(places).recruit(world, Mine(NETWORK, draw("evade")), random.Random(1))
    )
    ids = [recruit.identity.id for recruit in recruits if recruit.identity]
    for at, place in enumerate(world.places):
        own = ids[at :: len(world.places)]
        everybody = sorted([*own, *(member.id for member in members)], key=place.__xor__)
        assert sum(identifier in own for identifier in everybody[:8]) == places
        limit = sorted(member.id ^ place for member in members)[8 - places]
        assert all(OUTER * limit <= identifier ^ place < limit for identifier in own)


def test_few_evading_sybils_pass_a_detector_that_flags_as_many_next_to_the_key() -> None:
    members = tuple(make_contact(random.Random(i).getrandbits(256)) for i in range(100))
    config = NodeConfig(k=8, replica_count=8)
    world = World(NETWORK, DAY, 5, config, (PLACE,), members=members)
    recruits = SybilEvading(5).recruit(world, Mine(NETWORK, draw("pass")), random.Random(1))
    far = [recruit.identity.id for recruit in recruits if recruit.identity]
    near = [NodeId(PLACE ^ 1 + index) for index in range(5)]
    detector = ScanCount(5.5, k=8)

    def flag(sybils: Sequence[NodeId]) -> Rejected | None:
        everybody = sorted([*sybils, *(m.id for m in members)], key=PLACE.__xor__)
        return detector.inspect(PLACE, everybody[:8], 100.0)

    assert flag(far) is None
    assert flag(near)


def test_evading_sybils_want_a_place_at_least() -> None:
    with pytest.raises(ValueError, match="places = 0, must be 1 to 64"):
        SybilEvading(0)
