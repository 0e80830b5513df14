"""What a benchmark reports: rows with a value, what it is compared with, and a bar."""

import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qisguard import __version__
from qisguard.exits import Exit

Tell = Callable[[str, int, int], None]
"""Takes what ended, how many pieces have ended and how many there are."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value, in ``unit``.

    baseline, baseline_value: what was measured beside it, or published, and how much that was.
    least, most: the bar, in ``unit``; a row without one is for information.
    repeats: of how many measurements ``value`` is the median.
    """

    name: str
    value: float
    unit: str
    repeats: int = 1
    baseline: str | None = None
    baseline_value: float | None = None
    least: float | None = None
    most: float | None = None

    @property
    def ratio(self) -> float | None:
        """Return value / baseline."""
        return self.value / self.baseline_value if self.baseline_value else None

    @property
    def bar(self) -> str | None:
        """Return the bar in words, such as ``<= 0.5``."""
        if self.least is not None and self.most is not None:
            return f"{self.least:,.4g} to {self.most:,.4g}"
        if self.least is not None:
            return f">= {self.least:,.6g}"
        return None if self.most is None else f"<= {self.most:,.6g}"

    @property
    def ok(self) -> bool | None:
        """Return whether the bar is met; None without a bar."""
        if self.bar is None:
            return None
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )


@dataclass(frozen=True, slots=True)
class Report:
    """A finished benchmark, and where it ran; ``load``: of the last minute, before and after."""

    bench: str
    rows: Sequence[Row]
    seed: int
    commit: str
    machine: dict[str, str]
    load: tuple[float, float]

    @property
    def verdict(self) -> Exit:
        """Return CLEAN when every row with a bar meets it."""
        missed = any(row.ok is False for row in self.rows)
        return Exit.FINDING if missed else Exit.CLEAN

    def as_json(self) -> dict[str, object]:
        """Return what ``--json`` prints."""
        rows = [
            {
                "name": row.name,
                "value": row.value,
                "unit": row.unit,
                "repeats": row.repeats,
                "baseline": row.baseline,
                "baseline_value": row.baseline_value,
                "ratio": row.ratio,
                "bar": row.bar,
                "ok": row.ok,
            }
            for row in self.rows
        ]
        return {
            "bench": self.bench,
            "rows": rows,
            "seed": self.seed,
            "commit": self.commit,
            "machine": self.machine,
            "load": self.load,
        }


def load_average() -> float:
    """Return how many processes wanted a core in the last minute; -1 where nobody counts."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else -1.0


def machine() -> dict[str, str]:
    """Return the system, its cores and the Python that runs."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit of the checkout that runs, else the version that is installed."""
    here = Path(__file__).parents[3]
    if not (here / ".git").exists():
        return f"version {__version__}"
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            check=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"
    return done.stdout.strip()
