"""One piece of a log, read and checked by itself: what a process does while others do other pieces.

A piece is some consecutive bundles with their tiles of level 0. What needs the whole log, such as
the root and numbers used twice, is left to whoever puts the pieces together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from qisguard.audit.findings import Findings
from qisguard.audit.folder import Folder
from qisguard.audit.hashing import full_root, leaf_hashes
from qisguard.audit.packets import Contents, Counts, Scope
from qisguard.errors import DecodeError
from qisguard.trail.merkle import HASH_SIZE, root
from qisguard.trail.tiles import (
    ENTRIES,
    ENTRY_SIZE_MAX,
    TILE_WIDTH,
    Tile,
    decode_bundle,
    decode_tile,
    tile_count,
    width_at,
)

BUNDLES = 8
"""In one piece: enough to outweigh the way between processes, few enough to be had soon."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """One tile of level 0: ``mine`` from the entries, ``theirs`` as the tile has them.

    Where a file is missing, both are of the other one; ``stopped`` says that both are. The hashes
    themselves are given only of tiles that are not full, that differ, or that were asked for.
    """

    width: int
    mine: bytes = b""
    theirs: bytes = b""
    hashes: tuple[bytes, ...] = ()
    differing: tuple[int, ...] = ()
    entry_count: int = 0
    is_stopped: bool = False
    their_hashes: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Piece:
    """What was found in the bundles from ``first``; ``names`` and ``sightings`` are rows."""

    first: int
    tiles: list[Leaves] = field(default_factory=list)
    out: Findings = field(default_factory=lambda: Findings(""))
    counts: Counts = field(default_factory=Counts)
    names: bytes = b""
    sightings: bytes = b""
    day_min: int | None = None
    day_max: int = 0
    unreadable: tuple[str, ...] = ()
    refused_count: int = 0


def piece_reader(scope: Scope) -> Callable[[int], Piece]:
    """Return what reads the piece that starts with a bundle of this number."""
    folder = Folder(scope.root)
    contents = Contents(scope, folder)
    count = tile_count(ENTRIES, scope.size)

    def read(first: int) -> Piece:
        piece = Piece(first)
        folder.unreadable, folder.refused_count = [], 0
        with contents.piece(piece.out):
            for index in range(first, min(first + BUNDLES, count)):
                piece.tiles.append(_read_tile(scope, folder, contents, index))
        piece.counts = contents.counts
        piece.names = b"".join(contents.names)
        piece.sightings = b"".join(contents.sightings)
        piece.day_min, piece.day_max = contents.day_min, contents.day_max
        piece.unreadable, piece.refused_count = tuple(folder.unreadable), folder.refused_count
        return piece

    return read


def _read_tile(scope: Scope, folder: Folder, contents: Contents, index: int) -> Leaves:
    width = width_at(ENTRIES, index, scope.size)
    bundle, tile = Tile(ENTRIES, index, width), Tile(0, index, width)
    entries = read_bundle(folder, bundle, contents.out)
    held = folder.read(tile.path, width * HASH_SIZE)
    if held is not None and len(held) != width * HASH_SIZE:
        held = None  # reported with the lengths
    if entries is not None:
        contents.read(index * TILE_WIDTH, entries, bundle.path)
        mine = leaf_hashes(entries)
        data = b"".join(mine)
    elif held is not None:
        mine, data = decode_tile(held, width), held
    else:
        return Leaves(width, is_stopped=True)
    count = 0 if entries is None else len(entries)
    value = _root(data, mine, width)
    if held is None or held == data:
        wanted = width < TILE_WIDTH or index in scope.wanted
        return Leaves(width, value, value, tuple(mine) if wanted else (), (), count)
    theirs = decode_tile(held, width)
    differing = tuple(i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)
    other = _root(held, theirs, width)
    return Leaves(width, value, other, tuple(mine), differing, count, their_hashes=tuple(theirs))


def read_bundle(folder: Folder, bundle: Tile, out: Findings) -> list[bytes] | None:
    """Return the entries of a bundle, or None when there is none or it is malformed (AUD-12)."""
    data = folder.read(bundle.path, bundle.width * (2 + ENTRY_SIZE_MAX))
    if data is None:
        return None
    try:
        return decode_bundle(data, bundle.width)
    except DecodeError as error:
        out.add("AUD-12", bundle.path, str(error))
        return None


def _root(data: bytes, hashes: list[bytes], width: int) -> bytes:
    return full_root(data) if width == TILE_WIDTH else root(hashes)
