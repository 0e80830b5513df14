"""Line plots with bands as SVG, the same bytes for the same numbers."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito: told apart by colour-blind people."""
MARKERS = "osD^vPX"


@dataclass(frozen=True, slots=True)
class Line:
    """One line; ``low`` and ``high`` are the ends of its band, ``style`` one of matplotlib's."""

    label: str
    x: "ArrayLike"
    y: "ArrayLike"
    low: "ArrayLike | None" = None
    high: "ArrayLike | None" = None
    style: str = "-"


def draw(
    lines: Sequence[Line],
    *,
    title: str,
    x: str,
    y: str,
    log_x: bool = False,
    percents: bool = False,
    bounds: tuple[float, float] | None = None,
) -> str:
    """Return an SVG of ``lines``; ``percents`` shows the vertical axis in per cent."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    style: Any = {"svg.hashsalt": "qisguard", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(style):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axis = figure.subplots()
        for i, line in enumerate(lines):
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            mark = marker if line.style == "-" else ""
            axis.plot(line.x, line.y, line.style, color=colour, marker=mark, ms=4, label=line.label)
            if line.low is not None and line.high is not None:
                axis.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, lw=0)
        axis.set(title=title, xlabel=x, ylabel=y)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if log_x:
            axis.set_xscale("log")
        if percents:
            axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        if bounds:
            axis.set_ylim(*bounds)
        axis.legend(frameon=False, fontsize=8)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": "qisguard"})
    return out.getvalue()
