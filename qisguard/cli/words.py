"""Tables and JSON on stdout, the same for every command."""

import json
from collections.abc import Sequence

import typer


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Return rows in columns as wide as their widest cell; the last column is not padded."""
    every = [list(head), *map(list, rows)] if head else list(map(list, rows))
    if not every:
        return ""
    widths = [max(len(row[place]) for row in every) for place in range(len(every[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    )


def echo_json(value: object) -> None:
    """Print one JSON object."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
