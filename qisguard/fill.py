"""A table of a TOML file becomes a dataclass; errors name table, key, value and what is allowed."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any, TypeVar

from qisguard.errors import QisguardError, ScenarioError

INTEGER_MAX = (1 << 53) - 1
"""The largest integer that every JSON reader keeps exact."""

T = TypeVar("T")


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the hint that follows an unknown name: the nearest valid one, or all of them."""
    known = sorted(names)
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; allowed: {', '.join(known) or 'none'}"


def show(value: object) -> str:
    """Return a value as an error message can bear it."""
    try:
        text = repr(value)
    except ValueError:  # Python does not print integers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def fill(
    kind: type[T], values: Mapping[str, Any], table: str, context: Mapping[str, object] = {}
) -> T:
    """Return a dataclass with a table's values over its defaults; ``context`` fills what it knows.

    Numbers are finite, not negative and exact in every reader; the class itself knows the rest.
    """
    types = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type] # dataclasses only
    given = {key: value for key, value in context.items() if key in types}
    for key, value in values.items():
        if key not in types or key in context:
            free = [name for name in types if name not in context]
            raise ScenarioError(f"{table}: unknown key {key!r}{nearest(key, free)}")
        wanted: Any = types[key]
        if isinstance(wanted, type) and issubclass(wanted, StrEnum):
            if value not in list(wanted):
                allowed = ", ".join(wanted)
                raise ScenarioError(f"{table}.{key} = {show(value)}, must be one of {allowed}")
            given[key] = wanted(value)
            continue
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            name = getattr(wanted, "__name__", wanted)
            raise ScenarioError(f"{table}.{key} = {show(value)}, must be {name}")
        if isinstance(value, int | float) and not 0 <= value <= INTEGER_MAX:
            raise ScenarioError(f"{table}.{key} = {show(value)}, must be 0 to {INTEGER_MAX}")
    try:
        return kind(**{**values, **given})
    except (QisguardError, ValueError) as error:
        raise ScenarioError(f"{table}: {error}") from None


def is_number(value: object) -> bool:
    """Return whether a value is a number and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)
