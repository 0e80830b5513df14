"""A configuration in words: every value with its origin, and the page that documents every key."""

import json
from collections.abc import Iterator

from qisguard.service.config import ServiceConfig
from qisguard.service.options import LIMITS, options

TITLES = {
    "node": "who the node is, where it listens, what it keeps, whom it asks first",
    "metrics": "counters and gauges for Prometheus",
    "log": "what is written to stderr",
    "notary": "who confirms when a checkpoint existed; a node asks nobody by itself",
    LIMITS: "every number that bounds what the node does",
}

HEAD = """\
# The configuration of a node

`qisguard node run CONFIG` reads one TOML file for each node. This page documents every key; it is
made by `qisguard node config --markdown` from the same table that the program checks files against.

- A flag (`--set table.key=value`) overrides the environment, which overrides the file, which
  overrides the default. `qisguard node run CONFIG --show-config` prints every value with its origin.
- Unknown tables and keys are errors. A message names table, key, value, and what is allowed.
- Relative paths in the file are relative to the file; elsewhere, to the working folder.
- In flags and variables a list is separated by commas.

A node that joins a network over three others:

```toml
[node]
identity = "identity"
network = "network"
authority = "AUTHORITY-PUBLIC-KEY"
roster = "roster"
state = "state"
listen = "0.0.0.0:4400"
advertise = "192.0.2.7:4400"
bootstraps = ["NODE-ID@192.0.2.1:4400", "NODE-ID@192.0.2.2:4400", "NODE-ID@192.0.2.3:4400"]
defenses = ["roster_routing", "structure", "sequence", "one_vote", "age", "issuer_trim", "leave_one_out"]
templates = ["breast-cancer"]
similarity_secret = "similarity.secret"

[metrics]
listen = "127.0.0.1:9400"
```
"""  # noqa: E501 TOML of one line


def markdown() -> str:
    """Return the page that documents every key."""
    lines = [HEAD]
    table = ""
    for option in options():
        if option.table != table:
            table = option.table
            lines += [f"\n## [{table}]\n", f"{TITLES[table][0].upper()}{TITLES[table][1:]}.\n"]
            lines += [
                "| key | default | allowed | what it is | variable |",
                "|---|---|---|---|---|",
            ]
        default = "*must be given*" if option.is_required else f"`{_toml(option.default)}`"
        cells = [f"`{option.name}`", default, option.allowed, option.doc, f"`{option.variable}`"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def rows(config: ServiceConfig) -> Iterator[dict[str, object]]:
    """Give every value with its origin and its documentation."""
    for option in options():
        yield {
            "key": option.key,
            "value": config.values[option.key],
            "origin": config.origins[option.key],
            "allowed": option.allowed,
            "doc": option.doc,
        }


def as_text(config: ServiceConfig) -> str:
    """Return every value as a table: key, value, origin, documentation."""
    found = [
        (str(row["key"]), _toml(row["value"]), str(row["origin"]), f"{row['doc']}")
        for row in rows(config)
    ]
    widths = [max(len(row[place]) for row in found) for place in range(2)]
    lines = [f"# {config.path}"]
    for key, value, origin, doc in found:
        lines.append(f"{key:<{widths[0]}}  {value}")
        lines.append(f"{'':<{widths[0]}}    from {origin}; {doc}")
    return "\n".join(lines)


def as_json(config: ServiceConfig) -> str:
    """Return every value as one JSON object."""
    value = {
        "schema": "qisguard.node-config/v1",
        "file": str(config.path),
        "values": list(rows(config)),
        "warnings": config.warnings(),
    }
    return json.dumps(value, indent=2)


def _toml(value: object) -> str:
    """Return a value as the file would say it."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)
