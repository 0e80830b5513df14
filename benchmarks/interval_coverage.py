"""Count how often the intervals of campaigns contain the truth, and how wide they are.

    uv run python benchmarks/interval_coverage.py --repeats 1000 --seed 1

Ratios: every seed draws its own chance from a beta distribution with mean ``p`` and correlation
``rho`` between the tries of one network, then 40 tries. Values: normal and log-normal numbers.
Prints one JSON object with a row for each; 95 % is what the intervals are meant to have.
"""

import argparse
import json
import math
from collections.abc import Callable

import numpy as np

from qisguard.lab.campaign.intervals import Counts, Resampler, Series, Values

TRIES = 40.0


def ratios(rng: np.random.Generator, size: int, mean: float, rho: float) -> Counts:
    """Return what ``size`` networks count."""
    chances = np.full(size, mean)
    if rho:
        chances = rng.beta(mean * (1 - rho) / rho, (1 - mean) * (1 - rho) / rho, size)
    return Counts(rng.binomial(int(TRIES), chances).astype(float), np.full(size, TRIES))


def count(name: str, truth: float, repeats: int, draw: Callable[[], Series]) -> dict[str, object]:
    """Return the share of intervals that contain ``truth``, and their mean width."""
    hits, width = 0, 0.0
    for i in range(repeats):
        found = Resampler("coverage", {"i": i}).interval(draw())
        hits += found.low <= truth <= found.high
        width += found.high - found.low
    return {"name": name, "coverage": round(hits / repeats, 3), "width": round(width / repeats, 3)}


def main() -> None:
    """Parse, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    rows = [
        count(f"ratio n={n} p={p} rho={rho}", p, options.repeats, lambda: ratios(rng, n, p, rho))  # noqa: B023 # called at once
        for n in (3, 5, 10, 20)
        for p in (0.5, 0.9, 0.99)
        for rho in (0.0, 0.05, 0.3)
    ]
    for n in (3, 5, 10, 20):
        draws: list[tuple[str, float, Callable[[], Series]]] = [
            ("normal", 0.0, lambda: Values(rng.normal(size=n))),  # noqa: B023 # called at once
            ("log-normal", math.exp(0.5), lambda: Values(rng.lognormal(size=n))),  # noqa: B023
        ]
        rows += [count(f"value n={n} {kind}", t, options.repeats, d) for kind, t, d in draws]
    print(json.dumps({"repeats": options.repeats, "seed": options.seed, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
