"""Renderers of results and findings; they never run anything."""

from qisguard.plugins import Renderer
from qisguard.reports.html import HtmlRenderer
from qisguard.reports.summary import summary

RENDERERS: dict[str, Renderer] = {
    "html": HtmlRenderer(),
}

__all__ = ["RENDERERS", "summary"]
