"""The journal of one run: before anything is made outside its memory, a line says so, durably.

- One file for each run and one writer for each file, in the user's state folder.
- The writer holds a lock on its file while it lives; the operating system lets go of it when the
  process ends, however that happens.
- A journal that cannot be written ends the run before it has made anything.
- A missing "undone" does no harm: ``cleanup`` looks, and finds nothing.
"""

import contextlib
import fcntl
import os
import platform
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from qisguard.alive import started_at
from qisguard.errors import StoreError
from qisguard.lab.journal.lines import (
    MARKER,
    UNDO,
    Kind,
    Known,
    Line,
    Made,
    Undone,
    encode,
    file_name,
    folder_name,
)
from qisguard.lab.journal.reading import SUFFIX, prune

VARIABLE = "QISGUARD_STATE"
"""Names the state folder, whatever the platform's rule is."""
RUN = "QISGUARD_RUN"
"""In the environment of every process that a run starts: the run's id."""


class Journal:
    """The journal of one run; the file is made with its first line. It belongs to one thread."""

    def __init__(self, folder: Path) -> None:
        self.run = secrets.token_hex(16)
        self.path = folder / f"{self.run}{SUFFIX}"
        self._descriptor = -1
        self._count = 0
        self._pid = os.getpid()
        self._started = started_at(self._pid) or ""

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the journal; what was not undone stays for ``cleanup``."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def made(self, kind: Kind, name: str | Path) -> Made:
        """Write down what is about to be made; raise StoreError when that cannot be done."""
        self._count += 1
        line = Made(
            self.run,
            self._count,
            kind,
            str(name),
            UNDO[kind],
            platform.node(),
            self._pid,
            self._started,
            time.time(),
        )
        try:
            self._append(line)
        except OSError as error:
            raise StoreError(
                f"{self.path}: {error.strerror}: nothing was started, because it could not be "
                f"written down; {VARIABLE} names another folder"
            ) from None
        return line

    def undone(self, made: Made, how: str = "the run") -> None:
        """Write down that it is no longer there."""
        with contextlib.suppress(OSError):
            self._append(Undone(self.run, made.number, how, time.time()))

    def start(self, name: str, begin: Callable[[], int | None]) -> Made:
        """Let ``begin`` start a process and return its number; it will bear the run's id."""
        made = self.made(Kind.PROCESS, name)
        before = os.environ.get(RUN)
        os.environ[RUN] = self.run
        try:
            pid = begin()
        except BaseException:
            self.undone(made)
            raise
        finally:
            if before is None:
                del os.environ[RUN]
            else:
                os.environ[RUN] = before
        started = started_at(pid) if pid else None
        if pid and started:
            with contextlib.suppress(OSError):  # its environment still says whose it is
                self._append(Known(self.run, made.number, pid, started))
        return made

    @contextlib.contextmanager
    def noted(self, kind: Kind, name: str | Path) -> Iterator[Made]:
        """Write down what the block makes, and afterwards that it is undone."""
        made = self.made(kind, name)
        try:
            yield made
        finally:
            self.undone(made)

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """Give a private folder that goes when the block ends."""
        parent = Path(tempfile.gettempdir()).resolve()
        path = parent / folder_name(self.run, self._count + 1)
        made = self.made(Kind.FOLDER, path)
        path.mkdir(mode=0o700)
        try:
            mark(path, made)
            yield path
        finally:
            shutil.rmtree(path)
            self.undone(made)

    @contextlib.contextmanager
    def draft(self, path: Path) -> Iterator[Path]:
        """Give the name under which ``path`` is written; nothing of that name stays."""
        draft = path.absolute().with_name(file_name(path.stem, self.run, self._count + 1))
        with self.noted(Kind.FILE, draft):
            try:
                yield draft
            finally:
                draft.unlink(missing_ok=True)

    @contextlib.contextmanager
    def results(self, path: Path) -> Iterator[None]:
        """Mark the folder of a run that is there while the block works in it."""
        path = path.resolve()
        with self.noted(Kind.RESULTS, path) as made:
            mark(path, made)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    (path / MARKER).unlink()

    def _append(self, line: Line) -> None:
        if self._descriptor < 0:
            self._descriptor = _create(self.path)
        data = encode(line) + b"\n"
        if os.write(self._descriptor, data) != len(data):
            raise OSError(28, os.strerror(28))
        os.fsync(self._descriptor)


def begin(environment: Mapping[str, str] = os.environ) -> Journal:
    """Return the journal of a run that begins; old ones that hold nothing any more go."""
    folder = journal_folder(environment)
    prune(folder)
    return Journal(folder)


@contextlib.contextmanager
def own(given: Journal | None) -> Iterator[Journal]:
    """Give the journal of the run that this is part of, or one of its own when it is alone."""
    if given is not None:
        yield given
        return
    with begin() as journal:
        yield journal


def mark(folder: Path, made: Made) -> None:
    """Say in a folder, durably, which line speaks of it."""
    draft = folder / f"{MARKER}.draft"
    with draft.open("wb") as file:
        file.write(encode(made))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / MARKER)


def journal_folder(environment: Mapping[str, str], system: str = sys.platform) -> Path:
    """Return where journals lie.

    ``QISGUARD_STATE``, or what the platform has for state: ``XDG_STATE_HOME`` (relative paths are
    ignored, as the XDG base directories want it), Application Support, the local data of an
    application.
    """
    if told := environment.get(VARIABLE):
        return Path(told).expanduser().absolute() / "journal"
    home = Path(environment.get("HOME") or "~").expanduser()
    if system == "darwin":
        base = home / "Library" / "Application Support"
    elif system == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        told = environment.get("XDG_STATE_HOME", "")
        base = Path(told) if Path(told).is_absolute() else home / ".local" / "state"
    return base / "qisguard" / "journal"


def _create(path: Path) -> int:
    """Return a new file that this process holds, and whose name survives a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
    return descriptor
