"""Packets by name: none is published twice (AUD-22), and none lies there unnamed (AUD-12)."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qisguard.audit.findings import FINDING_COUNT_MAX, Findings, printable
from qisguard.audit.folder import Folder, is_regular
from qisguard.audit.packets import NAME, PACKETS
from qisguard.audit.spool import Rows, Shares, Spool, parts
from qisguard.trail.merkle import HASH_SIZE
from qisguard.trail.tiles import ENTRIES, TILE_WIDTH, Tile, width_at

NAME_ROWS = np.dtype([("a", ">u8"), ("b", ">u8"), ("c", ">u8"), ("d", ">u8"), ("index", "<u8")])
"""What ``NAME`` packs."""
_GROUP = re.compile("[0-9a-f]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Group:
    """One folder of packets, and the digests that entries name there, one after the other."""

    name: str
    named: bytes


@dataclass(slots=True)
class GroupRead:
    """What one folder of packets holds that no entry names."""

    out: Findings = field(default_factory=lambda: Findings(""))
    unreadable: tuple[str, ...] = ()


def first_byte(rows: Rows) -> Shares:
    """Return by which byte rows are split, so that a folder's rows are in one part."""
    return np.asarray(rows["a"] >> np.uint64(56), np.uint8)


def check_replays(spool: Spool, size: int, out: Findings) -> None:
    """Report every entry that publishes what an earlier one did."""
    for rows in parts([spool], first_byte):
        a = np.sort(rows["a"].astype("<u8"))
        if not (a[1:] == a[:-1]).any():
            continue
        ordered = rows[np.lexsort([rows[key] for key in ("index", "d", "c", "b", "a")])]
        same = np.ones(len(ordered) - 1, np.bool_)
        for key in "abcd":
            same &= ordered[key][1:] == ordered[key][:-1]
        places = np.flatnonzero(same) + 1
        for place in places[:FINDING_COUNT_MAX]:
            index, before = (int(ordered["index"][place - n]) for n in (0, 1))
            bundle = index // TILE_WIDTH
            path = Tile(ENTRIES, bundle, width_at(ENTRIES, bundle, size)).path
            said = f"entry {index}: replays the packet that entry {before} published"
            out.add("AUD-22", path, said)
        out.count("AUD-22", max(0, len(places) - FINDING_COUNT_MAX))


def groups(folder: Folder, spool: Spool, out: Findings) -> Iterator[Group]:
    """Yield the folders below ``packets/`` that entries imply; report all else there."""
    present: set[str] = set()
    for entry in folder.entries(PACKETS):
        path = f"{PACKETS}/{entry.name}"
        if not entry.is_dir(follow_symlinks=False):
            out.add("AUD-12", printable(path), "does not belong in a trail")
        elif not _GROUP.fullmatch(entry.name):
            out.add("AUD-12", printable(path), "is a folder that no entry implies")
        else:
            present.add(entry.name)
    for unordered in parts([spool], first_byte):
        rows = unordered[np.argsort(unordered["a"].astype("<u8"), kind="stable")]
        shares = first_byte(rows).astype(np.int64)
        for value in np.unique(shares).tolist():
            start, end = np.searchsorted(shares, [value, value + 1])
            name = f"{value:02x}"
            if name in present:
                present.remove(name)
                yield Group(name, rows[int(start) : int(end)].tobytes())
    for name in sorted(present):
        out.add("AUD-12", f"{PACKETS}/{name}", "is a folder that no entry implies")


def group_reader(root: Path) -> Callable[[Group], GroupRead]:
    """Return what reports the files of a group that no entry names."""
    folder = Folder(root)

    def read(group: Group) -> GroupRead:
        found = GroupRead()
        folder.unreadable = []
        size, data = NAME.size, group.named
        named = {data[at : at + HASH_SIZE].hex() for at in range(0, len(data), size)}
        for entry in folder.entries(f"{PACKETS}/{group.name}"):
            if entry.name in named and entry.is_file(follow_symlinks=False):
                continue
            path = f"{PACKETS}/{group.name}/{entry.name}"
            if is_regular(folder, entry, path, found.out) is not None:
                found.out.add("AUD-12", printable(path), "is named by no publish entry")
        found.unreadable = tuple(folder.unreadable)
        return found

    return read
