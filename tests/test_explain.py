"""An answer lists its steps: the same numbers, and who lost weight, never below the cohort."""

import random
from collections import Counter

import numpy as np
import pytest

from qisguard.cli.explaining import explained
from qisguard.defenses.age import Age
from qisguard.defenses.leave_one_out import LeaveOneOut
from qisguard.defenses.one_vote import OneVote
from qisguard.outcomes.answer import Answer, State
from qisguard.outcomes.estimate import ISSUER_TRIMMED
from qisguard.outcomes.explain import OTHERS, Loss, Step, told, weight_step
from qisguard.outcomes.synthesis import Evidence, SynthesisConfig, synthesize
from qisguard.plugins import Card, Defense, Rejected
from tests.packets import ARMS, TODAY, Network, template
from tests.test_synthesis import balanced

TRIMMED = SynthesisConfig(decide=ISSUER_TRIMMED)


def ask(network: Network, *defenses: Defense, config: SynthesisConfig = TRIMMED) -> Answer:
    return synthesize(
        network.packets, template(), network.roster, config, defenses, ARMS, TODAY, {}
    )


@pytest.fixture(scope="module")
def attacked() -> Answer:
    """Twenty hospitals, one of which repeats cases, and a flood of fresh keys."""
    network = balanced(20, 6, (1, 4))
    network.poison(network.keys[0], 30)
    network.packets += network.packets[:30]
    for _ in range(60):
        network.poison(network.key(), 1)
    return ask(network, OneVote(), Age(), LeaveOneOut())


def by_name(answer: Answer) -> dict[str, Step]:
    return {step.name: step for step in answer.steps}


def test_the_steps_come_in_the_order_of_the_pipeline(attacked: Answer) -> None:
    assert [step.name for step in attacked.steps] == [
        "copy",
        "one_vote",
        "age",
        "per issuer",
        "across issuers",
        "interval",
        "bounds",
        "bounds",
        "flip radius",
    ]


def test_the_numbers_of_the_steps_are_those_of_the_answer(attacked: Answer) -> None:
    steps = by_name(attacked)
    assert attacked.flip is not None
    assert steps["copy"].before == attacked.packets
    assert steps["copy"].after == steps["one_vote"].before
    assert steps["one_vote"].after == steps["age"].before
    assert steps["per issuer"].after == attacked.issuers
    assert steps["across issuers"].after == attacked.difference
    assert steps["interval"].after == attacked.effective
    assert (steps["flip radius"].before, steps["flip radius"].after) == (
        attacked.flip.guaranteed,
        attacked.flip.found,
    )


def test_pooled_and_trimmed_differences_stand_side_by_side(attacked: Answer) -> None:
    step = by_name(attacked)["across issuers"]
    assert step.before is not None
    assert step.after is not None
    assert step.before < step.after - 0.2
    assert [(loss.issuer, loss.votes) for loss in step.lost] == [("hospital-00", 72), ("none", 60)]


def test_who_lost_weight_is_told_by_issuer_with_the_reason(attacked: Answer) -> None:
    (flood,) = by_name(attacked)["age"].lost
    assert (flood.issuer, flood.votes) == ("none", 60)  # one_vote left one vote a key
    assert flood.weight == pytest.approx(57.0)  # .05 each


def test_no_step_tells_of_fewer_votes_than_the_minimum_cohort(attacked: Answer) -> None:
    for step in attacked.steps:
        for loss in step.lost:
            assert loss.votes is None or loss.votes >= 11
            assert loss.votes is not None or loss.weight is None


def test_small_losses_are_told_together_and_a_rest_without_numbers() -> None:
    losses = tuple(Loss(f"h{n}", n, float(n)) for n in (4, 5, 6, 20))
    (step,) = told([Step("age", "weight", 100.0, 65.0, "", losses)], 11)
    assert step.lost == (Loss("h20", 20, 20.0), Loss(OTHERS, 15, 15.0))
    (step,) = told([Step("age", "weight", 100.0, 76.0, "", losses[::3])], 11)
    assert step.lost == (Loss("h20", 20, 20.0), Loss(OTHERS, None, None))


def test_what_a_defence_takes_adds_up() -> None:
    rng = np.random.default_rng(1)
    before = rng.random(500)
    after = before * rng.choice([0.0, 0.5, 1.0], 500)
    issuer = rng.integers(0, 4, 500)
    step = weight_step("x", "", before, after, issuer, tuple("abcd"))
    assert step.before is not None
    assert step.after is not None
    assert sum(loss.weight or 0 for loss in step.lost) == pytest.approx(step.before - step.after)
    assert sum(loss.votes or 0 for loss in step.lost) == (after < before).sum()


def test_a_cohort_that_is_too_small_explains_nothing() -> None:
    answer = ask(balanced(2, 4, (1, 2)), OneVote())
    assert (answer.state, answer.steps) == (State.TOO_SMALL, ())


class Drift:
    """Says what it is told to."""

    card = Card("drift", "", "", "", "", "", "", "")

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def watch(self, evidence: Evidence) -> Rejected | None:
        """Return the reason."""
        return Rejected(self.reason)


def test_a_flag_of_drift_is_a_state_of_its_own_and_any_other_is_suspect() -> None:
    network = balanced(20, 12, (1, 8))
    assert ask(network, Drift("drift since day 9")).state is State.DRIFT
    assert ask(network, Drift("drift"), Drift("one issuer")).state is State.SUSPECT
    steps = ask(network, Drift("drift since day 9")).steps
    assert steps[-1] == Step("drift", "flag", None, None, "drift since day 9")


def test_the_steps_are_shown_as_a_table(attacked: Answer) -> None:
    lines = explained(attacked.steps).splitlines()
    assert lines[0].split() == ["step", "what", "before", "after", "why"]
    assert any(line.startswith("3 age") for line in lines)
    assert any("none: 57 of weight, 60 votes" in line for line in lines)
    assert Counter(line.split(" ")[0] for line in lines)["9"] == 1


def test_issuers_beyond_the_first_are_counted() -> None:
    losses = tuple(Loss(f"h{n}", 20, 20.0) for n in range(9))
    assert "and 4 more issuers" in explained([Step("age", "weight", 1.0, 0.5, "", losses)])
    few = [Step("age", "weight", 1.0, 0.5, "", (Loss(OTHERS, None, None),))]
    assert "other issuers: too few votes to tell" in explained(few)


def test_a_pooled_answer_explains_itself_too() -> None:
    network = Network(random.Random(1), 3)
    for case in range(90):
        network.publish(network.keys[case % 3], ARMS[case % 2], 100 + case, case % 2)
    answer = ask(network)
    step = by_name(answer)["pooled"]
    assert step.after == answer.difference
    assert "fewer than 5" in step.why
