"""Whether the entries have the root that was signed (AUD-13): everything is computed again.

Entries and level-0 tiles say the same thing twice. When they differ, the side whose root is the
signed one is right and the other side's file is named; when neither is, the checkpoint is.
"""

import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from qisguard.audit.findings import Findings
from qisguard.audit.folder import Folder
from qisguard.errors import DecodeError
from qisguard.trail.checkpoint import Checkpoint
from qisguard.trail.merkle import HASH_SIZE, leaf_hash
from qisguard.trail.tiles import (
    ENTRIES,
    ENTRY_SIZE_MAX,
    TILE_WIDTH,
    Tile,
    Tower,
    decode_bundle,
    decode_tile,
    encode_bundle,
    tile_count,
    width_at,
)

DIFFERENCE_COUNT_MAX = 1000
MISSING_COUNT_MAX = 1000
"""Bundles that may be missing before the tree is not computed any more."""

OnEntry = Callable[[int, bytes, str], None]
"""Takes an entry's index, its bytes and the path of its bundle."""


@dataclass(slots=True)
class Tree:
    """What was computed: roots by size, and whether the entries are all there and as signed."""

    roots: dict[int, bytes] = field(default_factory=dict)
    entry_count: int = 0
    holds: bool = False
    stopped: str | None = None


@dataclass(slots=True)
class _Compare:
    """Both sides of the comparison; ``tiles`` is None while they are the same."""

    entries: Tower = field(default_factory=Tower)
    tiles: Tower | None = None
    leaves: list[tuple[int, str, str]] = field(default_factory=list)
    upper: list[tuple[str, str, str]] = field(default_factory=list)


def check_tree(
    folder: Folder,
    head: Checkpoint,
    sizes: Collection[int],
    earlier: Collection[Tile],
    out: Findings,
    on_entry: OnEntry,
) -> Tree:
    """Compute the tree of ``head`` from its entries and report what contradicts it.

    ``sizes`` are earlier sizes whose roots are wanted too, ``earlier`` the partial tiles of earlier
    checkpoints, which must be the beginning of what is computed.
    """
    tree, both = Tree(), _Compare()
    last: list[bytes] = []
    wanted = sorted(size for size in sizes if 0 <= size < head.size)
    if wanted[:1] == [0]:
        tree.roots[wanted.pop(0)] = both.entries.root()
    for index in range(tile_count(ENTRIES, head.size)):
        entries, hashes = _read_pair(folder, index, head.size, out)
        if entries is None and hashes is None:
            tree.stopped = f"bundle and tile {index} are both missing or broken"
            return tree
        start = index * TILE_WIDTH
        if entries is not None:
            tree.entry_count += len(entries)
            last = entries
            path = Tile(ENTRIES, index, len(entries)).path
            for offset, entry in enumerate(entries):
                on_entry(start + offset, entry, path)
        leaves = hashes if entries is None else [leaf_hash(entry) for entry in entries]
        assert leaves is not None
        while wanted and wanted[0] <= start + len(leaves):
            tree.roots[wanted[0]] = _root_after(both.entries, leaves[: wanted[0] - start])
            wanted.pop(0)
        _grow(folder, both, leaves, leaves if hashes is None else hashes)
    _finish_upper(folder, both)
    _check_earlier(folder, earlier, both.entries, last, out)
    tree.roots[head.size] = both.entries.root()
    tree.holds = tree.roots[head.size] == head.root and tree.entry_count == head.size
    _blame(both, head, out)
    return tree


def _read_pair(
    folder: Folder, index: int, size: int, out: Findings
) -> tuple[list[bytes] | None, list[bytes] | None]:
    """Return entries and hashes of one tile; None where the file is missing or malformed."""
    width = width_at(ENTRIES, index, size)
    bundle, tile = Tile(ENTRIES, index, width), Tile(0, index, width)
    entries = hashes = None
    data = folder.read(bundle.path, width * (2 + ENTRY_SIZE_MAX))
    if data is not None:
        try:
            entries = decode_bundle(data, width)
        except DecodeError as error:
            out.add("AUD-12", bundle.path, str(error))
    data = folder.read(tile.path, width * HASH_SIZE)
    if data is not None and len(data) == width * HASH_SIZE:
        hashes = decode_tile(data, width)
    return entries, hashes


def _root_after(tower: Tower, leaves: list[bytes]) -> bytes:
    grown = copy.deepcopy(tower)
    for leaf in leaves:
        grown.append(leaf)
    return grown.root()


def _grow(folder: Folder, both: _Compare, leaves: list[bytes], hashes: list[bytes]) -> None:
    """Add one tile to both sides, and compare the upper tiles that it completes."""
    if both.tiles is None and leaves != hashes:
        both.tiles = copy.deepcopy(both.entries)
    for leaf, value in zip(leaves, hashes, strict=True):
        index = both.entries.size
        if leaf != value and len(both.leaves) < DIFFERENCE_COUNT_MAX:
            number, width = index // TILE_WIDTH, len(leaves)
            both.leaves.append(
                (index, Tile(ENTRIES, number, width).path, Tile(0, number, width).path)
            )
        full = both.entries.append(leaf)
        other = full if both.tiles is None else both.tiles.append(value)
        for (tile, mine), (_, theirs) in zip(full, other, strict=True):
            if tile.level:
                _compare_upper(folder, both, tile, mine, theirs)


def _finish_upper(folder: Folder, both: _Compare) -> None:
    mine = both.entries.partials()
    theirs = mine if both.tiles is None else both.tiles.partials()
    for (tile, row), (_, other) in zip(mine, theirs, strict=True):
        if tile.level:
            _compare_upper(folder, both, tile, row, other)


def _check_earlier(
    folder: Folder, earlier: Collection[Tile], tower: Tower, last: list[bytes], out: Findings
) -> None:
    """Report partial tiles of earlier checkpoints that are not the beginning of the present one."""
    rows = {tile.level: row for tile, row in tower.partials()}
    for tile in earlier:
        wide = 2 + ENTRY_SIZE_MAX if tile.level == ENTRIES else HASH_SIZE
        data = folder.read(tile.path, tile.width * wide)
        if data is None:
            continue  # reported with the lengths
        if tile.level == ENTRIES:
            wanted = encode_bundle(last[: tile.width])
        else:
            wanted = b"".join(rows.get(tile.level, [])[: tile.width])
        if data != wanted:
            where = next(
                (i for i, (a, b) in enumerate(zip(data, wanted, strict=False)) if a != b),
                len(wanted),
            )
            said = f"offset {where} is not as in the present tile, which begins with it"
            out.add("AUD-13", tile.path, said)


def _compare_upper(
    folder: Folder, both: _Compare, tile: Tile, mine: list[bytes], theirs: list[bytes]
) -> None:
    """Note where a tile above level 0 differs from what either side computes."""
    data = folder.read(tile.path, tile.width * HASH_SIZE)
    if data is None or len(data) != tile.width * HASH_SIZE:
        return  # reported with the lengths
    first, second = _difference(data, mine, tile), _difference(data, theirs, tile)
    if (first or second) and len(both.upper) < DIFFERENCE_COUNT_MAX:
        both.upper.append((tile.path, first, second))


def _difference(data: bytes, row: list[bytes], tile: Tile) -> str:
    for index, (held, value) in enumerate(zip(decode_tile(data, tile.width), row, strict=True)):
        if held != value:
            below = Tile(tile.level - 1, tile.index * TILE_WIDTH + index, TILE_WIDTH).path
            return f"hash {index} (offset {index * HASH_SIZE}) is not the root of {below}"
    return ""


def _blame(both: _Compare, head: Checkpoint, out: Findings) -> None:
    """Name the files that contradict the signed root."""
    entries_root = both.entries.root()
    tiles_root = entries_root if both.tiles is None else both.tiles.root()
    entries_hold, tiles_hold = entries_root == head.root, tiles_root == head.root
    if not entries_hold and not tiles_hold:
        out.add(
            "AUD-13",
            "checkpoint",
            f"root {head.root.hex()} of size {head.size} is not that of the entries, "
            f"{entries_root.hex()}",
        )
    for index, bundle, tile in both.leaves:
        offset = index % TILE_WIDTH * HASH_SIZE
        if not entries_hold:
            out.add(
                "AUD-13",
                bundle,
                f"entry {index} does not have the hash at offset {offset} of {tile}",
            )
        if not tiles_hold:
            out.add(
                "AUD-13", tile, f"hash at offset {offset} is not that of entry {index} in {bundle}"
            )
    for path, from_entries, from_tiles in both.upper:
        difference = from_tiles if tiles_hold else from_entries
        if difference:
            out.add("AUD-13", path, difference)
