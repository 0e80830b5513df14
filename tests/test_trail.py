"""The trail under crashes: acknowledged entries stay, and no older state is signed again."""

import os
import shutil
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import RecordError, TrailError
from qisguard.identity.keys import KeyPair
from qisguard.trail import wal
from qisguard.trail.checkpoint import (
    LINE_COUNT_MAX,
    Checkpoint,
    Line,
    LogKey,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from qisguard.trail.entries import (
    Entry,
    encode_entry,
    hold,
    publish,
)
from qisguard.trail.files import Files, FolderFiles, MemoryFiles
from qisguard.trail.log import Trail, packet_path
from qisguard.trail.merkle import leaf_hash, root
from qisguard.trail.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    decode_bundle,
    files_of,
    parse_path,
    width_at,
)

ORIGIN = "qisguard.invalid/0011223344556677/8899aabbccddeeff"
KEY = KeyPair.from_seed(b"\x01" * 32)


class CrashError(BaseException):
    """The machine stops."""


class Crashing:
    """Memory that stops the machine at step ``steps``, leaving half of what was being written."""

    def __init__(self, inner: MemoryFiles, clock: "Countdown") -> None:
        self.inner = inner
        self.clock = clock

    def read(self, path: str) -> bytes | None:
        """Read."""
        return self.inner.read(path)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write temporary files, then rename them."""
        for path, data in files.items():
            if self.clock.ended():
                self.inner.write({path + ".tmp": data[: len(data) // 2]})
                raise CrashError
            self.inner.write({path + ".tmp": data})
        for path, data in files.items():
            if self.clock.ended():
                raise CrashError
            self.inner.write({path: data})
            self.inner.remove([path + ".tmp"])

    def names(self, folder: str) -> list[str]:
        """List."""
        return self.inner.names(folder)

    def append(self, path: str, data: bytes) -> None:
        """Append, or half of it."""
        if self.clock.ended():
            self.inner.append(path, data[: len(data) // 2])
            raise CrashError
        self.inner.append(path, data)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove one by one."""
        for path in paths:
            if self.clock.ended():
                raise CrashError
            self.inner.remove([path])

    def sync(self, paths: Iterable[str]) -> None:
        """Make durable."""
        if self.clock.ended():
            raise CrashError
        self.inner.sync(paths)

    def check_lock(self) -> None:
        """Check the lock."""
        self.inner.check_lock()

    def place(self) -> bytes:
        """Say where this is."""
        return self.inner.place()

    def lock(self) -> None:
        """Lock."""
        self.inner.lock()

    def unlock(self) -> None:
        """Unlock."""
        self.inner.unlock()


class Countdown:
    """Steps until the machine stops."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def ended(self) -> bool:
        """Count one step; say whether it is the one too many."""
        self.steps -= 1
        return self.steps < 0


def _packet(index: int) -> bytes:
    return b"packet %d" % index


def _entry(index: int) -> Entry:
    return publish(20_000 + index, _packet(index), seq=index)


def _fill(trail: Trail, start: int, stop: int) -> None:
    for index in range(start, stop):
        trail.append(_entry(index), [_packet(index)])


def _trail(size: int) -> tuple[Trail, MemoryFiles, MemoryFiles]:
    public, state = MemoryFiles(), MemoryFiles()
    trail = Trail.create(public, state, ORIGIN, KEY)
    _fill(trail, 0, size)
    trail.checkpoint()
    return trail, public, state


def _check_public(public: MemoryFiles, checkpoint: Checkpoint) -> None:
    """The folder holds the tree of the checkpoint, the packets of its entries, and nothing else.

    But for partial tiles of earlier checkpoints, which begin the present one, until it is full.
    """
    note = parse_checkpoint(public.read("checkpoint") or b"")
    assert note == checkpoint
    verify_checkpoint(note, [LogKey(ORIGIN, KEY.public)])
    entries = [
        entry
        for tile in files_of(note.size)
        if tile.level == ENTRIES
        for entry in decode_bundle(public.read(tile.path) or b"", tile.width)
    ]
    assert entries == [encode_entry(_entry(index)) for index in range(note.size)]
    assert root([leaf_hash(entry) for entry in entries]) == note.root
    packets = {packet_path(sha256(_packet(i)).digest()): _packet(i) for i in range(note.size)}
    tree = {tile.path for tile in files_of(note.size)}
    wanted = {"checkpoint", *tree, *packets}
    assert wanted <= set(public.paths())
    _check_earlier(public, set(public.paths()) - wanted, note.size)
    assert all(public.read(path) == data for path, data in packets.items())


def _check_earlier(public: MemoryFiles, paths: set[str], size: int) -> None:
    for path in paths:
        tile = parse_path(path)
        width = width_at(tile.level, tile.index, size)
        assert tile.width < width < TILE_WIDTH
        present = public.read(Tile(tile.level, tile.index, width).path) or b""
        assert present.startswith(public.read(path) or b"nothing")


def test_earlier_partial_tiles_stay_until_the_tile_is_full() -> None:
    trail, public, _ = _trail(3)
    for stop in (5, 255):
        _fill(trail, trail.size, stop)
        trail.checkpoint()
    assert public.names("tile/0/000.p") == ["255", "3", "5"]
    assert public.names("tile/entries/000.p") == ["255", "3", "5"]
    _fill(trail, 255, 257)
    trail.checkpoint()
    assert public.names("tile/0/000.p") == []
    assert public.names("tile/entries/000.p") == []
    assert public.names("tile/0/001.p") == ["1"]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 513])
def test_the_public_folder_holds_exactly_the_tree_of_the_checkpoint(size: int) -> None:
    trail, public, state = _trail(size)
    _check_public(public, trail.head)
    assert state.read("wal") in (None, b"")
    assert trail.size == size


@pytest.mark.parametrize("size", [0, 3, 256, 300])
def test_a_closed_trail_opens_and_grows(size: int) -> None:
    trail, public, state = _trail(size)
    trail.close()
    trail = Trail.open(public, state, ORIGIN, KEY)
    _fill(trail, size, size + 260)
    assert trail.pending_count == 260
    _check_public(public, trail.checkpoint())


def test_growth_one_by_one_gives_the_same_files_as_growth_at_once() -> None:
    at_once, one_by_one = _trail(300)[1], MemoryFiles()
    trail = Trail.create(one_by_one, MemoryFiles(), ORIGIN, KEY)
    for index in range(300):
        _fill(trail, index, index + 1)
        trail.checkpoint()
    assert {p: one_by_one.read(p) for p in at_once.paths()} == {
        p: at_once.read(p) for p in at_once.paths()
    }
    _check_public(one_by_one, trail.head)


def test_flushed_entries_survive_and_unflushed_ones_do_not() -> None:
    trail, public, state = _trail(2)
    _fill(trail, 2, 4)
    trail.flush()
    _fill(trail, 4, 5)
    trail.close()
    trail = Trail.open(public, state, ORIGIN, KEY)
    assert trail.size == 4
    _check_public(public, trail.head)


def test_a_second_flush_or_checkpoint_without_entries_writes_nothing() -> None:
    public, state = MemoryFiles(), MemoryFiles()
    clock = Countdown(1 << 30)
    trail = Trail.create(Crashing(public, clock), Crashing(state, clock), ORIGIN, KEY)
    _fill(trail, 0, 3)
    trail.checkpoint()
    before = clock.steps
    trail.flush()
    trail.checkpoint()
    assert clock.steps == before


@given(start=st.sampled_from([0, 3, 254, 256]), parts=st.lists(st.integers(0, 6), max_size=5))
@settings(max_examples=12, deadline=None)
def test_a_crash_at_any_step_loses_nothing_acknowledged_and_never_forks(
    start: int, parts: list[int]
) -> None:
    """Crash at every step of flush and checkpoint, recover, crash again, and look at everything."""
    for steps in range(200):
        trail, public, state = _trail(start)
        trail.close()
        heads = [trail.head]
        acknowledged, crashed = start, False
        clock = Countdown(steps)
        try:
            slow: list[Files] = [Crashing(public, clock), Crashing(state, clock)]
            trail = Trail.open(slow[0], slow[1], ORIGIN, KEY)
            for part in parts:
                _fill(trail, trail.size, trail.size + part)
                trail.flush()
                acknowledged = trail.size
                heads.append(trail.checkpoint())
        except CrashError:
            crashed = True
        state.unlock()
        heads.append(parse_checkpoint(public.read("checkpoint") or b""))
        again = Countdown(steps % 7)
        try:
            Trail.open(Crashing(public, again), Crashing(state, again), ORIGIN, KEY)
        except CrashError:
            heads.append(parse_checkpoint(public.read("checkpoint") or b""))
        state.unlock()
        forever = Countdown(1 << 30)
        trail = Trail.open(Crashing(public, forever), Crashing(state, forever), ORIGIN, KEY)
        assert trail.size >= acknowledged
        _check_public(public, trail.checkpoint())
        entries = [leaf_hash(encode_entry(_entry(index))) for index in range(trail.size)]
        for head in heads:
            assert head.size <= trail.size
            assert head.root == root(entries[: head.size])
        if not crashed:
            return
    pytest.fail("the run never finished")


def test_a_log_truncated_at_any_byte_keeps_every_whole_flush() -> None:
    trail, public, state = _trail(3)
    ends = [0]
    for stop in (4, 6, 7):
        _fill(trail, trail.size, stop)
        trail.flush()
        ends.append(len(state.read("wal") or b""))
    trail.close()
    log = state.read("wal") or b""
    for cut in range(len(log) + 1):
        copy, private = MemoryFiles(), MemoryFiles()
        copy.write({path: public.read(path) or b"" for path in public.paths()})
        private.write({"signed": state.read("signed") or b"", "wal": log[:cut]})
        whole = sum(end <= cut for end in ends) - 1
        opened = Trail.open(copy, private, ORIGIN, KEY)
        assert opened.size == (3, 4, 6, 7)[whole]
        _check_public(copy, opened.head)


def test_corruption_inside_the_log_stops_at_every_byte_of_an_earlier_flush() -> None:
    trail, public, state = _trail(3)
    _fill(trail, 3, 5)
    trail.flush()
    inside = len(state.read("wal") or b"")
    _fill(trail, 5, 6)
    trail.flush()
    trail.close()
    log = state.read("wal") or b""
    for offset in range(inside):
        state.write({"wal": log[:offset] + bytes([log[offset] ^ 0x40]) + log[offset + 1 :]})
        with pytest.raises(TrailError, match="broken at offset 0"):
            Trail.open(public, state, ORIGIN, KEY)
    state.write({"wal": log})
    assert Trail.open(public, state, ORIGIN, KEY).size == 6


def test_after_a_torn_tail_the_log_goes_on_where_it_was_cut() -> None:
    trail, public, state = _trail(3)
    _fill(trail, 3, 5)
    trail.flush()
    trail.close()
    log = state.read("wal") or b""
    for torn in (log[:-1], log[:5], log + log[:9]):
        state.write({"wal": torn})
        trail = Trail.open(public, state, ORIGIN, KEY)
        size = trail.size
        _fill(trail, size, size + 1)
        trail.flush()
        trail.close()
        trail = Trail.open(public, state, ORIGIN, KEY)
        assert trail.size == size + 1
        _check_public(public, trail.head)
        trail.close()


def test_frames_that_do_not_follow_on_each_other_are_refused() -> None:
    record = wal.encode_record(b"{}", [])
    with pytest.raises(TrailError, match="entry 5"):
        wal.decode_wal(wal.encode_frame(0, [record]) + wal.encode_frame(5, [record]))
    trail, public, state = _trail(2)
    trail.close()
    state.write({"wal": wal.encode_frame(3, [record])})
    with pytest.raises(TrailError, match="starts at entry 3, the tree ends at 2"):
        Trail.open(public, state, ORIGIN, KEY)


def test_an_old_state_a_missing_head_or_a_lost_log_stops_the_writer() -> None:
    trail, public, state = _trail(2)
    old_state, old_head = state.read("signed") or b"", public.read("checkpoint") or b""
    _fill(trail, 2, 5)
    trail.checkpoint()
    trail.close()
    signed, head = state.read("signed") or b"", public.read("checkpoint") or b""

    state.write({"signed": old_state})
    with pytest.raises(TrailError, match="newer than the signed state"):
        Trail.open(public, state, ORIGIN, KEY)
    state.write({"signed": signed})
    public.write({"checkpoint": old_head})
    with pytest.raises(TrailError):
        Trail.open(public, state, ORIGIN, KEY)
    public.remove(["checkpoint"])
    with pytest.raises(TrailError, match="the checkpoint is gone"):
        Trail.open(public, state, ORIGIN, KEY)
    public.write({"checkpoint": head})
    state.remove(["signed"])
    with pytest.raises(TrailError, match="no signed state"):
        Trail.open(public, state, ORIGIN, KEY)
    assert not Trail.exists(state)
    with pytest.raises(TrailError, match="exists already"):
        Trail.create(public, state, ORIGIN, KEY)
    state.write({"signed": signed})
    assert Trail.open(public, state, ORIGIN, KEY).size == 5


def test_a_signed_state_that_the_entries_do_not_bear_out_stops_the_writer() -> None:
    """The crash was between signing and publishing; then the log was lost, or is another one."""
    trail, public, state = _trail(3)
    _fill(trail, 3, 5)
    trail.flush()
    trail.close()
    leaves = [leaf_hash(encode_entry(_entry(index))) for index in range(5)]
    log = state.read("wal") or b""
    state.write({"signed": Checkpoint(ORIGIN, 5, bytes(32)).text})
    with pytest.raises(TrailError, match="do not have the root signed for 5"):
        Trail.open(public, state, ORIGIN, KEY)
    state.write({"signed": Checkpoint(ORIGIN, 5, root(leaves)).text, "wal": b""})
    with pytest.raises(TrailError, match="only 3 entries are left"):
        Trail.open(public, state, ORIGIN, KEY)
    state.write({"wal": log})
    _check_public(public, Trail.open(public, state, ORIGIN, KEY).head)


def test_tampered_tiles_entries_or_heads_stop_the_writer() -> None:
    trail, public, state = _trail(3)
    trail.close()
    for path in ("tile/0/000.p/3", "tile/entries/000.p/3", "checkpoint"):
        good = public.read(path) or b""
        public.write({path: good[:-9] + bytes([good[-9] ^ 1]) + good[-8:]})
        with pytest.raises(TrailError):
            Trail.open(public, state, ORIGIN, KEY)
        public.write({path: good})
    with pytest.raises(TrailError, match="belongs to"):
        Trail.open(public, state, ORIGIN + "0", KEY)
    with pytest.raises(TrailError):
        Trail.open(public, state, ORIGIN, KeyPair.from_seed(b"\x02" * 32))
    assert Trail.open(public, state, ORIGIN, KEY).size == 3


def test_a_full_tile_is_never_replaced() -> None:
    trail, public, _ = _trail(250)
    public.write({"tile/0/000": b"something else"})
    _fill(trail, 250, 260)
    with pytest.raises(TrailError, match="is there already and is different"):
        trail.checkpoint()
    with pytest.raises(TrailError, match="open it again"):
        trail.append(_entry(260))


def test_the_state_never_goes_back_even_if_it_changed_under_the_writer() -> None:
    trail, _, state = _trail(2)
    _fill(trail, 2, 4)
    later = Checkpoint(ORIGIN, 9, bytes(32))
    state.write({"signed": later.text})
    with pytest.raises(TrailError, match="would sign size 4 after size 9"):
        trail.checkpoint()


class BrokenDisk(MemoryFiles):
    """A disk that fails when told."""

    broken = False

    def append(self, path: str, data: bytes) -> None:
        """Append, or half of it."""
        if self.broken:
            raise OSError(5, "Input/output error")
        super().append(path, data)


def test_after_a_failed_write_the_trail_refuses_everything() -> None:
    state = BrokenDisk()
    trail = Trail.create(MemoryFiles(), state, ORIGIN, KEY)
    state.broken = True
    _fill(trail, 0, 1)
    with pytest.raises(TrailError, match="a write failed"):
        trail.flush()
    state.broken = False
    for call in (trail.flush, trail.checkpoint):
        with pytest.raises(TrailError, match="open it again"):
            call()


def test_only_the_packet_that_an_entry_names_is_kept() -> None:
    trail, _, _ = _trail(0)
    for entry, packets in ((_entry(0), [_packet(1)]), (hold(1, [bytes(32)]), [_packet(0)])):
        with pytest.raises(ValueError, match="only the packet"):
            trail.append(entry, packets)
    with pytest.raises(RecordError, match="day = -1"):
        trail.append(publish(-1, b""))
    assert trail.size == 0


def test_the_write_ahead_log_is_forgotten_only_once_the_checkpoint_is_durable() -> None:
    """The crash came when the checkpoint could be seen already, and the disk may lack it."""
    trail, public, state = _trail(3)
    _fill(trail, 3, 5)
    trail.flush()
    log = state.read("wal") or b""
    trail.checkpoint()
    trail.close()
    state.write({"wal": log})
    order: list[str] = []

    class Watched(MemoryFiles):
        def sync(self, paths: Iterable[str]) -> None:
            order.extend(paths)

        def write(self, files: Mapping[str, bytes]) -> None:
            order.extend(f"write {path}" for path in files)

    seen, private = Watched(), Watched()
    seen._files, private._files = public._files, state._files
    Trail.open(seen, private, ORIGIN, KEY)
    assert order == ["signed", "place", "wal", "checkpoint", "write wal"]


def test_cosignatures_are_added_to_the_checkpoint_that_they_are_for() -> None:
    trail, public, state = _trail(3)
    line = Line("witness", b"\x01" * 4, b"\x04" + bytes(71))
    with_line = trail.cosign(3, [line])
    assert with_line.lines == (*sign_checkpoint(ORIGIN, 3, with_line.root, KEY).lines, line)
    assert parse_checkpoint(public.read("checkpoint") or b"") == with_line == trail.head
    newer = Line("witness", line.id, b"\x05" + bytes(71))
    assert trail.cosign(3, [newer]).lines[1:] == (newer,)
    assert trail.cosign(2, [line]).lines[1:] == (newer,)
    own = trail.head.lines[0]
    assert trail.cosign(3, [Line(own.name, own.id, bytes(64))]).lines[0] == own
    many = [Line(f"w{n}", bytes(4), bytes(72)) for n in range(80)]
    assert len(trail.cosign(3, many).lines) == LINE_COUNT_MAX
    trail.close()
    assert Trail.open(public, state, ORIGIN, KEY).head.lines[1] == newer


# --- on disk -------------------------------------------------------------------------------------
def test_a_folder_holds_the_same_files_as_memory(tmp_path: Path) -> None:
    public, state = FolderFiles(tmp_path / "trail"), FolderFiles(tmp_path / "state")
    trail = Trail.create(public, state, ORIGIN, KEY)
    for stop in (2, 5):
        _fill(trail, trail.size, stop)
        trail.checkpoint()
    trail.close()
    trail = Trail.open(public, state, ORIGIN, KEY)
    _fill(trail, 5, 6)
    trail.flush()
    trail.close()
    trail = Trail.open(public, state, ORIGIN, KEY)
    folder = tmp_path / "trail"
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    memory = _trail(6)[1]
    assert {path: found[path] for path in memory.paths()} == {
        path: memory.read(path) for path in memory.paths()
    }
    assert public.names("tile/0/000.p") == ["2", "5", "6"]
    assert sorted(p.name for p in (folder / "tile/0").iterdir()) == ["000.p"]


def test_one_folder_has_one_writer(tmp_path: Path) -> None:
    public, state = FolderFiles(tmp_path / "trail"), FolderFiles(tmp_path / "state")
    trail = Trail.create(public, state, ORIGIN, KEY)
    other = FolderFiles(tmp_path / "state")
    with pytest.raises(TrailError, match="held by another writer"):
        Trail.open(public, other, ORIGIN, KEY)
    with pytest.raises(TrailError, match="already open"):
        Trail.open(public, state, ORIGIN, KEY)
    trail.close()
    Trail.open(public, other, ORIGIN, KEY).close()


def test_a_copied_state_is_refused_until_others_were_asked(tmp_path: Path) -> None:
    public, state = FolderFiles(tmp_path / "trail"), FolderFiles(tmp_path / "state")
    trail = Trail.create(public, state, ORIGIN, KEY)
    _fill(trail, 0, 2)
    trail.checkpoint()
    trail.close()
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    with pytest.raises(TrailError, match="copied or restored from a backup"):
        Trail.open(public, FolderFiles(tmp_path / "copy"), ORIGIN, KEY)
    (tmp_path / "state").rename(tmp_path / "moved")
    moved = FolderFiles(tmp_path / "moved")
    Trail.open(public, moved, ORIGIN, KEY).close()
    moved.remove(["place"])  # a state from before places were noted
    Trail.open(public, moved, ORIGIN, KEY).close()
    assert (moved.read("place") or b"").startswith(b"lock file ")


def test_a_writer_whose_lock_was_taken_away_signs_nothing_more(tmp_path: Path) -> None:
    public, state = FolderFiles(tmp_path / "trail"), FolderFiles(tmp_path / "state")
    trail = Trail.create(public, state, ORIGIN, KEY)
    (tmp_path / "state" / "lock").unlink()
    other = Trail.create(FolderFiles(tmp_path / "b"), FolderFiles(tmp_path / "c"), ORIGIN, KEY)
    other.close()
    _fill(trail, 0, 1)
    with pytest.raises(TrailError, match="was taken away or changed"):
        trail.checkpoint()
    assert parse_checkpoint(public.read("checkpoint") or b"").size == 0
    trail.close()
    with pytest.raises(TrailError, match="is not locked"):
        state.check_lock()


def test_a_fork_of_the_writer_does_not_hold_its_lock(tmp_path: Path) -> None:
    state = FolderFiles(tmp_path)
    state.lock()
    state.check_lock()
    child = os.fork()
    if child == 0:
        try:
            state.check_lock()
        except TrailError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_synchronising_takes_what_is_there(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "a")
    files.write({"b/c": b"1"})
    files.sync(["b/c", "b/missing", "no/folder"])
    assert files.read("b/c") == b"1"


def test_appending_goes_on_in_the_file_that_replaced_the_first(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path)
    files.append("wal", b"1")
    files.append("wal", b"2")
    files.write({"wal": b"new"})
    files.append("wal", b"3")
    assert files.read("wal") == b"new3"
    files.remove(["wal"])
    files.append("wal", b"4")
    assert files.read("wal") == b"4"


@pytest.mark.parametrize("path", ["", "/etc/x", "../x", "a/../x", "a//b", "./a", "a\\b", "a\0b"])
def test_a_path_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    for files in (FolderFiles(tmp_path / "a"), MemoryFiles()):
        with pytest.raises(TrailError, match="path"):
            files.write({path: b""})
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "out").symlink_to(tmp_path / "b")
    files = FolderFiles(tmp_path / "a")
    with pytest.raises(TrailError, match="leads out"):
        files.write({"out/x": b""})
    outside = tmp_path / "b" / "x"
    outside.write_bytes(b"")
    (tmp_path / "a" / "x").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic links"):
        files.append("x", b"1")
    files.write({"x": b"2"})
    assert outside.read_bytes() == b""
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["x"]
