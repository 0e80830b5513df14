"""OpenTimestamps files: one spelling, bounded, and the same as what other people's tools see."""

import hashlib
import io
import random
import warnings
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import DecodeError
from qisguard.notary.ripemd import ripemd160
from qisguard.notary.stamps import (
    APPEND,
    DIGEST_SIZES,
    HEXLIFY,
    KECCAK256,
    MAGIC,
    MESSAGE_SIZE_MAX,
    PREPEND,
    REVERSE,
    RIPEMD160,
    SHA1,
    SHA256,
    Attestation,
    Bitcoin,
    Operation,
    Pending,
    Stamp,
    Timestamp,
    Unknown,
    decode_stamp,
    decode_timestamp,
    encode_stamp,
    encode_timestamp,
    graft,
    merge,
    walk,
)
from tests.notaries import vectors

HEAD = MAGIC + b"\x01\x08" + bytes(32)
BLOCK = b"\x00" + bytes.fromhex("0588960d73d71901") + b"\x01\x07"
PROMISE = b"\x00" + bytes.fromhex("83dfe30d2ef90c8e") + b"\x0a\x09https://a"

uris = st.text("abcz019-._/:", min_size=0, max_size=30)
attestations: st.SearchStrategy[Attestation] = st.one_of(
    st.builds(Pending, uris),
    st.builds(Bitcoin, st.integers(0, (1 << 32) - 1)),
    st.builds(Unknown, st.just(b"unknown!"), st.binary(max_size=40)),
)
operations = st.one_of(
    st.sampled_from([SHA1, RIPEMD160, SHA256, KECCAK256, REVERSE, HEXLIFY]).map(Operation),
    st.builds(Operation, st.sampled_from([APPEND, PREPEND]), st.binary(min_size=1, max_size=40)),
)
leaves = st.lists(attestations, min_size=1, max_size=3).map(
    lambda found: merge(Timestamp(), Timestamp(tuple(found)))
)
timestamps = st.recursive(
    leaves,
    lambda below: st.tuples(
        st.lists(attestations, max_size=2),
        st.lists(st.tuples(operations, below), min_size=1, max_size=3),
    ).map(
        lambda parts: merge(
            Timestamp(tuple(parts[0])), Timestamp((), tuple(dict(parts[1]).items()))
        )
    ),
    max_leaves=8,
)


def chain(length: int, end: bytes = BLOCK) -> bytes:
    """Return a file whose tree is ``length`` nodes deep."""
    return HEAD + b"\x08" * (length - 1) + end


@settings(max_examples=40, deadline=None)
@given(timestamps)
def test_what_is_written_is_read_back_as_it_was(timestamp: Timestamp) -> None:
    stamp = Stamp(SHA256, bytes(range(32)), timestamp)
    assert decode_stamp(encode_stamp(stamp)) == stamp
    assert decode_timestamp(encode_timestamp(timestamp), 32) == timestamp


@settings(max_examples=40, deadline=None)
@given(timestamps, timestamps)
def test_merging_keeps_what_both_say_and_nothing_else(one: Timestamp, other: Timestamp) -> None:
    def said(timestamp: Timestamp) -> set[tuple[bytes | None, Attestation]]:
        return set(walk(timestamp, b"message"))

    assert said(merge(one, other)) == said(one) | said(other)
    assert merge(one, other) == merge(other, one) == merge(merge(one, other), one)
    assert merge(Timestamp(), one) == one


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_stamp_or_a_decode_error(data: bytes) -> None:
    for whole in (data, HEAD + data):
        try:
            stamp = decode_stamp(whole)
        except DecodeError:
            continue
        assert decode_stamp(encode_stamp(stamp)) == stamp


def test_a_stamp_of_257_levels_is_refused_and_one_of_256_is_read() -> None:
    assert len(list(walk(decode_stamp(chain(256)).timestamp, b"x"))) == 1
    with pytest.raises(DecodeError, match="more than 256 levels"):
        decode_stamp(chain(257))
    with pytest.raises(DecodeError, match="more than 256 levels"):
        decode_stamp(chain(60_000))


def test_a_tree_of_many_nodes_is_refused_before_it_is_built() -> None:
    wide = b"".join(
        b"\xff\xf0\x02" + number.to_bytes(2, "big") + BLOCK for number in range(1, 3_000)
    )
    with pytest.raises(DecodeError, match="more than 4096 nodes"):
        decode_stamp(HEAD + wide + BLOCK)
    with pytest.raises(DecodeError, match="at most 65536"):
        decode_stamp(HEAD + bytes(1 << 16))


def test_the_deepest_and_the_widest_stamp_are_written_back_byte_for_byte() -> None:
    wide = b"".join(b"\xff\x00unknown!\x02" + number.to_bytes(2, "big") for number in range(4_000))
    for data in (chain(256), HEAD + wide + BLOCK):
        stamp = decode_stamp(data)
        again = encode_stamp(Stamp(SHA256, stamp.digest, merge(stamp.timestamp, stamp.timestamp)))
        assert len(again) == len(data)
        assert encode_stamp(stamp) == data
    with pytest.raises(DecodeError, match="an attestation twice"):
        decode_stamp(HEAD + wide + wide[1:13])


def test_much_to_hash_is_refused_before_it_is_hashed() -> None:
    long = b"\xf0\xc0\x1f" + bytes(4_032)
    tree = long + b"".join(b"\xff\xf2\xff\x08" + BLOCK for _ in range(100)) + b"\x03" + BLOCK
    with pytest.raises(DecodeError, match="more than 262144 bytes to hash"):
        decode_stamp(HEAD + tree)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        (BLOCK + b"\x00", "1 bytes follow"),
        (BLOCK[:-1], "within a field"),
        (b"", "within a field"),
        (b"\xff" + BLOCK, "within a field"),
        (b"\xff" + BLOCK + BLOCK, "an attestation twice"),
        (b"\xff\x08" + BLOCK + b"\x08" + BLOCK, "an operation twice"),
        (b"\x09" + BLOCK, "unknown operation 0x09"),
        (b"\xf0\x00" + BLOCK, "an empty argument"),
        (b"\xf0\x81\x00a" + BLOCK, "leading zeros"),
        (b"\xf0\x81\x20", "a number above 4096"),
        (b"\xf0\xff\xff\xff\xff\xff", "a number above 4096"),
        (b"\xf0" + b"\x80" * 20, "without end"),
        (b"\xf0\xe1\x1f" + bytes(4_065) + BLOCK, "4097 bytes, at most 4096"),
        (b"\xf3" * 8 + BLOCK, "8192 bytes, at most 4096"),
        (BLOCK[:9] + b"\x02\x87\x00", "leading zeros"),
        (BLOCK[:9] + b"\x02\x07\x07", "1 bytes follow"),
        (BLOCK[:9] + b"\x06\x80\x80\x80\x80\x80\x01", "a number above 4294967295"),
        (BLOCK[:9] + b"\x81\x40" + bytes(8_193), "a number above 8192"),
        (PROMISE.replace(b"//a", b"//?"), "a character out of its set"),
        (PROMISE.replace(b"\x0a\x09", b"\x0a\x08"), "1 bytes follow"),
    ],
)
def test_what_is_malformed_beyond_limits_or_not_the_one_spelling_is_refused(
    tree: bytes, reason: str
) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_stamp(HEAD + tree)


@pytest.mark.parametrize(
    "head", [b"", MAGIC, MAGIC[:-1] + b"\x95\x01\x08", MAGIC + b"\x02\x08", MAGIC + b"\x01\xf2"]
)
def test_another_file_another_version_and_another_hash_are_refused(head: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_stamp(head + bytes(32) + BLOCK)


def test_an_answer_is_grafted_where_its_commitment_is_and_nowhere_else() -> None:
    promise, block = Timestamp((Pending("https://a"),)), Timestamp((Bitcoin(7),))
    sides = tuple((Operation(APPEND, side), promise) for side in (b"l", b"r"))
    grown = graft(Timestamp((), sides), b"m", b"ml", block)
    assert set(walk(grown, b"m")) == {
        (b"ml", Pending("https://a")),
        (b"ml", Bitcoin(7)),
        (b"mr", Pending("https://a")),
    }


def test_a_stamp_that_we_would_not_read_is_not_written() -> None:
    deep = Timestamp((Bitcoin(1),))
    for _ in range(256):
        deep = Timestamp((), ((Operation(SHA256), deep),))
    with pytest.raises(DecodeError, match="levels"):
        encode_stamp(Stamp(SHA256, bytes(32), deep))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_our_ripemd_is_that_of_openssl(data: bytes) -> None:
    try:
        wanted = hashlib.new("ripemd160", data).digest()
    except ValueError:
        pytest.skip("this OpenSSL has no RIPEMD-160")
    assert ripemd160(data) == wanted


def test_our_ripemd_has_the_published_digests() -> None:
    assert ripemd160(b"").hex() == "9c1185a5c5e9fc54612808977ee8f548b2258d31"
    assert ripemd160(b"abc").hex() == "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"
    million = "9b752e45573d4b39f4dbd3323cab82bf63326bfb"
    assert ripemd160(b"1234567890" * 8).hex() == million


def test_the_published_examples_are_read_and_written_back_byte_for_byte() -> None:
    examples = sorted(vectors("opentimestamps-client").glob("*.ots"))
    assert len(examples) >= 6
    for example in examples:
        data = example.read_bytes()
        assert encode_stamp(decode_stamp(data)) == data, example.name


def _theirs(data: bytes) -> "set[tuple[bytes, str]] | None":
    """Return messages and attestations as python-opentimestamps sees them, None when it refuses."""
    timestamp = pytest.importorskip("opentimestamps.core.timestamp")
    serialize = pytest.importorskip("opentimestamps.core.serialize")
    context = serialize.StreamDeserializationContext(io.BytesIO(data))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = timestamp.DetachedTimestampFile.deserialize(context)
    except (serialize.DeserializationError, ValueError):
        return None
    return {
        (message, str(getattr(one, "uri", getattr(one, "height", one.TAG))))
        for message, one in found.timestamp.all_attestations()
    }


def _ours(data: bytes) -> "set[tuple[bytes | None, str]] | None":
    try:
        stamp = decode_stamp(data)
    except DecodeError:
        return None
    return {
        (message, str(getattr(one, "uri", getattr(one, "height", getattr(one, "tag", None)))))
        for message, one in walk(stamp.timestamp, stamp.digest)
    }


@settings(max_examples=40, deadline=None)
@given(timestamps.filter(lambda one: Operation(KECCAK256) not in _operations(one)))
def test_python_opentimestamps_sees_the_same_messages_and_attestations(one: Timestamp) -> None:
    data = encode_stamp(Stamp(SHA256, bytes(range(32)), one))
    assert _theirs(data) == _ours(data)


def _operations(timestamp: Timestamp) -> set[Operation]:
    found = {operation for operation, _ in timestamp.branches}
    return found.union(*(_operations(below) for _, below in timestamp.branches))


def test_whatever_python_opentimestamps_refuses_we_refuse() -> None:
    """Ours is the stricter one; seed 3, 1,500 mutations of a stamp with both kinds of leaves."""
    rng = random.Random(3)
    whole = chain(5, b"\xf0\x02ab\xff" + PROMISE + b"\xff" + BLOCK + b"\x02" + BLOCK)
    seen = {True: 0, False: 0}
    for _ in range(1_500):
        data = bytearray(whole)
        at = rng.randrange(len(MAGIC) - 2, len(data))
        match rng.randrange(3):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at]
            case _:
                data.insert(at, rng.randrange(256))
        ours = _ours(bytes(data))
        if ours is not None and all(message is not None for message, _ in ours):
            assert _theirs(bytes(data)) == ours
        seen[ours is None] += 1
    assert min(seen.values()) > 200


def test_every_hash_of_a_file_has_its_size() -> None:
    for operation, size in DIGEST_SIZES.items():
        data = MAGIC + b"\x01" + bytes([operation]) + bytes(size) + BLOCK
        assert len(decode_stamp(data).digest) == size
    assert Operation(HEXLIFY).apply(b"\x0f") == b"0f"
    assert Operation(REVERSE).apply(b"ab") == b"ba"
    assert Operation(KECCAK256).apply(b"ab") is None
    assert Operation(APPEND, bytes(4_095)).size_after(1) == MESSAGE_SIZE_MAX
    assert replace(decode_stamp(chain(1)), digest=b"").digest == b""
