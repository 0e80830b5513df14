"""Whether the entries have the root that was signed (AUD-13): everything is computed again.

Entries and level-0 tiles say the same thing twice. When they differ, the side whose root is the
signed one is right and the other side's file is named; when neither is, the checkpoint is.
"""

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from qisguard.audit.findings import Findings
from qisguard.audit.folder import Folder
from qisguard.audit.piece import Leaves, read_bundle
from qisguard.trail.checkpoint import Checkpoint
from qisguard.trail.merkle import EMPTY_ROOT, HASH_SIZE
from qisguard.trail.tiles import (
    ENTRIES,
    ENTRY_SIZE_MAX,
    TILE_WIDTH,
    Tile,
    Tower,
    decode_tile,
    encode_bundle,
    width_at,
)

DIFFERENCE_COUNT_MAX = 1000
MISSING_COUNT_MAX = 1000
"""Bundles that may be missing before the tree is not computed any more."""


@dataclass(slots=True)
class Tree:
    """What was computed: roots by size, and whether the entries are all there and as signed."""

    roots: dict[int, bytes] = field(default_factory=dict)
    entry_count: int = 0
    holds: bool = False
    stopped: str | None = None


class TreeCheck:
    """Takes the tiles of one log in order and, at the end, reports what contradicts its root.

    ``sizes`` are earlier sizes whose roots are wanted too.
    """

    def __init__(
        self, folder: Folder, head: Checkpoint, sizes: Collection[int], out: Findings
    ) -> None:
        self.tree = Tree()
        self._folder = folder
        self._head = head
        self._out = out
        self._wanted = sorted(size for size in sizes if 0 <= size < head.size)
        self._mine = Tower()
        """Of the roots of full level-0 tiles: one level above what its tiles say."""
        self._theirs: Tower | None = None  # None while it is the same
        self._mine_last: Sequence[bytes] = ()
        self._theirs_last: Sequence[bytes] = ()
        self._leaves: list[tuple[int, str, str]] = []
        self._upper: list[tuple[str, str, str]] = []
        if self._wanted[:1] == [0]:
            self.tree.roots[self._wanted.pop(0)] = EMPTY_ROOT

    @staticmethod
    def tiles_of(sizes: Collection[int], size: int) -> frozenset[int]:
        """Return the tiles whose hashes are needed for the roots of earlier ``sizes``."""
        return frozenset((one - 1) // TILE_WIDTH for one in sizes if 0 < one < size)

    def take(self, index: int, leaves: Leaves) -> bool:
        """Take the next tile; return whether the tree can still be computed."""
        if leaves.is_stopped:
            self.tree.stopped = f"bundle and tile {index} are both missing or broken"
            return False
        self.tree.entry_count += leaves.entry_count
        start = index * TILE_WIDTH
        while self._wanted and self._wanted[0] <= start + leaves.width:
            size = self._wanted.pop(0)
            self.tree.roots[size] = _root(self._mine, leaves.hashes[: size - start], size)
        self._note_differing(index, leaves)
        if self._theirs is None and leaves.mine != leaves.theirs:
            self._theirs = copy.deepcopy(self._mine)
        if leaves.width < TILE_WIDTH:
            self._mine_last = leaves.hashes
            self._theirs_last = leaves.their_hashes or leaves.hashes
            return True
        full = self._mine.append(leaves.mine)
        other = full if self._theirs is None else self._theirs.append(leaves.theirs)
        for (tile, row), (_, their_row) in zip(full, other, strict=True):
            self._compare_upper(tile, row, their_row)
        return True

    def finish(self, earlier: Collection[Tile]) -> Tree:
        """Return what was computed, after comparing partial tiles.

        ``earlier`` are the partial tiles of earlier checkpoints, which must be the beginning of
        what is computed.
        """
        mine = self._mine.partials()
        theirs = mine if self._theirs is None else self._theirs.partials()
        for (tile, row), (_, other) in zip(mine, theirs, strict=True):
            self._compare_upper(tile, row, other)
        self._check_earlier(earlier)
        size, tree = self._head.size, self.tree
        tree.roots[size] = _root(self._mine, self._mine_last, size)
        tree.holds = tree.roots[size] == self._head.root and tree.entry_count == size
        self._blame()
        return tree

    def _note_differing(self, index: int, leaves: Leaves) -> None:
        for offset in leaves.differing:
            if len(self._leaves) < DIFFERENCE_COUNT_MAX:
                bundle, tile = (Tile(level, index, leaves.width).path for level in (ENTRIES, 0))
                self._leaves.append((index * TILE_WIDTH + offset, bundle, tile))

    def _compare_upper(self, above: Tile, mine: list[bytes], theirs: list[bytes]) -> None:
        """Note where a tile above level 0 differs from what either side computes."""
        tile = Tile(above.level + 1, above.index, above.width)
        data = self._folder.read(tile.path, tile.width * HASH_SIZE)
        if data is None or len(data) != tile.width * HASH_SIZE:
            return  # reported with the lengths
        first, second = _difference(data, mine, tile), _difference(data, theirs, tile)
        if (first or second) and len(self._upper) < DIFFERENCE_COUNT_MAX:
            self._upper.append((tile.path, first, second))

    def _check_earlier(self, earlier: Collection[Tile]) -> None:
        """Report partial tiles of earlier checkpoints that do not begin the present one."""
        rows = {tile.level + 1: row for tile, row in self._mine.partials()}
        rows[0] = list(self._mine_last)
        for tile in earlier:
            wide = 2 + ENTRY_SIZE_MAX if tile.level == ENTRIES else HASH_SIZE
            data = self._folder.read(tile.path, tile.width * wide)
            if data is None:
                continue  # reported with the lengths
            if tile.level == ENTRIES:
                width = width_at(ENTRIES, tile.index, self._head.size)
                present = read_bundle(self._folder, Tile(ENTRIES, tile.index, width), Findings(""))
                wanted = encode_bundle((present or [])[: tile.width])
            else:
                wanted = b"".join(rows.get(tile.level, [])[: tile.width])
            if data != wanted:
                both = enumerate(zip(data, wanted, strict=False))
                where = next((i for i, (a, b) in both if a != b), len(wanted))
                said = f"offset {where} is not as in the present tile, which begins with it"
                self._out.add("AUD-13", tile.path, said)

    def _blame(self) -> None:
        """Name the files that contradict the signed root."""
        head, out = self._head, self._out
        entries_root = tiles_root = self.tree.roots[head.size]
        if self._theirs is not None:
            tiles_root = _root(self._theirs, self._theirs_last, head.size)
        entries_hold, tiles_hold = entries_root == head.root, tiles_root == head.root
        if not entries_hold and not tiles_hold:
            said = f"root {head.root.hex()} of size {head.size} is not that of the entries, "
            out.add("AUD-13", "checkpoint", said + entries_root.hex())
        for index, bundle, tile in self._leaves:
            offset = index % TILE_WIDTH * HASH_SIZE
            if not entries_hold:
                said = f"entry {index} does not have the hash at offset {offset} of {tile}"
                out.add("AUD-13", bundle, said)
            if not tiles_hold:
                said = f"hash at offset {offset} is not that of entry {index} in {bundle}"
                out.add("AUD-13", tile, said)
        for path, from_entries, from_tiles in self._upper:
            difference = from_tiles if tiles_hold else from_entries
            if difference:
                out.add("AUD-13", path, difference)


def _root(above: Tower, last: Sequence[bytes], size: int) -> bytes:
    """Return the root of ``size`` leaves: full tiles, and the hashes of a last partial one."""
    tower = Tower()
    full = len(last) == TILE_WIDTH
    base = copy.deepcopy(above) if full else above
    if full:
        whole = Tower()
        for value in last:
            whole.append(value)
        base.append(whole.root())
    tower.size = size
    tower.levels = [[] if full else list(last), *base.levels]
    return tower.root()


def _difference(data: bytes, row: list[bytes], tile: Tile) -> str:
    for index, (held, value) in enumerate(zip(decode_tile(data, tile.width), row, strict=True)):
        if held != value:
            below = Tile(tile.level - 1, tile.index * TILE_WIDTH + index, TILE_WIDTH).path
            return f"hash {index} (offset {index * HASH_SIZE}) is not the root of {below}"
    return ""
