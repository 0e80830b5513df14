"""The auditor against a tamperer who may change any file of a trail but sign nothing."""

import base64
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qisguard.audit import CHECKS
from qisguard.audit.auditor import audit, verdict
from qisguard.audit.findings import FINDING_COUNT_MAX, Findings
from qisguard.audit.policy import Policy, load_policy
from qisguard.exits import Exit
from qisguard.trail.checkpoint import sign_checkpoint
from tests.trails import Net, finding_ids, ordinary, paths_in, write_trail

NET = Net()
A, B = NET.member("a"), NET.member("b")


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(NET.write_policy(tmp_path / "policy"))


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return write_trail(tmp_path / "trail", A, ordinary(NET, A, 5))


@pytest.mark.parametrize("count", [0, 1, 254, 300])
def test_an_honest_trail_is_clean(tmp_path: Path, policy: Policy, count: int) -> None:
    folder = write_trail(tmp_path / "trail", A, ordinary(NET, A, count))
    report = audit([folder], policy)
    assert report.findings == ()
    assert verdict(report) is Exit.CLEAN
    (found,) = report.trails
    assert (found.size, found.publish_count, found.packets_present) == (count + 2, count, count)
    assert (found.hold_count, found.held_packet_count, found.fetched_packet_count) == (1, 3, 3)
    assert found.signatures_checked == count
    assert found.is_signed
    assert found.is_whole


def test_an_empty_trail_is_clean(tmp_path: Path, policy: Policy) -> None:
    report = audit([write_trail(tmp_path / "trail", A, [])], policy)
    assert verdict(report) is Exit.CLEAN
    assert report.trails[0].size == 0


def test_two_honest_trails_are_clean_together(tmp_path: Path, policy: Policy, trail: Path) -> None:
    other = write_trail(tmp_path / "other", B, ordinary(NET, B, 3))
    assert verdict(audit([trail, other], policy)) is Exit.CLEAN


def test_without_a_policy_the_origin_is_unverified(trail: Path) -> None:
    report = audit([trail], None)
    assert report.findings == ()
    assert verdict(report) is Exit.NOT_MEASURED
    assert not report.trails[0].is_signed
    (trail / "stray").touch()
    assert verdict(audit([trail], None)) is Exit.FINDING


def test_a_policy_of_log_keys_alone_is_enough_but_says_what_it_leaves_out(
    tmp_path: Path, policy: Policy, trail: Path
) -> None:
    report = audit([trail], load_policy(tmp_path / "policy" / "logs"))
    assert verdict(report) is Exit.CLEAN
    assert any("no roster" in line for line in report.not_covered)
    assert not any("no roster" in line for line in audit([trail], policy).not_covered)


def test_erased_packets_are_counted_and_are_no_finding(policy: Policy, trail: Path) -> None:
    erased = [path for path in paths_in(trail) if path.startswith("packets/")][:2]
    for path in erased:
        (trail / path).unlink()
    report = audit([trail], policy)
    assert verdict(report) is Exit.CLEAN
    assert (report.trails[0].packets_present, report.trails[0].packets_absent) == (3, 2)
    assert any(line.startswith("2 packets are absent") for line in report.not_covered)


def test_a_line_of_an_unknown_key_changes_nothing(policy: Policy, trail: Path) -> None:
    note = (trail / "checkpoint").read_bytes()
    line = "— stranger.example " + base64.b64encode(bytes(80)).decode() + "\n"
    (trail / "checkpoint").write_bytes(note + line.encode())
    assert verdict(audit([trail], policy)) is Exit.CLEAN


def test_the_report_is_the_same_twice(policy: Policy, trail: Path) -> None:
    (trail / "stray").touch()
    (trail / "checkpoint").write_bytes(b"")
    assert audit([trail], policy) == audit([trail], policy)


@pytest.mark.parametrize("count", [4, 256])
def test_a_flipped_byte_anywhere_is_a_finding_that_names_the_file(
    tmp_path: Path, policy: Policy, count: int
) -> None:
    """Every byte of a small trail, and a sample of each file of one with upper tiles."""
    folder = write_trail(tmp_path / "trail", A, ordinary(NET, A, count))
    if count > 4:
        shutil.rmtree(folder / "packets")
    files = paths_in(folder)
    if count > 4:
        assert {"tile/0/000", "tile/0/001.p/2", "tile/1/000.p/1", "tile/entries/000"} <= set(files)
    for path in files:
        good = (folder / path).read_bytes()
        step = 1 if path == "checkpoint" else max(1, len(good) // (40 if count == 4 else 5))
        for offset in {*range(0, len(good), step), len(good) - 1}:
            bad = bytearray(good)
            bad[offset] ^= 1 << offset % 8
            (folder / path).write_bytes(bad)
            report = audit([folder], policy)
            assert verdict(report) is Exit.FINDING, (path, offset)
            assert path in {found.file for found in report.findings}, (path, offset)
        (folder / path).write_bytes(good)
    assert verdict(audit([folder], policy)) is Exit.CLEAN


@pytest.mark.parametrize("count", [8, 300])
def test_a_partial_tile_of_an_earlier_checkpoint_must_begin_the_present_one(
    tmp_path: Path, policy: Policy, count: int
) -> None:
    """C2SP tlog-tiles, partial tiles: they may stay until the tile is full."""
    items = ordinary(NET, A, count)
    folder = write_trail(tmp_path / "trail", A, items, checkpoint_at={count - 5, count - 1})
    earlier = sorted((folder / "tile").rglob(f"{(count - 5) % 256}"))
    assert [str(path.relative_to(folder / "tile")).split("/")[0] for path in earlier] == [
        "0",
        "entries",
    ]
    assert verdict(audit([folder], policy)) is Exit.CLEAN
    for path in earlier:
        good = path.read_bytes()
        for offset in range(0, len(good), max(1, len(good) // 50)):
            path.write_bytes(good[:offset] + bytes([good[offset] ^ 1]) + good[offset + 1 :])
            report = audit([folder], policy)
            assert {found.file for found in report.findings} == {str(path.relative_to(folder))}
        for bad in (good[:-1], good + bytes(1), b""):
            path.write_bytes(bad)
            assert verdict(audit([folder], policy)) is Exit.FINDING
        path.unlink()
        assert verdict(audit([folder], policy)) is Exit.CLEAN
        path.write_bytes(good)


def test_a_damaged_tile_does_not_put_the_blame_on_an_earlier_one(
    tmp_path: Path, policy: Policy
) -> None:
    folder = write_trail(tmp_path / "trail", A, ordinary(NET, A, 8), checkpoint_at={5})
    present = folder / "tile/0/000.p/10"
    data = bytearray(present.read_bytes())
    data[0] ^= 1
    present.write_bytes(data)
    report = audit([folder], policy)
    assert {found.file for found in report.findings} == {"tile/0/000.p/10"}


@pytest.mark.parametrize("count", [3, 256])
def test_a_truncated_extended_emptied_or_missing_file_is_a_finding(
    tmp_path: Path, policy: Policy, count: int
) -> None:
    folder = write_trail(tmp_path / "trail", A, ordinary(NET, A, count))
    if count > 4:
        shutil.rmtree(folder / "packets")
    for path in paths_in(folder):
        good = (folder / path).read_bytes()
        for bad in (good[:-1], good[: len(good) // 2], b"", good + b"\0", good * 2):
            (folder / path).write_bytes(bad)
            report = audit([folder], policy)
            assert verdict(report) is Exit.FINDING, (path, len(bad))
            assert path in {found.file for found in report.findings}, (path, len(bad))
        if not path.startswith("packets/"):
            (folder / path).unlink()
            report = audit([folder], policy)
            assert path in {found.file for found in report.findings}, path
        (folder / path).write_bytes(good)


@pytest.mark.parametrize(
    "path",
    [
        "stray",
        ".hidden",
        "checkpoint.tmp",
        "tile/stray",
        "tile/0/001",
        "tile/0/000",
        "tile/0/000.p/9",
        "tile/0/000.p/07",
        "tile/0/000.p/7.tmp",
        "tile/1/000.p/1",
        "tile/64/000",
        "tile/0/x000/000",
        "tile/entries/000",
        "tile/entries/001.p/1",
        "packets/stray",
        "packets/zz/x",
        "packets/00/" + "00" * 32,
        "evidence/x.json",
        "a\x1b[31mred",
        "tile/0/x001/x001/x001/x001/x001/x001/x001/x001/000",
    ],
)
def test_an_extra_file_is_a_finding(policy: Policy, trail: Path, path: str) -> None:
    (trail / path).parent.mkdir(parents=True, exist_ok=True)
    (trail / path).write_bytes(bytes(32))
    report = audit([trail], policy)
    assert finding_ids(report) == {"AUD-12"}
    assert all("\x1b" not in found.file + found.summary for found in report.findings)


@pytest.mark.parametrize(
    "path", ["stray", "tile/1", "tile/0/x000", "tile/0/001.p", "tile/entries/x001", "packets/zz"]
)
def test_an_extra_folder_is_a_finding(policy: Policy, trail: Path, path: str) -> None:
    (trail / path).mkdir(parents=True)
    report = audit([trail], policy)
    assert [(found.id, found.file) for found in report.findings] == [("AUD-12", path)]


def test_links_pipes_and_folders_in_place_of_files_are_findings(
    tmp_path: Path, policy: Policy, trail: Path
) -> None:
    """A link to the very same bytes too: what it points to may change after the audit."""
    outside = tmp_path / "outside"
    makers: list[Callable[[Path], None]] = [
        lambda path: path.symlink_to(outside),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(path),
        lambda path: os.mkfifo(path),
        lambda path: path.mkdir(),
    ]
    for path in paths_in(trail):
        good = (trail / path).read_bytes()
        outside.write_bytes(good)
        for make in makers:
            (trail / path).unlink()
            make(trail / path)
            report = audit([trail], policy)
            assert verdict(report) is Exit.FINDING, path
            assert path in {found.file for found in report.findings}, path
            if (trail / path).is_dir() and not (trail / path).is_symlink():
                (trail / path).rmdir()
            else:
                (trail / path).unlink()
            (trail / path).write_bytes(good)
    for name in ("tile", "tile/0", "packets"):
        shutil.move(trail / name, tmp_path / "moved")
        (trail / name).symlink_to(tmp_path / "moved")
        assert "AUD-12" in finding_ids(audit([trail], policy)), name
        (trail / name).unlink()
        shutil.move(tmp_path / "moved", trail / name)
    assert verdict(audit([trail], policy)) is Exit.CLEAN


def test_a_huge_file_is_not_read(policy: Policy, trail: Path) -> None:
    for path in paths_in(trail):
        good = (trail / path).read_bytes()
        with (trail / path).open("r+b") as file:
            file.truncate(1 << 40)
        assert path in {found.file for found in audit([trail], policy).findings}
        (trail / path).write_bytes(good)


def test_a_checkpoint_that_claims_a_huge_tree_is_answered_at_once(
    policy: Policy, trail: Path
) -> None:
    for size in (1 << 20, (1 << 63) - 1):
        head = sign_checkpoint(A.origin, size, bytes(32), A.log)
        (trail / "checkpoint").write_bytes(head.encode())
        report = audit([trail], policy)
        assert "AUD-12" in finding_ids(report)
        assert any("bundles are missing" in line for line in report.not_measured)


def test_many_findings_of_one_check_are_counted(policy: Policy, trail: Path) -> None:
    for number in range(100):
        (trail / f"stray{number}").touch()
    report = audit([trail], policy)
    assert len(report.findings) == FINDING_COUNT_MAX + 1
    assert report.findings[-1].summary.startswith("80 more findings")


def test_every_finding_belongs_to_a_registered_check() -> None:
    found = Findings("trail")
    for check in CHECKS:
        found.add(check, "file", "summary")
    assert [finding.id for finding in found.all()] == sorted(CHECKS)
    assert all(check.startswith("AUD-") for check in CHECKS)
