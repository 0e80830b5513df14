import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from qisguard.errors import RecordError
from qisguard.lab.demo.cohort import REAL, load_cohort
from qisguard.outcomes.answer import Answer, State
from qisguard.outcomes.estimate import ISSUER_TRIMMED, POOLED, issuer_estimate, pooled_estimate
from qisguard.outcomes.issuers import FULL, trimmed_mean
from qisguard.outcomes.packet import OutcomePacket
from qisguard.outcomes.survivals import Survivals, survival_curves
from qisguard.outcomes.synthesis import SynthesisConfig, synthesize
from qisguard.outcomes.votes import Votes
from qisguard.outcomes.weighing import weigh, weight_by_age, weight_by_issuer
from qisguard.plugins import Card, Defense
from tests.packets import ARMS, ENROLLED, TODAY, Network, columns, template

TRIMMED = SynthesisConfig(decide=ISSUER_TRIMMED)


def ask(
    network: Network,
    config: SynthesisConfig | None = None,
    defenses: tuple[Defense, ...] = (),
    arms: tuple[str, str] = ARMS,
) -> Answer:
    return synthesize(
        network.packets,
        template(),
        network.roster,
        config or SynthesisConfig(),
        defenses,
        arms,
        TODAY,
        {},
    )


@pytest.fixture(scope="module")
def gbsg2() -> Network:
    """Grade II of GBSG2 in 20 hospitals."""
    network = Network(random.Random(2), 20)
    network.publish_cohort(load_cohort(REAL).with_grade("II"))
    return network


def balanced(hospitals: int, each: int, deaths: tuple[int, int]) -> Network:
    """Every hospital has ``each`` cases in each arm, of which ``deaths`` die before the horizon."""
    network = Network(random.Random(3), hospitals)
    for author in network.keys:
        for arm, dying in zip(ARMS, deaths, strict=True):
            for case in range(each):
                died = case < dying
                network.publish(author, arm, 100 + case if died else 900, int(died))
    return network


def test_without_defences_the_answer_is_the_published_kaplan_meier(gbsg2: Network) -> None:
    answer = ask(gbsg2)
    first, second = answer.arms
    assert (first.cases, second.cases) == (163, 281)
    assert first.estimate == pytest.approx(0.8191, abs=1e-3)
    assert second.estimate == pytest.approx(0.7227, abs=1e-3)
    assert (first.median, second.median) == (2018.0, 1460.0)
    assert answer.decision == "hormone"
    assert (answer.method, answer.label) == (POOLED, "association")
    assert answer.issuers == 20


def test_across_issuers_the_answer_is_near_the_pooled_one(gbsg2: Network) -> None:
    answer = ask(gbsg2, TRIMMED)
    assert answer.method == ISSUER_TRIMMED
    assert answer.difference == pytest.approx(0.096, abs=0.06)
    for arm, pooled in zip(answer.arms, ask(gbsg2, SynthesisConfig()).arms, strict=True):
        assert arm.estimate == pytest.approx(pooled.estimate, abs=0.08)


def test_swapping_the_arms_mirrors_the_answer(gbsg2: Network) -> None:
    for config in (SynthesisConfig(), TRIMMED):
        here, there = ask(gbsg2, config), ask(gbsg2, config, arms=(ARMS[1], ARMS[0]))
        assert here.decision == there.decision
        assert here.difference == pytest.approx(-(there.difference or 0))
        assert here.low == pytest.approx(-(there.high or 0))
        assert here.contamination[0].low == pytest.approx(-there.contamination[0].high)
        assert here.flip is not None
        assert there.flip is not None
        assert here.flip.guaranteed == pytest.approx(there.flip.guaranteed, abs=1e-3)


def test_the_order_of_packets_changes_nothing(gbsg2: Network) -> None:
    shuffled = list(gbsg2.packets)
    random.Random(4).shuffle(shuffled)
    again = synthesize(shuffled, template(), gbsg2.roster, TRIMMED, (), ARMS, TODAY, {})
    assert again == ask(gbsg2, TRIMMED)


def test_the_answer_survives_json(gbsg2: Network) -> None:
    for config in (SynthesisConfig(), TRIMMED):
        answer = ask(gbsg2, config)
        assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_handful_of_packets_is_too_small_and_tells_nothing(size: int) -> None:
    network = Network(random.Random(5), 1)
    for case in range(size):
        network.publish(network.keys[0], ARMS[case % 2], 100, 1)
    answer = ask(network)
    assert (answer.state, answer.decision) == (State.TOO_SMALL, "undecided")
    assert (answer.difference, answer.cases, answer.flip) == (None, None, None)
    assert all(arm.estimate is None and arm.cases is None for arm in answer.arms)


def test_ten_cases_in_one_arm_are_too_few_and_eleven_are_enough() -> None:
    assert ask(balanced(1, 10, (2, 5))).state is State.TOO_SMALL
    assert ask(balanced(1, 11, (2, 5))).decision == "hormone"


def test_one_issuer_is_pooled_and_says_that_patients_count_as_independent() -> None:
    answer = ask(balanced(1, 40, (4, 20)), TRIMMED)
    assert answer.method == POOLED
    assert "only 1 issuers have both arms" in answer.method_note
    assert "patients as independent" in answer.method_note
    assert answer.leave_one_out is None
    assert answer.largest_share == 1.0


def test_four_issuers_are_pooled_and_five_decide_one_by_one() -> None:
    assert ask(balanced(4, 10, (1, 5)), TRIMMED).method == POOLED
    assert ask(balanced(5, 10, (1, 5)), TRIMMED).method == ISSUER_TRIMMED


def test_equal_arms_are_undecided() -> None:
    for config in (SynthesisConfig(), TRIMMED):
        answer = ask(balanced(6, 5, (2, 2)), config)
        assert answer.decision == "undecided"
        assert answer.difference == pytest.approx(0.0, abs=1e-12)
        assert answer.state is State.FRAGILE
        assert answer.flip is None


def test_everybody_censored_before_the_horizon_is_undecided() -> None:
    network = Network(random.Random(6), 6)
    for author in network.keys:
        for arm in ARMS * 5:
            network.publish(author, arm, 50, 0)
    answer = ask(network, TRIMMED)
    assert answer.decision == "undecided"
    assert "only 0 issuers" in answer.method_note
    assert answer.low is not None
    assert answer.high is not None
    assert answer.low < 0 < answer.high


def test_ties_and_total_deaths_give_finite_numbers() -> None:
    network = Network(random.Random(7), 6)
    for author in network.keys:
        for arm in ARMS * 6:
            network.publish(author, arm, 100 if arm == ARMS[1] else 900, int(arm == ARMS[1]))
    for config in (SynthesisConfig(), TRIMMED):
        answer = ask(network, config)
        assert answer.decision == "hormone"
        assert answer.difference == pytest.approx(1.0)
        assert answer.low is not None
        assert answer.low > 0
        assert answer.arms[1].median == 100.0


class Silence:
    """Takes everybody's vote away."""

    card = Card("silence", "", "", "", "", "", "", "")

    def weigh(self, votes: Votes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return nothing but zeros."""
        return np.zeros(len(votes))


class Nonsense(Silence):
    """Breaks the contract of its seam."""

    def weigh(self, votes: Votes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return negative weights."""
        return weights - 2.0


def test_votes_without_weight_are_no_cohort_and_are_counted() -> None:
    answer = ask(balanced(6, 5, (1, 3)), defenses=(Silence(),))
    assert answer.state is State.TOO_SMALL
    assert answer.dropped == {"no weight: silence": 60}


def test_a_defence_that_returns_negative_weights_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="defence silence: weights"):
        ask(balanced(6, 5, (1, 3)), defenses=(Nonsense(),))


@pytest.mark.parametrize("arms", [("hormone", "hormone"), ("hormone", "placebo")])
def test_arms_must_be_two_of_the_template(arms: tuple[str, str]) -> None:
    with pytest.raises(RecordError, match="must be two of hormone, no-hormone"):
        ask(balanced(1, 1, (0, 0)), arms=arms)


def test_a_clear_difference_everywhere_is_ok() -> None:
    answer = ask(balanced(20, 12, (1, 8)), TRIMMED)
    assert (answer.decision, answer.state, answer.reasons) == ("hormone", State.OK, ())


def test_a_pooled_answer_that_contradicts_the_issuers_is_mixed() -> None:
    network = balanced(20, 6, (1, 4))
    network.poison(network.keys[0], 200)
    answer = ask(network, TRIMMED)
    assert (answer.decision, answer.state) == ("hormone", State.MIXED)
    pooled = ask(network)
    assert (pooled.decision, pooled.state) == ("no-hormone", State.MIXED)
    assert "without hospital-00 the decision would be another" in pooled.reasons


def test_a_flood_of_unknown_keys_is_one_issuer() -> None:
    network = balanced(20, 6, (1, 4))
    for _ in range(200):
        network.poison(network.key(), 1)
    answer = ask(network, TRIMMED)
    assert answer.decision == "hormone"
    assert answer.issuers == 21
    assert answer.none_share == pytest.approx(1 / 21, abs=1e-3)
    assert ask(network).decision == "no-hormone"
    assert ask(network).none_share == pytest.approx(400 / 640)


def test_a_horizon_of_the_question_replaces_that_of_the_template() -> None:
    network = balanced(6, 5, (1, 4))
    assert "survival at 50 days" in ask(network, SynthesisConfig(horizon=50)).estimand
    assert ask(network, SynthesisConfig(horizon=50)).difference == 0.0


def test_switching_fragility_off_changes_only_the_attack_found(gbsg2: Network) -> None:
    for config in (SynthesisConfig(), TRIMMED):
        full, quick = ask(gbsg2, config), ask(gbsg2, replace(config, fragility=False))
        assert quick.flip is not None
        assert full.flip is not None
        assert quick.flip.found is None
        assert replace(quick, flip=full.flip, steps=full.steps) == full


@pytest.mark.parametrize(
    "wrong", [{"decide": "coin"}, {"trim_ratio": 0.5}, {"min_issuers": 1}, {"min_cohort": 0}]
)
def test_a_configuration_that_cannot_decide_is_refused(wrong: dict[str, str | float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        msgspec.convert(wrong, SynthesisConfig)


def test_one_issuer_has_a_bounded_influence_however_many_cases_it_invents() -> None:
    few, many = (balanced(20, 6, (1, 4)) for _ in range(2))
    few.poison(few.keys[0], 5)
    many.poison(many.keys[0], 300)
    assert ask(few, TRIMMED).largest_share == ask(many, TRIMMED).largest_share
    clean = ask(balanced(20, 6, (1, 4)), TRIMMED).difference
    assert clean is not None
    assert ask(many, TRIMMED).difference == pytest.approx(clean, abs=0.05)


def test_an_issuer_with_one_arm_only_says_nothing_and_an_unknown_outcome_has_no_weight() -> None:
    votes = columns([0, 0, 0, 1, 1], [900, 10, 900, 900, 10], [0, 0, 0, 0, 0], [0, 1, 2, 2, 1], 3)
    found = Survivals.of(votes, np.ones(5), template().outcome, 730).differences()
    assert found.issuer.tolist() == [2]
    assert found.weight.tolist() == [0.5]


def test_full_weight_is_reached_with_four_known_outcomes_in_each_arm() -> None:
    votes = columns([0] * 4 + [1] * 4, [900] * 8, [0] * 8)
    tally = Survivals.of(votes, np.ones(8), template().outcome, 730)
    assert tally.differences().weight.tolist() == [FULL]


def test_the_trimmed_mean_equals_a_plain_one_on_equal_weights() -> None:
    values = np.array([9.0, 1, 2, 3, 4, 5, 6, 7, 8, 100])
    assert trimmed_mean(values, np.ones(10), 0.0) == pytest.approx(values.mean())
    assert trimmed_mean(values, np.ones(10), 0.2) == pytest.approx(np.mean([3, 4, 5, 6, 7, 8]))
    assert trimmed_mean(values, np.ones(10), 0.25) == pytest.approx(
        (0.5 * 3 + 4 + 5 + 6 + 7 + 0.5 * 8) / 5
    )


def test_intervals_cover_when_patients_of_one_hospital_are_alike() -> None:
    """ICC .05, 20 issuers; the benchmark has the long form. Patients as independent cover 84 %."""
    rng = np.random.default_rng(1)
    hits = np.zeros(4)
    for _ in range(200):
        issuer, arm = rng.integers(0, 20, 400), rng.integers(0, 2, 400)
        alive = rng.beta(0.75 * 19, 0.25 * 19, 20)
        dies = rng.random(400) > alive[issuer]
        votes = columns(arm.tolist(), np.where(dies, 365, 900), dies.tolist(), issuer.tolist(), 20)
        tally = Survivals.of(votes, np.ones(400), template().outcome, 730)
        pooled, across = pooled_estimate(tally), issuer_estimate(tally, 0.3)
        hits += [
            pooled.arms[0].low <= 0.75 <= pooled.arms[0].high,
            pooled.low <= 0 <= pooled.high,
            across.arms[0].low <= 0.75 <= across.arms[0].high,
            across.low <= 0 <= across.high,
        ]
    assert (hits >= 0.90 * 200).all()


def test_the_weights_are_there_to_plot(gbsg2: Network) -> None:
    packets: list[OutcomePacket] = gbsg2.packets
    weighed = weigh(packets, gbsg2.roster, (), ARMS, TODAY, {})
    by_issuer = weight_by_issuer(weighed)
    assert sum(by_issuer.values()) == pytest.approx(1.0)
    assert (len(by_issuer), by_issuer["none"]) == (21, 0.0)
    age = TODAY - ENROLLED
    assert list(weight_by_age(weighed, [age])) == pytest.approx([0.0, 1.0])
    assert list(weight_by_age(weighed, [age + 1])) == pytest.approx([1.0, 0.0])
    curve, _ = survival_curves(weighed.votes, weighed.weights)
    assert curve.y[np.searchsorted(curve.x, 730, side="right") - 1] == pytest.approx(
        0.8191, abs=1e-3
    )


def test_issuers_that_agree_to_the_last_digit_still_have_an_interval() -> None:
    arm = [0, 0, 0, 0, 1, 1, 1, 1] * 6
    time = [900, 900, 900, 100, 900, 900, 100, 100] * 6
    issuer = np.repeat(np.arange(6), 8).tolist()
    votes = columns(arm, time, [int(t == 100) for t in time], issuer, 6)
    estimate = issuer_estimate(Survivals.of(votes, np.ones(48), template().outcome, 730), 0.3)
    assert estimate.low < 0.25 < estimate.high
