"""Attacks below and beside what is stored: replays, floods, reflection, noise, and onlookers."""

import random
from typing import Any

import pytest

from qisguard.attacks import ATTACKS
from qisguard.attacks.client import Asks, Client, carried, taken
from qisguard.attacks.malformed import alter
from qisguard.config import NodeConfig
from qisguard.errors import ScenarioError
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import NodeId, placement
from qisguard.lab.identities import Mine
from qisguard.lab.scenario.loading import load_scenario, packaged
from qisguard.lab.trial.engines import Job, run_job
from qisguard.lab.trial.watching import Echoes
from qisguard.node import messages
from qisguard.plugins import World
from tests.builders import (
    DAY,
    NETWORK,
    draw,
    make_contact,
    make_engine,
    make_identity,
    make_key,
    make_node,
)
from tests.scenarios import ratio, trial, value

SMALL: dict[str, Any] = {"network__nodes": 30, "workload__operations": 6}
NETWORKED = (
    *("storage_drop", "storage_censor", "provider_spam", "index_poisoning", "provider_swamp"),
    *("packet_forgery", "stale_packets", "equivocation", "replay", "cross_network_replay"),
    *("amplification", "reflection_by_hearsay", "request_flood", "hello_flood", "malformed"),
    "query_exposure",
)


# --- replay --------------------------------------------------------------------------------------
def test_nothing_that_is_sent_again_is_taken_again() -> None:
    attacked = trial("replay", "attacked", **SMALL)
    taken_again, arrived = attacked.ratios["replays_accepted"]
    assert (taken_again, arrived > 300) == (0, True)
    assert attacked.ratios["readable"] == (6, 6)


def test_things_of_another_network_are_not_taken_in_this_one() -> None:
    attacked = trial("cross-network-replay", "attacked", attack__identities=4, **SMALL)
    assert attacked.ratios["false_accepted"] == (0, 2 * 10 * (2 * 8 + 1))


def test_the_ear_of_the_laboratory_hears_a_replay_that_is_taken() -> None:
    """A node without a replay window, as far as the ear can tell: no drop is counted."""
    node = make_node(0)
    echoes = Echoes({node.me.address: node})
    for _ in range(3):
        echoes.overhear(b"\x05 sealed", ("10.0.0.1", 1), node.me.address, 0.0)
    echoes.settle()
    assert (echoes.taken, echoes.arrived) == (2, 2)
    for _ in range(2):
        echoes.overhear(b"\x05 other", ("10.0.0.1", 1), node.me.address, 0.0)
        node.counts["dropped: replayed or stale counter"] += 1
    echoes.settle()
    assert (echoes.taken, echoes.arrived) == (2, 3)


# --- reflection ----------------------------------------------------------------------------------
def test_a_false_source_brings_its_victim_less_than_the_attacker_sent() -> None:
    assert 0 < value("amplification", "attacked", "amplification", **SMALL) < 0.1


def test_hearsay_limits_bound_what_a_named_victim_gets() -> None:
    attacked = value("reflection-by-hearsay", "attacked", "amplification", **SMALL)
    defended = value("reflection-by-hearsay", "defended", "amplification", **SMALL)
    tight = value("reflection-by-hearsay-tight", "defended", "amplification", **SMALL)
    assert attacked > 50
    assert 3 < defended < attacked / 5
    assert tight < 4
    assert ratio("reflection-by-hearsay-tight", "guarded", "success", **SMALL) == 1.0


# --- floods --------------------------------------------------------------------------------------
FLOOD: dict[str, Any] = {
    "network__nodes": 20,
    "attack__parameters": {"per_second": 50, "duration": 2},
}


def test_budgets_bound_the_work_that_nodes_do_for_a_flood() -> None:
    assert ratio("request-flood", "attacked", "flood_served", **FLOOD) > 0.95
    assert ratio("request-flood", "defended", "flood_served", **FLOOD) < 0.3
    for arm in ("defended", "guarded"):
        assert ratio("request-flood", arm, "success", **FLOOD) == 1.0


def test_hellos_from_nowhere_cost_no_honest_look_up_and_a_small_budget_for_them_does() -> None:
    point = FLOOD | {"attack__parameters": {"per_second": 200, "duration": 3}}
    slow = {arm: value("hello-flood", arm, "latency_p95", **point) for arm in ("clean", "attacked")}
    assert slow["attacked"] < 1.5 * slow["clean"]
    assert ratio("hello-flood", "attacked", "success", **point) == 1.0
    assert value("hello-flood", "defended", "latency_p95", **point) > 2 * slow["clean"]


# --- noise and onlookers -------------------------------------------------------------------------
def test_malformed_input_stops_no_node_and_nothing_of_it_is_taken() -> None:
    point: dict[str, Any] = FLOOD | {"attack__parameters": {"count": 1_000, "per_second": 500}}
    attacked = trial("malformed", "attacked", **point)
    assert attacked.values["attack_datagrams"] > 1_900
    assert attacked.ratios["false_accepted"] == (0, 1_000)
    assert attacked.ratios["success"] == (20, 20)


def test_what_is_altered_differs() -> None:
    rng = random.Random(1)
    for size in (1, 2, 60, 1_200):
        data = rng.randbytes(size)
        assert all(alter(data, rng) != data for _ in range(200))


def test_more_paths_show_a_look_up_to_more_watchers() -> None:
    point = {"network__nodes": 100, "workload__operations": 20}
    assert ratio("query-exposure", "clean", "exposed", **point) == 0.0
    one = ratio("query-exposure", "attacked", "exposed", **point)
    eight = ratio("query-exposure", "defended", "exposed", **point)
    assert 0.1 < one < eight
    assert eight > 0.7


@pytest.mark.parametrize("name", ["replay", "provider-spam-packets", "malformed", "hello-flood"])
def test_an_attack_replays_from_its_seed(name: str) -> None:
    point = {"network.nodes": 15, "workload.operations": 2}
    first, again = (run_job(Job(packaged(name), point, "attacked", 5)) for _ in range(2))
    assert first.digest == again.digest
    assert first.ratios == again.ratios


@pytest.mark.parametrize("name", ["amplification", "hello-flood", "replay", "malformed"])
def test_what_no_real_socket_would_send_is_not_measured_on_sockets(name: str) -> None:
    with pytest.raises(ScenarioError, match="needs a simulated network, use 'virtual'"):
        load_scenario(packaged(name), {"engine": "live"})


# --- what attackers may have ---------------------------------------------------------------------
class Counting(Mine):
    """A mint that counts."""

    made = 0

    def identity(self) -> Identity:
        """See ``Mint``."""
        self.made += 1
        return super().identity()

    def nearer(self, place: NodeId, distance: int) -> Identity:
        """See ``Mint``."""
        self.made += 1
        return super().nearer(place, distance)


@pytest.mark.parametrize("budget", [0, 1, 5])
@pytest.mark.parametrize("name", NETWORKED)
def test_an_attack_keeps_to_its_budget_and_names_every_identity(name: str, budget: int) -> None:
    world = World(
        network=NETWORK,
        today=DAY,
        budget=budget,
        config=NodeConfig(),
        places=(placement(make_key(0)),),
        keys=(make_key(0),),
        members=tuple(make_contact(index << 240) for index in range(1, 30)),
    )
    mint = Counting(NETWORK, draw(f"mint {name}"))
    recruits = list(ATTACKS[name]().recruit(world, mint, random.Random(1)))
    assert mint.made <= budget
    assert sum(recruit.identity is not None for recruit in recruits) == mint.made
    assert len(recruits) <= budget + 2


# --- the client ----------------------------------------------------------------------------------
def test_a_client_says_what_is_due_counts_what_was_taken_and_knows_nobody() -> None:
    engine = make_engine(1)
    node = engine.add(lambda address: make_node(0, address, clock=engine.clock))
    asks: Asks = [(0.0, node.me, messages.Ping(0)), (5.0, node.me, messages.FindNode(0, bytes(32)))]
    clients: list[Client] = []

    def make(address: tuple[str, int]) -> Client:
        judge = lambda request, reply: isinstance(reply, messages.Pong)  # noqa: E731
        clients.append(
            Client(make_identity(1), NETWORK, address, DAY, random.Random(1), asks, "x", judge)
        )
        return clients[0]

    engine.let_speak(make)
    engine.advance(1.0)
    assert clients[0].tell()["x"] == (1, 1)
    engine.advance(6.0)
    assert clients[0].tell()["x"] == (1, 2)
    (handle,) = engine.act(node, lambda now: [node.find(NodeId(5), now)])
    engine.advance(7.0)
    ended = engine.take(handle)
    assert ended is not None
    assert ended[1] < 6.5, "the client kept the look-up waiting"


def test_what_a_store_had_taken_is_counted_by_packet() -> None:
    store = messages.Store(1, b"", [b"a", b"b"])
    assert carried(store) == 2
    assert taken(store, messages.Stored(1, ["", "older sequence"])) == 1
    assert taken(store, messages.Refused(1, "key full")) == 0
    assert taken(messages.Announce(1, b""), messages.Stored(1, [""])) == 1
    assert carried(b"noise") == 1
