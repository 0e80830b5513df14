"""When a node signs its trail, and what a failed write does to it."""

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from qisguard.config import NodeConfig
from qisguard.errors import TrailError
from qisguard.node.node import Node
from qisguard.node.scribe import HOLDS_MAX, Scribe
from qisguard.trail.checkpoint import origin_of
from qisguard.trail.entries import Hold, decode_entry
from qisguard.trail.erasure import erase_packets
from qisguard.trail.files import WRITERS, Files, FolderFiles, MemoryFiles
from qisguard.trail.log import Trail, packet_path
from qisguard.trail.proofs import TreeReader
from qisguard.trail.tiles import ENTRIES, Tile, decode_bundle
from tests.builders import DAY, NETWORK, make_identity, make_node, make_packet

CONFIG = NodeConfig(checkpoint_interval=60.0, checkpoint_entries_max=8)


class FullDisk(MemoryFiles):
    """A disk that has no room left when told."""

    full = False

    def write(self, files: Mapping[str, bytes]) -> None:
        """Replace files, or say that there is no room."""
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(files)


def _node(public: Files, state: Files | None = None) -> tuple[Node, Trail]:
    identity = make_identity(0)
    origin = origin_of(NETWORK.id, identity.id)
    trail = Trail.create(public, state or MemoryFiles(), origin, identity.log)
    return make_node(0, config=CONFIG, trail=trail), trail


def _publish(node: Node, first: int, count: int, now: float) -> None:
    node.publish([make_packet(0, case) for case in range(first, first + count)], now)
    node.flush()


def _run(node: Node, until: float) -> None:
    """Call the node's timers as an engine would."""
    for _ in range(1_000):
        due = node.next_timer()
        if due is None or due > until:
            return
        node.handle_timer(due)
        node.flush()
    raise AssertionError("a timer is always due")


def test_a_few_entries_are_signed_once_their_interval_is_over() -> None:
    node, trail = _node(MemoryFiles())
    _publish(node, 0, 3, 1.0)
    _run(node, 59.0)
    assert trail.head.size == 0
    _run(node, 60.0)
    assert trail.head.size == trail.size > 0


def test_a_burst_is_signed_in_pieces_and_not_at_its_end() -> None:
    node, trail = _node(MemoryFiles())
    for first in range(0, 80, 8):
        _publish(node, first, 8, 1.0)
        _run(node, 1.0)
        assert trail.pending_count < 8
    assert trail.head.size >= 80


def test_what_is_published_is_durable_before_it_is_signed() -> None:
    state = MemoryFiles()
    node, trail = _node(MemoryFiles(), state)
    _publish(node, 0, 4, 1.0)
    assert trail.head.size == 0
    assert make_packet(0, 3).data in (state.read("wal") or b"")


def test_the_last_checkpoint_covers_everything() -> None:
    public = MemoryFiles()
    node, trail = _node(public)
    _publish(node, 0, 5, 1.0)
    node.close(2.0)
    assert trail.pending_count == 0
    assert trail.head.encode() == public.read("checkpoint")


def test_a_checkpoint_that_fails_is_a_fault_and_is_not_tried_for_ever() -> None:
    public = FullDisk()
    node, _ = _node(public)
    public.full = True
    _publish(node, 0, 8, 1.0)
    _run(node, 600.0)
    assert "No space left" in (node.storage_fault or "")


def test_of_many_files_each_is_durable_before_the_first_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, count = FolderFiles(tmp_path), 3 * WRITERS
    wanted = {f"packets/{n % 5:02x}/{n}": bytes([n]) * 400 for n in range(count)}
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noting_fsync(descriptor: int) -> None:
        fsync(descriptor)
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")

    def noting_rename(old: Path, new: Path) -> None:
        steps.append("name")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "rename", noting_rename)
    files.write(wanted)
    assert {path: files.read(path) for path in wanted} == wanted
    assert steps[: 2 * count] == ["file"] * count + ["name"] * count
    assert set(steps[2 * count :]) == {"folder"}


def test_when_one_of_many_files_cannot_be_written_none_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, fsync = FolderFiles(tmp_path), os.fsync
    calls: list[int] = []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 7:
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output"):
        files.write({f"packets/aa/{n}": b"data" for n in range(40)})
    assert files.names("packets/aa") == []


def test_a_trail_whose_packet_could_not_be_written_recovers_from_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, state = FolderFiles(tmp_path / "public"), FolderFiles(tmp_path / "state")
    node, trail = _node(public, state)
    _publish(node, 0, 20, 1.0)
    size, fsync = trail.size, os.fsync
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _raise)
        with pytest.raises(TrailError, match="a write failed"):
            trail.checkpoint()
    assert os.fsync is fsync
    trail.close()
    again = Trail.open(public, state, trail.origin, make_identity(0).log)
    assert again.head.size == again.size == size


def _scribe(files: Files) -> tuple[Scribe, Trail]:
    identity = make_identity(0)
    trail = Trail.create(files, MemoryFiles(), origin_of(NETWORK.id, identity.id), identity.log)
    return Scribe(trail, CONFIG, 0.0), trail


def _flood(scribe: Scribe, payers: list[str], count: int, seconds: float, day: int) -> None:
    """Let each payer have ``count`` packets taken, one by one, spread over so many seconds."""
    for number in range(count):
        now = seconds * number / count
        for payer in payers:
            digest = sha256(f"{payer} {day} {number}".encode()).digest()
            scribe.held([(payer, digest)], day)
            scribe.flush()
        if scribe.next_timer(now) <= now:
            scribe.sign(now)
    scribe.sign(seconds)


def test_a_peer_that_floods_adds_bounded_entries_a_day_and_nothing_is_left_out() -> None:
    """4,000 packets in an hour: 1,000 entries of its own, then one a minute."""
    files = MemoryFiles()
    scribe, trail = _scribe(files)
    _flood(scribe, ["flooder"], 4_000, 3_600.0, DAY)
    assert HOLDS_MAX < trail.size <= HOLDS_MAX + 61
    found = [decode_entry(entry) for entry in _entries(files, trail.size)]
    assert sum(entry.count for entry in found if isinstance(entry, Hold)) == 4_000
    size = trail.size
    scribe.held([("honest", b"h" * 32)], DAY)
    scribe.flush()
    assert trail.size == size + 1, "who is within the quota is noted at once"
    scribe.held([("flooder", b"f" * 32)], DAY + 1)
    scribe.flush()
    assert trail.size == size + 2, "the next day begins anew"


def test_all_floods_together_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qisguard.node.scribe.HOLDS_TOTAL_MAX", 500)
    scribe, trail = _scribe(MemoryFiles())
    _flood(scribe, [f"net {n}" for n in range(40)], 50, 600.0, DAY)
    assert 500 <= trail.size <= 500 + 11


def test_what_is_over_the_quota_is_noted_before_it_is_signed() -> None:
    files = MemoryFiles()
    scribe, trail = _scribe(files)
    for number in range(HOLDS_MAX + 50):
        scribe.held([("one", number.to_bytes(32, "big"))], DAY)
    assert trail.size == HOLDS_MAX
    scribe.sign(60.0)
    last = decode_entry(_entries(files, trail.size)[-1])
    assert isinstance(last, Hold)
    assert last.count == 50
    scribe.sign(120.0)
    assert trail.size == HOLDS_MAX + 1


def _entries(files: MemoryFiles, size: int) -> list[bytes]:
    found: list[bytes] = []
    for number in range(0, size, 256):
        width = min(256, size - number)
        path = Tile(ENTRIES, number // 256, width).path
        found += decode_bundle(files.read(path) or b"", width)
    return found


def test_erased_packets_are_gone_for_good_and_the_trail_is_whole(tmp_path: Path) -> None:
    public, state = FolderFiles(tmp_path / "public"), FolderFiles(tmp_path / "state")
    node, trail = _node(public, state)
    _publish(node, 0, 5, 1.0)
    packet, other = make_packet(0, 2), make_packet(0, 3)
    assert packet.data in (state.read("wal") or b"")
    assert erase_packets(trail, public, [packet.digest, packet.digest, bytes(32)]) == 1
    assert public.read(packet_path(packet.digest)) is None
    assert public.read(packet_path(other.digest)) == other.data
    everything = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(packet.data in path.read_bytes() for path in everything)
    head = trail.head
    trail.close()
    again = Trail.open(public, state, trail.origin, make_identity(0).log)
    assert again.head == head
    assert public.read(packet_path(packet.digest)) is None
    proof = TreeReader(public.read, head).consistency(2)
    assert proof
    assert erase_packets(again, public, [packet.digest]) == 0


def test_a_trail_that_cannot_be_signed_erases_nothing() -> None:
    public = FullDisk()
    node, trail = _node(public)
    _publish(node, 0, 2, 1.0)
    trail.checkpoint()
    _publish(node, 2, 2, 2.0)
    public.full = True
    digest = make_packet(0, 0).digest
    with pytest.raises(TrailError, match="No space"):
        erase_packets(trail, public, [digest])
    assert public.read(packet_path(digest)) is not None


def _raise(_: int) -> None:
    raise OSError(5, "Input/output error")
