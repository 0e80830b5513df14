"""Detectors of change: silent while nothing changes, soon there when something does."""

from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qisguard.defenses import DEFENSES
from qisguard.defenses.cusum import Cusum
from qisguard.defenses.newcomer_shift import NewcomerShift
from qisguard.errors import ScenarioError
from qisguard.lab.shift import ShiftTask, calibrate_shift
from qisguard.lab.streams import FIRST_DAY, Setting, Stream, drifting, honest, poisoned
from qisguard.outcomes.answer import Answer, State
from qisguard.outcomes.archive import Past
from qisguard.outcomes.change import arrivals, contrast, correlation, scores, shared_move
from qisguard.outcomes.synthesis import Evidence, SynthesisConfig, conclude
from qisguard.outcomes.votes import Votes
from qisguard.outcomes.weighing import Weighed
from qisguard.plugins import Card, Defense, Rejected, Watches
from tests.packets import ARMS, columns, template

SIZE, BEGIN = 5_000, 3_000
NONE = 20
DETECTORS: dict[str, Watches] = {"cusum": Cusum(), "newcomer_shift": NewcomerShift()}


def evidence(votes: Votes, past: Past | None) -> Evidence:
    return Evidence(
        votes=votes,
        weights=np.ones(len(votes)),
        arms=ARMS,
        horizon=730,
        issuers=(),
        without=np.zeros(0),
        shares=np.zeros(0),
        difference=0.1,
        low=0.0,
        high=0.2,
        method="",
        own={},
        past=past,
    )


def of(stream: Stream, new: NDArray[np.bool_] | None = None) -> Evidence:
    nobody = np.zeros(len(stream.arm), np.bool_)
    return evidence(stream.votes(nobody if new is None else new), stream.past())


def says_drift(flag: Rejected | None) -> TypeGuard[Rejected]:
    return flag is not None and flag.reason.startswith("drift: ")


def says_suspect(flag: Rejected | None) -> TypeGuard[Rejected]:
    return flag is not None and not flag.reason.startswith("drift")


def attacked(seed: int, *issuers: int, share: float = 0.2) -> Stream:
    rng = np.random.default_rng(seed)
    return poisoned(honest(Setting(), SIZE, rng), BEGIN, share, issuers, rng)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_is_registered_and_needs_something_to_look_at(name: str) -> None:
    detector = DETECTORS[name]
    assert DEFENSES[name] is type(detector)
    card = DEFENSES[name].card
    assert (card.id, card.family) == (name, "poisoning")
    assert all(getattr(card, word) for word in Card.__slots__)
    votes = columns([0, 1], [900, 900], [0, 0])
    assert detector.watch(evidence(votes, None)) is None
    assert detector.watch(evidence(votes, Past.of([], ARMS))) is None


# --- arrivals ------------------------------------------------------------------------------------
@pytest.mark.parametrize("icc", [0.0, 0.05])
def test_cusum_is_silent_while_nothing_changes(icc: float) -> None:
    flags = [
        Cusum().watch(of(honest(Setting(icc=icc), SIZE, np.random.default_rng(seed))))
        for seed in range(60)
    ]
    assert sum(flag is not None for flag in flags) <= 3


def test_cusum_sees_a_fifth_of_arrivals_turned_within_350_outcomes() -> None:
    delays = []
    for seed in range(60):
        found = arrivals(attacked(seed, NONE).past(), 3_000)
        assert found is not None
        over = Cusum().path(-found.z, found.count) > 32.4 + 6_200 / 2_000
        assert over.any()
        delays.append(found.count[: int(np.argmax(over)) + 1].sum() - 1_000)
    assert np.median(delays) <= 350


def test_cusum_names_about_the_day_on_which_the_change_began() -> None:
    late = []
    for seed in range(20):
        flag = Cusum().watch(of(attacked(seed, NONE)))
        assert flag is not None
        day = int(flag.reason.split("since day ")[1].split()[0])
        late.append(day - (FIRST_DAY + BEGIN // 10))
    assert abs(np.median(late)) <= 15


def test_cusum_waits_for_a_past_to_compare_with() -> None:
    rng = np.random.default_rng(1)
    short = poisoned(honest(Setting(), 3_900, rng), 900, 0.5, (NONE,), rng)
    assert Cusum().watch(of(short)) is None
    assert Cusum(reference_min=800).watch(of(short)) is not None


def test_cusum_does_not_see_a_thin_drip() -> None:
    """What the card admits: 2 % of arrivals."""
    flags = [Cusum().watch(of(attacked(seed, NONE, share=0.02))) for seed in range(20)]
    assert sum(flag is not None for flag in flags) <= 3


def test_a_change_that_trusted_issuers_share_is_drift() -> None:
    rng = np.random.default_rng(3)
    flag = Cusum().watch(of(drifting(honest(Setting(), SIZE, rng), BEGIN, 0.25, rng)))
    assert says_drift(flag)
    assert "trusted issuers moved by -0." in flag.reason


def test_a_change_that_strangers_bring_is_suspect_whatever_their_number() -> None:
    flags = [Cusum().watch(of(attacked(seed, NONE, share=0.4))) for seed in range(20)]
    assert sum(says_suspect(flag) for flag in flags) >= 18


def test_poison_spread_evenly_over_every_issuer_passes_for_drift() -> None:
    """What the card admits: it looks the same."""
    assert says_drift(Cusum().watch(of(attacked(1, *range(20)))))


def test_days_that_vary_more_than_patients_would_raise_no_more_alarms() -> None:
    """A day is one hospital's, and hospitals differ in what treatment does for their patients.

    Taken for independent, patients would raise the alarm in 39 of these 40.
    """
    setting = Setting(icc=0.20, batch=60, daily=60, alike=False)
    flags = [
        Cusum().watch(of(honest(setting, SIZE, np.random.default_rng(seed)))) for seed in range(40)
    ]
    assert sum(flag is not None for flag in flags) <= 4


@settings(max_examples=50, deadline=None)
@given(
    day=st.lists(st.integers(0, 60), min_size=2, max_size=80),
    seed=st.integers(0, 99),
    window=st.integers(1, 100),
)
def test_arrivals_count_every_outcome_once_and_keep_whole_days(
    day: list[int], seed: int, window: int
) -> None:
    rng = np.random.default_rng(seed)
    days = np.sort(np.array(day))
    size = len(days)
    past = Past(
        ("a",),
        days,
        np.zeros(size, np.int64),
        rng.integers(0, 2, size),
        np.ones(size),
        (value := rng.integers(0, 2, size).astype(np.float64)),
        value,
    )
    found = arrivals(past, window)
    if found is None:
        return
    assert found.count.sum() + found.reference == size
    assert found.count.sum() <= window
    assert np.isfinite(found.z).all()
    assert (np.abs(found.z) <= found.count * 99).all()
    for sign in (1.0, -1.0):
        path = Cusum().path(sign * found.z, found.count)
        assert (path >= 0).all()
        assert path.tolist() == pytest.approx(slow_path(sign * found.z, found.count))


def slow_path(z: NDArray[np.float64], count: NDArray[np.float64]) -> list[float]:
    """Oracle: Page's recursion, one day after the other."""
    value, result = 0.0, []
    for each, size in zip(z, count, strict=True):
        value = max(0.0, value + each - Cusum().shift / 2 * size)
        result.append(value)
    return result


@pytest.mark.parametrize(("hospitals", "trusted"), [(4, False), (5, True)])
def test_fewer_than_five_trusted_issuers_share_nothing(hospitals: int, trusted: bool) -> None:
    """Strangers who saw the same all along are not one of them."""
    rng, size = np.random.default_rng(1), 60_000
    setting = Setting(hospitals=hospitals, icc=0.0)
    stream = honest(setting, size, rng)
    stream = replace(stream, issuer=np.where(rng.random(size) < 0.2, hospitals, stream.issuer))
    past = drifting(stream, size // 2, 0.5, rng).past()
    move = shared_move(past, FIRST_DAY + size // 20, -1.0)
    assert (move is not None) is trusted


# --- newcomers -----------------------------------------------------------------------------------
@pytest.mark.parametrize("alike", [True, False])
def test_newcomers_of_honest_clustered_networks_are_not_flagged(alike: bool) -> None:
    """Five of twenty-five hospitals are new, or a fifth of everybody's authors."""
    alarms = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        stream = honest(Setting(hospitals=25, alike=alike), 500, rng)
        for new in (stream.issuer < 5, rng.random(500) < 0.2):
            alarms += NewcomerShift().watch(of(stream, new)) is not None
    assert alarms <= 1


def test_newcomers_that_lie_are_flagged_with_what_both_sides_say() -> None:
    rng = np.random.default_rng(2)
    stream = poisoned(honest(Setting(), 500, rng), 0, 0.1, (NONE,), rng)
    flag = NewcomerShift().watch(of(stream, stream.issuer == NONE))
    assert says_suspect(flag)
    assert "votes of newcomers say -1.000" in flag.reason


def test_survival_times_of_newcomers_are_compared_over_their_own_follow_up() -> None:
    """Newcomers are followed for less than half as long: honest they pass, lying they do not."""
    rng = np.random.default_rng(3)
    new, arm = np.arange(600) < 150, rng.integers(0, 2, 600)
    death = rng.exponential(1500, 600)
    end = np.where(new, rng.uniform(50, 300, 600), rng.uniform(200, 1500, 600))
    votes = columns(
        arm.tolist(),
        np.ceil(np.minimum(death, end)),
        (death <= end).tolist(),
        (np.arange(600) % 20).tolist(),
        20,
    )
    votes.age[new] = 1.0
    assert NewcomerShift().watch(evidence(votes, None)) is None
    votes.event[new & (arm == 0)] = True
    assert says_suspect(NewcomerShift().watch(evidence(votes, None)))


def test_newcomers_that_say_what_trusted_issuers_say_of_late_are_drift() -> None:
    rng = np.random.default_rng(5)
    past = drifting(honest(Setting(), 8_000, rng), 7_000, 0.5, rng).past()
    stream = drifting(honest(Setting(), 1_000, rng), 800, 0.5, rng)
    flag = NewcomerShift().watch(evidence(stream.votes(np.arange(1_000) >= 800), past))
    assert says_drift(flag)


def test_without_newcomers_or_without_veterans_there_is_nothing_to_compare() -> None:
    stream = honest(Setting(), 200, np.random.default_rng(1))
    for new in (np.zeros(200, bool), np.ones(200, bool)):
        assert NewcomerShift().watch(of(stream, new)) is None


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(60)), seed=st.integers(0, 20))
def test_the_order_of_votes_changes_no_score_and_no_contrast(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    arm, event = rng.integers(0, 2, 60).tolist(), rng.integers(0, 2, 60).astype(bool).tolist()
    votes = columns(arm, rng.integers(1, 900, 60), event, [i % 6 for i in range(60)], 6)
    place = np.array(order)
    mixed = replace(
        votes,
        **{
            name: getattr(votes, name)[place] for name in ("arm", "value", "event", "issuer", "age")
        },
    )
    one, two = scores(votes, 730), scores(mixed, 730)
    assert two == pytest.approx(one[place])
    assert one.sum() == pytest.approx(0.0, abs=1e-9)  # martingale residuals add up to nothing
    icc = correlation(one, votes.issuer, 0.0)
    assert correlation(two, mixed.issuer, 0.0) == pytest.approx(icc)
    every = np.ones(60, np.bool_)
    a, b = contrast(votes, one, every, icc), contrast(mixed, two, every, icc)
    assert (a is None) == (b is None)
    if a and b:
        assert (a.value, a.variance) == pytest.approx((b.value, b.variance))


@pytest.mark.parametrize("icc", [0.0, 0.05, 0.2])
def test_the_correlation_within_issuers_is_estimated(icc: float) -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(100):
        stream = honest(Setting(icc=icc, chances=(0.5, 0.5)), 1_000, rng)
        found.append(correlation(stream.value - 0.5, stream.issuer, -1.0))
    assert np.mean(found) == pytest.approx(icc, abs=0.02)


# --- the answer ----------------------------------------------------------------------------------
def answer(stream: Stream, *defenses: Defense) -> Answer:
    shape = template()
    votes = stream.votes(np.zeros(len(stream.arm), bool))
    votes = replace(votes, kind=shape.outcome.kind, value=np.where(votes.value, 900.0, 100.0))
    votes.event[:] = votes.value < 730
    weighed = Weighed(votes, np.ones(len(votes)), {})
    config = SynthesisConfig(fragility=False)
    return conclude(weighed, len(votes), shape, config, defenses, ARMS, stream.past())


def test_the_state_of_an_answer_tells_drift_from_suspicion() -> None:
    rng = np.random.default_rng(3)
    drift = answer(drifting(honest(Setting(), SIZE, rng), BEGIN, 0.5, rng), Cusum())
    assert drift.state is State.DRIFT
    assert drift.flags[0].startswith("cusum: drift: since day ")
    suspect = answer(attacked(4, NONE), Cusum())
    assert suspect.state is State.SUSPECT


# --- calibration ---------------------------------------------------------------------------------
def test_a_threshold_is_calibrated_on_fresh_draws_and_kept(tmp_path: Path) -> None:
    task = ShiftTask(window=300, reference=300, draws=2_000)
    first = calibrate_shift(task, tmp_path)
    assert first.reached.low <= 0.05 <= first.reached.high + 0.01
    (path,) = tmp_path.iterdir()
    held = path.read_bytes()
    assert calibrate_shift(task, tmp_path) == first == calibrate_shift(task)
    path.write_bytes(held.replace(b"threshold", b"threshald"))
    assert calibrate_shift(task, tmp_path) == first
    assert path.read_bytes() == held
    assert calibrate_shift(replace(task, wanted=0.2), tmp_path).threshold < first.threshold


def test_a_task_out_of_range_names_field_value_and_range() -> None:
    with pytest.raises(ScenarioError, match=r"shift = 0\.0, must be 0.01 to 4.0"):
        ShiftTask(shift=0.0)
