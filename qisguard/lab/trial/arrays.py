"""A trial on arrays: look-ups in up to ten million nodes, for attacks that have an array form.

What the arrays keep of a network are ids, tables, siblings and paths. Time, loss, sessions and
stores are not there, and their metrics are absent from results.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.config import NodeConfig
from qisguard.errors import ScenarioError
from qisguard.lab.model.closest import closest_nodes
from qisguard.lab.model.lookups import Adversary, Ends, LookUps, LookUpSettings, look_ups
from qisguard.lab.model.network import Network, Questions, build, draw_questions
from qisguard.lab.model.regions import crowded
from qisguard.lab.scenario.loading import Loaded
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.measured import Measured, seal
from qisguard.plugins import ArrayAttack, ArrayForm

NOTE = "tables are those of a settled network; nothing is lost, and nobody is slow"


@dataclass(frozen=True, slots=True)
class Setting:
    """A network, and who asks it for what."""

    network: Network
    questions: Questions


def run_model(loaded: Loaded, arm: Arm, seed: int) -> Measured:
    """Return what one seed of one arm measured on arrays."""
    attack = loaded.attack
    if not isinstance(attack, ArrayForm):
        raise ScenarioError(f"engine = 'model': {loaded.scenario.attack.name} has no array form")
    started, cpu = time.perf_counter(), time.process_time()
    config = loaded.settings(arm, loaded.defenses(arm, None))
    form = attack.array()
    setting = prepare(loaded, config, form, seed, arm.has_attack)
    settings = LookUpSettings(
        count=config.k,
        disjoint_paths=config.disjoint_paths,
        alpha=config.alpha,
        ends=Ends.CLOSEST,
        adversary=Adversary(form.lie),
    )
    result = look_ups(setting.network, setting.questions, settings)
    ratios, values = _measure(setting, result, config.k)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Measured(ratios, values, seal("", ratios, values), [NOTE], seconds, cpu)


def prepare(
    loaded: Loaded, config: NodeConfig, form: ArrayAttack, seed: int, attacked: bool
) -> Setting:
    """Return the network of one seed; without the attack, the same honest nodes and askers."""
    scenario = loaded.scenario
    siblings = config.siblings * config.sibling_factor
    count = scenario.workload.operations
    if form.placed or not scenario.attack.share:
        honest = build(loaded.honest, 0.0, seed, k=config.k, siblings=siblings)
    else:
        share = loaded.attackers / scenario.network.nodes
        honest = _honest(build(scenario.network.nodes, share, seed, k=config.k, siblings=siblings))
    questions = draw_questions(honest, count, seed + 1)
    if scenario.workload.targets == "one":
        questions = Questions(np.full(count, questions.targets[0]), questions.starts)
    if not attacked:
        return Setting(honest, questions)
    if form.placed:
        sybils = crowded(honest, questions.targets[:1], loaded.attackers, seed + 2)[0]
    else:
        sybils = _random_ids(honest, loaded.attackers, seed + 2)
    network = _joined(honest, sybils)
    starts = np.searchsorted(network.ids, honest.ids[questions.starts])
    return Setting(network, Questions(questions.targets, starts))


def _honest(network: Network) -> Network:
    ids = network.ids[~network.adversary]
    return Network(ids, np.zeros(ids.size, np.bool_), network.seed, network.k, network.siblings)


def _random_ids(network: Network, count: int, seed: int) -> NDArray[np.uint64]:
    """Return ``count`` ids that no node of ``network`` has, all different."""
    rng = np.random.Generator(np.random.PCG64(seed))
    found: NDArray[np.uint64] = np.zeros(0, np.uint64)
    while found.size < count:
        more = rng.integers(0, 2**64 - 1, count - found.size, np.uint64, endpoint=True)
        found = np.setdiff1d(np.concatenate([found, more]), network.ids)
    return found


def _joined(network: Network, sybils: NDArray[np.uint64]) -> Network:
    ids = np.concatenate([network.ids, sybils])
    adversary = np.concatenate([network.adversary, np.ones(sybils.size, np.bool_)])
    order = np.argsort(ids)
    return Network(ids[order], adversary[order], network.seed, network.k, network.siblings)


def _measure(
    setting: Setting, result: LookUps, k: int
) -> tuple[dict[str, tuple[int, int]], dict[str, float]]:
    """Return the metrics of look-ups, counted as for real nodes."""
    network, count = setting.network, result.success.size
    truth = closest_nodes(network.arrays, setting.questions.targets, k, honest_only=True)
    found = _with_asker(setting, result)
    returned = found >= 0
    bad = returned & network.adversary[np.maximum(found, 0)]
    hit = (truth[:, :, None] == found[:, None, :]).any(axis=2) & (truth >= 0)
    ratios = {
        "success": (int(hit[:, 0].sum()), count),
        "recall": (int(hit.sum()), int((truth >= 0).sum())),
        "captured": (int((2 * bad.sum(axis=1) > returned.sum(axis=1)).sum()), count),
        "exposed": (int(result.adversary_saw.sum()), count),
    }
    values = {"hops": float(result.hops.mean()), "messages": float(result.messages.mean())}
    return ratios, values


def _with_asker(setting: Setting, result: LookUps) -> NDArray[np.int64]:
    """Return what each look-up found, (q, k) positions nearest first, -1 beyond; asker included.

    A node that looks something up counts itself: it knows that it is there.
    """
    ids, questions = setting.network.ids, setting.questions
    found = np.concatenate([questions.starts[:, None], result.found], axis=1).astype(np.int64)
    distance = ids[np.maximum(found, 0)] ^ questions.targets[:, None]
    distance[found < 0] = np.iinfo(np.uint64).max
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(found, nearest, axis=1)
