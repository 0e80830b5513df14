"""Cosignatures: the published example of a line, merging, forgeries, and why a quorum suffices."""

from base64 import b64decode
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.errors import DecodeError, IdentityError, ProofError
from qisguard.identity.keys import KeyPair
from qisguard.trail.checkpoint import (
    LINE_COUNT_MAX,
    Line,
    LogKey,
    encode_lines,
    parse_checkpoint,
    parse_lines,
    parse_vkey,
    sign_checkpoint,
    verify_checkpoint,
)
from qisguard.trail.cosignature import (
    TIME_MAX,
    Cosigned,
    WitnessKey,
    cosign,
    merge_cosignatures,
    parse_witness_vkey,
    quorum_size,
    verify_cosignature,
    verify_cosignatures,
)
from qisguard.trail.merkle import EMPTY_ROOT

ORIGIN = "qisguard.invalid/0011223344556677/8899aabbccddeeff"
LOG = KeyPair.from_seed(b"\x01" * 32)
PAIRS = [KeyPair.from_seed(bytes([n + 7]) * 32) for n in range(3)]
WITNESSES = [WitnessKey(f"witness.example/{n}", pair.public) for n, pair in enumerate(PAIRS)]
HEAD = sign_checkpoint(ORIGIN, 12, EMPTY_ROOT, LOG)
EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2"
    "q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2"
    "oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)


def _line(number: int, time: int = 1_700_000_000) -> Line:
    return cosign(HEAD, WITNESSES[number].name, PAIRS[number], time)


def test_the_example_of_the_specification_has_the_time_that_its_text_says() -> None:
    """C2SP tlog-cosignature: the signed message there begins ``time 1679315147``."""
    line = parse_checkpoint(EXAMPLE.encode()).lines[1]
    assert line.id == b64decode("jWbPPw==")
    assert int.from_bytes(line.signature[:8], "big") == 1_679_315_147
    assert len(line.signature) == 72


def test_a_cosignature_verifies_and_says_who_and_when() -> None:
    note = merge_cosignatures(HEAD, [_line(0), _line(1, 5)], WITNESSES)
    parsed = parse_checkpoint(note.encode())
    assert parsed == note
    assert verify_checkpoint(parsed, [LogKey(ORIGIN, LOG.public)])
    assert verify_cosignatures(parsed, WITNESSES) == [
        Cosigned(WITNESSES[0], 1_700_000_000),
        Cosigned(WITNESSES[1], 5),
    ]
    assert verify_cosignatures(parsed, []) == []


def test_the_signed_bytes_are_those_of_the_specification() -> None:
    line = _line(0, 77)
    assert line.signature[8:] == PAIRS[0].sign(b"cosignature/v1\ntime 77\n", HEAD.text)


def test_a_witness_key_round_trips_and_is_no_log_key() -> None:
    vkey = WITNESSES[0].vkey
    assert parse_witness_vkey(vkey) == WITNESSES[0]
    with pytest.raises(DecodeError, match="signature type 1"):
        parse_vkey(vkey)
    with pytest.raises(DecodeError, match="signature type 4"):
        parse_witness_vkey(LogKey("x", LOG.public).vkey)
    with pytest.raises(IdentityError):
        parse_witness_vkey(WitnessKey("x", b"\x01" + bytes(31)).vkey)


def test_the_log_key_of_the_same_bytes_does_not_cosign() -> None:
    """One key used as both would let a checkpoint pass for a cosignature, or the other way."""
    same = WitnessKey(ORIGIN, LOG.public)
    assert verify_cosignatures(HEAD, [same]) == []
    note = merge_cosignatures(HEAD, [_line(0)], WITNESSES)
    with pytest.raises(ProofError):
        verify_checkpoint(replace(note, lines=note.lines[1:]), [LogKey(ORIGIN, PAIRS[0].public)])


@given(at=st.integers(0, 71), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_cosignature_is_found(at: int, bit: int) -> None:
    line = _line(0)
    data = bytearray(line.signature)
    data[at] ^= 1 << bit
    with pytest.raises((ProofError, DecodeError)):
        verify_cosignature(HEAD, replace(line, signature=bytes(data)), WITNESSES[0])


@pytest.mark.parametrize("signature", [b"", bytes(71), bytes(73), b"\x80" + bytes(71)])
def test_a_malformed_cosignature_of_a_known_witness_condemns_the_note(signature: bytes) -> None:
    bad = replace(_line(0), signature=signature)
    note = replace(HEAD, lines=(*HEAD.lines, bad))
    with pytest.raises(DecodeError, match="cosignature"):
        verify_cosignatures(note, WITNESSES)
    assert verify_cosignatures(note, WITNESSES[1:]) == []


def test_a_cosignature_of_another_tree_origin_or_witness_is_worth_nothing() -> None:
    for other in (
        sign_checkpoint(ORIGIN, 13, EMPTY_ROOT, LOG),
        sign_checkpoint(ORIGIN, 12, bytes(32), LOG),
        sign_checkpoint(ORIGIN + "x", 12, EMPTY_ROOT, LOG),
    ):
        with pytest.raises(ProofError, match="does not verify"):
            merge_cosignatures(other, [_line(0)], WITNESSES)
    with pytest.raises(ProofError, match="not of"):
        verify_cosignature(HEAD, _line(0), WITNESSES[1])


def test_merging_ignores_strangers_and_keeps_the_latest_of_each_witness() -> None:
    stranger = cosign(HEAD, "stranger", LOG, 9)
    note = merge_cosignatures(HEAD, [_line(0, 5), stranger, _line(0, 9), _line(0, 7)], WITNESSES)
    assert note.lines[0] == HEAD.lines[0]
    assert len(note.lines) == 2
    assert verify_cosignatures(note, WITNESSES) == [Cosigned(WITNESSES[0], 9)]


def test_two_lines_of_one_witness_are_refused_when_read() -> None:
    note = replace(HEAD, lines=(*HEAD.lines, _line(0, 5), _line(0, 6)))
    with pytest.raises(ProofError, match="two lines"):
        verify_cosignatures(note, WITNESSES)


def test_a_note_never_gets_more_lines_than_a_reader_takes() -> None:
    pairs = [KeyPair.from_seed(n.to_bytes(32, "big")) for n in range(LINE_COUNT_MAX)]
    known = [WitnessKey(f"w{n}", pair.public) for n, pair in enumerate(pairs)]
    lines = [cosign(HEAD, w.name, p, 1) for w, p in zip(known, pairs, strict=True)]
    assert len(merge_cosignatures(HEAD, lines[1:], known).lines) == LINE_COUNT_MAX
    with pytest.raises(ValueError, match="65 lines"):
        merge_cosignatures(HEAD, lines, known)


@pytest.mark.parametrize("time", [-1, TIME_MAX + 1])
def test_a_time_that_no_cosignature_can_have_is_a_mistake_of_the_caller(time: int) -> None:
    with pytest.raises(ValueError, match="time"):
        cosign(HEAD, "w", LOG, time)


def test_signature_lines_alone_round_trip() -> None:
    lines = (_line(0), _line(1))
    assert parse_lines(encode_lines(lines)) == lines


@pytest.mark.parametrize("data", [b"", b"\n", b"x\n", encode_lines([_line(0)])[:-1], b"\xff\n"])
def test_malformed_signature_lines_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_lines(data)


def test_too_many_signature_lines_are_refused_before_they_are_read() -> None:
    with pytest.raises(DecodeError, match="65"):
        parse_lines(encode_lines([_line(0)]) * 65)
    with pytest.raises(DecodeError, match="bytes"):
        parse_lines(encode_lines([_line(0)]) * 1_000)


@pytest.mark.parametrize(("n", "f", "q"), [(1, 0, 1), (2, 0, 2), (4, 1, 3), (7, 2, 5), (8, 2, 6)])
def test_any_two_quorums_share_an_honest_witness(n: int, f: int, q: int) -> None:
    assert quorum_size(n, f) == q
    sets = [set(chosen) for chosen in combinations(range(n), q)]
    assert min(len(a & b) for a in sets for b in sets) > f
    smaller = [set(chosen) for chosen in combinations(range(n), q - 1)]
    assert q == 1 or min(len(a & b) for a in smaller for b in smaller) <= f
    assert n - f >= q, "the honest alone are a quorum"


@pytest.mark.parametrize(("n", "f"), [(0, 0), (3, 1), (6, 2), (4, -1)])
def test_a_quorum_that_liars_could_stop_is_refused(n: int, f: int) -> None:
    with pytest.raises(ValueError, match="quorum"):
        quorum_size(n, f)
