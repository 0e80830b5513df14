"""Numbers of one (author, case): used once, rising in every log and over all logs (AUD-22)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qisguard.audit.findings import FINDING_COUNT_MAX, Findings
from qisguard.audit.folder import Folder
from qisguard.audit.piece import read_bundle
from qisguard.audit.spool import Rows, Shares, Spool, parts
from qisguard.errors import QisguardError
from qisguard.identity.keys import SIGNATURE_SIZE, from_text
from qisguard.outcomes.packet import PACKET_SIZE_MAX
from qisguard.trail.entries import Publish, decode_entry
from qisguard.trail.log import packet_path
from qisguard.trail.merkle import HASH_SIZE
from qisguard.trail.tiles import ENTRIES, TILE_WIDTH, Tile, width_at

SIGHTING_ROWS = np.dtype(
    [
        ("author", "<u8"),
        ("case_low", "<u8"),
        ("case_high", "<u8"),
        ("seq", "<u8"),
        ("day", "<u8"),
        ("index", "<u8"),
        ("log", "<u8"),
    ]
)
"""What ``SIGHTING`` packs."""
_CASE = ("case_high", "case_low", "author")
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""Spreads cases over the parts (Knuth, The Art of Computer Programming, section 6.4)."""


@dataclass(frozen=True, slots=True)
class Log:
    """One log, for what is said of its entries; findings go to ``out``."""

    name: str
    folder: Folder
    size: int
    out: Findings


def check_sequences(spools: Sequence[Spool], logs: Sequence[Log], jump_max: int) -> None:
    """Report numbers that repeat, fall or jump by more than replicas take.

    A row's ``log`` is a place in ``logs``.
    """
    if not spools:
        return
    for rows in parts(spools, _share):
        if len(rows) < 2:
            continue
        within = rows[_order(rows, "index", "log", *_CASE)]
        fell = _same(within, "log") & (within["seq"][1:] < within["seq"][:-1])
        _report(within, fell, logs, _say_fallen)
        over = rows[_order(rows, "index", "log", "seq", *_CASE)]
        same = _same(over)
        before, after = over[:-1], over[1:]
        again = same & (before["seq"] == after["seq"])
        _report(over, again, logs, _say_again)
        other = before["log"] != after["log"]
        back = same & ~again & (after["day"] < before["day"]) & other
        _report(over, back, logs, _say_back)
        _report(over, same & (after["seq"] - before["seq"] > jump_max), logs, _say_jump)


def _share(rows: Rows) -> Shares:
    mixed = (rows["author"] ^ rows["case_low"] ^ rows["case_high"]) * _MIX
    return np.asarray(mixed >> np.uint64(56), np.uint8)


def _order(rows: Rows, *keys: str) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    return np.lexsort([rows[key] for key in keys])


def _same(rows: Rows, *keys: str) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Return for every row but the first whether it is of the same case as the one before it."""
    same = np.ones(len(rows) - 1, np.bool_)
    for key in (*_CASE, *keys):
        same &= rows[key][1:] == rows[key][:-1]
    return same


@dataclass(frozen=True, slots=True)
class _Seen:
    """One row, with its log."""

    seq: int
    day: int
    index: int
    log: Log

    @property
    def where(self) -> str:
        return f"entry {self.index} of {self.log.name}"

    def packet(self) -> tuple[str, bytes | None]:
        """Return path and body of the packet behind the row, read again."""
        bundle = self.index // TILE_WIDTH
        tile = Tile(ENTRIES, bundle, width_at(ENTRIES, bundle, self.log.size))
        entries = read_bundle(self.log.folder, tile, Findings(""))
        try:
            entry = decode_entry((entries or [])[self.index % TILE_WIDTH])
        except (QisguardError, IndexError):
            return tile.path, None
        if not isinstance(entry, Publish):
            return tile.path, None
        path = packet_path(from_text(entry.digest, HASH_SIZE))
        data = self.log.folder.read(path, PACKET_SIZE_MAX)
        return path, None if data is None else data[:-SIGNATURE_SIZE]


def _report(
    rows: Rows,
    mask: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    logs: Sequence[Log],
    say: Callable[[_Seen, _Seen], str],
) -> None:
    """Add a finding for every row after a place where ``mask`` holds; beyond a limit, count."""
    places = np.flatnonzero(mask)
    for place in places[:FINDING_COUNT_MAX]:
        before, after = (_seen(rows, place + i, logs) for i in (0, 1))
        path, _ = after.packet()
        after.log.out.add("AUD-22", path, f"same author and case: {say(before, after)}")
    for number, count in zip(
        *np.unique(rows["log"][1:][places[FINDING_COUNT_MAX:]], return_counts=True), strict=True
    ):
        logs[int(number)].out.count("AUD-22", int(count))


def _seen(rows: Rows, place: int, logs: Sequence[Log]) -> _Seen:
    seq, day, index, log = (int(rows[key][place]) for key in ("seq", "day", "index", "log"))
    return _Seen(seq, day, index, logs[log])


def _say_fallen(before: _Seen, after: _Seen) -> str:
    return f"seq {after.seq} in entry {after.index}, after seq {before.seq} in entry {before.index}"


def _say_again(before: _Seen, after: _Seen) -> str:
    same = before.packet()[1] == after.packet()[1]
    kind = "replays" if same else "contradicts (equivocation)"
    return f"seq {after.seq} in entry {after.index} {kind} {before.where}"


def _say_back(before: _Seen, after: _Seen) -> str:
    return f"seq {after.seq} on day {after.day}, but seq {before.seq} on day {before.day} in " + (
        before.where
    )


def _say_jump(before: _Seen, after: _Seen) -> str:
    jump = after.seq - before.seq
    return f"seq {after.seq} in entry {after.index} is {jump} more than in {before.where}"
