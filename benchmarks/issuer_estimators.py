"""Which estimator across issuers: accuracy, flips by compromised hospitals, coverage.

Prints the figures of docs/decisions/0002-deciding-across-issuers.md, in about a minute:

    uv run python benchmarks/issuer_estimators.py --repeats 1000 --seed 1

Each repeat draws the grade II patients of the cohort with replacement and deals them to 20
hospitals. The attacker compromises c hospitals at random; each then reports the worst there is, a
difference of -1, from as many invented cases as it likes. ``none`` adds one more such issuer: a
flood of keys off the roster. A flip is a difference below 0; the truth is +.096.
"""

import argparse
import random
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import betaincinv

from qisguard.lab.demo.cohort import HORMONE, NO_HORMONE, Patient, assign, bootstrap, load_cohort
from qisguard.lab.statistics import wilson
from qisguard.outcomes.arrays import Bools, Floats, Ints
from qisguard.outcomes.estimate import Estimate, issuer_estimate, pooled_estimate
from qisguard.outcomes.intervals import t_quantile
from qisguard.outcomes.issuers import FULL, Differences, trimmed_mean
from qisguard.outcomes.packet import TIME_TO_EVENT
from qisguard.outcomes.survival import Counts, influence, survival
from qisguard.outcomes.survivals import Survivals
from qisguard.outcomes.template import OutcomeRule
from qisguard.outcomes.votes import Votes

HORIZON = 730
HOSPITALS = 20
INVENTED = 500.0
TRIM = 0.30
RULE = OutcomeRule(TIME_TO_EVENT, "days", 0.0, 1e4, horizon=HORIZON)
NAMES = tuple(f"hospital-{place:02d}" for place in range(HOSPITALS))

INVENTED_CASES = [
    Patient(arm, 50, "Post", 25, "II", 3, 40, 50, time, event)
    for arm, time, event in ((HORMONE, HORIZON, 1), (NO_HORMONE, 2000, 0))
    for _ in range(30)
]

Weight = Callable[[Floats], Floats]
Average = Callable[[Floats, Floats], float]


def votes(arm: Ints, issuer: Ints, time: Floats, event: Bools) -> Votes:
    """Return enrolled, aged votes of distinct cases."""
    size = len(arm)
    rows = np.arange(size)
    yes = np.ones(size, np.bool_)
    days = np.zeros(size, np.int64)
    return Votes(
        TIME_TO_EVENT,
        NAMES,
        issuer,
        issuer,
        rows,
        arm,
        time,
        event,
        days,
        np.full(size, 1e4),
        yes,
        yes,
    )


def ward_votes(wards: Sequence[Sequence[Patient]]) -> Votes:
    """Return one vote a patient."""
    rows = [(place, patient) for place, ward in enumerate(wards) for patient in ward]
    return votes(
        np.array([int(p.arm != HORMONE) for _, p in rows]),
        np.array([place for place, _ in rows]),
        np.array([float(p.time) for _, p in rows]),
        np.array([p.event == 1 for _, p in rows]),
    )


def tally(rows: Votes) -> Survivals:
    """Return the tally of unit weights at the horizon."""
    return Survivals.of(rows, np.ones(len(rows)), RULE, HORIZON)


def share_cap(precision: Floats) -> Floats:
    """Cap every share at max(5 %, 2 / issuers), until none exceeds it."""
    for _ in range(50):
        cap = max(0.05, 2 / len(precision)) * precision.sum()
        if precision.max() <= cap * (1 + 1e-9):
            break
        precision = np.minimum(precision, cap)
    return precision


def huber(value: Floats, weight: Floats) -> float:
    """Return Huber's M-estimate with k = 1 and the weighted median absolute deviation."""
    centre = trimmed_mean(value, weight, 0.49)
    scale = 1.4826 * trimmed_mean(np.abs(value - centre), weight, 0.49) + 1e-9
    for _ in range(20):
        pull = weight * np.minimum(1.0, scale / np.maximum(np.abs(value - centre), 1e-12))
        centre = float(pull @ value / pull.sum())
    return centre


def trimmed(trim: float) -> Average:
    """Return the trimmed mean as a function."""
    return lambda value, weight: trimmed_mean(value, weight, trim)


CAPS: dict[str, Weight] = {
    "equal": np.ones_like,
    "min(m, 2)": lambda m: np.minimum(m, 2.0),
    "min(m, 3)": lambda m: np.minimum(m, 3.0),
    "min(m, median)": lambda m: np.minimum(m, np.median(m)),
    "m / (m + 2)": lambda m: np.asarray(m / (m + 2.0), np.float64),
    "share cap": share_cap,
    "sqrt(m)": np.sqrt,
}
AVERAGES: dict[str, Average] = {
    "trim .20": trimmed(0.20),
    "trim .30": trimmed(0.30),
    "trim .40": trimmed(0.40),
    "median": trimmed(0.49),
    "Huber": huber,
}
PAIRS = [(cap, "trim .30") for cap in CAPS] + [("min(m, 2)", average) for average in AVERAGES]


def attacked(
    found: Differences, precision: Floats, hostile: Sequence[int], none: bool
) -> tuple[Floats, Floats]:
    """Return (value, precision) after the hostile hospitals invented the worst."""
    value, full = np.full(HOSPITALS, np.nan), np.zeros(HOSPITALS)
    value[found.issuer], full[found.issuer] = found.value, precision
    value[list(hostile)], full[list(hostile)] = -1.0, INVENTED
    present = full > 0
    value, full = value[present], full[present]
    if none:
        value, full = np.append(value, -1.0), np.append(full, INVENTED)
    return value, full


def compare(repeats: int, seed: int) -> None:
    """Print flips by estimator and number of compromised hospitals."""
    rng = random.Random(seed)
    cohort = load_cohort().with_grade("II")
    flips = {(pair, none): np.zeros(6) for pair in PAIRS for none in (False, True)}
    means = {pair: np.zeros(2) for pair in PAIRS}
    pooled = np.zeros(2)
    for _ in range(repeats):
        wards = assign(bootstrap(cohort, rng), HOSPITALS, rng)
        honest = tally(ward_votes(wards))
        counts = honest.counts
        invented = [*INVENTED_CASES, *wards[0]]
        lied = tally(ward_votes([invented, *wards[1:]])).counts
        pooled += [_pooled_difference(counts) < 0, _pooled_difference(lied) < 0]
        found = honest.differences()
        first, second = counts.known[:, found.issuer]
        precision = first * second / (first + second)
        order = rng.sample(range(HOSPITALS), HOSPITALS)
        for none in (False, True):
            for hostile in range(6):
                value, full = attacked(found, precision, order[:hostile], none)
                for pair in dict.fromkeys(PAIRS):
                    result = AVERAGES[pair[1]](value, CAPS[pair[0]](full))
                    flips[pair, none][hostile] += result < 0
                    if hostile == 0 and not none:
                        means[pair] += (result, result**2)
    print(f"cohort {cohort.label}, {repeats} bootstrap samples, seed {seed}")
    honest, turned = pooled / repeats
    print(f"pooled, no attack: {honest:.3f} flipped")
    print(f"pooled, one hospital invents 30 cases in each arm: {turned:.3f} flipped\n")
    print("| weight | average | none | mean | SD | " + " | ".join(map(str, range(6))) + " |")
    print("|---" * 11 + "|")
    for (pair, none), flipped in flips.items():
        mean, square = means[pair] / repeats
        cells = " | ".join(f"{share:.3f}" for share in flipped / repeats)
        spread = (square - mean**2) ** 0.5
        row = f"| {pair[0]} | {pair[1]} | {'yes' if none else 'no'} | {mean:.3f} | {spread:.3f} |"
        print(f"{row} {cells} |")
    chosen = flips[("min(m, 2)", "trim .30"), False][0]
    interval = wilson(repeats - int(chosen), repeats)
    print(f"\nchosen, no attack: sign right {interval.estimate:.3f} ", end="")
    print(f"({interval.low:.3f} to {interval.high:.3f}); full weight {FULL}")


def _pooled_difference(counts: Counts) -> float:
    arms = survival(counts.at_risk.sum(axis=1), counts.deaths.sum(axis=1))
    return float(arms[0] - arms[1])


def simulated(rng: np.random.Generator, correlation: float) -> Votes:
    """Return patients of 20 hospitals whose survival differs with this intra-cluster correlation.

    Survival at the horizon is Beta distributed over hospitals with means .8191 and .7227, the same
    rank in both arms; times are exponential, follow-up 200 to 2600 days.
    """
    size, means = 444, (0.8191, 0.7227)
    shares = 1 / (np.arange(HOSPITALS) + 3)
    issuer = rng.choice(HOSPITALS, size, p=shares / shares.sum())
    arm = (rng.random(size) > 0.37).astype(np.int64)
    rank = rng.random(HOSPITALS)
    width = 1 / correlation - 1 if correlation else 0.0
    alive = np.array(
        [betaincinv(m * width, (1 - m) * width, rank) if width else 0 * rank + m for m in means]
    )
    scale = -HORIZON / np.log(np.clip(alive, 0.01, 0.99))
    death, end = rng.exponential(scale[arm, issuer]), rng.uniform(200, 2600, size)
    return votes(arm, issuer, np.ceil(np.minimum(death, end)), death <= end)


def coverage(repeats: int, seed: int, correlation: float) -> None:
    """Print how often 95 % intervals hold the truth."""
    rng = np.random.default_rng(seed)
    truth = (0.8191, 0.7227, 0.0964)
    hits = {name: np.zeros(3) for name in ("patients independent", "pooled", "issuer-trimmed")}
    widths = np.zeros(2)
    for _ in range(repeats):
        rows = simulated(rng, correlation)
        told, ones = tally(rows), np.ones(len(rows))
        pooled = pooled_estimate(told)
        squares = influence(told.counts, rows.arm, rows.value, rows.event, ones) ** 2
        parts = np.bincount(rows.arm, squares, 2)
        half = t_quantile(10**6) * np.sqrt([*parts, parts.sum()])
        centre = np.array([*(arm.estimate for arm in pooled.arms), pooled.difference])
        hits["patients independent"] += np.abs(centre - truth) <= half
        hits["pooled"] += _covers(pooled, truth)
        widths += [pooled.high - pooled.low, 0.0]
        across = issuer_estimate(told, TRIM)
        hits["issuer-trimmed"] += _covers(across, truth)
        widths += [0.0, across.high - across.low]
    print(f"\nICC {correlation}, {repeats} samples: coverage of first arm, second arm, difference")
    for name, hit in hits.items():
        print(f"  {name}: " + ", ".join(f"{share:.3f}" for share in hit / repeats))
    print(f"  width of the difference, trimmed over pooled: {widths[1] / widths[0]:.2f}")


def _covers(estimate: Estimate, truth: Sequence[float]) -> list[bool]:
    ends = [(arm.low, arm.high) for arm in estimate.arms] + [(estimate.low, estimate.high)]
    return [low <= value <= high for value, (low, high) in zip(truth, ends, strict=True)]


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    compare(options.repeats, options.seed)
    for correlation in (0.0, 0.05):
        coverage(2 * options.repeats, options.seed, correlation)


if __name__ == "__main__":
    main()
