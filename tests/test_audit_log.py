"""Trees and checkpoints that were rewritten, with the right key or a wrong one."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from qisguard.audit.auditor import audit, verdict
from qisguard.audit.policy import Policy, load_policy
from qisguard.exits import Exit
from qisguard.identity.keys import KeyPair
from qisguard.trail.checkpoint import LogKey, parse_checkpoint, sign_checkpoint
from qisguard.trail.entries import hold
from qisguard.trail.merkle import leaf_hash, root
from qisguard.trail.tiles import ENTRIES, Tile, decode_bundle, encode_bundle, parse_path
from tests.trails import TODAY, Net, finding_ids, key, ordinary, paths_in, write_trail

NET = Net()
A, B = NET.member("a"), NET.member("b")


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(NET.write_policy(tmp_path / "policy"))


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return write_trail(tmp_path / "trail", A, ordinary(NET, A, 5))


def _seal(folder: Path, log: KeyPair, origin: str = A.origin) -> None:
    """Sign whatever entries the folder holds, and write the tile that goes with them."""
    bundles = [p for p in paths_in(folder) if p.startswith("tile/entries/")]
    assert len(bundles) == 1
    width = parse_path(bundles[0]).width
    leaves = [leaf_hash(e) for e in decode_bundle((folder / bundles[0]).read_bytes(), width)]
    (folder / Tile(0, 0, width).path).write_bytes(b"".join(leaves))
    head = sign_checkpoint(origin, len(leaves), root(leaves), log)
    (folder / "checkpoint").write_bytes(head.encode())


def _change_entries(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = next(p for p in paths_in(folder) if p.startswith("tile/entries/"))
    width = parse_path(path).width
    entries = change(decode_bundle((folder / path).read_bytes(), width))
    (folder / path).unlink()
    (folder / Tile(0, 0, width).path).unlink()
    (folder / Tile(ENTRIES, 0, len(entries)).path).write_bytes(encode_bundle(entries))
    hashes = b"".join(leaf_hash(entry) for entry in entries)
    (folder / Tile(0, 0, len(entries)).path).write_bytes(hashes)


def test_a_changed_full_tile_above_level_0_is_found(tmp_path: Path, policy: Policy) -> None:
    batch = (hold(TODAY, [bytes(32)]), ())
    folder = write_trail(tmp_path / "trail", A, [batch] * 65_537)
    path = folder / "tile/1/000"
    good = path.read_bytes()
    path.write_bytes(good[:100] + b"\0" + good[101:])
    report = audit([folder], policy)
    assert [(found.id, found.file) for found in report.findings] == [("AUD-13", "tile/1/000")]
    assert "hash 3 (offset 96) is not the root of tile/0/003" in report.findings[0].summary


def test_swapped_entries_with_fixed_tiles_do_not_have_the_root(policy: Policy, trail: Path) -> None:
    _change_entries(trail, lambda e: [e[1], e[0], *e[2:]])
    report = audit([trail], policy)
    assert finding_ids(report) == {"AUD-13"}
    assert report.findings[0].file == "checkpoint"


def test_an_entry_deleted_or_changed_with_fixed_tiles_is_found(policy: Policy, trail: Path) -> None:
    _change_entries(trail, lambda e: [*e[:2], e[2].replace(b"20000", b"19999"), *e[3:]])
    assert "AUD-13" in finding_ids(audit([trail], policy))


def test_a_shortened_log_under_its_old_checkpoint_is_found(policy: Policy, trail: Path) -> None:
    _change_entries(trail, lambda e: [*e[:2], *e[3:]])
    assert "AUD-12" in finding_ids(audit([trail], policy))


def test_an_inner_node_in_place_of_leaves_is_found(policy: Policy, trail: Path) -> None:
    """The forgery that trees without leaf prefix accept: two leaf hashes as one entry."""
    _change_entries(trail, lambda e: [leaf_hash(e[0]) + leaf_hash(e[1]), *e[2:]])
    assert "AUD-12" in finding_ids(audit([trail], policy))
    _change_entries(trail, lambda e: [*e, e[-1]])
    assert {"AUD-13", "AUD-20"} <= finding_ids(audit([trail], policy))


def test_an_entry_in_another_spelling_is_found_even_if_the_log_signed_it(
    policy: Policy, trail: Path
) -> None:
    _change_entries(trail, lambda e: [e[0].replace(b'":', b'": ', 1), *e[1:]])
    _seal(trail, A.log)
    assert "AUD-20" in finding_ids(audit([trail], policy))


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
        assert "AUD-11" in finding_ids(audit([trail], policy))
    (trail / "checkpoint").write_bytes(foreign)  # B signs A's tree: A's packets are not B's
    assert finding_ids(audit([trail], policy)) == {"AUD-21"}


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
    assert finding_ids(audit([trail], policy)) == {"AUD-11"}


def test_a_trail_without_checkpoint_is_found_and_a_folder_without_trail_not_measured(
    tmp_path: Path, policy: Policy, trail: Path
) -> None:
    (trail / "checkpoint").unlink()
    assert finding_ids(audit([trail], policy)) == {"AUD-10"}
    (tmp_path / "empty").mkdir()
    report = audit([tmp_path / "empty"], policy)
    assert verdict(report) is Exit.NOT_MEASURED


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
    assert finding_ids(report) == {"AUD-14"}


def test_a_log_rebuilt_with_its_own_key_is_a_split_view(tmp_path: Path, policy: Policy) -> None:
    items = ordinary(NET, A, 5)
    first = write_trail(tmp_path / "first", A, items)
    second = write_trail(tmp_path / "second", A, [items[1], items[0], *items[2:]])
    report = audit([first, second], policy)
    assert finding_ids(report) == {"AUD-31"}
    assert str(first) in report.findings[0].summary
    remembered = _policy_with(tmp_path, note=(first / "checkpoint").read_bytes())
    assert finding_ids(audit([second], remembered)) == {"AUD-31"}
    assert finding_ids(audit([first, second], None)) == {"AUD-14"}


def test_two_copies_of_different_sizes_that_contradict_are_found(
    tmp_path: Path, policy: Policy
) -> None:
    items = ordinary(NET, A, 5)
    small = write_trail(tmp_path / "small", A, [items[1], items[0]])
    large = write_trail(tmp_path / "large", A, items)
    assert finding_ids(audit([small, large], policy)) == {"AUD-14"}
    assert finding_ids(audit([large, small], policy)) == {"AUD-14"}


def test_a_policy_that_remembers_a_split_view_says_so(tmp_path: Path, trail: Path) -> None:
    other = write_trail(tmp_path / "other", A, ordinary(NET, A, 5)[::-1][2:])
    notes = {
        "one": (write_trail(tmp_path / "one", A, ordinary(NET, A, 3)) / "checkpoint").read_bytes(),
        "two": (other / "checkpoint").read_bytes(),
    }
    report = audit([trail], _policy_with(tmp_path, **notes))
    assert ("AUD-31", "checkpoints/two") in {(f.id, f.file) for f in report.findings}
