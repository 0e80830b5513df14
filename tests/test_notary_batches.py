"""Batch receipts: ours verify, the tree is merkletools' own, and no known forgery of it passes.

The forgeries E1 to E9 are those that merkletools accepts; each test makes the same one for ours.
"""

import json
import random
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from qisguard.errors import DecodeError, ProofError, QisguardError
from qisguard.identity.keys import to_text
from qisguard.notary.batches import (
    HASH_SIZE,
    RECEIPT_TAG,
    Body,
    Receipt,
    Step,
    batch_head,
    decode_receipt,
    encode_receipt,
    leaf_of,
    make_batch,
    verify_receipt,
)
from qisguard.notary.judgement import State
from qisguard.notary.judging import judge
from qisguard.notary.policy import NotaryPolicy, parse_notary_policy
from qisguard.notary.stamps import encode_stamp
from tests.notaries import anchored_at, mined, policy_of
from tests.trails import key

MAKER = key("maker of batches")


def texts(count: int) -> list[bytes]:
    """Return checkpoints' texts; what is in them does not matter here."""
    return [f"qisguard.invalid/net/{number}\n{number}\nroot\n".encode() for number in range(count)]


def signed(body: Body, stamp: bytes = b"") -> Receipt:
    """Return a receipt that its maker did sign, whatever it says."""
    encoded = msgspec.json.encode(body, order="deterministic")
    return Receipt(body, MAKER.public, MAKER.sign(RECEIPT_TAG, encoded), stamp)


def bent(receipt: Receipt, **changes: Any) -> Receipt:
    """Return a receipt with other fields, signed again: the maker may be the liar."""
    return signed(msgspec.structs.replace(receipt.body, **changes), receipt.stamp)


def merkletools() -> Any:
    """Return the package where it installs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("merkletools", reason="merkletools is not installed")


def tree_of(leaves: "list[bytes]") -> Any:
    """Return merkletools' tree over these leaves."""
    tree = merkletools().MerkleTools(hash_type="sha256")
    tree.add_leaf([leaf.hex() for leaf in leaves])
    tree.make_tree()
    return tree


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33, 100])
def test_every_receipt_of_a_batch_verifies_and_survives_its_file(count: int) -> None:
    items = texts(count)
    receipts = make_batch(items, MAKER)
    assert len({receipt.head for receipt in receipts}) == 1
    for text, receipt in zip(items, receipts, strict=True):
        verify_receipt(text, receipt)
        assert decode_receipt(encode_receipt(receipt)) == receipt


@pytest.mark.parametrize("count", [*range(1, 18), 33, 64, 100])
def test_root_and_proofs_are_those_of_merkletools(count: int) -> None:
    items = texts(count)
    receipts = make_batch(items, MAKER)
    tree = tree_of([leaf_of(text) for text in items])
    assert {receipt.body.merkleRoot for receipt in receipts} == {tree.get_merkle_root()}
    for index, receipt in enumerate(receipts):
        steps = json.loads(encode_receipt(receipt))["receipt"]["proof"]
        assert steps == tree.get_proof(index)
        assert tree.validate_proof(steps, receipt.body.targetHash, receipt.body.merkleRoot)


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        make_batch([], MAKER)


def refused(text: bytes, receipt: Receipt, reason: str) -> None:
    """Assert that a receipt is refused, in memory and as a file."""
    with pytest.raises(ProofError, match=reason):
        verify_receipt(text, receipt)
    found = judge(text, encode_receipt(receipt), None, NotaryPolicy())
    assert found.state is State.REFUTED


def test_e1_a_tree_of_nodes_has_another_head_than_the_tree_of_leaves() -> None:
    leaves = [leaf_of(text) for text in texts(4)]
    nodes = [sha256(leaves[at] + leaves[at + 1]).digest() for at in (0, 2)]
    assert tree_of(leaves).get_merkle_root() == tree_of(nodes).get_merkle_root()
    root = bytes.fromhex(tree_of(leaves).get_merkle_root())
    assert batch_head(4, root) != batch_head(2, root)


def test_e2_a_node_does_not_pass_for_a_leaf() -> None:
    items = texts(4)
    whole = make_batch(items, MAKER)[0]
    leaves = [leaf_of(text) for text in items]
    node = sha256(leaves[0] + leaves[1])
    tree = tree_of(leaves)
    assert tree.validate_proof(tree.get_proof(0)[1:], node.hexdigest(), tree.get_merkle_root())
    cut = bent(whole, targetHash=node.hexdigest(), proof=whole.body.proof[1:])
    refused(items[0], cut, "another text")
    fewer = bent(whole, targetHash=node.hexdigest(), proof=whole.body.proof[1:], count=2)
    refused(leaves[0] + leaves[1], fewer, "another text")
    refused(items[0], bent(whole, proof=whole.body.proof[1:]), "1 steps, number 0 of 4 has 2")


def test_e3_two_leaves_are_no_document_of_64_bytes() -> None:
    items = texts(2)
    leaves = [leaf_of(text) for text in items]
    tree = tree_of(leaves)
    document = leaves[0] + leaves[1]
    assert tree.validate_proof([], sha256(document).hexdigest(), tree.get_merkle_root())
    alone = signed(
        Body(
            "qisguard/notary-batch/v1",
            1,
            0,
            sha256(document).hexdigest(),
            tree.get_merkle_root(),
            (),
        )
    )
    refused(document, alone, "another text")
    alone = bent(alone, targetHash=leaf_of(document).hex())
    refused(document, alone, "its root is")


def test_e4_a_root_does_not_prove_itself() -> None:
    items = texts(4)
    whole = make_batch(items, MAKER)[0]
    root = whole.body.merkleRoot
    assert tree_of([leaf_of(text) for text in items]).validate_proof([], root, root)
    refused(items[0], bent(whole, targetHash=root, proof=()), "another text")
    refused(items[0], bent(whole, targetHash=root, proof=(), count=1), "another text")
    refused(items[0], bent(whole, proof=(), count=1), "its root is")


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("e5", {"right": "ab" * 16}),
        ("e5", {"right": "ab" * 48}),
        ("e6", {"right": ""}),
        ("e6", {"left": ""}),
        ("e7", {"left": "zz" * 32, "right": "ab" * 32}),
        ("e7", {"left": "ab" * 32, "right": "ab" * 32}),
        ("e7", {}),
        ("e7", {"up": "ab" * 32}),
        ("e8", {"right": "AB" * 32}),
        ("e8", {"right": "ab " * 31 + "ab  "}),
        ("e8", {"right": "zz" * 32}),
        ("e8", {"right": 7}),
        ("e8", {"right": None}),
        ("e8", "ab" * 32),
        ("e8", None),
    ],
)
def test_e5_to_e8_a_step_is_one_side_with_64_lower_case_digits(name: str, step: object) -> None:
    file = json.loads(encode_receipt(make_batch(texts(2), MAKER)[0]))
    file["receipt"]["proof"] = [step]
    data = json.dumps(file, separators=(",", ":")).encode()
    with pytest.raises(DecodeError, match="receipt: ") as refusal:
        decode_receipt(data)
    assert "encoding" not in str(refusal.value)
    file["receipt"]["proof"] = [{"right": "ab" * 32}]
    decode_receipt(json.dumps(file, separators=(",", ":")).encode())


def test_e5_a_leaf_of_another_size_is_refused() -> None:
    one, other = (leaf_of(text) for text in texts(2))
    odd = [one + other[:16], other[16:]]
    assert tree_of([one, other]).get_merkle_root() == tree_of(odd).get_merkle_root()
    assert {len(leaf_of(bytes(size))) for size in (0, 16, 48, 64)} == {HASH_SIZE}
    file = json.loads(encode_receipt(make_batch(texts(2), MAKER)[0]))
    file["receipt"]["targetHash"] = odd[0].hex()
    with pytest.raises(DecodeError, match="targetHash is not 64"):
        decode_receipt(json.dumps(file, separators=(",", ":")).encode())


def test_e9_a_receipt_holds_for_its_index_and_its_number_of_leaves_alone() -> None:
    items = texts(7)
    receipts = make_batch(items, MAKER)
    for receipt, text in zip(receipts, items, strict=True):
        for index in range(8):
            if index != receipt.body.index:
                refused(text, bent(receipt, index=index), "receipt: ")
    last = receipts[6]
    refused(items[6], bent(last, count=8), "2 steps, number 6 of 8 has 3")
    refused(items[6], bent(last, count=1 << 40), "in a batch of 1099511627776")
    refused(items[6], bent(last, index=-1), "index -1")
    refused(items[0], bent(receipts[0], count=0), "index 0 in a batch of 0")


def test_a_count_that_leaves_the_shape_is_caught_by_the_stamp() -> None:
    """Number 0 of 7 and number 0 of 8 have proofs of one shape; the stamped text has the count."""
    stamp, _ = anchored_at(100, make_batch(texts(7), MAKER)[0].head)
    receipt = replace(make_batch(texts(7), MAKER)[0], stamp=encode_stamp(stamp))
    other = bent(receipt, count=8)
    verify_receipt(texts(7)[0], other)
    found = judge(texts(7)[0], encode_receipt(other), None, NotaryPolicy())
    assert found.state is State.REFUTED
    assert "of another text" in found.reason


def test_a_stamped_batch_anchors_every_checkpoint_in_it() -> None:
    items = texts(5)
    receipts = make_batch(items, MAKER)
    stamp, root = anchored_at(101, receipts[0].head)
    chain = mined([bytes(32), root])
    for text, receipt in zip(items, receipts, strict=True):
        data = encode_receipt(replace(receipt, stamp=encode_stamp(stamp)))
        found = judge(text, data, chain, policy_of(chain))
        assert found.state is State.ANCHORED
        assert found.reason.startswith(f"in a batch, number {receipt.body.index} of 5: existed no")
        assert judge(text, data, None, policy_of(chain)).state is State.UNVERIFIED
        assert judge(text + b"x", data, chain, policy_of(chain)).state is State.REFUTED
    bare = judge(items[0], encode_receipt(receipts[0]), chain, policy_of(chain))
    assert bare.state is State.NONE
    nested = replace(receipts[0], stamp=encode_receipt(receipts[1]))
    assert judge(items[0], encode_receipt(nested), chain, policy_of(chain)).state is State.REFUTED


def test_a_policy_may_name_who_makes_batches() -> None:
    receipt = make_batch(texts(1), MAKER)[0]
    stamp, root = anchored_at(100, receipt.head)
    chain = mined([root])
    data = encode_receipt(replace(receipt, stamp=encode_stamp(stamp)))
    known = replace(policy_of(chain), batchers=(MAKER.public,))
    other = replace(policy_of(chain), batchers=(key("somebody").public,))
    assert judge(texts(1)[0], data, chain, known).state is State.ANCHORED
    assert judge(texts(1)[0], data, chain, other).state is State.UNVERIFIED
    text = f'batchers = ["{to_text(MAKER.public)}"]'
    assert parse_notary_policy(text.encode()).batchers == (MAKER.public,)
    for wrong in ("batchers = 1", "batchers = ['x']", "batchers = [1]"):
        with pytest.raises(QisguardError, match="batchers"):
            parse_notary_policy(wrong.encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda file: {**file, "more": 1},
        lambda file: {**file, "stamp": "AA"},
        lambda file: {**file, "key": file["key"] + "A"},
        lambda file: {**file, "receipt": {**file["receipt"], "type": "ChainpointSHA256v2"}},
        lambda file: {**file, "receipt": {**file["receipt"], "count": "3"}},
        lambda file: {name: value for name, value in file.items() if name != "stamp"},
    ],
)
def test_a_file_of_another_form_is_refused(
    change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> None:
    file = json.loads(encode_receipt(make_batch(texts(3), MAKER)[1]))
    data = json.dumps(change(file), separators=(",", ":")).encode()
    with pytest.raises(DecodeError) as refusal:
        decode_receipt(data)
    assert "one encoding" not in str(refusal.value)


def test_a_receipt_has_one_spelling_and_an_end() -> None:
    data = encode_receipt(make_batch(texts(3), MAKER)[1])
    padded = data.replace(b'"stamp":""', b'"stamp":"AB=="')
    twice = data.replace(b'"key"', b'"key":"x","key"', 1)
    for wrong in (
        data + b" ",
        data.replace(b":", b": ", 1),
        twice,
        padded,
        b"{" * 50_000,
        b"{}",
        b"",
    ):
        with pytest.raises(DecodeError):
            decode_receipt(wrong)
    with pytest.raises(DecodeError, match="at most 65536"):
        decode_receipt(bytes(200_000))


def test_no_mutation_of_a_good_receipt_stays_anchored() -> None:
    """Seed 4: 2,500 flipped bits, deletions and insertions; the promise of no calendar is in it."""
    items = texts(5)
    receipt = make_batch(items, MAKER)[3]
    stamp, root = anchored_at(101, receipt.head)
    chain = mined([bytes(32), root])
    data = encode_receipt(replace(receipt, stamp=encode_stamp(stamp)))
    policy = policy_of(chain)
    rng = random.Random(4)
    for _ in range(2_500):
        changed = bytearray(data)
        at = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at]
            case _:
                changed.insert(at, rng.randrange(256))
        if bytes(changed) != data:
            assert judge(items[3], bytes(changed), chain, policy).state is not State.ANCHORED


def test_a_receipt_that_its_maker_did_not_sign_is_refused() -> None:
    receipt = make_batch(texts(3), MAKER)[0]
    stranger = replace(receipt, key=key("somebody").public)
    refused(texts(3)[0], stranger, "does not verify")
    assert Step(left="a") != Step(right="a")
