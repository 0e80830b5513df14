"""Tiles and entry bundles: which files a tree of a given size consists of (C2SP tlog-tiles).

- A tile is up to 256 consecutive hashes of one tree level; level L + 1 holds the roots of the full
  tiles of level L. A bundle is the up to 256 entries behind one tile of level 0.
- A file that is not full is named ``.p/<width>``; an empty one does not exist.
- The size alone says which files exist and how wide they are.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qisguard.errors import DecodeError
from qisguard.trail.merkle import HASH_SIZE, CompactRange, root

TILE_WIDTH = 256
ENTRY_SIZE_MAX = (1 << 16) - 1
"""What a bundle's length prefix can say (C2SP tlog-tiles, log entries)."""
BUNDLE_SIZE_MAX = TILE_WIDTH * (2 + ENTRY_SIZE_MAX)
ENTRIES = -1
"""The "level" of entry bundles: they stand beside the tiles of level 0."""

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/"
    r"(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One file below ``tile/``; ``level`` is ``ENTRIES`` for a bundle."""

    level: int
    index: int
    width: int

    @property
    def path(self) -> str:
        """Return the path inside the trail."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        suffix = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{index_path(self.index)}{suffix}"


def index_path(index: int) -> str:
    """Return ``x001/x234/067`` for 1234067."""
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.insert(0, f"x{index % 1000:03d}")
    return "/".join(parts)


def parse_path(path: str) -> Tile:
    """Return the tile that ``path`` names; raise DecodeError unless it is the canonical path."""
    match = _PATH.fullmatch(path)
    if match is None or len(path) > 80:
        raise DecodeError(f"tile path: {path[:80]!r} is not one")
    level = ENTRIES if match["level"] == "entries" else int(match["level"])
    width = TILE_WIDTH if match["width"] is None else int(match["width"])
    tile = Tile(level, int(match["index"].replace("/", "").replace("x", "")), width)
    if tile.path != path:
        raise DecodeError(f"tile path: {path!r} is not canonical, expected {tile.path!r}")
    return tile


def width_at(level: int, index: int, size: int) -> int:
    """Return how wide one tile or bundle is in a tree of ``size``, 0 when it does not exist."""
    hashes = size >> 8 * max(level, 0)
    return max(0, min(TILE_WIDTH, hashes - index * TILE_WIDTH))


def tile_count(level: int, size: int) -> int:
    """Return how many tiles or bundles one level of a tree of ``size`` has."""
    return -(-(size >> 8 * max(level, 0)) // TILE_WIDTH)


def levels(size: int) -> range:
    """Return the levels of a tree of ``size`` that have tiles, bundles among them."""
    return range(ENTRIES, -(-size.bit_length() // 8)) if size else range(0)


def files_of(size: int) -> Iterator[Tile]:
    """Yield every file that a tree of ``size`` consists of, bundles first, then level by level."""
    for level in levels(size):
        for index in range(tile_count(level, size)):
            yield Tile(level, index, width_at(level, index, size))


def partial_files(size: int) -> list[Tile]:
    """Return the files of a tree of ``size`` that are not full: at most one of each level."""
    found = []
    for level in levels(size):
        index = (size >> 8 * max(level, 0)) // TILE_WIDTH
        if width := width_at(level, index, size):
            found.append(Tile(level, index, width))
    return found


def changed_files(old_size: int, new_size: int) -> Iterator[Tile]:
    """Yield the files of a tree of ``new_size`` that one of ``old_size`` did not have."""
    for level in levels(new_size):
        first = (old_size >> 8 * max(level, 0)) // TILE_WIDTH
        for index in range(first, tile_count(level, new_size)):
            width = width_at(level, index, new_size)
            if width != width_at(level, index, old_size):
                yield Tile(level, index, width)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return entries, each behind its length in two bytes, big-endian."""
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Return the ``width`` entries of a bundle; raise DecodeError if it holds anything else."""
    entries: list[bytes] = []
    offset = 0
    while offset < len(data):
        if len(entries) == width:
            raise DecodeError(
                f"bundle: {len(data) - offset} bytes after entry {width}, at {offset}"
            )
        start = offset + 2
        offset = start + int.from_bytes(data[offset:start], "big")
        if start > len(data) or offset > len(data):
            raise DecodeError(
                f"bundle: entry {len(entries)} at offset {start - 2} ends at {offset}, "
                f"past the {len(data)} bytes of the file"
            )
        entries.append(data[start:offset])
    if len(entries) != width:
        raise DecodeError(f"bundle: {len(entries)} entries, must be {width}")
    return entries


def decode_tile(data: bytes, width: int) -> list[bytes]:
    """Return the ``width`` hashes of a tile; raise DecodeError if it holds anything else."""
    if len(data) != width * HASH_SIZE:
        raise DecodeError(f"tile: {len(data)} bytes, must be {width * HASH_SIZE}")
    return [data[offset : offset + HASH_SIZE] for offset in range(0, len(data), HASH_SIZE)]


class Tower:
    """The hashes of every level that are not yet in a full tile: what a growing log remembers.

    At most 255 hashes of each level, whatever the size of the log.
    """

    __slots__ = ("levels", "size")

    def __init__(self) -> None:
        self.size = 0
        self.levels: list[list[bytes]] = []

    def append(self, leaf: bytes) -> list[tuple[Tile, list[bytes]]]:
        """Add one leaf hash; return the tiles that it made full, lowest first."""
        full: list[tuple[Tile, list[bytes]]] = []
        level = 0
        self.size += 1
        while True:
            if level == len(self.levels):
                self.levels.append([])
            row = self.levels[level]
            row.append(leaf)
            if len(row) < TILE_WIDTH:
                return full
            index = (self.size >> 8 * (level + 1)) - 1
            full.append((Tile(level, index, TILE_WIDTH), row))
            self.levels[level] = []
            leaf = root(row)
            level += 1

    def extend(self, leaves: Sequence[bytes]) -> list[tuple[Tile, list[bytes]]]:
        """Add leaf hashes, a row at a time; return what ``append`` would, one after the other."""
        full: list[tuple[Tile, list[bytes]]] = []
        offset = 0
        while offset < len(leaves):
            held = self.size % TILE_WIDTH
            stop = min(len(leaves), offset + TILE_WIDTH - held - 1)
            if stop > offset:  # all but the leaf that makes the row full
                if not self.levels:
                    self.levels.append([])
                self.levels[0] += leaves[offset:stop]
                self.size += stop - offset
            if stop < len(leaves):
                full += self.append(leaves[stop])
            offset = stop + 1
        return full

    def partials(self) -> list[tuple[Tile, list[bytes]]]:
        """Return the tiles that are not full, lowest level first."""
        return [
            (Tile(level, (self.size >> 8 * level) // TILE_WIDTH, len(row)), row)
            for level, row in enumerate(self.levels)
            if row
        ]

    def range(self) -> CompactRange:
        """Return the compact range of the same tree, computed from these hashes alone."""
        peaks: list[bytes] = []
        for row in reversed(self.levels):
            within = CompactRange()
            within.extend(row)
            peaks += within.peaks
        return CompactRange(self.size, peaks)

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        return self.range().root()
