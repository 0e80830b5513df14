"""Log entries: one spelling each, and bounds."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.errors import DecodeError, RecordError
from qisguard.identity.keys import to_text
from qisguard.trail.entries import (
    Entry,
    Fetch,
    Hold,
    Publish,
    Report,
    Revocations,
    Roster,
    Succeeds,
    batch_root,
    decode_entry,
    encode_checked,
    encode_entry,
    fetch,
    hold,
    publish,
)


def test_entries_decode_to_what_was_encoded() -> None:
    digests = [sha256(bytes([n])).digest() for n in range(5)]
    for entry in (
        publish(20_000, b"packet"),
        publish(20_000, b"packet", seq=3, key=bytes(32)),
        hold(20_000, digests),
        fetch(20_000, bytes(32), digests),
        Roster(20_000, 3, to_text(bytes(32))),
        Revocations(20_000, 3, to_text(bytes(32))),
        Report(20_000, to_text(bytes(32))),
        Succeeds(20_000, "qisguard.invalid/a/b", 7, to_text(bytes(32))),
    ):
        assert decode_entry(encode_entry(entry)) == entry
        assert encode_checked(entry) == encode_entry(entry)


def test_a_batch_root_does_not_depend_on_order_or_repeats() -> None:
    digests = [sha256(bytes([n])).digest() for n in range(7)]
    assert hold(1, digests) == hold(1, [*reversed(digests), digests[0]])
    assert hold(1, digests).root == to_text(batch_root(digests))
    assert hold(1, digests).count == 7


_GOOD = encode_entry(hold(20_000, [bytes(32)]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        _GOOD + b" ",
        _GOOD.replace(b",", b", ", 1),
        _GOOD.replace(b'"count":1', b'"count":1,"count":1'),
        _GOOD.replace(b'"count":1', b'"count":1,"more":1'),
        _GOOD.replace(b'"count":1', b'"count":1.0'),
        _GOOD.replace(b'"count":1', b'"count":"1"'),
        _GOOD.replace(b'"hold"', b'"roster"'),
        _GOOD.replace(b'"hold"', b'"held"'),
        encode_entry(Succeeds(1, "a b", 7, to_text(bytes(32)))),
        _GOOD.replace(b'"hold"', b'"h\\u006fld"'),
        _GOOD.replace(b'bOk"', b'bOl"'),
        _GOOD.replace(b'bOk"', b'bO"'),
        encode_entry(Publish(1, to_text(bytes(32)))).replace(b"}", b',"seq":null}'),
        _GOOD + b" " * 600,
        b"\xff",
    ],
)
def test_an_entry_with_another_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_entry(data)


@pytest.mark.parametrize(
    "entry",
    [
        Hold(-1, to_text(bytes(32)), 1),
        Hold(1 << 53, to_text(bytes(32)), 1),
        Hold(1, to_text(bytes(32)), 0),
        Publish(1, to_text(bytes(32)), seq=-1),
        Fetch(1, to_text(bytes(32)), to_text(bytes(32)), 1 << 53),
        Roster(1, -1, to_text(bytes(32))),
        Revocations(1, 1 << 53, to_text(bytes(32))),
        Succeeds(1, "qisguard.invalid/a/b", -1, to_text(bytes(32))),
    ],
)
def test_an_entry_out_of_its_bounds_is_refused(entry: Entry) -> None:
    with pytest.raises(RecordError):
        decode_entry(encode_entry(entry))
    with pytest.raises(RecordError):
        encode_checked(entry)


@pytest.mark.parametrize(
    "entry",
    [
        Report(1, "short"),
        Report(1, to_text(bytes(32))[:-1] + "B"),
        Report("1", to_text(bytes(32))),  # type: ignore[arg-type] # what types do not stop
        Succeeds(1, "a b", 7, to_text(bytes(32))),
        Succeeds(1, "a" * 500, 7, to_text(bytes(32))),
    ],
)
def test_what_would_not_decode_is_not_encoded(entry: Entry) -> None:
    with pytest.raises(DecodeError):
        encode_checked(entry)
    with pytest.raises(DecodeError):
        decode_entry(encode_entry(entry))


@given(data=st.binary(max_size=200))
def test_any_bytes_give_an_entry_or_an_error_of_ours(data: bytes) -> None:
    try:
        entry = decode_entry(data)
    except (DecodeError, RecordError):
        return
    assert encode_entry(entry) == data
