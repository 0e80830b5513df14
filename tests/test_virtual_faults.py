"""The simulated network at its worst: cuts, crashes, wrong clocks; and it still replays."""

import asyncio
import itertools
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.config import NodeConfig
from qisguard.errors import ScenarioError
from qisguard.identity.address import Address
from qisguard.identity.ids import NodeId
from qisguard.lab.crowd import Crowd
from qisguard.lab.links import Cut, Direction, Latency, Links
from qisguard.lab.skew import Skew
from qisguard.lab.virtual import VirtualEngine
from qisguard.lab.warm import nearest
from qisguard.node.contact import Contact
from qisguard.node.node import Node
from tests.builders import (
    CLOCK,
    find,
    make_crowd,
    make_engine,
    make_identity,
    make_node,
    make_packet,
    publish,
)
from tests.hops import HopRecorder

ROOT = Path(__file__).parent.parent
CONFIG = NodeConfig(k=6, replica_count=4)
WORST = Links(
    latency=(0.01, 0.2),
    latency_model=Latency.PLANE,
    loss_ratio=0.2,
    duplicate_ratio=0.1,
    reorder_ratio=0.3,
    corrupt_ratio=0.05,
    truncate_ratio=0.02,
    cuts=(Cut(5.0, 10.0, 0.3), Cut(20.0, 25.0, 0.5, Direction.OUT)),
)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await story()

    asyncio.run(whole())


def digest_of(seed: int) -> str:
    """Return the digest of a run in which everything goes wrong."""

    async def story() -> str:
        crowd = Crowd.make(seed, WORST, CONFIG)
        crowd.warm(14)
        rng = random.Random(seed)
        for number in range(6):
            await crowd.look_up(crowd.nodes[number], NodeId(rng.getrandbits(256)))
        crowd.stop(9)
        crowd.stop(3)
        late = crowd.add(Skew(0.0, 1.01, ((crowd.engine.now() + 3.0, -2.0),)))
        await crowd.engine.finish(crowd.join(late))
        await crowd.engine.finish(crowd.join(crowd.restart(9)))
        await crowd.look_up(late, crowd.nodes[9].me.id)
        crowd.engine.close()
        return crowd.engine.digest()

    return asyncio.run(story())


# --- replay -------------------------------------------------------------------------------------
def test_a_run_with_every_fault_replays_in_another_process_whatever_the_hash_seed() -> None:
    code = "from tests.test_virtual_faults import digest_of; print(digest_of(5))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "31337", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest_of(5)


def test_another_seed_goes_wrong_in_another_way() -> None:
    assert digest_of(1) != digest_of(2)


@pytest.mark.parametrize(("time", "latency"), [(101, (0.005, 0.025)), (100, (0.005, 0.025_000_1))])
def test_the_digest_covers_what_datagrams_say_and_when_they_arrive(
    time: int, latency: tuple[float, float]
) -> None:
    async def story(time: int, latency: tuple[float, float]) -> tuple[str, float]:
        engine = VirtualEngine(1, CLOCK, Links(latency))
        nodes = await make_crowd(engine, 3, CONFIG)
        await publish(engine, nodes[1], [make_packet(time=time)])
        return engine.digest(), engine.measures()["datagrams"]

    digest, datagrams = asyncio.run(story(100, (0.005, 0.025)))
    assert asyncio.run(story(100, (0.005, 0.025))) == (digest, datagrams)
    other = asyncio.run(story(time, latency))
    assert other[0] != digest
    assert other[1] == datagrams


# --- cuts ---------------------------------------------------------------------------------------
def test_a_cut_keeps_both_sides_apart_and_nothing_is_lost_after_it() -> None:
    async def story() -> None:
        engine = make_engine(1)
        nodes = await make_crowd(engine, 8, CONFIG)
        inside = frozenset(range(4))
        start, end = engine.now(), engine.now() + 100.0
        engine.traffic.cuts.append(Cut(start, end, members=inside))
        across = [(0, 5), (5, 0)]
        for one, other in across:
            found = await find(engine, nodes[one], nodes[other].me.id)
            sides = {n in inside for n, node in enumerate(nodes) if node.me in found}
            assert sides == {one in inside}
        assert engine.now() < end
        engine.advance(end)
        cut = engine.traffic.counts["cut"]
        assert cut > 0
        for one, other in across:
            node, seed = nodes[one], nodes[other].me
            await engine.finish(engine.act(node, partial(_join, node, seed)))
            assert (await find(engine, node, seed.id))[0] == seed
        assert engine.traffic.counts["cut"] == cut

    run(story)


def _join(node: Node, seed: Contact, now: float) -> list[int]:
    return [node.join([seed], now)]


@pytest.mark.parametrize("direction", [Direction.OUT, Direction.IN])
def test_a_one_way_cut_carries_datagrams_in_the_other_direction_only(direction: Direction) -> None:
    async def story() -> None:
        engine = make_engine(2)
        one, other = await make_crowd(engine, 2, CONFIG)
        inside = 0 if direction is Direction.OUT else 1
        cut = Cut(engine.now(), 1e9, direction=direction, members=frozenset({inside}))
        engine.traffic.cuts.append(cut)
        before = [node.counts["requests: FindNode"] for node in (one, other)]
        await find(engine, other, one.me.id)
        await find(engine, one, other.me.id)
        heard = [
            node.counts["requests: FindNode"] - b
            for node, b in zip((one, other), before, strict=True)
        ]
        assert heard[0] > 0  # the other's requests arrive, and nobody hears the answers
        assert heard[1] == 0

    run(story)


# --- crashes ------------------------------------------------------------------------------------
def test_a_crashed_node_hears_nothing_says_nothing_and_ends_nothing() -> None:
    async def story() -> None:
        engine = make_engine(3)
        nodes = await make_crowd(engine, 6, CONFIG)
        victim = nodes[4]
        handles = engine.act(victim, lambda now: [victim.find(NodeId(1), now)])
        requests = sum(victim.counts.values())
        engine.stop(victim)
        assert await engine.finish(handles) == [None]
        await engine.quiet(nodes)
        lost = engine.measures()["lost"]
        found = await find(engine, nodes[0], victim.me.id)
        assert victim.me not in found
        assert len(found) == 5
        assert engine.measures()["lost"] > lost
        assert sum(victim.counts.values()) == requests
        assert not engine.is_running(victim)
        with pytest.raises(ScenarioError, match="was stopped"):
            engine.act(victim, lambda now: [victim.find(NodeId(1), now)])
        engine.close()

    run(story)


def test_a_node_that_restarts_has_its_identity_and_address_and_an_empty_memory() -> None:
    async def story() -> None:
        engine = make_engine(4)
        nodes = await make_crowd(engine, 6, CONFIG)
        old = nodes[4]
        with pytest.raises(ScenarioError, match="in use, stop its node first"):
            engine.restart(old, lambda address: make_node(4, address, config=CONFIG))
        engine.stop(old)
        new = engine.restart(old, lambda address: make_node(4, address, config=CONFIG))
        assert new.me == old.me
        assert len(old.table) == 5
        assert len(new.table) == 0
        assert engine.is_running(new)
        assert not engine.is_running(old)
        await engine.finish(engine.act(new, lambda now: [new.join([nodes[0].me], now)]))
        assert len(new.table) == 5
        found = await find(engine, nodes[1], new.me.id)
        assert found[0] == new.me

    run(story)


@pytest.mark.parametrize("back", [20.0, 100.0])
def test_timers_of_a_crashed_node_never_fire_and_those_of_its_successor_do(back: float) -> None:
    engine = make_engine(5)
    seen: list[tuple[float, float]] = []
    first = engine.add(partial(_watching, engine, seen, 0))
    engine.advance(10.0)
    engine.stop(first)
    before = len(seen)
    engine.advance(back)
    assert len(seen) == before
    engine.restart(first, partial(_watching, engine, seen, 0))
    engine.advance(300.0)
    assert len(seen) > before
    assert all(at >= back for at, _ in seen[before:])


# --- clocks -------------------------------------------------------------------------------------
steps = st.lists(
    st.tuples(st.floats(0, 1_000), st.floats(-500, 500)), max_size=5, unique_by=lambda s: s[0]
)
skews = st.builds(
    Skew, st.floats(-1e6, 1e6), st.floats(0.5, 2.0), steps.map(lambda s: tuple(sorted(s)))
)


@given(skew=skews, times=st.lists(st.floats(0, 2_000), min_size=2))
def test_what_a_wrong_clock_gives_never_goes_back_and_is_never_behind_the_wall(
    skew: Skew, times: list[float]
) -> None:
    given_times = [skew.read(time) for time in sorted(times)]
    assert all(one <= other + 1e-6 for one, other in itertools.pairwise(given_times))
    assert all(skew.read(time) >= skew.wall(time) for time in times)


@given(skew=skews, now=st.floats(0, 1_000), ahead=st.floats(0, 2_000))
def test_a_timer_is_due_when_the_wrong_clock_first_shows_its_time(
    skew: Skew, now: float, ahead: float
) -> None:
    wanted = skew.read(now) + ahead
    due = skew.when(wanted, now)
    assert due >= now
    assert skew.read(due) >= wanted - 1e-5
    if due > now + 0.01:
        assert skew.read(due - 0.01) < wanted


def test_a_clock_set_back_stands_still_until_the_wall_has_caught_up() -> None:
    skew = Skew(steps=((100.0, -30.0), (200.0, 50.0)))
    assert [skew.wall(t) for t in (99.0, 100.0, 150.0, 200.0)] == [99.0, 70.0, 120.0, 220.0]
    assert [skew.read(t) for t in (99.0, 100.0, 115.0, 129.0)] == [99.0, 100.0, 100.0, 100.0]
    assert [skew.read(t) for t in (131.0, 150.0, 200.0)] == [101.0, 120.0, 220.0]
    assert skew.when(101.0, 100.0) == pytest.approx(131.0)
    assert skew.when(180.0, 150.0) == 200.0


@pytest.mark.parametrize(
    ("rate", "steps_"), [(0.0, ()), (101.0, ()), (1.0, ((5.0, 1.0), (4.0, 1.0)))]
)
def test_an_impossible_clock_is_refused(
    rate: float, steps_: tuple[tuple[float, float], ...]
) -> None:
    with pytest.raises(ScenarioError, match=r"skew\.(rate|steps) = "):
        Skew(0.0, rate, steps_)


def test_the_engine_gives_each_node_its_own_time_and_wakes_it_by_it() -> None:
    engine = VirtualEngine(1, CLOCK, Links())
    wrong = [Skew(), Skew(offset=1_000.0), Skew(rate=2.0, steps=((400.0, -200.0),))]
    seen: list[list[tuple[float, float]]] = [[], [], []]
    nodes = [engine.add(partial(_watching, engine, seen[n], n)) for n in range(3)]
    for node, skew in zip(nodes[1:], wrong[1:], strict=True):
        engine.set_clock(node, skew)
    engine.act(nodes[0], lambda now: [nodes[0].join([node.me for node in nodes[1:]], now)])
    engine.advance(1_000.0)
    assert all(isinstance(node, _Watching) and node.heard for node in nodes)
    for skew, times in zip(wrong, seen, strict=True):
        assert times == sorted(times)
        assert all(shown == pytest.approx(skew.read(at)) for at, shown in times)
    checkpoints = [{round(shown) for _, shown in times} for times in seen]
    assert checkpoints[0] >= set(range(60, 1_000, 60))
    assert checkpoints[1] >= set(range(1_060, 2_000, 60))
    assert checkpoints[2] >= set(range(60, 1_800, 60))
    standing = [shown for at, shown in seen[2] if 401.0 < at < 499.0]
    assert all(shown == 800.0 for shown in standing)  # whoever calls, and no timer does


class _Watching(Node):
    """A real node that writes down when its timer was called, by the engine and by its clock."""

    engine: VirtualEngine
    seen: list[tuple[float, float]]

    heard: int = 0

    def handle_timer(self, now: float) -> None:
        self.seen.append((self.engine.now(), now))
        super().handle_timer(now)

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        self.heard += 1
        self.seen.append((self.engine.now(), now))
        super().receive_datagram(data, source, now)


def _watching(
    engine: VirtualEngine, seen: list[tuple[float, float]], number: int, address: Address
) -> "_Watching":
    node = make_node(number, address)
    node.__class__ = _Watching
    assert isinstance(node, _Watching)
    node.engine, node.seen = engine, seen
    return node


# --- warm starts --------------------------------------------------------------------------------
@given(ids=st.sets(st.integers(0, 2**256 - 1), min_size=1, max_size=60), data=st.data())
def test_the_nearest_of_sorted_ids_are_those_that_sorting_by_distance_finds(
    ids: set[int], data: st.DataObject
) -> None:
    target = data.draw(st.integers(0, 2**256 - 1) | st.sampled_from(sorted(ids)))
    count = data.draw(st.integers(1, 20))
    ordered = [NodeId(n) for n in sorted(ids)]
    assert nearest(ordered, NodeId(target), count) == sorted(ids, key=lambda n: n ^ target)[:count]


def test_a_warm_start_sends_nothing_and_look_ups_find_the_closest_nodes() -> None:
    async def story() -> None:
        crowd = Crowd.make(1, Links(), NodeConfig(k=8))
        entered = crowd.warm(120)
        assert entered == sum(len(node.table) for node in crowd.nodes)
        assert crowd.engine.measures() == {"datagrams": 0, "lost": 0, "seconds": 0.0}
        assert all(len(node.sessions) == 0 for node in crowd.nodes)
        rng = random.Random(1)
        for _ in range(20):
            score = await crowd.look_up(rng.choice(crowd.nodes), NodeId(rng.getrandbits(256)))
            assert score.succeeded
            assert score.recall_ratio == 1.0

    run(story)


def test_a_warm_table_holds_k_of_each_bucket_or_all_there_are_and_only_members() -> None:
    crowd = Crowd.make(2, Links(), NodeConfig(k=5, siblings=1, sibling_factor=1))
    crowd.warm(80)
    everyone = {node.me for node in crowd.nodes}
    for node in crowd.nodes[:10]:
        ranges: dict[int, int] = {}
        for other in everyone - {node.me}:
            bits = (other.id ^ node.me.id).bit_length()
            ranges[bits] = ranges.get(bits, 0) + 1
        table = set(node.table)
        assert table <= everyone - {node.me}
        for bits, size in ranges.items():
            held = sum((c.id ^ node.me.id).bit_length() == bits for c in table)
            assert held >= min(size, 5)


# --- hops ---------------------------------------------------------------------------------------
def test_hops_count_how_many_replies_deep_a_contact_was_named() -> None:
    async def story() -> None:
        engine = make_engine(1)
        recorder = HopRecorder()
        nodes = [engine.add(lambda a, n=n: make_node(n, a, config=CONFIG)) for n in range(4)]  # type: ignore[misc]
        for node, known in itertools.pairwise(nodes):  # each knows the next alone
            node.table.heard_from(known.me, 0.0)
            node.corrupt(recorder)
        nodes[3].corrupt(recorder)
        recorder.begin(nodes[0], nodes[3].me.id)
        found = await find(engine, nodes[0], nodes[3].me.id)
        assert found[0] == nodes[3].me
        assert recorder.take(nodes[0].me.id, nodes[3].me.id, nodes[3].me.id) == 3
        assert recorder.requests == 3
        for stranger, hops in [(nodes[0].me.id, 0), (NodeId(5), None)]:
            recorder.begin(nodes[0], NodeId(1))
            assert recorder.take(nodes[0].me.id, NodeId(1), stranger) == hops

    run(story)


def test_a_contact_at_an_address_where_nobody_lives_is_silence() -> None:
    async def story() -> None:
        engine = make_engine(6)
        (node,) = await make_crowd(engine, 1, CONFIG)
        node.table.heard_from(Contact(make_identity(7).id, ("10.0.0.77", 4_000)), 0.0)
        assert await find(engine, node, NodeId(1)) == [node.me]

    run(story)
