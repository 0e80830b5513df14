"""What survives a restart, who may hold a state folder, and how much is logged."""

import io
import json
import os
import stat
from pathlib import Path

import pytest

from qisguard.errors import ScenarioError
from qisguard.service.clock import CALENDAR, RealTime
from qisguard.service.log import LINES_MAX, WINDOW, Log
from qisguard.service.options import LogFormat, LogLevel
from qisguard.service.state import CONTACTS, CONTACTS_MAX, StateFolder
from tests.builders import make_contact

CONTACT_LIST = [make_contact(index) for index in range(1, 4)]


def test_contacts_come_back_as_they_were_saved(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    assert state.load_contacts() == []
    state.save_contacts(CONTACT_LIST, 1_000.5)
    assert state.load_contacts() == CONTACT_LIST
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONTACTS]


def test_no_more_contacts_are_saved_than_a_start_can_use(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.save_contacts([make_contact(i) for i in range(1, CONTACTS_MAX + 9)], 0)
    assert len(state.load_contacts()) == CONTACTS_MAX


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"contacts": 3}', b'{"contacts": ["x"]}', b"\xff", b"[" * 100_000],
)
def test_damaged_contacts_are_one_kind_of_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / CONTACTS).write_bytes(data)
    with pytest.raises(ScenarioError, match=r"contacts\.json"):
        StateFolder(tmp_path).load_contacts()


def test_a_state_folder_has_one_process_at_a_time_and_names_the_one(tmp_path: Path) -> None:
    first, second = StateFolder(tmp_path / "state"), StateFolder(tmp_path / "state")
    first.take()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    with pytest.raises(ScenarioError, match=f"process {os.getpid()} is using it; stop"):
        second.take()
    first.release()
    second.take()
    second.release()


def test_a_state_folder_that_cannot_be_made_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ScenarioError, match=r"node\.state .*file.*: "):
        StateFolder(tmp_path / "file" / "state").take()


def test_real_time_is_the_calendar_and_does_not_go_back() -> None:
    time = RealTime(_unix=20_000 * 86_400.0)
    before, after = time.now(), time.now()
    assert before <= after < before + 60
    assert CALENDAR.day(time.now()) == 20_000


# --- logs ----------------------------------------------------------------------------------------
def _log(format: LogFormat = LogFormat.JSON) -> tuple[Log, io.StringIO, list[float]]:
    stream, now = io.StringIO(), [1_000_000_000.0]
    return Log(stream, LogLevel.INFO, format, "one", lambda: now[0]), stream, now


def test_a_log_line_is_one_json_object_with_time_level_node_and_event() -> None:
    log, stream, _ = _log()
    log.info("joined", contacts=3, names=("a", "b\n"))
    log.debug("not at this level")
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue()) == {
        "time": "2001-09-09T01:46:40.000Z",
        "level": "info",
        "node": "one",
        "event": "joined",
        "contacts": 3,
        "names": ["a", "b\n"],
    }


def test_words_are_one_line_too_whatever_a_field_holds() -> None:
    log, stream, _ = _log(LogFormat.TEXT)
    log.warning("odd", text="a\nb\x1b[2J")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_one_event_cannot_fill_the_disk_and_what_was_held_back_is_told() -> None:
    log, stream, now = _log()
    for _ in range(1_000):
        log.info("flood")
    log.info("other")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines].count("flood") == LINES_MAX
    assert lines[-1]["event"] == "other"
    now[0] += WINDOW
    log.info("flood")
    assert json.loads(stream.getvalue().splitlines()[-1])["held_back"] == 1_000 - LINES_MAX


def test_a_closed_stream_does_not_end_a_node() -> None:
    log, stream, _ = _log()
    stream.close()
    log.error("nobody reads")
