"""The same look-ups on the tables of real nodes and on arrays: same ids, liars, askers, places.

Real tables are searched by the node's own ``Lookup``, in rounds and without time;
``test_engines_agree`` shows that the nodes themselves, on ``virtual``, find the same contacts. What
is left between the two sides is which contacts happened to enter a bucket, so that thousands of
look-ups say where they differ, which would take ``virtual`` hours.

    uv run python -m tests.side_by_side --look-ups 3000 --seeds 4 --real 300
"""

import argparse
import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.identity.ids import NodeId
from qisguard.lab.model.lookups import Adversary, Ends, LookUpSettings, look_ups
from qisguard.lab.model.network import Network, Questions
from qisguard.lab.scenario.loading import load_scenario
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.engines import Job, run_job
from qisguard.lab.trial.ground import Ground
from qisguard.lab.trial.people import gather
from qisguard.lab.trial.real import CLOCK
from qisguard.lab.trial.work import Plan
from qisguard.lab.virtual import VirtualEngine
from qisguard.lab.warm import nearest
from qisguard.node.checks import memoised
from qisguard.node.lookup import Lookup
from qisguard.node.node import Node

SCENARIO = """
name = "both"
title = "The same look-ups on both engines"
engine = "{engine}"
[network]
nodes = {nodes}
node = {{ k = 8, alpha = 1, siblings = 8, sibling_factor = {factor}, refresh_interval = 86400.0 }}
[workload]
operations = {look_ups}
[attack]
name = "{attack}"
share = 0.2
arrival = "settled"
[[defenses]]
name = "disjoint_paths"
"""
"""With its defence a look-up has four paths, without it one."""
FIGURES = ("success", "recall", "captured", "exposed", "hops", "messages")
MARGIN = {
    "success": 0.01,
    "recall": 0.01,
    "captured": 0.01,
    "exposed": 0.01,
    "hops": 0.04,
    "messages": 0.1,
}
"""How far the engines may differ beyond chance: shares, hops, and requests on each path."""
ERRORS_MAX = 4.0
"""How many standard errors of the difference may be chance: one comparison in 16,000."""
ARMS = {(False, 1): "clean", (True, 1): "attacked", (False, 4): "guarded", (True, 4): "defended"}

Figures = NDArray[np.float64]
"""(q, 6): a row for each look-up, a column for each of ``FIGURES``."""


def scenario(
    engine: str, nodes: int, look_up_count: int, attack: str = "look_up_misroute", factor: int = 2
) -> bytes:
    """Return a scenario file; a fifth of the nodes are attackers, and in their neighbours' tables.

    factor: the sibling list holds 8 * factor contacts.
    """
    return SCENARIO.format(
        engine=engine, nodes=nodes, look_ups=look_up_count, attack=attack, factor=factor
    ).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one look-up brought: contacts nearest first, the asker among them."""

    ids: list[NodeId]
    hops: int
    messages: int
    exposed: bool


async def settle(nodes: int, seed: int, arm: Arm = Arm.ATTACKED, factor: int = 2) -> Ground:
    """Return a network of real nodes on ``virtual``, its liars at work."""
    loaded = load_scenario(scenario("virtual", nodes, 1, factor=factor))
    people = gather(loaded, seed, is_live=False, arm=arm)
    plan = Plan.of(seed, loaded.scenario.workload, people.network)
    defenses = loaded.defenses(arm, people.roster)
    ground = Ground(
        loaded,
        arm,
        seed,
        VirtualEngine(seed, CLOCK, loaded.links),
        people,
        loaded.settings(arm, defenses),
        defenses,
        plan.places,
        plan.keys,
        memoised(),
    )
    await ground.settle()
    await ground.attack()
    return ground


def draw(ground: Ground, count: int, seed: int) -> list[tuple[Node, NodeId]]:
    """Return who looks up what: honest nodes, and places anywhere."""
    rng = random.Random(f"side by side {seed}")
    return [(rng.choice(ground.honest), NodeId(rng.getrandbits(256))) for _ in range(count)]


class Tables:
    """The tables of real nodes, searched without sessions and time."""

    def __init__(self, ground: Ground, lies: bool) -> None:
        self._k = ground.config.k
        self._lies = lies
        self._tables = {node.me.id: node.table for node in (*ground.honest, *ground.liars)}
        self._gang = {node.me.id: node.me for node in ground.liars}

    def look_up(self, asker: Node, place: NodeId, paths: int) -> Answer:
        """Look up in rounds: everybody answers at once, in the order in which they were asked."""
        own, k = asker.me.id, self._k
        gang = sorted(self._gang.values(), key=lambda contact: contact.id ^ place)[:k]
        lookup = Lookup(
            place,
            asker.table.closest(place, max(k, paths)),
            count=k,
            alpha=1,
            disjoint_paths=paths,
        )
        exposed = False
        while queries := lookup.queries_to_send():
            for peer in queries:
                exposed |= peer.id in self._gang
                if self._lies and peer.id in self._gang:
                    named = [c for c in gang if c.id ^ place < peer.id ^ place]
                else:
                    near = self._tables[peer.id].answering(place, k + 1)
                    named = [c for c in near if c.id != own][:k]
                lookup.handle_nodes(peer.id, named)
        ids = sorted([own, *(c.id for c in lookup.closest())], key=lambda i: i ^ place)
        return Answer(ids[:k], lookup.hops, lookup.message_count, exposed)


def on_arrays(
    ground: Ground, asked: Sequence[tuple[Node, NodeId]], paths: int, lies: bool
) -> list[Answer]:
    """Look up in arrays that hold the ids of ``ground``, with tables of their own."""
    k, config = ground.config.k, ground.config
    everybody = sorted(node.me.id for node in (*ground.honest, *ground.liars))
    liars = {node.me.id for node in ground.liars}
    network = Network(
        np.array([i >> 192 for i in everybody], np.uint64),
        np.array([i in liars for i in everybody]),
        ground.seed,
        k,
        config.siblings * config.sibling_factor,
    )
    position = {identifier: at for at, identifier in enumerate(everybody)}
    questions = Questions(
        np.array([place >> 192 for _, place in asked], np.uint64),
        np.array([position[node.me.id] for node, _ in asked], np.int64),
    )
    behaviour = Adversary.COLLUDE if lies else Adversary.HONEST
    result = look_ups(network, questions, LookUpSettings(k, paths, 1, Ends.CLOSEST, behaviour))
    answers = []
    for at, (node, place) in enumerate(asked):
        ids = [node.me.id, *(everybody[i] for i in result.found[at] if i >= 0)]
        ids.sort(key=place.__xor__)
        hops, messages = int(result.hops[at]), int(result.messages[at])
        answers.append(Answer(ids[:k], hops, messages, bool(result.adversary_saw[at])))
    return answers


def figures(
    ground: Ground, asked: Sequence[tuple[Node, NodeId]], answers: Sequence[Answer]
) -> Figures:
    """Return what each look-up was worth, counted as in trials."""
    honest = sorted(node.me.id for node in ground.honest)
    liars = {node.me.id for node in ground.liars}
    rows = []
    for (_, place), answer in zip(asked, answers, strict=True):
        near = nearest(honest, place, ground.config.k)
        returned = set(answer.ids)
        rows.append(
            (
                near[0] in returned,
                len(returned.intersection(near)) / len(near),
                2 * len(returned & liars) > len(returned),
                answer.exposed,
                answer.hops,
                answer.messages,
            )
        )
    return np.array(rows, float)


def compare(
    ground: Ground, count: int, seed: int, paths: int, lies: bool
) -> tuple[Figures, Figures]:
    """Return the figures of ``count`` look-ups on real tables, and of the same on arrays."""
    asked = draw(ground, count, seed)
    tables = Tables(ground, lies)
    real = [tables.look_up(node, place, paths) for node, place in asked]
    arrays = on_arrays(ground, asked, paths, lies)
    return figures(ground, asked, real), figures(ground, asked, arrays)


def bounds(real: Figures, arrays: Figures, paths: int) -> dict[str, tuple[float, float, float]]:
    """Return each figure's mean difference, its standard error and the bound on the difference."""
    apart = arrays - real
    errors = apart.std(axis=0) / np.sqrt(len(apart))
    return {
        name: (
            float(apart[:, at].mean()),
            float(errors[at]),
            ERRORS_MAX * float(errors[at]) + MARGIN[name] * (paths if name == "messages" else 1),
        )
        for at, name in enumerate(FIGURES)
    }


def main() -> None:
    """Print both sides for every size, with the standard error of their difference."""
    parser = argparse.ArgumentParser(description="the same look-ups on real tables and on arrays")
    parser.add_argument("--look-ups", type=int, default=3_000, help="on each network")
    parser.add_argument("--seeds", type=int, default=4, help="networks of each size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 500, 1_000, 2_000])
    parser.add_argument("--factor", type=int, default=2, help="siblings / 8")
    parser.add_argument("--real", type=int, default=0, help="look-ups of real nodes, seed 1")
    wanted = parser.parse_args()
    print("| N | d | liars |", " | ".join(FIGURES), "| |\n" + "| --- " * 10 + "|")
    for nodes in wanted.sizes:
        grounds = [
            asyncio.run(settle(nodes, seed, factor=wanted.factor))
            for seed in range(1, wanted.seeds + 1)
        ]
        for (lies, paths), arm in ARMS.items():
            pairs = [compare(g, wanted.look_ups, g.seed, paths, lies) for g in grounds]
            real, arrays = (np.concatenate(side) for side in zip(*pairs, strict=True))
            told = bounds(real, arrays, paths)
            shown = [
                f"{real[:, at].mean():.3f}, {told[name][0]:+.4f} ± {told[name][1]:.4f}"
                for at, name in enumerate(FIGURES)
            ]
            agrees = all(abs(apart) <= bound for apart, _, bound in told.values())
            verdict = "agree" if agrees else "DIFFER"
            row = [f"| {nodes} | {paths} | {lies} ", *shown, f"{verdict} |"]
            print(" | ".join(row), flush=True)
            if wanted.real:
                _show_real(nodes, wanted.real, arm, wanted.factor)


def _show_real(nodes: int, look_up_count: int, arm: str, factor: int) -> None:
    """Print what real nodes on ``virtual`` measured, asked for other places."""
    data = scenario("virtual", nodes, look_up_count, factor=factor)
    measured = run_job(Job(data, {}, arm, 1))
    shares = {name: hits / tries for name, (hits, tries) in measured.ratios.items()}
    shares |= measured.values
    shown = [f"{shares[name]:.3f}" for name in FIGURES]
    print("| real nodes | | |", " | ".join(shown), "| |", flush=True)


if __name__ == "__main__":
    main()
