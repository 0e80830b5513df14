import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import ProofError
from qisguard.trail.merkle import (
    EMPTY_ROOT,
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)


def _vectors(folder: str) -> Path:
    found = os.environ.get("QISGUARD_VECTORS")
    if not found or not (Path(found) / folder).is_dir():
        pytest.skip(f"QISGUARD_VECTORS does not name a folder with {folder}")
    return Path(found) / folder


def _mth(leaves: list[bytes]) -> bytes:
    """The recursive definition of RFC 6962, section 2.1, as the oracle."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(_mth(leaves[:split]), _mth(leaves[split:]))


def _leaves(size: int) -> list[bytes]:
    return [leaf_hash(index.to_bytes(4, "big")) for index in range(size)]


def _raises(call: "object", *arguments: object) -> bool:
    assert callable(call)
    try:
        call(*arguments)
    except ProofError:
        return True
    return False


def test_the_reference_tree_has_the_reference_roots() -> None:
    tree = json.loads((_vectors("rfc6962") / "ct_reference_tree.json").read_text())
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in tree["leaves_hex"]]
    assert [root(leaves[:size]).hex() for size in range(9)] == tree["roots_by_size_hex"]
    assert EMPTY_ROOT.hex() == tree["hasher"]["empty_root"]
    assert leaf_hash(b"").hex() == tree["hasher"]["leaf_empty"]
    assert leaf_hash(b"L123456").hex() == tree["hasher"]["leaf_L123456"]
    assert node_hash(b"N123", b"N456").hex() == tree["hasher"]["node_N123_N456"]


def test_inclusion_proofs_agree_with_the_reference_vectors() -> None:
    files = sorted(_vectors("transparency-dev-merkle").glob("testdata/inclusion/**/*.json"))
    assert len(files) == 98
    for file in files:
        case = json.loads(file.read_text())
        refused = _raises(
            verify_inclusion,
            case["leafIdx"],
            case["treeSize"],
            base64.b64decode(case["leafHash"] or ""),
            [base64.b64decode(value) for value in case["proof"] or []],
            base64.b64decode(case["root"] or ""),
        )
        assert refused == case["wantErr"], file.name


def test_consistency_proofs_agree_with_the_reference_vectors() -> None:
    files = sorted(_vectors("transparency-dev-merkle").glob("testdata/consistency/**/*.json"))
    assert len(files) == 98
    for file in files:
        case = json.loads(file.read_text())
        refused = _raises(
            verify_consistency,
            case["size1"],
            case["size2"],
            base64.b64decode(case["root1"] or ""),
            base64.b64decode(case["root2"] or ""),
            [base64.b64decode(value) for value in case["proof"] or []],
        )
        assert refused == case["wantErr"], file.name


@given(size=st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_root_and_compact_range_equal_the_recursive_definition(size: int) -> None:
    leaves = _leaves(size)
    compact = CompactRange()
    for leaf in leaves:
        compact.append(leaf)
    assert root(leaves) == compact.root() == _mth(leaves)
    assert len(compact.peaks) == size.bit_count()


@given(data=st.data(), size=st.integers(1, 130))
@settings(max_examples=80, deadline=None)
def test_an_inclusion_proof_verifies_and_any_flipped_bit_fails(
    data: st.DataObject, size: int
) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = _leaves(size)
    proof, top = inclusion_proof(leaves, index), root(leaves)
    verify_inclusion(index, size, leaves[index], proof, top)
    values = [leaves[index], top, *proof]
    which, bit = data.draw(st.integers(0, len(values) - 1)), data.draw(st.integers(0, 255))
    flipped = bytearray(values[which])
    flipped[bit // 8] ^= 1 << bit % 8
    values[which] = bytes(flipped)
    with pytest.raises(ProofError):
        verify_inclusion(index, size, values[0], values[2:], values[1])


@given(data=st.data(), new=st.integers(1, 130))
@settings(max_examples=80, deadline=None)
def test_a_consistency_proof_verifies_and_any_flipped_bit_fails(
    data: st.DataObject, new: int
) -> None:
    old = data.draw(st.integers(1, new))
    leaves = _leaves(new)
    proof = consistency_proof(leaves, old)
    verify_consistency(old, new, root(leaves[:old]), root(leaves), proof)
    values = [root(leaves[:old]), root(leaves), *proof]
    which, bit = data.draw(st.integers(0, len(values) - 1)), data.draw(st.integers(0, 255))
    flipped = bytearray(values[which])
    flipped[bit // 8] ^= 1 << bit % 8
    values[which] = bytes(flipped)
    with pytest.raises(ProofError):
        verify_consistency(old, new, values[0], values[1], values[2:])


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    leaves = _leaves(4)
    inner = node_hash(leaves[0], leaves[1])
    with pytest.raises(ProofError):
        verify_inclusion(0, 4, inner, inclusion_proof(leaves, 0)[1:], root(leaves))
    assert leaf_hash(leaves[0] + leaves[1]) != inner


def test_everything_continues_the_empty_tree_but_only_with_an_empty_proof() -> None:
    leaves = _leaves(3)
    verify_consistency(0, 3, EMPTY_ROOT, root(leaves), [])
    with pytest.raises(ProofError):
        verify_consistency(0, 3, EMPTY_ROOT, root(leaves), leaves[:1])
    with pytest.raises(ProofError):
        verify_consistency(0, 3, leaves[0], root(leaves), [])
    with pytest.raises(ProofError):
        verify_consistency(3, 2, root(leaves), root(leaves[:2]), [])


def test_proofs_of_impossible_trees_are_programming_errors() -> None:
    with pytest.raises(ValueError, match="index 2"):
        inclusion_proof(_leaves(2), 2)
    with pytest.raises(ValueError, match="from size 3"):
        consistency_proof(_leaves(2), 3)
    with pytest.raises(ValueError, match="peaks"):
        CompactRange(3, [EMPTY_ROOT])
