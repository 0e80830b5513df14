"""The fast ways of the auditor against the slow ones that everybody can follow."""

import random
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from qisguard.audit import one, spool
from qisguard.audit.auditor import audit, verdict
from qisguard.audit.findings import Findings
from qisguard.audit.folder import Folder
from qisguard.audit.hashing import full_root, leaf_hashes
from qisguard.audit.one import Options
from qisguard.audit.packets import NAME, SIGHTING, Contents, Depth, Scope
from qisguard.audit.policy import load_policy
from qisguard.audit.sequences import SIGHTING_ROWS, Log, check_sequences
from qisguard.audit.spool import Spool
from qisguard.audit.times import Attested
from qisguard.errors import QisguardError
from qisguard.exits import Exit
from qisguard.identity.keys import to_text
from qisguard.trail.checkpoint import parse_checkpoint
from qisguard.trail.entries import Entry, Publish, decode_entry, encode_entry, hold, publish
from qisguard.trail.merkle import leaf_hash, root
from tests.trails import TODAY, Net, ordinary, paths_in, published, write_trail

NET = Net()
A = NET.member("a")


def test_hashes_of_whole_tiles_are_those_of_the_tree() -> None:
    entries = [random.Random(n).randbytes(n) for n in range(256)]
    leaves = leaf_hashes(entries)
    assert leaves == [leaf_hash(entry) for entry in entries]
    assert full_root(b"".join(leaves)) == root(leaves)


def _read_entry(data: bytes) -> tuple[list[bytes], set[str]]:
    """Return the rows that the auditor notes of one entry, and what it finds."""
    contents = Contents(Scope(0, Path("/nowhere"), 1, "", depth=Depth.STRUCTURE), Folder(Path("/")))
    out = Findings("")
    contents.start(out)
    contents.read(0, [data], "bundle")
    return contents.names, {found.id for found in out.listed}


def test_the_short_way_reads_what_the_decoder_reads_and_nothing_else() -> None:
    """Every single-byte change of an entry: the decoder and the short way agree."""
    good = encode_entry(publish(TODAY, b"packet", seq=7))
    rng = random.Random(1)
    tried = [good, encode_entry(publish(0, b"x")), encode_entry(hold(1, [bytes(32)]))]
    for place in range(len(good)):
        tried += [good[:place] + bytes([byte]) + good[place + 1 :] for byte in rng.randbytes(12)]
        tried += [good[:place] + good[place + 1 :], good[:place] + b"0" + good[place:]]
    tried.append(good.replace(b"20000", b"9007199254740993"))
    agreed = 0
    for data in tried:
        names, found = _read_entry(data)
        try:
            entry = decode_entry(data)
        except QisguardError:
            assert (names, found) == ([], {"AUD-20"}), data
            continue
        assert found == set(), data
        if isinstance(entry, Publish):
            agreed += 1
            ((digest, index),) = [NAME.unpack(row) for row in names]
            assert (to_text(digest), index) == (entry.digest, 0)
    assert agreed > 100


Row = tuple[bytes, bytes, int, int, int, int]


def _slow(rows: Sequence[Row], jump_max: int) -> dict[int, int]:
    """Return the count of findings by log, case by case and pair by pair."""
    counts: dict[int, int] = defaultdict(int)
    cases: dict[tuple[bytes, bytes], list[Row]] = defaultdict(list)
    for row in rows:
        cases[row[0], row[1]].append(row)
    for seen in cases.values():
        last: dict[int, Row] = {}
        for row in sorted(seen, key=lambda row: (row[5], row[4])):
            counts[row[5]] += row[5] in last and row[2] < last[row[5]][2]
            last[row[5]] = row
        for before, after in pairwise(sorted(seen, key=lambda row: (row[2], row[5], row[4]))):
            is_back = before[5] != after[5] and after[3] < before[3]
            counts[after[5]] += before[2] == after[2] or is_back
            counts[after[5]] += after[2] - before[2] > jump_max
    return {log: count for log, count in counts.items() if count}


@pytest.mark.parametrize("seed", range(20))
def test_sequences_in_parts_are_judged_as_pair_by_pair(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "PART_ROWS", 40)
    monkeypatch.setattr(spool, "BLOCK_ROWS", 32)
    rng = random.Random(seed)
    rows = [
        (
            bytes([rng.randrange(2)]) * 8,
            bytes([rng.randrange(20)]) * 16,
            rng.randrange(12),
            rng.randrange(TODAY, TODAY + 3),
            index,
            rng.randrange(3),
        )
        for index in range(300)
    ]
    logs = [Log(str(n), Folder(tmp_path), 0, Findings(str(n))) for n in range(3)]
    spools = [Spool(SIGHTING_ROWS) for _ in logs]
    for row in rows:
        spools[row[5]].add(SIGHTING.pack(*row))
    check_sequences(spools, logs, 5)
    for one_spool in spools:
        one_spool.__exit__(None, None, None)
    found = {n: sum(log.out.counts.values()) for n, log in enumerate(logs)}
    assert {n: count for n, count in found.items() if count} == _slow(rows, 5)


def test_rows_come_back_in_parts_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "PART_ROWS", 1000)
    kind = np.dtype([("a", ">u8")])
    with Spool(kind) as rows:
        rows.add(random.Random(3).randbytes(8 * 5000))
        count = spool.part_count([rows])
        parts = list(spool.parts([rows], lambda r: _high_byte(r["a"])))
        whole = np.concatenate(list(rows.blocks()), dtype=kind)
    assert len(parts) == count == 8
    assert all(len(part) < 1000 for part in parts)
    assert sorted(value for part in parts for value in part["a"]) == sorted(whole["a"])


def _high_byte(values: "np.ndarray[tuple[int], np.dtype[np.uint64]]") -> spool.Shares:
    return np.asarray(values >> np.uint64(56), np.uint8)


def test_several_processes_say_what_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage included: files of several kinds, in several pieces."""
    monkeypatch.setattr(one, "ALONE_MAX", 100)
    items: list[tuple[Entry, tuple[bytes, ...]]] = [
        (hold(TODAY + n // 900, [sha256(b"%d" % n).digest()]), ()) for n in range(5_000)
    ]
    items[2_600] = (hold(TODAY, [bytes(32)]), ())
    items[4_000] = published(NET.packet(A.author, 1), TODAY + 5)
    folder = write_trail(tmp_path / "trail", A, items)
    policy = load_policy(NET.write_policy(tmp_path / "policy"))
    for number, path in enumerate(paths_in(folder)):
        if number % 9 == 4:
            data = bytearray((folder / path).read_bytes())
            data[len(data) // 2] ^= 1
            (folder / path).write_bytes(data)
    (folder / "packets" / "zz").mkdir()
    reports = [audit([folder], policy, Options(processes=count)) for count in (1, 2)]
    assert reports[0] == reports[1]
    assert verdict(reports[0]) is Exit.FINDING
    assert "AUD-22" in {found.id for found in reports[0].findings}


def test_a_window_of_time_is_what_the_marks_around_an_entry_say() -> None:
    day = 86_400
    seen = [(5, 10 * day), (9, 12 * day), (7, 11 * day)]
    stamped = [(8, 11 * day), (3, 30 * day)]
    times = Attested.of(seen, stamped)
    for index in range(12):
        after = max((t // day for size, t in seen if size <= index), default=None)
        by = min((t // day for size, t in [*seen, *stamped] if size > index), default=None)
        assert times.window(index) == (after, by), index


def test_a_sample_says_what_it_means_and_opens_no_more(tmp_path: Path) -> None:
    folder = write_trail(tmp_path / "trail", A, ordinary(NET, A, 40))
    policy = load_policy(NET.write_policy(tmp_path / "policy"))
    report = audit([folder], policy, Options(sample=20, seed=1))
    assert verdict(report) is Exit.CLEAN
    trail = report.trails[0]
    assert trail.packets_present + trail.packets_unopened == 40
    assert trail.signatures_checked == trail.packets_present <= 20
    (line,) = [line for line in report.not_covered if "sample" in line]
    assert "packets of 20 of 42 entries" in line
    assert "at most 13.91% of all entries" in line
    assert report == audit([folder], policy, Options(sample=20, seed=1))
    assert report != audit([folder], policy, Options(sample=20, seed=2))


def test_structure_alone_opens_no_packet_and_says_so(tmp_path: Path) -> None:
    folder = write_trail(tmp_path / "trail", A, ordinary(NET, A, 5))
    policy = load_policy(NET.write_policy(tmp_path / "policy"))
    for path in paths_in(folder):
        if path.startswith("packets/"):
            (folder / path).write_bytes(b"")
    report = audit([folder], policy, Options(depth=Depth.STRUCTURE))
    assert verdict(report) is Exit.CLEAN
    assert report.trails[0].packets_unopened == 5
    assert any("5 were not opened" in line for line in report.not_covered)


def test_since_leaves_earlier_packets_and_compares_the_tree(tmp_path: Path) -> None:
    items = ordinary(NET, A, 30)
    early = write_trail(tmp_path / "early", A, items[:10])
    folder = write_trail(tmp_path / "trail", A, items)
    policy = load_policy(NET.write_policy(tmp_path / "policy"))
    since = parse_checkpoint((early / "checkpoint").read_bytes())
    report = audit([folder], policy, Options(since=(since,)))
    assert verdict(report) is Exit.CLEAN
    assert (report.trails[0].packets_unopened, report.trails[0].signatures_checked) == (10, 20)
    other = write_trail(tmp_path / "other", A, items[1:])
    assert {f.id for f in audit([other], policy, Options(since=(since,))).findings} == {"AUD-14"}
