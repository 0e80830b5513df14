"""Figures of a campaign: arms side by side, or a metric against the parameter of a grid."""

import io
from typing import TYPE_CHECKING, Any

from qisguard.lab.campaign.summary import Row, Summary
from qisguard.lab.scenario.loading import point_name
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.measured import METRICS
from qisguard.reports.svg import BLUE, GREEN, ORANGE, VERMILLION, drawing, panels, percents, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {
    Arm.CLEAN: (BLUE, "s", "-"),
    Arm.ATTACKED: (VERMILLION, "X", "--"),
    Arm.DEFENDED: (GREEN, "o", "-"),
    Arm.GUARDED: (ORANGE, "D", ":"),
}
POINTS_MAX = 40
"""Points that a figure of arms side by side can show."""


def plots(summary: Summary) -> dict[str, bytes]:
    """Return an SVG for every metric that was measured, by the name of its file."""
    metrics = dict.fromkeys(row.metric for row in summary.rows if row.interval)
    return {f"plots/{metric}.svg": _draw(summary, metric) for metric in metrics}


def _draw(summary: Summary, metric: str) -> bytes:
    rows = [row for row in summary.rows if row.metric == metric and row.interval]
    arms = [arm for arm in Arm if any(row.arm == arm for row in rows)]
    of, key = METRICS[metric], _parameter(summary)
    count = min(len(summary.points), POINTS_MAX)
    with drawing():
        height = 3.4 if key else 1.3 + 0.28 * len(arms) * count
        drawn, (axis,) = panels(1, 1, height)
        drawn.set_facecolor("white")
        label = f"{metric} ({of.unit}), 95 % intervals; {of.better} is better"
        if key:
            _against(axis, summary, rows, arms, key)
            axis.set_xlabel(key)
            axis.set_ylabel(label, fontsize=7.5)
        else:
            _side_by_side(axis, summary, rows, arms)
            axis.set_xlabel(label)
        if of.kind == "ratio":
            (axis.yaxis if key else axis.xaxis).set_major_formatter(percents)
        axis.set_title(f"{summary.title}: {of.doc}")
        axis.margins(0.05)
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _parameter(summary: Summary) -> str:
    """Return the one key that the points differ in, if its values are numbers; otherwise ''."""
    keys = {key for point in summary.points for key in point}
    if len(keys) != 1 or len(summary.points) < 2:
        return ""
    (key,) = keys
    numbers = [isinstance(p.get(key), int | float) for p in summary.points]
    return key if all(numbers) else ""


def _against(axis: "Axes", summary: Summary, rows: list[Row], arms: list[Arm], key: str) -> None:
    for arm in arms:
        colour, marker, line = STYLES[arm]
        points = ((summary.points[r.point][key], r) for r in rows if r.arm == arm)
        mine = sorted(points, key=lambda one: float(one[0]))
        xs: list[Any] = [x for x, _ in mine]
        style = {"color": colour, "marker": marker, "linestyle": line, "label": str(arm)}
        axis.plot(xs, [r.estimate for _, r in mine], **style)  # type: ignore[arg-type] # by name
        lows, highs = [r.low or 0.0 for _, r in mine], [r.high or 0.0 for _, r in mine]
        axis.fill_between(xs, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axis.legend(frameon=False)


def _side_by_side(axis: "Axes", summary: Summary, rows: list[Row], arms: list[Arm]) -> None:
    labels: list[str] = []
    for row in (r for r in rows if r.point < POINTS_MAX):
        colour, marker, _ = STYLES[Arm(row.arm)]
        low, high = row.low or 0.0, row.high or 0.0
        errors = [[row.estimate - low], [high - row.estimate]]
        axis.errorbar(
            [row.estimate],
            [-len(labels)],
            xerr=errors,
            fmt=marker,
            color=colour,
            capsize=3,
        )
        name = point_name(summary.points[row.point])
        labels.append(short(f"{row.arm} {name}".strip(), 60))
    axis.set_yticks([-i for i in range(len(labels))], labels)
