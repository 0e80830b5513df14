"""Our robust estimators beside independent ones, and what they are worth across issuers.

    uv run python benchmarks/robust_estimators.py issuers --repeats 1000 --seed 1
    uv run --with byzfl==0.0.11 --with statsmodels python benchmarks/robust_estimators.py agree

``agree`` prints the largest deviation from SciPy, statsmodels and ByzFL over random samples, and
from the same sample with every value repeated as often as it weighs. It exits 1 when one is
larger than 1e-9 (statsmodels iterates: 1e-6), 3 when an implementation is not installed.
``issuers`` prints flips by number of compromised hospitals, and the coverage of 95 % intervals.
"""

import argparse
import importlib
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from issuer_estimators import (
    HOSPITALS,
    attacked,
    simulated,
    tally,
    ward_votes,
)
from scipy import stats

from qisguard.lab.demo.cohort import assign, bootstrap, load_cohort
from qisguard.lab.statistics import wilson
from qisguard.outcomes.arrays import Floats
from qisguard.outcomes.estimate import issuer_estimate
from qisguard.outcomes.issuers import FULL, kept, trimmed_mean
from qisguard.outcomes.robust import (
    ACROSS,
    HUBER_K,
    MAD_TO_SIGMA,
    TRIMMED_MEAN,
    Shares,
    deviation,
    huber,
    huber_shares,
    median_shares,
    weighted_median,
)

Check = Callable[[Floats, np.random.Generator], tuple[float, float]]
EXACT, ITERATED = 1e-9, 1e-6


def samples(seed: int, count: int = 2000) -> Iterator[tuple[Floats, np.random.Generator]]:
    """Yield samples of 1 to 60 values: normal, heavy-tailed, rounded (ties) and all alike."""
    rng = np.random.default_rng(seed)
    for place in range(count):
        size = int(rng.integers(1, 61))
        normal = rng.normal(size=size)
        yield (
            (normal, rng.standard_t(1.5, size), np.round(normal), np.full(size, normal[0]))[
                place % 4
            ],
            rng,
        )


def by_scipy() -> dict[str, Check]:
    """Return checks against SciPy and NumPy."""
    ones = np.ones_like

    def trim(value: Floats, rng: np.random.Generator) -> tuple[float, float]:
        cut = int(rng.integers(0, (len(value) + 1) // 2))
        share = cut / len(value)
        return trimmed_mean(value, ones(value), share), float(stats.trim_mean(value, share + 1e-12))

    return {
        "median, numpy.median": lambda v, _: (weighted_median(v, ones(v)), float(np.median(v))),
        "trimmed mean, scipy trim_mean": trim,
        "MAD, scipy median_abs_deviation": lambda v, _: (
            deviation(v, ones(v))[1],
            float(stats.median_abs_deviation(v)),
        ),
        "normalising constant, scipy norm.ppf": lambda v, _: (
            MAD_TO_SIGMA,
            float(1 / stats.norm.ppf(0.75)),
        ),
    }


def by_repeating() -> dict[str, Check]:
    """Return checks of weights: a weight of three is three equal values."""

    def check(estimate: Callable[[Floats, Floats], float]) -> Check:
        def both(value: Floats, rng: np.random.Generator) -> tuple[float, float]:
            weight = rng.integers(1, 5, len(value))
            many = np.repeat(value, weight)
            return estimate(value, weight.astype(float)), estimate(many, np.ones(len(many)))

        return both

    def of(shares: Shares) -> Callable[[Floats, Floats], float]:
        return lambda value, weight: float(shares(value, weight) @ value)

    return {
        "weighted median, repeated values": check(of(median_shares)),
        "weighted trimmed mean, repeated values": check(lambda v, w: trimmed_mean(v, w, 0.3)),
        "weighted MAD, repeated values": check(lambda v, w: deviation(v, w)[1]),
        "weighted Huber, repeated values": check(of(huber_shares)),
    }


def by_statsmodels() -> dict[str, Check]:
    """Return checks against statsmodels; raise ImportError without it."""
    robust: Any = importlib.import_module("statsmodels.robust.norms")

    def location(value: Floats, rng: np.random.Generator) -> tuple[float, float]:
        scale = deviation(value, np.ones(len(value)))[1] * MAD_TO_SIGMA or 1.0
        scaled = value / scale
        norm, start = robust.HuberT(t=HUBER_K), np.array(np.median(scaled))
        theirs = robust.estimate_location(scaled, 1.0, norm, 0, start, maxiter=9999, tol=1e-9)
        return huber(value, np.ones(len(value)), scale), float(theirs) * scale

    return {"Huber, statsmodels estimate_location": location}


def by_byzfl() -> dict[str, Check]:
    """Return checks against ByzFL; raise ImportError without it."""
    byzfl: Any = importlib.import_module("byzfl")

    def trim(value: Floats, rng: np.random.Generator) -> tuple[float, float]:
        cut = int(rng.integers(0, (len(value) + 1) // 2))
        theirs = float(byzfl.TrMean(f=cut)(value[:, None])[0])
        return trimmed_mean(value, np.ones(len(value)), cut / len(value)), theirs

    def middle(value: Floats, rng: np.random.Generator) -> tuple[float, float]:
        return weighted_median(value, np.ones(len(value))), float(byzfl.Median()(value[:, None])[0])

    return {"trimmed mean, byzfl TrMean": trim, "median, byzfl Median": middle}


def agree(options: argparse.Namespace) -> int:
    """Print the largest deviation for each estimator; return the exit code."""
    code = 0
    for source in (by_scipy, by_repeating, by_statsmodels, by_byzfl):
        try:
            checks = source()
        except ImportError as error:
            print(f"  {source.__name__[3:]}: not installed ({error}): not compared")
            code = max(code, 3)
            continue
        limit = ITERATED if source is by_statsmodels else EXACT
        for name, check in checks.items():
            largest = 0.0
            for value, rng in samples(options.seed):
                ours, theirs = check(value, rng)
                size = max(1.0, float(np.abs(value).max()))
                largest = max(largest, abs(ours - theirs) / size)
            print(f"  {name}: largest deviation {largest:.2g} of the largest value")
            if not largest <= limit:
                print(f"  {name}: more than {limit:g}")
                code = 1
    return code


def shares_of(name: str) -> Shares:
    """Return an estimator across issuers by name, the trimmed mean at 30 %."""
    if name == TRIMMED_MEAN:
        return lambda value, weight: kept(value, weight, 0.30)
    return ACROSS[name]


NAMES = (TRIMMED_MEAN, *ACROSS)


def issuers(options: argparse.Namespace) -> int:
    """Print flips by compromised hospitals of 20 that all report -1, and coverage."""
    rng = random.Random(options.seed)
    cohort = load_cohort().with_grade("II")
    most = 10
    flips = {name: np.zeros(most) for name in NAMES}
    for _ in range(options.repeats):
        told = tally(ward_votes(assign(bootstrap(cohort, rng), HOSPITALS, rng)))
        found = told.differences()
        first, second = told.counts.known[:, found.issuer]
        order = rng.sample(range(HOSPITALS), HOSPITALS)
        for hostile in range(most):
            value, full = attacked(found, first * second / (first + second), order[:hostile], False)
            for name in NAMES:
                flips[name][hostile] += shares_of(name)(value, np.minimum(full, FULL)) @ value < 0
    print(f"{cohort.label}, {options.repeats} bootstrap samples, seed {options.seed}")
    print("| across | " + " | ".join(map(str, range(most))) + " |")
    for name, counted in flips.items():
        print(f"| {name} | " + " | ".join(f"{n / options.repeats:.3f}" for n in counted) + " |")
    for correlation in (0.0, 0.05):
        draws = np.random.default_rng(options.seed)
        hits, widths = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0.0)
        for _ in range(options.repeats):
            rows = simulated(draws, correlation)
            told = tally(rows)
            for name in NAMES:
                estimate = issuer_estimate(told, 0.30, name)
                hits[name] += estimate.low <= 0.0964 <= estimate.high
                widths[name] += (estimate.high - estimate.low) / options.repeats
        print(f"ICC {correlation}: coverage of 95 % intervals, mean width")
        for name in NAMES:
            seen = wilson(hits[name], options.repeats)
            print(f"  {name}: {seen.estimate:.3f} ({seen.low:.3f}-{seen.high:.3f}), ", end="")
            print(f"{widths[name]:.3f}")
    return 0


PARTS = {"agree": agree, "issuers": issuers}


def main() -> None:
    """Run the part asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(PARTS[options.part](options))


if __name__ == "__main__":
    main()
