"""A log shows each half of the network another history: how long until all honest nodes have proof.

    uv run python benchmarks/reliability/split_view.py [--nodes 60] [--seeds 5] [--loss 0]

For each honest share and fan-out, over the seeds: seconds from the first lie until the first and
until the last honest node has evidence, the largest; honest nodes that have it; honest logs that
somebody had evidence against; honest logs that were called silent, and honest nodes that called the
liar so. The rest of the network are accomplices, who hide what they hear. In the last row no size
occurs in both histories: nothing proves that, and the log is silent.
"""

import argparse
import asyncio
from collections.abc import Sequence

from qisguard.lab.split_view import Noticed, SplitView, run_split_view

SHARES = (1.0, 0.75, 0.5, 0.25)
FAN_OUTS = (1, 2, 4)
GATE = 20
"""Intervals until every honest node has evidence: fan-out 2 or more, half of the network honest."""


def main() -> None:
    """Print the table; exit 1 when a gate is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--loss", type=float, default=0.0)
    given = parser.parse_args()
    print("honest  fan-out  first s  all s  holders  blamed  silent  liar silent  datagrams/min")
    broken = False
    for share in SHARES:
        for fan_out in FAN_OUTS:
            view = SplitView(given.nodes, share, fan_out, loss_ratio=given.loss)
            runs = _play(view, given.seeds)
            _show(f"{share:<7} {fan_out:<8}", runs)
            last = max(run.last or view.limit for run in runs)
            is_slow = share >= 0.5 and fan_out >= 2 and last > GATE * view.interval
            broken |= is_slow or any(run.blamed for run in runs)
    runs = _play(SplitView(given.nodes, apart=True, limit=2_400.0), given.seeds)
    _show("apart   2       ", runs)
    broken |= any(run.blamed or run.holders for run in runs)
    raise SystemExit(1 if broken else 0)


def _play(view: SplitView, seeds: int) -> list[Noticed]:
    return [asyncio.run(run_split_view(view, seed)) for seed in range(1, seeds + 1)]


def _show(what: str, runs: Sequence[Noticed]) -> None:
    def worst(values: Sequence[float | None]) -> str:
        return "-" if None in values else f"{max(v for v in values if v is not None):.0f}"

    holders = f"{sum(r.holders for r in runs)}/{sum(r.honest for r in runs)}"
    print(
        f"{what} {worst([r.first for r in runs]):<8} {worst([r.last for r in runs]):<6} "
        f"{holders:<8} {sum(r.blamed for r in runs):<7} {sum(r.silent for r in runs):<7} "
        f"{sum(r.liar_silent for r in runs):<12} "
        f"{sum(r.datagrams for r in runs) / len(runs):.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
