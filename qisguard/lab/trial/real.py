"""A trial with real nodes, on ``virtual`` or ``live``."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence

from qisguard.lab.brakes import Brakes
from qisguard.lab.engine import Engine
from qisguard.lab.live import LiveEngine
from qisguard.lab.scenario.loading import Loaded
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.ground import Ground
from qisguard.lab.trial.holdings import holdings
from qisguard.lab.trial.measured import METRICS, Measured, seal
from qisguard.lab.trial.people import FIRST_DAY, gather
from qisguard.lab.trial.reads import reads
from qisguard.lab.trial.tables import measure_degrees, measure_sizes, measure_tables
from qisguard.lab.trial.work import Operation, Plan, Work, is_found
from qisguard.lab.trial.years import Years
from qisguard.lab.virtual import VirtualEngine
from qisguard.node.checks import Checks, memoised
from qisguard.node.operations import Found
from qisguard.plugins import Clock, Inspects, Tells

CLOCK = Clock(FIRST_DAY)
WEEK_AN_HOUR = Clock(FIRST_DAY, rate=7 * 24.0)
"""For workloads of years: nodes count seconds as always, and maintain what they hold every week."""
WARM = "warm start: tables were filled from global knowledge; nothing here says how nodes join"


def run_virtual(loaded: Loaded, arm: Arm, seed: int) -> Measured:
    """Return what one seed of one arm measured on the simulated network."""
    clock = WEEK_AN_HOUR if loaded.scenario.workload.kind == "years" else CLOCK
    engine = VirtualEngine(seed, clock, loaded.links, brakes=Brakes(loaded.scenario.brakes))
    return asyncio.run(_run(loaded, arm, seed, engine, memoised()))


def run_live(loaded: Loaded, arm: Arm, seed: int) -> Measured:
    """Return what one seed of one arm measured on sockets of this machine."""

    async def run() -> Measured:
        engine = LiveEngine(CLOCK, Brakes(loaded.scenario.brakes))
        return await _run(loaded, arm, seed, engine, Checks())

    return asyncio.run(run())


async def _run(loaded: Loaded, arm: Arm, seed: int, engine: Engine, checks: Checks) -> Measured:
    started, cpu = time.perf_counter(), time.process_time()
    people = gather(loaded, seed, engine.name == "live", arm)
    table = loaded.scenario.workload
    plan = Plan.of(seed, table, people.network)
    defenses = loaded.defenses(arm, people.roster)
    ground = Ground(
        loaded,
        arm,
        seed,
        engine,
        people,
        loaded.settings(arm, defenses),
        defenses,
        plan.places,
        plan.keys,
        checks,
    )
    years = Years(ground) if loaded.scenario.workload.kind == "years" else None
    try:
        await ground.settle()
        work = Work(ground, plan)
        if loaded.scenario.attack.begins == "before":
            await ground.attack()
        kept = await work.publish()
        if loaded.scenario.attack.begins == "after":
            await ground.attack()
        sent = engine.measures()["datagrams"]
        ground.seen.pairs.clear()
        operations = await (years.pass_by() if years else work.ask())
        sent = engine.measures()["datagrams"] - sent
        ratios, values = _measure(ground, operations, sent)
        if years:
            ratios, values = ratios | years.ratios(), values | years.values(values)
        if plan.packets:
            ratios["stored"] = kept, len(plan.packets)
            ratios |= reads(operations, plan, work.publishers, people)
            held, sizes = holdings(ground, plan, work.publishers)
            ratios, values = ratios | held, values | sizes
    finally:
        engine.close()
    digest = ""
    if isinstance(engine, VirtualEngine):
        digest = seal(engine.digest(), ratios, values)
    notes = [WARM] if loaded.scenario.network.start != "cold" else []
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Measured(ratios, values, digest, notes, seconds, cpu)


def _measure(
    ground: Ground, operations: list[Operation], sent: float
) -> tuple[dict[str, tuple[int, int]], dict[str, float]]:
    """Return ratios and values of everything that happened; what nobody did is absent."""
    ratios, values = _told(ground.tellers)
    attackers = ground.attackers
    if ground.echoes is not None:
        ground.echoes.settle()
        ratios["replays_accepted"] = ground.echoes.taken, ground.echoes.arrived
    ratios |= measure_tables(ground)
    values |= measure_sizes(ground) | measure_degrees(ground)
    if ground.arm.has_attack:
        values["attackers"] = len(attackers)
    if not operations:
        return ratios, values
    count = len(operations)
    look_ups = [o for o in operations if o.packet is None]
    found = [(o, o.result) for o in look_ups if isinstance(o.result, Found)]
    if look_ups:
        ratios["success"] = sum(map(is_found, look_ups)), len(look_ups)
        returned = [(o, {c.id for c in f.contacts}) for o, f in found]
        ratios["recall"] = (
            sum(len(ids.intersection(o.nearest)) for o, ids in returned),
            sum(len(o.nearest) for o in look_ups),
        )
        if inspectors := [d for d in ground.defenses if isinstance(d, Inspects)]:
            flagged = sum(_is_flagged(ground, inspectors, o, f) for o, f in found)
            ratios["flagged"] = flagged, len(look_ups)
        captured = sum(2 * len(ids & attackers) > len(ids) for _, ids in returned)
        ratios["captured"] = captured, len(look_ups)
    ratios["exposed"] = sum((o.asker, o.place) in ground.seen.pairs for o in operations), count
    if found:
        values["hops"] = statistics.fmean(f.hops for _, f in found)
        values["messages"] = statistics.fmean(f.message_count for _, f in found)
    seconds = sorted(o.seconds for o in operations)
    values["latency_p50"] = statistics.median(seconds)
    values["latency_p95"] = seconds[min(int(0.95 * count), count - 1)]
    values["datagrams"] = sent / count
    return ratios, values


def _is_flagged(
    ground: Ground, inspectors: Sequence[Inspects], operation: Operation, found: Found
) -> bool:
    """Return whether a detector flags a look-up, told the true number of honest nodes."""
    ids = [contact.id for contact in found.contacts]
    size = float(len(ground.honest))
    return any(detector.inspect(operation.place, ids, size) for detector in inspectors)


def _told(tellers: list[Tells]) -> tuple[dict[str, tuple[int, int]], dict[str, float]]:
    """Return what all attackers counted, added up by metric."""
    ratios: dict[str, tuple[int, int]] = {}
    values: Counter[str] = Counter()
    for teller in tellers:
        for metric, counted in teller.tell().items():
            if METRICS[metric].kind == "ratio":
                hits, tries = counted  # type: ignore[misc]
                before = ratios.get(metric, (0, 0))
                ratios[metric] = before[0] + hits, before[1] + tries
            else:
                values[metric] += counted  # type: ignore[assignment,operator]
    return ratios, dict(values)
