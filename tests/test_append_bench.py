"""The benchmark of the trail measures what it says, on trees whose proofs are true."""

from pathlib import Path

import pytest

from qisguard.errors import TrailError
from qisguard.lab.bench.appending import ORIGIN, make_tree
from qisguard.lab.bench.registry import BENCHES
from qisguard.trail.files import FolderFiles
from qisguard.trail.merkle import leaf_hash, verify_inclusion
from qisguard.trail.proofs import TreeReader


@pytest.mark.parametrize("size", [5, 256, 300, 70_000, 65_536 * 2 + 256 * 3])
def test_true_tiles_of_a_drawn_tree_prove_their_entries(tmp_path: Path, size: int) -> None:
    head, chosen = make_tree(tmp_path, 1, size, 4)
    assert head.origin == ORIGIN
    assert len(chosen) == min(4, size // 256)
    for number in chosen:
        index, entry = number * 256 + 7, b"%d" % (number * 256 + 7)
        reader = TreeReader(FolderFiles(tmp_path).read, head)
        path = reader.inclusion(index, entry)
        verify_inclusion(index, size, leaf_hash(entry), path, head.root)
        with pytest.raises(TrailError):
            reader.inclusion(index, entry + b"0")
    if size % 256:
        reader = TreeReader(FolderFiles(tmp_path).read, head)
        reader.inclusion(size - 1, b"%d" % (size - 1))


def test_the_benchmark_has_a_name() -> None:
    assert "append" in BENCHES
