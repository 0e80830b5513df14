"""An attack or a scenario in words, as ``qisguard attack show`` prints it."""

import textwrap
from typing import Any

WIDTH = 100
CARD = {
    "capability": "needs",
    "breaks": "breaks",
    "source": "source",
    "seen": "an operator sees",
    "limits": "limits",
}


def card(found: dict[str, Any]) -> str:
    """Return what ``catalogue.show_one`` found, in lines."""
    attack = found["attack"]
    lines: list[str] = []
    if "scenario" in found:
        lines += [*_scenario(found["scenario"]), "", "attack"]
    lines += [f"{attack['id']} ({attack['family']}): {attack['summary']}"]
    lines += [line for key, word in CARD.items() for line in _row(word, attack[key])]
    if "engines" in found:
        lines += _row("runs on", ", ".join(found["engines"]))
        lines += _row("scenarios", ", ".join(found["scenarios"]) or "none is packaged")
    if found.get("defenses"):
        lines += ["", "defences"]
        for one in found["defenses"]:
            lines.append(f"{one['id']} ({one['family']}): {one['summary']}")
            lines += _row("limits", one["limits"])
    return "\n".join(lines)


def _scenario(scenario: dict[str, Any]) -> list[str]:
    lines = [f"{scenario['name']}: {scenario['title']}"]
    lines += _row("engine", scenario["engine"])
    is_poll = scenario["engine"] == "columns"
    tables = ("population",) if is_poll else ("network", "churn", "workload")
    for name in (*tables, "attack", "seeds"):
        values = [f"{key} = {_value(v)}" for key, v in scenario[name].items() if v != ""]
        lines += _row(name, ", ".join(values))
    for table in scenario["defenses"]:
        lines += _row("defence", f"{table['name']} {_value(table['parameters'])}")
    for key, values in scenario["grid"].items():
        lines += _row("grid", f"{key} = {_value(values)}")
    for gate in scenario["gates"]:
        lines += _row("gate", gate)
    for one in scenario["expected"]:
        note = f"; {one['note']}" if one["note"] else ""
        told = f"{one['value']} {one['low']:g} to {one['high']:g} ({one['source']}){note}"
        lines += _row("expected", told)
    return lines


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _row(word: str, told: str) -> list[str]:
    """Return a word and what belongs to it, wrapped beside it."""
    head = f"  {word:<17} "
    indent = " " * len(head)
    return textwrap.wrap(told, WIDTH, initial_indent=head, subsequent_indent=indent) or [head]
