"""``qisguard calibrate``: the threshold of a detector for a network of your size."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from qisguard.cli.words import echo_json, table
from qisguard.exits import Exit

if TYPE_CHECKING:
    from qisguard.lab.calibration import Calibration

Name = Annotated[
    str,
    typer.Argument(
        metavar="DETECTOR", help="kl_detector, scan_count, distance_scan or region_count."
    ),
]
Nodes = Annotated[int, typer.Option("--n", help="Number of nodes in the network.")]
Closest = Annotated[int, typer.Option("--k", help="How many of the closest ids count.")]
Rate = Annotated[
    float, typer.Option("--false-alarms", metavar="RATE", help="Honest keys flagged, 0.0001 to 0.5")
]
Off = Annotated[
    float,
    typer.Option("--n-error", metavar="RATIO", help="Standard error of the believed size."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the draws.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def calibrate(
    detector: Name,
    n: Nodes,
    k: Closest = 20,
    false_alarms: Rate = 0.01,
    n_error: Off = 0.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Simulate honest networks, choose a threshold, and check it on draws it was not made of.

    The result is kept in the cache folder; delete the folder to compute it again.
    """
    from qisguard.cli.progress import Progress
    from qisguard.lab import calibration

    task = calibration.Task(detector, n, k, false_alarms, n_error, seed)
    with Progress("calibrate") as progress:
        result = calibration.calibrate(task, calibration.cache_folder(os.environ), progress.update)
    if as_json:
        echo_json(_as_json(result))
    else:
        typer.echo(_as_text(result))
    raise typer.Exit(Exit.CLEAN)


def _as_json(result: "Calibration") -> dict[str, object]:
    reached = result.reached
    return {
        "detector": result.task.detector,
        "version": result.version,
        "n": result.task.n,
        "k": result.task.k,
        "n_error": result.task.n_error,
        "seed": result.task.seed,
        "threshold": result.threshold,
        "wanted": result.task.wanted,
        "reached": reached.estimate,
        "reached_low": reached.low,
        "reached_high": reached.high,
        "alarms": result.alarms,
        "draws": result.draws,
    }


def _as_text(result: "Calibration") -> str:
    task, reached = result.task, result.reached
    off = f", believed size off by {task.n_error:.0%}" if task.n_error else ""
    return table(
        [
            ["detector", f"{task.detector}, version {result.version}"],
            ["network", f"{task.n} nodes, k = {task.k}{off}"],
            ["threshold", f"{result.threshold:.6f} nats"],
            ["wanted", f"{task.wanted:.3%} of honest keys flagged"],
            [
                "reached",
                f"{reached.estimate:.3%} ({reached.low:.3%} to {reached.high:.3%}, 95 %), "
                f"{result.alarms} of {result.draws} fresh keys, seed {task.seed}",
            ],
        ]
    )
