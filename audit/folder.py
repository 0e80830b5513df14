"""A trail's folder as an auditor may read it, and whether it holds exactly what it must (AUD-12).

The folder belongs to whoever is audited: every read is bounded before it starts, no link is
followed, nothing but regular files is opened, and a name may hold anything.
"""

import errno
import os
import re
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qisguard.audit.findings import Findings, printable
from qisguard.errors import DecodeError
from qisguard.trail.merkle import HASH_SIZE
from qisguard.trail.tiles import (
    ENTRIES,
    ENTRY_SIZE_MAX,
    TILE_WIDTH,
    Tile,
    levels,
    parse_path,
    tile_count,
    width_at,
)

_TILE_FOLDER = re.compile(r"tile(/(entries|[0-9]{1,2})(/x[0-9]{3}){0,6}(/[0-9]{3}\.p)?)?", re.ASCII)
NAME_COUNT_MAX = 1 << 20
"""Names in one folder that are looked at; tiles lie by the thousand, packets in 256 folders."""
UNREADABLE_MAX = 20
"""Files named one by one that the operating system would not open; the rest is counted."""
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG)
_NAMES = ("checkpoint", "tile", "packets", "witness", "evidence", "notary")


class Folder:
    """One trail's folder; ``unreadable`` collects what the operating system refused."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unreadable: list[str] = []
        self.refused_count = 0

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a regular file of at most ``limit`` bytes, or None when there is none."""
        try:
            descriptor = os.open(self.root / path, READ_FLAGS)
        except OSError as error:
            self.not_opened(path, error)
            return None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
                return None
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        except OSError as error:
            self.refused(path, error)
            return None
        finally:
            os.close(descriptor)
        return data if len(data) <= limit else None

    def not_opened(self, path: str, error: OSError) -> None:
        """Note that a file could not be opened, unless there is none or it is of another kind."""
        if error.errno not in _ABSENT:
            self.refused(path, error)

    def has(self, path: str) -> bool:
        """Return whether anything has this path."""
        return os.path.lexists(self.root / path)

    def is_folder(self, path: str) -> bool:
        """Return whether there is a folder of this path, not a link to one."""
        try:
            return stat.S_ISDIR(os.lstat(self.root / path).st_mode)
        except OSError as error:
            self.not_opened(path, error)
            return False

    def entries(self, path: str) -> list[os.DirEntry[str]]:
        """Return what a folder holds, in order of name; of too much, some."""
        try:
            with os.scandir(self.root / path) as found:
                entries = list(islice(found, NAME_COUNT_MAX + 1))
        except OSError as error:
            self.refused(path, error)
            return []
        if len(entries) > NAME_COUNT_MAX:
            more = OSError(errno.EFBIG, f"more than {NAME_COUNT_MAX} names in one folder")
            self.refused(path, more)
        return sorted(entries, key=lambda entry: entry.name)

    def refused(self, path: str, error: OSError) -> None:
        """Note that the operating system would not let us look."""
        self.refused_count += 1
        if len(self.unreadable) < UNREADABLE_MAX:
            self.unreadable.append(f"{printable(path)}: {error.strerror}")


def is_regular(folder: Folder, entry: os.DirEntry[str], path: str, out: Findings) -> int | None:
    """Return the size of a regular file; report anything else and return None."""
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError as error:
        folder.refused(path, error)
        return None
    if stat.S_ISREG(found.st_mode):
        return found.st_size
    kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a regular file"
    out.add("AUD-12", printable(path), f"is {kind}")
    return None


def check_top(folder: Folder, out: Findings) -> None:
    """Report what lies at the top and is no part of a trail, or of another kind than its part."""
    for entry in folder.entries("."):
        if entry.name not in _NAMES:
            out.add("AUD-12", printable(entry.name), "does not belong in a trail")
        elif entry.name == "checkpoint":
            is_regular(folder, entry, entry.name, out)
        elif not entry.is_dir(follow_symlinks=False):
            out.add("AUD-12", printable(entry.name), "is not a folder")


@dataclass(slots=True)
class Tiles:
    """What lies below ``tile/``: files of the tree by level, and earlier partial tiles.

    A partial tile of an earlier checkpoint may stay until the tile is full (C2SP tlog-tiles); its
    content has to be the beginning of the present one.
    """

    counts: dict[int, int]
    earlier: list[Tile]
    missing_bundles: int = 0


def check_tiles(folder: Folder, size: int, out: Findings) -> Tiles:
    """Report every file below ``tile/`` that a tree of ``size`` has not, or has otherwise."""
    tiles = Tiles(dict.fromkeys(levels(size), 0), [])
    if folder.has("tile"):
        _visit(folder, "tile", size, tiles, out)
    missing = {level: tile_count(level, size) - count for level, count in tiles.counts.items()}
    for level, count in missing.items():
        listed = index = 0
        while listed < min(count, 5):
            tile = Tile(level, index, width_at(level, index, size))
            index += 1
            if not folder.has(tile.path):
                listed += 1
                more = f" ({count} files of this level are missing)" if listed == 1 < count else ""
                out.add("AUD-12", tile.path, f"is missing; size {size} implies it{more}")
    tiles.missing_bundles = missing.get(ENTRIES, 0)
    return tiles


def _visit(folder: Folder, path: str, size: int, tiles: Tiles, out: Findings) -> int:
    """Check one folder and all below it; return how many files of the tree it holds."""
    if not _TILE_FOLDER.fullmatch(path) or not os.path.isdir(folder.root / path):
        out.add("AUD-12", printable(path), "is a folder that no size implies")
        return 0
    found = reported = 0
    for entry in folder.entries(path):
        inside = f"{path}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            found += _visit(folder, inside, size, tiles, out)
            reported += 1
            continue
        length = is_regular(folder, entry, inside, out)
        reported += 1
        if length is not None and _check_tile(inside, length, size, tiles, out):
            found += 1
    if not found and not reported:
        out.add("AUD-12", printable(path), "is an empty folder that no size implies")
    return found


def _check_tile(path: str, length: int, size: int, tiles: Tiles, out: Findings) -> bool:
    """Check name and length of one file; return whether the tree has a file of this name."""
    try:
        tile = parse_path(path)
    except DecodeError:
        out.add("AUD-12", printable(path), "does not belong in a trail")
        return False
    width = width_at(tile.level, tile.index, size)
    if tile.level in tiles.counts and tile.width == width:
        tiles.counts[tile.level] += 1
    elif tile.level in tiles.counts and tile.width < width < TILE_WIDTH:
        tiles.earlier.append(tile)
    else:
        said = f"is {width} wide" if width and tile.level in tiles.counts else "does not exist"
        out.add("AUD-12", path, f"is not of size {size}, where this file {said}")
        return False
    if tile.level == ENTRIES:
        if length > tile.width * (2 + ENTRY_SIZE_MAX):
            out.add("AUD-12", path, f"{length} bytes are too many for {tile.width} entries")
    elif length != tile.width * HASH_SIZE:
        out.add("AUD-12", path, f"{length} bytes, must be {tile.width * HASH_SIZE}")
    return True
