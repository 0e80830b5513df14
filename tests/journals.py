"""Journals written by hand, of a run whose process has ended."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qisguard.lab.journal.cleanup import Cleaned
from qisguard.lab.journal.lines import UNDO, Kind, Line, Made, encode
from tests.services import ROOT

RUN = "0123456789abcdef" * 2


def own_state(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give one test state and temporary files of its own; return where journals are."""
    monkeypatch.setenv("QISGUARD_STATE", str(folder / "state"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.syspath_prepend(ROOT)  # for processes that are started
    return folder / "state" / "journal"


def make_line(kind: Kind, name: str | Path, number: int = 1, **change: Any) -> Made:
    """Return a line of a run whose process has ended."""
    line = Made(RUN, number, kind, str(name), UNDO[kind], os.uname().nodename, 2, "no boot/1", 1.0)
    return msgspec.structs.replace(line, **change)


def write_journal(state: Path, *lines: Line | bytes, run: str = RUN) -> Path:
    """Write a journal and return where it is."""
    state.mkdir(parents=True, exist_ok=True)
    path = state / f"{run}.jsonl"
    path.write_bytes(
        b"".join((one if isinstance(one, bytes) else encode(one)) + b"\n" for one in lines)
    )
    return path


def verdicts(cleaned: Cleaned) -> list[str]:
    """Return what became of everything that was found."""
    return [str(one.verdict) for one in cleaned.found]


def leased(run: Path) -> int:
    """Return how many trials of a run are leased."""
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        return int(ledger.execute("SELECT count(*) FROM jobs WHERE state = 'leased'").fetchone()[0])
