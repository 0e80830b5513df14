"""Intervals contain the truth as often as they say; gates, expectations and the verdict."""

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from qisguard.exits import Exit
from qisguard.lab.campaign.drive import work
from qisguard.lab.campaign.intervals import Counts, Resampler, Values
from qisguard.lab.campaign.plan import Options
from qisguard.lab.campaign.results import ask
from qisguard.lab.campaign.summary import GateRow, Row, Summary, UntilRow, verdict
from qisguard.lab.scenario.gates import State
from qisguard.lab.statistics import Interval, wilson
from qisguard.lab.trial.engines import Job
from qisguard.lab.trial.measured import Measured
from qisguard.reports.campaign import measured
from tests.campaigns import SMALL, Here, run_folder, silent, toss

RESAMPLER = Resampler("digest", {})


def _counts(*hits: float, tries: float = 40.0) -> Counts:
    return Counts(np.array(hits, dtype=np.float64), np.full(len(hits), tries))


def _values(*each: float) -> Values:
    return Values(np.array(each, dtype=np.float64))


# --- intervals -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "mean", "rho", "least"),
    [(3, 0.5, 0.05, 0.90), (5, 0.9, 0.0, 0.93), (10, 0.9, 0.05, 0.90), (20, 0.5, 0.3, 0.90)],
)
def test_intervals_of_ratios_contain_the_truth_about_95_times_in_100(
    size: int, mean: float, rho: float, least: float
) -> None:
    """Two hundred draws say it within a few points; benchmarks/interval_coverage.py says more."""
    rng = np.random.default_rng(5)
    hits, repeats = 0, 200
    for i in range(repeats):
        chances = np.full(size, mean)
        if rho:
            chances = rng.beta(mean * (1 - rho) / rho, (1 - mean) * (1 - rho) / rho, size)
        counts = _counts(*rng.binomial(40, chances))
        found = Resampler("coverage", {"i": i}).interval(counts)
        hits += found.low <= mean <= found.high
    assert hits / repeats >= least


def test_always_in_a_few_tries_is_not_always() -> None:
    found = RESAMPLER.interval(_counts(40, 40, 40))
    assert (found.estimate, found.high) == (1.0, 1.0)
    assert found.low == wilson(120, 120).low


def test_networks_that_disagree_make_a_ratio_uncertain() -> None:
    """The same successes of the same tries, evenly and all in one half of the networks."""
    even = RESAMPLER.interval(_counts(*[20] * 10))
    torn = RESAMPLER.interval(_counts(*[40, 0] * 5))
    assert even.estimate == torn.estimate == 0.5
    assert even.high - even.low < 0.12
    assert torn.high - torn.low > 0.6


def test_no_interval_of_a_ratio_leaves_0_to_1() -> None:
    found = RESAMPLER.interval(_counts(40, 40, 5))
    assert 0 <= found.low < found.high <= 1
    other = RESAMPLER.difference(_counts(40, 40, 5), _counts(0, 35, 0))
    assert -1 <= other.low < other.high <= 1


def test_what_two_arms_share_does_not_widen_their_difference() -> None:
    rng = random.Random(3)
    luck = [rng.gauss(100, 30) for _ in range(10)]
    first, second = _values(*(x + rng.gauss(5, 1) for x in luck)), _values(*luck)
    paired = RESAMPLER.difference(first, second)
    assert 3 < paired.low < 5 < paired.high < 7
    alone = RESAMPLER.interval(second)
    assert alone.high - alone.low > 20


def test_two_arms_that_never_failed_may_differ_all_the_same() -> None:
    found = RESAMPLER.difference(_counts(40, 40, 40), _counts(40, 40, 40))
    assert found.estimate == 0
    assert found.low == -found.high < -0.02


def test_the_same_name_draws_the_same_and_another_point_does_not() -> None:
    series = _values(*(random.Random(1).random() for _ in range(12)))
    one = Resampler("digest", {"a": 1})._again([series])[0]
    assert (one == Resampler("digest", {"a": 1})._again([series])[0]).all()
    assert (one != Resampler("digest", {"a": 2})._again([series])[0]).any()


def test_many_seeds_are_drawn_in_blocks_to_the_same_effect() -> None:
    rng = np.random.default_rng(1)
    found = RESAMPLER.interval(Values(rng.normal(size=20_000)))
    assert found.high - found.low == pytest.approx(2 * 1.96 / 20_000**0.5, rel=0.1)


# --- summaries -----------------------------------------------------------------------------------
def _run(folder: Path, data: bytes, options: Options = Options(seeds=8)) -> Summary:  # noqa: B008
    return work(run_folder(folder, data, options, is_sweep=False), Here, silent)


def _row(summary: Summary, arm: str, metric: str = "success") -> Row:
    (row,) = [r for r in summary.rows if (r.arm, r.metric) == (arm, metric)]
    return row


def test_a_ratio_counts_all_tries_and_a_value_is_a_mean_over_seeds(tmp_path: Path) -> None:
    summary = _run(tmp_path, SMALL)
    row = _row(summary, "attacked")
    assert (row.tries, row.seeds, row.kind, row.engine) == (80, 8, "ratio", "virtual")
    assert row.hits is not None
    assert row.estimate == row.hits / 80
    value = _row(summary, "attacked", "hops")
    assert (value.hits, value.tries, value.kind) == (None, None, "value")


def test_what_a_clock_of_the_machine_measured_is_a_result_that_no_digest_covers(
    tmp_path: Path,
) -> None:
    def timed(job: Job) -> Measured:
        return msgspec.structs.replace(toss(job), times={"ids_per_second": 3.0 * job.seed})

    folder = run_folder(tmp_path / "timed", SMALL, Options(seeds=8), is_sweep=False)
    summary = work(folder, lambda: Here(timed), silent)
    row = _row(summary, "attacked", "ids_per_second")
    assert (row.kind, row.seeds, row.estimate) == ("time", 8, 13.5)
    assert summary.results_digest == _run(tmp_path / "plain", SMALL).results_digest
    sql = "SELECT kind, sum(value) FROM results WHERE metric = 'ids_per_second' GROUP BY kind"
    assert ask(folder.results, sql)[1] == [("time", 4 * 108.0)]


def test_differences_are_of_the_attack_the_defences_and_their_cost(tmp_path: Path) -> None:
    summary = _run(tmp_path, SMALL)
    found = {r.what: r for r in summary.differences if r.metric == "success"}
    assert {(r.what, r.arm, r.less) for r in found.values()} == {
        ("attack", "attacked", "clean"),
        ("defences", "defended", "attacked"),
        ("cost", "guarded", "clean"),
    }
    assert found["attack"].estimate == _row(summary, "attacked").estimate - 1
    assert found["attack"].high is not None
    assert found["attack"].high < 0


def test_differences_use_the_seeds_that_both_arms_have(tmp_path: Path) -> None:
    def fail(job: Job) -> Measured:
        if (job.arm, job.seed) == ("clean", 2):
            raise ValueError
        return toss(job)

    folder = run_folder(tmp_path, is_sweep=False)
    summary = work(folder, lambda: Here(fail), silent)
    (row,) = [r for r in summary.differences if (r.what, r.metric) == ("attack", "success")]
    assert row.seeds == 3
    assert _row(summary, "attacked").seeds == 4


def test_fewer_than_three_trials_measure_nothing(tmp_path: Path) -> None:
    summary = _run(tmp_path, SMALL, Options(seeds=2))
    assert _row(summary, "clean").low is None
    assert measured(_row(summary, "clean")) == "not measured (2 trials)"
    assert [gate.state for gate in summary.gates] == [State.NOT_MEASURED]
    assert {row.state for row in summary.expected} == {"not measured"}
    assert summary.exit == 3


def test_what_sources_say_is_compared_and_changes_no_verdict(tmp_path: Path) -> None:
    summary = _run(tmp_path, SMALL)
    assert [row.state for row in summary.expected] == ["agrees", "differs"]
    assert summary.exit == 0


def _gate(state: State) -> GateRow:
    return GateRow(0, "defended.success >= 0.9", state, 10, 0.9, 0.8, 1.0)


@pytest.mark.parametrize(
    ("states", "reached", "has_failures", "is_complete", "end"),
    [
        ([], True, False, True, Exit.CLEAN),
        ([State.HELD, State.HELD], True, False, True, Exit.CLEAN),
        ([State.HELD, State.NOT_MEASURED], True, False, True, Exit.NOT_MEASURED),
        ([State.NOT_MEASURED, State.BROKEN], False, True, False, Exit.FINDING),
        ([State.HELD], False, False, True, Exit.NOT_MEASURED),
        ([State.HELD], True, True, True, Exit.NOT_MEASURED),
        ([], True, False, False, Exit.NOT_MEASURED),
    ],
)
def test_the_verdict_is_broken_before_unknown_before_clean(
    states: list[State], reached: bool, has_failures: bool, is_complete: bool, end: Exit
) -> None:
    until = [UntilRow(0, "defended.success.width < 0.1", reached, 0.2, 10)]
    assert verdict(map(_gate, states), until, has_failures, is_complete) is end


@pytest.mark.parametrize(
    ("interval", "text", "state"),
    [
        (Interval(0.97, 0.96, 0.98), "defended.success >= 0.95", State.HELD),
        (Interval(0.97, 0.94, 0.98), "defended.success >= 0.95", State.NOT_MEASURED),
        (Interval(0.90, 0.88, 0.94), "defended.success >= 0.95", State.BROKEN),
    ],
)
def test_a_gate_that_an_interval_lies_across_is_not_measured(
    interval: Interval, text: str, state: State
) -> None:
    from qisguard.lab.scenario.gates import read_gate

    gate = read_gate(text, ["defended"], ["success"], "gate")
    assert gate.judge(interval, 10) is state
