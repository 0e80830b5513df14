"""Attackers who take their time, over simulated months with real nodes; two years are scenarios.

The months are shorter than those of the packaged scenarios, and every point is set here.
"""

from typing import Any

import pytest

from qisguard.attacks.lasting import fate
from qisguard.attacks.name_changing import NameChanging
from qisguard.attacks.on_off import OnOff
from qisguard.attacks.patient import Patient
from qisguard.errors import ScenarioError
from qisguard.lab.scenario.loading import load_scenario, packaged
from qisguard.lab.trial.engines import Job, run_job
from tests.scenarios import ratio, trial, value

SHORT: dict[str, Any] = {
    "network__nodes": 6,
    "network__organisations": 5,
    "network__node__replica_count": 3,
    "network__node__k": 4,
    "years__days": 98,
    "years__begins": 56,
    "years__asks": 14,
    "years__cases": 10,
    "years__verified_ratio": 0.4,
}
ON_OFF: dict[str, Any] = {**SHORT, "attack__parameters": {"good": 6, "bad": 4, "cases": 20}}
PATIENT: dict[str, Any] = {**SHORT, "attack__parameters": {"waits": 8, "cases": 20}}
NAMES: dict[str, Any] = {**SHORT, "attack__parameters": {"stays": 4, "cases": 40}}


def test_on_off_members_turn_answers_and_pay_in_true_outcomes() -> None:
    name = "years-on-off"
    assert ratio(name, "attacked", "flipped_under_lies", **ON_OFF) >= 0.5
    assert value(name, "attacked", "lies", **ON_OFF) == 160  # weeks 6 to 9 of 16, two of them
    assert value(name, "attacked", "served", **ON_OFF) == 480
    flips, _ = trial(name, "attacked", **ON_OFF).ratios["flipped_under_lies"]
    gain = value(name, "attacked", "flips_per_1000_served", **ON_OFF)
    assert gain == pytest.approx(1_000 * flips / 480)


def test_patient_members_turn_answers_from_the_day_they_lie() -> None:
    assert ratio("years-patient", "attacked", "flipped_under_lies", **PATIENT) >= 0.5
    assert value("years-patient", "attacked", "served", **PATIENT) == 320


def test_a_liar_with_many_names_is_worth_less_where_members_judge_it() -> None:
    name = "years-name-changing"
    assert value(name, "attacked", "names", **NAMES) == 4
    assert value(name, "defended", "liars_weight", **NAMES) < 0.1
    assert value(name, "attacked", "liars_weight", **NAMES) > 0.25
    flips = [ratio(name, arm, "flipped_under_lies", **NAMES) for arm in ("attacked", "defended")]
    assert flips[0] > flips[1]


def test_what_a_case_comes_to_is_fixed_and_as_likely_as_it_should_be() -> None:
    cases = [number.to_bytes(16, "big") for number in range(4_000)]
    went_well = [fate(case, 0.6) for case in cases]
    assert went_well == [fate(case, 0.6) for case in cases]
    assert sum(went_well) == pytest.approx(2_400, abs=4 * 31)  # four standard deviations
    assert not any(fate(case, 0.5) and not fate(case, 0.6) for case in cases)


def test_plans_are_what_their_names_say() -> None:
    on_off = OnOff(good=2, bad=1)
    assert [on_off.plan(week).lies for week in range(6)] == [False, False, True] * 2
    assert [Patient(waits=2).plan(week).lies for week in range(4)] == [False, False, True, True]
    names = NameChanging(stays=2)
    assert [names.plan(week) for week in range(4)] == [(True, 0), (True, 0), (True, 1), (True, 1)]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "years"', 'kind = "find"', "years: the table is for workload.kind = 'years'"),
        ("days = 728", "days = 6", "years.days = 6, must be 7 to"),
        ("days = 728", "days = 728\nsecond = 0.7", "years.second = 0.7, must be 0 to 0.6"),
        ('"virtual"', '"live"', "on live it takes years"),
        ("organisations = 10", "organisations = 1", "needs members, set network.organisations"),
    ],
)
def test_years_that_cannot_pass_are_refused(old: str, new: str, words: str) -> None:
    text = packaged("years-patient").decode()
    assert old in text
    with pytest.raises(ScenarioError, match=words):
        load_scenario(text.replace(old, new).replace("[years]", "[years]\nlasts = 57").encode())


def test_an_attack_over_years_needs_a_question_over_years() -> None:
    text = packaged("look-up-drop").decode().replace('"look_up_drop"', '"patient"')
    with pytest.raises(ScenarioError, match="lasts for years, set workload"):
        run_job(Job(text.encode(), {"network.nodes": 10}, "attacked", 1))
