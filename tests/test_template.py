import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.errors import RecordError
from qisguard.outcomes.packet import Outcome
from qisguard.outcomes.template import Value, open_template
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


def test_open_fields_expand_to_every_key_that_fits() -> None:
    shape = template()
    assert len(set(shape.expand({}))) == 3 * 2 * 3 * 3
    grade = shape.expand({"grade": "II"})
    assert len(grade) == 18
    assert shape.key(VALUES) in grade
    assert shape.key({**VALUES, "grade": "I"}) not in grade
    assert shape.expand(VALUES) == (shape.key(VALUES),)


def test_an_expansion_beyond_the_cap_is_refused() -> None:
    small = open_template(TEXT.replace("expansion_cap = 54", "expansion_cap = 53").encode())
    assert len(small.expand({"grade": "I"})) == 18
    with pytest.raises(RecordError, match="expansion_cap = 53, must be 54"):
        small.expand({})


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
        ("version = 1", "version = true", "template.version = True, must be a whole number"),
        ("edges = [0, 10, 100]", "edges = [0, 10, 10]", "edges = [0, 10, 10], must be finite"),
        ("edges = [0, 10, 100]", "edges = [0, nan]", "must be finite numbers that rise"),
        ('"I", "II", "III"', '"I", "I"', "must be different texts"),
        ('arms = ["hormone", "no-hormone"]', 'arms = ["hormone"]', "two or more treatments"),
        ('kind = "time-to-event"', 'kind = "guess"', "outcome.kind = 'guess', must be one of"),
        (
            "horizon = 730",
            "horizon = 20000",
            "outcome.horizon = 20000, must be a whole number from 1",
        ),
        ('name = "menopause"', 'name = "grade"', "each name once"),
        ("max = 110", "max = 10", "feat.age.max = 10, must be a whole number from 18"),
        ("[feat.age]", "colour = 3\n[feat.age]", "must be one of name, edges, unit"),
        ("[domain]", "[dominion]", "template = 'dominion', must be one of"),
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
