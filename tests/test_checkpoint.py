import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.errors import DecodeError, IdentityError, ProofError
from qisguard.identity.keys import KeyPair, verify
from qisguard.trail.checkpoint import (
    TREE_SIZE_MAX,
    Checkpoint,
    Line,
    LogKey,
    parse_checkpoint,
    parse_text,
    parse_vkey,
    sign_checkpoint,
    verify_checkpoint,
)
from qisguard.trail.merkle import EMPTY_ROOT

ORIGIN = "qisguard.invalid/0011223344556677/8899aabbccddeeff"
KEY = KeyPair.from_seed(b"\x01" * 32)
OTHER = KeyPair.from_seed(b"\x02" * 32)
KNOWN = LogKey(ORIGIN, KEY.public)
NOTE = sign_checkpoint(ORIGIN, 1234, EMPTY_ROOT, KEY).encode()


def test_the_example_key_of_the_go_package_parses() -> None:
    """golang.org/x/mod/sumdb/note, package example."""
    key = parse_vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert key.name == "PeterNeumann"
    assert key.id.hex() == "c74f20a3"
    text = (
        b"If you think cryptography is the answer to your problem,\n"
        b"then you don't know what your problem is.\n"
    )
    signature = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    assert signature[:4] == key.id
    verify(key.public, b"", text, signature[4:])


def test_a_signed_checkpoint_parses_verifies_and_encodes_to_the_same_bytes() -> None:
    checkpoint = parse_checkpoint(NOTE)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (ORIGIN, 1234, EMPTY_ROOT)
    assert checkpoint.encode() == NOTE
    assert verify_checkpoint(checkpoint, [KNOWN]) == [KNOWN]
    assert parse_text(checkpoint.text).size == 1234
    assert NOTE.decode().startswith(
        f"{ORIGIN}\n1234\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— "
    )


def test_a_verifier_key_round_trips() -> None:
    assert parse_vkey(KNOWN.vkey) == KNOWN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        f"{ORIGIN}+00000000+{KNOWN.vkey.split('+', 2)[2]}",
        KNOWN.vkey.replace(ORIGIN, ORIGIN + "x"),
        KNOWN.vkey + "=",
        KNOWN.vkey[:-4],
        KNOWN.vkey.upper(),
        " " + KNOWN.vkey,
        f"{ORIGIN}+{KNOWN.id.hex()}+" + base64.b64encode(b"\x04" + KEY.public).decode(),
    ],
)
def test_a_malformed_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_vkey(text)


def test_a_verifier_key_of_small_order_is_refused() -> None:
    weak = LogKey(ORIGIN, b"\x01" + bytes(31))
    with pytest.raises(IdentityError):
        parse_vkey(weak.vkey)


def _edit(old: bytes, new: bytes) -> bytes:
    assert NOTE.count(old) >= 1
    return NOTE.replace(old, new, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE.replace(b"\n", b"\r\n"),
        _edit(b"\n\n", b"\n\n\n"),
        _edit(b"\n\n", b"\n"),
        _edit(b"1234", b"01234"),
        _edit(b"1234", b"-0"),
        _edit(b"1234", b"+1"),
        _edit(b"1234", b" 1"),
        _edit(b"1234", b""),
        _edit(b"1234", str(TREE_SIZE_MAX + 1).encode()),
        _edit(b"1234", b"1" * 5000),
        _edit(b"1234", "١٢".encode()),
        _edit(b"uFU=\n\n", b"uFU=\nextension\n\n"),
        _edit(b"uFU=", b"uFV="),
        _edit(b"uFU=", b"uFU"),
        _edit(b"47DE", b"47-_"),
        _edit(b"47DE", b"47DEAAAA"),
        _edit("— ".encode(), b"- "),
        _edit("— ".encode(), "—  ".encode()),
        NOTE[:-1] + b" \n",
        NOTE[:-1] + b"=\n",
        NOTE + b"garbage\n",
        NOTE + "— name AAAA\n".encode(),
        b"\xff" + NOTE,
        b"\x00" + NOTE,
        NOTE.replace(b"\n\n", b"\n\n" + NOTE.partition(b"\n\n")[2] * 64),
        NOTE + b"a" * 70_000,
    ],
)
def test_a_checkpoint_with_another_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_checkpoint(data)


def test_the_largest_size_is_accepted() -> None:
    assert parse_checkpoint(_edit(b"1234", str(TREE_SIZE_MAX).encode())).size == TREE_SIZE_MAX


@given(offset=st.integers(0, len(NOTE) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_note_is_noticed(offset: int, bit: int) -> None:
    data = bytearray(NOTE)
    data[offset] ^= 1 << bit
    with pytest.raises((DecodeError, ProofError)):
        verify_checkpoint(parse_checkpoint(bytes(data)), [KNOWN])


@given(data=st.binary(max_size=300))
def test_any_bytes_give_a_checkpoint_or_a_decode_error(data: bytes) -> None:
    try:
        checkpoint = parse_checkpoint(data)
    except DecodeError:
        return
    assert checkpoint.encode() == data


def _with_lines(*lines: Line) -> Checkpoint:
    good = parse_checkpoint(NOTE)
    return Checkpoint(good.origin, good.size, good.root, lines)


def test_a_line_of_an_unknown_key_is_ignored() -> None:
    good = parse_checkpoint(NOTE)
    stranger = Line("witness.example", b"\0\0\0\1", b"anything")
    same_name = sign_checkpoint(ORIGIN, 1234, EMPTY_ROOT, OTHER).lines[0]
    assert verify_checkpoint(_with_lines(stranger, same_name, *good.lines), [KNOWN]) == [KNOWN]


def test_a_bad_signature_of_a_known_key_condemns_the_whole_note() -> None:
    good = parse_checkpoint(NOTE)
    both = [KNOWN, LogKey("other.example", OTHER.public)]
    bad = Line("other.example", both[1].id, bytes(64))
    with pytest.raises(ProofError, match=r"other\.example.*does not verify"):
        verify_checkpoint(_with_lines(*good.lines, bad), both)
    with pytest.raises(ProofError, match="has 63 bytes"):
        verify_checkpoint(_with_lines(Line(ORIGIN, KNOWN.id, bytes(63))), [KNOWN])


def test_a_note_without_a_known_key_or_with_one_twice_is_refused() -> None:
    good = parse_checkpoint(NOTE)
    with pytest.raises(ProofError, match="none of which is a known key"):
        verify_checkpoint(good, [LogKey(ORIGIN, OTHER.public)])
    with pytest.raises(ProofError, match="two signature lines"):
        verify_checkpoint(_with_lines(*good.lines, *good.lines), [KNOWN])
