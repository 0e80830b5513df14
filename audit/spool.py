"""Rows on disk: what must be compared over a whole log, without holding the log in memory."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK_ROWS = 1 << 16
PART_ROWS = 1 << 17
"""How many rows are meant to be in memory at a time; more from ``PART_COUNT_MAX`` times as many."""
PART_COUNT_MAX = 128
"""Files that are open at a time."""

Rows = npt.NDArray[Any]
"""(n,) structured, of the spool's type."""
Shares = npt.NDArray[np.uint8]


class Spool:
    """Rows of one type in an unnamed temporary file, read back in parts."""

    def __init__(self, kind: "np.dtype[Any]") -> None:
        self.kind = kind
        self.count = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 closed by __exit__

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, data: bytes) -> None:
        """Append whole rows."""
        self._file.write(data)
        self.count += len(data) // self.kind.itemsize

    def blocks(self) -> Iterator[Rows]:
        """Yield all rows in the order in which they were added, some at a time."""
        self._file.flush()
        self._file.seek(0)
        while data := self._file.read(BLOCK_ROWS * self.kind.itemsize):
            yield np.frombuffer(data, self.kind)


def parts(spools: Sequence[Spool], share: Callable[[Rows], Shares]) -> Iterator[Rows]:
    """Yield all rows in parts, each spool by spool in the order in which they were added.

    ``share`` maps rows to bytes whose highest bits say which part a row is in.
    """
    kind = spools[0].kind
    count = part_count(spools)
    shift = 8 - (count.bit_length() - 1)
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
        for rows in (rows for spool in spools for rows in spool.blocks()):
            where = share(rows) >> shift
            order = np.argsort(where, kind="stable")
            rows, ends = rows[order], np.searchsorted(where[order], np.arange(count), "right")
            start = 0
            for file, end in zip(files, ends.tolist(), strict=True):
                file.write(rows[start:end].tobytes())
                start = end
        for file in files:
            file.seek(0)
            yield np.frombuffer(file.read(), kind)


def part_count(spools: Sequence[Spool]) -> int:
    """Return into how many parts all rows are split: a power of two."""
    wanted = -(-sum(spool.count for spool in spools) // PART_ROWS)
    return min(PART_COUNT_MAX, 1 << max(0, wanted - 1).bit_length())
