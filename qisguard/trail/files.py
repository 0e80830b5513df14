"""Where a trail's bytes lie: a folder, or a dictionary for a simulated network.

``write`` replaces a file as a whole or not at all, also when the machine stops in between;
``append`` returns when the bytes are durable. Paths are relative, with ``/`` between parts.

After an error of ``write`` or ``append`` nobody knows what the disk holds: the kernel may show
bytes that it failed to store. So nothing is tried again, and whoever opens the folder anew writes
or ``sync``s what it goes on from.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from qisguard.errors import TrailError

TEMPORARY = ".tmp"
LOCK = "lock"
WRITERS = 16
"""Files that are written at a time; more of them did not make it faster."""

T = TypeVar("T")


class Files(Protocol):
    """One folder and everything below it."""

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, or None when there is none."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, sorted; none when there is no such folder."""

    def write(self, files: Mapping[str, bytes]) -> None:
        """Create or replace files, each atomically; all are durable on return."""

    def append(self, path: str, data: bytes) -> None:
        """Add ``data`` to the end of a file, durably; the file is created if need be."""

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, and folders that this leaves empty; a missing file is no error."""

    def sync(self, paths: Iterable[str]) -> None:
        """Make files that are there durable, with their names; a missing file is no error."""

    def lock(self) -> None:
        """Take this folder for one writer; raise TrailError when another one holds it."""

    def check_lock(self) -> None:
        """Raise TrailError unless this object still holds the folder."""

    def place(self) -> bytes:
        """Return what tells this folder from a copy of it; the folder is locked."""

    def unlock(self) -> None:
        """Let go of the lock."""


def check_path(path: str) -> None:
    """Raise TrailError unless ``path`` is relative and stays inside."""
    if not path or "\\" in path or "\0" in path:
        raise TrailError(f"path: {path!r} is not a path inside the folder")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise TrailError(f"path: {path!r} leaves the folder or is not in normal form")


class FolderFiles:
    """A folder on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: int | None = None
        self._instance = b""
        self._ends: dict[str, int] = {}  # descriptors of files that are appended to
        self._real = ""
        self._named: set[Path] = set()  # folders whose names are durable
        self._unnamed: set[Path] = set()  # those that will be when a write is done

    def read(self, path: str, limit: int | None = None) -> bytes | None:
        """Return the content of a regular file, or None.

        Raises:
            TrailError: it is no regular file, or is longer than ``limit`` bytes.
        """
        try:
            descriptor = os.open(self._locate(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise TrailError(f"path: {path!r} is not a regular file")
            if limit is not None and found.st_size > limit:
                raise TrailError(f"path: {path!r} has {found.st_size} bytes, at most {limit}")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, less what a crash left of a write."""
        place = self._locate(folder)
        if not place.is_dir():
            return []
        return sorted(p.name for p in place.iterdir() if not p.name.endswith(TEMPORARY))

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write temporary files, make them durable, rename them, make the folders durable.

        Folders are opened before the first write: an error that the kernel reports once would be
        lost on a descriptor opened after it.
        """
        targets = {self._locate(path): data for path, data in files.items()}
        for path in files:
            self._close_end(path)
        folders = self._open_folders({target.parent for target in targets})
        try:
            _at_once(lambda item: _write_durably(_temporary(item[0]), item[1]), targets.items())
            for target in targets:
                os.rename(_temporary(target), target)
            _at_once(os.fsync, folders)
            self._named |= self._unnamed
        finally:
            self._unnamed.clear()
            for descriptor in folders:
                os.close(descriptor)

    def append(self, path: str, data: bytes) -> None:
        """Write ``data`` at the end with one call and wait for the disk."""
        descriptor = self._ends.get(path)
        if descriptor is None:
            target = self._locate(path)
            if not target.exists():
                self.write({path: b""})
            descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._ends[path] = descriptor
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.EIO, "short write", path)
        os.fdatasync(descriptor)

    def sync(self, paths: Iterable[str]) -> None:
        """Wait for the disk to have files and the folders that name them."""
        folders: set[Path] = set()
        found: list[Path] = []
        for path in paths:
            target = self._locate(path)
            if target.exists():
                found.append(target)
                folder = target
                while folder != self.root.parent:
                    folder = folder.parent
                    folders.add(folder)
        _at_once(_sync, found)
        _at_once(_sync, folders)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files and the folders that become empty, durably."""
        changed: set[Path] = set()
        for path in paths:
            self._close_end(path)
            target = self._locate(path)
            folder = target.parent
            if os.path.lexists(target):
                os.unlink(target)
            while folder != self.root and folder.exists() and not any(folder.iterdir()):
                os.rmdir(folder)
                self._named.discard(folder)
                folder = folder.parent
            changed.add(folder)
        for folder in changed:
            if folder.exists():
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                os.fsync(descriptor)
                os.close(descriptor)

    def lock(self) -> None:
        """Take the lock file; the operating system lets go of it when the process ends.

        The file says which process has it. Its descriptor is closed in programs that this one
        starts, but a fork inherits it: ``check_lock`` tells them apart.
        """
        if self._lock is not None:
            raise TrailError(f"lock: {self.root} is already open here")
        self.root.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._locate(LOCK), flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise TrailError(
                f"lock: {self.root} is held by another writer ({holder or 'unknown'})"
            ) from None
        self._lock = descriptor
        self._instance = b"process %d\n" % os.getpid()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, self._instance, 0)

    def check_lock(self) -> None:
        """Raise TrailError when the lock file is another one now, or is not this process's."""
        if self._lock is None:
            raise TrailError(f"lock: {self.root} is not locked")
        try:
            found, mine = os.stat(self._locate(LOCK), follow_symlinks=False), os.fstat(self._lock)
            is_same = (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)
        except FileNotFoundError:
            is_same = False
        is_mine = self._instance == b"process %d\n" % os.getpid()
        if not (is_same and is_mine and os.pread(self._lock, 64, 0) == self._instance):
            raise TrailError(
                f"lock: {self.root}/{LOCK} was taken away or changed; another writer may be at work"
            )

    def place(self) -> bytes:
        """Return the file number of the lock: a copy or a restored backup has another one.

        A rolled back disk image has the same: nothing inside it can tell.
        """
        if self._lock is None:
            raise TrailError(f"lock: {self.root} is not locked")
        return b"lock file %d\n" % os.fstat(self._lock).st_ino

    def unlock(self) -> None:
        """Let go of the lock; the file stays, so that nobody locks a removed one."""
        for path in list(self._ends):
            self._close_end(path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _close_end(self, path: str) -> None:
        descriptor = self._ends.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)

    def _locate(self, path: str) -> Path:
        """Return where ``path`` is; raise TrailError if it, or a link on the way, leads outside."""
        check_path(path)
        target = self.root / path
        root = self._real or os.path.realpath(self.root)
        if not self._real and self.root.is_dir():
            self._real = root  # asked for once; the way below it is looked at each time
        inside = os.path.realpath(target.parent)
        if inside != root and not inside.startswith(root.rstrip("/") + "/"):
            raise TrailError(f"path: {path!r} leads out of {self.root}")
        return target

    def _open_folders(self, folders: Iterable[Path]) -> list[int]:
        """Return descriptors of folders, created if need be, and of those that name them.

        A folder that is there may have been made by a process that died before it was durable: who
        names it is made durable once, whoever made it.
        """
        wanted: dict[Path, None] = {}
        for folder in sorted(folders):
            wanted[folder] = None
            missing = []
            while folder not in self._named:
                if not folder.exists():
                    missing.append(folder)
                wanted[folder.parent] = None
                self._unnamed.add(folder)
                if folder == self.root:
                    break
                folder = folder.parent
            for made in reversed(missing):
                if made == self.root:
                    made.mkdir(parents=True, exist_ok=True)
                else:
                    os.mkdir(made)
        return [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in wanted]


class MemoryFiles:
    """A dictionary: fast, and durable for as long as the simulation lasts."""

    __slots__ = ("_files", "_locked")

    def __init__(self) -> None:
        self._files: dict[str, bytes | bytearray] = {}
        self._locked = False

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, or None."""
        data = self._files.get(path)
        return None if data is None else bytes(data)

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, sorted."""
        start = f"{folder}/"
        return sorted(
            path[len(start) :]
            for path in self._files
            if path.startswith(start) and "/" not in path[len(start) :]
        )

    def write(self, files: Mapping[str, bytes]) -> None:
        """Replace files."""
        for path, data in files.items():
            check_path(path)
            self._files[path] = data

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file."""
        held = self._files.get(path)
        if not isinstance(held, bytearray):
            check_path(path)
            held = self._files[path] = bytearray(held or b"")
        held += data

    def remove(self, paths: Iterable[str]) -> None:
        """Forget files."""
        for path in paths:
            self._files.pop(path, None)

    def sync(self, paths: Iterable[str]) -> None:
        """Do nothing: a dictionary is as durable as the simulation."""

    def lock(self) -> None:
        """Take the lock."""
        if self._locked:
            raise TrailError("lock: these files are held by another writer")
        self._locked = True

    def check_lock(self) -> None:
        """Raise TrailError unless it is locked."""
        if not self._locked:
            raise TrailError("lock: these files are not locked")

    def place(self) -> bytes:
        """Return the same for every dictionary: they are not copied."""
        return b"memory\n"

    def unlock(self) -> None:
        """Let go of the lock, as the end of a process does."""
        self._locked = False

    def paths(self) -> list[str]:
        """Return every path, sorted."""
        return sorted(self._files)

    def save(self, folder: Path) -> None:
        """Copy everything to a folder on disk, for ``qisguard audit``; nothing is synchronised."""
        for path, data in self._files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _temporary(target: Path) -> Path:
    return target.with_name(target.name + TEMPORARY)


def _at_once(write: Callable[[T], None], items: Collection[T]) -> None:
    """Call ``write`` for every item and return when all are done; raises the first error.

    Several wait for the disk together: a file system commits their changes at once, where one
    after the other each waits for a commit of its own.
    """
    if min(len(items), WRITERS) < 2:
        for item in items:
            write(item)
        return
    with ThreadPoolExecutor(min(len(items), WRITERS)) as pool:
        for _ in pool.map(write, items):
            pass


def _sync(target: Path) -> None:
    descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_durably(target: Path, data: bytes) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
