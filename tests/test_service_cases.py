"""Files of cases: what fits is read, what does not is told by line, field, value and rule."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from qisguard.errors import ScenarioError
from qisguard.outcomes.packet import Outcome
from qisguard.outcomes.template import Template
from qisguard.service.cases import Case, LineError, Sheet
from qisguard.service.opening import open_named_template
from tests.services import EXAMPLES

TEMPLATE = open_named_template("breast-cancer", Path())
HEADER = (
    "case,grade,menopause,oestrogen-receptor,progesterone-receptor,arm,time,event,age,size,nodes"
)
GOOD = {
    "case": "a",
    "grade": "II",
    "menopause": "Post",
    "oestrogen-receptor": "12",
    "progesterone-receptor": "0",
    "arm": "hormone",
    "time": "730",
    "event": "1",
    "age": "61",
    "size": "",
    "nodes": "3",
}


def _csv(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "cases.csv"
    names = HEADER.split(",")
    lines = [",".join(row[name] for name in names) for row in rows]
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


@dataclass(frozen=True)
class Read:
    """What a file holds."""

    cases: list[Case]
    errors: list[LineError]


def read_cases(path: Path, template: Template = TEMPLATE, secret: bytes | None = None) -> Read:
    rows = list(Sheet(path, template, secret))
    cases = [row for row in rows if isinstance(row, Case)]
    return Read(cases, [row for row in rows if isinstance(row, LineError)])


def test_a_line_becomes_a_case_with_its_key_outcome_and_features(tmp_path: Path) -> None:
    sheet = read_cases(_csv(tmp_path, GOOD), TEMPLATE)
    (case,) = sheet.cases
    values = {"grade": "II", "menopause": "Post"}
    numbers = {"oestrogen-receptor": 12, "progesterone-receptor": 0}
    assert case.key == TEMPLATE.key({**values, **numbers})
    assert (case.line, case.name, case.arm) == (2, "a", "hormone")
    assert case.outcome == Outcome.after(730, 1)
    assert case.feat == {"age": 61, "nodes": 3}
    assert sheet.errors == []


def test_json_lines_say_the_same_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    row = {**GOOD, "time": 730, "event": 1, "oestrogen-receptor": 12.0, "size": None}
    path.write_text(json.dumps(row) + "\n\n")
    (from_json,) = read_cases(path, TEMPLATE).cases
    (from_csv,) = read_cases(_csv(tmp_path, GOOD), TEMPLATE).cases
    assert (from_json.key, from_json.feat, from_json.outcome) == (
        from_csv.key,
        from_csv.feat,
        from_csv.outcome,
    )


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("grade", "IV", "one of I, II, III"),
        ("grade", "", "given"),
        ("oestrogen-receptor", "-1", "a number >= 0 fmol/l"),
        ("oestrogen-receptor", "many", "a number >= 0 fmol/l"),
        ("oestrogen-receptor", "nan", "a number >= 0 fmol/l"),
        ("arm", "placebo", "one of hormone, no-hormone"),
        ("time", "-3", "0 to 10000 days"),
        ("time", "1.5", "0 to 10000 days"),
        ("time", "1e999", "0 to 10000 days"),
        ("event", "2", "0 to 1"),
        ("event", "yes", "0 to 1"),
        ("age", "17", "18 to 110 years"),
        ("case", "", "given"),
        ("case", "x" * 201, "1 to 200 characters"),
    ],
)
def test_a_value_that_does_not_fit_is_told_and_the_others_go_on(
    tmp_path: Path, field: str, value: str, allowed: str
) -> None:
    path = _csv(tmp_path, {**GOOD, "case": "before"}, {**GOOD, field: value}, {**GOOD, "case": "z"})
    sheet = read_cases(path, TEMPLATE)
    (wrong,) = sheet.errors
    assert (wrong.line, wrong.field, wrong.allowed) == (3, field, allowed)
    assert [case.name for case in sheet.cases] == ["before", "z"]


def test_one_case_twice_is_an_error_of_the_second_line(tmp_path: Path) -> None:
    sheet = read_cases(_csv(tmp_path, GOOD, {**GOOD, "time": "9"}), TEMPLATE)
    assert (len(sheet.cases), sheet.errors[0].allowed) == (1, "another case than that of line 2")


@pytest.mark.parametrize("row", ["a,b", HEADER + ",more"])
def test_a_line_with_other_cells_than_the_header_is_an_error_of_that_line(
    tmp_path: Path, row: str
) -> None:
    path = _csv(tmp_path, GOOD)
    path.write_text(path.read_text() + row + "\n")
    sheet = read_cases(path, TEMPLATE)
    assert (len(sheet.cases), sheet.errors[0].line, sheet.errors[0].field) == (1, 3, "cells")


@pytest.mark.parametrize("text", ["[1]", "{", "3", "[" * 50_000])
def test_a_json_line_that_is_no_object_is_an_error_of_that_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + text + "\n")
    sheet = read_cases(path, TEMPLATE)
    assert (len(sheet.cases), [error.line for error in sheet.errors]) == (1, [2])


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (HEADER + ",ages", "column 'ages'; did you mean 'age'"),
        (HEADER + ",age", "column 'age' is there twice"),
        (HEADER.replace("grade,", ""), "column 'grade' is missing; the template"),
        ("", "column 'grade' is missing"),
    ],
)
def test_other_columns_than_the_templates_are_refused(
    tmp_path: Path, header: str, told: str
) -> None:
    path = tmp_path / "cases.csv"
    path.write_text(header + "\n")
    with pytest.raises(ScenarioError) as refused:
        read_cases(path, TEMPLATE)
    assert told in str(refused.value)


@pytest.mark.parametrize("data", [b"\xff\xfe", b'case\n"x'])
def test_a_file_that_is_no_text_or_no_csv_is_refused_in_words(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "cases.csv").write_bytes(data)
    with pytest.raises(ScenarioError, match=r"cases\.csv|header"):
        read_cases(tmp_path / "cases.csv", TEMPLATE)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("x" * 100_000)
    with pytest.raises(ScenarioError, match="line 1: too much"):
        read_cases(tmp_path / "cases.csv", TEMPLATE)


def test_the_examples_that_ship_fit_their_template() -> None:
    files = sorted(EXAMPLES.glob("*.csv"))
    sheets = [read_cases(path, TEMPLATE) for path in files]
    assert [(len(sheet.cases), sheet.errors) for sheet in sheets] == [(60, [])] * 5
