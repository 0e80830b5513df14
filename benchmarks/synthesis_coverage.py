"""Count how often 95 % intervals of the synthesis hold the truth when an issuer's cases are alike.

    uv run python benchmarks/synthesis_coverage.py --repeats 2000 --seed 1

Each sample has 22 patients an issuer on average, sizes proportional to 1 / (rank + 3), 37 % in the
first arm. Issuers differ by a normal effect for each arm, correlated .5 between the arms, of which
the intra-cluster correlation (ICC) is the share of one patient's variance; shares and survival
follow it through a beta distribution with the same ICC. Prints, pooled and across issuers, how
often the intervals of first arm, second arm and difference hold the truth, and the mean of all the
estimates: one that holds only the latter is around something else than the truth. At an ICC of .05
also the intervals that take cases as independent.
"""

import argparse
import json
from dataclasses import replace

import numpy as np
from scipy.special import betaincinv, ndtr

from qisguard.outcomes.arrays import Floats, Ints
from qisguard.outcomes.estimate import Estimate, issuer_estimate, pooled_estimate
from qisguard.outcomes.kinds import tally
from qisguard.outcomes.packet import BINARY, NUMERIC, TIME_TO_EVENT
from qisguard.outcomes.template import OutcomeRule
from qisguard.outcomes.votes import Votes

HORIZON = 730
EACH = 22
MEANS = (0.8191, 0.7227)
MIDDLES = (55.0, 58.0)
DEVIATION = 12.0
CORRELATIONS = (0.0, 0.01, 0.05, 0.10)
ISSUERS = (10, 20, 40)
AGAINST = 0.05
"""The ICC at which intervals that take cases as independent are measured too."""
RULES = {
    BINARY: OutcomeRule(BINARY, "", 0.0, 1.0),
    NUMERIC: OutcomeRule(NUMERIC, "mmol/mol", 0.0, 150.0, higher_is_better=False),
    TIME_TO_EVENT: OutcomeRule(TIME_TO_EVENT, "days", 0.0, 1e4, horizon=HORIZON),
}
TRUTH = {
    BINARY: (*MEANS, MEANS[0] - MEANS[1]),
    NUMERIC: (*MIDDLES, MIDDLES[0] - MIDDLES[1]),
    TIME_TO_EVENT: (*MEANS, MEANS[0] - MEANS[1]),
}


def shares(effect: Floats, icc: float) -> Floats:
    """Return (2, g): each issuer's chance in each arm."""
    if not icc:
        return np.repeat(np.array(MEANS)[:, None], effect.shape[1], axis=1)
    width = 1 / icc - 1
    rank = ndtr(effect)
    return np.stack(
        [betaincinv(m * width, (1 - m) * width, row) for m, row in zip(MEANS, rank, strict=True)]
    )


def binary(
    rng: np.random.Generator, arm: Ints, issuer: Ints, effect: Floats, icc: float
) -> tuple[Floats, Floats]:
    """Return what happened."""
    happened = rng.random(len(arm)) < shares(effect, icc)[arm, issuer]
    return happened.astype(np.float64), np.ones(len(arm))


def numeric(
    rng: np.random.Generator, arm: Ints, issuer: Ints, effect: Floats, icc: float
) -> tuple[Floats, Floats]:
    """Return numbers with one decimal."""
    noise = np.sqrt(icc) * effect[arm, issuer] + np.sqrt(1 - icc) * rng.normal(size=len(arm))
    return np.round(np.array(MIDDLES)[arm] + DEVIATION * noise, 1), np.ones(len(arm))


def times(
    rng: np.random.Generator, arm: Ints, issuer: Ints, effect: Floats, icc: float
) -> tuple[Floats, Floats]:
    """Return exponential times, followed for 200 to 2600 days."""
    alive = np.clip(shares(effect, icc), 0.005, 0.995)
    death = rng.exponential(-HORIZON / np.log(alive)[arm, issuer])
    end = rng.uniform(200, 2600, len(arm))
    return np.ceil(np.minimum(death, end)), (death <= end).astype(np.float64)


DRAWS = {BINARY: binary, NUMERIC: numeric, TIME_TO_EVENT: times}


def sample(rng: np.random.Generator, kind: str, issuers: int, icc: float) -> Votes:
    """Return the votes of one sample."""
    size = EACH * issuers
    parts = 1 / (np.arange(issuers) + 3)
    issuer = rng.choice(issuers, size, p=parts / parts.sum())
    arm = (rng.random(size) > 0.37).astype(np.int64)
    common, own = rng.normal(size=issuers), rng.normal(size=(2, issuers))
    effect = np.sqrt(0.5) * (common + own)
    value, event = DRAWS[kind](rng, arm, issuer, effect, icc)
    rows, yes = np.arange(size), np.ones(size, np.bool_)
    names = tuple(f"issuer-{place:02d}" for place in range(issuers))
    days = np.zeros(size, np.int64)
    old = np.full(size, 1e4)
    return Votes(
        kind, names, issuer, issuer, rows, arm, value, event > 0, days, old, yes, yes
    )  # fmt: skip


def scattered(votes: Votes) -> Votes:
    """Return the votes as if each were of an issuer of its own, which ignores who is alike."""
    return replace(votes, issuers=("",) * len(votes), issuer=votes.case)


def three(estimate: Estimate) -> list[tuple[float, float, float]]:
    """Return (value, low, high) of both arms and of the difference."""
    arms = [(arm.estimate, arm.low, arm.high) for arm in estimate.arms]
    return [*arms, (estimate.difference, estimate.low, estimate.high)]


def measure(
    kind: str, issuers: int, icc: float, repeats: int, trim: float, seed: int
) -> list[dict[str, object]]:
    """Return a row for each method."""
    rng = np.random.default_rng([seed, issuers, int(1000 * icc), sorted(RULES).index(kind)])
    found: dict[str, list[list[tuple[float, float, float]]]] = {"pooled": [], "trimmed": []}
    if icc == AGAINST:
        found["independent"] = []
    for _ in range(repeats):
        votes = sample(rng, kind, issuers, icc)
        told = tally(votes, np.ones(len(votes)), RULES[kind])
        found["pooled"].append(three(pooled_estimate(told)))
        found["trimmed"].append(three(issuer_estimate(told, trim)))
        if icc == AGAINST:
            alone = tally(scattered(votes), np.ones(len(votes)), RULES[kind])
            found["independent"].append(three(pooled_estimate(alone)))
    rows = []
    for method, samples in found.items():
        value, low, high = np.moveaxis(np.array(samples), 2, 0)
        of_truth, of_mean = (
            ((low <= point) & (point <= high)).mean(axis=0).round(4).tolist()
            for point in (np.array(TRUTH[kind]), value.mean(axis=0))
        )
        rows.append(
            {
                "kind": kind,
                "issuers": issuers,
                "icc": icc,
                "method": method,
                "coverage": of_truth,
                "coverage_of_mean": of_mean,
                "width": round(float((high - low)[:, 2].mean()), 4),
            }
        )
    return rows


def main() -> None:
    """Measure everything that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trim", type=float, default=0.30)
    parser.add_argument("--icc", nargs="*", type=float, default=CORRELATIONS)
    parser.add_argument("--kinds", nargs="*", choices=sorted(RULES), default=sorted(RULES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for kind in options.kinds:
        for issuers in ISSUERS:
            for icc in options.icc:
                shown = len(rows)
                rows += measure(kind, issuers, icc, options.repeats, options.trim, options.seed)
                if not options.json:
                    for row in rows[shown:]:
                        print(*row.values(), sep="  ", flush=True)
    if options.json:
        print(json.dumps({"repeats": options.repeats, "seed": options.seed, "rows": rows}))


if __name__ == "__main__":
    main()
