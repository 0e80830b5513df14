"""The report as one HTML file: no script, no font, no request; the figures are inline SVG.

Written for a hospital's board first and an engineer after. Every number stands beside its engine
and seeds, and everything that comes from a run is escaped by the template.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import median
from typing import TYPE_CHECKING

from qisguard.lab.demo.results import Rate, Report
from qisguard.reports import sentences, tables
from qisguard.reports.reading import Budget, Reading, load, read
from qisguard.reports.words import attack, clock, count, duration, interval, number, percent, tag

if TYPE_CHECKING:
    from jinja2 import Template

PACKAGE = "qisguard.reports"
TRIMMED = "issuer-trimmed"


@dataclass(frozen=True, slots=True)
class Key:
    """One of the figures at the top: what, how much, how sure, and from where."""

    name: str
    value: str
    note: str
    source: str
    tone: str


@dataclass(frozen=True, slots=True)
class HtmlRenderer:
    """Renders ``report.json`` of a result folder; the same bytes for the same folder."""

    suffix: str = ".html"

    def render(self, folder: Mapping[str, bytes]) -> bytes:
        """Return the page.

        Raises:
            DecodeError: the folder holds no report of a known format.
            QisguardError: matplotlib is not installed.
        """
        from markupsafe import Markup

        from qisguard.reports import plots, weights

        reading = read(load(folder))
        defended = reading.rows(reading.defended, reading.headline)
        word = survival_word(reading.report)
        figures = {
            "survival": plots.survival(reading, word),
            "flips": plots.flips(reading),
            "weights": weights.weights(reading),
            "seeds": plots.seeds(reading),
        }
        page = _template().render(
            style=Markup(_text("report.css")),
            figures={
                name: (Markup(figure.svg), figure.caption, figure.source)
                for name, figure in figures.items()
                if figure
            },
            report=reading.report,
            reading=reading,
            keys=_keys(reading),
            word=word,
            hostile=[
                (reading.label(network), weights.hostile(rows))
                for network in reading.pair
                if (rows := reading.weights(network))
            ],
            headline_cost=_headline_cost(reading),
            sweeps=[
                (kind, [sentences.limits(reading, n, kind) for n in reversed(reading.pair)])
                for kind in sentences.KINDS
            ],
            weight_source=reading.source(
                [row for network in reading.pair for row in reading.weights(network)]
            ),
            is_trimmed=any(row.method == TRIMMED for row in defended),
            largest=percent(
                median(row.largest_issuer_share for row in defended) if defended else None
            ),
            price_source=reading.source([]),
            sentences=sentences,
            tables=tables,
            attack=attack,
            clock=clock,
            count=count,
            duration=duration,
            number=number,
            percent=percent,
            tag=tag,
        )
        return (page.rstrip() + "\n").encode()


@cache
def _text(name: str) -> str:
    return resources.files(PACKAGE).joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_text("report.html"))


def survival_word(report: Report) -> str:
    """Return what the curves show, in the words of the question."""
    told = f"{report.estimand} {report.question} {report.title}".lower()
    known = report.cohort == "GBSG2" or "recurrence" in told
    return "recurrence-free survival" if known else "survival"


def _headline_cost(reading: Reading) -> str:
    """Return what the identities of the headline attack cost, from the measured price of one."""
    if not reading.headline or not reading.headline.sybils or not reading.report.identities_mined:
        return ""
    seconds = reading.headline.sybils * reading.report.seconds_per_identity
    return f"{count(reading.headline.sybils, 'Sybil')} cost {duration(seconds)} of one core"


def _keys(reading: Reading) -> list[Key]:
    keys = []
    for network in reading.pair:
        rate = reading.rate(network, reading.headline)
        if rate and reading.headline:
            told = f"{attack(*reading.headline)}, {reading.label(network).lower()}"
            keys.append(_rate_key(told, rate))
    network = reading.defended or reading.undefended
    if one := reading.rate(network, Budget(0, 1)):
        keys.append(_rate_key(f"{attack(0, 1)}, {reading.label(network).lower()}", one))
    return [*keys, _audit_key(reading)]


def _rate_key(name: str, rate: Rate) -> Key:
    size = len(rate.seeds)
    left = f"; {rate.undecided} undecided" if rate.undecided else ""
    range_ = interval(rate.lo, rate.hi)
    return Key(
        name,
        f"{rate.flips} of {size}",
        f"runs turned round: {percent(rate.rate)} (95\u00a0% interval {range_}){left}",
        tag(rate.engine, rate.seeds),
        "bad" if 2 * rate.flips >= size else "mixed" if rate.flips or rate.undecided else "good",
    )


def _audit_key(reading: Reading) -> Key:
    rows = reading.report.audits
    if not rows:
        return Key("Audit trails", "none", "were audited in this run", "", "mixed")
    clean = sum(row.trails for row in rows if row.exit_code == 0)
    others = [f"{row.what}: {sentences.verdict(row)}" for row in rows if row.exit_code != 0]
    return Key(
        "Audit trails, checked offline",
        f"{clean} clean",
        "; ".join(others) or "every required check was done and holds",
        "",
        "good" if clean else "mixed",
    )
