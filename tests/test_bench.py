"""``qisguard bench``: what a report says, and with which exit code."""

import json
import subprocess
import sys

import pytest

from qisguard.cli import bench
from qisguard.exits import Exit
from qisguard.lab.bench import store, synthesis
from qisguard.lab.bench.registry import BENCHES
from qisguard.lab.bench.rows import Report, Row

MET = Row("fast", 10.0, "1/s", 5, "slow", 4.0, least=9.0)
MISSED = Row("memory", 2_000.0, "MB", most=1_000.0)
KNOWN = Row("hops", 1.5, "hops")


def _report(*rows: Row) -> Report:
    return Report("model", rows, 7, "abc", {"cores": "2"}, (0.5, 1.0))


def test_a_bar_is_met_at_its_edge_and_missed_beyond() -> None:
    assert [Row("x", v, "s", most=2.0).ok for v in (2.0, 2.1)] == [True, False]
    assert [Row("x", v, "s", least=2.0).ok for v in (2.0, 1.9)] == [True, False]
    assert [Row("x", v, "s", least=1.0, most=2.0).ok for v in (0.9, 1.5, 2.1)] == [
        False,
        True,
        False,
    ]
    assert Row("x", float("nan"), "s", most=2.0).ok is False


def test_the_exit_code_is_1_when_a_bar_is_missed() -> None:
    assert _report(MET, KNOWN).verdict is Exit.CLEAN
    assert _report(MET, MISSED).verdict is Exit.FINDING


def test_json_has_what_the_contract_names() -> None:
    value = json.loads(json.dumps(_report(MET, KNOWN).as_json()))
    assert {key: value[key] for key in value if key != "rows"} == {
        "bench": "model",
        "seed": 7,
        "commit": "abc",
        "machine": {"cores": "2"},
        "load": [0.5, 1.0],
    }
    assert value["rows"] == [
        {
            "name": "fast",
            "value": 10.0,
            "unit": "1/s",
            "repeats": 5,
            "baseline": "slow",
            "baseline_value": 4.0,
            "ratio": 2.5,
            "bar": ">= 9",
            "ok": True,
        },
        {
            "name": "hops",
            "value": 1.5,
            "unit": "hops",
            "repeats": 1,
            "baseline": None,
            "baseline_value": None,
            "ratio": None,
            "bar": None,
            "ok": None,
        },
    ]


def test_the_table_says_which_bars_are_missed(capsys: pytest.CaptureFixture[str]) -> None:
    bench.show(_report(MET, MISSED, KNOWN))
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in shown[:4]] == ["met", "met", "MET", "hops"]
    assert "NOT MET" in shown[2]
    assert shown[4] == "1 of 2 bars met (exit 1)"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys; from qisguard.cli.main import main; sys.argv[0] = 'qisguard'\n"
        "try:\n    main()\nfinally:\n"
        "    print([m for m in ('numpy', 'numba') if m in sys.modules], file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, check=False, text=True
    )


def test_the_list_names_every_benchmark_and_loads_none() -> None:
    done = _run("bench", "list")
    assert (done.returncode, done.stderr) == (0, "[]\n")
    wide = max(map(len, BENCHES))
    told = [f"{name:{wide}}  {bench.proves}" for name, bench in BENCHES.items()]
    assert done.stdout.splitlines() == told


def test_an_unknown_benchmark_is_wrong_usage_and_named() -> None:
    done = _run("bench", "modle")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"QE-400 no benchmark 'modle'; there are {', '.join(BENCHES)}" in done.stderr


def test_the_synthesis_bench_answers_every_kind_and_fits_how_cost_grows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(synthesis, "SIZE", 4_000)
    monkeypatch.setattr(synthesis, "SIZES", (1_000, 2_000, 4_000))
    monkeypatch.setattr(synthesis, "REPEATS", 1)
    ended: list[str] = []
    rows = synthesis.measure(1, lambda name, done, total: ended.append(f"{name} {done}/{total}"))
    assert ended[-1] == "time-to-event, by size 7/7"
    assert sum(row.name.startswith("numeric: answer") for row in rows) == 6
    assert sum(row.bar is not None for row in rows) == 11
    assert all(row.value > 0 for row in rows if row.unit == "CPU s")


def test_the_synthesis_bench_uses_every_defence_that_weighs_and_needs_nothing() -> None:
    names = {defense.card.id for defense in synthesis.defenses()}
    assert {"one_vote", "age", "leave_one_out", *synthesis.BASELINES} <= names
    assert {defense.card.id for defense in synthesis.pipeline()} == names - {*synthesis.BASELINES}


def test_the_store_bench_rewrites_rows_and_reads_every_provider_of_one_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("ROWS", 500), ("UPSERTS", 200), ("PROVIDERS", 300)):
        monkeypatch.setattr(store, name, value)
    ended: list[str] = []
    rows = store.measure(1, lambda name, done, total: ended.append(f"{name} {done}/{total}"))
    assert ended == ["provider records 1/3", "packets 2/3", "one key 3/3"]
    assert sum(row.bar is not None for row in rows) == 6
    assert all(row.value > 0 for row in rows)
