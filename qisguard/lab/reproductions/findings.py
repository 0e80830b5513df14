"""What a reproduction found: claims compared with what was measured, tables and plots."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

Tell: TypeAlias = Callable[[str, int, int], None]
"""Called with what ended, how many parts have, and how many there are."""


class Claim(msgspec.Struct, frozen=True):
    """One published number beside ours.

    It *agrees* when our interval (95 %) meets the published range ``low`` to ``high``.
    """

    name: str
    published: str
    low: float
    high: float
    measured: float
    interval: tuple[float, float]
    source: str
    note: str = ""

    @property
    def agrees(self) -> bool:
        """Return whether the measured interval meets the published range."""
        return self.interval[0] <= self.high and self.interval[1] >= self.low


class Table(msgspec.Struct, frozen=True):
    """Rows of text under a head."""

    title: str
    head: list[str]
    rows: list[list[str]]


class Plot(msgspec.Struct, frozen=True):
    """A drawing as SVG, with what it shows in words."""

    name: str
    caption: str
    svg: str


class Findings(msgspec.Struct, frozen=True):
    """Everything that one reproduction leaves behind; ``text`` are paragraphs of the page."""

    name: str
    title: str
    question: str
    sources: list[str]
    engine: str
    seeds: str
    claims: list[Claim]
    tables: list[Table]
    plots: list[Plot]
    text: list[str]
    is_quick: bool
    seconds: float


def percent(ratio: float) -> str:
    """Return a ratio as people read it."""
    return f"{ratio:.1%}"


def span(estimate: float, low: float, high: float) -> str:
    """Return a ratio with its interval."""
    return f"{estimate:.1%} ({low:.1%}-{high:.1%})"


def page(findings: Findings) -> str:
    """Return the Markdown page of a reproduction; plots are files beside it."""
    claims = [
        [
            claim.name,
            claim.published,
            f"{claim.measured:.4g} ({claim.interval[0]:.4g}-{claim.interval[1]:.4g})",
            "agrees" if claim.agrees else "**differs**",
            claim.note,
        ]
        for claim in findings.claims
    ]
    parts = [
        f"# {findings.title}",
        findings.question,
        "\n".join(f"- {source}" for source in findings.sources),
        f"    qisguard attack reproduce {findings.name}",
        f"Engine: {findings.engine}. Seeds: {findings.seeds}. {findings.seconds:.0f} s."
        + (" Quick: fewer samples than the full run." if findings.is_quick else ""),
        "## Published and measured",
        _markdown(["", "published", "measured (95 %)", "", ""], claims),
    ]
    for plot in findings.plots:
        parts += [f"![{plot.caption}]({findings.name}-{plot.name}.svg)", plot.caption]
    for table in findings.tables:
        parts += [f"## {table.title}", _markdown(table.head, table.rows)]
    return "\n\n".join([*parts, *findings.text]) + "\n"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
