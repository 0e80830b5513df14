"""Inclusion and consistency proofs, from the few tiles that each of them needs.

Every subtree that RFC 6962 asks for is either full, and then lies in one tile, or ends at the right
edge of the tree. The tiles are not trusted: a proof leaves here once it verifies against the root
that was signed.
"""

from collections.abc import Callable, Sequence

from qisguard.errors import DecodeError, ProofError, TrailError
from qisguard.trail.checkpoint import Checkpoint
from qisguard.trail.merkle import (
    EMPTY_ROOT,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from qisguard.trail.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    decode_bundle,
    decode_tile,
    width_at,
)

Read = Callable[[str], bytes | None]
"""Takes a path inside the trail; returns the file's bytes, or None when there is no such file."""
CACHED_MAX = 64
_TILE_HEIGHT = 8


class TreeReader:
    """The tree of one signed checkpoint, read from tiles as they are needed."""

    def __init__(self, read: Read, head: Checkpoint) -> None:
        self.head = head
        self._read = read
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self._edges: dict[tuple[int, int], bytes] = {}

    def entry(self, index: int) -> bytes:
        """Return one entry, nothing proved.

        Raises:
            TrailError: its bundle is missing or is no bundle, or the tree is not so large.
        """
        self._check_index(index)
        number = index // TILE_WIDTH
        width = width_at(ENTRIES, number, self.head.size)
        data, held = self._find(ENTRIES, number, width)
        try:
            return decode_bundle(data, held)[index % TILE_WIDTH]
        except DecodeError as error:
            raise TrailError(f"trail: {Tile(ENTRIES, number, held).path!r}: {error}") from None

    def inclusion(self, index: int, entry: bytes) -> list[bytes]:
        """Return the audit path of ``entry``, which is number ``index`` (RFC 6962, section 2.1.1).

        Raises:
            TrailError: the tree is not so large, or a tile is missing, is no tile, or is false.
        """
        self._check_index(index)
        low, high = 0, self.head.size
        path: list[bytes] = []
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._subtree(middle, high))
                high = middle
            else:
                path.append(self._subtree(low, middle))
                low = middle
        path.reverse()
        try:
            verify_inclusion(index, self.head.size, leaf_hash(entry), path, self.head.root)
        except ProofError as error:
            raise TrailError(f"trail: the tiles do not prove entry {index}: {error}") from None
        return path

    def consistency(self, old_size: int, old_root: bytes | None = None) -> list[bytes]:
        """Return the proof that the first ``old_size`` entries are unchanged (RFC 6962, 2.1.2).

        ``old_root``: of that size, if it is known; else it is read from the tiles.

        Raises:
            TrailError: the tree is smaller, a tile is missing, is no tile or is false, or the old
                root is that of another history.
        """
        size = self.head.size
        if not 0 <= old_size <= size:
            raise TrailError(f"trail: no consistency proof from size {old_size} to {size}")
        known = self.root_at(old_size) if old_root is None else old_root
        path: list[bytes] = []
        low, high, is_whole = 0, size, True
        while 0 < old_size < high:
            middle = low + _split(high - low)
            if old_size <= middle:
                path.append(self._subtree(middle, high))
                high = middle
            else:
                path.append(self._subtree(low, middle))
                low, is_whole = middle, False
        if not is_whole:
            path.append(self._subtree(low, high))
        path.reverse()
        try:
            verify_consistency(old_size, size, known, self.head.root, path)
        except ProofError as error:
            raise TrailError(
                f"trail: the tiles do not prove that size {old_size} was continued: {error}"
            ) from None
        return path

    def root_at(self, size: int) -> bytes:
        """Return the root that the tree had at ``size``, as the tiles say."""
        if not 0 <= size <= self.head.size:
            raise TrailError(f"trail: no root of size {size} in a tree of {self.head.size}")
        return self._subtree(0, size) if size else EMPTY_ROOT

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self.head.size:
            raise TrailError(f"trail: no entry {index} in a tree of {self.head.size}")

    def _subtree(self, low: int, high: int) -> bytes:
        """Return the root over leaves ``low`` to ``high``; ``low`` is a multiple of its size."""
        if (low, high) in self._edges:
            return self._edges[low, high]
        peaks = []
        start = low
        while start < high:
            height = (high - start).bit_length() - 1
            peaks.append(self._full(start >> height, height))
            start += 1 << height
        value = peaks[-1]
        for peak in peaks[-2::-1]:
            value = node_hash(peak, value)
        if len(peaks) > 1 and len(self._edges) < CACHED_MAX:
            self._edges[low, high] = value  # the right edge is a part of every proof
        return value

    def _full(self, index: int, height: int) -> bytes:
        """Return the root of full subtree number ``index`` among those of 2^height leaves."""
        level, inside = divmod(height, _TILE_HEIGHT)
        first = index << inside
        row = self._tile(level, first // TILE_WIDTH)
        offset = first % TILE_WIDTH
        return root(row[offset : offset + (1 << inside)])

    def _tile(self, level: int, number: int) -> Sequence[bytes]:
        held = self._tiles.get((level, number))
        if held is None:
            width = width_at(level, number, self.head.size)
            data, found = self._find(level, number, width)
            try:
                held = decode_tile(data, found)[:width]
            except DecodeError as error:
                raise TrailError(f"trail: {Tile(level, number, found).path!r}: {error}") from None
            if len(self._tiles) >= CACHED_MAX:
                self._tiles.pop(next(iter(self._tiles)))
            self._tiles[level, number] = held
        return held

    def _find(self, level: int, number: int, width: int) -> tuple[bytes, int]:
        """Return the bytes of a tile and how wide the file is.

        A writer may have removed a partial tile once the full one was there (C2SP tlog-tiles).
        """
        for found in (width, TILE_WIDTH):
            data = self._read(Tile(level, number, found).path)
            if data is not None:
                return data, found
        raise TrailError(f"trail: {Tile(level, number, width).path!r} is missing")


def _split(size: int) -> int:
    """Return the largest power of two smaller than ``size``."""
    return 1 << (size - 1).bit_length() - 1
