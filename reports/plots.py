"""Figures of what was answered: survival, flip rate against the attacker's budget, every seed."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qisguard.lab.demo.results import Curve, Rate, Row
from qisguard.reports import sentences
from qisguard.reports.reading import CLEAN, Budget, Reading
from qisguard.reports.svg import (
    BLACK,
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Figure,
    drawing,
    inline,
    panels,
    percents,
    short,
)
from qisguard.reports.words import attack, count, days, number, percent, points, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing


def _style(reading: Reading, network: str) -> tuple[str, str]:
    """Return the colour and marker of a network."""
    if network == reading.undefended:
        return VERMILLION, "X"
    if network == reading.defended:
        return GREEN, "o"
    others = [n for n in reading.networks if n not in reading.pair]
    place = others.index(network) if network in others else 0
    return (BLUE, PURPLE, SKY, ORANGE, BLACK)[place % 5], "sDv^P"[place % 5]


# --- survival -------------------------------------------------------------------------------------
def survival(reading: Reading, word: str) -> Figure | None:
    """Return the survival curves: unattacked, and at the headline in each network."""
    shown = _panels(reading)
    if not shown:
        return None
    arms = list(dict.fromkeys(curve.arm for _, curves in shown for curve in curves))
    with drawing():
        drawn, axes = panels(1, len(shown), 3.3, sharex="all", sharey="all")
        for axis, (title, curves) in zip(axes, shown, strict=True):
            axis.set_title(title, pad=17)
            _curves(axis, reading, curves, arms)
        axes[0].set_ylabel(f"{word[0].upper()}{word[1:]}")
        svg = inline(
            drawn, "survival", "Survival curves by treatment", "; ".join(t for t, _ in shown)
        )
    told = [curve for _, curves in shown for curve in curves]
    cohort = ", ".join(f"{a.code} {percent(a.estimate)}" for a in reading.report.truth)
    return Figure(
        svg,
        f"{word[0].upper()}{word[1:]} over time, all votes pooled by their weight, in one run. "
        f"Rings: what the cohort itself says at {days(reading.report.horizon)} ({cohort}).",
        f"{reading.source(told)} \u00b7 n = {count(reading.report.patients, 'patient')}",
    )


def _panels(reading: Reading) -> list[tuple[str, list[Curve]]]:
    shown = []
    for network in reading.pair:
        if curves := reading.curves(network, CLEAN):
            shown.append((f"No attack\n{reading.label(network)}", curves))
            break
    if reading.headline and reading.headline != CLEAN:
        for network in reading.pair:
            if curves := reading.curves(network, reading.headline):
                budget = attack(*reading.headline)
                shown.append((f"{budget}\n{reading.label(network)}", curves))
    return shown


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
        ends.append((values[-1], curve.arm))
    for place, arm in enumerate(reading.report.truth):
        if arm.estimate is not None:
            colour = (BLUE, PURPLE)[arms.index(arm.code) % 2 if arm.code in arms else place % 2]
            axis.plot(horizon, arm.estimate, "o", markersize=7, markerfacecolor="none",
                      markeredgecolor=colour, markeredgewidth=1.3)  # fmt: skip
    floor = -1.0
    for value, name in sorted(ends):
        floor = max(value, floor + 0.085)
        axis.annotate(short(name, 16), (end, floor), (4, 0), textcoords="offset points",
                      fontweight="bold", va="center", annotation_clip=False)  # fmt: skip
    axis.set(xlim=(0, end), ylim=(0, 1.0), xlabel="days")
    year = 365
    gap = year * max(1, -(-round(end) // (4 * year)))
    ticks = range(0, round(end) + 1, gap)
    axis.set_xticks(ticks, [number(tick) for tick in ticks])
    axis.yaxis.set_major_formatter(percents)


# --- flip rates -----------------------------------------------------------------------------------
def flips(reading: Reading) -> Figure | None:
    """Return flip rate against Sybils, against compromised hospitals, and for both together."""
    kinds = [
        kind
        for kind in sentences.KINDS
        if any(reading.limit(network, kind) for network in reading.networks)
    ]
    if not kinds:
        return None
    widths = [
        3.0
        + len({(r.sybils, r.hospitals) for n in reading.networks for r in reading.sweep(n, kind)})
        for kind in kinds
    ]
    with drawing():
        drawn, axes = panels(1, len(kinds), 3.6, widths, sharey="all")
        for axis, kind in zip(axes, kinds, strict=True):
            _PANELS[kind](axis, reading, kind)
            axis.yaxis.set_major_formatter(percents)
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
        "Wilson intervals; the networks are set a little apart to be seen. Undecided runs do not "
        "count as turned round; the table has them.",
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
            markersize=8 if marker == "X" else 7,
            markeredgecolor="white",
            markeredgewidth=0.8,
            clip_on=False,
            zorder=3,
            transform=axis.transData + offset,
        )


def _alone(axis: "Axes", reading: Reading, kind: str) -> None:
    """Draw the sweep of one kind of attack."""
    size = _SIZES[kind]
    places = [
        (network, [(float(size(rate)), rate) for rate in reading.sweep(network, kind)])
        for network in reading.networks
    ]
    _sweep(axis, reading, kind, places)
    axis.set_xlabel(axis.get_xlabel() or sentences.KINDS[kind])


def _both(axis: "Axes", reading: Reading, kind: str) -> None:
    """Draw both attacks together: over the one that varies, or as a list when both do."""
    found = {network: reading.sweep(network, kind) for network in reading.networks}
    budgets = sorted({Budget(r.sybils, r.hospitals) for rates in found.values() for r in rates})
    fixed = {name: {size(budget) for budget in budgets} for name, size in _SIZES.items()}
    for name, other in (("hospitals", "sybils"), ("sybils", "hospitals")):
        if len(budgets) > 1 and len(fixed[other]) == 1:
            (held,) = fixed[other]
            start = Budget(held, 0) if other == "sybils" else Budget(0, held)
            places = []
            for network, rates in found.items():
                alone = reading.rate(network, start)
                rates = [alone, *rates] if alone and rates else rates
                places.append((network, [(float(_SIZES[name](rate)), rate) for rate in rates]))
            _sweep(axis, reading, kind, places)
            axis.set_xlabel(f"{sentences.KINDS[name]}, beside {attack(*start)}")
            return
    _line(
        axis,
        reading,
        [
            (network, [(float(budgets.index(Budget(r.sybils, r.hospitals))), r) for r in rates])
            for network, rates in found.items()
            if rates
        ],
        "none",
    )
    names = [f"{number(b.sybils)} Sybils\n+ {number(b.hospitals)} hosp." for b in budgets]
    axis.set_xticks(range(len(budgets)), names, rotation=0 if len(budgets) < 3 else 90)
    axis.set_xlim(-0.6, len(budgets) - 0.4)
    axis.grid(visible=False, axis="x")
    axis.set_title("Both together", pad=25)


def _sweep(
    axis: "Axes", reading: Reading, kind: str, places: list[tuple[str, list[tuple[float, Rate]]]]
) -> None:
    """Draw one sweep; a wide range gets an axis that is linear to its first budget, then log."""
    tried = sorted({int(x) for _, found in places for x, _ in found})
    least = next((x for x in tried if x), 1)
    if tried[-1] > 12 * least:
        axis.set_xscale("symlog", linthresh=least, linscale=0.7)
        axis.set_xlabel(f"{sentences.KINDS[kind]} (scale: logarithmic from {least})")
    _line(axis, reading, [place for place in places if place[1]], "-")
    axis.set_xticks(tried, [number(x) for x in tried], minor=False)
    axis.set_xticks([], minor=True)
    axis.set_title(_TITLES[kind], pad=25)
    axis.set_xlim(-0.3 * least, None)
    axis.grid(visible=False, axis="x")
    at = {Budget(rate.sybils, rate.hospitals): x for _, found in places for x, rate in found}
    headline, limit = reading.headline, reading.limit(reading.defended, kind)
    if headline in at:
        _mark(axis, at[headline], "headline", 3)
    if limit and limit.broken:
        broken = Budget(limit.broken.sybils, limit.broken.hospitals)
        if broken in at:
            _mark(axis, at[broken], "defences fail", 13 if broken == headline else 3)


def _mark(axis: "Axes", place: float, text: str, rise: float) -> None:
    axis.axvline(place, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)
    axis.annotate(text, (place, 1), (0, rise), xycoords=("data", "axes fraction"),
                  textcoords="offset points", ha="center", color=MUTED, fontsize=7.5)  # fmt: skip


_SIZES: dict[str, Callable[[Budget | Rate], int]] = {
    "sybils": lambda told: told.sybils,
    "hospitals": lambda told: told.hospitals,
}
_TITLES = {
    "sybils": "Sybils",
    "hospitals": "Compromised hospitals",
    "both": "Both together",
}
_PANELS: dict[str, Callable[["Axes", Reading, str], None]] = {
    "sybils": _alone,
    "hospitals": _alone,
    "both": _both,
}


# --- every seed -----------------------------------------------------------------------------------
def seeds(reading: Reading) -> Figure | None:
    """Return the difference that each seed's answer reports at the headline, with its interval."""
    shown = [(n, rows) for n in reading.pair if (rows := reading.rows(n, reading.headline))]
    if not shown or reading.headline is None:
        return None
    with drawing():
        drawn, axes = panels(1, len(shown), 2.9, sharex="all", sharey="all")
        for axis, (network, rows) in zip(axes, shown, strict=True):
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
                for n, _ in shown
            ),
        )
    arms = [arm.code for arm in shown[0][1][0].arms][:2]
    way = f" Above zero {arms[0]} does better, below zero {arms[1]}." if len(arms) == 2 else ""
    return Figure(
        svg,
        f"Every seed under {attack(*reading.headline)}: difference of the two treatments with its "
        f"95\u00a0% interval.{way}",
        f"{tag(reading.engine, [r.seed for _, rows in shown for r in rows])} \u00b7 n = "
        + "; ".join(f"{count(len(rows), 'run')} {reading.label(n).lower()}" for n, rows in shown),
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
    axis.yaxis.set_major_formatter(lambda value, _: points(value / 100).removesuffix(".0"))


def _seed_legend(drawn: "Drawing") -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, label=name, markeredgecolor="white")
        for name, colour, marker in _OUTCOMES
    ]
    drawn.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=9)
