"""Reproductions: what was published beside what was measured, and when the two agree."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from qisguard.cli.attack import app
from qisguard.errors import ScenarioError
from qisguard.lab.drawing import Line, draw
from qisguard.lab.reproductions import REPRODUCTIONS, reproduce
from qisguard.lab.reproductions.findings import Claim, Findings, Plot, Table, page

CLAIM = Claim("success", "99 %", 0.985, 1.0, 0.97, (0.96, 0.984), "a paper")
FINDINGS = Findings(
    name="some-paper",
    title="Some paper",
    question="What?",
    sources=["a paper"],
    engine="model",
    seeds="1",
    claims=[CLAIM],
    tables=[Table("Numbers", ["a", "b"], [["1", "2"]])],
    plots=[Plot("one", "What it shows", "<svg/>")],
    text=["Words."],
    is_quick=True,
    seconds=1.0,
)


@pytest.mark.parametrize(
    ("interval", "agrees"),
    [((0.96, 0.984), False), ((0.96, 0.985), True), ((0.99, 0.995), True), ((1.0, 1.0), True)],
)
def test_a_claim_agrees_when_the_interval_meets_the_published_range(
    interval: tuple[float, float], agrees: bool
) -> None:
    assert msgspec.structs.replace(CLAIM, interval=interval).agrees is agrees


def test_a_page_names_what_differs_the_engine_the_seeds_and_the_command() -> None:
    text = page(FINDINGS)
    for word in (
        "**differs**",
        "Engine: model",
        "Seeds: 1",
        "qisguard attack reproduce some-paper",
    ):
        assert word in text
    assert "some-paper-one.svg" in text
    assert "Quick" in text


def test_a_drawing_has_the_same_bytes_for_the_same_numbers() -> None:
    lines = [Line("a", [1, 2], [0.1, 0.2], [0.0, 0.1], [0.2, 0.3])]
    words = {"title": "t", "x": "x", "y": "y"}
    assert draw(lines, **words) == draw(lines, **words)  # type: ignore[arg-type] # words alone
    assert draw(lines, **words).count("<svg") == 1  # type: ignore[arg-type]


def test_an_unknown_reproduction_names_the_nearest() -> None:
    with pytest.raises(ScenarioError, match="censorship-2024"):
        reproduce("censorship-2023", lambda *_: None)


def test_every_reproduction_can_be_loaded() -> None:
    from importlib import import_module

    for name in REPRODUCTIONS:
        module = import_module(f"qisguard.lab.reproductions.{name.replace('-', '_')}")
        assert callable(module.reproduce)


def test_the_command_lists_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = CliRunner().invoke(app, ["reproduce"])
    assert [line.split()[0] for line in listed.output.splitlines()] == list(REPRODUCTIONS)
    monkeypatch.setattr("qisguard.lab.reproductions.reproduce", lambda name, tell, quick: FINDINGS)
    done = CliRunner().invoke(app, ["reproduce", "some-paper", "--out", str(tmp_path), "--json"])
    assert done.exit_code == 1  # a number differs
    told = json.loads(done.stdout)
    assert told["claims"][0]["agrees"] is False
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "some-paper-one.svg",
        "some-paper.json",
        "some-paper.md",
    ]
