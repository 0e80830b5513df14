"""Cleanup refuses what a run did not make, whatever a line says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from qisguard.alive import started_at
from qisguard.exits import Exit
from qisguard.lab.campaign.drive import work
from qisguard.lab.campaign.ledger import Ledger
from qisguard.lab.journal.cleanup import cleanup
from qisguard.lab.journal.lines import (
    MARKER,
    Kind,
    Known,
    Made,
    encode,
    folder_name,
)
from qisguard.lab.journal.writing import mark
from tests.campaigns import Here, run_folder, silent, wait_for
from tests.journals import RUN, leased, make_line, own_state, verdicts, write_journal

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


# --- forged lines --------------------------------------------------------------------------------
def _root(tmp_path: Path) -> Made:
    return make_line(Kind.FOLDER, "/")


def _foreign(tmp_path: Path) -> Made:
    return make_line(Kind.FOLDER, tmp_path / "foreign")


def _marked_foreign(tmp_path: Path) -> Made:
    """Even a marker does not make a folder ours that is not called as ours are."""
    made = _foreign(tmp_path)
    mark(tmp_path / "foreign", made)
    return made


def _unmarked(tmp_path: Path) -> Made:
    made = make_line(Kind.FOLDER, tmp_path / folder_name(RUN, 1))
    (tmp_path / "foreign").rename(made.name)
    return made


def _of_another_line(tmp_path: Path) -> Made:
    made = _unmarked(tmp_path)
    mark(Path(made.name), make_line(Kind.FOLDER, made.name, when=2.0))
    return made


def _link(tmp_path: Path) -> Made:
    """The link leads to a folder that holds the right marker."""
    made = make_line(Kind.FOLDER, tmp_path / folder_name(RUN, 1))
    mark(tmp_path / "foreign", made)
    Path(made.name).symlink_to(tmp_path / "foreign")
    return made


def _linked_marker(tmp_path: Path) -> Made:
    made = _unmarked(tmp_path)
    (tmp_path / "line").write_bytes(encode(made))
    (Path(made.name) / MARKER).symlink_to(tmp_path / "line")
    return made


def _dotted(tmp_path: Path) -> Made:
    return make_line(Kind.FOLDER, f"{tmp_path}/x/../{folder_name(RUN, 1)}")


def _relative(tmp_path: Path) -> Made:
    return make_line(Kind.FOLDER, folder_name(RUN, 1))


def _foreign_file(tmp_path: Path) -> Made:
    return make_line(Kind.FILE, tmp_path / "foreign" / "mine")


def _folder_as_file(tmp_path: Path) -> Made:
    made = make_line(Kind.FILE, tmp_path / f"x.{RUN}-1.tmp")
    (tmp_path / "foreign").rename(made.name)
    return made


def _linked_file(tmp_path: Path) -> Made:
    made = make_line(Kind.FILE, tmp_path / f"x.{RUN}-1.tmp")
    Path(made.name).symlink_to(tmp_path / "foreign" / "mine")
    return made


def _linked_results(tmp_path: Path) -> Made:
    made = make_line(Kind.RESULTS, tmp_path / "run")
    mark(tmp_path / "foreign", made)
    (tmp_path / "run").symlink_to(tmp_path / "foreign")
    return made


def _linked_ledger(tmp_path: Path) -> Made:
    made = make_line(Kind.RESULTS, tmp_path / "foreign")
    mark(tmp_path / "foreign", made)
    (tmp_path / "foreign" / "ledger.sqlite").symlink_to(tmp_path / "other.sqlite")
    return made


def _root_as_results(tmp_path: Path) -> Made:
    return make_line(Kind.RESULTS, "/")


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
    write_journal(state, made)
    before = _tree(tmp_path)
    if forge is _linked_ledger and is_dry:
        return  # a look does not go that far
    for _ in range(2):  # it stands until somebody has looked at it
        cleaned = cleanup(state, is_dry)
        assert (verdicts(cleaned), cleaned.exit) == (["refused"], Exit.FINDING)
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
    made = make_line(Kind.FOLDER, folder)
    (folder / "inner").mkdir(parents=True)
    (folder / "out").symlink_to(outside)
    (folder / "inner" / "out").symlink_to(outside)
    mark(folder, made)
    write_journal(state, made)
    assert verdicts(cleanup(state, is_dry=False)) == ["removed"]
    assert not folder.exists()
    assert (outside / "mine").exists()


@NEEDS_PROC
def test_a_process_is_ended_only_by_number_start_and_the_run_in_its_environment(
    state: Path, bystander: subprocess.Popen[bytes]
) -> None:
    known = Known(RUN, 1, bystander.pid, started_at(bystander.pid) or "")
    made = make_line(Kind.PROCESS, "worker")
    write_journal(state, made, known)
    cleaned = cleanup(state, is_dry=False)
    assert verdicts(cleaned) == ["refused"]
    assert "does not bear the run's id" in cleaned.found[0].why

    line = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(line, env=os.environ | {"QISGUARD_RUN": RUN}) as bearer:
        wait_for(lambda: f"QISGUARD_RUN={RUN}" in Path(f"/proc/{bearer.pid}/environ").read_text())
        write_journal(state, made)  # its number never came to be known
        cleaned = cleanup(state, is_dry=False)
        assert verdicts(cleaned) == ["refused"]
        assert str(bearer.pid) in cleaned.found[0].why
        write_journal(state, made, Known(RUN, 1, bearer.pid, "another boot/1"))
        assert verdicts(cleanup(state, is_dry=False)) == ["gone"]
        assert bearer.poll() is None
        write_journal(state, made, Known(RUN, 1, bearer.pid, started_at(bearer.pid) or ""))
        assert verdicts(cleanup(state, is_dry=False)) == ["removed"]
        assert bearer.wait() == -signal.SIGKILL
    assert bystander.poll() is None


def test_results_that_another_run_has_taken_over_are_its_own(tmp_path: Path, state: Path) -> None:
    run = tmp_path / "run"
    folder = run_folder(run)
    work(folder, Here, silent)
    made = make_line(Kind.RESULTS, run)
    write_journal(state, made)
    mark(run, msgspec.structs.replace(made, run="f" * 32))
    assert verdicts(cleanup(state, is_dry=False)) == ["gone"]
    assert (run / MARKER).exists()


def test_leases_of_others_are_not_given_back(tmp_path: Path, state: Path) -> None:
    run = tmp_path / "run"
    folder = run_folder(run)
    made = make_line(Kind.RESULTS, run)
    for owner in (f"{made.host}:{made.pid}", "elsewhere:2"):
        with closing(Ledger(folder.ledger, owner)) as ledger:
            ledger.add(folder.plan.round([(0, 0, 2)]))
            ledger.turn([], 3, time.time())
    mark(run, made)
    write_journal(state, made)
    assert leased(run) == 6
    assert verdicts(cleanup(state, is_dry=False)) == ["removed"]
    assert leased(run) == 3
