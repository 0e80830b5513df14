"""Sybils placed so that a detector does not see them, and what is left of a key's replicas."""

import time
from collections.abc import Sequence

from qisguard.lab.calibration import Task, calibrate, with_threshold
from qisguard.lab.drawing import Line, draw
from qisguard.lab.placement import Censorship, active_censorship
from qisguard.lab.reproductions.findings import Claim, Findings, Plot, Table, Tell, percent
from qisguard.lab.statistics import Interval

SEED = 3
SIZE, K, BUDGET = 25_000, 20, 45
NAMES = ("kl_detector", "scan_count", "distance_scan", "region_count")
ALARMS = (0.0057, 0.044)
BELIEVED = (1.0, 2.0)
PAPER = "de Moura Netto et al., 2025 (active censorship)"


def reproduce(tell: Tell, quick: bool) -> Findings:
    """Return how many places the attacker wins against each detector, retrained against each."""
    started = time.perf_counter()
    keys = 60 if quick else 400
    won: dict[tuple[str, float, float], Censorship] = {}
    total = len(NAMES) * len(ALARMS) * len(BELIEVED)
    for alarms in ALARMS:
        tasks = [Task(name, SIZE, K, alarms) for name in NAMES]
        detectors = {t.detector: with_threshold(t, calibrate(t)) for t in tasks}
        for believed in BELIEVED:
            for name in NAMES:
                won[name, alarms, believed] = active_censorship(
                    detectors[name],
                    SIZE,
                    keys,
                    SEED,
                    BUDGET,
                    detectors,
                    K,
                    believed * SIZE,
                )
                tell(f"{name} evaded", len(won), total)
    kl = won["kl_detector", ALARMS[1], 1.0]
    best = won["distance_scan", ALARMS[1], 1.0]
    claims = [
        Claim(
            "share of a key's places won against KL, unseen",
            "enough to win 80 % of look-ups",
            0.5,
            1.0,
            kl.share.estimate,
            (kl.share.low, kl.share.high),
            PAPER,
            "look-ups that stop at the first answer are not modelled: places, not look-ups",
        ),
        Claim(
            "the same against distance_scan (no published number: less than against KL)",
            f"below {percent(kl.share.low)}",
            0.0,
            kl.share.low,
            best.share.estimate,
            (best.share.low, best.share.high),
            "this reproduction",
        ),
    ]
    return Findings(
        name="active-censorship-2025",
        title="An attacker who knows the detector",
        question="Ids around a key are placed one by one so that a given detector stays silent "
        f"(N = {SIZE:,}, k = {K}, at most {BUDGET} Sybils). How many of the {K} places "
        "does the attacker win?",
        sources=[PAPER],
        engine=f"model: {keys} keys for each detector; thresholds calibrated on honest networks",
        seeds=str(SEED),
        claims=claims,
        tables=[_table(won)],
        plots=[_plot(won)],
        text=[
            "The attacker is retrained against each detector: it knows its statistic, its "
            "threshold and the size that the detector believes in, and its search is optimal up "
            "to the width of its outermost cell (checked by brute force in the tests).",
            "No detector stops it: between a third and two thirds of the places are won unseen, "
            "and more when the network's size is overestimated, which Sybils elsewhere can "
            "bring about. What holds is what the authors conclude: write to and read from the "
            "whole region every time (`replica_rule = "
            '"region"`), or place replicas by roster, where there is nothing to win.',
        ],
        is_quick=quick,
        seconds=time.perf_counter() - started,
    )


def _places(interval: Interval) -> str:
    return f"{interval.estimate * K:.1f} ({interval.low * K:.1f}-{interval.high * K:.1f})"


def _table(won: dict[tuple[str, float, float], Censorship]) -> Table:
    rows = [
        [
            name,
            percent(alarms),
            f"{believed:g} N",
            _places(found.share),
            percent(found.at_least(K).estimate),
            *(percent(found.flagged_by(other).estimate) for other in NAMES),
        ]
        for (name, alarms, believed), found in won.items()
    ]
    head = ["evaded", "false alarms", "believed", f"places of {K}", f"all {K}"]
    return Table("Places won unseen, and who else flags them", [*head, *NAMES], rows)


def _plot(won: dict[tuple[str, float, float], Censorship]) -> Plot:
    lines = []
    for name in NAMES:
        for believed, style in ((1.0, "-"), (2.0, "--")):
            shares: Sequence[Interval] = [won[name, alarms, believed].share for alarms in ALARMS]
            lines.append(
                Line(
                    name if believed == 1.0 else f"{name}, size believed twice",
                    ALARMS,
                    [s.estimate for s in shares],
                    [s.low for s in shares],
                    [s.high for s in shares],
                    style,
                )
            )
    svg = draw(
        lines,
        title=f"Places of {K} won by an attacker who knows the detector",
        x="false alarms of the detector",
        y="share of places won",
        log_x=True,
        percents=True,
        bounds=(0.0, 1.02),
    )
    return Plot("places", "Share of a key's places won unseen", svg)
