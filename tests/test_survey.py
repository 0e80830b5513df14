"""How large a node believes the network to be: by whom it asks, and by nobody who crowds round."""

import random
from statistics import median

import pytest

from qisguard.config import NodeConfig
from qisguard.identity.ids import ID_BITS, NodeId, shared_prefix
from qisguard.lab.virtual import VirtualEngine
from qisguard.lab.warm import survey_all, warm_start
from qisguard.node.node import Node
from qisguard.node.routing import RoutingTable
from qisguard.node.size import estimate_size, radius
from qisguard.node.survey import LOOKUPS, SizeSource, Survey
from tests.builders import draw, make_contact, make_identity, make_node, make_roster, tell_crowd

K, OWN = 8, NodeId(0)
CONFIG = NodeConfig(k=K, siblings=K, sibling_factor=2, refresh_interval=100.0)


def _table(neighbours: int = 1, bits: int = 0) -> RoutingTable:
    """Return a table with contacts that share ``bits`` leading bits with us, or more."""
    rng, table = random.Random(1), RoutingTable(OWN, CONFIG)
    for _ in range(neighbours):
        table.heard_from(make_contact(rng.getrandbits(ID_BITS - bits)), 0.0)
    return table


def _ids(count: int, bits: int = 0, seed: int = 1) -> list[NodeId]:
    rng = random.Random(seed)
    return [NodeId(rng.getrandbits(ID_BITS - bits)) for _ in range(count)]


def _look_up(survey: Survey, table: RoutingTable, prefix: int, ids: list[NodeId], at: float) -> int:
    """Look into a range of a network of ``ids``; return the number of distinct ids found."""
    target = table.random_id(prefix, draw(f"{prefix} {at}"))
    found = sorted(ids, key=lambda identifier: identifier ^ target)[:K]
    survey.take(prefix, target, found, at)
    return len(found)


def _complete(survey: Survey, table: RoutingTable, ids: list[NodeId], at: float = 1.0) -> None:
    for number, prefix in enumerate(list(survey.due(at))):
        _look_up(survey, table, prefix, ids, at + number)


@pytest.mark.rule("N-46")
def test_a_survey_needs_seven_look_ups_before_it_is_believed() -> None:
    table = _table(30)
    survey = Survey(CONFIG, table, None)
    due = list(survey.due(1.0))
    assert [due.count(prefix) for prefix in range(3)] == [4, 2, 1]
    for number, prefix in enumerate([0, 0, 0, 0, 1, 1, 2]):
        assert survey.source is SizeSource.SIBLINGS
        assert survey.size() == table.size()
        _look_up(survey, table, prefix, _ids(300), 1.0 + number)
    assert survey.source is SizeSource.LOOKUPS
    assert survey.size() == pytest.approx(300, rel=0.4)
    assert survey.status() == {
        "network_size": round(survey.size()),
        "network_size_from": "look-ups",
    }


@pytest.mark.rule("N-46")
def test_the_median_of_the_newest_seven_counts_and_no_more_are_kept() -> None:
    table = _table()
    survey = Survey(CONFIG, table, None)
    for round_ in range(3):
        sizes: list[float] = []
        for prefix, count in enumerate(LOOKUPS):
            for number in range(count):
                target = table.random_id(prefix, draw(f"{round_} {prefix} {number}"))
                found = sorted(_ids(200, seed=round_), key=lambda i, t=target: i ^ t)[:K]  # type: ignore[misc]
                survey.take(prefix, target, found, 1.0)
                sizes.append(estimate_size([radius(target, found, K)], K).size)
    assert survey.size() == pytest.approx(median(sizes))


@pytest.mark.rule("N-46")
def test_sybils_beside_us_move_the_siblings_and_not_the_survey() -> None:
    honest, sybils = _ids(200), _ids(45, bits=8, seed=2)
    table = _table(45, bits=8)
    survey = Survey(CONFIG, table, None)
    _complete(survey, table, [*honest, *sybils])
    assert table.size() > 20 * 200
    assert survey.size() == pytest.approx(200, rel=0.4)


@pytest.mark.rule("N-46")
def test_sybils_in_our_whole_half_of_the_ids_move_a_minority() -> None:
    """Three of seven look-ups: five times as many nodes there do not count five times."""
    table = _table()
    survey = Survey(CONFIG, table, None)
    _complete(survey, table, [*_ids(200), *_ids(500, bits=1, seed=2)])
    assert survey.size() < 1.8 * 200


@pytest.mark.rule("N-46")
def test_each_range_is_looked_into_once_an_interval_whatever_users_look_up() -> None:
    table = _table()
    survey = Survey(CONFIG, table, None)
    _complete(survey, table, _ids(50))
    table.looked_up(table.random_id(0, draw("user")), 90.0)
    assert list(survey.due(50.0)) == []
    assert list(survey.due(150.0)) == [0, 1, 2]


@pytest.mark.rule("N-46")
def test_look_ups_near_us_and_look_ups_that_found_nobody_do_not_count() -> None:
    table = _table()
    survey = Survey(CONFIG, table, None)
    for prefix in (*range(3, 40), ID_BITS):
        survey.take(prefix, OWN, _ids(K), 1.0)
    survey.take(0, NodeId(1 << 255), [OWN], 1.0)
    assert len(list(survey.due(1.0))) == 7
    assert survey.source is SizeSource.SIBLINGS


@pytest.mark.rule("N-46")
def test_fewer_than_wanted_are_everybody() -> None:
    table = _table()
    survey = Survey(CONFIG, table, None)
    _complete(survey, table, _ids(5))
    assert survey.size() == 5


@pytest.mark.rule("N-46")
def test_with_a_roster_its_nodes_are_counted_and_nobody_is_asked() -> None:
    roster = make_roster([make_identity(index) for index in range(12)])
    survey = Survey(CONFIG, _table(40), roster)
    assert (survey.size(), survey.source) == (12, SizeSource.ROSTER)
    assert list(survey.due(1.0)) == []


def test_who_knows_nobody_asks_nobody() -> None:
    survey = Survey(CONFIG, RoutingTable(OWN, CONFIG), None)
    assert list(survey.due(1.0)) == []


@pytest.mark.rule("N-46")
def test_nodes_count_their_network_soon_after_joining() -> None:
    config = NodeConfig(k=K, siblings=K, sibling_factor=2)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        assert {node.status(1.0)["network_size_from"] for node in nodes} == {"siblings"}
        engine.advance(engine.now() + 120.0)
        assert {node.status(1.0)["network_size_from"] for node in nodes} == {"look-ups"}
        sizes = [node.survey.size() for node in nodes]
        assert median(sizes) == pytest.approx(24, rel=0.25)
        assert nodes[0]._outlook.at(1.0).size == sizes[0], "the region follows from it"

    tell_crowd(24, config, tell)


@pytest.mark.rule("N-46")
def test_what_users_look_up_is_not_counted() -> None:
    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        for number in range(9):
            target = NodeId(nodes[0].me.id ^ (7 - number % 3) << ID_BITS - 3)
            assert shared_prefix(target, nodes[0].me.id) < 3
            await engine.finish(
                engine.act(nodes[0], lambda now, to=target: [nodes[0].find(to, now)])  # type: ignore[misc]
            )
        assert nodes[0].survey.source is SizeSource.SIBLINGS

    tell_crowd(12, NodeConfig(k=K), tell)


def test_a_node_alone_is_one_by_its_siblings() -> None:
    assert make_node(0).status(0.0)["network_size"] == 1


def test_warm_nodes_can_know_what_their_first_survey_would_have_told() -> None:
    nodes = [make_node(index, config=NodeConfig(k=K)) for index in range(80)]
    warm_start(nodes, random.Random(1), 0.0)
    assert {node.survey.source for node in nodes} == {SizeSource.SIBLINGS}
    survey_all(nodes, random.Random(1), 0.0)
    assert {node.survey.source for node in nodes} == {SizeSource.LOOKUPS}
    assert median(node.survey.size() for node in nodes) == pytest.approx(80, rel=0.1)
