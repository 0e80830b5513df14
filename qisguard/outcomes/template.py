"""Templates: what an expert means by "similar", and the keys and checks that follow from it.

- A template is TOML: ordered fields, each a closed set of categories or numeric bins with a unit.
- Values give a 32-byte similarity key: one byte of domain, then 31 bytes of SHA-256 over a tag, the
  template's id and the canonical values. An unkeyed key over few categories is enumerated offline
  in seconds; with a network secret the hash is HMAC-SHA256 (RFC 2104).
- Bins are half-open, ``[lower, upper)``, and the last is open above. A query may leave fields open:
  it expands to every key that fits, up to the template's cap.
"""

import hmac
import math
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise, product
from typing import TypeAlias

import msgspec

from qisguard.errors import RecordError
from qisguard.outcomes.packet import BINARY, KINDS, NUMERIC, TIME_TO_EVENT, Outcome

KEY_TAG = b"qisguard/similarity-key/v1\n"
TEMPLATE_SIZE_MAX = 64 << 10
Value: TypeAlias = str | int | float


@dataclass(frozen=True)
class Field:
    """One axis of similarity: ``categories``, or bins between ``edges`` in ``unit``."""

    name: str
    categories: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    unit: str = ""

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Return the name of every category or bin, in order."""
        if self.categories:
            return self.categories
        ends = [f"{edge:g}" for edge in self.edges[1:]] + ["inf"]
        return tuple(f"[{a:g},{b})" for a, b in zip(self.edges, ends, strict=True))

    def label(self, value: Value) -> str:
        """Return the category or bin that ``value`` falls into; raise RecordError for none."""
        if self.categories:
            if value not in self.categories:
                raise _wrong(f"field.{self.name}", value, f"one of {', '.join(self.categories)}")
            return str(value)
        lowest = f"a number >= {self.edges[0]:g} {self.unit}".rstrip()
        if isinstance(value, bool | str) or not math.isfinite(value) or value < self.edges[0]:
            raise _wrong(f"field.{self.name}", value, lowest)
        return self.labels[bisect_right(self.edges, value) - 1]


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

    def holds(self, value: Value) -> bool:
        """Return whether ``value`` is allowed."""
        if self.values:
            return value in self.values
        return isinstance(value, int) and self.low <= value <= self.high


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
        return f"{self.low:g} to {self.high:g} {self.unit}".rstrip()

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


@dataclass(frozen=True)
class Template:
    """An expert's definition of similar cases, of the treatments and of a possible outcome."""

    name: str
    version: int
    expansion_cap: int
    prefix: int
    label: str
    arms: tuple[str, ...]
    fields: tuple[Field, ...]
    outcome: OutcomeRule
    feat: tuple[Range, ...]

    @property
    def id(self) -> str:
        """Return what packets carry as ``tpl``."""
        return f"{self.name}/{self.version}"

    @cached_property
    def _names(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def _feat(self) -> dict[str, Range]:
        return {rule.name: rule for rule in self.feat}

    def key(self, values: Mapping[str, Value], secret: bytes | None = None) -> bytes:
        """Return the similarity key of a case; raise RecordError when a field is open or wrong."""
        missing = [name for name in self._names if name not in values]
        if missing:
            raise RecordError(f"template {self.id}: {missing[0]} is missing")
        return self.expand(values, secret)[0]

    def expand(
        self, partial: Mapping[str, Value], secret: bytes | None = None
    ) -> tuple[bytes, ...]:
        """Return the keys of every case that fits ``partial``, in the order of the template.

        Raises:
            RecordError: an unknown field, a value outside its field, or more than
                ``expansion_cap`` keys.
        """
        for name in partial:
            if name not in self._names:
                raise _wrong("field", name, f"one of {', '.join(self._names)}")
        axes = [
            (field.label(partial[field.name]),) if field.name in partial else field.labels
            for field in self.fields
        ]
        total = math.prod(len(axis) for axis in axes)
        if total > self.expansion_cap:
            raise _wrong("expansion_cap", self.expansion_cap, f"{total} or more for this query")
        return tuple(self._hash(labels, secret) for labels in product(*axes))

    def _hash(self, labels: tuple[str, ...], secret: bytes | None) -> bytes:
        names = (field.name for field in self.fields)
        canonical = msgspec.json.encode(list(zip(names, labels, strict=True)))
        message = KEY_TAG + self.id.encode() + b"\n" + canonical
        digest = hmac.digest(secret, message, "sha256") if secret else sha256(message).digest()
        return bytes([self.prefix]) + digest[:31]

    def fault(self, arm: str, outcome: Outcome, feat: Mapping[str, Value]) -> str | None:
        """Return why no case could have had this outcome, or None."""
        if arm not in self.arms:
            return f"arm {arm!r} is not one of {', '.join(self.arms)}"
        if fault := self.outcome.fault(outcome):
            return fault
        for name, value in feat.items():
            rule = self._feat.get(name)
            if rule is None:
                return f"feature {name!r} is not one of {', '.join(self._feat)}"
            if not rule.holds(value):
                return f"{name} {value!r} is not {rule.allowed}"
        return None


def open_template(data: bytes) -> Template:
    """Return the template in a TOML file; raise RecordError naming table, key, value, allowed."""
    if len(data) > TEMPLATE_SIZE_MAX:
        raise RecordError(f"template: {len(data)} bytes, at most {TEMPLATE_SIZE_MAX}")
    try:
        top = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecordError(f"template: not TOML: {error}") from None
    scalars = ["name", "version", "expansion_cap", "arms"]
    _known(top, "template", [*scalars, "domain", "outcome", "field", "feat"])
    domain = _table(top, "domain")
    _known(domain, "domain", ["prefix", "label"])
    fields = _list(top, "template", "field")
    if not fields or not all(isinstance(entry, dict) for entry in fields):
        raise _wrong("field", fields, "one or more [[field]] tables")
    feat = _table(top, "feat") if "feat" in top else {}
    template = Template(
        name=_text(top, "template", "name"),
        version=_whole(top, "template", "version", 1, 10**6),
        expansion_cap=_whole(top, "template", "expansion_cap", 1, 10**5),
        prefix=_whole(domain, "domain", "prefix", 0, 255),
        label=_text(domain, "domain", "label"),
        arms=_words(top, "template", "arms"),
        fields=tuple(_field(entry) for entry in fields if isinstance(entry, dict)),
        outcome=_outcome(_table(top, "outcome")),
        feat=tuple(_range(name, _table(feat, name), f"feat.{name}") for name in feat),
    )
    if len(template.arms) < 2:
        raise _wrong("template.arms", list(template.arms), "two or more treatments")
    names = [field.name for field in template.fields]
    if len(set(names)) != len(names):
        raise _wrong("field.name", names, "each name once")
    return template


def _outcome(table: dict[str, object]) -> OutcomeRule:
    kind = _text(table, "outcome", "kind")
    if kind not in KINDS:
        raise _wrong("outcome.kind", kind, f"one of {', '.join(KINDS)}")
    known = {
        BINARY: ["kind", "better"],
        NUMERIC: ["kind", "unit", "min", "max", "better"],
        TIME_TO_EVENT: ["kind", "min", "max", "horizon"],
    }
    _known(table, "outcome", known[kind])
    better = table.get("better", "higher")
    if better not in ("higher", "lower"):
        raise _wrong("outcome.better", better, "higher or lower")
    if kind == BINARY:
        return OutcomeRule(kind, "", 0.0, 1.0, better == "higher")
    if kind == NUMERIC:
        low = _number(table, "outcome", "min")
        high = _number(table, "outcome", "max")
        if not low < high:
            raise _wrong("outcome.max", high, f"above min, {low:g}")
        return OutcomeRule(kind, _text(table, "outcome", "unit"), low, high, better == "higher")
    first = _whole(table, "outcome", "min", 0, 10**6)
    last = _whole(table, "outcome", "max", first + 1, 10**6)
    horizon = _whole(table, "outcome", "horizon", max(first, 1), last)
    return OutcomeRule(kind, "days", float(first), float(last), horizon=horizon)


def _field(table: dict[str, object]) -> Field:
    name = _text(table, "field", "name")
    where = f"field.{name}"
    if "categories" in table:
        _known(table, where, ["name", "categories"])
        return Field(name, categories=_words(table, where, "categories"))
    _known(table, where, ["name", "edges", "unit"])
    edges = _list(table, where, "edges")
    numbers = [e for e in edges if isinstance(e, int | float) and not isinstance(e, bool)]
    rising = all(a < b for a, b in pairwise(numbers))
    finite = all(math.isfinite(edge) for edge in numbers)
    if not edges or len(numbers) != len(edges) or not finite or not rising:
        raise _wrong(f"{where}.edges", edges, "finite numbers that rise")
    return Field(name, edges=tuple(map(float, numbers)), unit=_text(table, where, "unit"))


def _range(name: str, table: dict[str, object], where: str) -> Range:
    if "values" in table:
        _known(table, where, ["values"])
        return Range(name, values=_words(table, where, "values"))
    _known(table, where, ["min", "max", "unit"])
    low = _whole(table, where, "min", -(10**9), 10**9)
    high = _whole(table, where, "max", low, 10**9)
    return Range(name, low, high, unit=_text(table, where, "unit"))


def _wrong(where: str, value: object, allowed: str) -> RecordError:
    return RecordError(f"template: {where} = {value!r}, must be {allowed}")


def _known(table: dict[str, object], where: str, allowed: list[str]) -> None:
    for key in table:
        if key not in allowed:
            raise _wrong(where, key, f"one of {', '.join(allowed)}")


def _list(table: dict[str, object], where: str, key: str) -> list[object]:
    value = table.get(key)
    if not isinstance(value, list):
        raise _wrong(f"{where}.{key}", value, "a list")
    return value


def _table(table: dict[str, object], key: str) -> dict[str, object]:
    value = table.get(key)
    if not isinstance(value, dict):
        raise _wrong(key, value, "a table")
    return value


def _text(table: dict[str, object], where: str, key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 60:
        raise _wrong(f"{where}.{key}", value, "a text of 1 to 60 characters")
    return value


def _whole(table: dict[str, object], where: str, key: str, low: int, high: int) -> int:
    value = table.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _wrong(f"{where}.{key}", value, f"a whole number from {low} to {high}")
    return value


def _number(table: dict[str, object], where: str, key: str) -> float:
    value = table.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= 10**15:
        raise _wrong(f"{where}.{key}", value, "a number from -1e15 to 1e15")
    return float(value)


def _words(table: dict[str, object], where: str, key: str) -> tuple[str, ...]:
    values = _list(table, where, key)
    words = [value for value in values if isinstance(value, str) and 0 < len(value) <= 60]
    if not words or len(words) != len(values) or len(set(words)) != len(words):
        raise _wrong(f"{where}.{key}", values, "different texts of 1 to 60 characters")
    return tuple(words)
