"""Attacks on votes: each hurts the naive answer, within what the template and its seats allow."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from qisguard.attacks import ATTACKS
from qisguard.attacks.adaptive import AdaptivePoisoning, Plan
from qisguard.attacks.little import paper_z
from qisguard.attacks.stuffing import ReplayedVotes
from qisguard.errors import ScenarioError
from qisguard.lab.poisoning.casting import cast
from qisguard.lab.poisoning.play import Player, Stage
from qisguard.lab.poisoning.population import population_of
from qisguard.lab.poisoning.rehearsal import Rehearsals
from qisguard.lab.poisoning.seats import take_seats
from qisguard.lab.poisoning.watching import past_of
from qisguard.lab.scenario.loading import load_scenario, packaged
from qisguard.lab.scenario.tables import AttackTable, PopulationTable, Standing
from qisguard.lab.trial.engines import Job, run_job
from qisguard.outcomes.ballots import NEW_CASE, Ballots, Poll, Seats
from qisguard.outcomes.votes import Votes
from qisguard.plugins import Adapts, Poisons, Rehearsed
from tests.polls import DEFENSES, POPULATIONS, play, poll, rate

STANDINGS: tuple[Standing, ...] = (
    "fresh",
    "spread",
    "aged",
    "enrolled",
    "veterans",
    "hospitals",
)
ON_TIMES = ("early_deaths", "immortals", "late_deaths")
POISONS = sorted(name for name, kind in ATTACKS.items() if hasattr(kind, "poison"))
KINDS = sorted(POPULATIONS)


def _table(kind: str, **more: Any) -> PopulationTable:
    return PopulationTable(kind=kind, per_arm=200, **(POPULATIONS[kind] | more))  # type: ignore[arg-type]  # a literal


def _polled(
    kind: str, standing: Standing, strangers: int = 0, seed: int = 1
) -> tuple[Votes, Poll, Any, Any]:
    """Return honest votes, the poll that an omniscient attacker sees, who it took over, luck."""
    rng = np.random.default_rng(seed)
    population = population_of(_table(kind))
    votes = population.draw(rng)
    attack = AttackTable("constant_votes", standing=standing, issuers=2, strangers=strangers)
    seats, taken = take_seats(votes, population.table, attack, 40, rng)
    return votes, Poll(population.template.outcome, 0, population.days, seats, votes), taken, rng


def _hurts(kind: str, attack: str) -> float:
    """Return by how much the naive answer moves towards the worse arm."""
    data = poll(kind, attack)
    values = POPULATIONS[kind]
    point = {f"population__{key}": value for key, value in values.items()}
    if attack == "compromised_hospital":
        point |= {"attack__standing": "hospitals", "attack__issuers": 3}
    clean, attacked = (play(data, arm, **point).values for arm in ("clean", "attacked"))
    metric = "mean_bias" if kind == "numeric" else "bias"
    return clean[metric] - attacked[metric]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attack", [name for name in POISONS if name not in ON_TIMES])
def test_every_attack_moves_the_naive_answer_towards_the_worse_arm(attack: str, kind: str) -> None:
    least = {"binary": 0.01, "numeric": 0.02, "time-to-event": 0.005}[kind]
    assert _hurts(kind, attack) > least


@pytest.mark.parametrize("attack", ON_TIMES)
def test_lies_about_times_move_survival_and_are_refused_elsewhere(attack: str) -> None:
    assert _hurts("time-to-event", attack) > 0.01
    with pytest.raises(ScenarioError, match="lies about times"):
        play(poll("binary", attack), "attacked")


@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_ballot_is_one_that_a_reader_takes_from_any_standing(
    kind: str, standing: Standing
) -> None:
    votes, shown, taken, rng = _polled(kind, standing)
    for name in POISONS:
        if name in ON_TIMES and kind != "time-to-event":
            continue
        ballots = ATTACKS[name]().poison(shown, rng)
        everything, poison = cast(votes, taken, shown, ballots, rng)
        assert len(everything) == len(votes) - taken.sum() + len(ballots)
        assert poison.sum() == len(ballots)


@pytest.mark.parametrize(
    ("field", "value"), [("seat", 10_000), ("arm", 2), ("value", 1.5), ("day", 0), ("case", -1)]
)
def test_a_ballot_that_no_reader_would_take_is_refused(field: str, value: float) -> None:
    votes, shown, taken, rng = _polled("binary", "fresh")
    one = {"seat": 0, "case": 0, "arm": 0, "value": 1.0, "event": True, "day": shown.days[1]}
    kinds = {"value": float, "event": bool}
    columns = {
        name: np.array([v], kinds.get(name, np.int64)) for name, v in (one | {field: value}).items()
    }
    with pytest.raises(ValueError, match=f"ballots.{field}"):
        cast(votes, taken, shown, Ballots(**columns), rng)


def test_a_seat_shows_what_its_standing_says() -> None:
    ages, issuers, cases = {}, {}, {}
    for standing in STANDINGS:
        votes, shown, taken, _ = _polled("binary", standing)
        seats: Seats = shown.seats
        ages[standing] = float(seats.age.max())
        issuers[standing] = len(np.unique(seats.issuer))
        cases[standing] = int((seats.arm != NEW_CASE).sum())
        assert seats.enrolled.all() == (standing in ("enrolled", "veterans", "hospitals"))
        assert taken.sum() == cases[standing]
        if standing == "hospitals":
            assert (taken == np.isin(votes.issuer, seats.issuer)).all()
    assert ages["fresh"] == 0 < ages["spread"] < 30 < ages["aged"]
    assert issuers == dict.fromkeys(("fresh", "spread", "aged"), 1) | dict.fromkeys(
        ("enrolled", "veterans", "hospitals"), 2
    )
    assert cases["veterans"] == 40 < cases["hospitals"] + 40
    assert cases["fresh"] == cases["enrolled"] == 0


def test_more_cases_of_a_member_are_signed_with_its_key() -> None:
    votes, shown, taken, rng = _polled("binary", "enrolled")
    ballots = ATTACKS["constant_votes"]().poison(shown, rng)
    everything, poison = cast(votes, taken, shown, ballots, rng)
    theirs = everything.where(poison)
    assert set(theirs.author) <= set(everything.where(~poison).author)
    assert (len(np.unique(everything.author)), len(np.unique(theirs.author))) == (20, 2)


def test_strangers_come_beside_any_standing() -> None:
    _, alone, _, _ = _polled("binary", "hospitals")
    votes, both, taken, rng = _polled("binary", "hospitals", strangers=25)
    assert len(both.seats) == len(alone.seats) + 25
    assert int((~both.seats.enrolled).sum()) == 25
    everything, poison = cast(
        votes, taken, both, ATTACKS["constant_votes"]().poison(both, rng), rng
    )
    assert int((poison & ~everything.enrolled).sum()) == 25


def test_versions_of_a_case_are_one_case_whose_last_is_current() -> None:
    votes, shown, taken, rng = _polled("binary", "fresh")
    ballots = ReplayedVotes(versions=5).poison(shown, rng)
    everything, poison = cast(votes, taken, shown, ballots, rng)
    theirs = everything.where(poison)
    assert (len(theirs), len(np.unique(theirs.case)), int(theirs.current.sum())) == (200, 40, 40)
    starts = np.flatnonzero(np.diff(everything.case, prepend=-1))
    last = np.append(starts[1:], len(everything)) - 1
    assert everything.current[last].all()
    assert (np.diff(everything.author) >= 0).all()


def test_nothing_about_poison_follows_from_its_place_among_the_columns() -> None:
    votes, shown, taken, rng = _polled("binary", "fresh")
    ballots = ATTACKS["constant_votes"]().poison(shown, rng)
    _, poison = cast(votes, taken, shown, ballots, rng)
    place = np.flatnonzero(poison) / len(poison)
    assert place.min() < 0.2
    assert place.max() > 0.8


def test_who_does_not_see_the_votes_is_not_shown_them() -> None:
    _, shown, _, rng = _polled("numeric", "hospitals")
    blind = Poll(shown.rule, 0, shown.days, shown.seats, None)
    for name in POISONS:
        attack: Poisons = ATTACKS[name]()
        if attack.sees_votes:
            with pytest.raises(ValueError, match="has to see"):
                attack.poison(blind, rng)
        elif name not in ON_TIMES:
            assert len(attack.poison(blind, rng))


def test_the_papers_z_is_that_of_the_paper() -> None:
    """Baruch et al., algorithm 3: of n = 50 with m = 24, s = 2 and z is that of 24/26."""
    assert paper_z(26, 24) == pytest.approx(1.426, abs=0.001)


@dataclass
class Watching:
    """Casts the worst, and remembers which honest votes it was shown."""

    sees_votes: bool
    shown: list[bytes] = field(default_factory=list)
    blind: int = 0

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """See ``Poisons``."""
        if poll.votes is None:
            self.blind += 1
        else:
            self.shown.append(poll.votes.value.tobytes())
        ballots: Ballots = ATTACKS["constant_votes"]().poison(poll, rng)
        return ballots


def _player() -> Player:
    loaded = load_scenario(poll())
    population = population_of(loaded.scenario.population)
    settings = loaded.tuned([])
    return Player(population, loaded.scenario.attack, 50, [], settings.synthesis)


def test_polls_are_played_with_the_votes_shown_to_those_alone_who_see_them() -> None:
    player, blind, seer = _player(), Watching(False), Watching(True)
    for attack in (blind, seer):
        for number in range(3):
            player.attacked(attack, Stage.COUNTED, 1, number)
    assert (blind.blind, blind.shown) == (3, [])
    assert (seer.blind, len(set(seer.shown))) == (0, 3)


def test_no_poll_that_is_counted_was_rehearsed() -> None:
    player, rehearsed, counted = _player(), Watching(True), Watching(True)
    stage = Rehearsals(player)
    first, again = stage(rehearsed, 4), stage(rehearsed, 4)
    assert (first, stage.polls) == (again, 8)
    assert len(set(rehearsed.shown)) == 4
    for seed in range(4):
        for number in range(4):
            player.attacked(counted, Stage.COUNTED, seed, number)
    assert not set(rehearsed.shown) & set(counted.shown)


@pytest.mark.parametrize("kind", KINDS)
def test_honest_votes_are_what_the_scenario_says(kind: str) -> None:
    table = _table(kind, icc=0.05, strangers=0.1, sizes="falling")
    population = population_of(table)
    drawn = [population.draw(np.random.default_rng(seed)) for seed in range(40)]
    loose = np.mean([1 - votes.enrolled.mean() for votes in drawn])
    assert loose == pytest.approx(0.1, abs=0.01)
    if kind != "time-to-event":
        means = [[v.value[v.arm == arm].mean() for arm in (0, 1)] for v in drawn]
        first, second = np.mean(means, axis=0)
        assert first - second == pytest.approx(population.truth, abs=0.03)
    alone = population_of(_table(kind)).draw(np.random.default_rng(1))
    assert np.bincount(alone.arm).tolist() == [200, 200]
    assert len(np.unique(alone.author)) == 20


def test_one_seed_gives_one_digest_and_arms_share_their_honest_votes() -> None:
    data = poll()
    for arm in ("clean", "attacked", "defended", "guarded"):
        again = run_job(Job(data, {}, arm, 1))
        assert again.digest == play(data, arm).digest
        assert again.digest != play(data, arm, 2).digest
    small: dict[str, Any] = {"attack__share": 0.0, "attack__identities": 0}
    assert play(data, "attacked", **small).values["bias"] == play(data, "clean").values["bias"]


def test_defences_hold_off_strangers_and_say_what_they_cost() -> None:
    data = poll(polls=40)
    assert rate(data, "attacked", "flipped") > 0.9
    assert rate(data, "defended", "flipped") < 0.2
    assert play(data, "defended").values["poison_share"] < 0.05
    wider = (play(data, arm).values["interval_width"] for arm in ("guarded", "clean"))
    assert next(wider) > next(wider)


def test_a_detector_is_counted_beside_one_that_does_nothing() -> None:
    data = poll(polls=40, names=("one_vote", "age", "leave_one_out"))  # all votes are pooled
    point: dict[str, Any] = {"attack__standing": "enrolled", "attack__issuers": 1}
    found = play(data, "defended", **point).ratios
    assert found["answers_flagged"][0] > found["flagged_by_chance"][0]
    hits, flags = found["flags_right"]
    assert hits == found["answers_flagged"][0] <= flags
    guarded = play(data, "guarded", **point).ratios["answers_flagged"]
    assert guarded == found["flagged_by_chance"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("constant_votes", "look_up_drop", ["look_up_drop", "no votes"]),
        ('name = "age"', 'name = "structure"', ["defenses[1]", "structure", "votes alone"]),
        ("per_arm = 200", "per_arm = 0", ["population.per_arm = 0", "1 to"]),
        ("per_arm = 200", "first = 1.5", ["population.first = 1.5", "0 to 1"]),
        ("per_arm = 200", 'cohort = "IV"', ["population.cohort", "'IV'"]),
        ("per_arm = 200", "followed_to = 3", ["population.followed_to = 3", "200"]),
        ("share = 0.2", 'standing = "old"', ["attack.standing", "'old'"]),
        ("share = 0.2", 'standing = "hospitals"', ["attack.issuers = 0"]),
        ("[attack]", "[network]\nnodes = 5\n[attack]", ["network", "votes alone"]),
        ("share = 0.2", "issuers = 21", ["attack.issuers = 21", "0 to 20"]),
    ],
)
def test_a_poll_that_cannot_be_is_named(old: str, new: str, words: list[str]) -> None:
    with pytest.raises(ScenarioError) as raised:
        load_scenario(poll().replace(old.encode(), new.encode()))
    assert [word for word in words if word not in str(raised.value)] == []


def test_an_attack_on_votes_alone_needs_no_network() -> None:
    data = poll().replace(b'engine = "columns"', b'engine = "virtual"')
    for name in DEFENSES:
        data = data.replace(f'[[defenses]]\nname = "{name}"'.encode(), b"")
    with pytest.raises(ScenarioError, match="has no polls"):
        load_scenario(data)
    alone = data[: data.index(b"[population]")] + data[data.index(b"[attack]") :]
    with pytest.raises(ScenarioError, match="attacks no network"):
        load_scenario(alone)


def test_the_adaptive_attacker_is_no_worse_than_the_attacks_that_it_knows() -> None:
    size = {"plans": 20, "polls": 6}
    point: dict[str, Any] = {
        "attack__name": "adaptive_poisoning",
        "attack__standing": "enrolled",
        "attack__issuers": 5,
        "attack__share": 0.3,
        "attack__parameters": size,
    }
    data = poll(polls=40)
    assert issubclass(ATTACKS["adaptive_poisoning"], Adapts)
    known = point | {"attack__name": "constant_votes", "attack__parameters": {}}
    best, naive = play(data, "defended", **point), play(data, "defended", **known)
    assert best.values["bias"] <= naive.values["bias"] + 0.02
    (note,) = best.notes
    assert note.startswith("defended: best attack of")
    assert "of its cases in the better arm" in note


def test_an_attacker_who_wants_to_go_unnoticed_is_called_ok_more_often() -> None:
    common: dict[str, Any] = {
        "attack__name": "adaptive_poisoning",
        "attack__standing": "veterans",
        "attack__share": 0.15,
    }
    data = poll(polls=20)
    flips, quiet = (
        play(data, "defended", **common, attack__parameters={"plans": 20, "polls": 6, "goal": g})
        for g in ("flip", "unnoticed")
    )
    one, other = (found.ratios["flipped_unnoticed"][0] for found in (flips, quiet))
    assert other >= one


def test_the_search_finds_what_no_known_attack_is() -> None:
    def rehearse(plan: Poisons, polls: int) -> Rehearsed:
        assert isinstance(plan, Plan)
        miss = abs(plan.reach - 0.62) + abs(plan.target - 0.81) + abs(plan.late - 0.3)
        return Rehearsed(0.0, 0.0, -miss, 0.0)

    best, words = AdaptivePoisoning(plans=400).adapt(rehearse)
    assert isinstance(best, Plan)
    assert abs(best.reach - 0.62) + abs(best.target - 0.81) + abs(best.late - 0.3) < 0.1
    assert "times at 3" in words
    assert (best.used, best.decoys, best.issuers, best.cases) == (1.0, 0.0, 1.0, 0.0)
    assert AdaptivePoisoning(plans=400).adapt(rehearse) == (best, words)


def test_the_archive_of_a_poll_holds_every_settled_outcome_once() -> None:
    votes, *_ = _polled("time-to-event", "fresh")
    past = past_of(votes, 730)
    settled = (votes.event & (votes.value <= 730)) | (votes.value >= 730)
    assert past.known.sum() == settled.sum() < len(votes)
    alive = settled & ~(votes.event & (votes.value <= 730))
    assert past.total.sum() == past.squares.sum() == alive.sum()
    first = (past.day == votes.day[0]) & (past.issuer == votes.issuer[0])
    cell = (votes.day == votes.day[0]) & (votes.issuer == votes.issuer[0])
    assert past.known[first].sum() == settled[cell].sum()


def test_a_reader_who_watches_notices_a_fifth_of_arrivals_and_seldom_nothing() -> None:
    data, polls = packaged("poison-arrivals-20"), {"population.polls": 6}
    found = run_job(Job(data, polls, "defended", 1))
    assert found.ratios["detected"] == (6, 6)
    assert 0 < found.values["delay"] < 1_000
    calm = run_job(Job(data, polls, "guarded", 1))
    assert calm.ratios["detected"][0] <= 1
    assert "detected" not in run_job(Job(data, polls, "attacked", 1)).ratios
