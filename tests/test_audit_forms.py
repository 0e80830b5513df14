"""Every form of an audit's report says the same verdict; bundles are audited like trails."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner, Result

from qisguard.audit.auditor import AuditReport, verdict
from qisguard.audit.bundles import audit_bundle
from qisguard.audit.findings import CHECKS
from qisguard.audit.one import Options
from qisguard.audit.policy import load_policy
from qisguard.cli.audit import audit
from qisguard.errors import ScenarioError
from qisguard.exits import Exit
from qisguard.identity.keys import from_text, to_text
from qisguard.reports.audited import FORMS
from qisguard.trail.bundle import Bundle, make_bundle, make_item
from qisguard.trail.checkpoint import parse_checkpoint, sign_checkpoint
from qisguard.trail.files import FolderFiles
from qisguard.trail.log import packet_path
from qisguard.trail.proofs import TreeReader
from tests.trails import Net, finding_ids, key, ordinary, write_trail

NET = Net()
A, B = NET.member("a"), NET.member("b")


def _run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(audit)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return write_trail(tmp_path / "trail <&|`", A, ordinary(NET, A, 3))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return NET.write_policy(tmp_path / "policy")


def _required(value: Any, keys: str) -> None:
    assert set(keys.split()) <= set(value), (keys, value)


def _check_sarif(text: str, code: int) -> None:
    """The fields that the SARIF 2.1.0 schema requires, and the sets it allows."""
    log = json.loads(text)
    _required(log, "version runs")
    assert log["version"] == "2.1.0"
    for run in log["runs"]:
        _required(run, "tool results")
        _required(run["tool"], "driver")
        _required(run["tool"]["driver"], "name rules")
        rules = run["tool"]["driver"]["rules"]
        for rule in rules:
            _required(rule, "id")
            _required(rule["shortDescription"], "text")
            _required(rule["fullDescription"], "text")
            _required(rule["help"], "text")
            assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
        assert len({rule["id"] for rule in rules}) == len(rules)
        for result in run["results"]:
            _required(result, "message ruleId")
            _required(result["message"], "text")
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            assert result["level"] in ("none", "note", "warning", "error")
            for location in result["locations"]:
                uri = location["physicalLocation"]["artifactLocation"]["uri"]
                assert not set(uri) & set(' <>"{}|\\^`')
        for invocation in run["invocations"]:
            _required(invocation, "executionSuccessful")
            assert invocation["exitCode"] == code
            for notification in invocation["toolExecutionNotifications"]:
                _required(notification, "message")


@pytest.mark.parametrize("code", [0, 1, 3])
def test_every_form_of_every_verdict_says_the_same(
    tmp_path: Path, trail: Path, policy: Path, code: int
) -> None:
    if code == 1:
        (trail / "stray\x1b[31m<b>|").touch()
    outputs = [f"{form}:{tmp_path / form}" for form in FORMS]
    trust = [] if code == 3 else ["--trust", str(policy)]
    done = _run(trail, *trust, *(word for text in outputs for word in ("-o", text)))
    assert done.exit_code == code, done.stderr
    texts = {form: (tmp_path / form).read_text() for form in FORMS}
    assert texts["table"] == done.stdout
    assert all("\x1b" not in text for text in texts.values())
    value = json.loads(texts["json"])
    assert (value["exit"], bool(value["findings"])) == (code, code == 1)
    _check_sarif(texts["sarif"], code)
    results = json.loads(texts["sarif"])["runs"][0]["results"]
    assert [r["ruleId"] for r in results] == [f["id"] for f in value["findings"]]
    suite = ElementTree.fromstring(texts["junit"])
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases) == len(CHECKS) + 1
    assert (int(suite.attrib["failures"]) > 0) is (code == 1)
    assert (int(suite.attrib["errors"]) > 0) is (code == 3)
    assert f"(exit {code})" in texts["markdown"].replace("\\", "")
    assert "<b>" not in texts["markdown"]


def test_a_form_that_does_not_exist_or_a_folder_that_is_not_there_exits_2(
    trail: Path, policy: Path, tmp_path: Path
) -> None:
    for text in ("pdf:x.pdf", "json", "json:", f"json:{tmp_path}/no/where.json"):
        done = _run(trail, "--trust", policy, "-o", text)
        assert (done.exit_code, done.stdout) == (2, ""), text
        assert "QE-400 -o" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_audit_needs_no_network(trail: Path, policy: Path, tmp_path: Path) -> None:
    """In a network namespace without any interface that is up."""
    alone = ("unshare", "--user", "--map-root-user", "--net")
    try:
        subprocess.run([*alone, "true"], capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no network namespace without privileges here: {error}")
    bundle = tmp_path / "bundle"
    bundle.write_bytes(_bundle(trail).encode())
    for words in ([str(trail)], ["bundle", str(bundle)]):
        command = [*alone, sys.executable, "-m", "qisguard.cli", "audit", *words]
        done = subprocess.run(
            [*command, "--trust", str(policy)], capture_output=True, check=False, text=True
        )
        assert (done.returncode, done.stderr) == (0, ""), done


def test_since_sample_and_structure_are_said_in_the_answer(
    trail: Path, policy: Path, tmp_path: Path
) -> None:
    early = write_trail(tmp_path / "early", A, ordinary(NET, A, 3)[:2]) / "checkpoint"
    done = _run(trail, "--trust", policy, "--since", early)
    assert done.exit_code == 0
    assert "packets before entry 2: not opened again" in done.stdout
    done = _run(trail, "--trust", policy, "--sample", "2", "--seed", "9")
    assert done.exit_code == 0
    assert "packets of 2 of 5 entries were opened, drawn with seed 9" in done.stdout
    assert "with 95 % confidence at most 77.64%" in done.stdout
    done = _run(trail, "--trust", policy, "--structure")
    assert done.exit_code == 0
    assert "packets: 3 were not opened" in done.stdout
    head = parse_checkpoint(early.read_bytes())
    early.write_bytes(sign_checkpoint(A.origin, head.size, head.root, key("thief")).encode())
    done = _run(trail, "--trust", policy, "--since", early)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "none of which is a known key" in done.stderr


def _bundle(folder: Path, indices: tuple[int, ...] = (0, 2, 4)) -> Bundle:
    files = FolderFiles(folder)
    head = parse_checkpoint((folder / "checkpoint").read_bytes())
    reader = TreeReader(files.read, head)
    items = []
    for index in indices:
        entry = reader.entry(index)
        packet = None
        if b"publish" in entry:
            digest = json.loads(entry)["digest"]
            packet = files.read(packet_path(from_text(digest, 32)))
        items.append(make_item(index, entry, reader.inclusion(index, entry), packet))
    return make_bundle(head, items)


def _audit_bundle(tmp_path: Path, policy: Path, data: bytes) -> AuditReport:
    path = tmp_path / "bundle.json"
    path.write_bytes(data)
    return audit_bundle(path, load_policy(policy), Options())


def test_an_honest_bundle_is_clean_and_says_what_it_leaves_open(
    tmp_path: Path, trail: Path, policy: Path
) -> None:
    report = _audit_bundle(tmp_path, policy, _bundle(trail).encode())
    assert verdict(report) is Exit.CLEAN
    assert (report.trails[0].signatures_checked, report.trails[0].is_whole) == (2, True)
    assert any("the rest of the log" in line for line in report.not_covered)
    path = tmp_path / "bundle.json"
    assert verdict(audit_bundle(path, None, Options())) is Exit.NOT_MEASURED


def test_every_changed_byte_of_a_bundle_is_a_finding(
    tmp_path: Path, trail: Path, policy: Path
) -> None:
    good = _bundle(trail).encode()
    for place in range(0, len(good), 7):
        bad = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        assert verdict(_audit_bundle(tmp_path, policy, bad)) is Exit.FINDING, place
    for bad in (b"", b"{}", b"[" * 100_000, good[:-1], good + b"\n", b"\xff" * 10, good * 2):
        assert finding_ids(_audit_bundle(tmp_path, policy, bad)) == {"AUD-12"}


def test_a_bundle_with_a_foreign_packet_or_of_a_foreign_log_is_a_finding(
    tmp_path: Path, trail: Path, policy: Path
) -> None:
    good = _bundle(trail)
    first = good.items[0]
    foreign = to_text(NET.packet(A.author, 9).data)
    swapped = make_item(first.index, first.entry.encode(), good.proof(first).hashes, None)
    bad = Bundle(good.schema, good.checkpoint, (_with_packet(swapped, foreign), *good.items[1:]))
    assert finding_ids(_audit_bundle(tmp_path, policy, bad.encode())) == {"AUD-20"}
    head = parse_checkpoint(good.checkpoint.encode())
    note = sign_checkpoint(A.origin, head.size, head.root, key("thief")).encode().decode()
    stolen = Bundle(good.schema, note, good.items)
    assert finding_ids(_audit_bundle(tmp_path, policy, stolen.encode())) == {"AUD-11"}
    other = write_trail(tmp_path / "other", B, ordinary(NET, A, 3))
    report = _audit_bundle(tmp_path, policy, _bundle(other).encode())
    assert finding_ids(report) == {"AUD-21"}


def _with_packet(item: Any, packet: str) -> Any:
    return type(item)(item.index, item.entry, item.hashes, packet)


def test_what_is_no_bundle_file_is_a_clear_error(tmp_path: Path, policy: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(ScenarioError, match="bundle "):
            audit_bundle(path, None, Options())
    done = _run("bundle", "--trust", policy)
    assert (done.exit_code, done.stdout) == (2, "")
