"""The figures: survival, flip rate against the attacker's budget, who has weight, every seed.

Colours are Okabe and Ito's (2008), told apart without red and green; nothing is said by colour
alone: labels stand beside their lines, and markers differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qisguard.lab.results import Curve, Rate, Row, WeightRow
from qisguard.reports import sentences
from qisguard.reports.reading import CLEAN, Budget, Reading
from qisguard.reports.svg import GRID, INK, MUTED, drawing, inline
from qisguard.reports.words import attack, count, number, percent, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, SKY, ORANGE, BLACK = "#CC79A7", "#56B4E9", "#E69F00", "#000000"
WIDTH = 9.2
ISSUERS_MAX = 24
NAME_MAX = 26
AGES = (7, 30, 180, 730)
AGE_NAMES = ("under a week", "1 to 4 weeks", "1 to 6 months", "6 months to 2 years", "over 2 years")


@dataclass(frozen=True, slots=True)
class Figure:
    """An inline SVG, what it shows, and the engine, seeds and size behind it."""

    svg: str
    caption: str
    source: str


def short(name: str, limit: int = NAME_MAX) -> str:
    """Return a name that fits beside an axis."""
    return name if len(name) <= limit else name[: limit - 1] + "\u2026"


def _style(reading: Reading, network: str) -> tuple[str, str]:
    """Return the colour and marker of a network."""
    if network == reading.undefended:
        return VERMILLION, "X"
    if network == reading.defended:
        return GREEN, "o"
    others = [n for n in reading.networks if n not in reading.pair]
    place = others.index(network) if network in others else 0
    return (BLUE, PURPLE, SKY, ORANGE, BLACK)[place % 5], "sDv^P"[place % 5]


def _new(rows: int, columns: int, height: float, **options: object) -> "tuple[Drawing, list[Axes]]":
    from matplotlib.figure import Figure as Drawing

    drawn = Drawing(figsize=(WIDTH, height), layout="constrained")
    grid = drawn.subplots(rows, columns, squeeze=False, **options)  # type: ignore[arg-type] # passed on
    return drawn, list(grid.flat)


# --- survival --------------------------------------------------------------------------------------
def survival(reading: Reading, word: str) -> Figure | None:
    """Return the survival curves: unattacked, and at the headline in each network."""
    panels = _panels(reading)
    if not panels:
        return None
    arms = list(dict.fromkeys(curve.arm for _, curves in panels for curve in curves))
    with drawing():
        drawn, axes = _new(1, len(panels), 3.3, sharex=True, sharey=True)
        for axis, (title, curves) in zip(axes, panels, strict=True):
            axis.set_title(title, wrap=True)
            _curves(axis, reading, curves, arms)
        axes[0].set_ylabel(f"{word[0].upper()}{word[1:]}")
        svg = inline(
            drawn, "survival", "Survival curves by treatment", "; ".join(t for t, _ in panels)
        )
    told = [curve for _, curves in panels for curve in curves]
    cohort = ", ".join(f"{a.code} {percent(a.estimate)}" for a in reading.report.truth)
    return Figure(
        svg,
        f"{word[0].upper()}{word[1:]} over time, all votes pooled by their weight, in one run. "
        f"Rings: what the cohort itself says at {number(reading.report.horizon)} days ({cohort}).",
        f"{reading.source(told)} \u00b7 n = {count(reading.report.patients, 'patient')} in the cohort",
    )


def _panels(reading: Reading) -> list[tuple[str, list[Curve]]]:
    panels = []
    for network in reading.pair:
        if curves := reading.curves(network, CLEAN):
            panels.append((f"No attack\n{reading.label(network)}", curves))
            break
    if reading.headline and reading.headline != CLEAN:
        for network in reading.pair:
            if curves := reading.curves(network, reading.headline):
                budget = attack(*reading.headline)
                panels.append((f"{budget}\n{reading.label(network)}", curves))
    return panels


def _curves(axis: "Axes", reading: Reading, curves: Sequence[Curve], arms: Sequence[str]) -> None:
    horizon = reading.report.horizon
    longest = max((max(c.times, default=0.0) for c in curves), default=0.0)
    end = max(min(longest, 2.5 * horizon), 1.2 * horizon)
    axis.axvline(horizon, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
    axis.text(horizon, 1.005, f"{number(horizon)} days", color=MUTED, ha="center", va="bottom",
              fontsize=7.5)  # fmt: skip
    ends = []
    for curve in curves:
        colour, dash = ((BLUE, "-"), (PURPLE, (0, (5, 1.5))))[arms.index(curve.arm) % 2]
        kept = [(t, s) for t, s in zip(curve.times, curve.survival, strict=True) if t <= end]
        times = [0.0, *(t for t, _ in kept), end]
        values = [1.0, *(s for _, s in kept)]
        values.append(values[-1])
        axis.step(times, values, where="post", color=colour, linestyle=dash, linewidth=2)
        ends.append((values[-1], curve.arm, colour))
    for place, arm in enumerate(reading.report.truth):
        if arm.estimate is not None:
            colour = (BLUE, PURPLE)[arms.index(arm.code) % 2 if arm.code in arms else place % 2]
            axis.plot(horizon, arm.estimate, "o", markersize=7, markerfacecolor="none",
                      markeredgecolor=colour, markeredgewidth=1.3)  # fmt: skip
    floor = -1.0
    for value, name, colour in sorted(ends):
        floor = max(value, floor + 0.085)
        axis.annotate(short(name, 16), (end, floor), (4, 0), textcoords="offset points",
                      color=colour, fontweight="bold", va="center", annotation_clip=False)  # fmt: skip
    axis.set(xlim=(0, end), ylim=(0, 1.0), xlabel="days")
    axis.xaxis.set_major_locator(_every(end))
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}\u00a0%")


def _every(end: float) -> "object":
    from matplotlib.ticker import MultipleLocator

    step = 365.0
    while end / step > 5:
        step *= 2
    return MultipleLocator(step)


# --- flip rates ------------------------------------------------------------------------------------
def flips(reading: Reading) -> Figure | None:
    """Return flip rate against Sybils, against compromised hospitals, and for both together."""
    kinds = [
        kind
        for kind in sentences.KINDS
        if any(reading.limit(network, kind) for network in reading.networks)
    ]
    if not kinds:
        return None
    widths = [{"sybils": 1.7, "hospitals": 1.3, "both": 0.9}[kind] for kind in kinds]
    with drawing():
        drawn, axes = _new(1, len(kinds), 3.6, sharey=True, width_ratios=widths)
        for axis, kind in zip(axes, kinds, strict=True):
            _PANELS[kind](axis, reading)
            axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}\u00a0%")
            axis.set_ylim(-0.04, 1.04)
            axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes[0].set_ylabel("Runs in which the answer was turned round")
        _legend(drawn, reading)
        text = " ".join(
            sentences.limits(reading, network, kind) for kind in kinds for network in reading.pair
        )
        svg = inline(drawn, "flips", "Flip rate against the attacker's budget", text)
    sizes = {len(rate.seeds) for rate in reading.report.rates if rate.engine == reading.engine}
    runs = f"{min(sizes)} to {max(sizes)}" if len(sizes) > 1 else f"{max(sizes)}"
    return Figure(
        svg,
        "How often the answer was turned round, as the attacker's budget grows. Bars are 95\u00a0% "
        "Wilson intervals; markers of the networks are set a little apart to be seen.",
        f"{tag(reading.engine, reading.seeds)} \u00b7 n = {runs} runs at each point",
    )


def _legend(drawn: "Drawing", reading: Reading) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for network in reading.networks:
        colour, marker = _style(reading, network)
        label = short(reading.label(network), 40)
        handles.append(
            Line2D([], [], color=colour, marker=marker, label=label, markeredgecolor="white")
        )
    drawn.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False, fontsize=9)


def _line(axis: "Axes", reading: Reading, places: Sequence[tuple[str, list[tuple[float, Rate]]]],
          line: str) -> None:  # fmt: skip
    from matplotlib.transforms import ScaledTranslation

    drawn = axis.figure
    middle = (len(places) - 1) / 2
    for index, (network, found) in enumerate(places):
        colour, marker = _style(reading, network)
        offset = ScaledTranslation(4.5 * (index - middle) / 72, 0, drawn.dpi_scale_trans)
        rates = [rate for _, rate in found]
        axis.errorbar(
            [x for x, _ in found],
            [r.rate for r in rates],
            yerr=[
                [max(0.0, r.rate - r.lo) for r in rates],
                [max(0.0, r.hi - r.rate) for r in rates],
            ],
            color=colour,
            linestyle=line,
            linewidth=1.5,
            elinewidth=1.3,
            marker=marker,
            markersize=7,
            markeredgecolor="white",
            markeredgewidth=0.8,
            clip_on=False,
            zorder=3,
            transform=axis.transData + offset,
        )


def _sybils(axis: "Axes", reading: Reading) -> None:
    _sweep(axis, reading, "sybils", lambda rate: rate.sybils, "Sybils")


def _hospitals(axis: "Axes", reading: Reading) -> None:
    _sweep(axis, reading, "hospitals", lambda rate: rate.hospitals, "compromised hospitals")


def _sweep(
    axis: "Axes", reading: Reading, kind: str, size: Callable[[Rate], int], label: str
) -> None:
    """Draw one sweep; a wide range gets an axis that is linear to its first budget, then log."""
    places = [
        (network, [(float(size(rate)), rate) for rate in reading.sweep(network, kind)])
        for network in reading.networks
    ]
    tried = sorted({int(x) for _, found in places for x, _ in found})
    positive = [x for x in tried if x]
    if positive[-1] > 12 * positive[0]:
        axis.set_xscale("symlog", linthresh=positive[0], linscale=0.7)
        label = f"{label} (scale: logarithmic from {positive[0]})"
    _line(axis, reading, [place for place in places if place[1]], "-")
    axis.set_xticks(tried, [number(x) for x in tried], minor=False)
    axis.set_xticks([], minor=True)
    axis.set(xlabel=label, title=f"{sentences.KINDS[kind][0].upper()}{sentences.KINDS[kind][1:]}")
    axis.grid(visible=False, axis="x")
    headline = reading.headline
    if headline and (headline.sybils if kind == "sybils" else headline.hospitals) in positive and (
        CLEAN in (Budget(0, headline.hospitals), Budget(headline.sybils, 0))
    ):  # fmt: skip
        _mark(axis, float(sum(headline)), "headline")
    limit = reading.limit(reading.defended, kind)
    if limit and limit.broken and (limit.broken.sybils, limit.broken.hospitals) != headline:
        _mark(axis, float(size(limit.broken)), "defences fail")


def _mark(axis: "Axes", place: float, text: str) -> None:
    axis.axvline(place, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)
    axis.annotate(text, (place, 0.5), (-3, 0), textcoords="offset points", rotation=90, ha="right",
                  va="center", color=MUTED, fontsize=8)  # fmt: skip


def _both(axis: "Axes", reading: Reading) -> None:
    found = {network: reading.sweep(network, "both") for network in reading.networks}
    budgets = sorted({(r.sybils, r.hospitals) for rates in found.values() for r in rates})
    places = [
        (network, [(float(budgets.index((r.sybils, r.hospitals))), r) for r in rates])
        for network, rates in found.items()
        if rates
    ]
    _line(axis, reading, places, "none")
    names = [f"{number(s)} Sybils\n+ {number(h)} hosp." for s, h in budgets]
    axis.set_xticks(range(len(budgets)), names)
    axis.set_xlim(-0.6, len(budgets) - 0.4)
    axis.grid(visible=False, axis="x")
    axis.set(title="Both together")


_PANELS: dict[str, Callable[["Axes", Reading], None]] = {
    "sybils": _sybils,
    "hospitals": _hospitals,
    "both": _both,
}


# --- weight ----------------------------------------------------------------------------------------
def weights(reading: Reading) -> Figure | None:
    """Return who holds weight, by issuer and by age of the identity, in each compared network."""
    panels = [(network, rows) for n in reading.pair if (rows := reading.weights(n)) for network in [n]]
    if not panels:
        return None
    issuers = max(len({(r.issuer, r.is_hostile) for r in rows}) for _, rows in panels)
    bars = min(issuers, ISSUERS_MAX + 1)
    heights = (0.165 * bars + 0.6, 1.7)
    with drawing():
        drawn, axes = _new(2, len(panels), sum(heights), height_ratios=heights, sharex="row")
        for column, (network, rows) in enumerate(panels):
            _by_issuer(axes[column], rows)
            _by_age(axes[len(panels) + column], rows)
            axes[column].set_title(f"{reading.label(network)}\nby issuer")
            axes[len(panels) + column].set_title("by age of the identity")
        _weight_legend(drawn)
        text = " ".join(f"{reading.label(n)}: {hostile(rows)}" for n, rows in panels)
        svg = inline(drawn, "weights", "Who has weight under attack", text)
    steps = ", ".join(dict.fromkeys(rows[0].step for _, rows in panels))
    votes = "; ".join(
        f"{reading.label(n).lower()} {number(sum(r.votes for r in rows))} votes" for n, rows in panels
    )
    return Figure(
        svg,
        f"Share of all weight, by issuer and by age of the identity, at the step \u201c{steps}\u201d. "
        "Outlines: the same share if every vote weighed the same.",
        f"{reading.source([r for _, rows in panels for r in rows])} \u00b7 n = {votes}",
    )


def hostile(rows: Sequence[WeightRow]) -> str:
    """Return what the attacker has, in votes and in weight."""
    votes, weight = sum(r.votes for r in rows), sum(r.weight for r in rows)
    bad_votes = sum(r.votes for r in rows if r.is_hostile)
    bad = sum(r.weight for r in rows if r.is_hostile)
    if not votes or not weight:
        return "nobody has weight."
    return f"the attacker has {percent(bad_votes / votes)} of the votes and {percent(bad / weight)} of the weight."


def _by_issuer(axis: "Axes", rows: Sequence[WeightRow]) -> None:
    total, votes = sum(r.weight for r in rows) or 1.0, sum(r.votes for r in rows) or 1
    groups: dict[tuple[str, bool], tuple[float, float]] = {}
    for row in rows:
        weight, size = groups.get((row.issuer, row.is_hostile), (0.0, 0.0))
        groups[row.issuer, row.is_hostile] = (weight + row.weight, size + row.votes)
    order = sorted(groups, key=lambda key: (-groups[key][0], key))
    bars = [(short(name), bad, *groups[name, bad]) for name, bad in order]
    if len(bars) > ISSUERS_MAX:
        rest = bars[ISSUERS_MAX:]
        bad_rest = all(bad for _, bad, _, _ in rest)
        label = f"{len(rest)} more together"
        bars = bars[:ISSUERS_MAX] + [
            (label, bad_rest, sum(r[2] for r in rest), sum(r[3] for r in rest))
        ]
    for place, (_, bad, weight, size) in enumerate(bars):
        _bar(axis, place, weight / total, size / votes, bad, "y")
    axis.set_yticks(range(len(bars)), [name for name, *_ in bars], fontsize=7)
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}\u00a0%")


def _by_age(axis: "Axes", rows: Sequence[WeightRow]) -> None:
    total, votes = sum(r.weight for r in rows) or 1.0, sum(r.votes for r in rows) or 1
    for place in range(len(AGE_NAMES)):
        here = [r for r in rows if sum(r.age >= edge for edge in AGES) == place]
        offset = 0.0
        for bad in (False, True):
            some = [r for r in here if r.is_hostile == bad]
            share = sum(r.weight for r in some) / total
            _bar(axis, place, share, 0.0, bad, "y", offset)
            offset += share
        _outline(axis, place, sum(r.votes for r in here) / votes)
    axis.set_yticks(range(len(AGE_NAMES)), list(AGE_NAMES), fontsize=7.5)
    axis.set_ylim(len(AGE_NAMES) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel("share of all weight")
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}\u00a0%")


def _bar(axis: "Axes", place: int, share: float, votes: float, bad: bool, _: str,
         left: float = 0.0) -> None:  # fmt: skip
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


# --- every seed ------------------------------------------------------------------------------------
def seeds(reading: Reading) -> Figure | None:
    """Return the difference that each seed's answer reports at the headline, with its interval."""
    panels = [(n, rows) for n in reading.pair if (rows := reading.rows(n, reading.headline))]
    if not panels or reading.headline is None:
        return None
    with drawing():
        drawn, axes = _new(1, len(panels), 2.9, sharey=True, sharex=True)
        for axis, (network, rows) in zip(axes, panels, strict=True):
            _seeds(axis, rows)
            axis.set_title(reading.label(network))
        axes[0].set_ylabel("Difference, percentage points")
        _seed_legend(drawn)
        svg = inline(
            drawn,
            "seeds",
            "The answer of every seed at the headline",
            " ".join(
                f"{reading.label(n)}: {sentences.tally(reading.rate(n, reading.headline))}."
                for n, _ in panels
            ),
        )
    arms = [arm.code for arm in panels[0][1][0].arms][:2]
    way = f" Above zero {arms[0]} does better, below zero {arms[1]}." if len(arms) == 2 else ""
    return Figure(
        svg,
        f"Every seed under {attack(*reading.headline)}: difference of the two treatments with its "
        f"95\u00a0% interval.{way}",
        f"{tag(reading.engine, [r.seed for _, rows in panels for r in rows])} \u00b7 n = "
        + "; ".join(f"{count(len(rows), 'run')} {reading.label(n).lower()}" for n, rows in panels),
    )


_OUTCOMES = (
    ("as the cohort says", GREEN, "o"),
    ("turned round", VERMILLION, "X"),
    ("undecided", MUTED, "s"),
)


def _seeds(axis: "Axes", rows: Sequence[Row]) -> None:
    axis.axhline(0, color=INK, linewidth=0.9)
    for place, row in enumerate(rows):
        if row.difference is None:
            continue
        _, colour, marker = _OUTCOMES[2 if row.is_undecided else 1 if row.is_flipped else 0]
        if row.lo is not None and row.hi is not None:
            axis.plot([place, place], [100 * row.lo, 100 * row.hi], color=colour, linewidth=1.2)
        axis.plot(place, 100 * row.difference, marker, color=colour, markersize=6.5,
                  markeredgecolor="white", markeredgewidth=0.7)  # fmt: skip
    gap = max(1, -(-len(rows) // 20))
    axis.set_xticks(range(0, len(rows), gap), [str(row.seed) for row in rows[::gap]], fontsize=7)
    axis.set_xlim(-0.7, len(rows) - 0.3)
    axis.set_xlabel("seed")
    axis.grid(visible=False, axis="x")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:+.0f}".replace("-", "\u2212"))


def _seed_legend(drawn: "Drawing") -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, label=name, markeredgecolor="white")
        for name, colour, marker in _OUTCOMES
    ]
    drawn.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=9)


__all__ = ["GRID", "Figure", "flips", "hostile", "seeds", "short", "survival", "weights"]
