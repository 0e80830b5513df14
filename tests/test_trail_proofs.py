"""Proofs from tiles, proof files and bundles: whoever gets one needs nothing but the log's key."""

import json
import random
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import DecodeError, ProofError, QisguardError, TrailError
from qisguard.identity.keys import KeyPair, to_text
from qisguard.trail import merkle
from qisguard.trail.bundle import (
    ITEM_COUNT_MAX,
    Bundle,
    Item,
    make_bundle,
    make_item,
    parse_bundle,
    verify_bundle,
)
from qisguard.trail.checkpoint import NO_TAG, Checkpoint, Line, LogKey, sign_checkpoint
from qisguard.trail.entries import encode_entry, hold, publish
from qisguard.trail.files import MemoryFiles
from qisguard.trail.log import Trail
from qisguard.trail.merkle import leaf_hash, verify_consistency, verify_inclusion
from qisguard.trail.proofs import TreeReader
from qisguard.trail.tiles import ENTRIES, Tower, encode_bundle, files_of
from qisguard.trail.tlog_proof import TlogProof, parse_proof, verify_proof

ORIGIN = "qisguard.invalid/0011223344556677/8899aabbccddeeff"
KEY = KeyPair.from_seed(b"\x01" * 32)
LOG = LogKey(ORIGIN, KEY.public)


def _entry(index: int) -> bytes:
    return b"entry %d" % index


def _tree(size: int) -> tuple[dict[str, bytes], list[bytes], Checkpoint]:
    """Return the files of a tree, its leaf hashes and its checkpoint."""
    leaves = [leaf_hash(_entry(index)) for index in range(size)]
    tower, files = Tower(), {}
    for tile, row in (*tower.extend(leaves), *tower.partials()):
        files[tile.path] = b"".join(row)
    for tile in files_of(size):
        if tile.level == ENTRIES:
            start = tile.index * 256
            rows = [_entry(index) for index in range(start, start + tile.width)]
            files[tile.path] = encode_bundle(rows)
    return files, leaves, sign_checkpoint(ORIGIN, size, merkle.root(leaves), KEY)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 255, 256, 257, 300, 513, 1000])
def test_proofs_from_tiles_are_those_of_the_simple_algorithm(size: int) -> None:
    files, leaves, head = _tree(size)
    reader = TreeReader(files.get, head)
    chosen = range(size) if size < 10 else random.Random(size).sample(range(size), 40)
    for index in {0, size - 1, *chosen}:
        assert reader.entry(index) == _entry(index)
        path = reader.inclusion(index, _entry(index))
        assert path == merkle.inclusion_proof(leaves, index)
        verify_inclusion(index, size, leaves[index], path, head.root)
        proof = reader.consistency(index)
        assert proof == merkle.consistency_proof(leaves, index)
        old = reader.root_at(index)
        assert old == merkle.root(leaves[:index])
        verify_consistency(index, size, old, head.root, proof)
    assert reader.consistency(size, head.root) == []


def test_proofs_in_a_tree_of_three_levels_verify() -> None:
    files, leaves, head = _tree(70_000)
    reader = TreeReader(files.get, head)
    for index in (0, 255, 256, 65_535, 65_536, 69_999):
        reader.inclusion(index, _entry(index))
    for old in (1, 256, 65_536, 65_537, 69_999):
        verify_consistency(
            old, 70_000, merkle.root(leaves[:old]), head.root, reader.consistency(old)
        )


def test_a_partial_tile_that_was_removed_is_found_in_the_full_one() -> None:
    early, _, head = _tree(300)
    late, _, _ = _tree(600)
    late["tile/1/000.p/1"] = early["tile/1/000.p/1"]
    assert "tile/0/001.p/44" in early
    reader = TreeReader(late.get, head)
    assert reader.inclusion(280, _entry(280)) == TreeReader(early.get, head).inclusion(
        280, _entry(280)
    )
    assert reader.entry(299) == _entry(299)


def _prove_all(reader: TreeReader) -> None:
    for index in (0, 256, 599):
        reader.inclusion(index, _entry(index))


def test_false_or_missing_tiles_give_an_error_and_no_proof() -> None:
    files, _, head = _tree(600)
    for path in list(files):
        if path.startswith("tile/entries"):
            continue
        for broken in (b"", files[path][:-1], bytes(len(files[path]))):
            bad = {**files, path: broken}
            if not broken:
                del bad[path]
            with pytest.raises(TrailError):
                _prove_all(TreeReader(bad.get, head))
    bad = {**files, "tile/entries/000": b"\xff\xff"}
    with pytest.raises(TrailError, match="tile/entries/000"):
        TreeReader(bad.get, head).entry(0)


def test_what_is_not_in_the_tree_is_refused() -> None:
    files, _, head = _tree(5)
    reader = TreeReader(files.get, head)
    for index in (-1, 5):
        with pytest.raises(TrailError, match=f"no entry {index}"):
            reader.inclusion(index, b"")
        with pytest.raises(TrailError, match=f"no entry {index}"):
            reader.entry(index)
    for size in (-1, 6):
        with pytest.raises(TrailError, match=f"size {size}"):
            reader.consistency(size)
        with pytest.raises(TrailError, match=f"size {size}"):
            reader.root_at(size)
    with pytest.raises(TrailError, match="do not prove entry 3"):
        reader.inclusion(3, b"another")
    with pytest.raises(TrailError, match="size 3 was continued"):
        reader.consistency(3, bytes(32))


# --- proof files ---------------------------------------------------------------------------------
def _proof(size: int = 300, index: int = 7) -> TlogProof:
    files, _, head = _tree(size)
    path = TreeReader(files.get, head).inclusion(index, _entry(index))
    return TlogProof(index, tuple(path), head.encode())


def test_a_proof_file_comes_back_as_it_was_written_and_verifies() -> None:
    for proof in (_proof(), _proof(1, 0), TlogProof(7, _proof().hashes, _proof().checkpoint, b"?")):
        assert parse_proof(proof.encode()) == proof
        head = verify_proof(parse_proof(proof.encode()), _entry(proof.index), [LOG])
        assert head.origin == ORIGIN
    assert _proof().encode().startswith(b"c2sp.org/tlog-proof@v1\nindex 7\n")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda p: p.replace(b"@v1", b"@v2"), "line 1"),
        (lambda p: p.replace(b"index 7", b"index 07"), "index"),
        (lambda p: p.replace(b"index 7", b"index -7"), "index"),
        (lambda p: p.replace(b"index 7", b"index 9223372036854775808"), "index"),
        (lambda p: p.replace(b"index 7\n", b""), "index"),
        (lambda p: p.replace(b"index 7\n", b"extra x\nindex 7\n"), "not base64"),
        (lambda p: p.replace(b"index 7\n", b"extra YR==\nindex 7\n"), "canonical"),
        (lambda p: p.replace(b"index 7\n", b"extra YQ==\nextra YQ==\nindex 7\n"), "index"),
        (lambda p: p.replace(b"index 7\n", b"index 7\nYQ==\n"), "hash 0 has 1 bytes"),
        (lambda p: p.replace(b"index 7\n", b"index 7\n" + b"A" * 43 + b"=\n" * 64), "hashes"),
        (lambda p: p.replace(b"index 7\n", b"index 7\r\n"), "index"),
        (lambda p: p.replace(b"index 7\n", b"index 7\n\xff\n"), "ASCII"),
        (lambda p: p.replace(b"\n\n", b"\n"), "checkpoint|base64|empty line"),
        (lambda p: p.replace(b"\n\nqis", b"\n\n\nqis"), "checkpoint"),
        (lambda p: p[:-1], "checkpoint"),
        (lambda p: p + b"\n", "checkpoint|base64|dash"),
        (lambda p: p + b"x" * (1 << 18), "at most"),
        (lambda _: b"", "empty line"),
    ],
)
def test_a_proof_file_with_another_spelling_is_refused(
    change: Callable[[bytes], bytes], error: str
) -> None:
    with pytest.raises(DecodeError, match=error):
        parse_proof(change(_proof().encode()))


def test_a_proof_of_another_log_key_or_of_a_name_alone_is_refused() -> None:
    proof, other = _proof(), KeyPair.from_seed(b"\x02" * 32)
    for keys in ([], [LogKey(ORIGIN, other.public)], [LogKey("other", KEY.public)]):
        with pytest.raises(ProofError):
            verify_proof(proof, _entry(7), keys)
    head = sign_checkpoint("other", 1, leaf_hash(b"x"), KEY)
    text = Checkpoint(ORIGIN, 1, head.root).text
    line = Line("other", LogKey("other", KEY.public).id, KEY.sign(NO_TAG, text))
    forged = Checkpoint(ORIGIN, 1, head.root, (line,))
    with pytest.raises(ProofError, match="itself signed it"):
        verify_proof(TlogProof(0, (), forged.encode()), b"x", [LogKey("other", KEY.public)])
    signed = sign_checkpoint("other", 1, head.root, KEY)
    assert verify_proof(TlogProof(0, (), signed.encode()), b"x", [LogKey("other", KEY.public)])


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_altered_proof_file_verifies(data: st.DataObject) -> None:
    good = _proof(9, 7).encode()
    offset = data.draw(st.integers(0, len(good) - 1))
    bad = (
        good[:offset] + bytes([good[offset] ^ data.draw(st.integers(1, 255))]) + good[offset + 1 :]
    )
    with pytest.raises(QisguardError):
        verify_proof(parse_proof(bad), _entry(7), [LOG])


# --- bundles -------------------------------------------------------------------------------------
def _bundle() -> Bundle:
    """A bundle of two published packets, one of them erased, and of a batch."""
    public = MemoryFiles()
    trail = Trail.create(public, MemoryFiles(), ORIGIN, KEY)
    packets = [b"packet %d" % n for n in range(5)]
    for packet in packets:
        trail.append(publish(20_000, packet), [packet])
    trail.append(hold(20_001, [sha256(b"x").digest()]))
    head = trail.checkpoint()
    reader = TreeReader(public.read, head)
    items = []
    for index, kept in ((5, None), (1, packets[1]), (3, None)):
        entry = reader.entry(index)
        items.append(make_item(index, entry, reader.inclusion(index, entry), kept))
    return make_bundle(head, items)


def test_a_bundle_proves_entries_and_packets_to_whoever_knows_the_key() -> None:
    bundle = parse_bundle(_bundle().encode())
    found = verify_bundle(bundle, [LogKey("other", KEY.public), LOG])
    assert found.key == LOG
    assert found.head.size == 6
    assert [(proven.index, proven.packet) for proven in found.entries] == [
        (1, b"packet 1"),
        (3, None),
        (5, None),
    ]
    assert found.entries[0].entry == publish(20_000, b"packet 1")


def test_a_bundle_gives_proof_files_that_anybody_can_check() -> None:
    bundle = _bundle()
    for item in bundle.items:
        proof = parse_proof(bundle.proof(item).encode())
        assert verify_proof(proof, item.entry.encode(), [LOG]).size == 6


def test_a_packet_that_the_entry_does_not_name_is_no_proof() -> None:
    bundle = _bundle()
    for place, packet in ((0, b"packet 2"), (2, b"x")):
        items = list(bundle.items)
        old = items[place]
        items[place] = Item(old.index, old.entry, old.hashes, to_text(packet))
        forged = Bundle(bundle.schema, bundle.checkpoint, tuple(items))
        with pytest.raises(ProofError, match="is not the one that entry"):
            verify_bundle(parse_bundle(forged.encode()), [LOG])


def test_a_leaf_that_is_an_inner_node_is_no_proof() -> None:
    """The classic forgery: two hashes as an entry, and a path that is one shorter."""
    bundle = _bundle()
    first = bundle.items[0]
    forged = Item(0, first.entry, first.hashes[1:])
    with pytest.raises(ProofError, match="too few"):
        verify_bundle(Bundle(bundle.schema, bundle.checkpoint, (forged,)), [LOG])


def _changed(**fields: object) -> bytes:
    """Return a bundle with other fields, in the one spelling."""
    value = {**json.loads(_bundle().encode()), **fields}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _item(**fields: object) -> dict[str, object]:
    return {"index": 0, "entry": "", "hashes": [], **fields}


def test_a_changed_bundle_is_in_the_one_spelling() -> None:
    assert _changed() == _bundle().encode()
    assert parse_bundle(_changed(items=[_item(hashes=["A" * 43], packet="AA")])).items[0].index == 0


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"schema": "qisguard.bundle/v2"}, "schema = 'qisguard.bundle/v2'"),
        ({"items": []}, "0 items"),
        ({"items": [_item(index=n) for n in range(ITEM_COUNT_MAX + 1)]}, "1001 items"),
        ({"items": [_item(hashes=["A" * 43] * 64)]}, "64 hashes, at most 63"),
        ({"items": [_item(), _item()]}, "index 0 after 0"),
        ({"items": [_item(index=2), _item(index=1)]}, "index 1 after 2"),
        ({"items": [_item(index=-1)]}, "index -1 after -1"),
        ({"items": [_item(index=1 << 63)]}, "index 9223372036854775808"),
        ({"items": [_item(hashes=["A" * 42 + "B"])]}, "not the canonical form of 32 bytes"),
        ({"items": [_item(packet="A" * 90_000)]}, "packet of 67500 bytes, at most 65536"),
        ({"items": [_item(packet="AB")]}, "not the canonical form of 1 bytes"),
        ({"items": [_item(packet=None)]}, "deterministic encoding"),
        ({"items": [_item(more=1)]}, "unknown field"),
        ({"more": 1}, "unknown field"),
        ({"checkpoint": "x" * 70_000}, "checkpoint of more than"),
        ({"checkpoint": ""}, "checkpoint: must be a text"),
    ],
)
def test_a_bundle_out_of_its_bounds_is_refused(fields: dict[str, object], error: str) -> None:
    with pytest.raises(DecodeError, match=error):
        parse_bundle(_changed(**fields))


def test_a_bundle_with_another_spelling_is_refused() -> None:
    good = _bundle().encode()
    for bad in (
        b"",
        good[:-1],
        good + b"\n",
        good.replace(b'"items":', b'"items": '),
        good.replace(b'"hashes"', b'"hashes":[],"hashes"', 1),
        b'{"schema":"' + b"\\ud800" + b'","checkpoint":"","items":[]}\n',
        b"[" * 100_000,
        good + b" " * (8 << 20),
    ):
        with pytest.raises(DecodeError):
            parse_bundle(bad)


BUNDLE = _bundle().encode()


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_altered_bundle_verifies(data: st.DataObject) -> None:
    good = BUNDLE
    offset = data.draw(st.integers(0, len(good) - 1))
    bad = (
        good[:offset] + bytes([good[offset] ^ data.draw(st.integers(1, 255))]) + good[offset + 1 :]
    )
    with pytest.raises(QisguardError):
        verify_bundle(parse_bundle(bad), [LOG])


def test_an_entry_of_no_known_kind_is_refused_though_it_is_in_the_tree() -> None:
    files, _, head = _tree(3)
    path = TreeReader(files.get, head).inclusion(1, _entry(1))
    bundle = make_bundle(head, [make_item(1, _entry(1), path, None)])
    with pytest.raises(DecodeError, match="entry"):
        verify_bundle(bundle, [LOG])
    assert encode_entry(hold(1, [bytes(32)])).decode()
