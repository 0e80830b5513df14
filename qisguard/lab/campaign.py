"""Seeds in parallel: each job is one seed on one engine, through every network of a scenario.

Jobs are pure functions of (scenario, engine, seed), apart from ``live`` ones, which use real time
and the operating system's randomness. They run in processes of their own.
"""

import asyncio
import gc
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from qisguard.errors import ScenarioError
from qisguard.identity.descriptor import Identity
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import solve_static
from qisguard.identity.roster import Roster
from qisguard.lab.cohort import Cohort, assign, bootstrap, load_cohort
from qisguard.lab.live import LiveEngine
from qisguard.lab.members import Members, make_members, sign_case
from qisguard.lab.scenario import Loaded, NetworkRun, load_scenario
from qisguard.lab.story import Setting, Story, Told
from qisguard.lab.virtual import VirtualEngine
from qisguard.node.checks import Checks, memoised
from qisguard.node.store import MemoryStore, SqliteStore, Store, StoreLimits
from qisguard.outcomes.answer import UNDECIDED, Answer
from qisguard.outcomes.synthesis import SynthesisConfig, synthesize
from qisguard.outcomes.template import Template
from qisguard.plugins import Clock
from qisguard.trail.checkpoint import origin_of
from qisguard.trail.files import FolderFiles
from qisguard.trail.log import Trail


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
    template = loaded.template
    cohort = load_cohort()
    truth = answer_to_all(loaded, template, cohort).decision
    if truth == UNDECIDED:
        raise ScenarioError(
            f"question: all {len(cohort)} patients of the cohort leave it undecided, so that there "
            "is no answer to turn round"
        )
    rng = random.Random(f"patients {job.seed}")
    sample = cohort if job.engine == LiveEngine.name else bootstrap(cohort, rng)
    wards = assign(sample, loaded.scenario.network.issuers, rng)
    is_live = job.engine == LiveEngine.name
    draw = os.urandom if is_live else random.Random(f"identities {job.seed}").randbytes
    bits = loaded.scenario.network.static_puzzle_bits
    mined = time.perf_counter()
    if is_live:
        sybil_keys = tuple(solve_static(bits, draw) for _ in range(loaded.sybils_max))
    else:
        sybil_keys = sybil_pool(bits, loaded.sybils_max)
    mining_seconds = time.perf_counter() - mined
    members = make_members(loaded, template, wards, sybil_keys, draw, rng)
    told = []
    checks = Checks() if is_live else memoised()
    for run in loaded.scenario.networks:
        if is_live:
            told.append(asyncio.run(_live(job, loaded, template, members, truth, run, checks)))
        else:
            told.append(asyncio.run(_virtual(job, loaded, template, members, truth, run, checks)))
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


def answer_to_all(loaded: Loaded, template: Template, cohort: Cohort) -> Answer:
    """Return the unweighted answer to the question over every patient: the clean truth."""
    question = loaded.scenario.question
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


async def _virtual(
    job: Job,
    loaded: Loaded,
    template: Template,
    members: Members,
    truth: str,
    run: NetworkRun,
    checks: Checks,
) -> Told:
    engine = VirtualEngine(job.seed, _clock(loaded), loaded.links)
    draw = random.Random(f"nodes {job.seed}").randbytes
    limits = _limits(loaded)

    def make_store(name: str) -> Store:
        return MemoryStore(limits)

    def make_trail(name: str, identity: Identity) -> None:
        return None

    setting = Setting(
        loaded, template, members, job.seed, truth, draw, checks, make_store, make_trail, False
    )
    return await Story(setting, run, engine).tell()


async def _live(
    job: Job,
    loaded: Loaded,
    template: Template,
    members: Members,
    truth: str,
    run: NetworkRun,
    checks: Checks,
) -> Told:
    """Run on sockets; stores and private trail state live in a folder that goes afterwards."""
    limits = _limits(loaded)
    stores: list[SqliteStore] = []
    with tempfile.TemporaryDirectory(prefix="qisguard-") as private:

        def make_store(name: str) -> Store:
            stores.append(SqliteStore(str(Path(private, f"{name}.sqlite")), limits))
            return stores[-1]

        def make_trail(name: str, identity: Identity) -> Trail | None:
            if not run.trails or job.out is None:
                return None
            origin = origin_of(members.network.id, identity.id)
            public = FolderFiles(job.out / "trails" / name)
            return Trail.create(public, FolderFiles(Path(private, name)), origin, identity.log)

        setting = Setting(
            loaded,
            template,
            members,
            job.seed,
            truth,
            os.urandom,
            checks,
            make_store,
            make_trail,
            True,
        )
        engine = LiveEngine(_clock(loaded))
        try:
            return await Story(setting, run, engine).tell()
        finally:
            for store in stores:
                store.close()


def _clock(loaded: Loaded) -> Clock:
    return Clock(loaded.first_day, loaded.scenario.clock.rate)


def _limits(loaded: Loaded) -> StoreLimits:
    return StoreLimits(loaded.node.packets_per_key_max, loaded.node.sequence_jump_max)


def _start_worker(private: str) -> None:
    """Leave interrupts to the parent, and private files in a folder that it will remove.

    Garbage is collected seldom: a network makes many live objects.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tempfile.tempdir = private
    gc.set_threshold(100_000, 50, 100)


def run_jobs(
    jobs: Sequence[Job], progress: Callable[[Job, int, int], None], workers: int | None = None
) -> list[Outcome]:
    """Run jobs on all cores, the first ones first; return outcomes in the order of ``jobs``.

    ``progress`` is called with the job that ended, how many have, and how many there are. An
    interrupt or an error ends every process, and nothing private is left on the disk.
    """
    outcomes: dict[Job, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="qisguard-") as private:
        pool = ProcessPoolExecutor(
            max_workers=workers or os.cpu_count() or 1,
            mp_context=get_context("spawn"),
            initializer=_start_worker,
            initargs=(private,),
        )
        try:
            futures: dict[Future[Outcome], Job] = {pool.submit(run_job, job): job for job in jobs}
            for future in as_completed(futures):
                outcomes[futures[future]] = future.result()
                progress(futures[future], len(outcomes), len(jobs))
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(cancel_futures=True)  # the pool's own thread joins the processes
            raise
        pool.shutdown()
    return [outcomes[job] for job in jobs]
