"""``qisguard template`` in words and JSON, and the secret of keyed templates on disk."""

import dataclasses
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from qisguard.errors import IdentityError, QisguardError, RecordError, ScenarioError
from qisguard.outcomes.lineage import Translated
from qisguard.outcomes.template import Template
from qisguard.service.asking import ask
from qisguard.service.cases import Sheet
from qisguard.service.config import ServiceConfig, load_config
from qisguard.service.identities import create_secret, load_secret, secret_check
from qisguard.service.keying import secret_of
from qisguard.service.opening import (
    open_lineage,
    open_named_template,
    open_network_file,
    open_parts,
    open_roster_file,
)
from qisguard.service.publishing import publish_file
from qisguard.service.templates import check_template
from tests.builders import NETWORK
from tests.packets import TEMPLATE_FILE
from tests.services import EXAMPLES, ROOT, configs_of, invoke, make_net, read_json

TEXT = TEMPLATE_FILE.read_text()
CASE = ("grade=II", "menopause=Post", "oestrogen-receptor=9", "progesterone-receptor=100")
KEY = "01e61284379dad9a81bf552484de9168ec4ef5e14649318163c448c8ab2795fd"


def _file(folder: Path, *changes: tuple[str, str], more: str = "") -> Path:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "template.toml"
    path.write_text(text + more)
    return path


# --- key -----------------------------------------------------------------------------------------
def test_the_key_of_a_case_is_printed_in_words_and_json() -> None:
    shown = invoke("template", "key", "breast-cancer", *CASE)
    assert (shown.exit_code, KEY in shown.stdout) == (0, True)
    told = read_json("template", "key", "breast-cancer", *CASE)
    assert (told["hex"], told["keyed"], told["secret_check"]) == (KEY, False, None)
    assert told["labels"]["oestrogen-receptor"] == "[0,10)"


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (CASE[:3], "progesterone-receptor is missing"),
        ((*CASE[:3], "progesterone-receptor=x"), "must be a number >= 0 fmol/l"),
        ((*CASE, "grad=I"), "unknown field 'grad'; did you mean 'grade'?"),
        ((*CASE, "grade=I"), "grade is given twice"),
        (("grade",), "'grade', must be field=value"),
    ],
)
def test_values_that_are_no_case_have_no_key(pairs: tuple[str, ...], told: str) -> None:
    with pytest.raises(QisguardError) as refused:
        invoke("template", "key", "breast-cancer", *pairs)
    assert told in str(refused.value)


def test_the_key_of_a_keyed_template_takes_the_secret_that_a_node_names(tmp_path: Path) -> None:
    path = _file(tmp_path, ("version = 1", "version = 1\nkeyed = true"))
    with pytest.raises(ScenarioError, match="is keyed: say --node CONFIG, for its secret"):
        invoke("template", "key", path, *CASE)
    (config, _) = configs_of(make_net(tmp_path / "net", nodes=2, issuers=1))
    told = read_json("template", "key", path, *CASE, "--node", config.path)
    network = open_network_file(config)
    secret = load_secret(tmp_path / "net" / "similarity.secret", network.id)
    assert told["secret_check"] == secret_check(secret, network.id).hex()
    values = {"grade": "II", "menopause": "Post"}
    numbers = {"oestrogen-receptor": 9, "progesterone-receptor": 100}
    assert told["hex"] == _keyed(True).key({**values, **numbers}, secret).hex() != KEY


# --- explain -------------------------------------------------------------------------------------
def test_a_template_is_explained_in_words() -> None:
    shown = invoke("template", "explain", "hba1c", "kidney-function=20").stdout
    for words in (
        "two cases are similar when they agree in hba1c-before, body-mass-index and kidney-fu",
        "58.5 to below 75 mmol/mol; 75 mmol/mol or more; a query may leave it open",
        "48; a query asks for at most 48",
        "kidney-function 0 to below 30 ml/min/1.73m2, any hba1c-before and body-mass-index: 12 k",
        "a number, value from -90 to 90 mmol/mol with unit 'mmol/mol'; less is better",
        "when kidney-function is [0,30), arm must be dpp4",
        "nothing about a treatment with fewer than 11 cases",
    ):
        assert words in shown
    binary = dict(read_json("template", "explain", "readmission")["rows"])
    assert binary["outcome"] == "whether it happened: value 1 or 0, the better the less often"
    times = dict(read_json("template", "explain", "breast-cancer")["rows"])
    assert "compared at 730 days" in times["outcome"]
    with pytest.raises(RecordError, match="must be one of I, II, III"):
        invoke("template", "explain", "breast-cancer", "grade=IV")


# --- check ---------------------------------------------------------------------------------------
def test_the_packaged_templates_have_no_fault() -> None:
    for path in sorted(TEMPLATE_FILE.parent.glob("*.toml")):
        assert invoke("template", "check", path.stem).exit_code == 0
        assert open_named_template(path.stem, Path()).name == path.stem


def test_every_fault_is_told_and_the_exit_code_is_2(tmp_path: Path) -> None:
    path = _file(tmp_path, ("prefix = 1", "prefix = 256"), ("horizon", "horison"))
    shown = invoke("template", "check", path)
    assert shown.exit_code == 2
    assert shown.stdout.splitlines() == [
        "fault: domain.prefix = 256, must be a whole number from 0 to 255",
        "fault: outcome: unknown key 'horison'; did you mean 'horizon'?",
        "fault: outcome.horizon = None, must be a whole number from 1 to 10000",
        f"{path} cannot be used: 3 faults, 0 warnings",
    ]
    told = read_json("template", "check", path)
    assert (told["exit"], len(told["faults"]), told["template"]) == (2, 3, None)


def test_a_file_that_is_no_toml_is_a_fault_as_well(tmp_path: Path) -> None:
    path = _file(tmp_path, ("version = 1", "version ="))
    told = read_json("template", "check", path)
    assert (told["exit"], len(told["faults"])) == (2, 1)
    assert told["faults"][0].startswith("template: not TOML: Invalid value (at line 4")
    with pytest.raises(ScenarioError, match="No such file"):
        check_template("none.toml", tmp_path)


def test_a_version_that_does_not_fit_the_one_before_is_a_fault(tmp_path: Path) -> None:
    lines = '\n[migrates]\nfrom = 1\ntemplate = "breast-cancer"\n'
    path = _file(tmp_path, ("version = 1", "version = 2"), ('"Pre"', '"Past"'), more=lines)
    (fault,) = check_template(str(path), Path()).faults
    assert "must be about Pre, not in breast-cancer/2" in fault


def _warnings(path: Path, cases: Path | None = None) -> list[str]:
    return check_template(str(path), Path(), cases).warnings


def test_an_unkeyed_template_is_warned_of_with_a_time_measured_now(tmp_path: Path) -> None:
    path = _file(tmp_path, ("version = 1", "version = 1\nkeyed = false"))
    found = check_template(str(path), Path())
    assert found.keys_per_second is not None
    assert found.keys_per_second > 1_000
    assert f"all 54 keys in {54 / found.keys_per_second:.2g} s of one core" in found.warnings[0]
    assert "in a network without a roster" in _warnings(TEMPLATE_FILE)[0]
    kept = _file(tmp_path, ("version = 1", "version = 1\nkeyed = true"))
    assert not any(warning.startswith("keyed:") for warning in _warnings(kept))


def test_features_that_would_single_people_out_are_warned_of() -> None:
    assert [w.partition(":")[0] for w in _warnings(TEMPLATE_FILE)] == [
        "keyed",
        "feat.age",
        "feat.size",
        "feat.nodes",
        "all features together",
    ]
    age = next(w for w in _warnings(TEMPLATE_FILE) if w.startswith("feat.age"))
    assert f"in a group of 11, {(1 - 1 / 93) ** 10:.0%} would be alone" in age


def test_a_cap_below_what_open_fields_take_and_too_many_keys_are_warned_of(tmp_path: Path) -> None:
    path = _file(tmp_path, ("expansion_cap = 54", "expansion_cap = 53"))
    assert any("takes 54 keys: it is refused" in warning for warning in _warnings(path))
    edges = ", ".join(map(str, range(99)))
    more = f'\n[[field]]\nname = "n"\nunit = "u"\nedges = [{edges}]\n'
    many = _file(tmp_path, more=more + more.replace('"n"', '"m"'))
    assert any("field: 529254 keys, more than the 100000" in w for w in _warnings(many))


def test_a_file_of_cases_tells_who_would_be_alone(tmp_path: Path) -> None:
    cases = EXAMPLES / "invented-1.csv"
    found = _warnings(TEMPLATE_FILE, cases)
    told = [warning.partition(": ")[2] for warning in found if warning.startswith(str(cases))]
    assert told == [
        "60 of 60 cases have a key with fewer than 11 cases in this file: no answer about that key "
        "alone comes from it",
        "46 of 60 cases are alone with their age among those of their key",
        "60 of 60 cases are alone with their size among those of their key",
        "36 of 60 cases are alone with their nodes among those of their key",
        "60 of 60 cases are alone with their features together among those of their key",
    ]
    shown = invoke("template", "check", TEMPLATE_FILE, "--cases", cases, "--strict")
    assert (shown.exit_code, f"{cases}: 60 lines fit, 0 do not" in shown.stdout) == (1, True)


# --- the secret ----------------------------------------------------------------------------------
@pytest.mark.rule("KEY-12")
def test_a_secret_is_made_once_private_and_for_one_network(tmp_path: Path) -> None:
    path = tmp_path / "similarity.secret"
    secret = create_secret(path, NETWORK.id)
    assert (len(secret), path.stat().st_size) == (32, 55)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_secret(path, NETWORK.id) == secret
    with pytest.raises(IdentityError, match="is there already and is not overwritten"):
        create_secret(path, NETWORK.id)
    with pytest.raises(IdentityError, match="or the secret of another network than AAAA"):
        load_secret(path, bytes(32))


@pytest.mark.rule("KEY-12")
def test_a_secret_that_others_read_or_that_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "similarity.secret"
    create_secret(path, NETWORK.id)
    good = path.read_bytes()
    for data, told in (
        (good[:-1], "has 54 bytes, must have 55"),
        (good[:-1] + b"=", "is not base64url"),
        (
            (b"A" if good[:1] != b"A" else b"B") + good[1:],
            "is damaged, or the secret of another network",
        ),
        (b"", "has 0 bytes"),
    ):
        path.write_bytes(data)
        with pytest.raises(IdentityError) as refused:
            load_secret(path, NETWORK.id)
        assert told in str(refused.value)
        assert good[:20].decode() not in str(refused.value)
    path.write_bytes(good)
    path.chmod(0o640)
    with pytest.raises(IdentityError, match="has mode 0640, must be 0600"):
        load_secret(path, NETWORK.id)
    path.unlink()
    with pytest.raises(IdentityError, match="No such file"):
        load_secret(path, NETWORK.id)


def _keyed(value: bool | None) -> Template:
    return dataclasses.replace(open_named_template("breast-cancer", Path()), keyed=value)


def _without_secret(folder: Path) -> ServiceConfig:
    (config, _) = configs_of(make_net(folder / "net", nodes=2, issuers=1, defended=True))
    text = config.path.read_text().replace('similarity_secret = "../../similarity.secret"\n', "")
    config.path.write_text(text)
    return load_config(config.path)


@pytest.mark.rule("KEY-10")
def test_the_default_is_keyed_in_a_network_with_a_roster_and_not_elsewhere(tmp_path: Path) -> None:
    (config, _) = configs_of(make_net(tmp_path / "net", nodes=2, issuers=1))
    network = open_network_file(config)
    roster = open_roster_file(config, network)
    secret = load_secret(tmp_path / "net" / "similarity.secret", network.id)

    def made(keyed: bool | None, with_roster: bool) -> bytes | None:
        return secret_of(_keyed(keyed), config, network, roster if with_roster else None)

    assert [made(None, True), made(True, True), made(False, True)] == [secret, secret, None]
    assert [made(None, False), made(True, False), made(False, False)] == [None, secret, None]


def test_without_the_secret_nothing_starts_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    config = _without_secret(tmp_path)
    key = tmp_path / "net" / "authors" / "issuer-01.key"
    lineage = open_lineage("breast-cancer", Path())
    told = (
        f"node.similarity_secret is not set in {config.path}, and the keys of template "
        "breast-cancer/1 take a secret (the network has a roster); every member has the same "
        "file: get it from another member, or make the first with: qisguard template secret FILE "
        f"--node {config.path}"
    )
    flags: dict[str, Any] = {"strict": False, "first": False, "progress": lambda *_: None}
    for attempt in (
        lambda: open_parts(config),
        lambda: ask(config, lineage, [], (), None),
        lambda: publish_file(EXAMPLES / "invented-1.csv", lineage, key, config, **flags),
    ):
        with pytest.raises(ScenarioError) as refused:
            attempt()
        assert str(refused.value) == told
    made = tmp_path / "new.secret"
    shown = invoke("template", "secret", made, "--node", config.path)
    network = open_network_file(config)
    secret = load_secret(made, network.id)
    assert secret_check(secret, network.id).hex() in shown.stdout
    assert made.read_text()[:20] not in shown.stdout


def test_two_members_with_other_secrets_have_no_key_in_common(tmp_path: Path) -> None:
    sheets = [
        Sheet(EXAMPLES / "invented-1.csv", _keyed(True), secret * 32) for secret in (b"a", b"b")
    ]
    keys = [{getattr(row, "key", b"") for row in sheet} for sheet in sheets]
    assert keys[0]
    assert not keys[0] & keys[1]


# --- docs/templates.md ---------------------------------------------------------------------------
def test_the_templates_of_the_page_can_be_used(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "templates.md").read_text()
    first, second = re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S)
    (tmp_path / "readmission-1.toml").write_text(first)
    version, migrates = second.split("\n", 1)
    text = first.replace("version = 1", version).replace('name = "age-group"', 'name = "age"')
    text = text.replace('"18-64", "65-79", "80+"', '"adult", "old"') + migrates
    (tmp_path / "readmission-2.toml").write_text(text)
    lineage = open_lineage("readmission-2.toml", tmp_path)
    migration = lineage.migrations[0]
    asked = migration.translate(migration.new.axes({"age": "old", "ejection-fraction": 41}))
    assert asked == Translated((("65-79", "80+"), ("[41,50)",)), 0)
