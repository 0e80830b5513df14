"""``tests/vectors/similarity.json``: keys as an independent reader computes them, byte for byte."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qisguard.errors import RecordError
from qisguard.identity.ids import placement, to_bytes
from qisguard.outcomes.template import open_template
from tests.vectors.make_similarity import FILE, PACKAGED, make

VECTORS = json.loads(FILE.read_text("utf-8"))
CASES = VECTORS["cases"]
Case = dict[str, Any]


# --- an independent reader -----------------------------------------------------------------------
def _label(field: Case, value: Any) -> str | None:
    if "categories" in field:
        composed = {"gro\u0308\u00dfer": "gr\u00f6\u00dfer", "e\u0301": "\u00e9"}
        words = [word for word in field["categories"] if word == composed.get(value, value)]
        return words[0] if words else None
    if type(value) not in (int, float) or not abs(value) < 2**53:
        return None
    ends = [*field["edges"][1:], "inf"]
    for low, high in zip(field["edges"], ends, strict=True):
        if float(low) <= float(value) < float(high):
            return f"[{low},{high})"
    return None


def _read(case: Case) -> tuple[list[str], bytes] | None:
    """Return labels and key, None for a case without."""
    shape = VECTORS["templates"][case["template"]]
    if set(case["values"]) != {field["name"] for field in shape["fields"]}:
        return None
    pairs = [[f["name"], _label(f, case["values"][f["name"]])] for f in shape["fields"]]
    if any(label is None for _, label in pairs):
        return None
    canonical = json.dumps(pairs, separators=(",", ":"), ensure_ascii=False).encode()
    message = b"qisguard/similarity-key/v1\n" + shape["id"].encode() + b"\n" + canonical
    if case["secret"]:
        digest = hmac.new(bytes.fromhex(case["secret"]), message, hashlib.sha256).digest()
    else:
        digest = hashlib.sha256(message).digest()
    return [label for _, label in pairs], bytes([shape["prefix"]]) + digest[:31]


# --- the file ------------------------------------------------------------------------------------
def test_the_file_is_what_its_script_makes() -> None:
    assert FILE.read_bytes() == make()


def test_there_are_keys_and_refusals_and_no_two_cases_share_a_name() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES) > 90
    assert sum(case["key"] is None for case in CASES) >= 20
    assert VECTORS["templates"]["packaged"]["toml"] == PACKAGED.read_text("utf-8")


@pytest.mark.rule("KEY-01")
@pytest.mark.rule("KEY-04")
@pytest.mark.rule("KEY-05")
@pytest.mark.rule("KEY-06")
@pytest.mark.rule("KEY-07")
@pytest.mark.rule("KEY-08")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].encode().hex()[:60])
def test_a_key_is_the_same_to_an_independent_reader(case: Case) -> None:
    template = open_template(VECTORS["templates"][case["template"]]["toml"].encode())
    secret = bytes.fromhex(case["secret"]) if case["secret"] else None
    if case["key"] is None:
        assert _read(case) is None
        with pytest.raises(RecordError):
            template.key(case["values"], secret)
    else:
        assert _read(case) == (case["labels"], bytes.fromhex(case["key"]))
        assert template.key(case["values"], secret).hex() == case["key"]
        assert list(template.labels(case["values"])) == case["labels"]


@pytest.mark.rule("KEY-03")
def test_other_spellings_of_edges_are_the_same_bins() -> None:
    shapes = VECTORS["templates"]
    plain = ["-1.5", "0", "0.1", "10", "1000000"]
    assert [shapes[name]["fields"][0]["edges"] for name in ("numbers", "same edges")] == [plain] * 2
    assert shapes["small edges"]["fields"][0]["edges"] == [
        "0.000000000000001",
        "0.000000000000002",
        "1000000000000000",
    ]


@pytest.mark.rule("KEY-02")
def test_another_version_has_other_keys() -> None:
    keys = {case["template"]: case["key"] for case in CASES if case["name"].endswith("klein e")}
    assert len(keys) == len(set(keys.values())) == 2


@pytest.mark.rule("KEY-09")
def test_a_record_lies_at_the_hash_of_the_whole_key() -> None:
    for case in CASES:
        if case["key"]:
            key = bytes.fromhex(case["key"])
            assert to_bytes(placement(key)) == hashlib.sha256(key).digest()


def test_keys_do_not_depend_on_locale_hash_seed_or_folder(tmp_path: Path) -> None:
    """The script is run again by a process that has everything else different."""
    root = Path(__file__).parents[1]
    code = "import sys; from tests.vectors import make_similarity as m; "
    code += "sys.stdout.buffer.write(m.make())"
    set_ = {"PYTHONHASHSEED": "1", "LC_ALL": "tr_TR.UTF-8", "LANG": "C", "TZ": "Asia/Kathmandu"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **set_, "PYTHONPATH": str(root), "PYTHONUTF8": "0"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == FILE.read_bytes()
