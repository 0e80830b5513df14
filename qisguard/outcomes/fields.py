"""What a template is made of: fields that make the key, ranges of features, and the outcome."""

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

from qisguard.errors import RecordError
from qisguard.fill import INTEGER_MAX, show
from qisguard.outcomes.packet import BINARY, KINDS, NUMERIC, TIME_TO_EVENT, Outcome
from qisguard.outcomes.tables import NUMBER, WORDS_MAX, Table, is_number, plain

Value: TypeAlias = str | int | float

DAYS_MAX = 10**6
WHOLE_MAX = 10**9


def wrong(where: str, value: object, allowed: str) -> RecordError:
    """Return the error of one value."""
    return RecordError(f"template: {where} = {show(value)}, must be {allowed}")


@dataclass(frozen=True)
class Field:
    """One axis of similarity: ``categories``, or bins between ``edges`` in ``unit``.

    ``marks`` are the edges as decimal texts, which the key is made of; a query may leave the field
    out when ``is_open``.
    """

    name: str
    categories: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    marks: tuple[str, ...] = ()
    unit: str = ""
    is_open: bool = False

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Return the name of every category or bin, in order."""
        if self.categories:
            return self.categories
        ends = [*self.marks[1:], "inf"][: len(self.marks)]
        return tuple(f"[{a},{b})" for a, b in zip(self.marks, ends, strict=True))

    @property
    def allowed(self) -> str:
        """Return what a value may be, in words."""
        if self.categories:
            return f"one of {', '.join(self.categories)}"
        return f"a number >= {self.marks[0]} {self.unit}".rstrip()

    def find(self, value: Value) -> str | None:
        """Return the category or bin that ``value`` falls into, None for none."""
        if self.categories:
            text = unicodedata.normalize("NFC", value) if isinstance(value, str) else ""
            return text if text in self.categories else None
        if isinstance(value, bool | str) or not self.edges[0] <= value <= INTEGER_MAX:
            return None
        return self.labels[bisect_right(self.edges, value) - 1]

    def label(self, value: Value) -> str:
        """Return the category or bin that ``value`` falls into; raise RecordError for none."""
        label = self.find(value)
        if label is None:
            raise wrong(f"field.{self.name}", value, self.allowed)
        return label


@dataclass(frozen=True, slots=True)
class Range:
    """What a packet may say in one place: a closed set, or whole numbers from low to high."""

    name: str
    low: int = 0
    high: int = 0
    values: tuple[str, ...] = ()
    unit: str = ""

    @property
    def allowed(self) -> str:
        """Return the rule in words."""
        if self.values:
            return f"one of {', '.join(self.values)}"
        return f"{self.low} to {self.high} {self.unit}".rstrip()

    @property
    def count(self) -> int:
        """Return how many different values there are."""
        return len(self.values) or self.high - self.low + 1

    def holds(self, value: Value) -> bool:
        """Return whether ``value`` is allowed."""
        if self.values:
            return value in self.values
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )


@dataclass(frozen=True, slots=True)
class OutcomeRule:
    """What may happen to a case: the kind, the range, and which end of it is the better one.

    ``unit`` is that of numbers, and days for a time to an event. ``horizon`` is the day at which
    survival is compared, 0 for other kinds.
    """

    kind: str
    unit: str
    low: float
    high: float
    higher_is_better: bool = True
    horizon: int = 0

    @property
    def allowed(self) -> str:
        """Return the range in words."""
        return f"{self.low:.15g} to {self.high:.15g} {self.unit}".rstrip()

    def holds(self, value: float) -> bool:
        """Return whether a value, or a time in days, is within the range."""
        return self.low <= value <= self.high

    def fault(self, outcome: Outcome) -> str | None:
        """Return why no case could have had this outcome, or None."""
        if outcome.kind != self.kind:
            return f"kind {outcome.kind!r} is not {self.kind}"
        if outcome.kind == NUMERIC and outcome.unit != self.unit:
            return f"unit {outcome.unit!r} is not {self.unit}"
        name, found = (
            ("time", outcome.time) if outcome.kind == TIME_TO_EVENT else ("value", outcome.value)
        )
        if found is None or not self.holds(found):
            return f"{name} {found} is not {self.allowed}"
        return None


def read_field(table: Table) -> Field:
    """Return the field of one ``[[field]]`` table."""
    name, is_open = table.text("name"), table.flag("open", False)
    if "categories" in table.values:
        table.known("name", "open", "categories")
        return Field(name, categories=table.words("categories"), is_open=is_open is True)
    table.known("name", "open", "edges", "unit")
    edges = table.values.get("edges")
    numbers = edges if isinstance(edges, list) and all(map(is_number, edges)) else []
    rising = all(a < b for a, b in pairwise(numbers))
    if not 1 <= len(numbers) <= WORDS_MAX or not rising:
        table.wrong("edges", edges, f"1 to {WORDS_MAX} finite numbers that rise, each {NUMBER}")
        numbers = [0]
    return Field(
        name,
        edges=tuple(float(number) + 0.0 for number in numbers),
        marks=tuple(plain(number) or "" for number in numbers),
        unit=table.text("unit"),
        is_open=is_open is True,
    )


def read_range(name: str, table: Table) -> Range:
    """Return the range of one ``[feat.name]`` table."""
    if "values" in table.values:
        table.known("values")
        return Range(name, values=table.words("values"))
    table.known("min", "max", "unit")
    low = table.whole("min", -WHOLE_MAX, WHOLE_MAX)
    return Range(name, low, table.whole("max", low, WHOLE_MAX), unit=table.text("unit"))


def read_outcome(table: Table) -> OutcomeRule:
    """Return the rule of the ``[outcome]`` table."""
    kind = table.choice("kind", KINDS)
    known = {
        BINARY: ["kind", "better"],
        NUMERIC: ["kind", "unit", "min", "max", "better"],
        TIME_TO_EVENT: ["kind", "min", "max", "horizon"],
    }
    if table.values.get("kind") in KINDS:
        table.known(*known[kind])
    higher = kind == TIME_TO_EVENT or table.choice("better", ("higher", "lower"), "higher")
    if kind == BINARY:
        return OutcomeRule(kind, "", 0.0, 1.0, higher == "higher")
    if kind == NUMERIC:
        low, high = table.number("min"), table.number("max")
        if not low < high:
            table.wrong("max", high, f"above min, {low}")
        return OutcomeRule(kind, table.text("unit"), float(low), float(high), higher == "higher")
    first = table.whole("min", 0, DAYS_MAX)
    last = table.whole("max", first + 1, DAYS_MAX)
    horizon = table.whole("horizon", max(first, 1), max(last, 1))
    return OutcomeRule(kind, "days", float(first), float(last), horizon=horizon)
