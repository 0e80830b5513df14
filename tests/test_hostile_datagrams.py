"""Whatever arrives, from strangers or from authenticated peers, the node goes on working."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.config import DATAGRAM_SIZE, NodeConfig
from qisguard.lab.stranger import Stranger
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.messages import Request
from qisguard.node.node import Node
from tests.builders import make_key, make_node, make_packet, make_stranger
from tests.strategies import anything, handshakes, spoken

ROOT = Path(__file__).parent.parent
CONFIG = NodeConfig(k=4, replica_count=3, alpha=2, disjoint_paths=2, packets_per_key_max=64)

addresses = st.tuples(
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str), st.integers(0, 65_535)
)
datagrams = st.one_of(
    st.binary(max_size=DATAGRAM_SIZE + 1),
    st.binary(max_size=200).map(lambda data: b"\x05" + data),
    handshakes.map(lambda datagram: datagram.encode()),
)
plaintexts = st.one_of(
    st.binary(max_size=1_100),
    spoken.map(messages.encode),
    st.lists(anything, max_size=4).map(msgspec.msgpack.encode),
    st.tuples(st.sampled_from([0, 1, 2, 3, 4, 16, 17, 18, 19, 20, 21]), anything).map(
        msgspec.msgpack.encode
    ),
)


def _is_well(node: Node) -> None:
    """A newcomer opens a session and is answered."""
    newcomer = make_stranger(7)
    heard = newcomer.say(node, messages.encode(messages.Ping(5)), 50.0)
    assert [messages.decode(data) for data in heard] == [messages.Pong(5)]


@given(arrivals=st.lists(st.tuples(datagrams, addresses), max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_datagrams_from_strangers_leave_a_node_working(
    arrivals: list[tuple[bytes, tuple[str, int]]],
) -> None:
    node = make_node(0, config=CONFIG)
    for data, source in arrivals:
        node.receive_datagram(data, source, 0.0)
        node.flush()
        assert sum(len(effect.data) for effect in node.effects()) <= len(data)
    _is_well(node)


@given(said=st.lists(plaintexts, max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_words_of_an_authenticated_peer_leave_a_node_working(said: list[bytes]) -> None:
    node = make_node(0, config=CONFIG)
    stranger = make_stranger(1)
    for plaintext in said:
        stranger.say(node, plaintext[:1_150], 0.0)
    _is_well(node)


def _answer(stranger: Stranger, node: Node, data: st.DataObject, now: float) -> None:
    """Answer each request that is under way with any reply, under the right number."""
    heard, stranger.heard = stranger.heard, []
    for plaintext in heard:
        request = messages.decode(plaintext)
        if isinstance(request, Request) and data.draw(st.booleans(), label="answers"):
            message = data.draw(spoken, label="reply")
            reply = msgspec.structs.replace(message, number=request.number)
            stranger.say(node, messages.encode(reply), now)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_operations_end_whatever_the_only_peer_replies(data: st.DataObject) -> None:
    node = make_node(0, config=CONFIG)
    stranger = make_stranger(1)
    stranger.say(node, messages.encode(messages.Ping(1)), 0.0)
    node.bootstraps[:] = [Contact(stranger.identity.id, stranger.address)]
    node.publish([make_packet(0, case) for case in range(5)], 0.0)
    node.retrieve([make_key(0), make_key(1)], 0.0)
    now = 0.0
    for _ in range(20):
        stranger.deliver(node, now)
        _answer(stranger, node, data, now)
    while len(node._work):
        now = node.next_timer() or now
        assert now < 1_000.0, "an operation does not end"
        node.handle_timer(now)
        node.flush()
        node.effects()
    assert not len(node._requests)


def test_the_fuzzer_finds_nothing_in_its_short_form() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/fuzz_node.py", "--seed", "7", "--count", "3000", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["tried"], result["failed"]) == (3_000, 0)
    assert min(result["categories"].values()) > 100
    for outcome in ("dropped: DecodeError", "dropped: seal broken", "dropped: malformed message"):
        assert result["outcomes"][outcome] > 0
