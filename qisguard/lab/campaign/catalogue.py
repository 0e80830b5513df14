"""What can be run: every attack, every packaged scenario, and what is told about them."""

from dataclasses import asdict
from functools import cache
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from qisguard.attacks import ATTACKS
from qisguard.defenses import DEFENSES
from qisguard.errors import ScenarioError
from qisguard.fill import nearest, show
from qisguard.lab.scenario.loading import load_scenario, packaged, packaged_names
from qisguard.lab.scenario.tables import Scenario
from qisguard.lab.toml import SIZE_MAX
from qisguard.plugins import Card


def attacks() -> list[dict[str, str]]:
    """Return a row for each attack."""
    return [
        {
            "id": name,
            "kind": "attack",
            "family": kind.card.family,
            "engine": ", ".join(_engines(kind)),
            "summary": kind.card.summary,
        }
        for name, kind in sorted(ATTACKS.items(), key=lambda item: (item[1].card.family, item[0]))
    ]


def scenarios() -> list[dict[str, str]]:
    """Return a row for each packaged scenario."""
    rows = []
    for name in packaged_names():
        scenario = _packaged(name)
        rows.append(
            {
                "id": name,
                "kind": "scenario",
                "family": ATTACKS[scenario.attack.name].card.family,
                "engine": scenario.engine,
                "summary": scenario.title,
            }
        )
    return rows


@cache
def _packaged(name: str) -> Scenario:
    return load_scenario(packaged(name)).scenario


def show_one(name: str) -> dict[str, Any]:
    """Return everything about one attack or scenario.

    Raises:
        ScenarioError: there is no such thing.
    """
    if name in ATTACKS:
        using = [n for n in packaged_names() if _packaged(n).attack.name == name]
        return {
            "attack": asdict(ATTACKS[name].card),
            "engines": _engines(ATTACKS[name]),
            "scenarios": using,
        }
    names = packaged_names()
    if name not in names and not Path(name).is_file():
        known = [*ATTACKS, *names]
        raise ScenarioError(f"attack {show(name)}: unknown{nearest(name, known)}")
    scenario = load_scenario(read(name)).scenario
    cards: list[Card] = [DEFENSES[table.name].card for table in scenario.defenses]
    return {
        "scenario": msgspec.to_builtins(scenario),
        "attack": asdict(ATTACKS[scenario.attack.name].card),
        "defenses": [asdict(card) for card in cards],
    }


def read(name: str) -> bytes:
    """Return the scenario in a file, or a packaged one by its name or by that of its attack.

    Raises:
        ScenarioError: there is no such file or name, or it cannot be read.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        try:
            with path.open("rb") as file:
                return file.read(SIZE_MAX + 1)
        except OSError as error:
            raise ScenarioError(f"{name}: {error.strerror}") from None
    own = name.replace("_", "-") if name in ATTACKS else name
    return packaged(own)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files."""
    found = msgspec.json.schema(Scenario)
    for one in found["$defs"].values():
        one["description"] = cleandoc(one["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "qisguard scenario",
        **found,
    }


def _engines(kind: type[Any]) -> list[str]:
    """Return where an attack can run."""
    found = ["live", "virtual"] if hasattr(kind, "recruit") else []
    found += ["model"] if hasattr(kind, "array") else []
    found += ["direct"] if hasattr(kind, "compute") else []
    is_poison = hasattr(kind, "poison") or hasattr(kind, "adapt")
    return found + (["columns"] if is_poison else [])
