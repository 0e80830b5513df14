"""Reputation: trust takes long to win and longer to win back, and cliques cannot make their own."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qisguard.defenses import DEFENSES
from qisguard.defenses.age import Age
from qisguard.defenses.beta_reputation import BetaReputation
from qisguard.defenses.eigentrust import EigenTrust
from qisguard.identity.roster import NONE, Issuer, Roster
from qisguard.lab.years import GUARDS, STRATEGIES, Years, simulate
from qisguard.outcomes.reputation import (
    NEWCOMER,
    PROOF,
    Deed,
    Forgetting,
    Reputation,
    Standing,
    Standings,
    eigentrust,
)
from qisguard.plugins import Card, Defense, Weighs
from qisguard.store.sqlite_file import SqliteFile
from tests.packets import NETWORK, TODAY, columns

OURS: dict[str, Defense] = {
    "beta_reputation": BetaReputation(),
    "eigentrust": EigenTrust(Roster(NETWORK, 1, ())),
}
HOSPITALS = [f"hospital-{place:02d}" for place in range(20)]


@pytest.fixture
def store(tmp_path: Path) -> Reputation:
    return Reputation(SqliteFile(str(tmp_path / "reputation.db")))


def weight(store: Reputation, subject: str, today: int = TODAY) -> float:
    return float(store.standings(today).beta([subject])[0])


@pytest.mark.parametrize("name", OURS)
def test_a_defence_is_registered_under_the_id_of_its_card(name: str) -> None:
    defense = OURS[name]
    assert DEFENSES[name] is type(defense)
    assert isinstance(defense, Weighs)
    assert (defense.card.id, defense.card.family) == (name, "poisoning")
    assert all(getattr(defense.card, word) for word in Card.__slots__)


# --- the store -----------------------------------------------------------------------------------
def test_nothing_known_is_a_newcomers_weight(store: Reputation) -> None:
    assert weight(store, "anybody") == pytest.approx(NEWCOMER)


def test_weight_is_the_lower_quantile_of_what_was_verified(store: Reputation) -> None:
    for number in range(9):
        deed = Deed.REFUTED if number == 0 else Deed.CONFIRMED
        store.note("judge", "subject", deed, TODAY)
    assert weight(store, "subject") == pytest.approx(stats.beta(9, 2).ppf(0.05))


def test_evidence_outlives_the_process_and_fades_asymmetrically(tmp_path: Path) -> None:
    path = str(tmp_path / "reputation.db")
    file = SqliteFile(path)
    store = Reputation(file, Forgetting(good=180, bad=720))
    for deed in (Deed.CONFIRMED, Deed.REFUTED):
        store.note("judge", "subject", deed, TODAY)
    file.commit()
    file.close()
    again = Reputation(SqliteFile(path), Forgetting(good=180, bad=720))
    (row,) = again.standings(TODAY + 720).rows
    assert (row.good, row.bad) == pytest.approx((1 / 16, 1 / 2))


def test_a_clock_that_goes_back_brings_nothing_back(store: Reputation) -> None:
    store.note("judge", "subject", Deed.CONFIRMED, TODAY)
    store.note("judge", "subject", Deed.CONFIRMED, TODAY - 900)
    (row,) = store.standings(TODAY - 900).rows
    assert row.good == 2.0
    (later,) = store.standings(TODAY + 180).rows
    assert later.good == pytest.approx(1.0)


def test_an_equivocation_weighs_as_ten_errors(store: Reputation) -> None:
    for _ in range(20):
        store.note("judge", "subject", Deed.CONFIRMED, TODAY)
    before = weight(store, "subject")
    store.note("judge", "subject", Deed.REFUTED, TODAY)
    once = weight(store, "subject")
    store.note(PROOF, "subject", Deed.EQUIVOCATED, TODAY)
    assert before > once > weight(store, "subject") + 0.2


def test_nobody_judges_itself_and_strangers_judge_nobody(store: Reputation) -> None:
    store.note("subject", "subject", Deed.CONFIRMED, TODAY)
    store.note(NONE, "subject", Deed.CONFIRMED, TODAY)
    assert store.standings(TODAY).rows == ()
    assert store.ignored == 2


def test_one_judge_alone_makes_nobody_great(store: Reputation) -> None:
    for _ in range(400):
        store.note("judge", "subject", Deed.CONFIRMED, TODAY)
    assert weight(store, "subject") == pytest.approx(stats.beta(51, 1).ppf(0.05))


def test_a_full_store_forgets_the_pair_that_was_silent_longest(tmp_path: Path) -> None:
    store = Reputation(SqliteFile(str(tmp_path / "r.db")), pairs_max=2)
    for day, subject in enumerate(["a", "b", "a", "c"]):
        store.note("judge", subject, Deed.CONFIRMED, TODAY + day)
    assert [row.subject for row in store.standings(TODAY).rows] == ["a", "c"]
    store.note("judge", "a", Deed.CONFIRMED, TODAY)
    assert len(store.standings(TODAY).rows) == 2


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="forgetting bad = 0, must be above 0 days"):
        Forgetting(bad=0)


# --- beta ----------------------------------------------------------------------------------------
names = st.sampled_from([PROOF, "a", "b", "c", "d"])
evidence = st.builds(
    Standing, judge=names, subject=names, good=st.floats(0, 300), bad=st.floats(0, 300)
)
tables = st.lists(evidence, max_size=12, unique_by=lambda row: (row.judge, row.subject))


@settings(max_examples=50, deadline=None)
@given(rows=tables, shuffle=st.randoms(use_true_random=False))
def test_beta_weights_are_ratios_and_the_same_in_any_order(
    rows: list[Standing], shuffle: random.Random
) -> None:
    weights = Standings(tuple(rows)).beta(["a", "b", NONE])
    shuffle.shuffle(rows)
    assert Standings(tuple(rows)).beta(["a", "b", NONE]).tolist() == weights.tolist()
    assert ((weights >= 0) & (weights <= 1)).all()
    assert weights[2] == pytest.approx(NEWCOMER)


@settings(max_examples=50, deadline=None)
@given(rows=tables, more=evidence)
def test_more_good_never_lowers_and_more_bad_never_raises_a_weight(
    rows: list[Standing], more: Standing
) -> None:
    rows = [row for row in rows if (row.judge, row.subject) != (more.judge, more.subject)]
    before = Standings(tuple(rows)).beta(["a", "b", "c", "d"])
    good = Standings((*rows, replace(more, bad=0.0))).beta(["a", "b", "c", "d"])
    bad = Standings((*rows, replace(more, good=0.0))).beta(["a", "b", "c", "d"])
    assert (good >= before - 1e-12).all()
    assert (bad <= before + 1e-12).all()


def test_beta_scales_the_votes_of_each_issuer_and_spares_equals() -> None:
    rows = tuple(Standing("judge", name, 40.0, 0.0) for name in HOSPITALS[:19])
    liar = Standing("judge", HOSPITALS[19], 40.0, 40.0)
    votes = columns([0] * 20, [900] * 20, [0] * 20, list(range(20)), 20)
    weights = BetaReputation(Standings((*rows, liar))).weigh(votes, np.ones(20))
    assert len(set(weights[:19].tolist())) == 1
    assert weights[0] > 0.9
    assert weights[19] < 0.5
    none_known = BetaReputation().weigh(votes, np.ones(20))
    assert none_known.tolist() == pytest.approx([NEWCOMER] * 20)


# --- eigentrust ----------------------------------------------------------------------------------
def clique(inflow: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Ten honest names that found each other right, five that only praise each other.

    Each honest one was once satisfied with one of the clique, ``inflow`` times.
    """
    local = np.zeros((15, 15))
    local[:10, :10] = 10.0
    local[10:, 10:] = 1000.0
    local[range(10), [10 + place % 5 for place in range(10)]] = inflow
    return local


def test_without_pretrust_a_clique_soaks_up_the_trust_and_with_it_hardly_any() -> None:
    """The weakness that Kamvar et al. name: trust flows into a clique and never out."""
    everybody, founders = np.full(15, 1 / 15), np.repeat([0.2, 0.0], [5, 10])
    lost = eigentrust(clique(10.0), everybody, restart=0.001)[10:].sum()
    damped = eigentrust(clique(10.0), everybody)[10:].sum()
    kept = eigentrust(clique(10.0), founders)[10:].sum()
    assert lost > 0.95
    assert damped > 0.5
    assert kept < 0.4
    assert eigentrust(clique(0.0), founders)[10:].sum() == pytest.approx(0.0, abs=1e-12)


def test_what_a_clique_makes_of_the_trust_it_gets_is_bounded_by_the_restart() -> None:
    """(1 - a) / a times what honest names give it: 5.7 times at a = .15."""
    founders = np.repeat([0.2, 0.0], [5, 10])
    local = clique(1.0)
    trust = eigentrust(local, founders)
    share = local / np.where(np.eye(15, dtype=bool), 0, local).sum(axis=1, keepdims=True)
    inflow = trust[:10] @ share[:10, 10:].sum(axis=1)
    assert trust[10:].sum() == pytest.approx(0.85 / 0.15 * inflow)


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 8), seed=st.integers(0, 999), restart=st.sampled_from([0.05, 0.15, 0.5, 1])
)
def test_eigentrust_is_the_fixed_point_whatever_the_order(
    size: int, seed: int, restart: float
) -> None:
    """Oracle: the linear system solved directly."""
    rng = np.random.default_rng(seed)
    local = rng.integers(0, 4, (size, size)).astype(np.float64)
    start = rng.dirichlet(np.ones(size))
    trust = eigentrust(local, start, restart)
    others = local * (1 - np.eye(size))
    given_ = others.sum(axis=1, keepdims=True)
    share = np.where(given_ > 0, others / np.maximum(given_, 1), start)
    solved = np.linalg.solve(np.eye(size) - (1 - restart) * share.T, restart * start)
    assert trust == pytest.approx(solved, abs=1e-8)
    assert trust.sum() == pytest.approx(1.0)
    place = rng.permutation(size)
    mixed = eigentrust(local[np.ix_(place, place)], start[place], restart)
    assert mixed == pytest.approx(trust[place], abs=1e-9)


@pytest.mark.parametrize(
    ("local", "start", "restart"),
    [([[0, -1], [0, 0]], [0.5, 0.5], 0.1), ([[0]], [0.5], 0.1), ([[0]], [1.0], 0.0)],
)
def test_what_is_no_trust_is_refused(
    local: list[list[float]], start: list[float], restart: float
) -> None:
    with pytest.raises(ValueError, match="must be"):
        eigentrust(np.array(local, float), np.array(start), restart)


def roster(founders: int = 5) -> Roster:
    issuers = [
        Issuer(name, TODAY - (900 if place < founders else 100), (bytes([place]) * 32,), ())
        for place, name in enumerate(HOSPITALS)
    ]
    return Roster(NETWORK, 1, tuple(issuers))


def test_eigentrust_leaves_a_clique_of_issuers_the_newcomers_floor() -> None:
    rng = np.random.default_rng(1)
    honest = [
        Standing(judge, subject, float(rng.integers(5, 15)), 0.0)
        for judge in HOSPITALS[:15]
        for subject in HOSPITALS[:15]
        if judge != subject
    ]
    praise = [
        Standing(judge, subject, 1e6, 0.0)
        for judge in HOSPITALS[15:]
        for subject in HOSPITALS[15:]
        if judge != subject
    ]
    votes = columns([0] * 20, [900] * 20, [0] * 20, list(range(20)), 20)
    standings = Standings((*honest, *praise))
    weights = EigenTrust(roster(), standings).weigh(votes, np.ones(20))
    assert weights[15:].tolist() == pytest.approx([NEWCOMER] * 5)
    assert (weights[5:15] > 0.4).all()  # what it costs those who are no founders
    assert weights[:5] == pytest.approx([1.0] * 5, abs=0.15)
    fooled = BetaReputation(standings).weigh(votes, np.ones(20))
    assert (fooled[15:] > 0.95).all()  # beta alone believes them


def test_eigentrust_without_a_roster_changes_nothing() -> None:
    votes = columns([0] * 3, [900] * 3, [0] * 3)
    assert EigenTrust(Roster(NETWORK, 1, ())).weigh(votes, np.ones(3)).tolist() == [1.0] * 3


# --- years ---------------------------------------------------------------------------------------
def lived(strategy: str, guard: str, weeks: int = 156) -> Years:
    return simulate(STRATEGIES[strategy], GUARDS[guard], random.Random(7), weeks=weeks)


def test_bad_news_that_lasts_costs_on_off_liars_most_of_what_even_forgetting_leaves() -> None:
    bare = lived("lies when trusted", "no defence").share
    even = lived("lies when trusted", "beta, even forgetting").share
    ours = lived("lies when trusted", "beta").share
    assert ours < even / 2 < bare / 4


def test_whitewashing_gains_a_newcomers_weight_and_with_age_next_to_nothing() -> None:
    alone, both = lived("whitewashing", "beta", 60), lived("whitewashing", "age and beta", 60)
    assert alone.names > 10
    assert alone.share < 0.01
    assert both.share < 0.001


def test_patience_pays_until_the_first_lies_are_found() -> None:
    """What the card admits: two good years buy months of full weight."""
    waits = STRATEGIES["patient, lies after two years"]
    soon = simulate(waits, GUARDS["beta"], random.Random(3), weeks=112)
    late = simulate(waits, GUARDS["beta"], random.Random(3), weeks=208)
    assert soon.first_lie == late.first_lie == 104
    assert soon.share * 112 > 0.25  # of eight weeks' weight, which would be .38 at full weight
    assert late.share * 208 < 2.0


def test_honest_hospitals_keep_most_of_their_weight() -> None:
    assert lived("honest", "beta").honest_weight > 0.7
    assert lived("honest", "age and beta").honest_weight > 0.7


# --- every weight --------------------------------------------------------------------------------
FREE_OF_ORDER: list[Weighs] = [
    DEFENSES["five_sigma"](),
    DEFENSES["five_sigma_iterated"](),
    DEFENSES["mad"](),
    Age(),
    BetaReputation(Standings((Standing("hospital-01", "hospital-00", 9.0, 1.0),))),
    EigenTrust(roster(), Standings((Standing("hospital-01", "hospital-00", 9.0, 1.0),))),
]


@pytest.mark.parametrize("defense", FREE_OF_ORDER, ids=lambda defense: type(defense).__name__)
@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40),
    seed=st.integers(0, 999),
)
def test_weights_are_finite_and_never_below_zero_and_follow_the_votes_in_any_order(
    defense: Weighs, values: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    size = len(values)
    arm, issuer = rng.integers(0, 2, size), rng.integers(0, 20, size)
    votes = columns(arm.tolist(), values, [1] * size, issuer.tolist(), 20)
    votes.age[:] = rng.integers(0, 200, size)
    before = rng.integers(0, 3, size).astype(np.float64)
    weights = defense.weigh(votes, before)
    assert weights.shape == (size,)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert (weights[before == 0] == 0).all()
    place = rng.permutation(size)
    again = columns(
        arm[place].tolist(), np.array(values)[place], [1] * size, issuer[place].tolist(), 20
    )
    again.age[:] = votes.age[place]
    assert defense.weigh(again, before[place]) == pytest.approx(weights[place], abs=1e-9)
