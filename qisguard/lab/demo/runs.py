"""One seed on one engine, through every network of a scenario.

A job is a pure function of (scenario, engine, seed), apart from ``live`` ones, which use real time
and the operating system's randomness.
"""

import asyncio
import os
import random
import tempfile
import time
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from qisguard.errors import ScenarioError
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import solve_static
from qisguard.identity.roster import Roster
from qisguard.lab.demo.cohort import Cohort, assign, bootstrap, load_cohort
from qisguard.lab.demo.keeping import DiskKeeper, MemoryKeeper
from qisguard.lab.demo.members import Members, make_members, sign_case
from qisguard.lab.demo.noted import Notes
from qisguard.lab.demo.scenario import Loaded, load_scenario
from qisguard.lab.demo.story import Setting, Story, Told
from qisguard.lab.demo.tables import NetworkRun
from qisguard.lab.live import LiveEngine
from qisguard.lab.virtual import VirtualEngine
from qisguard.node.checks import Checks, memoised
from qisguard.outcomes.answer import UNDECIDED, Answer
from qisguard.outcomes.synthesis import SynthesisConfig, synthesize


@dataclass(frozen=True, slots=True)
class Job:
    """One seed on one engine; ``out`` is where live trails go."""

    scenario: bytes
    engine: str
    seed: int
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job left behind, one ``Told`` for each network in the scenario's order."""

    job: Job
    told: list[Told]
    members: Members | None
    mining_seconds: float
    seconds: float


def run_job(job: Job) -> Outcome:
    """Run one seed through every network of the scenario."""
    started = time.perf_counter()
    loaded = load_scenario(job.scenario)
    cohort = load_cohort()
    truth = clean_truth(job.scenario)
    if truth == UNDECIDED:
        raise ScenarioError(
            f"question: all {len(cohort)} patients of the cohort leave it undecided, so that there "
            "is no answer to turn round"
        )
    rng = random.Random(f"patients {job.seed}")
    is_live = job.engine == LiveEngine.name
    wards = assign(
        cohort if is_live else bootstrap(cohort, rng), loaded.scenario.network.issuers, rng
    )
    draw = os.urandom if is_live else random.Random(f"identities {job.seed}").randbytes
    bits = loaded.scenario.network.static_puzzle_bits
    mined = time.perf_counter()
    if is_live:
        sybil_keys = tuple(solve_static(bits, draw) for _ in range(loaded.sybils_max))
    else:
        sybil_keys = sybil_pool(bits, loaded.sybils_max)
    mining_seconds = time.perf_counter() - mined
    members = make_members(loaded, wards, sybil_keys, draw, rng)
    checks = Checks()
    if not is_live:
        notes = Notes()
        members, checks = notes.members(members), memoised(notes.verify)
    tell = _live if is_live else _virtual
    told = [tell(job, loaded, members, truth, checks, run) for run in loaded.scenario.networks]
    return Outcome(
        job,
        told,
        members if is_live else None,
        members.mining_seconds + mining_seconds,
        time.perf_counter() - started,
    )


@cache
def sybil_pool(bits: int, count: int) -> tuple[KeyPair, ...]:
    """Return Sybil keys that solved the static puzzle, the same ones for every virtual seed.

    One process pays for them once; each seed's network still makes them solve its dynamic puzzle.
    """
    draw = random.Random("sybil pool").randbytes
    return tuple(solve_static(bits, draw) for _ in range(count))


@lru_cache(maxsize=4)
def clean_truth(scenario: bytes) -> str:
    """Return the decision over every patient: it is the same for all seeds of a scenario."""
    return answer_to_all(load_scenario(scenario), load_cohort()).decision


def answer_to_all(loaded: Loaded, cohort: Cohort) -> Answer:
    """Return the unweighted answer to the question over every patient: the clean truth."""
    question, template = loaded.scenario.question, loaded.template
    draw = random.Random("truth").randbytes
    author = KeyPair.from_seed(draw(32))
    network = Network("truth", author.public, draw(32), 0, 0)
    keys = set(template.expand(question.values))
    packets = [
        sign_case(network, template, patient, author, loaded.first_day, draw(16))
        for patient in cohort
        if template.key(patient.values) in keys
    ]
    return synthesize(
        packets,
        template,
        Roster(network.id, 0, ()),
        SynthesisConfig(horizon=question.horizon),
        (),
        arms=question.arms,
        today=loaded.first_day,
        first_seen={},
    )


def _virtual(
    job: Job, loaded: Loaded, members: Members, truth: str, checks: Checks, run: NetworkRun
) -> Told:
    engine = VirtualEngine(job.seed, loaded.clock, loaded.links)
    keeper = MemoryKeeper(loaded.limits, random.Random(f"nodes {job.seed}").randbytes)
    setting = Setting(loaded, members, job.seed, truth, checks, keeper, keeps_curves=False)
    return asyncio.run(Story(setting, run, engine).tell())


def _live(
    job: Job, loaded: Loaded, members: Members, truth: str, checks: Checks, run: NetworkRun
) -> Told:
    """Run on sockets; stores and private trail state lie in a folder that goes afterwards."""
    trails = job.out / "trails" if run.trails and job.out else None
    with tempfile.TemporaryDirectory(prefix="qisguard-") as private:
        keeper = DiskKeeper(loaded.limits, Path(private), trails, members.network.id)
        setting = Setting(loaded, members, job.seed, truth, checks, keeper, keeps_curves=True)

        async def tell() -> Told:
            return await Story(setting, run, LiveEngine(loaded.clock)).tell()

        try:
            return asyncio.run(tell())
        finally:
            keeper.close()
