"""The configuration of a node: what wins, what is refused in which words, what is documented."""

import json
import re
from pathlib import Path

import pytest

from qisguard.config import describe
from qisguard.defenses.kl_detector import KlDetector
from qisguard.defenses.scan_count import ScanCount
from qisguard.errors import ScenarioError
from qisguard.identity.keys import to_text
from qisguard.service.config import check_distinct, load_config
from qisguard.service.detectors import make_detectors
from qisguard.service.documents import as_json, as_text, markdown
from qisguard.service.options import options
from tests.builders import key_pair
from tests.services import ROOT, invoke, run

AUTHORITY = to_text(key_pair("authority").public)
ID = "0" * 63 + "7"
REQUIRED = {"identity": "id", "network": "net", "authority": AUTHORITY, "state": "state"}


def _write(folder: Path, text: str = "", **node: object) -> Path:
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**REQUIRED, **node}.items()]
    path = folder / "node.toml"
    path.write_text("\n".join(["[node]", *lines, text]))
    return path


def test_a_small_file_is_enough_and_the_rest_is_default(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path))
    assert config.listen == config.address == ("127.0.0.1", 4400)
    assert config.node.state == tmp_path / "state"
    assert config.metrics.listen == ""
    assert config.limits.k == 20


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    path = _write(tmp_path, "[limits]\nk = 5\nalpha = 5\nsiblings = 5", name="five")
    environment = {"QISGUARD_NODE_LIMITS_K": "6", "QISGUARD_NODE_LIMITS_ALPHA": "6", "HOME": "/"}
    config = load_config(path, environment, ["limits.k=7"])
    limits = config.limits
    assert (limits.k, limits.alpha, limits.siblings, limits.disjoint_paths) == (7, 6, 5, 1)
    origins = [config.origins[f"limits.{n}"] for n in ("k", "alpha", "siblings", "disjoint_paths")]
    wanted = ["flag --set limits.k", "environment QISGUARD_NODE_LIMITS_ALPHA", "file", "default"]
    assert origins == wanted


def test_lists_and_switches_can_be_given_as_text(tmp_path: Path) -> None:
    flags = [f"node.bootstraps={ID}@127.0.0.1:1, {ID}@[::1]:2", "node.trail=false"]
    config = load_config(_write(tmp_path), {}, flags)
    assert [contact.address for contact in config.bootstraps] == [("127.0.0.1", 1), ("::1", 2)]
    assert config.node.trail is False


def test_relative_paths_belong_to_the_file_and_those_of_flags_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path)
    config = load_config(_write(tmp_path / "deep"), {}, ["node.state=here"])
    assert config.node.identity == tmp_path / "deep" / "id"
    assert config.node.state == tmp_path / "here"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[nodes]", "unknown table 'nodes'; did you mean 'node'?"),
        ("bootstrap = []", "node: unknown key 'bootstrap'; did you mean 'bootstraps'?"),
        ("[limits]\nreplica_cuont = 3", "limits: unknown key 'replica_cuont'; did you mean"),
        ("[limits]\nk = 21", "limits.k = 21, must be 1 to 20 contacts"),
        ("[limits]\nk = 0", "limits.k = 0, must be 1 to 20 contacts"),
        ("[limits]\nk = nan", "limits.k = nan, must be 1 to 20 contacts"),
        ('[limits]\nk = "8"', "limits.k = '8', must be int"),
        ("[limits]\nk = true", "limits.k = True, must be int"),
        ('[limits]\nreplica_rule = "all"', "must be one of closest, roster, region"),
        ("listen = 4400", "node.listen = 4400, must be IP:PORT"),
        ('listen = "localhost:4400"', "node.listen = 'localhost:4400', must be IP:PORT"),
        ('listen = "127.0.0.1:0"', "node.listen = '127.0.0.1:0', must be IP:PORT"),
        ('listen = "0.0.0.0:4400"', "node.advertise must say"),
        ('advertise = "0.0.0.0:4400"', "nobody can reach that address"),
        ('bootstraps = ["127.0.0.1:1"]', "node.bootstraps[0] = '127.0.0.1:1', must be 64 hex"),
        ('bootstraps = "x"', "node.bootstraps = 'x', must be texts of 64 hex digits"),
        ("bootstraps_min = -1", "node.bootstraps_min = -1, must be 0 to 100"),
        ('defenses = ["rooster"]', "unknown defence 'rooster'; "),
        ('defenses = ["age", "age"]', "node.defenses: 'age' is there twice"),
        ('defenses = ["roster_routing"]', "'roster_routing' needs node.roster"),
        ('defenses = ["structure"]', "'structure' needs node.templates"),
        ('defenses = ["cusum"]', "'cusum' needs what a node remembers: set node.annals = true"),
        ("annals = true", "node.annals = true needs node.templates: whose outcomes, and when"),
        (
            'annals = true\ntemplates = ["breast-cancer"]\ndefenses = ["eigentrust"]',
            "'eigentrust' needs node.roster: founders are on it",
        ),
        ('trail = "yes"', "node.trail = 'yes', must be true or false"),
        ('name = "a b"', "node.name = 'a b', must be 1 to 40 letters"),
        ('[metrics]\nlisten = "192.0.2.1:1"', "set metrics.expose = true to allow it"),
        ('[log]\nlevel = "loud"', "log.level = 'loud', must be debug, info, warning, error"),
        ("log = 3", "node: unknown key 'log'"),
        ("=", "not TOML"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_config(_write(tmp_path, text))
    assert str(tmp_path / "node.toml") in str(refused.value)
    assert told in str(refused.value)


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_what_must_be_given_is_named_when_it_is_not(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path)
    path.write_text("\n".join(x for x in path.read_text().splitlines() if not x.startswith(name)))
    with pytest.raises(ScenarioError, match=rf"node\.{name} is missing: "):
        load_config(path)


def test_unknown_variables_and_flags_are_errors_too(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="'QISGUARD_NODE_LISTN'; did you mean"):
        load_config(_write(tmp_path), {"QISGUARD_NODE_LISTN": "x"})
    with pytest.raises(ScenarioError, match=r"--set: unknown key 'node\.listn'; did"):
        load_config(_write(tmp_path), {}, ["node.listn=x"])
    with pytest.raises(ScenarioError, match=r"must be table\.key=value"):
        load_config(_write(tmp_path), {}, ["node.listen"])


def test_few_bootstraps_are_a_warning_that_says_why(tmp_path: Path) -> None:
    few = load_config(_write(tmp_path, bootstraps=[f"{ID}@127.0.0.1:1"]))
    assert "never finds the network" in few.warnings()[0]
    allowed = load_config(_write(tmp_path, bootstraps=[f"{ID}@127.0.0.1:1"], bootstraps_min=1))
    assert allowed.warnings() == []


def test_the_diversity_of_addresses_is_not_given_up_unnoticed(tmp_path: Path) -> None:
    text = '[limits]\naddress_diversity = false\n[metrics]\nlisten = "127.0.0.1:1"'
    here = load_config(_write(tmp_path, text, bootstraps_min=0))
    assert here.warnings() == []
    there = load_config(_write(tmp_path, text, bootstraps_min=0, listen="192.0.2.1:4400"))
    assert "address_diversity" in there.warnings()[0]


def test_detectors_are_named_with_their_thresholds(tmp_path: Path) -> None:
    detectors = ["scan_count=5.5", "kl_detector"]
    config = load_config(_write(tmp_path, "[limits]\nreplica_count = 9", detectors=detectors))
    scan, divergence = make_detectors(config.node.detectors, config.limits.replica_count)
    assert (scan, divergence) == (ScanCount(5.5, k=9), KlDetector(k=9))


@pytest.mark.parametrize(
    ("detectors", "told"),
    [
        (["scan_cuont=5"], "node.detectors[0]: unknown detector 'scan_cuont'; did you mean"),
        (["kl_detector", "kl_detector=1"], "node.detectors[1]: 'kl_detector' is there twice"),
        (["scan_count"], "must give a threshold: scan_count=NATS, as 'qisguard calibrate"),
        (["scan_count=high"], "node.detectors[0]: threshold = 'high', must be a number"),
        (["scan_count=-1"], "node.detectors[0]: threshold = -1.0, must be 0 or more nats"),
        (["scan_count=nan"], "node.detectors[0]: threshold = nan, must be 0 or more nats"),
    ],
)
def test_detectors_that_cannot_be_made_are_refused_in_words(
    tmp_path: Path, detectors: list[str], told: str
) -> None:
    with pytest.raises(ScenarioError, match=re.escape(told)):
        load_config(_write(tmp_path, detectors=detectors))


def test_a_detector_among_the_defences_is_sent_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"is a detector, name it in node\.detectors"):
        load_config(_write(tmp_path, defenses=["scan_count"]))


def test_a_rule_that_waits_for_flags_without_a_detector_is_a_warning(tmp_path: Path) -> None:
    text = '[limits]\nreplica_rule = "flagged"'
    warnings = load_config(_write(tmp_path, text)).warnings()
    assert any("replica_rule = 'flagged' without node.detectors" in line for line in warnings)
    warnings = load_config(_write(tmp_path, text, detectors=["kl_detector"])).warnings()
    assert not any("without node.detectors" in line for line in warnings)


def test_two_nodes_of_one_process_cannot_share_anything(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = load_config(_write(tmp_path / "a"))
    second = load_config(_write(tmp_path / "b"))
    with pytest.raises(ScenarioError, match=r"node\.listen = '127\.0\.0\.1:4400' is in two"):
        check_distinct([first, second])


def test_every_value_is_shown_with_its_origin_and_its_documentation(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path), {}, ["limits.k=7"])
    rows = {row["key"]: row for row in json.loads(as_json(config))["values"]}
    assert set(rows) == {option.key for option in options()}
    assert rows["limits.k"]["value"] == 7
    assert rows["limits.k"]["origin"] == "flag --set limits.k"
    assert all(row["doc"] and row["allowed"] for row in rows.values())
    text = as_text(config)
    assert all(key in text for key in rows)


def test_every_limit_of_a_node_can_be_set_and_overridden() -> None:
    keys = {option.key: option.variable for option in options()}
    assert {f"limits.{setting.name}" for setting in describe()} <= set(keys)
    assert len(set(keys.values())) == len(keys)


def test_the_page_that_documents_every_key_is_current() -> None:
    assert (ROOT / "docs" / "node-config.md").read_text() == markdown()


def test_show_config_runs_nothing_and_prints_origins(tmp_path: Path) -> None:
    path = _write(tmp_path, "[limits]\nk = 5")
    done = invoke("node", "run", path, "--show-config", "--json", "--set", "log.level=debug")
    rows = {row["key"]: row for row in json.loads(done.stdout)["values"]}
    assert (done.exit_code, rows["limits.k"]["origin"]) == (0, "file")
    assert rows["log.level"]["value"] == "debug"
    assert "bootstraps_min" in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_configuration_that_cannot_be_used_exits_2_in_one_line(tmp_path: Path) -> None:
    done = run("node", "run", _write(tmp_path, "[limits]\nk = 99"))
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith("QE-400 ")
    assert "limits.k = 99" in error
    assert hint == "try: qisguard node run --help"
