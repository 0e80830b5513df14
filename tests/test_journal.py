"""The journal: written before anything is made, undone afterwards, and cleaned up after a kill."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qisguard.alive import started_at
from qisguard.errors import StoreError
from qisguard.exits import Exit
from qisguard.lab.campaign.drive import work
from qisguard.lab.campaign.folder import open_run
from qisguard.lab.campaign.ledger import Ledger
from qisguard.lab.campaign.pool import Pool
from qisguard.lab.journal.cleanup import Cleaned, cleanup
from qisguard.lab.journal.lines import (
    MARKER,
    UNDO,
    Kind,
    Known,
    Line,
    Made,
    encode,
    folder_name,
)
from qisguard.lab.journal.reading import ASIDE, KEPT, journals, opened
from qisguard.lab.journal.writing import begin, journal_folder, mark
from tests.campaigns import SMALL, Here, run_folder, silent, toss, wait_for
from tests.services import ROOT, command, invoke, read_json
from tests.test_campaign import _done, _lives

RUN = "0123456789abcdef" * 2
NEEDS_PROC = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of journals, of this test alone."""
    monkeypatch.setenv("QISGUARD_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.syspath_prepend(ROOT)  # for processes that are started
    return tmp_path / "state" / "journal"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that bears the id of no run."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def _made(kind: Kind, name: str | Path, number: int = 1, **change: Any) -> Made:
    """Return a line of a run whose process has ended."""
    line = Made(RUN, number, kind, str(name), UNDO[kind], os.uname().nodename, 2, "no boot/1", 1.0)
    return msgspec.structs.replace(line, **change)


def _write(state: Path, *lines: Line | bytes, run: str = RUN) -> Path:
    state.mkdir(parents=True, exist_ok=True)
    path = state / f"{run}.jsonl"
    path.write_bytes(
        b"".join((one if isinstance(one, bytes) else encode(one)) + b"\n" for one in lines)
    )
    return path


def _verdicts(cleaned: Cleaned) -> list[str]:
    return [str(one.verdict) for one in cleaned.found]


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
        wait_for(lambda: _done(run) > 0)
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
    (run / ".results.parquet.draft").write_bytes(b"half of it")
    assert _leased(run) > 0

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
    assert _leased(run) == 0
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]
    again = invoke("attack", "cleanup")
    assert again.stdout.startswith("nothing is left\n")
    assert again.exit_code == Exit.CLEAN

    before = _done(run)
    work(open_run(run), Here, silent)
    assert 0 < before < _done(run) == 320
    assert _left(state) == []


def _leased(run: Path) -> int:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        return int(ledger.execute("SELECT count(*) FROM jobs WHERE state = 'leased'").fetchone()[0])


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
    assert _verdicts(cleanup(state, is_dry=False)) == ["removed"]
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
    assert _verdicts(cleanup(state, is_dry=False)) == ["removed"]
    assert list(tmp_path.glob("0123*")) == [kept]


@pytest.mark.parametrize("at", ["before the folder", "before its marker", "in its marker"])
def test_a_kill_between_two_steps_leaves_nothing_that_cannot_be_cleaned_up(
    tmp_path: Path, state: Path, at: str
) -> None:
    folder = tmp_path / folder_name(RUN, 1)
    _write(state, _made(Kind.FOLDER, folder))
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
        assert (_verdicts(cleaned), cleaned.exit) == (["alive"], Exit.CLEAN)
        assert path.exists()


def test_a_run_whose_process_lives_is_not_touched_even_when_its_file_is_not_held(
    state: Path,
) -> None:
    journal = begin()
    journal.made(Kind.SOCKETS, "UDP")
    journal.close()
    assert _verdicts(cleanup(state, is_dry=False)) == ["alive"]


def test_a_run_whose_number_now_belongs_to_another_process_is_not_alive(
    tmp_path: Path, state: Path
) -> None:
    folder = tmp_path / folder_name(RUN, 1)
    made = _made(Kind.FOLDER, folder, pid=os.getpid(), started="an earlier boot/1")
    folder.mkdir()
    mark(folder, made)
    _write(state, made)
    assert _verdicts(cleanup(state, is_dry=False)) == ["removed"]
    assert not folder.exists()


def test_what_another_machine_made_is_left_to_it(tmp_path: Path, state: Path) -> None:
    """Folders of users may be shared: a number says nothing about another machine's processes."""
    folder = tmp_path / folder_name(RUN, 1)
    made = _made(Kind.FOLDER, folder, host="elsewhere")
    folder.mkdir()
    mark(folder, made)
    _write(state, made)
    cleaned = cleanup(state, is_dry=False)
    assert (_verdicts(cleaned), cleaned.exit) == (["refused"], Exit.FINDING)
    assert "clean up there" in cleaned.found[0].why
    assert folder.exists()


# --- forged lines --------------------------------------------------------------------------------
def _root(tmp_path: Path) -> Made:
    return _made(Kind.FOLDER, "/")


def _foreign(tmp_path: Path) -> Made:
    return _made(Kind.FOLDER, tmp_path / "foreign")


def _marked_foreign(tmp_path: Path) -> Made:
    """Even a marker does not make a folder ours that is not called as ours are."""
    made = _foreign(tmp_path)
    mark(tmp_path / "foreign", made)
    return made


def _unmarked(tmp_path: Path) -> Made:
    made = _made(Kind.FOLDER, tmp_path / folder_name(RUN, 1))
    (tmp_path / "foreign").rename(made.name)
    return made


def _of_another_line(tmp_path: Path) -> Made:
    made = _unmarked(tmp_path)
    mark(Path(made.name), _made(Kind.FOLDER, made.name, when=2.0))
    return made


def _link(tmp_path: Path) -> Made:
    """The link leads to a folder that holds the right marker."""
    made = _made(Kind.FOLDER, tmp_path / folder_name(RUN, 1))
    mark(tmp_path / "foreign", made)
    Path(made.name).symlink_to(tmp_path / "foreign")
    return made


def _linked_marker(tmp_path: Path) -> Made:
    made = _unmarked(tmp_path)
    (tmp_path / "line").write_bytes(encode(made))
    (Path(made.name) / MARKER).symlink_to(tmp_path / "line")
    return made


def _dotted(tmp_path: Path) -> Made:
    return _made(Kind.FOLDER, f"{tmp_path}/x/../{folder_name(RUN, 1)}")


def _relative(tmp_path: Path) -> Made:
    return _made(Kind.FOLDER, folder_name(RUN, 1))


def _foreign_file(tmp_path: Path) -> Made:
    return _made(Kind.FILE, tmp_path / "foreign" / "mine")


def _folder_as_file(tmp_path: Path) -> Made:
    made = _made(Kind.FILE, tmp_path / f"x.{RUN}-1.tmp")
    (tmp_path / "foreign").rename(made.name)
    return made


def _linked_file(tmp_path: Path) -> Made:
    made = _made(Kind.FILE, tmp_path / f"x.{RUN}-1.tmp")
    Path(made.name).symlink_to(tmp_path / "foreign" / "mine")
    return made


def _linked_results(tmp_path: Path) -> Made:
    made = _made(Kind.RESULTS, tmp_path / "run")
    mark(tmp_path / "foreign", made)
    (tmp_path / "run").symlink_to(tmp_path / "foreign")
    return made


def _linked_ledger(tmp_path: Path) -> Made:
    made = _made(Kind.RESULTS, tmp_path / "foreign")
    mark(tmp_path / "foreign", made)
    (tmp_path / "foreign" / "ledger.sqlite").symlink_to(tmp_path / "other.sqlite")
    return made


def _root_as_results(tmp_path: Path) -> Made:
    return _made(Kind.RESULTS, "/")


@pytest.mark.parametrize(
    "forge",
    [
        _root,
        _foreign,
        _marked_foreign,
        _unmarked,
        _of_another_line,
        _link,
        _linked_marker,
        _dotted,
        _relative,
        _foreign_file,
        _folder_as_file,
        _linked_file,
        _linked_results,
        _linked_ledger,
        _root_as_results,
    ],
)
@pytest.mark.parametrize("is_dry", [True, False])
def test_a_line_that_names_what_the_run_did_not_make_is_refused_and_touches_nothing(
    tmp_path: Path, state: Path, forge: Callable[[Path], Made], is_dry: bool
) -> None:
    (tmp_path / "foreign" / "inner").mkdir(parents=True)
    (tmp_path / "foreign" / "mine").write_text("mine")
    (tmp_path / "other.sqlite").touch()
    made = forge(tmp_path)
    _write(state, made)
    before = _tree(tmp_path)
    if forge is _linked_ledger and is_dry:
        return  # a look does not go that far
    for _ in range(2):  # it stands until somebody has looked at it
        cleaned = cleanup(state, is_dry)
        assert (_verdicts(cleaned), cleaned.exit) == (["refused"], Exit.FINDING)
    assert _tree(tmp_path) == before


def _tree(folder: Path) -> dict[str, str]:
    return {
        str(path): os.readlink(path) if path.is_symlink() else str(path.lstat().st_size)
        for path in sorted(folder.rglob("*"))
    }


def test_a_folder_is_emptied_without_following_links_out_of_it(tmp_path: Path, state: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").touch()
    folder = tmp_path / folder_name(RUN, 1)
    made = _made(Kind.FOLDER, folder)
    (folder / "inner").mkdir(parents=True)
    (folder / "out").symlink_to(outside)
    (folder / "inner" / "out").symlink_to(outside)
    mark(folder, made)
    _write(state, made)
    assert _verdicts(cleanup(state, is_dry=False)) == ["removed"]
    assert not folder.exists()
    assert (outside / "mine").exists()


@NEEDS_PROC
def test_a_process_is_ended_only_by_number_start_and_the_run_in_its_environment(
    state: Path, bystander: subprocess.Popen[bytes]
) -> None:
    known = Known(RUN, 1, bystander.pid, started_at(bystander.pid) or "")
    made = _made(Kind.PROCESS, "worker")
    _write(state, made, known)
    cleaned = cleanup(state, is_dry=False)
    assert _verdicts(cleaned) == ["refused"]
    assert "does not bear the run's id" in cleaned.found[0].why

    line = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(line, env=os.environ | {"QISGUARD_RUN": RUN}) as bearer:
        wait_for(lambda: f"QISGUARD_RUN={RUN}" in Path(f"/proc/{bearer.pid}/environ").read_text())
        _write(state, made)  # its number never came to be known
        cleaned = cleanup(state, is_dry=False)
        assert _verdicts(cleaned) == ["refused"]
        assert str(bearer.pid) in cleaned.found[0].why
        _write(state, made, Known(RUN, 1, bearer.pid, "another boot/1"))
        assert _verdicts(cleanup(state, is_dry=False)) == ["gone"]
        assert bearer.poll() is None
        _write(state, made, Known(RUN, 1, bearer.pid, started_at(bearer.pid) or ""))
        assert _verdicts(cleanup(state, is_dry=False)) == ["removed"]
        assert bearer.wait() == -signal.SIGKILL
    assert bystander.poll() is None


def test_results_that_another_run_has_taken_over_are_its_own(tmp_path: Path, state: Path) -> None:
    run = tmp_path / "run"
    folder = run_folder(run)
    work(folder, Here, silent)
    made = _made(Kind.RESULTS, run)
    _write(state, made)
    mark(run, msgspec.structs.replace(made, run="f" * 32))
    assert _verdicts(cleanup(state, is_dry=False)) == ["gone"]
    assert (run / MARKER).exists()


def test_leases_of_others_are_not_given_back(tmp_path: Path, state: Path) -> None:
    run = tmp_path / "run"
    folder = run_folder(run)
    made = _made(Kind.RESULTS, run)
    for owner in (f"{made.host}:{made.pid}", "elsewhere:2"):
        with closing(Ledger(folder.ledger, owner)) as ledger:
            ledger.add(folder.plan.round([(0, 0, 2)]))
            ledger.turn([], 3, time.time())
    mark(run, made)
    _write(state, made)
    assert _leased(run) == 6
    assert _verdicts(cleanup(state, is_dry=False)) == ["removed"]
    assert _leased(run) == 3


# --- damage --------------------------------------------------------------------------------------
DAMAGED = (
    b"garbage",
    b'{"line":"made"}',
    b"[" * 10_000,
    b'{"line":"undone","run":"%s","number":9,"how":"","when":1}' % RUN.encode(),
    encode(_made(Kind.FOLDER, "/x", 7)).replace(b"remove it and what it holds", b"keep it"),
    encode(_made(Kind.FOLDER, "/x", 7)).replace(b'"when"', b'"also":1,"when"'),
    encode(_made(Kind.FOLDER, "/x", 7, run="f" * 32)),
    encode(_made(Kind.FOLDER, "/x", 1)),
    encode(_made(Kind.FOLDER, "/x" * 5_000, 7)),
    encode(_made(Kind.FOLDER, "/x\0", 7)),
    encode(_made(Kind.FOLDER, "/x", 7))[:-5],
    b"\xff\xfe",
)


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_line_is_told_and_skipped_and_the_others_are_acted_upon(
    tmp_path: Path, state: Path, damaged: bytes
) -> None:
    folder = tmp_path / folder_name(RUN, 1)
    folder.mkdir()
    made = _made(Kind.FOLDER, folder)
    mark(folder, made)
    path = _write(state, made, damaged)
    path.write_bytes(path.read_bytes()[:-1])  # as a power cut leaves it
    cleaned = cleanup(state, is_dry=False)
    assert [(one.journal, one.line) for one in cleaned.damage] == [(path, 2)]
    assert (_verdicts(cleaned), cleaned.exit) == (["removed"], Exit.NOT_MEASURED)
    assert not folder.exists()
    assert path.with_suffix(ASIDE).exists(), "people may look at it"
    again = cleanup(state, is_dry=False)
    assert (again.found, again.damage, again.exit) == ([], [], Exit.CLEAN)


def test_damage_is_told_on_the_command_line_and_exits_3(state: Path) -> None:
    path = _write(state, b"garbage")
    looked = invoke("attack", "cleanup", "--dry-run")
    assert looked.exit_code == Exit.NOT_MEASURED
    assert f"damaged, skipped: {path} line 1: " in looked.stderr
    assert path.exists()
    assert read_json("attack", "cleanup")["damaged"][0]["line"] == 1


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_journal_that_removes_nothing(state: Path, data: bytes) -> None:
    for path in state.glob("*"):
        path.unlink()
    _write(state, data)
    cleaned = cleanup(state, is_dry=False)
    assert cleaned.found == []
    assert bool(cleaned.damage) == bool(data.strip(b"\n"))


@pytest.mark.parametrize("place", ["link", "folder"])
def test_a_journal_that_is_no_file_of_ours_is_damaged(
    tmp_path: Path, state: Path, place: str
) -> None:
    other = _write(tmp_path / "other", _made(Kind.FOLDER, "/"))
    state.mkdir(parents=True)
    path = state / f"{RUN}.jsonl"
    if place == "link":
        path.symlink_to(other)
    else:
        path.mkdir()
    cleaned = cleanup(state, is_dry=True)
    assert (cleaned.found, [one.line for one in cleaned.damage]) == ([], [0])


# --- an ordinary run -----------------------------------------------------------------------------
def test_a_line_is_durable_before_what_it_speaks_of_is_there(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bytes, bool]] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        there = any(tmp_path.glob("qisguard-*"))
        synced.append((next(iter(journals(state))).read_bytes(), there))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with begin() as journal, journal.folder() as path:
        before = [told for told, there in synced if not there]
        assert str(path).encode() in before[-1]
    assert b'"undone"' in synced[-1][0]
    assert not synced[-1][1]


def test_an_ordinary_campaign_leaves_journals_of_which_every_entry_is_undone(
    tmp_path: Path, state: Path
) -> None:
    folder = run_folder(tmp_path / "run")
    work(folder, lambda: Pool(2, toss), silent)
    text = "".join(path.read_text() for path in journals(state))
    lines = [json.loads(line) for line in text.splitlines()]
    made = [line["kind"] for line in lines if line["line"] == "made"]
    assert sorted(made) == ["folder", "process", "process", "results", "results"]
    assert sum(line["line"] == "undone" for line in lines) == len(made)
    assert _left(state) == []
    assert cleanup(state, is_dry=True).found == []
    assert not list(tmp_path.glob("qisguard-*"))
    assert not (tmp_path / "run" / MARKER).exists()


def test_a_campaign_that_cannot_write_its_journal_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("QISGUARD_STATE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"nothing was started.*QISGUARD_STATE names another"):
        run_folder(tmp_path / "run")
    with pytest.raises(StoreError, match="nothing was started"):
        Pool(1, toss)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_old_journals_go_and_those_of_which_something_is_left_stay(state: Path) -> None:
    left = _write(state, _made(Kind.SOCKETS, "UDP"))
    damaged = _write(state, b"garbage", run="f" * 32)
    for path in (left, damaged):
        os.utime(path, (1, 1))
    for _ in range(KEPT + 5):
        with begin() as journal, journal.noted(Kind.SOCKETS, "UDP"):
            pass
    names = {path.name for path in journals(state)}
    assert {left.name, damaged.name, journal.path.name} <= names
    assert len(names) <= KEPT + 3


def test_a_run_that_makes_nothing_writes_nothing(state: Path) -> None:
    with begin():
        pass
    assert not state.exists()
    assert read_json("attack", "cleanup")["found"] == []
    assert not state.exists()


@pytest.mark.parametrize(
    ("environment", "system", "folder"),
    [
        ({"HOME": "/h"}, "linux", "/h/.local/state/qisguard/journal"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/s"}, "linux", "/s/qisguard/journal"),
        ({"HOME": "/h", "XDG_STATE_HOME": "s"}, "linux", "/h/.local/state/qisguard/journal"),
        ({"HOME": "/h"}, "darwin", "/h/Library/Application Support/qisguard/journal"),
        ({"HOME": "/h"}, "win32", "/h/AppData/Local/qisguard/journal"),
        ({"HOME": "/h", "LOCALAPPDATA": "/l"}, "win32", "/l/qisguard/journal"),
        ({"HOME": "/h", "QISGUARD_STATE": "/q"}, "darwin", "/q/journal"),
    ],
)
def test_journals_lie_where_the_platform_wants_state(
    environment: dict[str, str], system: str, folder: str
) -> None:
    assert journal_folder(environment, system) == Path(folder)
