"""Large networks on one machine: look-ups a second, hops, datagrams, memory.

    uv run python benchmarks/reliability/scale.py --nodes 100 1000 5000

Starts are **warm**: tables are filled from global knowledge the way joins would fill them, without
handshakes. Sessions are opened by the first request to each contact and are part of the cost, so
the look-ups come in two halves: the first meets nobody, the second finds some sessions open. Hops
are how many replies deep the closest node was first named: 1 when the asker knew it.

The nodes' own background work is off (its intervals are set to 1e9 s), so that what is measured is
the look-ups; ``--set refresh_interval=3600.0`` and the like bring it back.

Memory is what the process holds (RSS) after the start and after the look-ups, less what it held
before, for each node; every size runs in a process of its own.
"""

import argparse
import asyncio
import gc
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

from trial import Experiment, Trial, at_least, mean, measure, parser_of, quantile, settings

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId
from qisguard.lab.crowd import Crowd
from qisguard.lab.links import Links

SCRIPT = "scale.py"
QUIET = dict.fromkeys(
    (
        "refresh_interval",
        "republish_interval",
        "repair_interval",
        "knock_interval",
        "probe_interval",
    ),
    1e9,
)


def scale(options: argparse.Namespace, seed: int) -> Trial:
    """Measure each size in a process of its own, so that memory means something."""
    trial = Trial()
    for count in options.nodes:
        words = f"--nodes {count} --look-ups {options.look_ups} --seed {seed} --inside"
        done = subprocess.run(
            [sys.executable, __file__, *words.split(), "--set", *options.set],
            capture_output=True,
            text=True,
            check=True,
        )
        one = json.loads(done.stdout)
        trial.counts["look-ups"] = tuple(
            a + b for a, b in zip(trial.counts.get("look-ups", (0, 0)), one["counts"], strict=True)
        )
        trial.figures |= {f"{count}: {name}": value for name, value in one["figures"].items()}
        trial.notes.append(f"{count} nodes: warm start, {one['entries']} table entries given")
        trial.digest += one["digest"][: max(8, 64 // len(options.nodes))]
        print(f"  {count} nodes: {one['figures']}", file=sys.stderr)
    return trial


async def measure_one(
    config: NodeConfig, count: int, look_ups: int, seed: int
) -> dict[str, object]:
    """Return the figures of one size."""
    before = rss()
    started = time.perf_counter()
    crowd = Crowd.make(seed, Links(), config)
    entries = crowd.warm(count)
    starting = time.perf_counter() - started
    gc.collect()
    held = rss() - before
    rng = random.Random(f"look-ups {seed}")
    figures: dict[str, float] = {"start s": round(starting, 2)}
    good = 0
    for half in ("first", "second"):
        scores = []
        sent = crowd.engine.measures()["datagrams"]
        started, worked = time.perf_counter(), time.process_time()
        for _ in range(look_ups // 2):
            node, target = rng.choice(crowd.nodes), NodeId(rng.getrandbits(256))
            score = await crowd.look_up(node, target)
            good += score.succeeded
            scores.append(score)
        spent, worked = time.perf_counter() - started, time.process_time() - worked
        each = 1 / (look_ups // 2)
        figures |= {
            f"{half}: look-ups/s": round((look_ups // 2) / spent, 1),
            f"{half}: look-ups/CPU s": round((look_ups // 2) / worked, 1),
            f"{half}: hops": round(mean([score.hops for score in scores]), 2),
            f"{half}: requests": round(mean([score.requests for score in scores]), 1),
            f"{half}: datagrams": round((crowd.engine.measures()["datagrams"] - sent) * each, 1),
            f"{half}: virtual s": round(quantile([score.seconds for score in scores], 0.5), 3),
            f"{half}: recall": round(mean([score.recall_ratio for score in scores]), 4),
        }
    figures |= {
        "contacts": round(mean([len(node.table) for node in crowd.nodes]), 1),
        "RSS MiB": round(rss() / 2**20, 1),
        "KiB per node": round(held / count / 1024, 1),
        "KiB per node after": round((rss() - before) / count / 1024, 1),
    }
    crowd.engine.close()
    return {
        "counts": (good, 2 * (look_ups // 2)),
        "figures": figures,
        "entries": entries,
        "digest": crowd.engine.digest(),
    }


def rss() -> int:
    """Return the resident bytes of this process; where /proc is missing, the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def experiment(arguments: list[str]) -> tuple[Experiment, argparse.Namespace]:
    """Return what the arguments ask for."""
    parser = parser_of(__doc__)
    parser.add_argument("--nodes", type=at_least(4), nargs="+", default=[100, 1_000, 5_000])
    parser.add_argument("--look-ups", type=at_least(2), default=200)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    return Experiment(SCRIPT, "scale", scale, {"look-ups": 0.99}, parser), options


if __name__ == "__main__":
    made, given = experiment(sys.argv[1:])
    if given.inside:
        one = measure_one(settings(given, **QUIET), given.nodes[0], given.look_ups, given.seed)
        print(json.dumps(asyncio.run(one)))
        sys.exit(0)
    sys.exit(measure(made, given))
