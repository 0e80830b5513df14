"""What a datagram from an unvalidated address can cause: fewer bytes out than in, and no state.

The short form of two figures of reliability: every kind at every length, and many false identities.
"""

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from qisguard.config import DATAGRAM_SIZE, NodeConfig
from qisguard.identity.address import Address, pack_host
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.node import messages
from qisguard.node.messages import Message
from qisguard.session import wire
from tests.builders import address_of, make_identity, make_node, make_stranger
from tests.sides import SERVER, Pair, Side, opened

ROOT = Path(__file__).parent.parent
LENGTHS = range(1, DATAGRAM_SIZE + 1)
STRANGER = address_of(200)
MESSAGES: list[Message] = [
    messages.Ping(1),
    messages.FindNode(1, bytes(32)),
    messages.Store(1, b"r" * 160, []),
    messages.ListPackets(1, bytes(32), b""),
    messages.FetchPackets(1, bytes(32), [bytes(32)]),
    messages.FindProviders(1, bytes(32), b""),
    messages.FindValue(1, bytes(32), bytes(32)),
    messages.Announce(1, b"r" * 160),
    messages.ListKeys(1, 7, b""),
    messages.Pong(1),
    messages.Nodes(1, []),
    messages.Stored(1, []),
    messages.Listing(1, [], False),
    messages.Packets(1, []),
    messages.Refused(1, "no"),
    messages.Providers(1, [], False),
    messages.Keys(1, [], False),
]


def _fit(data: bytes, length: int) -> bytes:
    """Return ``data`` cut or filled with zeros to ``length`` bytes."""
    return data[:length].ljust(length, b"\0")


def _with_descriptor(data: bytes, head: struct.Struct, length: int) -> bytes:
    """Return an Auth or Accept of ``length`` bytes whose descriptor fills it exactly."""
    size = length - head.size - 64
    if size < 0:
        return _fit(data, length)
    return data[: head.size - 2] + struct.pack("!H", size) + _fit(data[head.size :], size + 64)


def _of_every_length(pair: Pair) -> Iterator[bytes]:
    """Return each kind at each length: well-formed where that length allows, cut or filled."""
    hello, cookie, auth, accept = pair.seen
    for length in LENGTHS:
        for data in (hello, cookie, auth, accept):
            yield _fit(data, length)
        yield _with_descriptor(auth, wire._AUTH, length)
        yield _with_descriptor(accept, wire._ACCEPT, length)
        for kind in (0, 6, 0x16, 0x80, 0xFF):
            yield _fit(bytes([kind]) + hello[1:], length)


@pytest.mark.rule("W-04")
def test_no_kind_at_any_length_is_answered_with_more_bytes_or_remembered() -> None:
    pair = opened()
    pair.client.sessions.connect(make_identity(5).id, address_of(5), 0.0)
    pair.client.sent()
    before = [side.sessions.sizes() for side in (pair.client, pair.server)]
    tried = answered = 0
    for data in _of_every_length(pair):
        for side in (pair.client, pair.server):
            side.take(data, STRANGER, 0.0)
            out = sum(map(len, side.sent()))
            assert out <= len(data), f"{data[:2].hex()} of {len(data)} bytes"
            tried += 1
            answered += out > 0
    assert (tried, answered) == (2 * 11 * DATAGRAM_SIZE, 1), "one length of Hello is answered"
    assert [side.sessions.sizes() for side in (pair.client, pair.server)] == before


@pytest.mark.rule("W-22")
def test_no_message_of_any_kind_or_length_is_answered_at_an_address_without_a_session() -> None:
    """Sealed under the keys of a real session, from an address that it does not belong to."""
    node, stranger = make_node(0), make_stranger(1)
    stranger.say(node, messages.encode(messages.Ping(1)), 0.0)
    session = stranger.sessions.get(node.me.id)
    assert session is not None
    before = node.sessions.sizes()
    overhead = wire.SEALED_HEADER_SIZE + wire.TAG_SIZE
    tried = 0
    for message in MESSAGES:
        plaintext = messages.encode(message)
        for length in LENGTHS:
            if length > overhead:
                data = stranger.sessions.seal(session, _fit(plaintext, length - overhead))
            else:
                data = _fit(wire.seal_header(session.send_id, length), length)
            node.receive_datagram(data, STRANGER, 0.0)
            node.flush()
            assert not node.effects()
            tried += 1
    assert tried == len(MESSAGES) * DATAGRAM_SIZE
    assert len({msgspec.msgpack.decode(messages.encode(m))[0] for m in MESSAGES}) == len(MESSAGES)
    assert node.sessions.sizes() == before
    assert not node.is_busy


@pytest.mark.rule("W-04")
def test_a_cookie_is_smaller_than_every_hello_and_carries_nothing_of_it_but_the_nonce() -> None:
    server = Side(SERVER)
    hello = wire.Hello(b"n" * 16, b"e" * 32, to_bytes(server.identity.id)).encode()
    server.take(hello, STRANGER, 0.0)
    (cookie,) = server.sent()
    assert (len(hello), len(cookie)) == (1_200, 58)
    assert cookie[2:18] == b"n" * 16
    assert b"e" * 32 not in cookie


@pytest.mark.rule("W-04")
def test_a_repeated_auth_draws_at_most_as_many_bytes_as_it_has() -> None:
    """An observer may repeat an Auth that it saw, with its sender as the claimed source."""
    pair = opened()
    auth = pair.seen[2]
    for _ in range(50):
        pair.server.take(auth, pair.client.address, 0.0)
    assert sum(map(len, pair.server.sent())) <= 50 * len(auth)


def _reflected(config: NodeConfig) -> tuple[int, int]:
    """Return what a victim received, and what the liar sent, for one false ``Nodes`` reply."""
    victim: Address = ("192.0.2.7", 4_000)
    node, liar = make_node(0, config=config), make_stranger(1)
    liar.say(node, messages.encode(messages.Ping(1)), 0.0)
    node.find(make_identity(9).id, 0.0)
    liar.heard.clear()
    liar.deliver(node, 0.0)
    (asked,) = (messages.decode(data) for data in liar.heard)
    assert isinstance(asked, messages.FindNode)
    place = int.from_bytes(asked.target, "big")
    false = [
        (to_bytes(NodeId(place ^ (n + 1))), pack_host(victim[0]), victim[1]) for n in range(20)
    ]
    reply = messages.encode(messages.Nodes(asked.number, false))
    session = liar.sessions.get(node.me.id)
    assert session is not None
    data = liar.sessions.seal(session, reply)
    node.receive_datagram(data, liar.address, 0.0)
    received = 0
    while node.is_busy:
        node.flush()
        received += sum(len(effect.data) for effect in node.effects() if effect.to == victim)
        due = node.next_timer()
        assert due is not None
        node.handle_timer(due)
    return received, len(data)


@pytest.mark.rule("W-15")
def test_a_false_reply_about_a_victims_address_is_worth_much_less_than_without_limits() -> None:
    unlimited = replace(
        NodeConfig(),
        hearsay_hellos_per_second=1e6,
        hearsay_hellos_burst=1e6,
        hearsay_hellos_per_network=1e6,
    )
    before, sent = _reflected(unlimited)
    after, same = _reflected(NodeConfig())
    assert sent == same
    assert before == 20 * 10 * DATAGRAM_SIZE
    assert after <= 11 * DATAGRAM_SIZE, "four at once, one every two seconds for 15 seconds"


@pytest.mark.rule("W-04")
def test_many_false_identities_leave_nothing_behind() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/reliability/identities.py", "--count", "3000", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [result["kind"] for result in results] == ["hello", "cookie", "puzzle"]
    for result in results:
        assert result["tried"] == 3_000
        assert result["sessions"] == 0
        assert result["bytes_out"] <= result["bytes_in"]
