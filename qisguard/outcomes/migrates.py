"""What a new version of a template says about the one before it: the table ``[migrates]``.

    [migrates]
    from = 1
    template = "breast-cancer-1"
    until = 2027-12-31

    [[migrates.field]]
    old = "grade"
    new = "differentiation"
    categories = { I = "good", II = ["good", "poor"], III = "poor" }

Only fields that changed are listed; ``lineage.py`` works out what follows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from qisguard.outcomes.fields import Field
from qisguard.outcomes.tables import Table, is_text

MAPS_MAX = 64
FIRST_DAY = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class FieldMap:
    """How a field of the old version became one of the new; ``new`` is empty for one left out.

    ``categories`` says for an old category which new ones its cases may be in: several when nobody
    can tell, none when the new version has no place for them.
    """

    old: str
    new: str
    categories: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Migrates:
    """The version before this one, its template, and how its fields became those of this one.

    ``until`` is the last calendar day on which queries read both versions, None for ever.
    """

    version: int
    template: str
    until: int | None
    fields: tuple[FieldMap, ...]


def read_migrates(table: Table, version: int, fields: Sequence[Field]) -> Migrates:
    """Return the table ``[migrates]`` of a version with these fields."""
    table.known("from", "template", "until", "field")
    before = table.whole("from", 1, max(version - 1, 1))
    if version == 1:
        table.wrong("from", before, "left out: version 1 has none before it")
    until = table.values.get("until")
    if until is not None and type(until) is not date:
        table.wrong("until", until, "a date such as 2027-12-31")
        until = None
    by_name = {field.name: field for field in fields}
    maps = [_map(entry, by_name) for entry in table.tables("field", 0, MAPS_MAX, "migrates.field")]
    for what in ("old", "new"):
        names = [getattr(entry, what) for entry in maps if getattr(entry, what)]
        if len(set(names)) != len(names):
            table.wrong(f"field.{what}", names, "each name once")
    day = (until - FIRST_DAY).days if until is not None else None
    return Migrates(before, table.text("template"), day, tuple(maps))


def _map(table: Table, fields: Mapping[str, Field]) -> FieldMap:
    table.known("old", "new", "categories")
    old = table.text("old")
    new = table.choice("new", fields) if "new" in table.values else ""
    if "categories" not in table.values:
        return FieldMap(old, new, {})
    allowed = fields[new].labels if new else ()
    given = table.table("categories", f"{table.where}.categories")
    found: dict[str, tuple[str, ...]] = {}
    for name, value in given.values.items():
        words = [value] if isinstance(value, str) else value
        if (
            not is_text(name)
            or not isinstance(words, list)
            or not set(map(str, words)) <= set(allowed)
        ):
            given.wrong(name, value, f"one or more of {', '.join(allowed) or 'no field'}")
            continue
        found[name] = tuple(words)
    return FieldMap(old, new, found)
