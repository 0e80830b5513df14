"""When a node signs its trail, and what a failed write does to it."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from qisguard.config import NodeConfig
from qisguard.errors import TrailError
from qisguard.node.node import Node
from qisguard.trail.checkpoint import origin_of
from qisguard.trail.files import WRITERS, Files, FolderFiles, MemoryFiles
from qisguard.trail.log import Trail
from tests.builders import NETWORK, make_identity, make_node, make_packet

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


def _raise(_: int) -> None:
    raise OSError(5, "Input/output error")
