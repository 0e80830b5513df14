"""Mirrors keep what they verified; trails from a backup go on only where others say they ended."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from qisguard.audit.auditor import audit, verdict
from qisguard.audit.policy import Policy
from qisguard.errors import ProofError, QisguardError, TrailError
from qisguard.exits import Exit
from qisguard.identity.keys import KeyPair, to_text
from qisguard.trail.checkpoint import Checkpoint, LogKey, parse_checkpoint, sign_checkpoint
from qisguard.trail.cosignature import WitnessKey, cosign
from qisguard.trail.entries import Succeeds, hold, publish
from qisguard.trail.files import FolderFiles, MemoryFiles
from qisguard.trail.log import Trail, packet_path
from qisguard.trail.mirror import Mirror
from qisguard.trail.restore import last_cosigned, reinstate, succession

ORIGIN = "qisguard.invalid/0011223344556677/8899aabbccddeeff"
KEY = KeyPair.from_seed(b"\x01" * 32)
LOG = LogKey(ORIGIN, KEY.public)
WITNESSES = [KeyPair.from_seed(bytes([n]) * 32) for n in (11, 12, 13)]
KEYS = [WitnessKey(f"witness{n}", pair.public) for n, pair in enumerate(WITNESSES)]


def _grow(trail: Trail, size: int) -> Checkpoint:
    while trail.size < size:
        number = trail.size
        if number % 3:
            trail.append(hold(20_000, [b"%032d" % number]))
        else:
            trail.append(publish(20_000, b"packet %d" % number), [b"packet %d" % number])
    return trail.checkpoint()


def _trail(size: int) -> tuple[Trail, MemoryFiles, MemoryFiles]:
    public, state = MemoryFiles(), MemoryFiles()
    trail = Trail.create(public, state, ORIGIN, KEY)
    _grow(trail, size)
    return trail, public, state


def _source(files: MemoryFiles) -> Callable[[Sequence[tuple[str, int]]], list[bytes | None]]:
    def fetch(wanted: Sequence[tuple[str, int]]) -> list[bytes | None]:
        return [files.read(path) for path, _ in wanted]

    return fetch


def _files(files: MemoryFiles) -> dict[str, bytes]:
    return {path: files.read(path) or b"" for path in files.paths()}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 700])
def test_a_mirror_has_the_files_of_the_log(size: int) -> None:
    _, public, _ = _trail(size)
    target = MemoryFiles()
    copied = Mirror(target, LOG, _source(public)).run()
    assert _files(target) == _files(public)
    assert copied.head.size == size
    again = Mirror(target, LOG, _source(public)).run()
    assert (again.fetched_count, again.packet_count) == (0, 0)


def test_a_mirror_follows_the_log_and_cleans_up_as_it_does() -> None:
    trail, public, _ = _trail(3)
    target = MemoryFiles()
    for size in (3, 100, 300, 520, 800):
        _grow(trail, size)
        Mirror(target, LOG, _source(public)).run()
        head = parse_checkpoint(target.read("checkpoint") or b"")
        assert head.size == size
    assert set(_files(target)) <= set(_files(public))
    assert all(_files(public)[path] == data for path, data in _files(target).items())


def test_an_interrupted_mirror_goes_on_and_fetches_nothing_twice() -> None:
    trail, public, _ = _trail(1500)
    fetched: list[str] = []
    target = MemoryFiles()
    for limit in (2, 5, 10_000):
        left = limit

        def fetch(wanted: Sequence[tuple[str, int]]) -> list[bytes | None]:
            nonlocal left
            left -= 1
            if left < 0:
                raise TrailError("the link broke")
            fetched.extend(path for path, _ in wanted)
            return [public.read(path) for path, _ in wanted]

        if limit < 10_000:
            with pytest.raises(TrailError, match="link broke"):
                Mirror(target, LOG, fetch).run()
            assert target.read("checkpoint") is None
        else:
            Mirror(target, LOG, fetch).run()
    assert _files(target) == _files(public)
    tiles = [path for path in fetched if path.startswith("tile/0/") or "entries" in path]
    assert len(tiles) == len(set(tiles))
    assert trail.size == 1500


def test_a_log_that_goes_on_while_it_is_copied_gives_the_checkpoint_that_it_had() -> None:
    trail, public, _ = _trail(300)
    note = public.read("checkpoint") or b""
    _grow(trail, 600)

    def fetch(wanted: Sequence[tuple[str, int]]) -> list[bytes | None]:
        return [note if path == "checkpoint" else public.read(path) for path, _ in wanted]

    public.write({"tile/1/000.p/1": (public.read("tile/1/000.p/2") or b"")[:32]})
    target = MemoryFiles()
    assert Mirror(target, LOG, fetch).run().head.size == 300
    assert {"tile/0/001.p/44", "tile/entries/001.p/44"} <= set(target.paths())


def test_a_false_file_is_refused_and_not_kept() -> None:
    _, public, _ = _trail(700)
    for path in public.paths():
        good = public.read(path) or b""
        for bad in (
            good[:-1],
            good[:-20] + bytes([good[-20] ^ 1]) + good[-19:] if good[20:] else b"",
        ):
            public.write({path: bad})
            target = MemoryFiles()
            with pytest.raises(QisguardError, match=r"mirror|checkpoint"):
                Mirror(target, LOG, _source(public)).run()
            assert target.read("checkpoint") is None
            assert target.read(path) is None
        public.write({path: good})


def test_a_file_that_the_source_lacks_is_named_and_an_erased_packet_is_counted() -> None:
    _, public, _ = _trail(300)
    packet = next(path for path in public.paths() if path.startswith("packets/"))
    public.remove([packet])
    copied = Mirror(MemoryFiles(), LOG, _source(public)).run()
    assert copied.absent_packet_count == 1
    assert Mirror(MemoryFiles(), LOG, _source(public), with_packets=False).run().packet_count == 0
    for path in ("tile/0/000", "tile/entries/001.p/44", "tile/1/000.p/1", "checkpoint"):
        held = public.read(path) or b""
        public.remove([path])
        with pytest.raises(TrailError, match=f"the source has no '{path}"):
            Mirror(MemoryFiles(), LOG, _source(public)).run()
        public.write({path: held})


def test_a_mirror_does_not_follow_a_log_back_or_into_another_history() -> None:
    trail, public, _ = _trail(300)
    target = MemoryFiles()
    Mirror(target, LOG, _source(public)).run()
    before = _files(target)
    _, shorter, _ = _trail(200)
    other_state, other = MemoryFiles(), MemoryFiles()
    forked = Trail.create(other, other_state, ORIGIN, KEY)
    for size in (300, 400):
        while forked.size < size:
            forked.append(hold(20_000, [b"%032d" % (forked.size + 7)]))
        forked.checkpoint()
        with pytest.raises(ProofError, match=r"split view|was continued"):
            Mirror(target, LOG, _source(other)).run()
    with pytest.raises(ProofError, match="this mirror has seen 300"):
        Mirror(target, LOG, _source(shorter)).run()
    with pytest.raises(ProofError):
        Mirror(MemoryFiles(), LogKey(ORIGIN, WITNESSES[0].public), _source(public)).run()
    with pytest.raises(ProofError, match="not 'other'"):
        Mirror(MemoryFiles(), LogKey("other", KEY.public), _source(public)).run()
    assert {path: _files(target)[path] for path in before} == before
    assert trail.size == 300


def test_a_damaged_mirror_says_which_file_to_remove() -> None:
    trail, public, _ = _trail(600)
    target = MemoryFiles()
    Mirror(target, LOG, _source(public)).run()
    for path in ("tile/0/002.p/88", "tile/0/001", "tile/entries/000"):
        good = target.read(path) or b""
        target.write({path: bytes(len(good))})
        _grow(trail, trail.size + (0 if "p/" in path else 1))
        with pytest.raises(ProofError, match="remove"):
            Mirror(target, LOG, _source(public)).run()
        target.remove([path])
        Mirror(target, LOG, _source(public)).run()
        assert target.read(path) == good


def test_an_audit_finds_nothing_wrong_with_a_mirror(tmp_path: Path) -> None:
    _, public, _ = _trail(300)
    Mirror(FolderFiles(tmp_path / "mirror"), LOG, _source(public), with_packets=False).run()
    report = audit([tmp_path / "mirror"], Policy((LOG,)))
    assert verdict(report) in (Exit.CLEAN, Exit.NOT_MEASURED)


# --- from a backup -------------------------------------------------------------------------------
def _cosigned(head: Checkpoint, *numbers: int) -> bytes:
    lines = [cosign(head, KEYS[n].name, WITNESSES[n], 1_700_000_000) for n in numbers]
    return Checkpoint(head.origin, head.size, head.root, (*head.lines, *lines)).encode()


@pytest.fixture
def lost(tmp_path: Path) -> tuple[FolderFiles, FolderFiles, MemoryFiles, Checkpoint]:
    """A trail restored at size 300, what a mirror of size 420 holds, and the last checkpoint."""
    trail = Trail.create(
        FolderFiles(tmp_path / "trail"), FolderFiles(tmp_path / "state"), ORIGIN, KEY
    )
    _grow(trail, 300)
    trail.append(hold(20_000, [b"%032d" % 300]))
    trail.append(hold(20_000, [b"%032d" % 301]))
    trail.flush()
    for name in ("trail", "state"):
        shutil.copytree(tmp_path / name, tmp_path / "backup" / name)
    trail.checkpoint()
    last = _grow(trail, 420)
    trail.close()
    mirrored = MemoryFiles()
    source = FolderFiles(tmp_path / "trail")
    Mirror(mirrored, LOG, lambda wanted: [source.read(path) for path, _ in wanted]).run()
    backup = tmp_path / "backup"
    return FolderFiles(backup / "trail"), FolderFiles(backup / "state"), mirrored, last


Lost = tuple[FolderFiles, FolderFiles, MemoryFiles, Checkpoint]


def test_a_trail_from_a_backup_is_refused_and_goes_on_once_it_is_caught_up(lost: Lost) -> None:
    public, state, mirrored, last = lost
    with pytest.raises(TrailError, match="copied or restored from a backup"):
        Trail.open(public, state, ORIGIN, KEY)
    known = last_cosigned([_cosigned(last, 0), _cosigned(last, 1)], LOG, KEYS, 2)
    assert known.size == 420
    with pytest.raises(TrailError, match="ends at size 302, witnesses cosigned size 420"):
        reinstate(public, state, LOG, known)
    with pytest.raises(TrailError, match="copied or restored from a backup"):
        Trail.open(public, state, ORIGIN, KEY)
    Mirror(public, LOG, _source(mirrored)).run()
    state.remove(["place"])
    with pytest.raises(TrailError, match="old copy"):
        Trail.open(public, state, ORIGIN, KEY)
    assert reinstate(public, state, LOG, known) == 420
    trail = Trail.open(public, state, ORIGIN, KEY)
    head = _grow(trail, 430)
    whole = _trail(0)
    assert head.size == 430
    assert whole[0].size == 0


def test_a_trail_from_a_backup_that_nothing_was_signed_after_goes_on(lost: Lost) -> None:
    public, state, _, _ = lost
    head = parse_checkpoint(public.read("checkpoint") or b"")
    assert reinstate(public, state, LOG, head) == 302
    assert Trail.open(public, state, ORIGIN, KEY).head.size == 302


def test_what_witnesses_cosigned_must_be_in_the_copy(lost: Lost) -> None:
    public, state, _, _ = lost
    for size in (100, 300, 301, 302):
        other = sign_checkpoint(ORIGIN, size, bytes(32), KEY)
        with pytest.raises(TrailError, match=r"continued|another root|forked"):
            reinstate(public, state, LOG, other)
    with pytest.raises(TrailError, match="copied or restored"):
        Trail.open(public, state, ORIGIN, KEY)


def test_an_acknowledged_entry_that_the_mirror_has_otherwise_is_a_fork(lost: Lost) -> None:
    public, state, _, _ = lost
    forked, other, _ = _trail(300)
    while forked.size < 310:
        forked.append(hold(20_000, [b"%032d" % (forked.size + 50)]))
    head = forked.checkpoint()
    Mirror(public, LOG, _source(other)).run()
    with pytest.raises(TrailError, match="entry 300 was acknowledged here"):
        reinstate(public, state, LOG, head)


def test_too_few_wrong_or_contradicting_witnesses_restore_nothing(lost: Lost) -> None:
    last = lost[3]
    other = sign_checkpoint(ORIGIN, 420, bytes(32), KEY)
    foreign = sign_checkpoint("other", 420, last.root, KEY)
    for notes, quorum, error in (
        ([_cosigned(last, 0)], 2, "1 witnesses have answered, the quorum is 2"),
        ([_cosigned(last, 0), _cosigned(last, 0)], 2, "1 witnesses"),
        ([last.encode()], 1, "no known witness"),
        ([_cosigned(last, 0), _cosigned(other, 1)], 2, "two roots"),
        ([_cosigned(foreign, 0)], 1, "not 'qisguard"),
        ([], 0, "quorum of 0 among 3"),
        ([], 4, "quorum of 4 among 3"),
    ):
        with pytest.raises(ProofError, match=error):
            last_cosigned(notes, LOG, KEYS, quorum)


def test_a_log_that_succeeds_another_says_so_first() -> None:
    last = _trail(5)[0].head
    public = MemoryFiles()
    trail = Trail.create(public, MemoryFiles(), "qisguard.invalid/new", KEY)
    trail.append(succession(20_000, last))
    assert succession(20_000, last) == Succeeds(20_000, ORIGIN, 5, to_text(last.root))
    assert trail.checkpoint().size == 1
    assert packet_path(bytes(32)) not in public.paths()
