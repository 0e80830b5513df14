"""The figure of who has weight under attack, by issuer and by age of the identity."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qisguard.lab.demo.results import WeightRow
from qisguard.reports.reading import Reading
from qisguard.reports.svg import (
    BLUE,
    INK,
    VERMILLION,
    Figure,
    drawing,
    inline,
    panels,
    percents,
    short,
)
from qisguard.reports.words import number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

ISSUERS_MAX = 24
AGES = (7, 30, 180, 730)
AGE_NAMES = ("under a week", "1 to 4 weeks", "1 to 6 months", "6 months to 2 years", "over 2 years")


def weights(reading: Reading) -> Figure | None:
    """Return who holds weight, by issuer and by age of the identity, in each compared network."""
    shown = [(network, rows) for network in reading.pair if (rows := reading.weights(network))]
    if not shown:
        return None
    issuers = max(len({(r.issuer, r.is_hostile) for r in rows}) for _, rows in shown)
    bars = min(issuers, ISSUERS_MAX + 2)
    heights = (0.165 * bars + 0.6, 1.7)
    with drawing():
        drawn, axes = panels(2, len(shown), sum(heights), None, heights, sharex="row")
        for column, (network, rows) in enumerate(shown):
            _by_issuer(axes[column], rows)
            _by_age(axes[len(shown) + column], rows)
            axes[column].set_title(f"{reading.label(network)}\nby issuer")
            axes[len(shown) + column].set_title("by age of the identity")
        for row in (axes[: len(shown)], axes[len(shown) :]):
            row[0].set_xlim(0, 1.05 * max(0.01, *(float(axis.dataLim.x1) for axis in row)))
        _weight_legend(drawn)
        text = " ".join(f"{reading.label(n)}: {hostile(rows)}" for n, rows in shown)
        svg = inline(drawn, "weights", "Who has weight under attack", text)
    steps = ", ".join(dict.fromkeys(rows[0].step for _, rows in shown))
    votes = "; ".join(
        f"{reading.label(n).lower()} {number(sum(row.votes for row in rows))} votes"
        for n, rows in shown
    )
    return Figure(
        svg,
        "Share of all weight, by issuer and by age of the identity, at the step "
        f"\u201c{steps}\u201d. Outlines: the share if every vote weighed the same.",
        f"{reading.source([r for _, rows in shown for r in rows])} \u00b7 n = {votes}",
    )


def hostile(rows: Sequence[WeightRow]) -> str:
    """Return what the attacker has, in votes and in weight."""
    votes, weight = sum(r.votes for r in rows), sum(r.weight for r in rows)
    bad_votes = sum(r.votes for r in rows if r.is_hostile)
    bad = sum(r.weight for r in rows if r.is_hostile)
    if not votes or not weight:
        return "nobody has weight."
    share, held = percent(bad_votes / votes), percent(bad / weight)
    return f"the attacker has {share} of the votes and {held} of the weight."


def _by_issuer(axis: "Axes", rows: Sequence[WeightRow]) -> None:
    total, votes = sum(r.weight for r in rows) or 1.0, sum(r.votes for r in rows) or 1
    groups: dict[tuple[str, bool], tuple[float, float]] = {}
    for row in rows:
        weight, size = groups.get((row.issuer, row.is_hostile), (0.0, 0.0))
        groups[row.issuer, row.is_hostile] = (weight + row.weight, size + row.votes)
    order = sorted(groups, key=lambda key: (-groups[key][0], key))
    bars = [(short(name), bad, *groups[name, bad]) for name, bad in order]
    bars, rest = bars[:ISSUERS_MAX], bars[ISSUERS_MAX:]
    for bad, who in ((False, "honest"), (True, "hostile")):
        if more := [bar for bar in rest if bar[1] == bad]:
            weight, size = sum(bar[2] for bar in more), sum(bar[3] for bar in more)
            bars.append((f"{len(more)} more {who}", bad, weight, size))
    for place, (_, bad, weight, size) in enumerate(bars):
        _bar(axis, place, weight / total, size / votes, bad, 0.0)
    axis.set_yticks(range(len(bars)), [name for name, *_ in bars], fontsize=7)
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.xaxis.set_major_formatter(percents)


def _by_age(axis: "Axes", rows: Sequence[WeightRow]) -> None:
    total, votes = sum(r.weight for r in rows) or 1.0, sum(r.votes for r in rows) or 1
    for place in range(len(AGE_NAMES)):
        here = [r for r in rows if sum(r.age >= edge for edge in AGES) == place]
        offset = 0.0
        for bad in (False, True):
            some = [r for r in here if r.is_hostile == bad]
            share = sum(r.weight for r in some) / total
            _bar(axis, place, share, 0.0, bad, offset)
            offset += share
        _outline(axis, place, sum(r.votes for r in here) / votes)
    axis.set_yticks(range(len(AGE_NAMES)), list(AGE_NAMES), fontsize=7.5)
    axis.set_ylim(len(AGE_NAMES) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel("share of all weight")
    axis.xaxis.set_major_formatter(percents)


def _bar(axis: "Axes", place: int, share: float, votes: float, bad: bool, left: float) -> None:
    axis.barh(place, share, 0.62, left, color=VERMILLION if bad else BLUE,
              hatch="////" if bad else None, edgecolor="white", linewidth=0)  # fmt: skip
    if votes:
        _outline(axis, place, votes)


def _outline(axis: "Axes", place: int, share: float) -> None:
    axis.barh(place, share, 0.82, facecolor="none", edgecolor=INK, linewidth=0.7)


def _weight_legend(drawn: "Drawing") -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=BLUE, label="honest"),
        Patch(facecolor=VERMILLION, hatch="////", edgecolor="white", linewidth=0, label="attacker"),
        Patch(facecolor="none", edgecolor=INK, linewidth=0.7, label="share of votes"),
    ]
    drawn.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=9)
