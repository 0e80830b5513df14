"""The last lines on the terminal: what happened in plain words, and what to type next."""

import textwrap
from collections.abc import Sequence

from qisguard.lab.demo.results import Report
from qisguard.reports import sentences
from qisguard.reports.reading import CLEAN, Reading, clean, read
from qisguard.reports.words import attack, duration, tag

WIDTH = 88
INDENT = "  "


def summary(report: Report, commands: Sequence[tuple[str, str]] = (), prefix: str = "") -> str:
    """Return what to print when a run has ended.

    Args:
        report: the report of the run.
        commands: (command, what it does), printed in this order under "Next"; the command that
            repeats the run comes last in any case.
        prefix: what to type before a command of qisguard, such as ``uv run ``.
    """
    reading = read(clean(report))
    report = reading.report
    lines = [sentences.headline(reading), ""]
    lines += _told("Question", report.question)
    lines += _told("Unattacked", sentences.agreement(reading))
    if reading.headline and reading.headline != CLEAN:
        lines.append(f"{attack(*reading.headline)}, runs turned round (rate, 95 % interval)")
        for network in reading.pair:
            tally = sentences.tally(reading.rate(network, reading.headline))
            lines += _item(f"{reading.label(network)}: {tally}")
        lines += _item(sentences.paired(reading))
    lines += _told("One hospital compromised", sentences.one_hospital(reading))
    lines += _limits(reading)
    lines += _told("Audit", sentences.audits(report.audits))
    lines += _told("Measured", _measured(reading))
    lines += _told("Set-up", _setup(report))
    lines += ["", "Next"]
    repeat = [(report.command, "repeat this run")] if report.command else []
    steps = [
        (f"{prefix if command.startswith('qisguard ') else ''}{command}", what)
        for command, what in [*commands, *repeat]
    ]
    width = max((len(command) for command, _ in steps), default=0)
    lines += [f"{INDENT}{command:<{width}}  # {what}" for command, what in steps]
    return "\n".join(line.rstrip() for line in lines).replace("\u00a0", " ") + "\n"


def _limits(reading: Reading) -> list[str]:
    network = reading.defended or reading.undefended
    lines = ["Where it gives way"]
    for kind in sentences.KINDS:
        if reading.limit(network, kind):
            lines += _item(sentences.limits(reading, network, kind))
    return lines if len(lines) > 1 else []


def _measured(reading: Reading) -> str:
    report = reading.report
    kept = [tag(engine, reading.engine_seeds(engine)) for engine in reading.engines]
    quick = " A quick run: few seeds, wide intervals." if report.is_quick else ""
    made = " The patients are synthetic." if report.cohort_is_synthetic else ""
    return f"{'; '.join(kept)}; {duration(report.seconds)} in all.{quick}{made}"


def _setup(report: Report) -> str:
    c1, c2 = report.puzzle_bits
    days = report.clock_rate / 86_400
    return (
        f"puzzles of {c1} + {c2} bits, {1000 * report.seconds_per_identity:.1f} ms an identity; "
        f"one second is {days:g} day{'' if days == 1 else 's'}; {report.cohort}, "
        f"{report.patients} patients."
    )


def _told(name: str, text: str) -> list[str]:
    return textwrap.wrap(f"{name}: {text}", WIDTH, subsequent_indent=INDENT)


def _item(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT * 2)
