"""Sybils around a key: which records they censor, which detector sees them, what a region saves."""

import time

import numpy as np

from qisguard.defenses.kl_detector import KlDetector
from qisguard.lab.calibration import Task, calibrate, with_threshold
from qisguard.lab.detection import Detection, detection_rates
from qisguard.lab.drawing import Line, draw
from qisguard.lab.keyspace import Detector
from qisguard.lab.model.network import build
from qisguard.lab.model.regions import Rule, chosen, crowded, neighbourhoods, readable, see
from qisguard.lab.reproductions.findings import Claim, Findings, Plot, Table, Tell, percent, span
from qisguard.lab.statistics import Interval, wilson

SEED = 1
SIZE, K = 25_000, 20
SYBILS = (0, 5, 10, 15, 20, 25, 30, 35, 40, 45)
SEEN = (1.0, 0.98, 0.95, 0.9)
"""Share of the nodes around a key that one look-up finds; live look-ups miss some."""
PUBLISHED = {15: 0.184, 20: 0.687, 45: 0.992}
PAPER = "Sridhar et al., Content Censorship in the InterPlanetary File System, NDSS 2024"
DATA = f"{PAPER}, recomputed from the published raw data"


def reproduce(tell: Tell, quick: bool) -> Findings:
    """Return censored records by number of Sybils and rule, and alarms of detectors."""
    started = time.perf_counter()
    keys = 500 if quick else 5_000
    draws = 4_000 if quick else 40_000
    censored = {
        (rule, seen): [_censored(rule, seen, count, keys) for count in SYBILS]
        for rule in (Rule.CLOSEST, Rule.SUBTREE, Rule.RADIUS)
        for seen in SEEN
    }
    tell("records censored", 1, 3)
    kl = KlDetector()
    alarms = detection_rates({"kl": kl}, SIZE, SYBILS, draws, SEED + 10)
    false = alarms[0].rate
    detectors = _detectors(false.estimate)
    tell("detectors calibrated", 2, 3)
    rows = detection_rates(detectors, SIZE, SYBILS, draws, SEED + 11)
    tell("detectors measured", 3, 3)
    closest = dict(zip(SYBILS, censored[Rule.CLOSEST, 1.0], strict=True))
    region = censored[Rule.RADIUS, 1.0][-1]
    claims = [
        _claim(f"censored by {n} Sybils", share, 0.03, closest[n], DATA, _NOTES.get(n, ""))
        for n, share in PUBLISHED.items()
    ]
    claims += [
        _claim(
            "readable with region store, 45 Sybils",
            1.0,
            0.006,
            Interval(1 - region.estimate, 1 - region.high, 1 - region.low),
            PAPER + " (504 of 504)",
        ),
        _claim("false alarms of KL over 0.94", 0.044, 0.01, false, DATA, _KL),
        _claim("missed by KL at 45 Sybils", 0.0041, 0.004, alarms[-1].missed, DATA, _KL),
    ]
    return Findings(
        name="censorship-2024",
        title="Censoring a key with ids around it",
        question=f"An attacker owns the ids closest to a key on a network of {SIZE:,} nodes (k = "
        f"{K}) and keeps nothing. How many records are lost, who notices, and does a "
        "region store help?",
        sources=[PAPER],
        engine=f"model: {keys:,} keys for each number of Sybils, {draws:,} draws for detectors",
        seeds=f"{SEED} to {SEED + 11}",
        claims=claims,
        tables=[_censorship_table(censored), _detector_table(rows, detectors)],
        plots=[_censorship_plot(censored), _detector_plot(rows)],
        text=[
            "Sybils are placed nearer to the key than the closest honest node. The writer and "
            "the reader look up on their own, and see each honest node around the key with the "
            "given probability.",
            "With complete look-ups censorship is a step: 20 Sybils own all 20 places, 15 leave "
            "5. On the live network it is gradual. That honest nodes are missed does not "
            "explain it (see the rows with less than 100 % seen). A reader of the live network "
            "stops when the three closest nodes that it knows have answered, so it may never "
            "ask the honest replicas behind 15 Sybils; that is a guess, and not measured here: "
            "our node asks all replicas.",
        ],
        is_quick=quick,
        seconds=time.perf_counter() - started,
    )


_NOTES = {
    15: "complete look-ups find the 5 honest replicas that are left",
    20: "complete look-ups find all Sybils; live ones do not",
}
_KL = "uniform ids and the right size here; live ids and a size that was estimated there"


def _claim(
    name: str, published: float, margin: float, found: Interval, source: str, note: str = ""
) -> Claim:
    return Claim(
        name,
        percent(published),
        published - margin,
        published + margin,
        found.estimate,
        (found.low, found.high),
        source,
        note,
    )


def _censored(rule: Rule, seen: float, sybils: int, keys: int) -> Interval:
    """Return the share of keys whose record a reader does not find, with its interval."""
    network = build(SIZE, 0.0, SEED, k=K)
    rng = np.random.Generator(np.random.PCG64([SEED, sybils]))
    places = rng.integers(0, 2**64 - 1, keys, np.uint64, endpoint=True)
    crowd = crowded(network, places, sybils, SEED + 2) if sybils else None
    nearby = neighbourhoods(network, places, 8 * K, crowd)
    sizes = np.full(keys, float(SIZE))
    writes = chosen(nearby, rule, K, sizes, see(nearby, seen, SEED + 3))
    reads = chosen(nearby, rule, K, sizes, see(nearby, seen, SEED + 4))
    lost = int((~readable(nearby, writes, reads)).sum())
    return wilson(lost, keys)


def _detectors(false_alarms: float) -> dict[str, Detector]:
    """Return KL as published, and ours at the same and at a tenth of its false alarms."""
    found: dict[str, Detector] = {"KL over 0.94": KlDetector()}
    for name in ("scan_count", "distance_scan"):
        for what, share in (("same false alarms", 1.0), ("a tenth", 0.1)):
            task = Task(name, SIZE, K, false_alarms * share)
            found[f"{name}, {what}"] = with_threshold(task, calibrate(task))
    return found


def _censorship_table(censored: dict[tuple[Rule, float], list[Interval]]) -> Table:
    rows = [
        [f"{rule}, {seen:.0%} seen", *(percent(i.estimate) for i in intervals)]
        for (rule, seen), intervals in censored.items()
    ]
    return Table("Records that a reader does not find", ["", *map(str, SYBILS)], rows)


def _detector_table(rows: list[Detection], detectors: dict[str, Detector]) -> Table:
    body = []
    for name, detector in detectors.items():
        cells = [
            span(row.rate.estimate, row.rate.low, row.rate.high)
            for row in rows
            if row.detector == name and row.sybils in (0, 5, 10, 15, 20, 45)
        ]
        body.append([name, f"{detector.threshold:.3f}", *cells])
    head = ["keys flagged", "threshold", *(f"{n} Sybils" for n in (0, 5, 10, 15, 20, 45))]
    return Table("Who notices", head, body)


def _censorship_plot(censored: dict[tuple[Rule, float], list[Interval]]) -> Plot:
    lines = [
        Line(
            f"{rule}, {seen:.0%} seen",
            SYBILS,
            [i.estimate for i in censored[rule, seen]],
            [i.low for i in censored[rule, seen]],
            [i.high for i in censored[rule, seen]],
        )
        for rule, seen in (
            (Rule.CLOSEST, 1.0),
            (Rule.CLOSEST, 0.9),
            (Rule.SUBTREE, 1.0),
            (Rule.RADIUS, 1.0),
        )
    ]
    points = sorted(PUBLISHED)
    lines.append(Line("published, live", points, [PUBLISHED[n] for n in points], style=":"))
    svg = draw(
        lines,
        title=f"Records censored (N = {SIZE:,}, k = {K})",
        x="Sybil ids closest to the key",
        y="records that a reader does not find",
        percents=True,
        bounds=(-0.02, 1.02),
    )
    return Plot("censored", "Records censored by Sybils around their key", svg)


def _detector_plot(rows: list[Detection]) -> Plot:
    names = list(dict.fromkeys(row.detector for row in rows))
    lines = []
    for name in names:
        mine = [row.rate for row in rows if row.detector == name]
        lines.append(
            Line(
                name,
                SYBILS,
                [i.estimate for i in mine],
                [i.low for i in mine],
                [i.high for i in mine],
            )
        )
    svg = draw(
        lines,
        title=f"Keys that a detector flags (N = {SIZE:,}, k = {K})",
        x="Sybil ids closest to the key",
        y="keys flagged",
        percents=True,
        bounds=(-0.02, 1.02),
    )
    return Plot("flagged", "Keys flagged by each detector", svg)
