"""How long a campaign will take, from one measured trial of each arm."""

import time
from contextlib import ExitStack
from dataclasses import dataclass

from qisguard.lab.campaign.plan import Plan
from qisguard.lab.journal.lines import Kind
from qisguard.lab.journal.writing import begin
from qisguard.lab.trial.engines import run_job


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a campaign is: ``seconds`` it takes on ``workers``, by the trials that were measured.

    ``measured`` are the seconds of a trial by arm at ``point``, the one in the middle of the grid;
    larger points take longer than it says.
    """

    points: int
    seeds: int
    most: int
    jobs: int
    jobs_most: int
    nodes: int
    point: int
    measured: dict[str, float]
    workers: int
    seconds: float


def estimate(plan: Plan, workers: int) -> Estimate:
    """Return what a plan costs; runs one trial of each arm here, and nothing else."""
    middle = len(plan.points) // 2
    measured = {}
    with ExitStack() as stack:
        if plan.loaded[middle].scenario.engine == "live":
            journal = stack.enter_context(begin())
            stack.enter_context(journal.noted(Kind.SOCKETS, "UDP on 127.0.0.0/8"))
        for arm in plan.loaded[middle].arms:
            started = time.perf_counter()
            run_job(plan.job(middle, arm, plan.first))
            measured[str(arm)] = time.perf_counter() - started
    arms = sum(len(one.arms) for one in plan.loaded)
    mean = sum(measured.values()) / len(measured)
    jobs = plan.count * arms
    return Estimate(
        points=len(plan.points),
        seeds=plan.count,
        most=plan.most,
        jobs=jobs,
        jobs_most=plan.most * arms,
        nodes=max(one.honest + one.attackers for one in plan.loaded),
        point=middle,
        measured=measured,
        workers=workers,
        seconds=mean * jobs / workers,
    )
