"""The auditor against a tamperer who may do anything to a trail but cannot sign for others."""

import base64
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qisguard.audit import CHECKS
from qisguard.audit.auditor import AuditReport, audit, check_arguments, verdict
from qisguard.audit.findings import FINDING_COUNT_MAX, Findings
from qisguard.audit.policy import Policy, load_policy, parse_logs
from qisguard.errors import ScenarioError
from qisguard.exits import Exit
from qisguard.identity.keys import PACKET_TAG, KeyPair
from qisguard.identity.roster import Issuer, Roster
from qisguard.outcomes.packet import OutcomePacket
from qisguard.trail.checkpoint import LogKey, parse_checkpoint, sign_checkpoint
from qisguard.trail.entries import Entry, hold, publish
from qisguard.trail.log import packet_path
from qisguard.trail.merkle import leaf_hash, root
from qisguard.trail.tiles import ENTRIES, Tile, decode_bundle, encode_bundle, parse_path
from tests.trails import TODAY, Net, key, ordinary, published, write_trail

NET = Net()
A, B = NET.member("a"), NET.member("b")
ORDER = (1 << 252) + 27742317777372353535851937790883648493
"""Of the prime-order group (RFC 8032, section 5.1)."""


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(NET.write_policy(tmp_path / "policy"))


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return write_trail(tmp_path / "trail", A, ordinary(NET, A, 5))


def _ids(report: AuditReport) -> set[str]:
    return {found.id for found in report.findings}


def _files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def _seal(folder: Path, log: KeyPair, origin: str = A.origin) -> None:
    """Sign whatever entries the folder holds, and write the tile that goes with them."""
    bundles = [p for p in _files(folder) if p.startswith("tile/entries/")]
    assert len(bundles) == 1
    width = parse_path(bundles[0]).width
    leaves = [leaf_hash(e) for e in decode_bundle((folder / bundles[0]).read_bytes(), width)]
    (folder / Tile(0, 0, width).path).write_bytes(b"".join(leaves))
    head = sign_checkpoint(origin, len(leaves), root(leaves), log)
    (folder / "checkpoint").write_bytes(head.encode())


# --- the good cases ------------------------------------------------------------------------------
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
    erased = [path for path in _files(trail) if path.startswith("packets/")][:2]
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


# --- any byte of any file ------------------------------------------------------------------------
@pytest.mark.parametrize("count", [4, 256])
def test_a_flipped_byte_anywhere_is_a_finding_that_names_the_file(
    tmp_path: Path, policy: Policy, count: int
) -> None:
    """Every byte of a small trail, and a sample of each file of one with upper tiles."""
    folder = write_trail(tmp_path / "trail", A, ordinary(NET, A, count))
    if count > 4:
        shutil.rmtree(folder / "packets")
    files = _files(folder)
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


@pytest.mark.parametrize("count", [3, 256])
def test_a_truncated_extended_emptied_or_missing_file_is_a_finding(
    tmp_path: Path, policy: Policy, count: int
) -> None:
    folder = write_trail(tmp_path / "trail", A, ordinary(NET, A, count))
    if count > 4:
        shutil.rmtree(folder / "packets")
    for path in _files(folder):
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
        "tile/0/000.p/6",
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
    assert _ids(report) == {"AUD-12"}
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
    for path in _files(trail):
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
        assert "AUD-12" in _ids(audit([trail], policy)), name
        (trail / name).unlink()
        shutil.move(tmp_path / "moved", trail / name)
    assert verdict(audit([trail], policy)) is Exit.CLEAN


def test_a_huge_file_is_not_read(policy: Policy, trail: Path) -> None:
    for path in _files(trail):
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
        assert "AUD-12" in _ids(report)
        assert any("bundles are missing" in line for line in report.not_measured)


def test_many_findings_of_one_check_are_counted(policy: Policy, trail: Path) -> None:
    for number in range(100):
        (trail / f"stray{number}").touch()
    report = audit([trail], policy)
    assert len(report.findings) == FINDING_COUNT_MAX + 1
    assert report.findings[-1].summary.startswith("80 more findings")


# --- the tree ------------------------------------------------------------------------------------
def _change_entries(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = next(p for p in _files(folder) if p.startswith("tile/entries/"))
    width = parse_path(path).width
    entries = change(decode_bundle((folder / path).read_bytes(), width))
    (folder / path).unlink()
    (folder / Tile(0, 0, width).path).unlink()
    (folder / Tile(ENTRIES, 0, len(entries)).path).write_bytes(encode_bundle(entries))
    hashes = b"".join(leaf_hash(entry) for entry in entries)
    (folder / Tile(0, 0, len(entries)).path).write_bytes(hashes)


def test_swapped_entries_with_fixed_tiles_do_not_have_the_root(policy: Policy, trail: Path) -> None:
    _change_entries(trail, lambda e: [e[1], e[0], *e[2:]])
    report = audit([trail], policy)
    assert _ids(report) == {"AUD-13"}
    assert report.findings[0].file == "checkpoint"


def test_an_entry_deleted_or_changed_with_fixed_tiles_is_found(policy: Policy, trail: Path) -> None:
    _change_entries(trail, lambda e: [*e[:2], e[2].replace(b"20000", b"19999"), *e[3:]])
    assert "AUD-13" in _ids(audit([trail], policy))


def test_a_shortened_log_under_its_old_checkpoint_is_found(policy: Policy, trail: Path) -> None:
    _change_entries(trail, lambda e: [*e[:2], *e[3:]])
    assert "AUD-12" in _ids(audit([trail], policy))


def test_an_inner_node_in_place_of_leaves_is_found(policy: Policy, trail: Path) -> None:
    """The forgery that trees without leaf prefix accept: two leaf hashes as one entry."""
    _change_entries(trail, lambda e: [leaf_hash(e[0]) + leaf_hash(e[1]), *e[2:]])
    assert "AUD-12" in _ids(audit([trail], policy))
    _change_entries(trail, lambda e: [*e, e[-1]])
    assert {"AUD-13", "AUD-20"} <= _ids(audit([trail], policy))


def test_an_entry_in_another_spelling_is_found_even_if_the_log_signed_it(
    policy: Policy, trail: Path
) -> None:
    _change_entries(trail, lambda e: [e[0].replace(b'":', b'": ', 1), *e[1:]])
    _seal(trail, A.log)
    assert "AUD-20" in _ids(audit([trail], policy))


# --- the checkpoint ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace(b"\n", b"\r\n"),
        lambda note: note.replace(b"\n7\n", b"\n07\n"),
        lambda note: note.replace(b"\n7\n", b"\n-0\n"),
        lambda note: note.replace(b"\n7\n", b"\n9223372036854775808\n"),
        lambda note: note.replace(b"\n\n", b"\n\n\n"),
        lambda note: note[:-1],
        lambda note: note + b"\n",
        lambda note: b"\xef\xbb\xbf" + note,
        lambda note: b"",
    ],
)
def test_a_checkpoint_in_another_spelling_is_found(
    policy: Policy, trail: Path, change: Callable[[bytes], bytes]
) -> None:
    note = (trail / "checkpoint").read_bytes()
    assert change(note) != note
    (trail / "checkpoint").write_bytes(change(note))
    report = audit([trail], policy)
    assert [found.file for found in report.findings if found.id in ("AUD-10", "AUD-11")] == [
        "checkpoint"
    ]


def test_size_plus_one_and_another_key_of_the_same_name_are_found(
    policy: Policy, trail: Path
) -> None:
    good = parse_checkpoint((trail / "checkpoint").read_bytes())
    more = (trail / "checkpoint").read_bytes().replace(b"\n7\n", b"\n8\n")
    other = sign_checkpoint(A.origin, good.size, good.root, key("thief")).encode()
    foreign = sign_checkpoint(B.origin, good.size, good.root, B.log).encode()
    cross = sign_checkpoint(A.origin, good.size, good.root, B.log).encode()
    unlisted = sign_checkpoint("other.example/log", good.size, good.root, A.log).encode()
    for note in (more, other, cross, unlisted):
        (trail / "checkpoint").write_bytes(note)
        assert "AUD-11" in _ids(audit([trail], policy))
    (trail / "checkpoint").write_bytes(foreign)  # B signs A's tree: A's packets are not B's
    assert _ids(audit([trail], policy)) == {"AUD-21"}


def test_the_line_of_one_log_does_not_vouch_for_the_origin_of_another(
    policy: Policy, trail: Path
) -> None:
    good = parse_checkpoint((trail / "checkpoint").read_bytes())
    line = sign_checkpoint(B.origin, good.size, good.root, B.log)
    text = good.text
    signature = B.log.sign(b"", text)
    note = text + b"\n" + f"— {B.origin} ".encode()
    note += base64.b64encode(line.lines[0].id + signature) + b"\n"
    (trail / "checkpoint").write_bytes(note)
    report = audit([trail], policy)
    assert [(f.id, "not the log that signed" in f.summary) for f in report.findings] == [
        ("AUD-11", True)
    ]


def test_a_bad_signature_of_a_known_key_beside_a_good_one_is_found(
    policy: Policy, trail: Path
) -> None:
    note = (trail / "checkpoint").read_bytes()
    bad = base64.b64encode(LogKey(B.origin, B.log.public).id + bytes(64)).decode()
    (trail / "checkpoint").write_bytes(note + f"— {B.origin} {bad}\n".encode())
    assert _ids(audit([trail], policy)) == {"AUD-11"}


def test_a_trail_without_checkpoint_is_found_and_a_folder_without_trail_not_measured(
    tmp_path: Path, policy: Policy, trail: Path
) -> None:
    (trail / "checkpoint").unlink()
    assert _ids(audit([trail], policy)) == {"AUD-10"}
    (tmp_path / "empty").mkdir()
    report = audit([tmp_path / "empty"], policy)
    assert verdict(report) is Exit.NOT_MEASURED


# --- earlier checkpoints and other copies --------------------------------------------------------
def _policy_with(tmp_path: Path, **checkpoints: bytes) -> Policy:
    return load_policy(NET.write_policy(tmp_path / "remembering", None, **checkpoints))


def test_a_log_that_grew_continues_its_earlier_checkpoints(tmp_path: Path) -> None:
    items = ordinary(NET, A, 300)
    notes = {
        f"size{n}": (write_trail(tmp_path / str(n), A, items[:n]) / "checkpoint").read_bytes()
        for n in (0, 1, 255, 256, 257, 302)
    }
    whole = write_trail(tmp_path / "trail", A, items)
    policy = _policy_with(tmp_path, **notes)
    assert verdict(audit([whole], policy)) is Exit.CLEAN
    assert verdict(audit([tmp_path / "257", whole, tmp_path / "1"], Policy(policy.logs))) is (
        Exit.CLEAN
    )


def test_a_rolled_back_log_is_found(tmp_path: Path) -> None:
    items = ordinary(NET, A, 5)
    later = write_trail(tmp_path / "later", A, items) / "checkpoint"
    old = write_trail(tmp_path / "old", A, items[:4])
    report = audit([old], _policy_with(tmp_path, later=later.read_bytes()))
    assert [(found.id, found.file) for found in report.findings] == [("AUD-14", "checkpoint")]
    assert "rolled back" in report.findings[0].summary


def test_a_log_with_another_tail_is_found_against_an_earlier_checkpoint(tmp_path: Path) -> None:
    items = ordinary(NET, A, 5)
    seen = write_trail(tmp_path / "seen", A, items[:4]) / "checkpoint"
    rewritten = write_trail(tmp_path / "trail", A, [*items[:3], *items[4:]])
    report = audit([rewritten], _policy_with(tmp_path, seen=seen.read_bytes()))
    assert _ids(report) == {"AUD-14"}


def test_a_log_rebuilt_with_its_own_key_is_a_split_view(tmp_path: Path, policy: Policy) -> None:
    items = ordinary(NET, A, 5)
    first = write_trail(tmp_path / "first", A, items)
    second = write_trail(tmp_path / "second", A, [items[1], items[0], *items[2:]])
    report = audit([first, second], policy)
    assert _ids(report) == {"AUD-31"}
    assert str(first) in report.findings[0].summary
    remembered = _policy_with(tmp_path, note=(first / "checkpoint").read_bytes())
    assert _ids(audit([second], remembered)) == {"AUD-31"}
    assert _ids(audit([first, second], None)) == {"AUD-14"}


def test_two_copies_of_different_sizes_that_contradict_are_found(
    tmp_path: Path, policy: Policy
) -> None:
    items = ordinary(NET, A, 5)
    small = write_trail(tmp_path / "small", A, [items[1], items[0]])
    large = write_trail(tmp_path / "large", A, items)
    assert _ids(audit([small, large], policy)) == {"AUD-14"}
    assert _ids(audit([large, small], policy)) == {"AUD-14"}


def test_a_policy_that_remembers_a_split_view_says_so(tmp_path: Path, trail: Path) -> None:
    other = write_trail(tmp_path / "other", A, ordinary(NET, A, 5)[::-1][2:])
    notes = {
        "one": (write_trail(tmp_path / "one", A, ordinary(NET, A, 3)) / "checkpoint").read_bytes(),
        "two": (other / "checkpoint").read_bytes(),
    }
    report = audit([trail], _policy_with(tmp_path, **notes))
    assert ("AUD-31", "checkpoints/two") in {(f.id, f.file) for f in report.findings}


# --- packets -------------------------------------------------------------------------------------
def _audit_items(
    tmp_path: Path, policy: Policy | None, items: list[tuple[Entry, tuple[bytes, ...]]]
) -> AuditReport:
    return audit([write_trail(tmp_path / "trail", A, items)], policy)


def _raw(data: bytes) -> tuple[Entry, tuple[bytes, ...]]:
    return publish(TODAY, data), (data,)


def test_forged_or_malformed_packets_are_found_even_if_the_log_names_them(
    tmp_path: Path, policy: Policy
) -> None:
    good = NET.packet(A.author, 1).data
    body, signature = good[:-64], good[-64:]
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    small_order = b"\x01" + bytes(31)
    weak = body.replace(
        NET.packet(A.author, 1).body.author.encode(),
        base64.urlsafe_b64encode(small_order).rstrip(b"="),
    )
    bad = [
        body + signature[:-1] + bytes([signature[-1] ^ 1]),
        body.replace(b'"time":100', b'"time":900') + signature,
        body + signature[:32] + scalar.to_bytes(32, "little"),
        weak + small_order + bytes(32),
        body + A.author.sign(b"qisguard/record/v1\n", body),
        body + A.log.sign(PACKET_TAG, body),
    ]
    for spelled in (
        body.replace(b'"seq":0', b'"seq":0,"seq":0'),
        body.replace(b'"seq":0', b'"seq":0.0'),
        body + b" ",
        body.replace(b'"v":1', b'"v":1,"x":1'),
    ):
        assert spelled != body
        bad.append(spelled + A.author.sign(PACKET_TAG, spelled))
    for number, data in enumerate(bad):
        report = _audit_items(tmp_path / str(number), policy, [_raw(data)])
        assert _ids(report) == {"AUD-20"}, number
        assert report.trails[0].signatures_checked == 0


def test_a_packet_exchanged_for_another_genuine_one_is_found(policy: Policy, trail: Path) -> None:
    path = next(path for path in _files(trail) if path.startswith("packets/"))
    (trail / path).write_bytes(NET.packet(A.author, 99).data)
    report = audit([trail], policy)
    assert [(found.id, found.file) for found in report.findings] == [("AUD-20", path)]


def test_a_genuine_packet_that_no_entry_names_is_found(policy: Policy, trail: Path) -> None:
    packet = NET.packet(A.author, 99)
    target = trail / packet_path(packet.digest)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(packet.data)
    assert _ids(audit([trail], policy)) == {"AUD-12"}


def test_authors_off_the_roster_of_another_issuer_or_too_early_are_found(
    tmp_path: Path, policy: Policy
) -> None:
    stranger = published(NET.packet(key("stranger"), 1))
    assert _ids(_audit_items(tmp_path / "1", policy, [stranger])) == {"AUD-21"}
    other = published(NET.packet(B.author, 1))
    assert _ids(_audit_items(tmp_path / "2", policy, [other])) == {"AUD-21"}
    late = load_policy(NET.write_policy(tmp_path / "late", NET.roster(enrolled=TODAY + 1)))
    own = published(NET.packet(A.author, 1))
    assert _ids(_audit_items(tmp_path / "3", late, [own])) == {"AUD-21"}
    moved = Issuer("a", TODAY - 100, (A.author.public,), (B.node,))
    elsewhere = load_policy(
        NET.write_policy(tmp_path / "elsewhere", Roster(NET.network.id, 1, (moved,)))
    )
    assert _ids(_audit_items(tmp_path / "4", elsewhere, [own])) == {"AUD-21"}
    assert _ids(_audit_items(tmp_path / "5", policy, [own])) == set()


def _of_other_network() -> OutcomePacket:
    return Net("other").packet(A.author, 1)


@pytest.mark.parametrize(
    "items",
    [
        [published(_of_other_network())],
        [published(NET.packet(A.author, 1, day=TODAY + 1))],
        [published(NET.packet(A.author, 1, exp=TODAY - 1))],
        [published(NET.packet(A.author, 1))] * 2,
        [published(NET.packet(A.author, 1)), published(NET.packet(A.author, 1, time=7))],
        [published(NET.packet(A.author, 1, seq=2)), published(NET.packet(A.author, 1, seq=1))],
        [published(NET.packet(A.author, 1)), (hold(TODAY - 1, [bytes(32)]), ())],
        [(publish(TODAY, NET.packet(A.author, 1).data, seq=5), (NET.packet(A.author, 1).data,))],
        [
            (
                publish(TODAY, NET.packet(A.author, 1).data, key=bytes(32)),
                (NET.packet(A.author, 1).data,),
            )
        ],
    ],
    ids=[
        "other network",
        "from the future",
        "expired",
        "replayed",
        "equivocation",
        "falling sequence",
        "falling days",
        "other sequence than the entry",
        "other key than the entry",
    ],
)
def test_packets_that_contradict_time_network_or_sequence_are_found(
    tmp_path: Path, policy: Policy, items: list[tuple[Entry, tuple[bytes, ...]]]
) -> None:
    assert _ids(_audit_items(tmp_path, policy, items)) == {"AUD-22"}


def test_rising_sequences_of_a_case_are_clean(tmp_path: Path, policy: Policy) -> None:
    items = [published(NET.packet(A.author, 1, seq=n), TODAY + n) for n in (0, 1, 3)]
    assert verdict(_audit_items(tmp_path, policy, items)) is Exit.CLEAN


def _two_nodes(
    tmp_path: Path, first: OutcomePacket, second: OutcomePacket, day: int
) -> AuditReport:
    """One issuer runs both nodes; each publishes one packet."""
    issuer = Issuer("a", TODAY - 100, (A.author.public,), (A.node, B.node))
    policy = load_policy(
        NET.write_policy(tmp_path / "policy", Roster(NET.network.id, 1, (issuer,)))
    )
    one = write_trail(tmp_path / "one", A, [published(first, TODAY)])
    two = write_trail(tmp_path / "two", B, [published(second, day)])
    return audit([one, two], policy)


def test_sequences_are_compared_over_all_logs(tmp_path: Path) -> None:
    def packet(seq: int, time: int = 100) -> OutcomePacket:
        return NET.packet(A.author, 1, seq=seq, time=time)

    for number, (first, second, day, ids) in enumerate(
        [
            (packet(0), packet(1), TODAY + 1, set()),
            (packet(0), packet(1), TODAY, set()),
            (packet(0), packet(1), TODAY - 1, {"AUD-22"}),
            (packet(0), packet(0), TODAY, {"AUD-22"}),
            (packet(0), packet(0, time=7), TODAY, {"AUD-22"}),
        ]
    ):
        assert _ids(_two_nodes(tmp_path / str(number), first, second, day)) == ids, number


# --- policies ------------------------------------------------------------------------------------
def test_a_policy_inside_a_trail_or_around_it_is_refused(tmp_path: Path, trail: Path) -> None:
    policy = NET.write_policy(tmp_path / "policy")
    check_arguments([trail], policy)
    inside = NET.write_policy(trail / "policy")
    link = tmp_path / "link"
    link.symlink_to(inside)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "logs").symlink_to(inside / "logs")
    for bad in (inside, inside / "logs", tmp_path, link, mixed):
        with pytest.raises(ScenarioError, match="trust must come from elsewhere"):
            check_arguments([trail], bad)
    with pytest.raises(ScenarioError, match="given twice"):
        check_arguments([trail, tmp_path / "policy" / ".." / "trail"], policy)
    with pytest.raises(ScenarioError, match="does not exist"):
        check_arguments([tmp_path / "nothing"], policy)
    with pytest.raises(ScenarioError, match="is not a folder"):
        check_arguments([trail / "checkpoint"], policy)


_VKEY = LogKey(A.origin, A.log.public).vkey.encode()
_LOG = b"log " + _VKEY + b"\n"


def test_a_policy_file_may_hold_comments_tabs_and_addresses() -> None:
    data = b"# logs\n\n\t log\t" + _VKEY + b" https://log.example/ \n  # end\nquorum none\n"
    assert parse_logs(data) == (LogKey(A.origin, A.log.public),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 quorum lines"),
        (b"quorum none\n", "names no log"),
        (_LOG, "0 quorum lines"),
        (_LOG + b"quorum none\nquorum none\n", "2 quorum lines"),
        (_LOG + _LOG + b"quorum none\n", "line 2: this log key is listed twice"),
        (_LOG + b"quorum none", "line 2: does not end in a newline"),
        (_LOG.replace(b"\n", b"\r\n"), "line 1: holds a control character"),
        (_LOG + b"witness w " + _VKEY + b"\n", "line 2: 'witness'"),
        (_LOG + b"quorum all\n", "line 2: 'quorum'"),
        (b"log\n", "line 1: 'log' is not"),
        (b"logs x\n", "line 1"),
        (b"\nlog " + _VKEY[:-1] + b"\n", "line 2: verifier key"),
        (b"\xff\n", "not UTF-8 at offset 0"),
    ],
)
def test_a_policy_file_with_a_mistake_names_the_line(data: bytes, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        parse_logs(data)


def test_a_policy_folder_with_a_mistake_is_refused(tmp_path: Path) -> None:
    for number, (name, content, message) in enumerate(
        [
            ("authority", None, "wants all of authority, network, roster"),
            ("logs", None, "is missing"),
            ("stray", b"", "'stray' is no part of a policy"),
            ("authority", b"AAAA\n", "authority"),
            ("network", b"{}\n", "network"),
            ("roster", b"x" * (5 << 20), "more than"),
            ("checkpoints/one", b"", "checkpoints/one"),
        ]
    ):
        folder = NET.write_policy(tmp_path / str(number))
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        with pytest.raises(ScenarioError, match=message):
            load_policy(folder)
    signed_by_thief = Net(authority=key("thief")).write_policy(tmp_path / "thief")
    shutil.copy(tmp_path / "6" / "authority", signed_by_thief / "authority")
    with pytest.raises(ScenarioError, match="does not verify"):
        load_policy(signed_by_thief)
    head = sign_checkpoint(A.origin, 0, bytes(32), key("thief")).encode()
    with pytest.raises(ScenarioError, match="none of which is a known key"):
        load_policy(NET.write_policy(tmp_path / "head", head=head))


# --- the registry --------------------------------------------------------------------------------
def test_every_finding_belongs_to_a_registered_check() -> None:
    found = Findings("trail")
    for check in CHECKS:
        found.add(check, "file", "summary")
    assert [finding.id for finding in found.all()] == sorted(CHECKS)
    assert all(check.startswith("AUD-") for check in CHECKS)
