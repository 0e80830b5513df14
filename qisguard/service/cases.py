"""Cases as a hospital has them, in CSV or JSON lines, read by a template.

Columns: every field of the template, ``case``, ``arm``, those of its kind of outcome (``time`` and
``event``; ``value``; ``value`` and ``unit``), and any of the template's features. A line that does
not fit is told with line, field, value and what is allowed; the others go on.

A file is read line by line, as often as it takes, and never held: a million lines cost 8 bytes
each, for knowing names that are there twice.
"""

import csv
import json
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from qisguard.errors import RecordError, ScenarioError
from qisguard.fill import INTEGER_MAX, nearest, show
from qisguard.outcomes.packet import BINARY, NUMERIC, TIME_TO_EVENT, Outcome
from qisguard.outcomes.template import OutcomeRule, Range, Template, Value

LINES_MAX = 1_000_000
LINE_SIZE_MAX = 64 << 10
CASE_TEXT_MAX = 200
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
"""What is read as a number: neither ``1_000`` nor digits of other scripts, which Python reads."""
NUMBER_SIZE_MAX = 64
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+", re.ASCII)
OUTCOME = {
    BINARY: ("value",),
    NUMERIC: ("value", "unit"),
    TIME_TO_EVENT: ("time", "event"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One line that fits its template; ``name`` is what the hospital calls the case."""

    line: int
    name: str
    key: bytes
    arm: str
    outcome: Outcome
    feat: dict[str, int | str]


@dataclass(frozen=True, slots=True)
class LineError:
    """Why one line is not used."""

    line: int
    field: str
    value: str
    allowed: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field} = {self.value}, must be {self.allowed}"


Row: TypeAlias = tuple[int, Mapping[str, object] | LineError]


class UnfitError(Exception):
    """A value that does not fit; it never leaves this module but as a ``LineError``."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(name)
        self.name, self.value, self.allowed = name, value, allowed


class Sheet:
    """A file of cases: JSON lines when its name ends so, else CSV with a header.

    Iterating gives, for every line in order, its case or why it is none.

    Raises:
        ScenarioError: while iterating: the file cannot be read, or its columns are not those of the
            template.
        RecordError: while iterating: the template is keyed and there is no secret.
    """

    def __init__(self, path: Path, template: Template, secret: bytes | None = None) -> None:
        """Name a file; ``secret`` is what the template's keys are made with, if anything."""
        self.path, self._template, self._secret = path, template, secret
        self._keys: dict[tuple[str, ...], bytes] = {}
        self._repeated: frozenset[int] | None = None

    def __iter__(self) -> Iterator[Case | LineError]:
        self._template.check_secret(self._secret)
        if self._repeated is None:
            self._repeated = _repeated(self._rows())
        seen: dict[str, int] = {}
        for line, row in self._rows():
            if isinstance(row, LineError):
                yield row
                continue
            try:
                case = self._case(line, row)
                if _short(case.name) in self._repeated:
                    if case.name in seen:
                        other = f"another case than that of line {seen[case.name]}"
                        raise UnfitError("case", case.name, other)
                    seen[case.name] = line
            except UnfitError as unfit:
                yield LineError(line, unfit.name, show(unfit.value), unfit.allowed)
            else:
                yield case

    def _rows(self) -> Iterator[Row]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                if self.path.suffix in (".jsonl", ".ndjson", ".json"):
                    yield from _json_rows(file)
                else:
                    yield from _csv_rows(file, self._template)
        except OSError as error:
            raise ScenarioError(f"{self.path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ScenarioError(f"{self.path}: not UTF-8 text: {error}") from None
        except csv.Error as error:
            raise ScenarioError(f"{self.path}: not CSV: {error}") from None

    def _case(self, line: int, row: Mapping[str, object]) -> Case:
        template = self._template
        _check_columns(row, template)
        values = field_values({f.name: _given(row, f.name) for f in template.fields}, template)
        try:
            labels = template.labels(values)
        except RecordError:
            field = next(
                field for field in template.fields if field.find(values[field.name]) is None
            )
            raise UnfitError(
                field.name, row[field.name], field.allowed + _comma(row[field.name])
            ) from None
        name = str(_given(row, "case"))
        if not 0 < len(name) <= CASE_TEXT_MAX:
            raise UnfitError("case", name, f"1 to {CASE_TEXT_MAX} characters")
        arm = _given(row, "arm")
        if arm not in template.arms:
            raise UnfitError("arm", arm, f"one of {', '.join(template.arms)}")
        outcome = _outcome(row, template.outcome)
        feat = {r.name: _fit(r, row[r.name], r.name) for r in template.feat if r.name in row}
        if broken := template.broken(str(arm), outcome, feat, labels):
            raise UnfitError(broken.name, row.get(broken.name, broken.value), broken.allowed)
        if len(self._keys) > LINES_MAX // 10:
            self._keys.clear()  # a template of a great many keys: memory stays bounded
        if labels not in self._keys:
            self._keys[labels] = template.hash(labels, self._secret)
        return Case(line, name, self._keys[labels], str(arm), outcome, feat)


def _repeated(rows: Iterator[Row]) -> frozenset[int]:
    """Return the short hashes of names that may be there twice."""
    names = (row.get("case") for _, row in rows if not isinstance(row, LineError))
    ordered = array("Q", (_short(str(name)) for name in names if name is not None))
    numbers = np.sort(np.frombuffer(ordered, np.uint64)) if ordered else np.zeros(0, np.uint64)
    return frozenset(numbers[1:][numbers[1:] == numbers[:-1]].tolist())


def _short(name: str) -> int:
    data = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def _csv_rows(file: Any, template: Template) -> Iterator[Row]:
    reader = csv.DictReader(_bounded(file), strict=True)
    columns = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    known = _columns(template)
    for name in columns:
        if name not in known or columns.count(name) > 1:
            again = " is there twice" if name in known else _unknown(name, template)
            raise ScenarioError(f"header: column {name!r}{again}")
    required = _columns(template)[: -len(template.feat) or None]
    if missing := [name for name in required if name not in columns]:
        raise ScenarioError(
            f"header: column {missing[0]!r} is missing; the template {template.id} wants "
            f"{', '.join(required)}"
        )
    for row in reader:
        if None in row or None in row.values():
            found = sum(value is not None for name, value in row.items() if name is not None)
            count = found + len(row.get(None) or ())
            text = f"{len(columns)} cells, as the header has"
            yield reader.line_num, LineError(reader.line_num, "cells", str(count), text)
            continue
        yield reader.line_num, {k: v.strip() for k, v in row.items() if v and v.strip()}


def _json_rows(file: Any) -> Iterator[Row]:
    for number, text in enumerate(_bounded(file), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text, object_pairs_hook=_once)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield number, {name: value for name, value in row.items() if value not in (None, "")}
        else:
            allowed = "one JSON object with each name once"
            yield number, LineError(number, "line", show(text.strip()), allowed)


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return a JSON object; raise ValueError for a name that is there twice."""
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a name is there twice")
    return row


def _bounded(file: Any) -> Iterator[str]:
    """Give lines until there are too many or one is too long; raise ScenarioError then."""
    for number in range(1, LINES_MAX + 2):
        text = file.readline(LINE_SIZE_MAX + 1)
        if not text:
            return
        if len(text) > LINE_SIZE_MAX or number > LINES_MAX:
            what = f"at most {LINES_MAX} lines of {LINE_SIZE_MAX} characters"
            raise ScenarioError(f"line {number}: too much; a file has {what}")
        yield text


def _columns(template: Template) -> list[str]:
    feat = [rule.name for rule in template.feat]
    outcome = OUTCOME[template.outcome.kind]
    return [*(field.name for field in template.fields), "case", "arm", *outcome, *feat]


def _check_columns(row: Mapping[str, object], template: Template) -> None:
    known = _columns(template)
    for name in row:
        if name not in known:
            raise UnfitError(name, row[name], f"no column{_unknown(name, template)}")


def _unknown(name: str, template: Template) -> str:
    """Return the hint that follows a column that the template does not have."""
    kind = template.outcome.kind
    if any(name in columns for columns in OUTCOME.values()):
        return f"; the outcome of template {template.id} is {kind}: {', '.join(OUTCOME[kind])}"
    return nearest(name, _columns(template))


def _outcome(row: Mapping[str, object], rule: OutcomeRule) -> Outcome:
    if rule.kind == TIME_TO_EVENT:
        days = Range("time", int(rule.low), int(rule.high), unit=rule.unit)
        time = _fit(days, _given(row, "time"), "time")
        event = _fit(Range("event", 0, 1), _given(row, "event"), "event")
        return Outcome.after(int(time), int(event))
    if rule.kind == BINARY:
        return Outcome.binary(bool(_fit(Range("value", 0, 1), _given(row, "value"), "value")))
    unit, given = _given(row, "unit"), _given(row, "value")
    if unit != rule.unit:
        raise UnfitError("unit", unit, rule.unit)
    number = _number(given)
    if number is None or not rule.holds(number):
        raise UnfitError("value", given, rule.allowed + _comma(given))
    return Outcome.numeric(number, rule.unit)


def _comma(value: object) -> str:
    is_comma = isinstance(value, str) and DECIMAL_COMMA.fullmatch(value)
    return ", with a decimal point instead of the comma" if is_comma else ""


def _given(row: Mapping[str, object], name: str) -> object:
    if name not in row:
        raise UnfitError(name, "", "given")
    return row[name]


def _fit(rule: Range, value: object, name: str) -> int | str:
    """Return a value in the type of its range, once it is within."""
    if rule.values:
        if value in rule.values:
            return str(value)
    else:
        number = _number(value)
        if number is not None and number == int(number) and rule.holds(int(number)):
            return int(number)
    raise UnfitError(name, value, rule.allowed + _comma(value))


def field_values(texts: Mapping[str, object], template: Template) -> dict[str, Value]:
    """Return template values from what was typed: numbers for bins, words for categories."""
    bins = {field.name for field in template.fields if not field.categories}
    values: dict[str, Value] = {}
    for name, text in texts.items():
        number = _number(text) if name in bins else None
        values[name] = number if number is not None else str(text)
    return values


def _number(value: object) -> float | None:
    if isinstance(value, str):
        if len(value) > NUMBER_SIZE_MAX or not NUMBER.fullmatch(value):
            return None
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        return None  # beyond what a float holds, perhaps beyond every float
    number = float(value)
    return number if abs(number) <= INTEGER_MAX else None
