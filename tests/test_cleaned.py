"""Poison within every issuer: the share below which a decision across issuers stands."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qisguard.outcomes.answer import State
from qisguard.outcomes.cleaned import everywhere, least_trimmed_mean
from qisguard.outcomes.estimate import ISSUER_TRIMMED
from qisguard.outcomes.issuers import kept, trimmed_mean
from qisguard.outcomes.kinds import tally
from qisguard.outcomes.packet import BINARY, NUMERIC, TIME_TO_EVENT
from qisguard.outcomes.synthesis import SynthesisConfig, conclude
from qisguard.outcomes.tally import Tally
from qisguard.outcomes.weighing import Weighed
from tests.packets import ARMS, columns, template
from tests.test_kinds import RULES, VALUES

TRIM = 0.3
Vote = tuple[int, int, float, int]
"""Arm, issuer, value, event."""


def tallied(kind: str, votes: list[Vote]) -> Tally:
    arm, issuer, value, event = zip(*votes, strict=True)
    held = columns(arm, value, event, issuer=issuer, issuers=max(issuer) + 1, kind=kind)
    return tally(held, np.ones(len(votes)), RULES[kind])


def decided(told: Tally) -> float:
    found = told.differences()
    return trimmed_mean(found.value, found.weight, TRIM) if len(found.value) else 0.0


@st.composite
def poisoned(draw: st.DrawFn, kind: str) -> tuple[list[Vote], list[Vote], float]:
    """Return all votes, those that are left without the poison, and its largest share."""
    votes: list[Vote] = []
    clean: list[Vote] = []
    most = 0.0
    for issuer in range(draw(st.integers(1, 5))):
        for arm in (0, 1):
            size = draw(st.integers(1, 6))
            mine = [(arm, issuer, *draw(VALUES[kind])) for _ in range(size)]
            bad = draw(st.integers(0, size - 1))
            votes += mine
            clean += mine[bad:]
            most = max(most, bad / size)
    return votes, clean, most


@pytest.mark.parametrize("kind", list(RULES))
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_poison_within_every_issuer_below_the_share_made_the_decision(
    kind: str, data: st.DataObject
) -> None:
    votes, clean, most = data.draw(poisoned(kind))
    told = tallied(kind, votes)
    said = decided(told)
    assume(abs(said) > 1e-9)
    safe = everywhere(told.cleaner(), TRIM, 0 if said > 0 else 1)
    if most < safe:
        assert said * decided(tallied(kind, clean)) > 0


@pytest.mark.parametrize("share", [0.1, 0.3, 0.55])
def test_issuers_that_all_say_the_same_are_safe_below_their_difference(share: float) -> None:
    """Horowitz and Manski 1995: an equal share in both arms turns a difference of its size."""
    worse = 0.2
    votes: list[Vote] = []
    for issuer in range(6):
        for arm, size in ((0, 20 * (share + worse)), (1, 20 * worse)):
            votes += [(arm, issuer, float(case < round(size)), 1) for case in range(20)]
    told = tallied(BINARY, votes)
    assert everywhere(told.cleaner(), TRIM, 0) == pytest.approx(share, abs=2e-3)


@pytest.mark.parametrize("kind", list(RULES))
def test_the_share_does_not_depend_on_which_arm_is_named_first(kind: str) -> None:
    rng = np.random.default_rng(1)
    best = {BINARY: 1.0, NUMERIC: 6.0, TIME_TO_EVENT: 6.0}[kind]
    votes: list[Vote] = [
        (arm, issuer, best * float(rng.random() < (0.9 - 0.5 * arm)), 1)
        for issuer in range(8)
        for arm in (0, 1)
        for _ in range(11)
    ]
    turned: list[Vote] = [(1 - arm, where, value, event) for arm, where, value, event in votes]
    here, there = tallied(kind, votes), tallied(kind, turned)
    assert decided(here) == pytest.approx(-decided(there))
    safe = everywhere(here.cleaner(), TRIM, 0)
    assert 0 < safe == everywhere(there.cleaner(), TRIM, 1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_weights_within_their_bounds_give_less_than_the_least_trimmed_mean(
    data: st.DataObject,
) -> None:
    size = data.draw(st.integers(1, 8))
    value = np.array([data.draw(st.integers(-5, 5)) for _ in range(size)], np.float64)
    most = np.array([data.draw(st.integers(1, 8)) for _ in range(size)], np.float64)
    parts = np.array([[data.draw(st.integers(0, 8)) for _ in range(size)] for _ in range(2)]) / 8
    least = most * parts.min(axis=0)
    weight = least + (most - least) * parts.max(axis=0)
    assume(weight.sum() > 0)
    floor = least_trimmed_mean(value, least, most, TRIM)
    assert floor <= float(kept(value, weight, TRIM) @ value) + 1e-9
    assert least_trimmed_mean(value, most, most, TRIM) == pytest.approx(
        trimmed_mean(value, most, TRIM)
    )


def answered(share: float, threshold: float) -> tuple[State, tuple[str, ...]]:
    """Twenty hospitals; in each of them the first arm leads by ``share``."""
    size = 40
    cases = [
        (arm, issuer, float(case < round(size * (0.2 + share * (1 - arm)))), 1)
        for issuer in range(20)
        for arm in (0, 1)
        for case in range(size)
    ]
    arm, issuer, value, event = zip(*cases, strict=True)
    votes = columns(arm, value, event, issuer=issuer, issuers=20, kind=BINARY)
    config = SynthesisConfig(decide=ISSUER_TRIMMED, flip_threshold=threshold)
    weighed = Weighed(votes, np.ones(len(votes)), {})
    shape = replace(template(), outcome=RULES[BINARY])
    answer = conclude(weighed, len(votes), shape, config, (), ARMS)
    return answer.state, answer.reasons


def test_a_small_lead_of_all_issuers_is_fragile_to_who_reckons_with_poison_in_all() -> None:
    state, reasons = answered(0.15, threshold=0.2)
    assert state is State.FRAGILE
    assert [reason for reason in reasons if "14.9% of poison in every issuer" in reason]


def test_a_large_lead_of_all_issuers_is_ok_and_so_is_a_small_one_to_who_trusts_more() -> None:
    assert answered(0.5, threshold=0.2)[0] is State.OK
    assert answered(0.15, threshold=0.1)[0] is State.OK
