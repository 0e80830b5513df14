"""One stamp for many nodes' checkpoints: a batch tree, and for each of them a receipt.

The tree is Chainpoint's: SHA-256 over two neighbours, an odd last one goes up as it is. Such a tree
has no prefix that tells a leaf from a node, so that a proof alone can be bent (a node passes for a
leaf, a cut proof for a whole one). What makes it sound here:

- a leaf is never taken as given: it is SHA-256 of a tag and the checkpoint's text;
- number of leaves and index fix how many steps a proof has, and on which side each of them is;
- what is stamped is not the root but a text with the root *and the number of leaves*;
- who made the batch signs number, index, leaf, proof and root;
- a receipt has one spelling: canonical JSON, 64 lower-case digits for each hash.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from qisguard.errors import DecodeError, ProofError
from qisguard.identity.keys import KEY_SIZE, SIGNATURE_SIZE, KeyPair, from_text, to_text, verify

TYPE = "qisguard/notary-batch/v1"
LEAF_TAG = b"qisguard/notary-leaf/v1\0"
RECEIPT_TAG = b"qisguard/notary-receipt/v1\n"
HASH_SIZE = 32
COUNT_MAX = 1 << 32
RECEIPT_SIZE_MAX = 1 << 16
"""Bytes of a receipt; the stamp inside is the greater part."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A neighbour on the way up, in hex; exactly one side is given."""

    left: str | None = None
    right: str | None = None


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the maker of the batch signs; hashes are 64 lower-case hex digits."""

    type: str
    count: int
    index: int
    targetHash: str  # noqa: N815 -- Chainpoint's own names
    merkleRoot: str  # noqa: N815
    proof: tuple[Step, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    receipt: Body
    key: str
    signature: str
    stamp: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """One checkpoint's place in a batch; ``stamp`` is the proof of time of ``head``, or empty."""

    body: Body
    key: bytes
    signature: bytes
    stamp: bytes = b""

    @property
    def head(self) -> bytes:
        """Return the text that is stamped for the whole batch."""
        return batch_head(self.body.count, bytes.fromhex(self.body.merkleRoot))


def leaf_of(text: bytes) -> bytes:
    """Return the leaf of a checkpoint's text."""
    return sha256(LEAF_TAG + text).digest()


def batch_head(count: int, root: bytes) -> bytes:
    """Return the text that is stamped: type, number of leaves and root, one line each."""
    return f"{TYPE}\n{count}\n{b64encode(root).decode()}\n".encode()


def make_batch(texts: Sequence[bytes], key: KeyPair) -> list[Receipt]:
    """Return a receipt for each text, without a stamp; all have the same ``head``.

    Raises:
        ValueError: no text at all.
    """
    if not texts:
        raise ValueError("batch: no checkpoint to make it of")
    levels = [[leaf_of(text) for text in texts]]
    while len(levels[-1]) > 1:
        level = levels[-1]
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        levels.append([sha256(left + right).digest() for left, right in pairs] + odd)
    root = levels[-1][0].hex()
    receipts = []
    for index, leaf in enumerate(levels[0]):
        steps, place = [], index
        for level in levels[:-1]:
            if place ^ 1 < len(level):
                neighbour = level[place ^ 1].hex()
                steps.append(Step(left=neighbour) if place % 2 else Step(right=neighbour))
            place //= 2
        body = Body(TYPE, len(texts), index, leaf.hex(), root, tuple(steps))
        receipts.append(Receipt(body, key.public, key.sign(RECEIPT_TAG, _encode(body))))
    return receipts


def verify_receipt(text: bytes, receipt: Receipt) -> None:
    """Raise ProofError unless the receipt shows that the text is in the batch of its ``head``."""
    body = receipt.body
    verify(receipt.key, RECEIPT_TAG, _encode(body), receipt.signature)
    if not 0 <= body.index < body.count <= COUNT_MAX:
        raise ProofError(f"receipt: index {body.index} in a batch of {body.count}")
    value = leaf_of(text)
    if body.targetHash != value.hex():
        raise ProofError(f"receipt: of another text: {body.targetHash}, this has {value.hex()}")
    sides = list(_sides(body.index, body.count))
    if len(sides) != len(body.proof):
        raise ProofError(
            f"receipt: {len(body.proof)} steps, number {body.index} of {body.count} has "
            f"{len(sides)}"
        )
    for is_left, step in zip(sides, body.proof, strict=True):
        neighbour = step.left if is_left else step.right
        if neighbour is None:
            wanted = "left" if is_left else "right"
            raise ProofError(f"receipt: a step is on the other side, must be {wanted}")
        pair = (bytes.fromhex(neighbour), value) if is_left else (value, bytes.fromhex(neighbour))
        value = sha256(b"".join(pair)).digest()
    if value.hex() != body.merkleRoot:
        raise ProofError(f"receipt: leads to {value.hex()}, its root is {body.merkleRoot}")


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the file."""
    stamp = b64encode(receipt.stamp).decode()
    key, signature = to_text(receipt.key), to_text(receipt.signature)
    return _encode(_File(receipt.body, key, signature, stamp))


def decode_receipt(data: bytes) -> Receipt:
    """Return the receipt in a file, nothing verified.

    Raises:
        DecodeError: not this format, not its one spelling, or beyond its limits.
    """
    if len(data) > RECEIPT_SIZE_MAX:
        raise DecodeError(f"receipt: {len(data)} bytes, at most {RECEIPT_SIZE_MAX}")
    try:
        file = msgspec.json.decode(data, type=_File)
        stamp = b64decode(file.stamp, validate=True)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DecodeError(f"receipt: {error}") from None
    body = file.receipt
    if body.type != TYPE:
        raise DecodeError(f"receipt: type {body.type[:40]!r}, must be {TYPE!r}")
    for name, value in (("targetHash", body.targetHash), ("merkleRoot", body.merkleRoot)):
        _check_hash(name, value)
    for step in body.proof:
        if (step.left is None) == (step.right is None):
            raise DecodeError("receipt: a step must have one side, left or right")
        _check_hash("a step", step.left or step.right or "")
    key, signature = from_text(file.key, KEY_SIZE), from_text(file.signature, SIGNATURE_SIZE)
    receipt = Receipt(body, key, signature, stamp)
    if encode_receipt(receipt) != data:
        raise DecodeError("receipt: is not in its one encoding")
    return receipt


def _sides(index: int, count: int) -> Iterator[bool]:
    """Yield for each step up whether the neighbour is on the left."""
    while count > 1:
        if index ^ 1 < count:
            yield bool(index % 2)
        index, count = index // 2, (count + 1) // 2


def _check_hash(name: str, value: str) -> None:
    if len(value) != 2 * HASH_SIZE or not set(value) <= set("0123456789abcdef"):
        raise DecodeError(f"receipt: {name} is not {2 * HASH_SIZE} lower-case hex digits")


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
