"""Merkle trees, inclusion proofs and consistency proofs (RFC 6962, section 2.1).

- A leaf is hashed behind ``0x00`` and a node behind ``0x01``, so that no node passes for a leaf.
- A tree of n > 1 leaves splits after the largest power of two smaller than n.
- Verifying raises ``ProofError``; nothing here returns False.
"""

from collections.abc import Sequence
from hashlib import sha256

from qisguard.errors import ProofError

HASH_SIZE = 32
CHUNK = 256
"""Leaves of a subtree that is computed at once: a power of two."""
EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves (RFC 6962, section 2.1)."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one log entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes.

    Pairing level by level and promoting an odd last node builds the same tree as splitting at the
    largest power of two, without recursion.
    """
    if not leaves:
        return EMPTY_ROOT
    level: Sequence[bytes] = leaves
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else ()
        each = iter(level)
        pairs = zip(each, each, strict=False)
        level = [*[sha256(b"\x01" + left + right).digest() for left, right in pairs], *odd]
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of leaf ``index``, lowest sibling first (RFC 6962, section 2.1.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"inclusion proof: index {index} in a tree of {len(leaves)}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root(leaves[:split])]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the proof that the first ``old_size`` leaves are unchanged (RFC 6962, 2.1.2).

    From the empty tree, and to the same tree, the proof is empty.
    """
    if not 0 <= old_size <= len(leaves):
        raise ValueError(f"consistency proof: from size {old_size} to {len(leaves)}")
    if old_size in (0, len(leaves)):
        return []
    return _subproof(leaves, old_size, whole=True)


def _subproof(leaves: Sequence[bytes], old_size: int, *, whole: bool) -> list[bytes]:
    """Return SUBPROOF(m, D[n], b) of RFC 6962; ``whole``: the old root is already known."""
    if old_size == len(leaves):
        return [] if whole else [root(leaves)]
    split = _split(len(leaves))
    if old_size <= split:
        return [*_subproof(leaves[:split], old_size, whole=whole), root(leaves[split:])]
    return [
        *_subproof(leaves[split:], old_size - split, whole=False),
        root(leaves[:split]),
    ]


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], expected: bytes
) -> None:
    """Raise ProofError unless leaf hash ``leaf`` is number ``index`` of the tree ``expected``.

    The algorithm of RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise ProofError(f"inclusion proof: index {index} in a tree of {size}")
    _check_hashes("inclusion proof", [leaf, expected, *proof])
    node, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError(f"inclusion proof: {len(proof)} hashes are too many for size {size}")
        if node & 1 or node == last:
            value = node_hash(sibling, value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError(f"inclusion proof: {len(proof)} hashes are too few for size {size}")
    _check_root("inclusion proof", value, expected)


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise ProofError unless the tree ``new_root`` continues the tree ``old_root``.

    The algorithm of RFC 9162, section 2.1.4.2. From the empty tree everything continues, so only
    its root and the emptiness of the proof can be wrong.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"consistency proof: from size {old_size} to {new_size}")
    if old_size == 0:
        _check_root("consistency proof", old_root, EMPTY_ROOT)
    if old_size == new_size:
        _check_root("consistency proof", old_root, new_root)
    else:
        _check_hashes("consistency proof", [old_root, new_root, *proof])
    if old_size in (0, new_size):
        if proof:
            raise ProofError(f"consistency proof: {len(proof)} hashes where none is needed")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise ProofError("consistency proof: empty")
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError(f"consistency proof: {len(proof)} hashes are too many")
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError(f"consistency proof: {len(proof)} hashes are too few")
    _check_root("consistency proof, old tree", old, old_root)
    _check_root("consistency proof, new tree", new, new_root)


class CompactRange:
    """The roots of the full subtrees of a growing tree: append and root cost O(log n).

    ``peaks`` run from the largest subtree to the smallest, one per one-bit of ``size``.
    """

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count():
            raise ValueError(f"compact range: {len(peaks)} peaks for size {size}")
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        peaks, size = self.peaks, self.size
        while size & 1:
            leaf = sha256(b"\x01" + peaks.pop() + leaf).digest()
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes; whole subtrees of ``CHUNK`` leaves are computed level by level."""
        offset = 0
        while offset < len(leaves):
            if self.size % CHUNK or len(leaves) - offset < CHUNK:
                self.append(leaves[offset])
                offset += 1
                continue
            peaks, value = self.peaks, root(leaves[offset : offset + CHUNK])
            size = self.size // CHUNK
            while size & 1:
                value = node_hash(peaks.pop(), value)
                size >>= 1
            peaks.append(value)
            self.size += CHUNK
            offset += CHUNK

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        if not self.peaks:
            return EMPTY_ROOT
        value = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            value = node_hash(peak, value)
        return value


def _split(size: int) -> int:
    """Return the largest power of two smaller than ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _check_hashes(what: str, hashes: Sequence[bytes]) -> None:
    """Raise ProofError unless every hash has its size: a hash of 64 bytes could hide a node."""
    for value in hashes:
        if len(value) != HASH_SIZE:
            raise ProofError(f"{what}: a hash of {len(value)} bytes, must be {HASH_SIZE}")


def _check_root(what: str, computed: bytes, expected: bytes) -> None:
    if computed != expected:
        raise ProofError(f"{what}: computed root {computed.hex()}, expected {expected.hex()}")
