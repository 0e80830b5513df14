"""Files of cases: what fits is read, what does not is told by line, field, value and rule."""

import csv
import dataclasses
import json
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qisguard.errors import RecordError, ScenarioError
from qisguard.outcomes.packet import Outcome
from qisguard.outcomes.template import Template, Value
from qisguard.service.cases import Case, LineError, Sheet
from qisguard.service.opening import open_named_template
from tests.services import EXAMPLES
from tests.vectors.make_examples import make

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


VALUES: dict[str, Value] = {
    "grade": "II",
    "menopause": "Post",
    "oestrogen-receptor": 12,
    "progesterone-receptor": 0,
}
SHIPPED = {
    name: open_named_template(name, Path()) for name in ("breast-cancer", "readmission", "hba1c")
}
AT_HOME = "usual-care when lives is care-home (rule 'visits are at home')"


def _example(name: str) -> str:
    folder = EXAMPLES if name == "breast-cancer" else EXAMPLES / name
    lines = (folder / "invented-1.csv").read_text().splitlines()[:5]
    return "\n".join(lines) + "\n"


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


@pytest.mark.rule("KEY-11")
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        ("+12.50", 12),
        ("1e1", 10),
        (".5e2", 50),
        ("0012.", 12),
        ("1_2", None),
        ("\u0661\u0662", None),
        ("0x1F", None),
        ("infinity", None),
        ("1" * 65, None),
        ("1e9999", None),
        ("9007199254740992", None),
        ("1,5", None),
        ("- 1", None),
        ("", None),
    ],
)
def test_a_number_in_a_file_is_plain_ascii_digits(
    tmp_path: Path, text: str, number: int | None
) -> None:
    sheet = read_cases(_csv(tmp_path, {**GOOD, "time": "1", "oestrogen-receptor": f'"{text}"'}))
    if number is None:
        (wrong,) = sheet.errors
        assert wrong.field == "oestrogen-receptor"
        assert ("instead of the comma" in wrong.allowed) == ("," in text)
    else:
        labels = TEMPLATE.labels({**VALUES, "oestrogen-receptor": number})
        assert sheet.cases[0].key == TEMPLATE.hash(labels)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("NaN", "0 to 10000 days"),
        ("-Infinity", "0 to 10000 days"),
        ("1" + "0" * 400, "0 to 10000 days"),
        ("true", "0 to 10000 days"),
        ("[1]", "0 to 10000 days"),
        ('{"a": 1}', "0 to 10000 days"),
        ('1, "time": 2', "one JSON object with each name once"),
    ],
)
def test_json_that_is_no_number_is_told_by_its_line(
    tmp_path: Path, text: str, allowed: str
) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(GOOD).replace('"730"', text) + "\n")
    (wrong,) = read_cases(path).errors
    assert (wrong.line, wrong.allowed) == (1, allowed)


@pytest.mark.rule("CROSS-03")
@pytest.mark.rule("PKT-07")
@pytest.mark.parametrize(
    ("name", "change", "field", "allowed"),
    [
        ("readmission", {"value": "2"}, "value", "0 to 1"),
        ("readmission", {"value": "nan"}, "value", "0 to 1"),
        ("readmission", {"lives": "care-home", "arm": "home-visits"}, "arm", AT_HOME),
        ("hba1c", {"unit": "%"}, "unit", "mmol/mol"),
        ("hba1c", {"unit": "mmol/l"}, "unit", "mmol/mol"),
        ("hba1c", {"unit": ""}, "unit", "given"),
        ("hba1c", {"value": "inf"}, "value", "-90 to 90 mmol/mol"),
        ("hba1c", {"value": "-90.01"}, "value", "-90 to 90 mmol/mol"),
        ("hba1c", {"value": "1e400"}, "value", "-90 to 90 mmol/mol"),
        (
            "hba1c",
            {"value": "-40", "hba1c-before": "50", "kidney-function": "70"},
            "value",
            "-39 to 90 mmol/mol when hba1c-before is [48,58.5) "
            "(rule 'no fall below what is human')",
        ),
    ],
)
def test_each_kind_of_outcome_has_its_own_columns_and_ranges(
    tmp_path: Path, name: str, change: dict[str, str], field: str, allowed: str
) -> None:
    template = open_named_template(name, Path())
    path = tmp_path / "cases.csv"
    with (EXAMPLES / name / "invented-1.csv").open() as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([rows[0], rows[1] | change, rows[2]])
    sheet = read_cases(path, template)
    (wrong,) = sheet.errors
    assert (wrong.line, wrong.field, wrong.allowed) == (3, field, allowed)
    assert [case.line for case in sheet.cases] == [2, 4]
    assert {case.outcome.kind for case in sheet.cases} == {template.outcome.kind}


def test_a_column_of_another_kind_is_refused_with_the_kind_of_the_template(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text(HEADER + ",value\n")
    with pytest.raises(ScenarioError, match="the outcome of template breast-cancer/1 is time-to-"):
        read_cases(path)
    lines = tmp_path / "cases.jsonl"
    lines.write_text(json.dumps(GOOD | {"value": 1}) + "\n" + json.dumps(GOOD) + "\n")
    sheet = read_cases(lines)
    assert [error.field for error in sheet.errors] == ["value"]
    assert len(sheet.cases) == 1


def test_names_that_are_there_twice_are_found_however_far_apart(tmp_path: Path) -> None:
    names = [f"n{place}" for place in range(300)] + ["n7", "n299", "n7"]
    rows = [{**GOOD, "case": name} for name in names]
    sheet = read_cases(_csv(tmp_path, *rows))
    assert [(error.line, error.allowed) for error in sheet.errors] == [
        (302, "another case than that of line 9"),
        (303, "another case than that of line 301"),
        (304, "another case than that of line 9"),
    ]
    assert len(sheet.cases) == 300


def test_of_a_keyed_template_no_line_is_read_without_the_secret(tmp_path: Path) -> None:
    keyed = dataclasses.replace(TEMPLATE, keyed=True)
    path = _csv(tmp_path, GOOD)
    with pytest.raises(RecordError, match="is keyed, and no secret is given"):
        read_cases(path, keyed)
    (case,) = read_cases(path, keyed, b"s" * 32).cases
    assert case.key == keyed.key(VALUES, b"s" * 32)


def test_a_file_is_never_held_in_memory(tmp_path: Path) -> None:
    """Twice the lines take no more memory than the 8 bytes each by which names are compared."""
    line = ",".join(GOOD.values())

    def peak(count: int) -> int:
        path = tmp_path / "many.csv"
        with path.open("w") as file:
            file.write(",".join(GOOD) + "\n")
            file.writelines(f"c{place}{line[1:]}\n" for place in range(count))
        tracemalloc.start()
        try:
            assert sum(isinstance(row, Case) for row in Sheet(path, TEMPLATE)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(3_000) - peak(1_000) < 2_000 * 64


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_file_gives_cases_line_errors_or_a_clean_refusal(
    tmp_path: Path, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["breast-cancer", "readmission", "hba1c"]))
    template = SHIPPED[name]
    text = _example(name)
    cells = st.one_of(st.text(max_size=8), st.sampled_from(['"', ",", "nan", "1e999", "\0", "\r"]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(cells) + text[at + data.draw(st.integers(0, 12)) :]
    path = tmp_path / data.draw(st.sampled_from(["cases.csv", "cases.jsonl"]))
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        rows = list(Sheet(path, template))
    except ScenarioError:
        return
    for row in rows:
        assert isinstance(row, Case | LineError)
        assert row.line >= 1
        if isinstance(row, Case):
            assert template.fault(row.arm, row.outcome, row.feat) is None
        else:
            assert str(row)


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
    sheets += [
        read_cases(path, SHIPPED[name])
        for name in ("readmission", "hba1c")
        for path in sorted((EXAMPLES / name).glob("*.csv"))
    ]
    assert [(len(sheet.cases), sheet.errors) for sheet in sheets] == [(60, [])] * 15


def test_the_examples_are_what_their_script_makes() -> None:
    made = dict(make())
    assert {path: path.read_text() for path in made} == made
    assert len(made) == 10
