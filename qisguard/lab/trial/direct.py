"""A trial without a network: an attack on a function of the node, which is called directly."""

import random
import time
from typing import Any

from qisguard.errors import ScenarioError
from qisguard.lab.scenario.loading import Loaded
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.measured import METRICS, Measured, seal
from qisguard.lab.trial.people import FIRST_DAY, gather
from qisguard.plugins import Computes, World


def run_direct(loaded: Loaded, arm: Arm, seed: int) -> Measured:
    """Return what one seed of one arm measured; without an attack there is nothing to measure."""
    attack = loaded.attack
    if not isinstance(attack, Computes):
        raise ScenarioError(f"engine = 'direct': {loaded.scenario.attack.name} attacks networks")
    started, cpu = time.perf_counter(), time.process_time()
    ratios: dict[str, tuple[int, int]] = {}
    values: dict[str, float] = {}
    times: dict[str, float] = {}
    if arm.has_attack:
        people = gather(loaded, seed, False, arm)
        world = World(
            network=people.network,
            today=FIRST_DAY,
            budget=loaded.attackers,
            config=loaded.settings(arm, loaded.defenses(arm, people.roster)),
        )
        rng = random.Random(f"attack {seed}")
        for metric, counted in attack.compute(world, arm.has_defenses, rng).items():
            kinds: dict[str, Any] = {"ratio": ratios, "value": values, "time": times}
            kinds[METRICS[metric].kind][metric] = counted
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Measured(ratios, values, seal("", ratios, values), [], seconds, cpu, times)
