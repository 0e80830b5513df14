"""Small scenarios on the virtual engine, told whole or by hand, for the tests of the laboratory."""

import asyncio
import random
from collections.abc import Sequence
from functools import cache

from qisguard.lab.demo.cohort import HORMONE, SYNTHETIC, Cohort, assign, load_cohort
from qisguard.lab.demo.keeping import MemoryKeeper
from qisguard.lab.demo.members import Members, make_members
from qisguard.lab.demo.results import Row
from qisguard.lab.demo.runs import answer_to_all, sybil_pool
from qisguard.lab.demo.scenario import Loaded, load_scenario
from qisguard.lab.demo.story import Setting, Story, Told
from qisguard.lab.virtual import VirtualEngine
from qisguard.node.checks import memoised
from qisguard.plugins import Clock

Steps = Sequence[tuple[str, int, int]]
"""Name, Sybils and broken hospitals of each step."""

CLEAN: Steps = [("clean", 0, 0)]
SYBILS = 48
ALL_DEFENSES = (
    "roster_routing",
    "structure",
    "sequence",
    "one_vote",
    "age",
    "issuer_trim",
    "leave_one_out",
)


def scenario(
    steps: Steps = CLEAN,
    *,
    issuers: int = 6,
    nodes_per_issuer: int = 1,
    loss_ratio: float = 0.0,
    tries: int = 3,
    defended: Sequence[str] = ALL_DEFENSES,
) -> bytes:
    """Return a scenario file with two networks, ``undefended`` and ``defended``."""
    node = (
        f"k = 8, replica_count = 3, request_tries = {tries}, handshake_tries = {tries}, "
        "auths_per_second = 5000.0, requests_per_second = 20000.0"
    )
    told = "\n".join(
        f'[[steps]]\nname = "{name}"\nsybils = {sybils}\nhospitals = {hospitals}'
        for name, sybils, hospitals in steps
    )
    return f"""
name = "small"
title = "A small network"
[network]
issuers = {issuers}
nodes_per_issuer = {nodes_per_issuer}
static_puzzle_bits = 2
dynamic_puzzle_bits = 2
node = {{ {node} }}
links = {{ loss_ratio = {loss_ratio} }}
[clock]
first_day = "2026-01-01"
rate = 86400.0
enrolled_days = [200, 2000]
[question]
text = "Therapy or not?"
template = "breast-cancer"
arms = ["hormone", "no-hormone"]
horizon = 730
values = {{ grade = "II" }}
[[networks]]
name = "undefended"
defenses = []
[[networks]]
name = "defended"
defenses = [{", ".join(f'"{name}"' for name in defended)}]
[attacks.sybil_poisoning]
target_ratio = 0.75
[attacks.compromised_hospital]
invented = 10
{told}
[seeds]
live = 0
virtual = 1
quick = 1
""".encode()


@cache
def cohort() -> Cohort:
    """Return the synthetic patients, which are there with and without lifelines."""
    return load_cohort(SYNTHETIC)


@cache
def people(data: bytes, seed: int = 1) -> Members:
    """Return the members of a scenario's run."""
    loaded = load_scenario(data)
    rng = random.Random(f"patients {seed}")
    wards = assign(cohort(), loaded.scenario.network.issuers, rng)
    draw = random.Random(f"identities {seed}").randbytes
    sybils = sybil_pool(loaded.scenario.network.static_puzzle_bits, loaded.sybils_max)
    return make_members(loaded, wards, sybils, draw, rng)


def make_setting(loaded: Loaded, members: Members, seed: int = 1) -> Setting:
    """Return what a story needs, on memory stores and without trails."""
    keeper = MemoryKeeper(loaded.limits, random.Random(f"nodes {seed}").randbytes)
    return Setting(loaded, members, seed, HORMONE, memoised(), keeper, keeps_curves=False)


def make_story(
    data: bytes, network: str, seed: int = 1, members: Members | None = None
) -> tuple[Story, VirtualEngine]:
    """Return one network's story and its engine."""
    loaded = load_scenario(data)
    setting = make_setting(loaded, members or people(data, seed), seed)
    run = next(run for run in loaded.scenario.networks if run.name == network)
    engine = VirtualEngine(seed, Clock(loaded.first_day, loaded.scenario.clock.rate), loaded.links)
    return Story(setting, run, engine), engine


@cache
def tell(data: bytes, network: str, seed: int = 1) -> Told:
    """Return what one network left behind."""
    story, _ = make_story(data, network, seed)
    return asyncio.run(story.tell())


def row(told: Told, step: str) -> Row:
    """Return the answer at a step."""
    (found,) = [row for row in told.rows if row.step == step]
    return found


def truth_is_hormone(data: bytes) -> bool:
    """Return whether the synthetic cohort, asked without a network, favours therapy."""
    loaded = load_scenario(data)
    return answer_to_all(loaded, cohort()).decision == HORMONE
