"""One change at a time (R19): nothing passes in the short form, and a missing check is noticed."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qisguard.audit import stamped, tree
from qisguard.notary.judgement import Judgement, State
from qisguard.trail import cosignature

FOLDER = Path(__file__).parent.parent / "benchmarks" / "reliability"
TARGETS = ("log", "proof", "checkpoint", "cosignature", "stamp")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return what imports a script that stands beside the others."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_nothing_that_was_changed_is_accepted(load: Callable[[str], Any]) -> None:
    figures = load("mutate_trails").run(7, 0, 500, TARGETS)
    assert (figures.accepted, figures.raised, figures.failures) == ({}, 0, [])
    assert (figures.genuine, figures.refused) == (1, 0)
    assert sum(figures.tried.values()) > 450
    assert set(figures.tried) == set(TARGETS)


def _blind(*arguments: object) -> None:
    """Check nothing."""


def _believing(*arguments: object) -> Judgement:
    return Judgement(State.ANCHORED, "believed", 1, 0)


@pytest.mark.parametrize(
    ("module", "name", "blind", "target"),
    [
        (cosignature, "verify", _blind, "cosignature"),
        (stamped, "judge", _believing, "stamp"),
        (tree.TreeCheck, "_blame", _blind, "log"),
    ],
)
def test_a_check_that_is_missing_lets_something_pass(
    load: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    blind: Callable[..., object],
    target: str,
) -> None:
    monkeypatch.setattr(module, name, blind)
    assert load("mutate_trails").run(1, 0, 200, (target,)).accepted[target] > 0
