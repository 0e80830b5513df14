"""One network from the first datagram to the last answer: what holds, and what gives way."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import node_id, placement
from qisguard.identity.puzzle import solve_static
from qisguard.lab.demo.members import Members
from qisguard.lab.demo.scenario import load_scenario
from qisguard.lab.demo.story import Story, Told
from qisguard.lab.engine import MakeNode
from qisguard.lab.identities import price
from qisguard.lab.virtual import VirtualEngine
from qisguard.node.node import Node
from qisguard.outcomes.packet import OutcomePacket, open_packet
from qisguard.outcomes.synthesis import SynthesisConfig, synthesize
from qisguard.plugins import Clock
from tests.builders import draw
from tests.stories import (
    CLEAN,
    SYBILS,
    Steps,
    make_setting,
    people,
    row,
    scenario,
    tell,
    truth_is_hormone,
)

STEPS: Steps = [
    ("clean", 0, 0),
    ("one hospital", 0, 1),
    ("recovered", 0, 0),
    ("again", 0, 1),
    ("recovered again", 0, 0),
    ("sybils", SYBILS, 0),
]
DATA = scenario(STEPS)
BOTH = pytest.mark.parametrize("network", ["undefended", "defended"])
RETELL = """
import msgspec, sys
from tests.stories import scenario, tell
data = scenario([("clean", 0, 0), ("sybils", 8, 0), ("both", 8, 1)])
for network in ("undefended", "defended"):
    told = tell(data, network, int(sys.argv[1]))
    print(told.network.digest, msgspec.json.encode(told.rows).decode())
"""


def _retell(seed: int, hash_seed: str) -> str:
    """Return digests and rows of a story told by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", RETELL, str(seed)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout


def test_one_seed_gives_one_digest_and_the_same_rows_in_every_process() -> None:
    first = _retell(1, "1")
    assert first == _retell(1, "2")
    assert len(first.splitlines()) == 2
    assert first != _retell(2, "1")


# --- without an attack ---------------------------------------------------------------------------
@BOTH
@pytest.mark.parametrize(("loss_ratio", "tries"), [(0.0, 3), (0.1, 6)])
def test_every_replica_acknowledges_every_honest_packet(
    network: str, loss_ratio: float, tries: int
) -> None:
    told = tell(scenario(loss_ratio=loss_ratio, tries=tries), network)
    assert told.network
    assert told.network.packets_published == 686
    assert told.network.acknowledged == 686 * 3
    assert (told.network.measures["lost"] > 0) is (loss_ratio > 0)


@BOTH
def test_losing_a_tenth_of_all_datagrams_loses_no_packet_and_changes_no_answer(
    network: str,
) -> None:
    calm = row(tell(scenario(), network), "clean")
    rough = row(tell(scenario(loss_ratio=0.1), network), "clean")
    assert rough.packet_count == calm.packet_count
    assert (rough.difference, rough.lo, rough.hi) == (calm.difference, calm.lo, calm.hi)
    assert (rough.arms, rough.decision) == (calm.arms, calm.decision)
    assert rough.query_seconds > calm.query_seconds


def test_a_store_request_repeated_for_a_lost_acknowledgement_is_no_equivocation() -> None:
    data = scenario(loss_ratio=0.1, tries=6)
    loaded = load_scenario(data)
    engine = _Watched(1, Clock(loaded.first_day, 86_400), loaded.links)
    setting = make_setting(loaded, people(data))
    asyncio.run(Story(setting, loaded.scenario.networks[1], engine).tell())
    counts = sum((node.counts for node in engine.nodes), Counter())
    assert counts["requests repeated"] > 100
    assert counts["packets taken"] > 686 * 3 / 2
    assert not [what for what in counts if what.startswith("packet refused")]


@BOTH
def test_the_clean_answer_through_the_network_is_the_answer_over_all_packets(network: str) -> None:
    loaded, members = load_scenario(DATA), people(DATA)
    run = next(run for run in loaded.scenario.networks if run.name == network)
    defenses = loaded.defenses(run, members.roster)
    keys = set(loaded.template.expand(loaded.scenario.question.values))
    packets = [p for h in members.hospitals for p in h.packets if p.key in keys]
    answer = synthesize(
        packets,
        loaded.template,
        members.roster,
        loaded.settings(run, defenses).synthesis,
        defenses,
        arms=loaded.scenario.question.arms,
        today=loaded.first_day + 1,
        first_seen={},
    )
    found = row(tell(DATA, network), "clean")
    assert found.packet_count == len(packets)
    assert (found.decision, found.method) == (answer.decision, answer.method)
    assert found.difference == pytest.approx(answer.difference, abs=1e-12)
    assert (found.lo, found.hi) == pytest.approx((answer.low, answer.high), abs=1e-12)
    assert [arm.n for arm in found.arms] == [arm.cases for arm in answer.arms]


@BOTH
def test_without_an_attack_the_network_says_what_the_cohort_says(network: str) -> None:
    assert truth_is_hormone(DATA)
    clean = row(tell(DATA, network), "clean")
    assert (clean.decision, clean.is_flipped, clean.refused) == ("hormone", False, {})
    assert clean.replicas_answered == clean.replicas_asked > 0


# --- attacks -------------------------------------------------------------------------------------
def test_sybil_poisoning_turns_the_undefended_answer() -> None:
    told = tell(DATA, "undefended")
    assert row(told, "sybils").is_flipped
    assert not row(told, "recovered again").is_flipped
    assert told.network
    assert told.network.sybil_nodes == SYBILS


def test_sybil_poisoning_costs_the_defended_network_neither_answer_nor_packets() -> None:
    told = tell(DATA, "defended")
    before, after = row(told, "recovered again"), row(told, "sybils")
    assert not after.is_flipped
    assert after.packet_count == before.packet_count + SYBILS
    assert after.difference == pytest.approx(before.difference, abs=0.01)


def test_a_compromised_hospital_turns_the_undefended_answer_and_not_the_defended() -> None:
    assert row(tell(DATA, "undefended"), "one hospital").is_flipped
    assert not row(tell(DATA, "defended"), "one hospital").is_flipped


@BOTH
def test_recovery_restores_the_exact_clean_answer_each_time(network: str) -> None:
    told = tell(DATA, network)
    clean, broken = row(told, "clean"), row(told, "one hospital")
    assert row(told, "again").difference == pytest.approx(broken.difference, abs=1e-12)
    assert broken.difference != clean.difference
    for step, tombstones in (("recovered", 20), ("recovered again", 40)):
        recovered = row(told, step)
        assert (recovered.difference, recovered.lo, recovered.hi, recovered.arms) == (
            clean.difference,
            clean.lo,
            clean.hi,
            clean.arms,
        )
        assert recovered.dropped == {"tombstone": tombstones}


def test_sequence_numbers_of_a_hospital_keep_rising_through_breaks_and_recoveries() -> None:
    seen: dict[bytes, list[int]] = {}

    def watch(data: bytes) -> OutcomePacket:
        packet = open_packet(data)
        numbers = seen.setdefault(packet.case, [])
        if packet.body.seq not in numbers:
            numbers.append(packet.body.seq)
        return packet

    loaded, members = load_scenario(DATA), people(DATA)
    setting = make_setting(loaded, members)
    setting = replace(setting, checks=replace(setting.checks, packet=watch))
    engine = VirtualEngine(1, Clock(loaded.first_day, 86_400), loaded.links)
    asyncio.run(Story(setting, loaded.scenario.networks[1], engine).tell())
    keys = set(loaded.template.expand(loaded.scenario.question.values))
    mine = [p.case for p in members.hospitals[0].packets if p.key in keys]
    assert len(mine) > 20
    assert all(seen[case] == [1, 2, 3, 4, 5] for case in mine)
    others = [p.case for h in members.hospitals[1:] for p in h.packets]
    assert all(seen[case] == [1] for case in others)
    invented = set(seen) - set(mine) - set(others) - {p.case for p in members.hospitals[0].packets}
    assert len(invented) == 2 * 20 + SYBILS
    assert Counter(len(seen[case]) for case in invented) == {2: 40, 1: SYBILS}


# --- ids ground close to a key -------------------------------------------------------------------
class _Watched(VirtualEngine):
    """An engine that remembers its nodes."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type] # passed on as they are
        self.nodes: list[Node] = []

    def add(self, make: MakeNode, host: str = "") -> Node:
        self.nodes.append(super().add(make, host))
        return self.nodes[-1]


ROUTED = scenario([*CLEAN, ("capture", 3, 0)], nodes_per_issuer=2, defended=["roster_routing"])


def _ground(members: Members, key: bytes) -> tuple[Identity, ...]:
    """Return three identities that paid the puzzles and lie closer to ``key`` than any member."""
    place, source = placement(key), draw("grind")
    nearest = min(identifier ^ place for identifier in members.roster.by_node)
    found: list[Identity] = []
    while len(found) < 3:
        pair = solve_static(members.network.c1, source)
        if node_id(pair.public) ^ place < nearest:
            found.append(price(members.network, pair, source))
    return tuple(found)


def _captured(network: str) -> tuple[Told, list[Node], int]:
    """Return what was told, the attacker's nodes, and how many packets the captured key has."""
    loaded, members = load_scenario(ROUTED), people(ROUTED)
    keys = loaded.template.expand(loaded.scenario.question.values)
    held = Counter(p.key for h in members.hospitals for p in h.packets if p.key in keys)
    key, count = held.most_common(1)[0]
    members = replace(members, sybils=_ground(members, key))
    run = next(run for run in loaded.scenario.networks if run.name == network)
    engine = _Watched(1, Clock(loaded.first_day, 86_400), loaded.links)
    told = asyncio.run(Story(make_setting(loaded, members), run, engine).tell())
    return told, [n for n in engine.nodes if n.me.id not in members.roster.by_node], count


def _replica_work(nodes: list[Node]) -> int:
    """Return how often these nodes were asked to keep or hand out packets."""
    kinds = ("Store", "ListPackets", "FetchPackets")
    return sum(node.counts[f"requests: {kind}"] for node in nodes for kind in kinds)


def test_ids_ground_close_to_a_key_capture_it_in_a_network_without_a_roster() -> None:
    told, attackers, count = _captured("undefended")
    assert len(attackers) == 3
    assert all(_replica_work([node]) for node in attackers)
    lost = row(told, "clean").packet_count - row(told, "capture").packet_count
    assert lost >= count - 3  # what the three published themselves is all that the key still holds
    assert count > 20


def test_roster_routing_makes_no_stranger_a_replica_however_close_its_id() -> None:
    told, attackers, _ = _captured("defended")
    assert len(attackers) == 3
    assert _replica_work(attackers) == 0
    assert row(told, "capture").packet_count == row(told, "clean").packet_count + 3


def test_roster_routing_costs_honest_nodes_no_packet_and_no_more_messages() -> None:
    open_net, by_roster = tell(ROUTED, "undefended"), tell(ROUTED, "defended")
    assert open_net.network
    assert by_roster.network
    assert by_roster.network.acknowledged == open_net.network.acknowledged == 686 * 3
    open_row, roster_row = row(open_net, "clean"), row(by_roster, "clean")
    assert roster_row.difference == open_row.difference
    assert roster_row.query_datagrams <= open_row.query_datagrams


def test_roster_routing_refuses_an_honest_node_that_the_roster_does_not_name_yet() -> None:
    loaded, members = load_scenario(ROUTED), people(ROUTED)
    late = members.hospitals[0].identities[1].id
    first, *others = members.roster.issuers
    short = replace(first, nodes=tuple(n for n in first.nodes if n != late))
    roster = replace(members.roster, issuers=(short, *others))
    engine = _Watched(1, Clock(loaded.first_day, 86_400), loaded.links)
    setting = make_setting(loaded, replace(members, roster=roster, sybils=members.sybils[:3]))
    told = asyncio.run(Story(setting, loaded.scenario.networks[1], engine).tell())
    assert told.network
    assert told.network.acknowledged == 686 * 3
    (newcomer,) = [node for node in engine.nodes if node.me.id == late]
    assert _replica_work([newcomer]) == 0
    assert sum(n.counts["not admitted: not on the roster"] for n in engine.nodes) > 0


def test_a_story_without_a_horizon_of_its_own_uses_the_scenarios() -> None:
    loaded = load_scenario(DATA)
    assert loaded.settings(loaded.scenario.networks[0], []).synthesis == SynthesisConfig(
        horizon=730
    )
