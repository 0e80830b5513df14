"""Undoes what a dead run left, by kind, when it is beyond doubt what the journal speaks of.

- A folder or draft bears the run's id in its name, belongs to this user, is no link; a folder holds
  a marker that equals its line. It is opened once, and what is removed is what was opened.
- A process has the number and the start of its line and the run's id in its environment, and gets
  its signal through a handle that was opened before any of that was looked at.
- Results of people are never removed.
"""

import contextlib
import os
import select
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from qisguard.alive import started_at
from qisguard.errors import DecodeError, QisguardError
from qisguard.lab.journal.lines import (
    LINE_MAX,
    MARKER,
    Kind,
    Known,
    Made,
    decode,
    encode,
    file_name,
    folder_name,
)

PATIENCE = 5.0
"""Seconds that a killed process may take to end."""
LEDGER = "ledger.sqlite"


class Verdict(StrEnum):
    """What became of one thing."""

    ALIVE = "alive"
    LEFT = "left"
    REMOVED = "removed"
    GONE = "gone"
    REFUSED = "refused"
    FAILED = "failed"


Judged: TypeAlias = tuple[Verdict, str]
"""What became of it, and why."""


class _NotOursError(Exception):
    """What is there is not what the line speaks of."""


def undo(made: Made, known: Known | None, is_dry: bool) -> Judged:
    """Undo one line, or with ``is_dry`` only look; nothing is touched unless it matches."""
    try:
        return _UNDO[made.kind](made, known, is_dry)
    except FileNotFoundError:
        return Verdict.GONE, "it is not there"
    except _NotOursError as error:
        return Verdict.REFUSED, str(error)
    except (OSError, QisguardError) as error:
        return Verdict.FAILED, str(error)


def _folder(made: Made, known: Known | None, is_dry: bool) -> Judged:
    path = _path(made, folder_name(made.run, made.number))
    with _folder_of(path) as (parent, opened):
        names = sorted(os.listdir(opened))
        marker = _marker(opened, MARKER)
        if marker != encode(made) and names not in ([], [f"{MARKER}.draft"]):
            raise _NotOursError(f"its marker {MARKER} is not the one of this line")
        if is_dry:
            return Verdict.LEFT, ""
        for name in sorted(names, key=lambda name: name == MARKER):  # an interrupted one goes on
            if stat.S_ISDIR(os.stat(name, dir_fd=opened, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=opened)
            else:
                os.unlink(name, dir_fd=opened)
        os.rmdir(path.name, dir_fd=parent)
    return Verdict.REMOVED, ""


def _file(made: Made, known: Known | None, is_dry: bool) -> Judged:
    stem = Path(made.name).name.partition(".")[0]
    path = _path(made, file_name(stem, made.run, made.number))
    with _opened(path.parent) as parent:
        found = os.stat(path.name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise _NotOursError("it is no file of the user who runs this")
        if is_dry:
            return Verdict.LEFT, ""
        os.unlink(path.name, dir_fd=parent)
    return Verdict.REMOVED, ""


def _process(made: Made, known: Known | None, is_dry: bool) -> Judged:
    if known is None:
        if bearers := list(_bearers(made.run)):
            raise _NotOursError(
                "its number was not written down; the run's id is in the environment of "
                f"{', '.join(map(str, bearers))}: look at them, and end them yourself"
            )
        return Verdict.GONE, "no process bears the run's id"
    if not hasattr(os, "pidfd_open"):
        if started_at(known.pid) != known.started:
            return Verdict.GONE, "it has ended"
        raise _NotOursError(f"process {known.pid}: this system cannot prove whose it is")
    try:
        handle = os.pidfd_open(known.pid)
    except ProcessLookupError:
        return Verdict.GONE, "it has ended"
    try:
        if started_at(known.pid) != known.started:
            return Verdict.GONE, "it has ended"
        if not _bears(known.pid, made.run):
            raise _NotOursError(f"process {known.pid} does not bear the run's id")
        if is_dry:
            return Verdict.LEFT, f"process {known.pid}"
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        if not select.select([handle], [], [], PATIENCE)[0]:
            return Verdict.FAILED, f"process {known.pid} did not end within {PATIENCE:.0f} s"
    except ProcessLookupError:
        return Verdict.GONE, "it has ended"
    finally:
        os.close(handle)
    return Verdict.REMOVED, f"process {known.pid}"


def _results(made: Made, known: Known | None, is_dry: bool) -> Judged:
    path = _path(made, Path(made.name).name)
    with _folder_of(path) as (_, opened):
        marker = _marker(opened, MARKER)
        if marker is None:
            return Verdict.GONE, "nobody was at work in it"
        if marker != encode(made):
            try:
                decode(marker)
            except DecodeError:
                raise _NotOursError(f"its marker {MARKER} is damaged") from None
            return Verdict.GONE, "another run has taken it over"
        if is_dry:
            return Verdict.LEFT, "its results will stay"
        with contextlib.suppress(FileNotFoundError):
            _release(path, opened, f"{made.host}:{made.pid}")
        _remove_drafts(opened, 1)
        os.unlink(MARKER, dir_fd=opened)
    return Verdict.REMOVED, "its results stay"


def _sockets(made: Made, known: Known | None, is_dry: bool) -> Judged:
    return Verdict.GONE, "they closed with their process"


_UNDO: dict[Kind, Callable[[Made, Known | None, bool], Judged]] = {
    Kind.FOLDER: _folder,
    Kind.FILE: _file,
    Kind.PROCESS: _process,
    Kind.RESULTS: _results,
    Kind.SOCKETS: _sockets,
}


def _release(path: Path, opened: int, owner: str) -> None:
    """Give back what a dead process leased in the ledger of a run; no ledger is ever made here."""
    from qisguard.lab.campaign.ledger import Ledger  # it loads what runs trials

    if not _is_file(opened, LEDGER):
        raise _NotOursError(f"{LEDGER} in it is no file of the user who runs this")
    ledger = Ledger(path / LEDGER, owner)
    try:
        ledger.release()
    finally:
        ledger.close()


def _remove_drafts(folder: int, depth: int) -> None:
    """Remove half written files from a folder and, with a depth, from those in it."""
    for name in os.listdir(folder):
        if name.startswith(".") and name.endswith(".draft") and _is_file(folder, name):
            os.unlink(name, dir_fd=folder)
        elif depth and stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            with _opened(name, folder) as inner:
                _remove_drafts(inner, depth - 1)


def _path(made: Made, name: str) -> Path:
    """Return the path of a line whose last part must be ``name``."""
    path = Path(made.name)
    if not path.is_absolute() or ".." in path.parts or not path.name or path.name != name:
        raise _NotOursError("that is no name that a run gives")
    return path


@contextlib.contextmanager
def _opened(path: Path | str, within: int | None = None) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | (0 if within is None else os.O_NOFOLLOW)
    descriptor = os.open(path, flags, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _folder_of(path: Path) -> Iterator[tuple[int, int]]:
    """Give handles of the folder that a path is in and of the path itself, a folder of ours."""
    with contextlib.ExitStack() as stack:
        parent = stack.enter_context(_opened(path.parent))
        try:
            opened = stack.enter_context(_opened(path.name, parent))
        except FileNotFoundError:
            raise
        except OSError:
            raise _NotOursError("it is a link, or no folder") from None
        if os.fstat(opened).st_uid != os.geteuid():
            raise _NotOursError("it belongs to another user")
        yield parent, opened


def _is_file(folder: int, name: str) -> bool:
    """Return whether a name in a folder is a file of ours; raise FileNotFoundError without one."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _marker(folder: int, name: str) -> bytes | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError:
        raise _NotOursError(f"its marker {name} is no file") from None
    try:
        return os.read(descriptor, LINE_MAX + 1)
    finally:
        os.close(descriptor)


def _bearers(run: str) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        if _bears(int(entry.name), run) and started_at(int(entry.name)):
            yield int(entry.name)


def _bears(pid: int, run: str) -> bool:
    """Return whether a process of this user began with the run's id in its environment."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"QISGUARD_RUN={run}".encode() in environment.split(b"\0")
