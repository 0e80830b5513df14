"""Matplotlib figures as SVG inside a page: no namespaces, no clashes, the page's own typeface.

- Text stays text; the page's style sheet chooses the typeface.
- Every id that something refers to gets the figure's prefix; the others go.
- ``title`` and ``desc`` say to a screen reader what the figure shows.
- Colours are Okabe and Ito's (2008), which colour-blind readers tell apart; nothing is said by
  colour alone: labels stand beside their lines, and markers and hatches differ.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from xml.etree import ElementTree

from qisguard.errors import QisguardError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

WIDTH = 9.2
"""Inches: at the size of the page a point of the figure is then about a point of its text."""
NAME_MAX = 26
Share: TypeAlias = Literal["none", "all", "row", "col"]
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, SKY, ORANGE, BLACK = "#CC79A7", "#56B4E9", "#E69F00", "#000000"
INK, MUTED, GRID = "#1b2733", "#56626e", "#dfe4e8"
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "qisguard",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "hatch.linewidth": 0.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_FONT = re.compile(r"font-family:[^;]*;?\s*")
_LINK = re.compile(r"url\(#([^)]+)\)")


@dataclass(frozen=True, slots=True)
class Figure:
    """An inline SVG, what it shows, and the engine, seeds and size behind it."""

    svg: str
    caption: str
    source: str


def short(name: str, limit: int = NAME_MAX) -> str:
    """Return a name that fits beside an axis."""
    return name if len(name) <= limit else name[: limit - 1] + "\u2026"


def panels(
    rows: int,
    columns: int,
    height: float,
    widths: Sequence[float] | None = None,
    heights: Sequence[float] | None = None,
    *,
    sharex: Share = "none",
    sharey: Share = "none",
) -> "tuple[Drawing, list[Axes]]":
    """Return a drawing of ``height`` inches and its axes, row by row."""
    from matplotlib.figure import Figure as Drawing

    drawn = Drawing(figsize=(WIDTH, height), layout="constrained")
    grid = drawn.subplots(
        rows,
        columns,
        squeeze=False,
        sharex=sharex,
        sharey=sharey,
        width_ratios=widths,
        height_ratios=heights,
    )
    return drawn, list(grid.flat)


def percents(value: float, place: float) -> str:
    """Label a tick of a ratio."""
    return f"{100 * value:.0f}\u00a0%"


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with this module's style alone, whatever the reader's matplotlibrc says.

    Raises:
        QisguardError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise QisguardError(
            "matplotlib is not installed and HTML reports draw with it: "
            "pip install 'qisguard[lab]', then qisguard report build RUN"
        ) from None
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the page's font draws the text
        mpl.rcdefaults()
        for name, value in STYLE.items():
            mpl.rcParams[name] = value  # type: ignore[index] # names are checked when set
        yield


def inline(figure: "Drawing", prefix: str, title: str, description: str) -> str:
    """Return ``figure`` as an ``svg`` element whose ids all start with ``prefix``."""
    buffer = io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=nothing)
    root = ElementTree.fromstring(buffer.getvalue())
    _clean(root)
    _rename(root, prefix)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}-title {prefix}-desc")
    for place, (name, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(name, {"id": f"{prefix}-{name}"})
        element.text = text
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element) -> None:
    """Drop namespaces, metadata, style sheets and typefaces below ``element``."""
    element.tag = element.tag.rpartition("}")[2]
    for name in list(element.attrib):
        if "}" in name:
            element.attrib[name.rpartition("}")[2]] = element.attrib.pop(name)
    if element.tag == "text":
        element.set("style", _FONT.sub("", element.get("style", "")).rstrip("; "))
    elif element.text and not element.text.strip():
        element.text = None
    for child in list(element):
        if child.tag.rpartition("}")[2] in ("metadata", "style"):
            element.remove(child)
            continue
        child.tail = None
        _clean(child)
    if element.tag == "path" and (shape := element.get("d")):
        element.set("d", " ".join(shape.split()))


def _rename(root: ElementTree.Element, prefix: str) -> None:
    used = {
        name
        for element in root.iter()
        for key, value in element.attrib.items()
        for name in ([value.removeprefix("#")] if key == "href" else _LINK.findall(value))
    }
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "href":
                element.set(key, f"#{prefix}-{value.removeprefix('#')}")
            elif key != "id":
                element.set(key, _LINK.sub(rf"url(#{prefix}-\1)", value))
            elif value in used:
                element.set(key, f"{prefix}-{value}")
            else:
                del element.attrib[key]
