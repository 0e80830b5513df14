"""The journal: written before anything is made, undone afterwards, read strictly."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qisguard.errors import StoreError
from qisguard.exits import Exit
from qisguard.lab.campaign.drive import work
from qisguard.lab.campaign.pool import Pool
from qisguard.lab.journal.cleanup import cleanup
from qisguard.lab.journal.lines import (
    MARKER,
    Kind,
    Made,
    encode,
    folder_name,
)
from qisguard.lab.journal.reading import ASIDE, KEPT, journals, opened
from qisguard.lab.journal.writing import begin, journal_folder, mark
from tests.campaigns import run_folder, silent, toss
from tests.journals import RUN, make_line, own_state, verdicts, write_journal
from tests.services import invoke, read_json


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of journals, of this test alone."""
    return own_state(tmp_path, monkeypatch)


def _left(state: Path) -> list[Made]:
    found: list[Made] = []
    for path in journals(state):
        with opened(path) as record:
            assert not record.damage
            found += record.left.values()
    return found


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
    left = write_journal(state, make_line(Kind.SOCKETS, "UDP"))
    damaged = write_journal(state, b"garbage", run="f" * 32)
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


# --- damage --------------------------------------------------------------------------------------
DAMAGED = (
    b"garbage",
    b'{"line":"made"}',
    b"[" * 10_000,
    b'{"line":"undone","run":"%s","number":9,"how":"","when":1}' % RUN.encode(),
    encode(make_line(Kind.FOLDER, "/x", 7)).replace(b"remove it and what it holds", b"keep it"),
    encode(make_line(Kind.FOLDER, "/x", 7)).replace(b'"when"', b'"also":1,"when"'),
    encode(make_line(Kind.FOLDER, "/x", 7, run="f" * 32)),
    encode(make_line(Kind.FOLDER, "/x", 1)),
    encode(make_line(Kind.FOLDER, "/x" * 5_000, 7)),
    encode(make_line(Kind.FOLDER, "/x\0", 7)),
    encode(make_line(Kind.FOLDER, "/x", 7))[:-5],
    b"\xff\xfe",
)


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_line_is_told_and_skipped_and_the_others_are_acted_upon(
    tmp_path: Path, state: Path, damaged: bytes
) -> None:
    folder = tmp_path / folder_name(RUN, 1)
    folder.mkdir()
    made = make_line(Kind.FOLDER, folder)
    mark(folder, made)
    path = write_journal(state, made, damaged)
    path.write_bytes(path.read_bytes()[:-1])  # as a power cut leaves it
    cleaned = cleanup(state, is_dry=False)
    assert [(one.journal, one.line) for one in cleaned.damage] == [(path, 2)]
    assert (verdicts(cleaned), cleaned.exit) == (["removed"], Exit.NOT_MEASURED)
    assert not folder.exists()
    assert path.with_suffix(ASIDE).exists(), "people may look at it"
    again = cleanup(state, is_dry=False)
    assert (again.found, again.damage, again.exit) == ([], [], Exit.CLEAN)


def test_what_was_undone_is_written_on_a_line_of_its_own_after_half_a_line(
    tmp_path: Path, state: Path
) -> None:
    folder = tmp_path / folder_name(RUN, 1)
    folder.mkdir()
    path = write_journal(
        state, make_line(Kind.FOLDER, folder), make_line(Kind.FOLDER, "/", 2), b'{"li'
    )
    path.write_bytes(path.read_bytes()[:-1])
    assert verdicts(cleanup(state, is_dry=False)) == ["refused", "removed"]
    again = cleanup(state, is_dry=False)
    assert (verdicts(again), [one.line for one in again.damage]) == (["refused"], [3])


def test_damage_is_told_on_the_command_line_and_exits_3(state: Path) -> None:
    path = write_journal(state, b"garbage")
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
    write_journal(state, data)
    cleaned = cleanup(state, is_dry=False)
    assert cleaned.found == []
    assert bool(cleaned.damage) == bool(data.strip(b"\n"))


@pytest.mark.parametrize("place", ["link", "folder"])
def test_a_journal_that_is_no_file_of_ours_is_damaged(
    tmp_path: Path, state: Path, place: str
) -> None:
    other = write_journal(tmp_path / "other", make_line(Kind.FOLDER, "/"))
    state.mkdir(parents=True)
    path = state / f"{RUN}.jsonl"
    if place == "link":
        path.symlink_to(other)
    else:
        path.mkdir()
    cleaned = cleanup(state, is_dry=True)
    assert (cleaned.found, [one.line for one in cleaned.damage]) == ([], [0])
