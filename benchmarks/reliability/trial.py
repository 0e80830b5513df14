"""One measurement, many seeds: run, report with intervals, and say how to replay what failed.

Every script here takes ``--seed``, ``--seeds``, ``--json`` and ``--digest``. A seed alone decides a
trial, so the line printed for a seed that failed repeats it exactly; its ``--digest`` makes the
repetition fail unless every datagram and every event is the same.

Exit codes: 0 every target met, 1 a target missed or a trial raised, 2 wrong arguments, 3 nothing
that a target speaks of was measured.
"""

import argparse
import json
import platform
import shlex
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qisguard.config import NodeConfig
from qisguard.exits import Exit
from qisguard.fill import fill
from qisguard.lab.statistics import wilson


class MissedError(AssertionError):
    """A trial missed a target; the message says how to replay it."""


@dataclass
class Trial:
    """What one seed gave.

    ``counts``: successes and tries by name; targets speak of these. ``figures``: other numbers.
    ``notes``: what a reader should see of this seed.
    """

    digest: str = ""
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, name: str, success: bool) -> None:
        """Count one try."""
        good, tries = self.counts.get(name, (0, 0))
        self.counts[name] = (good + bool(success), tries + 1)


Run = Callable[[argparse.Namespace, int], Trial]


@dataclass
class Experiment:
    """A script's measurement: ``run`` makes one trial; ``targets`` are smallest ratios by name."""

    script: str
    figure: str
    run: Run
    targets: Mapping[str, float]
    parser: argparse.ArgumentParser

    def command(self, options: argparse.Namespace, seed: int, digest: str = "") -> str:
        """Return the line that repeats one seed with these options exactly."""
        words = ["uv", "run", "python", f"benchmarks/reliability/{self.script}"]
        for action in self.parser._actions:
            name = action.dest
            value = getattr(options, name, None)
            if name in ("help", "seed", "seeds", "json", "digest") or value == action.default:
                continue
            flag = action.option_strings[:1]
            values = value if isinstance(value, list) else [] if value is True else [value]
            made = [*flag, *map(str, values)]
            words[4:4] = made if not flag else []  # what has no flag goes first
            words += made if flag else []
        words += ["--seed", str(seed), "--seeds", "1"]
        if digest:
            words += ["--digest", digest]
        return shlex.join(words)

    def misses(self, trial: Trial) -> list[str]:
        """Return the targets that a trial missed, in words."""
        return [
            f"{name}: {good} of {tries}, wanted {target:.1%}"
            for name, target in self.targets.items()
            for good, tries in [trial.counts.get(name, (0, 0))]
            if tries and good < target * tries
        ]

    def demand(self, options: argparse.Namespace, seed: int) -> Trial:
        """Run one seed; raise MissedError, with the command that replays it, for a miss."""
        try:
            trial = self.run(options, seed)
        except Exception as error:
            line = self.command(options, seed)
            raise MissedError(f"seed {seed} raised {error!r}\nreplay: {line}") from error
        if misses := self.misses(trial):
            line = self.command(options, seed, trial.digest)
            raise MissedError(f"seed {seed} missed {'; '.join(misses)}\nreplay: {line}")
        return trial


def at_least(low: float, kind: Callable[[str], float] = int) -> Callable[[str], float]:
    """Return an argument type that refuses numbers below ``low``."""

    def parse(text: str) -> float:
        if not (value := kind(text)) >= low:
            raise argparse.ArgumentTypeError(f"{text}, must be at least {low:g}")
        return value

    parse.__name__ = "number"  # what argparse calls it when the text is no number
    return parse


def parser_of(doc: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every script has."""
    parser = argparse.ArgumentParser(
        description=doc.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument(
        "--seeds", type=at_least(0), default=1, help="how many seeds, one after the other"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of every node"
    )
    parser.add_argument("--digest", default="", help="fail unless the only seed has this digest")
    return parser


def settings(options: argparse.Namespace, **defaults: object) -> NodeConfig:
    """Return the configuration of every node: ``defaults`` and what ``--set`` says over them."""
    table = tomllib.loads("\n".join(options.set))
    return fill(NodeConfig, {**defaults, **table}, "--set")


def measure(experiment: Experiment, options: argparse.Namespace) -> int:
    """Run the seeds, print what they gave, and return the exit code."""
    trials: dict[int, Trial] = {}
    failures: dict[int, str] = {}
    started = time.time()
    for seed in range(options.seed, options.seed + options.seeds):
        begun = time.time()
        try:
            trial = trials[seed] = experiment.run(options, seed)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            break
        except Exception as error:
            traceback.print_exc()
            failures[seed] = f"raised {error!r}\nreplay: {experiment.command(options, seed)}"
            continue
        if options.digest and trial.digest != options.digest:
            failures[seed] = f"digest {trial.digest}, asked for {options.digest}: no replay"
        elif misses := experiment.misses(trial):
            line = experiment.command(options, seed, trial.digest)
            failures[seed] = f"missed {'; '.join(misses)}\nreplay: {line}"
        print(
            f"{experiment.figure} seed {seed}: {time.time() - begun:.1f} s, "
            + ", ".join(f"{name} {good}/{tries}" for name, (good, tries) in trial.counts.items()),
            file=sys.stderr,
        )
    verdicts = judge(experiment, list(trials.values()))
    raised = any(text.startswith(("raised", "digest")) for text in failures.values())
    if raised or any(verdict["met"] is False for verdict in verdicts):
        code = Exit.FINDING
    elif any(verdict["met"] is None for verdict in verdicts) or not trials:
        code = Exit.NOT_MEASURED
    else:
        code = Exit.CLEAN
    report = {
        "figure": experiment.figure,
        "options": {k: v for k, v in vars(options).items() if k not in ("json", "digest")},
        "machine": f"Python {platform.python_version()}, {platform.platform()}",
        "seconds": round(time.time() - started, 1),
        "results": verdicts,
        "seeds": {
            seed: {
                "digest": trial.digest,
                "counts": trial.counts,
                "figures": trial.figures,
                "notes": trial.notes,
            }
            for seed, trial in trials.items()
        },
        "failures": failures,
        "exit": int(code),
    }
    print(json.dumps(report, indent=1) if options.json else words(report))
    return int(code)


def judge(experiment: Experiment, trials: Sequence[Trial]) -> list[dict[str, object]]:
    """Return each count over all seeds with Wilson's interval, and whether its target is met."""
    names = dict.fromkeys([*experiment.targets, *(n for t in trials for n in t.counts)])
    rows: list[dict[str, object]] = []
    for name in names:
        pairs = [trial.counts[name] for trial in trials if name in trial.counts]
        good, tries = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
        interval = wilson(good, tries)
        target = experiment.targets.get(name)
        row: dict[str, object] = {"name": name, "good": good, "tries": tries}
        if tries:
            row["ratio"] = round(interval.estimate, 5)
            row["interval"] = [round(interval.low, 5), round(interval.high, 5)]
        if target is not None:
            row["target"] = target
            row["met"] = good >= target * tries if tries else None
        else:
            row["met"] = "no target"
        rows.append(row)
    return rows


def words(report: Mapping[str, object]) -> str:
    """Return a report as people read it."""
    lines = []
    seeds: dict[int, dict[str, dict[str, float] | list[str] | str]] = report["seeds"]  # type: ignore[assignment]
    for seed, trial in seeds.items():
        figures = ", ".join(f"{name} {value:g}" for name, value in trial["figures"].items())
        lines.append(f"seed {seed}  digest {trial['digest'][:16]}  {figures}")
        lines += [f"    {note}" for note in trial["notes"]]
    lines.append("")
    for row in report["results"]:  # type: ignore[attr-defined]
        if not row["tries"]:
            lines.append(f"{row['name']}: not measured")
            continue
        low, high = row["interval"]
        text = f"{row['name']}: {row['good']} of {row['tries']} = {row['ratio']:.2%}"
        text += f" (95 %: {low:.2%} to {high:.2%})"
        if "target" in row:
            text += f", target {row['target']:.1%}: {'met' if row['met'] else 'MISSED'}"
        lines.append(text)
    for seed, text in report["failures"].items():  # type: ignore[attr-defined]
        lines.append(f"seed {seed} {text}")
    lines.append(f"{report['seconds']} s, {report['machine']}")
    return "\n".join(lines)


def mean(values: Sequence[float]) -> float:
    """Return the mean, 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of all lie, 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def script_name(path: str) -> str:
    """Return the name of a script for replay lines."""
    return Path(path).name
