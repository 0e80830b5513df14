"""Arrays and real nodes give the same look-ups: hops, messages, success, exposure, within bounds.

Three steps lead from one to the other. Real nodes on ``virtual`` find what their own ``Lookup``
finds on their tables, on one path contact by contact. Such a search and arrays that hold the same
ids agree in networks of 200 to 2,000 nodes, where the bound is four standard errors of the paired
difference and a stated margin. And both engines agree as whole trials, where the bound is a few
standard errors of the real nodes' side, which is the smaller sample.
"""

import asyncio
from collections import Counter
from functools import partial

import pytest

from qisguard.identity.ids import NodeId
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.engines import Job, run_job
from qisguard.lab.trial.ground import Ground
from qisguard.node.node import Node
from qisguard.node.operations import Found
from tests.side_by_side import ARMS, Answer, Tables, bounds, compare, draw, scenario, settle

pytestmark = pytest.mark.long

NODES = 200
LOOK_UPS = {"virtual": 60, "model": 3_000}
SEEDS = 2
SIZES = (200, 500, 1_000, 2_000)
LOOK_UPS_BESIDE = {1: 300, 4: 100}
"""By disjoint paths."""
RATIOS = {"success": 0.04, "recall": 0.05, "captured": 0.04, "exposed": 0.09}
"""Largest difference of a share, absolute."""
VALUES = {"hops": 0.12, "messages": 0.08}
"""Largest difference of a mean, as a share of it."""


def _measure(engine: str, attack: str, arm: str) -> dict[str, float]:
    """Return shares over all seeds, and means of values."""
    data = scenario(engine, NODES, LOOK_UPS[engine], attack)
    hits: Counter[str] = Counter()
    tries: Counter[str] = Counter()
    values: Counter[str] = Counter()
    for seed in range(1, SEEDS + 1):
        measured = run_job(Job(data, {}, arm, seed))
        for name, (hit, tried) in measured.ratios.items():
            hits[name] += hit
            tries[name] += tried
        for name, value in measured.values.items():
            values[name] += value / SEEDS  # type: ignore[assignment] # a counter of floats
    return {name: hits[name] / tries[name] for name in RATIOS} | {n: values[n] for n in VALUES}


def _find(node: Node, place: NodeId, now: float) -> list[int]:
    return [node.find(place, now)]


def _beside_real_nodes(arm: Arm, count: int) -> list[tuple[Answer, Answer]]:
    """Return what real nodes found, and what a search of their tables found just before."""

    async def run() -> list[tuple[Answer, Answer]]:
        ground = await settle(NODES, 1, arm)
        tables = Tables(ground, lies=True)
        pairs = []
        for node, place in draw(ground, count, 1):
            expected = tables.look_up(node, place, ground.config.disjoint_paths)
            handles = ground.engine.act(node, partial(_find, node, place))
            (found,) = await ground.engine.finish(handles)
            assert isinstance(found, Found)
            ids = [contact.id for contact in found.contacts]
            exposed = (node.me.id, place) in ground.seen.pairs
            pairs.append((Answer(ids, found.hops, found.message_count, exposed), expected))
        return pairs

    return asyncio.run(run())


def test_one_path_of_real_nodes_asks_and_finds_whom_a_search_of_their_tables_does() -> None:
    """Sessions, handshakes and time change nothing: every contact, hop and request is the same."""
    pairs = _beside_real_nodes(Arm.ATTACKED, 25)
    for real, searched in pairs:
        assert real == searched
    assert sum(real.exposed for real, _ in pairs) > 10


def test_four_paths_of_real_nodes_find_almost_the_same() -> None:
    """Who answers first decides which path may ask a node that several know: a few differ."""
    pairs = _beside_real_nodes(Arm.DEFENDED, 25)
    same = sum(len(set(real.ids) & set(searched.ids)) for real, searched in pairs)
    assert same >= 0.95 * sum(len(searched.ids) for _, searched in pairs)
    requests = sum(real.messages for real, _ in pairs)
    assert requests == pytest.approx(sum(searched.messages for _, searched in pairs), rel=0.05)


@pytest.fixture(scope="module", params=SIZES)
def ground(request: pytest.FixtureRequest) -> Ground:
    """Return a network of real nodes, of which a fifth are attackers."""
    size: int = request.param
    return asyncio.run(settle(size, 1))


@pytest.mark.parametrize(("lies", "paths"), ARMS)
def test_arrays_find_as_much_as_a_search_of_real_tables(
    ground: Ground, lies: bool, paths: int
) -> None:
    real, arrays = compare(ground, LOOK_UPS_BESIDE[paths], 1, paths, lies)
    told = bounds(real, arrays, paths)
    for apart, _, bound in told.values():
        assert abs(apart) <= bound, told


@pytest.mark.parametrize("attack", ["look_up_drop", "look_up_misroute"])
@pytest.mark.parametrize("arm", ["clean", "attacked", "defended"])
def test_arrays_and_real_nodes_agree(attack: str, arm: str) -> None:
    real, arrays = _measure("virtual", attack, arm), _measure("model", attack, arm)
    apart = {name: (real[name], arrays[name]) for name in real}
    for name, bound in RATIOS.items():
        assert abs(real[name] - arrays[name]) <= bound, apart
    for name, bound in VALUES.items():
        assert abs(real[name] - arrays[name]) <= bound * real[name], apart


def test_arrays_replay_and_differ_by_seed() -> None:
    data = scenario("model", NODES, 500, "look_up_drop")
    first, again, other = (run_job(Job(data, {}, "attacked", seed)) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert "settled" in first.notes[0]


def test_what_arrays_do_not_have_is_absent_and_not_zero() -> None:
    data = scenario("model", NODES, 100, "look_up_drop")
    measured = run_job(Job(data, {}, "attacked", 1))
    assert not {"latency_p50", "datagrams"} & set(measured.values)
    assert "table_bad" not in measured.ratios
