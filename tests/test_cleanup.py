"""``qisguard attack cleanup``: removes what a killed run left, and touches nothing else."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qisguard.exits import Exit
from qisguard.lab.campaign.drive import work
from qisguard.lab.campaign.folder import open_run
from qisguard.lab.journal.cleanup import cleanup
from qisguard.lab.journal.lines import (
    MARKER,
    Kind,
    Made,
    folder_name,
)
from qisguard.lab.journal.reading import journals, opened
from qisguard.lab.journal.writing import begin, mark
from tests.campaigns import SMALL, Here, silent, wait_for
from tests.journals import RUN, leased, make_line, own_state, verdicts, write_journal
from tests.services import command, invoke, read_json
from tests.test_campaign import _done, _lives

NEEDS_PROC = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of journals, of this test alone."""
    return own_state(tmp_path, monkeypatch)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that bears the id of no run."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def _left(state: Path) -> list[Made]:
    found: list[Made] = []
    for path in journals(state):
        with opened(path) as record:
            assert not record.damage
            found += record.left.values()
    return found


def _kill_itself(story: str, *arguments: object) -> str:
    """Run lines of Python that end by killing themselves; return what they printed."""
    head = "import os, subprocess, sys\nfrom pathlib import Path\n"
    head += "from qisguard.lab.journal.lines import Kind\n"
    head += "from qisguard.lab.journal.writing import begin\njournal = begin()\n"
    tail = "\nsys.stdout.flush()\nos.kill(os.getpid(), 9)\n"
    done = subprocess.run(
        [sys.executable, "-c", head + story + tail, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout


@pytest.mark.long
# --- a campaign that is killed -------------------------------------------------------------------
@NEEDS_PROC
def test_what_a_killed_campaign_leaves_is_removed_and_nothing_else(
    tmp_path: Path, state: Path, bystander: subprocess.Popen[bytes]
) -> None:
    """Its workers are stopped first: otherwise they end by themselves before anybody looks."""
    file, run = tmp_path / "small.toml", tmp_path / "run"
    file.write_bytes(SMALL)
    foreign = tmp_path / folder_name(RUN, 2)
    foreign.mkdir()
    (foreign / "mine").touch()
    typed = command("attack", "sweep", file, "--out", run, "--seeds", 40, "--workers", 2)
    with subprocess.Popen(typed, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: _done(run) > 0, patience=240.0)
        alive = read_json("attack", "cleanup")
        assert {one["verdict"] for one in alive["found"]} == {"alive"}
        assert alive["exit"] == 0
        with opened(next(iter(journals(state)))) as record:
            children = [known.pid for known in record.known.values()]
        assert len(children) == 2
        assert all(map(_lives, children)), "a live run was touched"
        for child in children:
            os.kill(child, signal.SIGSTOP)
        process.kill()
    (private,) = tmp_path.glob(f"qisguard-{record.path.stem}-*")
    (run / "plots").mkdir()
    for draft in (".results.parquet.draft", "plots/.hops.svg.draft"):
        (run / draft).write_bytes(b"half of it")
    assert leased(run) > 0

    looked = invoke("attack", "cleanup", "--dry-run", "--json")
    assert looked.exit_code == Exit.FINDING
    told = json.loads(looked.stdout)
    assert [one["kind"] for one in told["found"]] == ["process", "process", "folder", "results"]
    assert {one["verdict"] for one in told["found"]} == {"left"}
    assert all(map(_lives, children))
    assert private.exists()

    cleaned = read_json("attack", "cleanup")
    assert {one["verdict"] for one in cleaned["found"]} == {"removed"}
    assert not any(map(_lives, children))
    assert not private.exists()
    assert sorted(path.name for path in foreign.iterdir()) == ["mine"]
    assert bystander.poll() is None
    assert leased(run) == 0
    assert not [path.name for path in run.rglob(".*")]
    again = invoke("attack", "cleanup")
    assert again.stdout.startswith("nothing is left\n")
    assert again.exit_code == Exit.CLEAN

    before = _done(run)
    work(open_run(run), Here, silent)
    assert 0 < before < _done(run) == 320
    assert _left(state) == []


@NEEDS_PROC
def test_a_process_in_a_network_namespace_of_its_own_takes_the_namespace_with_it(
    state: Path,
) -> None:
    line = ["unshare", "--map-root-user", "--net", "sleep", "60"]
    if not shutil.which("unshare") or subprocess.run([*line[:3], "true"], check=False).returncode:
        pytest.skip("needs unshare, and leave to make a network namespace")
    story = (
        f"held = []\nhere = os.readlink('/proc/self/ns/net')\n"
        f"def start():\n    held.append(subprocess.Popen({line}, stdout=-3, stderr=-3))\n"
        "    return held[0].pid\n"
        "journal.start('namespace', start)\n"
        "def look():\n    return os.readlink(f'/proc/{held[0].pid}/ns/net')\n"
        "while look() == here: pass\n"
        "print(held[0].pid, look())"
    )
    pid, namespace = _kill_itself(story).split()
    assert namespace in _namespaces()
    assert verdicts(cleanup(state, is_dry=False)) == ["removed"]
    assert not _lives(int(pid))
    assert namespace not in _namespaces()


def _namespaces() -> set[str]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(os.readlink(path))
        except OSError:
            continue
    return found


def test_the_draft_of_a_killed_calibration_is_removed_and_what_was_kept_stays(
    tmp_path: Path, state: Path
) -> None:
    kept = tmp_path / "0123.json"
    kept.write_text("{}")
    _kill_itself(
        "with journal.draft(Path(sys.argv[1])) as draft:\n"
        "    draft.write_bytes(b'half')\n    sys.stdout.flush()\n    os.kill(os.getpid(), 9)",
        kept,
    )
    assert len(list(tmp_path.glob("0123.*.tmp"))) == 1
    assert verdicts(cleanup(state, is_dry=False)) == ["removed"]
    assert list(tmp_path.glob("0123*")) == [kept]


@pytest.mark.parametrize("at", ["before the folder", "before its marker", "in its marker"])
def test_a_kill_between_two_steps_leaves_nothing_that_cannot_be_cleaned_up(
    tmp_path: Path, state: Path, at: str
) -> None:
    folder = tmp_path / folder_name(RUN, 1)
    write_journal(state, make_line(Kind.FOLDER, folder))
    if at != "before the folder":
        folder.mkdir()
    if at == "in its marker":
        (folder / f"{MARKER}.draft").write_bytes(b'{"li')
    cleanup(state, is_dry=False)
    assert not folder.exists()
    assert cleanup(state, is_dry=False).found == []


# --- who is alive --------------------------------------------------------------------------------
def test_a_live_run_is_not_touched(state: Path) -> None:
    with begin() as journal, journal.folder() as path:
        cleaned = cleanup(state, is_dry=False)
        assert (verdicts(cleaned), cleaned.exit) == (["alive"], Exit.CLEAN)
        assert path.exists()


def test_a_run_whose_process_lives_is_not_touched_even_when_its_file_is_not_held(
    state: Path,
) -> None:
    journal = begin()
    journal.made(Kind.SOCKETS, "UDP")
    journal.close()
    assert verdicts(cleanup(state, is_dry=False)) == ["alive"]


def test_a_run_is_alive_while_its_file_is_held_whatever_its_number_says(
    tmp_path: Path, state: Path
) -> None:
    """A container that shares the folder counts its processes on its own."""
    folder = tmp_path / folder_name(RUN, 1)
    made = make_line(Kind.FOLDER, folder)
    folder.mkdir()
    mark(folder, made)
    with write_journal(state, made).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert verdicts(cleanup(state, is_dry=False)) == ["alive"]
    assert verdicts(cleanup(state, is_dry=False)) == ["removed"]


def test_a_run_whose_number_now_belongs_to_another_process_is_not_alive(
    tmp_path: Path, state: Path
) -> None:
    folder = tmp_path / folder_name(RUN, 1)
    made = make_line(Kind.FOLDER, folder, pid=os.getpid(), started="an earlier boot/1")
    folder.mkdir()
    mark(folder, made)
    write_journal(state, made)
    assert verdicts(cleanup(state, is_dry=False)) == ["removed"]
    assert not folder.exists()


def test_what_another_machine_made_is_left_to_it(tmp_path: Path, state: Path) -> None:
    """Folders of users may be shared: a number says nothing about another machine's processes."""
    folder = tmp_path / folder_name(RUN, 1)
    made = make_line(Kind.FOLDER, folder, host="elsewhere")
    folder.mkdir()
    mark(folder, made)
    write_journal(state, made)
    cleaned = cleanup(state, is_dry=False)
    assert (verdicts(cleaned), cleaned.exit) == (["refused"], Exit.FINDING)
    assert "clean up there" in cleaned.found[0].why
    assert folder.exists()
