"""Two versions of a template beside each other: what is asked, what moves, and who votes once."""

import asyncio
import re
import shutil
from itertools import product
from pathlib import Path

import pytest

from qisguard.errors import RecordError, ScenarioError, ServiceError
from qisguard.exits import Exit
from qisguard.outcomes.lineage import Migration, Translated
from qisguard.outcomes.template import Template, Value, open_template
from qisguard.service.asking import Reply, ask
from qisguard.service.config import ServiceConfig, load_config
from qisguard.service.opening import open_lineage
from qisguard.service.publishing import Report, publish_file
from tests.packets import TEMPLATE_FILE, TODAY, template
from tests.services import EXAMPLES, hosts, make_net

OLD = TEMPLATE_FILE.read_text()
MIGRATES = """
[migrates]
from = 1
template = "breast-cancer"

[[migrates.field]]
old = "grade"
new = "differentiation"
categories = { I = "good", II = ["middle", "poor"], III = "poor" }
"""
NEW = (
    OLD.replace("version = 1", "version = 2")
    .replace('"grade"', '"differentiation"')
    .replace('"I", "II", "III"', '"good", "middle", "poor"')
    .replace("edges = [0, 10, 100]", "edges = [5, 20, 100, 500]", 1)
    .replace("edges = [0, 10, 100]", "edges = [0, 100]", 1)
    .replace("expansion_cap = 54", "expansion_cap = 48")
    + MIGRATES
)
FIELDS = ("differentiation", "menopause", "oestrogen-receptor", "progesterone-receptor")


def _new(old: str = "", new: str = "") -> Template:
    assert old in NEW
    return open_template(NEW.replace(old, new).encode())


def _translate(**values: str | float) -> Translated:
    given = {name.replace("_", "-"): value for name, value in values.items()}
    migration = Migration(template(), _new())
    return migration.translate(migration.new.axes(given))


GOOD, ALL = ("I", "III"), ("I", "II", "III")
BOTH, BINS = ("Pre", "Post"), ("[0,10)", "[10,100)", "[100,inf)")


@pytest.mark.rule("MIG-02")
@pytest.mark.parametrize(
    ("values", "axes", "left_out"),
    [
        # the lowest old bin, 0 to 10, begins below the lowest new one, 5 to 20
        ({}, (ALL, BOTH, BINS[1:], BINS), 18),
        ({"differentiation": "good"}, (("I",), BOTH, BINS[1:], BINS), 6),
        # of grade II nobody knows whether it is middle or poor
        ({"differentiation": "middle"}, None, 18),
        ({"differentiation": "poor"}, (("III",), BOTH, BINS[1:], BINS), 24),
        # 100 to 500 is a part of the old bin from 100 on
        ({"oestrogen_receptor": 200}, None, 18),
        # an old bin that the new one is made of
        ({"progesterone_receptor": 50}, (ALL, BOTH, BINS[1:], BINS[:2]), 12),
        ({"progesterone_receptor": 100}, (ALL, BOTH, BINS[1:], BINS[2:]), 6),
        ({"menopause": "Pre", "differentiation": "good"}, (("I",), ("Pre",), BINS[1:], BINS), 3),
    ],
)
def test_an_old_key_is_asked_when_all_its_cases_are_in_the_question(
    values: dict[str, str | float], axes: tuple[tuple[str, ...], ...] | None, left_out: int
) -> None:
    assert _translate(**values) == Translated(axes, left_out)


def test_no_case_outside_the_question_is_ever_read_under_an_old_key() -> None:
    """Oracle: one case for each way to fall into old and new bins, tried against every question."""
    migration = Migration(template(), _new())
    numbers = (0, 5, 10, 20, 100, 500)
    grades = {"I": ["good"], "II": ["middle", "poor"], "III": ["poor"]}
    names = [field.name for field in template().fields]
    cases: list[tuple[tuple[str, ...], list[str | None]]] = []
    for grade, m, o, p in product(grades, BOTH, numbers, (0, 10, 100)):
        old = template().labels(dict(zip(names, (grade, m, o, p), strict=True)))
        for differentiation in grades[grade]:
            new: tuple[Value, ...] = (differentiation, m, o, p)
            pairs = zip(migration.new.fields, new, strict=True)
            cases.append((old, [field.find(value) for field, value in pairs]))
    for given in product((None, "good", "poor"), (None, "Pre"), (None, 7, 200), (None, 3, 100)):
        values = {n: v for n, v in zip(FIELDS, given, strict=True) if v is not None}
        axes = migration.new.axes(values)
        found = migration.translate(axes)
        asked = set(product(*found.axes)) if found.axes else set()
        for old, now in cases:
            inside = all(label in axis for label, axis in zip(now, axes, strict=True))
            assert inside or old not in asked


@pytest.mark.rule("MIG-02")
def test_a_field_that_is_new_makes_old_keys_inexact_when_it_is_given() -> None:
    more = '\n[[field]]\nname = "sex"\nopen = true\ncategories = ["f", "m"]\n'
    text = NEW.replace("expansion_cap = 48", "expansion_cap = 96").replace(
        "[migrates]", more + "[migrates]"
    )
    migration = Migration(template(), open_template(text.encode()))
    whole = migration.translate(migration.new.axes({}))
    assert (whole.axes is not None, whole.left_out) == (True, 18)
    given = migration.translate(migration.new.axes({"sex": "f"}))
    assert (given.axes, given.left_out) == (None, 54)


def test_a_field_that_is_gone_is_asked_for_with_every_label() -> None:
    gone = '[[field]]\nname = "menopause"\nopen = true\ncategories = ["Pre", "Post"]\n'
    assert gone in NEW
    text = NEW.replace(gone, "") + '\n[[migrates.field]]\nold = "menopause"\n'
    migration = Migration(template(), open_template(text.encode()))
    found = migration.translate(migration.new.axes({"differentiation": "good"}))
    assert found.axes is not None
    assert found.axes[1] == BOTH


@pytest.mark.rule("MIG-05")
@pytest.mark.rule("MIG-01")
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("from = 1", "from = 2", "migrates.from = 2, must be a whole number from 1 to 1"),
        ('old = "grade"', 'old = "grad"', "field.old = 'grad', must be one of grade, menopause"),
        (
            'old = "grade"\nnew = "differentiation"\ncategories',
            'old = "menopause"\nnew = "menopause"\n# categories',
            "nothing of 'grade'\", must be about every field of breast-cancer/1 that is gone",
        ),
        ('I = "good", ', "", "['II', 'III'], must be for I, II, III"),
        ('I = "good"', 'I = "fine"', "categories.I = 'fine', must be one or more of good, middle"),
        ('new = "differentiation"', 'new = "different"', "did you mean 'differentiation'"),
        ('"Pre", "Post"', '"Pre", "Past"', "must be about Post, not in breast-cancer/2"),
        ('kind = "time-to-event"', 'kind = "binary"', "outcome"),
        ('"hormone", "no-hormone"', '"hormone", "other"', "at least two of those of breast"),
        ('name = "breast-cancer"', 'name = "breast"', "migrates.from = 'breast-cancer/1'"),
        ('unit = "fmol/l"', 'unit = "pmol/l"', "must be fmol/l, as in breast-cancer/1"),
        ('template = "breast-cancer"', "", "migrates.template = None"),
        ("from = 1", "from = 1\nuntil = 3", "until = 3, must be a date such as"),
    ],
)
def test_a_version_that_does_not_say_where_old_cases_went_is_refused(
    old: str, new: str, told: str
) -> None:
    with pytest.raises(RecordError) as refused:
        Migration(template(), _new(old, new))
    assert told in str(refused.value)


def test_versions_lead_back_to_the_first_and_are_read_until_their_day(tmp_path: Path) -> None:
    dated = NEW.replace("from = 1", "from = 1\nuntil = 2024-10-04")
    (tmp_path / "two.toml").write_text(dated)
    three = NEW.replace("version = 2", "version = 3").replace("from = 1", "from = 2")
    three = three.replace('template = "breast-cancer"', 'template = "two.toml"')
    three = three[: three.index("[[migrates.field]]")]
    (tmp_path / "three.toml").write_text(three)
    lineage = open_lineage("three.toml", tmp_path)
    assert [version.version for version in lineage.older] == [2, 1]
    assert [len(lineage.read_on(TODAY + days)) for days in (0, 1)] == [2, 1]
    (tmp_path / "two.toml").write_text(three)
    with pytest.raises((RecordError, ScenarioError), match=r"migrates\.from"):
        open_lineage("three.toml", tmp_path)


# --- through a node ------------------------------------------------------------------------------
V2 = (
    NEW.replace("edges = [5, 20, 100, 500]", "edges = [0, 20, 100]")
    .replace('II = ["middle", "poor"]', 'II = "middle"')
    .replace("expansion_cap = 48", "expansion_cap = 36")
)


def _publish(
    config: ServiceConfig, sheet: Path, name: str, key: Path, first: bool = False
) -> Report:
    lineage = open_lineage(name, Path())
    flags = {"strict": True, "first": first}
    return publish_file(sheet, lineage, key, config, **flags, progress=lambda *_: None)


@pytest.mark.rule("MIG-03")
@pytest.mark.rule("MIG-04")
def test_cases_move_to_a_new_version_one_by_one_and_every_case_votes_once(tmp_path: Path) -> None:
    net = make_net(tmp_path / "net", nodes=1, issuers=1, defended=True)
    two = tmp_path / "two.toml"
    two.write_text(V2)
    place = net.config("node-01")
    both = f'templates = ["breast-cancer", "{two}"]'
    place.write_text(re.sub(r"templates = \[.*\]", lambda found: both, place.read_text()))
    config = load_config(place)
    key = net.folder / "authors" / "issuer-01.key"
    first = EXAMPLES / "invented-1.csv"
    lines = first.read_text().replace("grade", "differentiation").replace(",II,", ",middle,")
    half = tmp_path / "half.csv"
    half.write_text("\n".join(lines.splitlines()[:31]) + "\n")
    whole = tmp_path / "whole.csv"
    whole.write_text(lines)
    other = tmp_path / "other.key"

    def story() -> list[Reply | Report]:
        done: list[Reply | Report] = [_publish(config, first, "breast-cancer", key)]
        lineage = open_lineage(str(two), Path())
        done.append(ask(config, lineage, [], (), None))
        done.append(ask(config, lineage, ["oestrogen-receptor=30"], (), None))
        done.append(_publish(config, half, str(two), key))
        done.append(ask(config, lineage, ["differentiation=middle"], (), None))
        shutil.copy(key, other)
        done.append(_publish(config, whole, str(two), other))
        done.append(ask(config, lineage, [], (), None))
        return done

    async def run() -> list[Reply | Report]:
        async with hosts([config]):
            return await asyncio.to_thread(story)

    published, everything, straddling, moved, after, found, at_last = asyncio.run(run())
    assert isinstance(everything, Reply)
    assert isinstance(straddling, Reply)
    assert isinstance(after, Reply)
    assert isinstance(moved, Report)
    assert isinstance(found, Report)
    assert published.end is Exit.CLEAN
    assert [(v.template, v.keys, v.left_out, v.packets) for v in everything.versions] == [
        ("breast-cancer/2", 36, 0, 0),
        ("breast-cancer/1", 54, 0, 60),
    ]
    assert everything.answer.cases == 60
    assert [(v.keys, v.left_out) for v in straddling.versions] == [(12, 0), (0, 18)]
    assert (moved.new, moved.tombstones, moved.missing) == (60, 30, [])
    assert "30 cases moved to breast-cancer/2 from an older version" in moved.notes
    assert after.answer.cases == 60
    assert after.answer.dropped == {"tombstone": 30}
    assert [v.packets for v in after.versions] == [30, 60]
    # a lost casebook: what was signed under either version is asked for, so no number comes twice
    assert (found.new, found.tombstones, found.stored, found.missing) == (60, 30, 30, [])
    assert isinstance(at_last, Reply)
    assert (at_last.answer.cases, at_last.answer.dropped) == (60, {"tombstone": 60})


def test_without_word_of_the_version_before_a_new_casebook_signs_nothing(tmp_path: Path) -> None:
    net = make_net(tmp_path / "net", nodes=1, issuers=1)
    config = load_config(net.config("node-01"))
    key = net.folder / "authors" / "issuer-01.key"
    lone = tmp_path / "lone.toml"
    lone.write_text(OLD.replace("version = 1", "version = 2"))
    first = EXAMPLES / "invented-1.csv"

    async def run() -> None:
        async with hosts([config]):
            with pytest.raises(
                ServiceError, match=r"does not say what was before it \(\[migrates\]"
            ):
                await asyncio.to_thread(_publish, config, first, str(lone), key)
            report = await asyncio.to_thread(_publish, config, first, str(lone), key, True)
            assert report.new == 60

    asyncio.run(run())
