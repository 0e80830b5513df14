"""A TOML file as a msgspec structure; errors name table, key, value and what is allowed."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from qisguard.errors import ScenarioError
from qisguard.fill import nearest, show

T = TypeVar("T")

SIZE_MAX = 1 << 20


def parse(data: bytes, what: str) -> dict[str, Any]:
    """Return the tables in a file of at most ``SIZE_MAX`` bytes; raises ScenarioError."""
    if len(data) > SIZE_MAX:
        raise ScenarioError(f"{what}: {len(data)} bytes, at most {SIZE_MAX}")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # both decoders' errors, and absurd numbers
        raise ScenarioError(f"{what}: not TOML: {error}") from None


def convert(table: object, kind: type[T], tables: Mapping[str, Any]) -> T:
    """Return ``table`` as a ``kind``; ``tables`` are the structures that keys of it hold."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ScenarioError(_explain(str(error), table, kind, tables)) from None


def _explain(text: str, table: object, kind: Any, tables: Mapping[str, Any]) -> str:
    """Return msgspec's message with the key's place and value, or with the nearest valid key."""
    what, _, path = text.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    place, value = "", table
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        value = value[int(index)] if index else value[name]  # type: ignore[index] # msgspec was here
        place += f"[{index}]" if index else f".{name}"
        if name:
            kind = tables.get(name)
    place = place.lstrip(".") or "scenario"
    if unknown := re.search(r"unknown field `(.+)`", what):
        return f"{place}: unknown key {unknown[1]!r}{nearest(unknown[1], kind.__struct_fields__)}"
    if missing := re.search(r"missing required field `(.+)`", what):
        return f"{place}: {missing[1]!r} is missing"
    return f"{place} = {show(value)}: {what[:1].lower()}{what[1:]}"
