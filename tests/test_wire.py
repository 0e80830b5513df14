"""Layouts and messages: any bytes give a value or DecodeError, and values round trip."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.config import DATAGRAM_SIZE
from qisguard.errors import DecodeError
from qisguard.identity.address import pack_host, unpack_host
from qisguard.node import messages
from qisguard.session import wire
from tests.strategies import anything, handshakes, of_size, spoken


@given(datagram=handshakes)
@settings(deadline=None)
def test_handshake_datagrams_round_trip(
    datagram: wire.Hello | wire.Cookie | wire.Auth | wire.Accept,
) -> None:
    assert wire.decode(datagram.encode()) == datagram


@given(session=of_size(8), counter=st.integers(0, 2**64 - 1), ciphertext=st.binary(min_size=16))
@settings(deadline=None)
def test_sealed_datagrams_round_trip(session: bytes, counter: int, ciphertext: bytes) -> None:
    header = wire.seal_header(session, counter)
    sealed = wire.decode(header + ciphertext)
    assert sealed == wire.Sealed(session, counter, ciphertext, header)


@pytest.mark.rule("W-01")
@given(data=st.binary(max_size=DATAGRAM_SIZE + 5))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_datagram_or_a_decode_error(data: bytes) -> None:
    try:
        datagram = wire.decode(data)
    except DecodeError:
        return
    if isinstance(datagram, wire.Sealed):
        assert datagram.header + datagram.ciphertext == data
    else:
        assert datagram.encode() == data


@given(datagram=handshakes, at=st.integers(0), byte=st.integers(0, 255), cut=st.integers(0, 1200))
@settings(max_examples=300, deadline=None)
def test_a_damaged_datagram_gives_a_datagram_or_a_decode_error(
    datagram: wire.Hello | wire.Cookie | wire.Auth | wire.Accept, at: int, byte: int, cut: int
) -> None:
    data = bytearray(datagram.encode())
    data[at % len(data)] = byte
    try:
        decoded = wire.decode(bytes(data[: len(data) - cut]))
    except DecodeError:
        return
    assert cut == 0 or isinstance(decoded, wire.Sealed)


@pytest.mark.rule("W-02")
def test_a_hello_is_as_long_as_anything_and_holds_nothing_more() -> None:
    hello = wire.Hello(bytes(16), bytes(32), bytes(32)).encode()
    assert len(hello) == DATAGRAM_SIZE
    with pytest.raises(DecodeError):
        wire.decode(hello[:-1])
    with pytest.raises(DecodeError):
        wire.decode(hello[:-1] + b"\x01")


def test_no_answer_to_a_stranger_is_longer_than_a_hello() -> None:
    assert len(wire.Cookie(bytes(16), bytes(40)).encode()) < DATAGRAM_SIZE


@pytest.mark.rule("W-31")
@given(message=spoken)
@settings(max_examples=300, deadline=None)
def test_messages_round_trip(message: messages.Message) -> None:
    assert messages.decode(messages.encode(message)) == message


@given(data=st.one_of(st.binary(max_size=200), anything.map(msgspec.msgpack.encode)))
@settings(max_examples=300, deadline=None)
def test_any_plaintext_gives_a_message_or_a_decode_error(data: bytes) -> None:
    try:
        message = messages.decode(data)
    except DecodeError:
        return
    assert isinstance(message, messages.Message)


@pytest.mark.parametrize("tag", [*range(14), *range(16, 28)])
@given(fields=st.lists(anything, max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_fields_under_a_known_tag_give_a_message_or_a_decode_error(
    tag: int, fields: list[object]
) -> None:
    try:
        message = messages.decode(msgspec.msgpack.encode([tag, *fields]))
    except DecodeError:
        return
    assert isinstance(message, messages.Message)


HEAD = (b"i" * 32, 2**63 - 1, b"r" * 32, b"s" * 64)


@pytest.mark.rule("W-33")
@pytest.mark.parametrize(
    "message",
    [
        messages.Nodes(2**32 - 1, [(b"i" * 32, b"h" * 16, 65_535)] * messages.CONTACTS_MAX),
        messages.Listing(2**32 - 1, [(b"d" * 32, 2**32 - 1)] * messages.LISTING_MAX, True),
        messages.FetchPackets(2**32 - 1, b"k" * 32, [b"d" * 32] * messages.FETCH_MAX),
        messages.Stored(2**32 - 1, ["r" * 64] * messages.PACKETS_MAX),
        messages.Packets(2**32 - 1, [b"p" * 512] * 2),
        messages.Store(2**32 - 1, b"r" * messages.RECORD_SIZE_MAX, [b"p" * 512]),
        messages.FindProviders(2**32 - 1, b"p" * 32, b"a" * 32),
        messages.FindValue(2**32 - 1, b"p" * 32, b"d" * 32),
        messages.Announce(2**32 - 1, b"r" * messages.RECORD_SIZE_MAX),
        messages.ListKeys(2**32 - 1, 255, b"a" * 32),
        messages.Providers(
            2**32 - 1, [b"r" * messages.RECORD_SIZE_MAX] * messages.PROVIDERS_MAX, True
        ),
        messages.Keys(2**32 - 1, [b"k" * 32] * messages.KEYS_MAX, True),
        messages.AddCheckpoint(2**32 - 1, 2**63 - 1, b"h" * 1_024, 2**63 - 1, b"r" * 32, b"s" * 64),
        messages.Accuse(
            2**32 - 1, 2**63 - 1, b"r" * 32, b"s" * 64, b"o" * 32, b"s" * 64, b"d" * 512
        ),
        messages.Heads(2**32 - 1, [HEAD], [HEAD] * messages.HEADS_MAX, True),
        messages.Growth(2**32 - 1, b"h" * 32 * messages.PROOF_HASHES_MAX),
    ],
)
def test_the_longest_messages_fit_one_datagram(message: messages.Message) -> None:
    assert len(messages.encode(message)) <= wire.PLAINTEXT_SIZE_MAX


@pytest.mark.rule("W-32")
@pytest.mark.parametrize(
    "fields",
    [
        [16, -1],
        [16, 2**32],
        [16, True],
        [16, 1.0],
        [17, 1, [[b"i" * 32, b"hos", 1]]],
        [17, 1, [[b"i" * 32, b"host", 0]]],
        [17, 1, [[b"i" * 31, b"host", 1]]],
        [17, 1, [[b"i" * 32, b"host", 1]] * 21],
        [19, 1, [[b"d" * 32, 1]] * 29, False],
        [19, 1, [[b"d" * 32, -1]], False],
        [20, 1, [b"p" * 513]],
        [21, 1, "r" * 65],
        [21, 1, "\x1b[2J"],
        [21, 1, "é"],
        [18, 1, ["two\nlines"]],
        [5, 1],
        [5, 1, b"p" * 32],
        [5, 1, b"p" * 32, b"a" * 33],
        [6, 1, b"p" * 32, b"d" * 31],
        [7, 1, b"r" * 161],
        [8, 1, 256, b""],
        [8, 1, -1, b""],
        [22, 1, [b"r"] * 8, False],
        [22, 1, [b"r" * 161], False],
        [23, 1, [b"k" * 32] * 33, False],
        [23, 1, [b"k" * 31], False],
        [14, 1],
        [28, 1],
        [9, 1, 0, b"", 0, b"r" * 32, b"s" * 63],
        [9, 1, -1, b"", 0, b"r" * 32, b"s" * 64],
        [9, 1, 0, b"h" * 1_025, 0, b"r" * 32, b"s" * 64],
        [10, 1, b"a" * 33],
        [11, 1, 0, 2**63],
        [12, 1, 0, b"r" * 32, b"s" * 64, b"o" * 32, b"s" * 64, b"d" * 513],
        [24, 1, 1_000, 0, b""],
        [24, 1, 200, 0, b"c" * 73],
        [25, 1, [], [[b"i" * 32, 0, b"r" * 32, b"s" * 64]] * 8, False],
        [25, 1, [[b"i" * 32, 0, b"r" * 32, b"s" * 64]] * 2, [], False],
        [26, 1, b"h" * 1_025],
        [13, 1, b"p" * 32, 0, 0, 0, "", ""],
        [13, 1, b"p" * 32, 0, 32, 0, "", ""],
        [13, 1, b"p" * 32, 0, 1, 0, "i" * 65, ""],
        [27, 1, [[1, "i", "a", 1, 1, float("nan"), 0.0, 0, 0]], True],
        [27, 1, [[1, "i", "a", 2**53, 1, 1.0, 0.0, 0, 0]], True],
        [16, 1, 1],
        [16],
        [],
    ],
)
def test_a_message_out_of_its_bounds_is_refused(fields: list[object]) -> None:
    with pytest.raises(DecodeError):
        messages.decode(msgspec.msgpack.encode(fields))


@pytest.mark.rule("W-32")
@pytest.mark.parametrize("text", [b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80"])
def test_text_that_is_not_utf_8_is_refused(text: bytes) -> None:
    field = bytes([0xA0 | len(text)]) + text
    for plaintext in (b"\x93\x15\x01" + field, b"\x93\x12\x01\x91" + field):
        with pytest.raises(DecodeError):
            messages.decode(plaintext)


@pytest.mark.rule("W-35")
@given(host=st.one_of(of_size(4), of_size(16)))
def test_hosts_round_trip(host: bytes) -> None:
    assert pack_host(unpack_host(host)) == host


@pytest.mark.rule("W-35")
@pytest.mark.parametrize("size", [0, 3, 5, 15, 17])
def test_a_host_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(DecodeError):
        unpack_host(bytes(size))
