"""Scenario files of the laboratory: what they say, and how errors name what is wrong."""

import pytest

from qisguard.attacks import ATTACKS
from qisguard.errors import ScenarioError
from qisguard.lab.scenario.gates import Gate, State, read_gate
from qisguard.lab.scenario.loading import (
    load_scenario,
    packaged,
    packaged_names,
    point_name,
    points,
)
from qisguard.lab.statistics import Interval
from qisguard.lab.trial.arms import Arm, arms_of
from qisguard.lab.trial.measured import METRICS

SMALLEST = """
name = "smallest"
title = "The least that a scenario can say"
[attack]
name = "look_up_drop"
share = 0.25
"""


def _with(text: str) -> bytes:
    return (SMALLEST + text).encode()


def test_a_scenario_needs_no_more_than_a_name_a_title_and_an_attack() -> None:
    loaded = load_scenario(_with(""))
    assert loaded.arms == (Arm.CLEAN, Arm.ATTACKED)
    assert (loaded.honest, loaded.attackers) == (75, 25)
    assert loaded.scenario.engine == "virtual"


def test_a_budget_of_identities_comes_beside_the_honest_nodes() -> None:
    loaded = load_scenario(_with("").replace(b"share = 0.25", b"identities = 25"))
    assert (loaded.honest, loaded.attackers) == (100, 25)


def test_with_defences_there_are_four_arms() -> None:
    loaded = load_scenario(_with("[[defenses]]\nname = 'disjoint_paths'"))
    assert loaded.arms == tuple(Arm) == arms_of(True)
    assert [arm.has_attack for arm in Arm] == [False, True, True, False]
    assert [arm.has_defenses for arm in Arm] == [False, False, True, True]


def test_defences_change_the_configuration_of_their_arms_alone() -> None:
    text = "[network.node]\ndisjoint_paths = 1\n[[defenses]]\nname = 'disjoint_paths'"
    loaded = load_scenario(_with(text))
    paths = [loaded.settings(arm, loaded.defenses(arm, None)).disjoint_paths for arm in Arm]
    assert paths == [1, 1, 4, 4]


@pytest.mark.parametrize("name", packaged_names())
def test_every_packaged_scenario_loads_under_its_own_name(name: str) -> None:
    loaded = load_scenario(packaged(name))
    assert loaded.scenario.name == name
    assert loaded.scenario.attack.name in ATTACKS
    for point in points(packaged(name)):
        load_scenario(packaged(name), point)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[defenses]]\nname = 'disjoint'", ["defenses[0].name", "'disjoint'", "disjoint_paths"]),
        ("[[defenses]]\nname = 'disjoint_paths'\nparameters = { path = 2 }", ["'path'", "'paths'"]),
        ("[network]\nnode = { kk = 3 }", ["network.node", "'kk'"]),
        ("[network]\nnode = { k = 300 }", ["network.node", "300", "1 to 20"]),
        ("[network]\nsize = 3", ["network", "'size'"]),
        ("[network]\nnodes = 1", ["network.nodes = 1", "2 to 10000"]),
        ("[network]\nnodes = 'many'", ["network.nodes", "'many'", "int"]),
        ("[workload]\nkind = 'look'", ["workload.kind", "'look'"]),
        ("[network.links]\nloss = 0.3", ["network.links", "loss_ratio"]),
        ("[churn]\nreplaced_ratio = 0.5", ["workload.pause = 0"]),
        ("[[expected]]\nvalue='attacked.sucess'\nlow=0\nhigh=1\nsource='x'", ["success"]),
        ("[seeds]\nuntil = 'attacked.success >= 0.5'", ["seeds.until", "width"]),
    ],
)
def test_errors_name_table_key_value_and_what_is_allowed(text: str, words: list[str]) -> None:
    with pytest.raises(ScenarioError) as raised:
        load_scenario(_with(text))
    assert [word for word in words if word not in str(raised.value)] == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("look_up_drop", "look_up_drp", ["attack.name", "look_up_drop"]),
        ("share = 0.25", "share = 0.25\nidentities = 3", ["identities = 3", "share = 0.25"]),
        ("share = 0.25", "share = 2.0", ["attack.share = 2.0", "0 to 0.95"]),
        ("share = 0.25", "share = 0.25\nenrolled = true", ["network.organisations"]),
        ("share = 0.25", "share = 0.25\nparameters = { x = 1 }", ["attack.parameters", "'x'"]),
        ('"smallest"', '"Small/est"', ["name", "small letters"]),
        ('name = "smallest"', "", ["'name' is missing"]),
        ("[attack]", 'engine = "direct"\n[attack]', ["engine = 'direct'", "virtual"]),
        ("[attack]", 'gates = ["attacked.success > x"]\n[attack]', ["gates[0]", "NUMBER"]),
        ("[attack]", 'gates = ["defended.success > 0"]\n[attack]', ["arm 'defended'", "attacked"]),
        ("[attack]", 'gates = ["clean.success.mid > 0"]\n[attack]', ["end 'mid'", "low"]),
    ],
)
def test_errors_of_names_budgets_and_gates_say_what_is_allowed(
    old: str, new: str, words: list[str]
) -> None:
    with pytest.raises(ScenarioError) as raised:
        load_scenario(SMALLEST.replace(old, new).encode())
    assert [word for word in words if word not in str(raised.value)] == []


def test_a_grid_has_every_combination_and_puts_its_values_over_those_of_the_file() -> None:
    data = _with('[grid]\n"attack.share" = [0.1, 0.5]\n"network.node.k" = [4, 8, 16]')
    all_points = list(points(data))
    assert len(all_points) == 6
    assert point_name(all_points[1]) == "attack.share=0.1 network.node.k=8"
    loaded = load_scenario(data, all_points[-1])
    assert loaded.attackers == 50
    assert loaded.settings(Arm.CLEAN, []).k == 16
    assert list(points(_with(""))) == [{}]


@pytest.mark.parametrize("key", ["attack.shares", "name.first", "defenses.3.name"])
def test_a_grid_over_a_key_that_does_not_exist_is_an_error(key: str) -> None:
    with pytest.raises(ScenarioError):
        load_scenario(_with(""), {key: 1})


@pytest.mark.parametrize(
    ("text", "low", "high", "samples", "state"),
    [
        ("clean.success >= 0.9", 0.91, 0.99, 10, State.HELD),
        ("clean.success >= 0.9", 0.5, 0.89, 10, State.BROKEN),
        ("clean.success >= 0.9", 0.89, 0.91, 10, State.NOT_MEASURED),
        ("clean.success >= 0.9", 0.91, 0.99, 2, State.NOT_MEASURED),
        ("clean.success.low >= 0.9", 0.89, 0.99, 10, State.BROKEN),
        ("clean.success.lo95 >= 0.9", 0.91, 0.99, 10, State.HELD),
        ("clean.success.width < 0.1", 0.91, 0.99, 10, State.HELD),
        ("clean.captured <= 0.05", 0.0, 0.04, 3, State.HELD),
        ("clean.captured.hi95 > 0.05", 0.0, 0.04, 3, State.BROKEN),
    ],
)
def test_a_gate_is_decided_by_the_ends_of_the_interval(
    text: str, low: float, high: float, samples: int, state: State
) -> None:
    gate = read_gate(text, ["clean"], METRICS, "gate")
    assert gate.judge(Interval((low + high) / 2, low, high), samples) is state


def test_what_was_not_measured_holds_no_gate() -> None:
    gate = Gate("x", "clean", "success", "", ">=", 0.0)
    assert gate.judge(None, 100) is State.NOT_MEASURED
