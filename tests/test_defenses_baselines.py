"""Baselines that judge votes by value, and estimators across issuers: what they can and cannot."""

import random

import numpy as np
import pytest
from numpy.typing import ArrayLike

from qisguard.config import NodeConfig
from qisguard.defenses import DEFENSES
from qisguard.defenses.five_sigma import FiveSigma
from qisguard.defenses.five_sigma_iterated import FiveSigmaIterated
from qisguard.defenses.issuer_huber import IssuerHuber
from qisguard.defenses.issuer_median import IssuerMedian
from qisguard.defenses.issuer_median_of_means import IssuerMedianOfMeans
from qisguard.defenses.issuer_weighted_median import IssuerWeightedMedian
from qisguard.defenses.mad import Mad
from qisguard.lab.demo.cohort import REAL, load_cohort
from qisguard.outcomes.answer import Answer
from qisguard.outcomes.robust import weighted_median
from qisguard.outcomes.synthesis import SynthesisConfig, synthesize
from qisguard.outcomes.votes import Votes
from qisguard.plugins import Card, Settings, Tunes, Weighs
from tests.packets import ARMS, TODAY, Network, columns, template

REJECTS: dict[str, Weighs] = {
    "five_sigma": FiveSigma(),
    "five_sigma_iterated": FiveSigmaIterated(),
    "mad": Mad(),
}
ACROSS: dict[str, Tunes] = {
    "issuer_median": IssuerMedian(),
    "issuer_weighted_median": IssuerWeightedMedian(),
    "issuer_huber": IssuerHuber(),
    "issuer_median_of_means": IssuerMedianOfMeans(),
}


def one_arm(values: ArrayLike) -> Votes:
    size = len(np.atleast_1d(values))
    return columns([0] * size, values, [1] * size)


def dropped(defense: Weighs, values: ArrayLike, weights: ArrayLike | None = None) -> list[int]:
    """Return the places that lose their weight."""
    votes = one_arm(values)
    before = np.ones(len(votes)) if weights is None else np.asarray(weights, np.float64)
    after = defense.weigh(votes, before)
    assert (after[after > 0] == before[after > 0]).all()
    return np.flatnonzero((before > 0) & (after == 0)).tolist()


@pytest.mark.parametrize("name", [*REJECTS, *ACROSS])
def test_a_baseline_is_registered_under_the_id_of_its_card(name: str) -> None:
    defense = {**REJECTS, **ACROSS}[name]
    assert DEFENSES[name] is type(defense)
    card = DEFENSES[name].card
    assert (card.id, card.family) == (name, "poisoning")
    assert all(getattr(card, word) for word in Card.__slots__)


# --- rejecting by value --------------------------------------------------------------------------
@pytest.mark.parametrize("defense", [FiveSigma(), FiveSigmaIterated()])
def test_five_sigma_cannot_fire_below_27_votes(defense: Weighs) -> None:
    """However absurd the value: (n - 1) / sqrt(n) is 4.90 for 26 and 5.004 for 27."""
    assert dropped(defense, [0.0] * 25 + [1e9]) == []
    assert dropped(defense, [0.0] * 26 + [1e9]) == [26]


def test_the_deviation_is_the_unbiased_one() -> None:
    """With n in the denominator the one value of 26 would be 5.0 deviations away, not 4.90."""
    assert dropped(FiveSigma(sigmas=4.95), [0.0] * 25 + [1e9]) == []
    assert dropped(FiveSigma(sigmas=4.85), [0.0] * 25 + [1e9]) == [25]


@pytest.mark.parametrize("defense", [FiveSigma(), FiveSigmaIterated()])
def test_five_sigma_is_blind_to_equal_fakes_from_one_in_26_of_the_weight(defense: Weighs) -> None:
    """Just under 3.85 % of the weight it sees all of them, just over it none."""
    assert len(dropped(defense, [0.0] * 26_100 + [1e9] * 1000)) == 1000
    assert dropped(defense, [0.0] * 25_000 + [1e9] * 1000) == []
    few_but_heavy = [1.0] * 2500 + [50.0, 50.0]
    assert dropped(defense, [0.0] * 2500 + [1e9] * 2, few_but_heavy) == []


@pytest.mark.parametrize("defense", REJECTS.values())
def test_rules_on_values_flag_no_poison_of_a_yes_or_no(defense: Weighs) -> None:
    """The answer turns from six in ten to four in ten, and nothing is dropped."""
    assert dropped(defense, [1.0] * 300 + [0.0] * 200 + [0.0] * 250) == []


@pytest.mark.parametrize("defense", REJECTS.values())
def test_rules_on_values_flag_no_plausible_survival_times(defense: Weighs) -> None:
    rng = np.random.default_rng(1)
    assert dropped(defense, [*rng.uniform(30, 2600, 400), *[729.0] * 200]) == []


@pytest.mark.parametrize("defense", REJECTS.values())
def test_rules_on_values_drop_what_no_patient_could_have(defense: Weighs) -> None:
    """The one case they are for: a slip of the decimal point among 200 numbers."""
    rng = np.random.default_rng(1)
    assert dropped(defense, [*rng.normal(7, 1, 200), 700.0, 800.0]) == [200, 201]


def test_iterating_and_the_mad_see_what_a_huge_value_hides_from_one_pass() -> None:
    values = [*np.random.default_rng(1).normal(7, 1, 200), 1e6, 300.0]
    assert dropped(FiveSigma(), values) == [200]
    assert dropped(FiveSigmaIterated(), values) == [200, 201]
    assert dropped(Mad(), values) == [200, 201]


@pytest.mark.parametrize(
    ("defense", "most"), [(FiveSigma(), 0.001), (FiveSigmaIterated(), 0.001), (Mad(), 0.001)]
)
def test_rules_on_values_cost_normal_numbers_next_to_nothing(defense: Weighs, most: float) -> None:
    values = np.random.default_rng(2).normal(7, 1, 20_000)
    assert len(dropped(defense, values)) <= most * 20_000


def test_of_skewed_numbers_the_rules_drop_true_ones() -> None:
    """What the cards admit: of log-normal values .7 %, 6 % and 8 %; nobody lied."""
    values = np.exp(np.random.default_rng(3).normal(0, 1.2, 20_000))
    lost = [len(dropped(defense, values)) / 20_000 for defense in REJECTS.values()]
    assert lost[0] < lost[1]
    assert lost[0] > 0.002
    assert lost[2] > 0.02


def test_fakes_just_inside_the_limit_move_the_mean_behind_a_mad_more_than_a_median() -> None:
    """An attacker who knows the rule: a tenth of the votes, as far out as it lets pass."""
    honest = np.random.default_rng(4).normal(0, 1, 9_000)
    places = np.linspace(1, 6, 101)
    worst = 0.0
    for place in places:
        values = np.concatenate([honest, np.full(1_000, place)])
        votes = one_arm(values)
        worst = max(worst, float(np.average(values, weights=Mad().weigh(votes, np.ones(10_000)))))
    far = np.concatenate([honest, np.full(1_000, 6.0)])
    middle = weighted_median(far, np.ones(10_000))
    assert middle == pytest.approx(0.14, abs=0.03)  # Phi^-1(1 / (2 * .9)), the least there is
    assert worst > 3 * middle


def test_each_arm_is_judged_by_itself_and_only_by_votes_with_weight() -> None:
    votes = columns([0] * 40 + [1] * 40, [1.0] * 40 + [900.0] * 40, [1] * 80)
    votes.value[0] = 900.0
    for defense in REJECTS.values():
        weights = np.ones(80)
        after = defense.weigh(votes, weights)
        assert after[0] == (1.0 if isinstance(defense, Mad) else 0.0)  # no MAD: 39 are alike
        assert after[1:].all()
        weights[1:40] = 0.0
        assert defense.weigh(votes, weights)[0] == 1.0


@pytest.mark.parametrize("name", REJECTS)
def test_a_bound_that_is_not_one_is_refused(name: str) -> None:
    field = "limit" if name == "mad" else "sigmas"
    with pytest.raises(ValueError, match=f"{field} = 0, must be above 0"):
        DEFENSES[name](**{field: 0})


# --- estimators across issuers -------------------------------------------------------------------
def ask(network: Network, *defenses: Tunes) -> Answer:
    settings = Settings(NodeConfig(), SynthesisConfig(decide="pooled"))
    for defense in defenses:
        settings = defense.tune(settings)
    return synthesize(
        network.packets, template(), network.roster, settings.synthesis, (), ARMS, TODAY, {}
    )


@pytest.fixture(scope="module")
def hospitals() -> Network:
    network = Network(random.Random(11), 20)
    network.publish_cohort(load_cohort(REAL).with_grade("II"))
    return network


@pytest.fixture(scope="module")
def poisoned() -> Network:
    """One hospital invents a hundred patients in each arm."""
    network = Network(random.Random(11), 20)
    network.publish_cohort(load_cohort(REAL).with_grade("II"))
    network.poison(network.keys[0], 100)
    return network


@pytest.mark.parametrize("name", ACROSS)
def test_an_estimator_across_issuers_withstands_a_hospital_that_turns_the_pooled_decision(
    name: str, poisoned: Network
) -> None:
    assert ask(poisoned).decision == "no-hormone"
    answer = ask(poisoned, ACROSS[name])
    assert answer.decision == "hormone"
    assert answer.method == f"issuer-{DEFENSES[name]().tune(SETTINGS).synthesis.across}"


SETTINGS = Settings(NodeConfig(), SynthesisConfig())


@pytest.mark.parametrize("name", ACROSS)
def test_an_estimator_across_issuers_costs_honest_data_no_decision(
    name: str, hospitals: Network
) -> None:
    pooled, across = ask(hospitals), ask(hospitals, ACROSS[name])
    assert pooled.decision == across.decision == "hormone"
    assert pooled.cases == across.cases
    assert across.low is not None
    assert across.low <= (pooled.difference or 0) <= (across.high or 0)
    assert across.flip is not None
    assert across.flip.guaranteed == 0.0  # none is known, so none is told
    assert (across.flip.size or 0) >= 2


@pytest.mark.parametrize("name", ACROSS)
def test_it_tunes_the_decision_and_nothing_else(name: str) -> None:
    before = Settings(NodeConfig(), SynthesisConfig(horizon=9))
    after = DEFENSES[name](min_issuers=7).tune(before)
    assert after.node == before.node
    assert after.synthesis == SynthesisConfig(
        horizon=9, decide="issuer-trimmed", across=after.synthesis.across, min_issuers=7
    )
    assert after.synthesis.across != before.synthesis.across
