"""Outcome packets: canonical, bounded, and the same bytes for ever."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import DecodeError, ProofError, QisguardError, RecordError
from qisguard.identity.keys import PACKET_TAG, to_text
from qisguard.outcomes.packet import (
    PACKET_SIZE_MAX,
    Body,
    Outcome,
    open_packet,
    packet_body,
    sign_packet,
)
from tests.builders import DAY, NETWORK, key_pair, make_packet

AUTHOR = key_pair("author-0")
GOOD = make_packet()


def _signed(encoded: bytes) -> bytes:
    return encoded + AUTHOR.sign(PACKET_TAG, encoded)


def _changed(**changes: object) -> bytes:
    """Return a packet with fields changed (None removes one), signed by its author."""
    fields: dict[str, Any] = json.loads(GOOD.data[:-64])
    fields |= changes
    names = [name for name in Body.__struct_fields__ if fields.get(name) is not None]
    fields = {name: fields[name] for name in names}
    return _signed(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.rule("PKT-01")
def test_a_packet_round_trips_as_the_bytes_that_were_signed() -> None:
    assert open_packet(GOOD.data) == GOOD
    assert open_packet(_changed()) == GOOD
    assert GOOD.network == NETWORK.id


@given(
    case=st.binary(min_size=16, max_size=16),
    seq=st.integers(0, 2**53 - 1),
    time=st.integers(0, 2**53 - 1),
    event=st.integers(0, 1),
    arm=st.text(max_size=8),
    feat=st.dictionaries(
        st.text(max_size=4), st.one_of(st.integers(0, 120), st.text(max_size=4)), max_size=3
    ),
)
def test_whatever_can_be_signed_can_be_opened(
    case: bytes, seq: int, time: int, event: int, arm: str, feat: dict[str, int | str]
) -> None:
    body = packet_body(
        network=NETWORK.id,
        template="t/1",
        key=bytes(32),
        case=case,
        author=AUTHOR.public,
        seq=seq,
        day=DAY,
        exp=DAY + 1,
        arm=arm,
        outcome=Outcome.after(time, event),
        feat=feat,
    )
    try:
        packet = sign_packet(body, AUTHOR)
    except DecodeError:
        return  # too long, or text that JSON cannot carry unchanged
    assert open_packet(packet.data).body == body
    assert len(packet.data) <= PACKET_SIZE_MAX


@pytest.mark.rule("PKT-06")
@given(bit=st.integers(0, 8 * len(GOOD.data) - 1))
@settings(max_examples=300)
def test_any_flipped_bit_is_refused(bit: int) -> None:
    data = bytearray(GOOD.data)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(QisguardError):
        open_packet(bytes(data))


@given(data=st.binary(max_size=PACKET_SIZE_MAX + 8))
def test_any_bytes_are_refused_with_a_clean_error(data: bytes) -> None:
    with pytest.raises(QisguardError):
        open_packet(data)


@given(text=st.text(max_size=40), where=st.sampled_from(["key", "arm", "net", "kind", "tpl"]))
def test_any_text_in_a_field_gives_a_packet_or_a_clean_error(text: str, where: str) -> None:
    try:
        packet = open_packet(_changed(**{where: text}))
    except QisguardError:
        return
    assert getattr(packet.body, where) == text


@pytest.mark.parametrize(
    "escape", [b"\\ud800", b"\\ud800x", b"\\udc00", b"\\ud800\\ud800", b"\\u0041", b"\xed\xa0\x80"]
)
def test_text_with_surrogates_or_needless_escapes_is_refused(escape: bytes) -> None:
    encoded = GOOD.data[:-64].replace(b'"arm":"A"', b'"arm":"' + escape + b'"')
    with pytest.raises(DecodeError):
        open_packet(_signed(encoded))


@pytest.mark.rule("PKT-02")
@pytest.mark.parametrize(
    "change",
    [
        (b'{"v":1,', b'{"v":1, '),
        (b'{"v":1,', b'{"v":1,"v":1,'),
        (b'"age":61,"stage":"III"', b'"stage":"III","age":61'),
        (b'"seq":1', b'"seq":01'),
        (b'"seq":1', b'"seq":1.0'),
        (b'"seq":1', b'"seq":1,"gone":false'),
        (b'"seq":1', b'"seq":1,"extra":1'),
        (b'"seq":1', b'"seq":true'),
        (b'"arm":"A"', b'"arm":"A","value":NaN'),
        (b'"arm":"A"', b'"arm":"A","value":1e999'),
        (b'"arm":"A"', b'"arm":["A"]'),
    ],
)
def test_another_spelling_of_a_packet_is_refused(change: tuple[bytes, bytes]) -> None:
    encoded = GOOD.data[:-64]
    assert change[0] in encoded
    with pytest.raises(DecodeError):
        open_packet(_signed(encoded.replace(*change)))


@pytest.mark.rule("PKT-05")
@pytest.mark.rule("PKT-04")
@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"seq": -1},
        {"seq": 2**53},
        {"day": 2**64},
        {"exp": DAY - 11},
        {"time": -1},
        {"time": 2**53},
        {"event": 2},
        {"event": None},
        {"time": None},
        {"value": 1.5},
        {"kind": "binary"},
        {"kind": "numeric"},
        {"kind": "other"},
        {"kind": None},
        {"feat": {"age": 2**53}},
        {"feat": {"age": -(2**80)}},
        {"gone": True},
        {"gone": True, "kind": None, "arm": None, "feat": None},
        {"gone": True, "kind": None, "arm": None, "feat": None, "time": None},
    ],
)
def test_values_out_of_bounds_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises((RecordError, DecodeError)) as caught:
        open_packet(_changed(**changes))
    assert "deterministic" not in str(caught.value)


def test_a_tombstone_says_nothing_but_that_the_case_moved() -> None:
    data = _changed(gone=True, kind=None, arm=None, feat=None, time=None, event=None)
    assert open_packet(data).body.gone


@pytest.mark.rule("PKT-06")
@pytest.mark.rule("PKT-03")
@pytest.mark.rule("PKT-01")
@pytest.mark.parametrize(
    ("outcome", "refusal"),
    [
        ({"kind": "binary", "value": 0.0}, None),
        ({"kind": "binary", "value": 1.0}, None),
        ({"kind": "binary", "value": 0.5}, "do not fit"),
        ({"kind": "binary", "value": -0.0}, "zero has no sign"),
        ({"kind": "numeric", "value": -0.0, "unit": "mmol/l"}, "zero has no sign"),
        ({"kind": "binary", "value": 1.0, "unit": "mg"}, "unit = 'mg'"),
        ({"kind": "numeric", "value": -3.25, "unit": "mmol/l"}, None),
        ({"kind": "numeric", "value": -3.25}, "unit = ''"),
        ({"kind": "numeric", "value": 1e300, "unit": "mmol/l"}, "must be finite and within"),
    ],
)
def test_each_kind_carries_its_own_outcome(outcome: dict[str, Any], refusal: str | None) -> None:
    fields = json.loads(GOOD.data[:-64])
    order = ["v", "net", "tpl", "key", "case", "author", "seq", "day", "exp", "arm"]
    fields = {name: fields[name] for name in order} | outcome
    data = _signed(json.dumps(fields, separators=(",", ":")).replace("e+", "e").encode())
    if refusal is None:
        assert open_packet(data).body.value == outcome["value"]
    else:
        with pytest.raises(RecordError, match=refusal):
            open_packet(data)


def test_a_packet_is_at_most_512_bytes() -> None:
    room = PACKET_SIZE_MAX - len(GOOD.data)
    assert len(open_packet(_changed(arm="A" * (room + 1))).data) == PACKET_SIZE_MAX
    with pytest.raises(DecodeError, match="at most 512"):
        open_packet(_changed(arm="A" * (room + 2)))
    for size in (0, 63, 64):
        with pytest.raises(DecodeError):
            open_packet(GOOD.data[-size:] if size else b"")


def test_the_author_in_the_packet_is_the_key_that_signs() -> None:
    with pytest.raises(RecordError, match="author is not the key that signs"):
        sign_packet(GOOD.body, key_pair("author-1"))
    with pytest.raises(ProofError):
        open_packet(_changed(author=to_text(key_pair("author-1").public)))
