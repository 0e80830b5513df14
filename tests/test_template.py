import contextlib
import copy
import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import RecordError
from qisguard.outcomes.packet import Outcome
from qisguard.outcomes.template import Template, Value, open_template, read_template
from tests.packets import TEMPLATE_FILE, template

VALUES: dict[str, Value] = {
    "grade": "II",
    "menopause": "Post",
    "oestrogen-receptor": 9,
    "progesterone-receptor": 100,
}
KEY = "01e61284379dad9a81bf552484de9168ec4ef5e14649318163c448c8ab2795fd"
TEXT = TEMPLATE_FILE.read_text()


def test_a_key_starts_with_the_domain_byte_and_never_changes() -> None:
    key = template().key(VALUES)
    assert key.hex() == KEY
    assert key[0] == template().prefix


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_two_values_share_a_key_exactly_when_they_share_a_bin(a: float, b: float) -> None:
    def bin_of(value: float) -> int:
        return (value >= 10) + (value >= 100)

    first = template().key({**VALUES, "oestrogen-receptor": a})
    second = template().key({**VALUES, "oestrogen-receptor": b})
    assert (first == second) == (bin_of(a) == bin_of(b))


def test_order_of_the_values_does_not_matter() -> None:
    assert template().key(dict(reversed(VALUES.items()))) == template().key(VALUES)


def test_a_keyed_key_depends_on_the_secret_and_keeps_the_domain_byte() -> None:
    keys = {template().key(VALUES, secret) for secret in (None, b"a" * 32, b"b" * 32)}
    assert len(keys) == 3
    assert {key[0] for key in keys} == {1}


@pytest.mark.rule("KEY-13")
def test_open_fields_expand_to_every_key_that_fits() -> None:
    shape = template()
    assert len(set(shape.expand({}))) == 3 * 2 * 3 * 3
    grade = shape.expand({"grade": "II"})
    assert len(grade) == 18
    assert shape.key(VALUES) in grade
    assert shape.key({**VALUES, "grade": "I"}) not in grade
    assert shape.expand(VALUES) == (shape.key(VALUES),)


@pytest.mark.rule("KEY-13")
def test_an_expansion_beyond_the_cap_is_refused() -> None:
    small = open_template(TEXT.replace("expansion_cap = 54", "expansion_cap = 53").encode())
    assert len(small.expand({"grade": "I"})) == 18
    with pytest.raises(RecordError) as error:
        small.expand({})
    assert str(error.value) == (
        "template breast-cancer/1: expansion_cap = 53, and leaving grade (3) and menopause (2) and "
        "oestrogen-receptor (3) and progesterone-receptor (3) open takes 54 keys: give one of them"
    )


@pytest.mark.rule("KEY-13")
def test_a_field_that_is_not_open_must_be_given_in_a_query() -> None:
    closed = open_template(TEXT.replace('"grade"\nopen = true', '"grade"').encode())
    assert closed.key(VALUES) == template().key(VALUES)
    assert closed.expand({"grade": "I"}) == template().expand({"grade": "I"})
    with pytest.raises(RecordError) as error:
        closed.expand({"menopause": "Pre"})
    assert str(error.value) == (
        "template breast-cancer/1: grade is missing, and a query may not leave it open; "
        "it must be one of I, II, III"
    )
    listed = closed.cases()
    assert listed is not None
    assert set(listed) == set(template().expand({}))


def test_the_labels_behind_every_key_are_listed_unless_there_are_too_many() -> None:
    listed = template().cases()
    assert listed is not None
    assert listed[template().key(VALUES)] == ("II", "Post", "[0,10)", "[100,inf)")
    many = "[[field]]\nname = '{}'\nedges = [{}]\nunit = 'u'\n"
    edges = ",".join(map(str, range(100)))
    text = TEXT + "".join(many.format(f"n{place}", edges) for place in range(3))
    assert open_template(text.encode()).cases() is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grade": "IV"}, "field.grade = 'IV', must be one of I, II, III"),
        ({"oestrogen-receptor": -1}, "field.oestrogen-receptor = -1, must be a number >= 0 fmol/l"),
        ({"oestrogen-receptor": float("nan")}, "= nan, must be a number"),
        ({"oestrogen-receptor": "9"}, "= '9', must be a number"),
        ({"oestrogen-receptor": True}, "= True, must be a number"),
        ({"colour": "red"}, "field = 'colour', must be one of grade"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(
    change: dict[str, str | float], message: str
) -> None:
    with pytest.raises(RecordError) as error:
        template().key({**VALUES, **change})
    assert message in str(error.value)


def test_a_missing_field_has_no_key() -> None:
    with pytest.raises(RecordError, match="grade is missing"):
        template().key({name: VALUES[name] for name in VALUES if name != "grade"})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("prefix = 1", "prefix = 256", "domain.prefix = 256, must be a whole number from 0 to 255"),
        ("version = 1", "version = true", "version = True, must be a whole number"),
        ("edges = [0, 10, 100]", "edges = [0, 10, 10]", "edges = [0, 10, 10], must be 1 to 256"),
        ("edges = [0, 10, 100]", "edges = [0, 0.0]", "finite numbers that rise"),
        ("edges = [0, 10, 100]", "edges = [0, nan]", "edges = [0, NaN], must be 1 to 256 finite"),
        ("edges = [0, 10, 100]", "edges = [1e999999999999999999999]", "edges = [NaN], must be"),
        ("edges = [0, 10, 100]", "edges = [0.1234567890123456]", "of at most 15 digits"),
        ("edges = [0, 10, 100]", "edges = [2e15]", "a number from -1e15 to 1e15"),
        ("edges = [0, 10, 100]", "edges = []", "1 to 256 finite numbers"),
        ("edges = [0, 10, 100]", "edges = [true]", "1 to 256 finite numbers"),
        ("edges = [0, 10, 100]", f"edges = [{'9' * 5000}]", "not TOML"),
        ("edges = [0, 10, 100]", f"edges = {'[' * 5000}", "not TOML"),
        ("edges = [0, 10, 100]", "edges = 1979-05-27", "1 to 256 finite numbers"),
        ('"I", "II", "III"', '"I", "I"', "a list of 1 to 256 different texts"),
        ('"I", "II", "III"', '"I", " II"', "printable characters in normal form C"),
        ('"I", "II", "III"', '"I", "e\u0301"', "printable characters in normal form C"),
        ('"I", "II", "III"', '"I", "\u202eI"', "printable characters in normal form C"),
        ('"I", "II", "III"', '"I", "I\\u0007"', "printable characters in normal form C"),
        ('arms = ["hormone", "no-hormone"]', 'arms = ["hormone"]', "a list of 2 to 256 different"),
        ('name = "breast-cancer"', 'name = "breast/cancer"', "name = 'breast/cancer', must be lo"),
        ('name = "grade"', 'name = "case"', "'case', must be none of case, arm, time"),
        ("open = true", 'open = "yes"', "field.grade.open = 'yes', must be true or false"),
        ("version = 1", "version = 1\nkeyed = 1", "keyed = 1, must be true or false"),
        ("[feat.age]", "[feat.'age ']", "feat = 'age ', must be a text of 1 to 60"),
        ('kind = "time-to-event"', 'kind = "guess"', "outcome.kind = 'guess', must be one of"),
        (
            "horizon = 730",
            "horizon = 20000",
            "outcome.horizon = 20000, must be a whole number from 1",
        ),
        ('name = "menopause"', 'name = "grade"', "each name once"),
        ("max = 110", "max = 10", "feat.age.max = 10, must be a whole number from 18"),
        ("[feat.age]", "colour = 3\n[feat.age]", "unknown key 'colour'; allowed: edges, name"),
        ("[domain]", "[dominion]", "unknown key 'dominion'; did you mean 'domain'? (and 1 more)"),
        ('label = "breast cancer"', "", "domain.label = None, must be a text"),
        ("version = 1", "version = ", "not TOML"),
    ],
)
def test_a_broken_template_is_refused_with_table_key_value_and_allowed(
    old: str, new: str, message: str
) -> None:
    assert old in TEXT
    with pytest.raises(RecordError) as error:
        open_template(TEXT.replace(old, new).encode())
    assert message in str(error.value)


def test_every_fault_of_a_file_is_told_at_once() -> None:
    text = TEXT.replace("prefix = 1", "prefix = 256").replace('"hormone"', '""', 1)
    text = text.replace("horizon", "horison").replace("open = true", "opne = true", 1)
    template, faults = read_template(text.encode())
    assert template is None
    assert [fault.partition(",")[0].partition(";")[0] for fault in faults] == [
        "arms = [''",
        "domain.prefix = 256",
        "field.grade: unknown key 'opne'",
        "outcome: unknown key 'horison'",
        "outcome.horizon = None",
    ]


def test_bins_whose_edges_differ_in_the_seventh_digit_have_keys_of_their_own() -> None:
    text = TEXT.replace("edges = [0, 10, 100]", "edges = [-1e-7, 1000000, 1000001.5]", 1)
    shape = open_template(text.encode())
    field = shape.fields[2]
    assert field.labels == ("[-0.0000001,1000000)", "[1000000,1000001.5)", "[1000001.5,inf)")
    assert len(set(shape.expand({}))) == 54


def test_other_spellings_of_an_edge_make_the_same_keys() -> None:
    text = TEXT.replace("edges = [0, 10, 100]", "edges = [-0.0, 1e1, 100.000]")
    assert open_template(text.encode()).key(VALUES).hex() == KEY


@pytest.mark.parametrize(
    ("value", "bin_"),
    [
        (-0.0, 0),
        (0, 0),
        (10, 1),
        (10.0, 1),
        (10 - 1e-9, 0),
        (10 + 1e-9, 1),
        (9.999999999999998, 0),
        (2**53 - 1, 2),
        (1e300, None),
        (10**400, None),
        (float("inf"), None),
        (-1e-300, None),
    ],
)
def test_a_value_falls_into_the_bin_whose_lower_edge_it_reaches(
    value: float, bin_: int | None
) -> None:
    field = template().fields[2]
    if bin_ is None:
        with pytest.raises(RecordError, match="must be a number >= 0 fmol/l"):
            field.label(value)
    else:
        assert field.label(value) == field.labels[bin_]


def test_a_category_is_the_same_in_both_unicode_forms() -> None:
    text = TEXT.replace('"Pre", "Post"', '"prä", "post"').encode()
    shape = open_template(text)
    values = {**VALUES, "menopause": "pr\u00e4"}
    assert shape.key(values) == shape.key({**values, "menopause": "pra\u0308"})


# --- keyed ---------------------------------------------------------------------------------------
def test_a_template_says_whether_its_keys_take_a_secret_or_leaves_it_to_the_network() -> None:
    def made(line: str) -> Template:
        return open_template(TEXT.replace("version = 1", f"version = 1\n{line}").encode())

    shown = [(made(line).is_keyed(True), made(line).is_keyed(False)) for line in KEYED]
    assert shown == [(True, False), (True, True), (False, False)]
    secret = b"s" * 32
    assert made("keyed = true").key(VALUES, secret) == made("").key(VALUES, secret)
    assert made("keyed = false").key(VALUES) == made("").key(VALUES)
    for line, other, told in (
        ("keyed = true", None, "is keyed, and no secret is given"),
        ("keyed = false", secret, "is not keyed, and a secret is given"),
        ("", b"", "secret of 0 bytes, must be 32"),
        ("", secret[:31], "secret of 31 bytes, must be 32"),
    ):
        with pytest.raises(RecordError, match=told):
            made(line).key(VALUES, other)


KEYED = ("", "keyed = true", "keyed = false")


# --- what a packet may say -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arm", "outcome", "feat", "fault"),
    [
        ("hormone", Outcome.after(730, 1), {"age": 50}, None),
        ("placebo", Outcome.after(730, 1), {}, "arm 'placebo' is not one of hormone, no-hormone"),
        ("hormone", Outcome.binary(True), {}, "kind 'binary' is not time-to-event"),
        ("hormone", Outcome.after(10_001, 1), {}, "time 10001 is not 0 to 10000 days"),
        ("hormone", Outcome.after(1, 1), {"age": 17}, "age 17 is not 18 to 110 years"),
        ("hormone", Outcome.after(1, 1), {"age": "50"}, "age '50' is not 18 to 110 years"),
        ("hormone", Outcome.after(1, 1), {"mood": 1}, "feature 'mood' is not one of age, size"),
    ],
)
def test_an_impossible_outcome_has_a_fault(
    arm: str, outcome: Outcome, feat: dict[str, int | str], fault: str | None
) -> None:
    found = template().fault(arm, outcome, feat)
    assert (found is None) if fault is None else (found is not None and fault in found)


@pytest.mark.rule("PKT-07")
@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (Outcome.numeric(-12.5, "mmol/mol"), None),
        (Outcome.numeric(-1.2, "%"), "unit '%' is not mmol/mol"),
        (Outcome.numeric(-90.5, "mmol/mol"), "value -90.5 is not -90 to 90 mmol/mol"),
        (Outcome.binary(True), "kind 'binary' is not numeric"),
    ],
)
def test_a_number_in_another_unit_is_a_fault(outcome: Outcome, fault: str | None) -> None:
    shape = open_template(TEMPLATE_FILE.with_name("hba1c.toml").read_bytes())
    assert shape.fault("dpp4", outcome, {}) == fault


RULES = """
[[rule]]
name = "few nodes in grade I"
when = { grade = "I" }
then = { nodes = [0, 20] }

[[rule]]
name = "the old are past it"
when = { age = [56, 110] }
then = { menopause = "Post" }

[[rule]]
name = "short follow-up untreated"
when = { arm = "no-hormone", event = [0, 0] }
then = { time = [0, 5000], oestrogen-receptor = ["[0,10)", "[10,100)"] }
"""
LABELS = ("I", "Pre", "[100,inf)", "[0,10)")


@pytest.mark.rule("CROSS-02")
@pytest.mark.parametrize(
    ("arm", "time", "event", "feat", "labels", "fault"),
    [
        ("hormone", 700, 1, {"nodes": 20, "age": 55}, LABELS, None),
        ("hormone", 700, 1, {"nodes": 21}, LABELS, "nodes 21 is not 0 to 20 positive lymph nodes"),
        ("hormone", 700, 1, {"nodes": 21}, None, None),
        ("hormone", 700, 1, {"nodes": 21}, ("II", *LABELS[1:]), None),
        ("hormone", 700, 1, {"age": 56}, LABELS, "menopause 'Pre' is not Post when age is 56 to"),
        ("hormone", 700, 1, {"age": 56}, None, None),
        ("no-hormone", 700, 0, {}, LABELS, "oestrogen-receptor '[100,inf)' is not [0,10) or"),
        ("no-hormone", 700, 1, {}, LABELS, None),
        ("no-hormone", 5001, 0, {}, None, "time 5001 is not 0 to 5000 days when arm is no-hormone"),
    ],
)
def test_a_rule_across_fields_holds_where_what_it_speaks_of_is_known(
    arm: str,
    time: int,
    event: int,
    feat: dict[str, int | str],
    labels: tuple[str, ...] | None,
    fault: str | None,
) -> None:
    shape = open_template((TEXT + RULES).encode())
    found = shape.fault(arm, Outcome.after(time, event), feat, labels)
    assert (found is None) if fault is None else (found is not None and found.startswith(fault))


def test_a_rule_reads_as_a_sentence() -> None:
    first, _, third = open_template((TEXT + RULES).encode()).rules
    assert str(first) == "when grade is I, nodes must be 0 to 20 positive lymph nodes"
    assert str(third) == (
        "when arm is no-hormone and event is 0, time must be 0 to 5000 days and "
        "oestrogen-receptor must be [0,10) or [10,100)"
    )


@pytest.mark.rule("CROSS-01")
@pytest.mark.rule("PKT-08")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('grade = "I"', 'grade = "IV"', "when.grade = 'IV', must be one or more of I, II, III"),
        ('grade = "I"', 'grade = ["I", "I"]', "must be one or more of"),
        ('grade = "I"', 'grade = ["I", "II", "III"]', "it says nothing"),
        ('grade = "I"', "grade = [0, 1]", "must be one or more of"),
        ('grade = "I"', 'grad = "I"', "when: unknown key 'grad'; did you mean 'grade'?"),
        ('grade = "I"', "", "when = '0 conditions', must be 1 to 8 conditions"),
        ("nodes = [0, 20]", "nodes = [20, 0]", "then.nodes = [20, 0], must be [low, high] within"),
        ("nodes = [0, 20]", "nodes = [0, 101]", "within 0 to 100 positive lymph nodes"),
        ("nodes = [0, 20]", "nodes = [0, 100]", "narrower than 0 to 100 positive lymph nodes"),
        ("nodes = [0, 20]", "nodes = 20", "[low, high] within"),
        ("nodes = [0, 20]", "nodes = [nan, 20]", "[low, high] within"),
        ("nodes = [0, 20]", 'grade = "II"', "then = 'grade', must be about other names than when"),
        ("then = { nodes = [0, 20] }", "", "then = None, must be a table"),
        ('"the old are past it"', '"few nodes in grade I"', "rule.name = ['few nodes"),
        ("time = [0, 5000]", "value = [0, 1]", "unknown key 'value'"),
    ],
)
def test_a_rule_that_says_nothing_or_cannot_be_is_refused(old: str, new: str, message: str) -> None:
    assert old in RULES
    with pytest.raises(RecordError) as error:
        open_template((TEXT + RULES.replace(old, new, 1)).encode())
    assert message in str(error.value)


def test_a_template_whose_packets_could_be_too_long_is_refused() -> None:
    text = TEXT.replace('"no-hormone"]', '"' + "ä" * 60 + '"]')
    with pytest.raises(RecordError, match="at most 512 bytes: shorten names, or have fewer"):
        open_template((text + "[feat.stage]\nvalues = ['" + "é" * 60 + "']").encode())


TOML = st.recursive(
    st.one_of(
        st.integers(),
        st.floats(),
        st.booleans(),
        st.text(max_size=4),
        st.sampled_from(["grade", "I", "[0,10)", "numeric", "binary", 10**15, 1e-15, -0.0]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


def _places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of everything within a template."""
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for key, held in inner for place in _places(held, (*path, key)))]


def _write(value: object) -> str:
    """Return a value as inline TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)} = {_write(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_write, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


FULL = tomllib.loads(TEXT + RULES)


@settings(max_examples=300, deadline=None)
@given(
    place=st.sampled_from(_places(FULL)[1:]),
    value=TOML,
    how=st.sampled_from(["replace", "remove", "add"]),
)
def test_any_value_at_any_place_gives_a_template_or_faults_in_words(
    place: tuple[str | int, ...], value: object, how: str
) -> None:
    top: Any = copy.deepcopy(FULL)
    inner = top
    for key in place[:-1]:
        inner = inner[key]
    if how == "replace":
        inner[place[-1]] = value
    elif how == "remove":
        del inner[place[-1]]
    elif isinstance(inner, dict):
        inner["x"] = value
    else:
        inner.append(value)
    text = "".join(f"{json.dumps(key)} = {_write(held)}\n" for key, held in top.items())
    try:
        template, faults = read_template(text.encode("utf-8", "surrogatepass"))
    except RecordError:
        return  # not TOML at all
    assert (template is None) == bool(faults)
    if template is not None:
        listed = template.cases()
        assert listed is None or len(listed) == template.key_count


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(TEXT)), st.integers(0, 60))
def test_any_bytes_anywhere_in_a_file_give_a_template_or_a_clean_error(
    data: bytes, at: int, cut: int
) -> None:
    with contextlib.suppress(RecordError):
        open_template(TEXT.encode()[:at] + data + TEXT.encode()[at + cut :])
