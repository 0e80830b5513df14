"""Cases as a hospital has them, in CSV or JSON lines, read by a template.

Columns: every field of the template, ``case``, ``arm``, those of its kind of outcome (``time`` and
``event``; ``value``; ``value`` and ``unit``), and any of the template's features. A line that does
not fit is told with line, field, value and what is allowed; the others go on.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qisguard.errors import RecordError, ScenarioError
from qisguard.fill import nearest, show
from qisguard.outcomes.packet import BINARY, NUMERIC, TIME_TO_EVENT, Outcome
from qisguard.outcomes.template import OutcomeRule, Range, Template, Value

LINES_MAX = 1_000_000
LINE_SIZE_MAX = 64 << 10
CASE_TEXT_MAX = 200
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


@dataclass(slots=True)
class Sheet:
    """What a file holds: cases, and the lines that are none."""

    cases: list[Case] = field(default_factory=list)
    errors: list[LineError] = field(default_factory=list)


class UnfitError(Exception):
    """A value that does not fit; it never leaves this module but as a ``LineError``."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(name)
        self.name, self.value, self.allowed = name, value, allowed


def read_cases(path: Path, template: Template) -> Sheet:
    """Return the cases of a file: JSON lines when its name ends so, else CSV with a header.

    Raises:
        ScenarioError: the file cannot be read, or its columns are not those of the template.
    """
    sheet = Sheet()
    seen: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _json_rows(file, sheet) if _is_json(path) else _csv_rows(file, template, sheet)
            for line, row in rows:
                try:
                    case = _case(line, row, template)
                    if case.name in seen:
                        other = f"another case than that of line {seen[case.name]}"
                        raise UnfitError("case", case.name, other)
                    seen[case.name] = line
                    sheet.cases.append(case)
                except UnfitError as unfit:
                    error = LineError(line, unfit.name, show(unfit.value), unfit.allowed)
                    sheet.errors.append(error)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: not UTF-8 text: {error}") from None
    except csv.Error as error:
        raise ScenarioError(f"{path}: not CSV: {error}") from None
    return sheet


def _is_json(path: Path) -> bool:
    return path.suffix in (".jsonl", ".ndjson", ".json")


def _csv_rows(
    file: Any, template: Template, sheet: Sheet
) -> Iterator[tuple[int, Mapping[str, object]]]:
    reader = csv.DictReader(_bounded(file), strict=True)
    columns = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    known = _columns(template)
    for name in columns:
        if name not in known or columns.count(name) > 1:
            again = " is there twice" if name in known else nearest(name, known)
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
            sheet.errors.append(LineError(reader.line_num, "cells", str(count), text))
            continue
        yield reader.line_num, {k: v.strip() for k, v in row.items() if v and v.strip()}


def _json_rows(file: Any, sheet: Sheet) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, text in enumerate(_bounded(file), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield number, {name: value for name, value in row.items() if value not in (None, "")}
        else:
            sheet.errors.append(LineError(number, "line", show(text.strip()), "one JSON object"))


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


def _case(line: int, row: Mapping[str, object], template: Template) -> Case:
    known = _columns(template)
    for name in row:
        if name not in known:
            raise UnfitError(name, row[name], f"no column{nearest(name, known)}")
    values = field_values({f.name: _given(row, f.name) for f in template.fields}, template)
    try:
        key = template.key(values)
    except RecordError as error:
        raise _explain(error, values) from None
    name = str(_given(row, "case"))
    if not 0 < len(name) <= CASE_TEXT_MAX:
        raise UnfitError("case", name, f"1 to {CASE_TEXT_MAX} characters")
    arm = _given(row, "arm")
    if arm not in template.arms:
        raise UnfitError("arm", arm, f"one of {', '.join(template.arms)}")
    feat = {
        rule.name: _fit(rule, row[rule.name], rule.name)
        for rule in template.feat
        if rule.name in row
    }
    return Case(line, name, key, str(arm), _outcome(row, template.outcome), feat)


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
        raise UnfitError("value", given, rule.allowed)
    return Outcome.numeric(number, rule.unit)


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
    raise UnfitError(name, value, rule.allowed)


def field_values(texts: Mapping[str, object], template: Template) -> dict[str, Value]:
    """Return template values from what was typed: numbers for bins, words for categories."""
    bins = {field.name for field in template.fields if not field.categories}
    values: dict[str, Value] = {}
    for name, text in texts.items():
        number = _number(text) if name in bins else None
        values[name] = number if number is not None else str(text)
    return values


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= 1 << 53 else None


def _explain(error: RecordError, values: Mapping[str, Value]) -> UnfitError:
    """Return the field, value and rule behind a template's refusal."""
    what, _, allowed = str(error).partition(", must be ")
    name = what.partition("field.")[2].partition(" = ")[0]
    return UnfitError(name or "line", values.get(name, ""), allowed or str(error))
