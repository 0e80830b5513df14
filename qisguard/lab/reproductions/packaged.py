"""Findings from packaged scenarios: all arms, with intervals over the seeds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qisguard.lab.campaign.intervals import Counts, Resampler, Series, Values
from qisguard.lab.reproductions.findings import Claim, Table, percent, span
from qisguard.lab.scenario.loading import load_scenario, packaged
from qisguard.lab.statistics import Interval
from qisguard.lab.trial.engines import Job, run_job
from qisguard.lab.trial.measured import Measured


@dataclass(frozen=True, slots=True)
class Ran:
    """One packaged scenario over ``seeds`` seeds: trials by arm."""

    name: str
    engine: str
    digest: str
    trials: dict[str, list[Measured]]

    def interval(self, arm: str, metric: str) -> Interval:
        """Return the interval of a metric in one arm; raises KeyError when nobody measured it."""
        trials = self.trials[arm]
        series: Series
        if metric in trials[0].ratios:
            pairs = [trial.ratios[metric] for trial in trials]
            hits, tries = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
            series = Counts(hits, tries)
        else:
            series = Values(np.array([(t.values | t.times)[metric] for t in trials], np.float64))
        return Resampler(self.digest, {}).interval(series)

    def row(self, metrics: dict[str, list[str]]) -> Iterator[list[str]]:
        """Yield a row of text for each arm that has one of ``metrics``."""
        for arm, trials in self.trials.items():
            known = trials[0].ratios | trials[0].values | trials[0].times
            for metric in metrics.get(arm, []):
                if metric not in known:
                    continue
                found = self.interval(arm, metric)
                is_ratio = metric in trials[0].ratios
                text = (
                    span(found.estimate, found.low, found.high)
                    if is_ratio
                    else f"{found.estimate:,.4g} ({found.low:,.4g}-{found.high:,.4g})"
                )
                yield [self.name, arm, metric, text]

    def claims(self) -> list[Claim]:
        """Return what the scenario's file expects, beside what was measured."""
        claims = []
        for expected in load_scenario(packaged(self.name)).scenario.expected:
            arm, metric = expected.value.split(".")
            found = self.interval(arm, metric)
            low, high = expected.low, expected.high
            published = f"{low:g}" if low == high else f"{low:g}-{high:g}"
            if metric in self.trials[arm][0].ratios:
                published = percent(low) if low == high else f"{percent(low)}-{percent(high)}"
            claims.append(
                Claim(
                    f"{self.name}: {expected.value}",
                    published,
                    low,
                    high,
                    found.estimate,
                    (found.low, found.high),
                    expected.source,
                    expected.note,
                )
            )
        return claims


def run(name: str, seeds: int) -> Ran:
    """Return what a packaged scenario measured in all its arms, seeds 1 to ``seeds``."""
    data = packaged(name)
    loaded = load_scenario(data)
    trials = {
        str(arm): [run_job(Job(data, {}, arm, seed)) for seed in range(1, seeds + 1)]
        for arm in loaded.arms
    }
    return Ran(name, loaded.scenario.engine, loaded.digest, trials)


def table(title: str, ran: list[Ran], metrics: list[str]) -> Table:
    """Return one table of ``metrics`` over all scenarios and arms that measured them."""
    rows = []
    for one in ran:
        rows += list(one.row(dict.fromkeys(one.trials, metrics)))
    return Table(title, ["scenario", "arm", "metric", "measured (95 %)"], rows)
