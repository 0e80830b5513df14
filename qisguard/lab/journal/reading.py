"""Journals as they are found: what each says is left, whether its run lives, and what is damaged.

Nothing that a journal says is taken for true here: ``undo`` compares it with the machine.
"""

import contextlib
import fcntl
import os
import platform
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qisguard.alive import started_at
from qisguard.errors import DecodeError
from qisguard.lab.journal.lines import Known, Line, Made, Undone, decode, encode

SUFFIX = ".jsonl"
ASIDE = ".damaged"
"""Ending of a damaged journal of which nothing is left; people may read it."""
KEPT = 50
"""Journals that stay although nothing of them is left, the newest ones."""
SIZE_MAX = 16 << 20
"""Bytes of a journal that are read; what is beyond them is damaged."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that nobody acts upon, counted from 1; 0 stands for the whole file."""

    journal: Path
    line: int
    why: str


@dataclass(slots=True)
class Record:
    """One journal: what it made and did not undo, in the order of making.

    ``is_held``: whoever writes it still does.
    """

    path: Path
    is_held: bool
    left: dict[int, Made] = field(default_factory=dict)
    known: dict[int, Known] = field(default_factory=dict)
    damage: list[Damage] = field(default_factory=list)
    _descriptor: int = -1
    _is_torn: bool = False

    @property
    def is_alive(self) -> bool:
        """Return whether the run goes on: its file is held, or a process that made things runs."""
        return self.is_held or any(
            made.host == platform.node() and made.started and started_at(made.pid) == made.started
            for made in self.left.values()
        )

    def append(self, line: Undone) -> None:
        """Write down what was undone, durably; raises OSError."""
        start = b"\n" if self._is_torn else b""
        os.write(self._descriptor, start + encode(line) + b"\n")
        os.fsync(self._descriptor)
        self._is_torn = False

    def _take(self, number: int, line: Line) -> None:
        run = self.path.name.removesuffix(SUFFIX)
        if line.run != run:
            self.damage.append(Damage(self.path, number, f"run = {line.run}, must be {run}"))
        elif isinstance(line, Made):
            if line.number in self._seen:
                why = f"number = {line.number}: an earlier line has it"
                self.damage.append(Damage(self.path, number, why))
            else:
                self._seen.add(line.number)
                self.left[line.number] = line
        elif line.number not in self._seen:
            why = f"number = {line.number}: no line before made it"
            self.damage.append(Damage(self.path, number, why))
        elif isinstance(line, Known):
            self.known[line.number] = line
        else:
            self.left.pop(line.number, None)

    _seen: set[int] = field(default_factory=set)

    def _read(self) -> None:
        data = b""
        while part := os.read(self._descriptor, 1 << 20):
            data += part
            if len(data) > SIZE_MAX:
                why = f"more than {SIZE_MAX} bytes; the rest was not read"
                self.damage.append(Damage(self.path, 0, why))
                break
        self._is_torn = bool(data) and not data.endswith(b"\n")
        for number, text in enumerate(data[:SIZE_MAX].split(b"\n"), 1):
            if not text:
                continue
            try:
                self._take(number, decode(text))
            except DecodeError as error:
                self.damage.append(Damage(self.path, number, str(error)))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Record]:
    """Give a journal, held against its writer and other readers unless somebody holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:  # somebody else pruned it
        yield Record(path, False)
        return
    except OSError as error:
        yield Record(path, False, damage=[Damage(path, 0, error.strerror or "cannot be opened")])
        return
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            why = "must be a file of the user who runs this"
            yield Record(path, False, damage=[Damage(path, 0, why)])
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = False
        except BlockingIOError:
            is_held = True
        record = Record(path, is_held, _descriptor=descriptor)
        record._read()
        yield record
    finally:
        os.close(descriptor)


def journals(folder: Path) -> list[Path]:
    """Return every journal of a folder, the oldest first."""
    return _by_age(folder, SUFFIX)


def prune(folder: Path) -> None:
    """Remove old journals of which nothing is left; what cannot be removed stays."""
    for path in journals(folder)[:-KEPT]:
        with opened(path) as record:
            if not (record.is_held or record.left or record.damage):
                _remove(path)
    for path in _by_age(folder, ASIDE)[:-KEPT]:
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _by_age(folder: Path, suffix: str) -> list[Path]:
    aged = []
    for path in folder.glob(f"*{suffix}"):
        with contextlib.suppress(FileNotFoundError):
            aged.append((path.lstat().st_mtime_ns, path))
    return [path for _, path in sorted(aged)]
