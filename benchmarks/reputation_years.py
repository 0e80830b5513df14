"""What patient, on-off and whitewashing liars gain over five simulated years, and at what price.

    uv run python benchmarks/reputation_years.py --repeats 20 --seed 1

Twenty honest hospitals and one attacker publish five outcomes a week each; a tenth is verified
later by another hospital, which errs in 2 % of cases. ``share`` is the part of all weight that lies
had (1/21 = .0476 for one that always lies at full weight), with a bootstrap interval over repeats;
``per name`` and ``per 100 served`` divide it by what the attacker paid.
"""

import argparse
import random
from statistics import fmean

from qisguard.lab.statistics import bootstrap_interval
from qisguard.lab.years import GUARDS, STRATEGIES, simulate


def main() -> None:
    """Print one table a defence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("strategies", nargs="*", choices=[[], *STRATEGIES], default=[])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verified", type=float, default=0.1)
    options = parser.parse_args()
    print(f"{options.repeats} repeats, seed {options.seed}, {options.verified:.0%} verified")
    for label, guard in GUARDS.items():
        print(f"\n{label}")
        for name in options.strategies or STRATEGIES:
            strategy = STRATEGIES[name]
            rng = random.Random(f"{options.seed} {name}")
            runs = [
                simulate(strategy, guard, rng, verified_ratio=options.verified)
                for _ in range(options.repeats)
            ]
            share = bootstrap_interval([run.share for run in runs], fmean, rng, 400)
            served, names = fmean(run.served for run in runs), fmean(run.names for run in runs)
            per = f", per 100 served {share.estimate / served * 100:.5f}" if served else ""
            print(
                f"  {name}: share {share.estimate:.4f} ({share.low:.4f}-{share.high:.4f}), "
                f"lies {fmean(run.lies for run in runs):.0f}, served {served:.0f}, "
                f"names {names:.1f}, per name {share.estimate / names:.5f}{per}, "
                f"honest weight {fmean(run.honest_weight for run in runs):.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
