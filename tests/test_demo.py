"""``qisguard demo`` from the command to the last byte of the last trail, run once."""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

from qisguard.audit.auditor import audit, verdict
from qisguard.audit.policy import Policy, load_policy
from qisguard.errors import ScenarioError
from qisguard.exits import Exit
from qisguard.lab.demo import results
from qisguard.lab.demo import whole as demo
from qisguard.lab.demo.cohort import SYNTHETIC
from qisguard.lab.demo.results import Report, Row
from qisguard.lab.demo.runs import Job, run_job
from qisguard.lab.demo.scenario import load_scenario, packaged
from qisguard.reports.summary import summary
from tests.stories import scenario

QISGUARD = [sys.executable, "-c", "from qisguard.cli.main import main; main()"]
PATIENCE = 60.0
"""Seconds that a fresh process may take until it has begun its live run."""


@dataclass(frozen=True)
class Ran:
    """A demo that ended, and what it printed."""

    folder: Path
    printed: str
    notes: str
    report: Report

    @property
    def trails(self) -> list[Path]:
        """Return the folder of each trail."""
        return sorted((self.folder / "trails").iterdir())


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*QISGUARD, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, text=True)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The demo, once for all tests."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    done = _run("demo", "--quick", "--json", "--out", folder)
    assert done.returncode == 0, done.stderr
    report = results.decode((folder / "report.json").read_bytes())
    return Ran(folder, done.stdout, done.stderr, report)


# --- what it leaves ------------------------------------------------------------------------------
@pytest.mark.slow
def test_the_demo_leaves_results_trails_policy_and_reports(ran: Ran) -> None:
    assert {path.name for path in ran.folder.iterdir()} == set(demo.PARTS)
    assert len(ran.trails) == 40
    assert len(list((ran.folder / "damaged").iterdir())) == 1
    assert (ran.folder / "report.html").stat().st_size > 50_000


@pytest.mark.slow
def test_json_prints_the_report_alone_and_the_rest_goes_to_stderr(ran: Ran) -> None:
    assert ran.printed.rstrip("\n") == (ran.folder / "report.json").read_text()
    assert json.loads(ran.printed)["format"] == 1
    assert "done in" in ran.notes


@pytest.mark.slow
def test_results_hold_the_rows_of_the_report(ran: Ran) -> None:
    lines = (ran.folder / "results.jsonl").read_bytes().splitlines(keepends=True)
    assert [results.lines([row]) for row in ran.report.rows] == lines
    loaded = load_scenario(packaged("demo.toml")).scenario
    runs = loaded.seeds.live + loaded.seeds.quick
    assert len(lines) == runs * len(loaded.networks) * len(loaded.steps)


def _find(report: Report, engine: str, network: str, step: str) -> Row:
    rows = [(row.engine, row.network, row.step) for row in report.rows]
    return report.rows[rows.index((engine, network, step))]


@pytest.mark.slow
def test_the_unattacked_live_network_tells_the_published_truth(ran: Ran) -> None:
    """GBSG2, grade II, two years; computed apart from this code with another Kaplan-Meier."""
    clean = _find(ran.report, "live", "undefended", "clean")
    hormone, none = clean.arms
    assert (hormone.code, hormone.n, hormone.median) == ("hormone", 163, 2018)
    assert (none.code, none.n, none.median) == ("no-hormone", 281, 1460)
    assert hormone.estimate == pytest.approx(0.8191, abs=0.001)
    assert none.estimate == pytest.approx(0.7227, abs=0.001)
    assert clean.decision == "hormone"
    assert ran.report.truth[0].n == 163
    assert (ran.report.cohort, ran.report.cohort_is_synthetic) == ("GBSG2", False)


def _wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's interval by the formula of the paper (1927)."""
    z, p = 1.959963984540054, successes / trials
    middle, scale = p + z * z / (2 * trials), 1 + z * z / trials
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@pytest.mark.slow
def test_every_rate_is_counted_from_rows_and_has_its_interval(ran: Ran) -> None:
    def place(row: Row) -> tuple[str, str, str]:
        return row.engine, row.network, row.step

    groups = {
        key: list(rows) for key, rows in groupby(sorted(ran.report.rows, key=place), key=place)
    }
    assert len(groups) == len(ran.report.rates)
    for rate in ran.report.rates:
        rows = groups[rate.engine, rate.network, rate.step]
        truth = ran.report.truth[0].code
        flips = [row for row in rows if row.decision not in (truth, "undecided")]
        assert rate.flips == len(flips)
        assert rate.undecided == sum(row.decision == "undecided" for row in rows)
        assert sorted(rate.seeds) == sorted({row.seed for row in rows})
        assert rate.rate == len(flips) / len(rows)
        assert (rate.lo, rate.hi) == pytest.approx(_wilson(len(flips), len(rows)), abs=1e-9)
        assert rate.lo <= rate.rate <= rate.hi
        assert {(row.sybils, row.hospitals) for row in rows} == {(rate.sybils, rate.hospitals)}


@pytest.mark.slow
def test_the_headline_holds_on_both_engines(ran: Ran) -> None:
    for engine in ("live", "virtual"):
        assert _find(ran.report, engine, "undefended", ran.report.headline).is_flipped
        assert not _find(ran.report, engine, "defended", ran.report.headline).is_flipped


@pytest.mark.slow
def test_every_packet_was_acknowledged_and_nothing_left_the_machine(ran: Ran) -> None:
    replica_count = load_scenario(packaged("demo.toml")).node.replica_count
    assert len(ran.report.networks) == 12
    for network in ran.report.networks:
        assert network.packets_published == 686
        assert network.acknowledged == 686 * replica_count
        assert network.measures.get("refused", 0) == 0
        assert bool(network.digest) is (network.engine == "virtual")


# --- trails --------------------------------------------------------------------------------------
@pytest.mark.slow
def test_the_trails_are_clean_with_the_policy_and_unverified_without(ran: Ran) -> None:
    trusting = _run("audit", *ran.trails, "--trust", ran.folder / "policy")
    assert trusting.returncode == 0, trusting.stdout
    assert "verdict: clean" in trusting.stdout
    assert _run("audit", *ran.trails).returncode == 3
    damaged = list((ran.folder / "damaged").iterdir())
    assert _run("audit", *damaged, "--trust", ran.folder / "policy").returncode == 1
    assert [row.exit_code for row in ran.report.audits] == [0, 1]


@pytest.fixture
def policy(ran: Ran) -> Policy:
    return load_policy(ran.folder / "policy")


def _files(trail: Path) -> list[Path]:
    return sorted(path for path in trail.rglob("*") if path.is_file())


def _flips(data: bytes, count: int, rng: random.Random) -> Iterator[bytes]:
    """Return copies with one bit flipped: in the first byte, the last, and ``count`` others."""
    for at in (0, len(data) - 1, *(rng.randrange(len(data)) for _ in range(count))):
        flipped = bytearray(data)
        flipped[at] ^= 1 << rng.randrange(8)
        yield bytes(flipped)


def _blamed(trail: Path, policy: Policy) -> set[str]:
    """Return the files that findings name; the verdict is that there are some."""
    report = audit([trail], policy)
    assert verdict(report) == Exit.FINDING
    return {finding.file for finding in report.findings}


@pytest.mark.slow
@pytest.mark.parametrize("which", ["smallest", "middle"])
def test_a_flipped_byte_anywhere_in_a_trail_is_found_and_its_file_named(
    ran: Ran, policy: Policy, tmp_path: Path, which: str
) -> None:
    trails = sorted(ran.trails, key=lambda trail: (len(_files(trail)), trail))
    source = trails[0] if which == "smallest" else trails[len(trails) // 2]
    trail = shutil.copytree(source, tmp_path / source.name)
    rng = random.Random(which)
    for file in _files(trail):
        original = file.read_bytes()
        for flipped in _flips(original, 20, rng):
            file.write_bytes(flipped)
            assert str(file.relative_to(trail)) in _blamed(trail, policy)
        file.write_bytes(original)
    assert verdict(audit([trail], policy)) == Exit.CLEAN


@pytest.mark.slow
def test_a_flipped_byte_anywhere_in_the_largest_trail_is_found_and_its_file_named(
    ran: Ran, policy: Policy, tmp_path: Path
) -> None:
    """Packet files are damaged twenty at a time: each must be named by a finding of its own."""
    source = max(ran.trails, key=lambda trail: (len(_files(trail)), trail))
    trail = shutil.copytree(source, tmp_path / source.name)
    rng = random.Random("largest")
    packets = [file for file in _files(trail) if "packets" in file.relative_to(trail).parts]
    for file in set(_files(trail)) - set(packets):
        original = file.read_bytes()
        for flipped in _flips(original, 8, rng):
            file.write_bytes(flipped)
            assert str(file.relative_to(trail)) in _blamed(trail, policy)
        file.write_bytes(original)
    assert len(packets) > 100
    for group in [packets[at : at + 20] for at in range(0, len(packets), 20)]:
        originals = [file.read_bytes() for file in group]
        variants = [list(_flips(original, 1, rng)) for original in originals]
        for damaged in zip(*variants, strict=True):
            for file, data in zip(group, damaged, strict=True):
                file.write_bytes(data)
            assert {str(file.relative_to(trail)) for file in group} <= _blamed(trail, policy)
        for file, original in zip(group, originals, strict=True):
            file.write_bytes(original)
    assert verdict(audit([trail], policy)) == Exit.CLEAN


@pytest.mark.slow
def test_every_bit_of_a_checkpoint_matters(ran: Ran, policy: Policy, tmp_path: Path) -> None:
    source = min(ran.trails, key=lambda trail: (len(_files(trail)), trail))
    trail = shutil.copytree(source, tmp_path / source.name)
    checkpoint = trail / "checkpoint"
    original = checkpoint.read_bytes()
    for bit in range(0, 8 * len(original), 3):
        flipped = bytearray(original)
        flipped[bit // 8] ^= 1 << bit % 8
        checkpoint.write_bytes(flipped)
        assert "checkpoint" in _blamed(trail, policy), bit


@pytest.mark.slow
@pytest.mark.parametrize("name", ["extra", "tile/extra", "tile/0/extra", "packets/extra"])
def test_an_extra_file_in_a_trail_is_a_finding(
    ran: Ran, policy: Policy, tmp_path: Path, name: str
) -> None:
    trail = shutil.copytree(ran.trails[0], tmp_path / "trail")
    (trail / name).touch()
    assert name in _blamed(trail, policy)


@pytest.mark.slow
def test_a_missing_file_of_a_trails_tree_is_a_finding(
    ran: Ran, policy: Policy, tmp_path: Path
) -> None:
    trail = shutil.copytree(ran.trails[0], tmp_path / "trail")
    tiles = [file for file in _files(trail) if "tile" in file.relative_to(trail).parts]
    for file in filter(_is_needed, tiles):
        data = file.read_bytes()
        file.unlink()
        assert str(file.relative_to(trail)) in _blamed(trail, policy)
        file.write_bytes(data)


def _is_needed(tile: Path) -> bool:
    """Return whether the present tree needs a tile: a longer partial one replaces a shorter."""
    if not tile.parent.name.endswith(".p"):
        return True
    return int(tile.name) == max(int(other.name) for other in tile.parent.iterdir())


# --- the folder, interrupts ---------------------------------------------------------------------
def _listen() -> None:
    """Undo what a background job inherits: a shell makes it ignore interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _start(folder: Path, private: Path) -> subprocess.Popen[str]:
    """Start a demo in a process group of its own, and wait until its live nodes keep trails."""
    process = subprocess.Popen(
        [*QISGUARD, "demo", "--quick", "--out", str(folder)],
        env={**os.environ, "TMPDIR": str(private)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        preexec_fn=_listen,
    )
    deadline = time.monotonic() + PATIENCE
    while not list(private.glob("qisguard-*/qisguard-*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def _alive(group: int) -> list[str]:
    """Return the processes of a group that have not ended; a zombie has."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, member = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(member) == group and state != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended just now
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="counts processes in /proc")
@pytest.mark.parametrize("whom", ["the process", "its group"])
def test_an_interrupt_ends_everything_within_two_seconds(
    ran: Ran, tmp_path: Path, whom: str
) -> None:
    """A terminal's Ctrl-C goes to the whole group; ``kill -INT`` to one process."""
    folder, private = tmp_path / "out", tmp_path / "private"
    private.mkdir()
    shutil.copytree(ran.folder, folder)
    process = _start(folder, private)
    started = time.monotonic()
    (os.kill if whom == "the process" else os.killpg)(process.pid, signal.SIGINT)
    printed, notes = process.communicate(timeout=20)
    assert process.returncode == Exit.INTERRUPTED
    while _alive(process.pid):
        assert time.monotonic() - started < 2.0, _alive(process.pid)
    assert time.monotonic() - started < 2.0
    assert printed == ""
    assert "Traceback" not in notes
    assert "interrupted; nothing is left running" in notes
    assert list(private.iterdir()) == []
    assert not (folder / "report.json").exists()  # the earlier demo was replaced, not mixed with
    assert (folder / demo.MARK).read_bytes() == b""


@pytest.mark.slow
def test_a_finished_demo_is_replaced_by_the_next_whole(ran: Ran, tmp_path: Path) -> None:
    folder = shutil.copytree(ran.folder, tmp_path / "out")
    demo._prepare(folder)
    assert [path.name for path in folder.iterdir()] == [demo.MARK]
    demo._prepare(folder)
    assert (folder / demo.MARK).read_bytes() == b""


@pytest.mark.slow
def test_a_folder_with_somebody_elses_file_is_refused_and_kept_whole(
    ran: Ran, tmp_path: Path
) -> None:
    folder = shutil.copytree(ran.folder, tmp_path / "out")
    (folder / "thesis.tex").write_text("mine")
    before = {path: path.read_bytes() for path in _files(folder)}
    done = _run("demo", "--quick", "--out", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--out {folder}: holds 'thesis.tex'" in done.stderr
    assert "try: qisguard demo --help" in done.stderr
    assert {path: path.read_bytes() for path in _files(folder)} == before


def test_a_folder_with_trails_that_no_demo_wrote_is_refused_and_kept(tmp_path: Path) -> None:
    precious = tmp_path / "trails" / "node" / "checkpoint"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    with pytest.raises(ScenarioError, match="holds 'trails', which is not from a demo"):
        demo._prepare(tmp_path)
    assert precious.read_text() == "mine"


def test_a_link_in_a_demos_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("mine")
    demo._prepare(folder)
    (folder / "trails").symlink_to(elsewhere)
    demo._prepare(folder)
    assert not (folder / "trails").is_symlink()
    assert (elsewhere / "precious").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed", "-1"], "'--seed'"),
        (["--seed", "one"], "'--seed'"),
        (["--out", __file__], "name another folder"),
        (["--out", f"{__file__}/below"], "name another folder"),
        (["--nonsense"], "--nonsense"),
        (["extra"], "extra"),
    ],
)
def test_wrong_arguments_exit_2_and_say_what_to_type(arguments: list[str], words: str) -> None:
    done = _run("demo", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "demo --help" in done.stderr
    assert "Traceback" not in done.stderr


# --- without lifelines ---------------------------------------------------------------------------
def test_without_lifelines_report_and_summary_say_that_the_patients_are_invented(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qisguard.lab.demo.cohort.find_spec", lambda name: None)
    data = scenario([("clean", 0, 0), (demo.HEADLINE, 48, 0)])
    outcome = run_job(Job(data, "virtual", 1))
    rows = [row for told in outcome.told for row in told.rows]
    report = demo._report(load_scenario(data), data, 1, True, [outcome], rows, [], 0.0)
    assert (report.cohort, report.cohort_is_synthetic) == (SYNTHETIC, True)
    assert results.decode(results.encode(report)) == report
    assert "synthetic" in summary(report, [])
