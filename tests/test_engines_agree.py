"""Arrays and real nodes give the same look-ups: hops, messages, success, exposure, within bounds.

The bounds are a few standard errors of the real nodes' side, which is the smaller sample.
"""

from collections import Counter

import pytest

from qisguard.lab.trial.engines import Job, run_job

NODES = 200
LOOK_UPS = {"virtual": 60, "model": 3_000}
SEEDS = 2
SCENARIO = """
name = "both"
title = "The same look-ups on both engines"
engine = "{engine}"
[network]
nodes = {nodes}
node = {{ k = 8, alpha = 1, siblings = 8, sibling_factor = 2, refresh_interval = 86400.0 }}
[workload]
operations = {look_ups}
[attack]
name = "{attack}"
share = 0.2
arrival = "settled"
[[defenses]]
name = "disjoint_paths"
"""
RATIOS = {"success": 0.04, "recall": 0.05, "captured": 0.04, "exposed": 0.09}
"""Largest difference of a share, absolute."""
VALUES = {"hops": 0.12, "messages": 0.08}
"""Largest difference of a mean, as a share of it."""


def _measure(engine: str, attack: str, arm: str) -> dict[str, float]:
    """Return shares over all seeds, and means of values."""
    data = SCENARIO.format(
        engine=engine, nodes=NODES, look_ups=LOOK_UPS[engine], attack=attack
    ).encode()
    hits: Counter[str] = Counter()
    tries: Counter[str] = Counter()
    values: Counter[str] = Counter()
    for seed in range(1, SEEDS + 1):
        measured = run_job(Job(data, {}, arm, seed))
        for name, (hit, tried) in measured.ratios.items():
            hits[name] += hit
            tries[name] += tried
        for name, value in measured.values.items():
            values[name] += value / SEEDS  # type: ignore[assignment] # a counter of floats
    return {name: hits[name] / tries[name] for name in RATIOS} | {n: values[n] for n in VALUES}


@pytest.mark.parametrize("attack", ["look_up_drop", "look_up_misroute"])
@pytest.mark.parametrize("arm", ["clean", "attacked", "defended"])
def test_arrays_and_real_nodes_agree(attack: str, arm: str) -> None:
    real, arrays = _measure("virtual", attack, arm), _measure("model", attack, arm)
    apart = {name: (real[name], arrays[name]) for name in real}
    for name, bound in RATIOS.items():
        assert abs(real[name] - arrays[name]) <= bound, apart
    for name, bound in VALUES.items():
        assert abs(real[name] - arrays[name]) <= bound * real[name], apart


def test_arrays_replay_and_differ_by_seed() -> None:
    data = SCENARIO.format(
        engine="model", nodes=NODES, look_ups=500, attack="look_up_drop"
    ).encode()
    first, again, other = (run_job(Job(data, {}, "attacked", seed)) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert "settled" in first.notes[0]


def test_what_arrays_do_not_have_is_absent_and_not_zero() -> None:
    data = SCENARIO.format(
        engine="model", nodes=NODES, look_ups=100, attack="look_up_drop"
    ).encode()
    measured = run_job(Job(data, {}, "attacked", 1))
    assert not {"latency_p50", "datagrams"} & set(measured.values)
    assert "table_bad" not in measured.ratios
