"""Cohorts that are too small, too uniform or impossible: a state, or an error that says why."""

from dataclasses import replace

import numpy as np
import pytest

from qisguard.errors import RecordError
from qisguard.lab.bench.synthesis import RULES
from qisguard.outcomes.answer import Answer, State
from qisguard.outcomes.estimate import ISSUER_TRIMMED
from qisguard.outcomes.packet import BINARY, NUMERIC, TIME_TO_EVENT
from qisguard.outcomes.synthesis import SynthesisConfig, conclude
from qisguard.outcomes.votes import Collected, Votes
from qisguard.outcomes.weighing import Weighed, weigh_votes
from tests.packets import ARMS, columns, template
from tests.test_synthesis import Silence

KINDS = list(RULES)
TRIMMED = SynthesisConfig(decide=ISSUER_TRIMMED)
GOOD = {BINARY: (1.0, 0.0), NUMERIC: (60.0, 50.0), TIME_TO_EVENT: (900.0, 100.0)}


def alternate(kind: str, size: int, issuers: int = 1) -> Votes:
    """Return votes of both arms in turn, noisy enough to have an interval."""
    rng = np.random.default_rng(size + issuers)
    arm = np.arange(size) % 2
    first, second = GOOD[kind]
    value = np.where(rng.random(size) < np.where(arm == 0, 0.9, 0.2), first, second)
    event = [bool(v < 900) or kind != TIME_TO_EVENT for v in value]
    issuer = (np.arange(size) // 2 % issuers).tolist()
    return columns(arm.tolist(), value, event, issuer, issuers, kind)


def ask(
    votes: Votes, weights: np.ndarray[tuple[int], np.dtype[np.float64]] | None = None
) -> Answer:
    shape = replace(template(), outcome=replace(RULES[votes.kind], higher_is_better=True))
    weighed = Weighed(votes, np.ones(len(votes)) if weights is None else weights, {})
    return conclude(weighed, len(votes), shape, TRIMMED, (), ARMS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 2, 20])
def test_a_handful_of_votes_is_too_small_whatever_the_kind(kind: str, size: int) -> None:
    answer = ask(alternate(kind, size))
    assert (answer.state, answer.decision, answer.steps) == (State.TOO_SMALL, "undecided", ())
    assert (answer.difference, answer.flip, answer.beside) == (None, None, None)
    assert answer.kind == kind


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_six_votes_of_two_issuers_are_answered_with_finite_numbers(kind: str) -> None:
    answer = ask(alternate(kind, 26, 2))
    assert answer.decision == "hormone"
    assert answer.state is State.FRAGILE
    numbers = [answer.difference, answer.low, answer.high, answer.effective]
    assert np.isfinite(np.array(numbers, np.float64)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_issuer_alone_is_never_ok_however_many_votes_it_has(kind: str) -> None:
    answer = ask(alternate(kind, 4000))
    assert (answer.decision, answer.state) == ("hormone", State.FRAGILE)
    assert "hospital-00 has 100% of the weight that decides" in answer.reasons
    assert "patients as independent" in answer.method_note


def test_a_million_votes_of_one_author_are_one_issuers_word() -> None:
    answer = ask(alternate(BINARY, 1_000_000))
    assert answer.state is State.FRAGILE
    assert answer.largest_share == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_an_arm_that_one_issuer_holds_is_told(kind: str) -> None:
    """Nobody else could contradict what it says about that treatment."""
    votes = alternate(kind, 400, 4)
    votes.issuer[votes.arm == 1] = 3
    answer = ask(votes)
    assert answer.state is State.FRAGILE
    assert any("hospital-03 has" in reason for reason in answer.reasons)


def test_votes_that_all_lost_their_weight_are_no_cohort() -> None:
    votes = alternate(NUMERIC, 100, 5)
    weighed = weigh_votes(Collected(votes, {}), (Silence(),))
    shape = replace(template(), outcome=RULES[NUMERIC])
    answer = conclude(weighed, 100, shape, TRIMMED, (), ARMS)
    assert (answer.state, answer.dropped) == (State.TOO_SMALL, {"no weight: silence": 100})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_by_name(kind: str, wrong: float) -> None:
    votes = alternate(kind, 40)
    votes.value[7] = wrong
    with pytest.raises(RecordError, match=r"value\[7\] = -?(nan|inf), must be "):
        ask(votes)


@pytest.mark.parametrize(
    ("kind", "wrong", "allowed"),
    [(BINARY, 0.5, "0 or 1"), (BINARY, 2.0, "0 or 1"), (TIME_TO_EVENT, -1.0, "at least 0 days")],
)
def test_a_value_that_its_kind_does_not_have_is_refused(
    kind: str, wrong: float, allowed: str
) -> None:
    votes = alternate(kind, 40)
    votes.value[3] = wrong
    with pytest.raises(RecordError, match=rf"value\[3\] = .*must be .*{allowed}"):
        ask(votes)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_a_weight_that_is_none_is_refused(wrong: float) -> None:
    weights = np.ones(40)
    weights[5] = wrong
    with pytest.raises(RecordError, match=r"weights\[5\] = .*finite and above 0"):
        ask(alternate(BINARY, 40), weights)


def test_columns_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(RecordError, match=r"weights has shape \(39,\), must be \(40,\)"):
        ask(alternate(BINARY, 40), np.ones(39))
    votes = alternate(BINARY, 40)
    votes.arm[2] = 2
    with pytest.raises(RecordError, match=r"arm\[2\] = 2, must be 0 or 1"):
        ask(votes)
    votes = alternate(BINARY, 40)
    votes.issuer[2] = 1
    with pytest.raises(RecordError, match=r"issuer\[2\] = 1, must be 0 to below 1"):
        ask(votes)


def test_votes_of_another_kind_than_the_templates_are_refused() -> None:
    shape = replace(template(), outcome=RULES[NUMERIC])
    weighed = Weighed(alternate(BINARY, 40), np.ones(40), {})
    with pytest.raises(RecordError, match="kind = 'binary', the template's is numeric"):
        conclude(weighed, 40, shape, TRIMMED, (), ARMS)


def test_numbers_outside_the_templates_range_widen_what_poison_is_allowed() -> None:
    """An undefended network has them; the median holds, the mean's radius shrinks."""
    votes = alternate(NUMERIC, 400, 8)
    calm = ask(votes)
    votes.value[0] = 1e9
    wild = ask(votes)
    assert calm.beside is not None
    assert wild.beside is not None
    assert calm.difference == wild.difference
    assert calm.beside.guaranteed is not None
    assert wild.beside.guaranteed is not None
    assert wild.beside.guaranteed < calm.beside.guaranteed / 10
