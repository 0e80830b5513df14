"""Matplotlib figures as SVG that can stand inside a page: no namespaces, no clashes, the page's font.

- Text stays text; the page's style sheet chooses the typeface.
- Every id that something refers to gets the figure's prefix; the others go.
- ``title`` and ``desc`` say to a screen reader what the figure shows.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from qisguard.errors import QisguardError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1b2733", "#56626e", "#dfe4e8"
STYLE: dict[str, object] = {
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
        mpl.rcParams.update(STYLE)
        yield


def inline(figure: "Figure", prefix: str, title: str, description: str) -> str:
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
