"""The forger: it accepts nothing in its short form, and notices when a check is missing."""

import importlib
import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qisguard.identity import descriptor
from qisguard.identity.descriptor import Descriptor, open_descriptor
from qisguard.identity.network import Network
from qisguard.node.checks import Checks
from qisguard.outcomes.packet import open_packet

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks" / "reliability"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return what imports a script that stands beside the others."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def _careless(*arguments: object) -> None:
    """Check nothing."""


def test_it_accepts_nothing_in_its_short_form() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "forgeries.py"), "--seed", "7", "--count", "2000", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)["figures"]
    for what, kinds in (("descriptors", 11), ("packets", 13)):
        value = figures[what]
        assert (value["tried"], value["accepted"], value["raised"]) == (2_000, 0, 0)
        assert value["upper_bound"] == 3 / 2_000
        assert (value["genuine_tried"], value["genuine_refused"]) == (40, 0)
        assert len(value["kinds"]) == kinds
        assert min(tried for tried, _ in value["kinds"].values()) > 50


@pytest.mark.parametrize(
    ("missing", "noticed"),
    [
        ("verify", "wrong signer"),
        ("verify", "changed and signed by another"),
        ("check_enrollable", "weak key"),
        ("puzzle.check_dynamic", "solution of another"),
        ("_is_ip", "value out of range"),
    ],
)
def test_it_notices_a_descriptor_check_that_is_missing(
    load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, missing: str, noticed: str
) -> None:
    if missing == "puzzle.check_dynamic":
        monkeypatch.setattr(Network, "check_dynamic", _careless)
    else:
        answer = (lambda host: True) if missing == "_is_ip" else _careless
        monkeypatch.setattr(descriptor, missing, answer)
    forger = load("forged_descriptors").Descriptors(random.Random(1), open_descriptor)
    figures = load("forgeries").run("descriptors", forger, 1, 300)
    assert figures.accepted[noticed] > 0
    assert not figures.holds
    assert (
        "replay: uv run python benchmarks/reliability/forgeries.py descriptors --seed 1"
        in (figures.failures[0])
    )


@pytest.mark.parametrize(
    ("missing", "noticed"),
    [
        ("signatures", "another author's name"),
        ("signatures", "altered without signing"),
        ("sequences", "replayed, superseded"),
        ("sequences", "sequence jump"),
        ("sequences", "same sequence, other body"),
    ],
)
def test_it_notices_a_packet_check_that_is_missing(
    load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, missing: str, noticed: str
) -> None:
    checks = Checks()
    if missing == "signatures":
        checks = replace(checks, packet=lambda data: open_packet(data, _careless))
    forger = load("forged_packets").Packets(random.Random(1), checks)
    if missing == "sequences":
        _keep_anything(forger, monkeypatch)
    figures = load("forgeries").run("packets", forger, 1, 300)
    assert figures.accepted[noticed] > 0
    assert not figures.holds


def _keep_anything(forger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the store take every packet as the current one, whatever its number."""
    held: dict[tuple[bytes, bytes], bytes] = {
        (case.author.public, case.case): case.said[-1] for case in forger.cases
    }

    def put(store: object, place: int, packet: Any, group: str, today: int) -> None:
        held[packet.author, packet.case] = packet.data

    def current(store: object, place: int, author: bytes, case: bytes) -> bytes:
        return held[author, case]

    monkeypatch.setattr(type(forger.store), "put", put)
    monkeypatch.setattr(type(forger.store), "current", current)


def test_it_notices_when_genuine_ones_are_refused(load: Callable[[str], Any]) -> None:
    def refuse(data: bytes, network: Network) -> Descriptor:
        return open_descriptor(data[:-1], network)

    forger = load("forged_descriptors").Descriptors(random.Random(1), refuse)
    figures = load("forgeries").run("descriptors", forger, 1, 100)
    assert (figures.refused, figures.holds) == (2, False)


def test_an_error_that_is_not_ours_is_counted(load: Callable[[str], Any]) -> None:
    def fail(data: bytes, network: Network) -> Descriptor:
        raise ZeroDivisionError

    forger = load("forged_descriptors").Descriptors(random.Random(1), fail)
    figures = load("forgeries").run("descriptors", forger, 1, 10)
    assert (figures.raised, figures.holds) == (10, False)
    assert figures.refused == 1


def test_one_seed_gives_one_sequence_of_forgeries(load: Callable[[str], Any]) -> None:
    made = load("forged_descriptors").Descriptors
    seen: list[list[bytes]] = []
    for _ in range(2):
        heard: list[bytes] = []

        def hear(data: bytes, network: Network, heard: list[bytes] = heard) -> Descriptor:
            heard.append(data)
            return open_descriptor(data, network)

        load("forgeries").run("descriptors", made(random.Random(5), hear), 5, 200)
        seen.append(heard)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 150
