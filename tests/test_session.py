"""The handshake and the sealed channel, against loss, replay, tampering and strangers."""

import random
from dataclasses import replace
from typing import cast

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.config import DATAGRAM_SIZE, NodeConfig
from qisguard.identity.ids import to_bytes
from qisguard.session import wire
from qisguard.session.channel import COUNTER_MAX, REPLAY_WINDOW, Session
from qisguard.session.sessions import Plain
from tests.builders import DAY, NETWORK, address_of, make_identity
from tests.sides import CLIENT, OTHER, SERVER, Pair, Side, join, opened


def _auth_of(pair: Pair) -> bytes:
    return next(data for data in pair.seen if data[0] == wire.AUTH)


def test_a_handshake_opens_one_session_each_and_both_can_speak() -> None:
    pair = opened()
    assert [data[0] for data in pair.seen] == [wire.HELLO, wire.COOKIE, wire.AUTH, wire.ACCEPT]
    assert pair.talk() == [b"question", b"answer"]
    assert (len(pair.client.sessions), len(pair.server.sessions)) == (1, 1)
    for side, peer in ((pair.client, pair.server), (pair.server, pair.client)):
        session = side.session_with(peer)
        assert session is not None
        assert (session.peer, session.address) == (peer.identity.id, peer.address)


def test_the_two_directions_have_different_keys_and_every_handshake_has_its_own() -> None:
    keys = set()
    for seed in range(2):
        pair = Pair(seed=seed)
        pair.connect()
        session = pair.client.session_with(pair.server)
        assert session is not None
        keys |= {c.encrypt(bytes(12), b"", b"") for c in (session.receiver, session.sender)}
    assert len(keys) == 4


@pytest.mark.rule("W-21")
def test_a_server_does_not_speak_first_before_the_client_confirmed() -> None:
    pair = opened()
    assert pair.server.session_with(pair.client) is None
    pair.talk()
    assert pair.server.session_with(pair.client) is not None


@pytest.mark.rule("W-14")
@pytest.mark.parametrize("lost", [(0,), (1,), (2,), (3,), (0, 1), (1, 3), (2, 4), (0, 2, 5, 7)])
def test_lost_handshake_datagrams_are_recovered(lost: tuple[int, ...]) -> None:
    pair = Pair()
    pair.connect(lambda data: [] if len(pair.seen) - 1 in lost else [data])
    assert pair.is_open
    assert pair.talk() == [b"question", b"answer"]
    assert len(pair.server.sessions) == 1


@pytest.mark.rule("W-12")
@pytest.mark.parametrize("times", [2, 5])
def test_duplicated_handshake_datagrams_open_one_session(times: int) -> None:
    pair = Pair()
    pair.connect(lambda data: [data] * times)
    assert pair.talk() == [b"question", b"answer"]
    assert (len(pair.client.sessions), len(pair.server.sessions)) == (1, 1)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_lost_doubled_and_late_datagrams_never_break_more_than_the_handshake(seed: int) -> None:
    rng = random.Random(seed)
    pair = Pair()
    late: list[bytes] = []

    def tamper(data: bytes) -> list[bytes]:
        out = [*late, *[data] * rng.choice((0, 1, 1, 2))]
        late[:] = [data] if rng.random() < 0.3 else []
        rng.shuffle(out)
        return out

    pair.connect(tamper)
    if pair.is_open:
        assert pair.talk() == [b"question", b"answer"]
        assert len(pair.server.sessions) <= 1
    else:
        assert pair.client.sessions.next_timer() is None


def test_handshakes_survive_a_loss_of_thirty_percent_more_often_than_not() -> None:
    opened = 0
    for seed in range(200):
        rng = random.Random(f"loss {seed}")
        pair = Pair()
        pair.connect(lambda data, rng=rng: [data] if rng.random() > 0.3 else [])  # type: ignore[misc]
        opened += pair.is_open
    assert opened >= 140  # two legs of three tries each: 75 %; three tries in all gave 67 %


@pytest.mark.rule("W-12")
def test_a_replayed_auth_makes_no_second_session() -> None:
    pair = opened()
    auth = _auth_of(pair)
    for _ in range(5):
        pair.server.take(auth, pair.client.address, 1.0)
    assert len(pair.server.sessions) == 1
    assert set(pair.server.sent()) == {pair.seen[3]}, "the same bytes as the first time"
    pair.talk()
    pair.server.take(auth, pair.client.address, 1.0)
    assert pair.server.sent() == []
    pair.server.take(auth, pair.client.address, 11.0)
    assert pair.server.counts["dropped: cookie too old"] == 1


@pytest.mark.rule("W-07")
def test_somebody_who_saw_the_ephemeral_cannot_take_the_clients_place() -> None:
    """An observer races with its own Auth over the client's ephemeral and cookie."""
    pair = Pair()
    client, server = pair.client, pair.server
    client.sessions.connect(server.identity.id, server.address, 0.0)
    hello = wire.decode(client.sent()[0])
    assert isinstance(hello, wire.Hello)
    observer = Side(OTHER, NodeConfig())
    observer.sessions.connect(server.identity.id, server.address, 0.0)
    handshakes = observer.sessions._initiator._handshakes
    _, handshake = handshakes.popitem()
    handshake.public, handshake.nonce = hello.ephemeral, hello.nonce
    handshakes[handshake.session] = handshake
    for side in (observer, client):
        server.take(hello.encode(), side.address, 0.0)
        side.take(server.sent()[0], server.address, 0.0)
    observer_auth = observer.sent()[-1]
    server.take(observer_auth, observer.address, 0.0)
    server.sent()
    server.take(client.sent()[-1], client.address, 0.0)
    for answer in server.sent():
        client.take(answer, server.address, 0.0)
    assert pair.is_open


@pytest.mark.rule("W-08")
@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_handshake_datagram_with_any_byte_changed_opens_nothing(index: int) -> None:
    clean = opened().seen
    rng = random.Random(index)
    places = range(len(clean[index])) if index else [*range(82), 500, DATAGRAM_SIZE - 1]
    for at in rng.sample(list(places), min(len(places), 60)):
        pair = Pair(NodeConfig(handshake_tries=1))

        def tamper(data: bytes, pair: Pair = pair, at: int = at) -> list[bytes]:
            if len(pair.seen) - 1 != index:
                return [data]
            return [data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :]]

        pair.connect(tamper)
        assert not pair.is_open, f"byte {at}"
        assert not any(isinstance(event, Plain) for event in pair.server.events)


@pytest.mark.rule("W-24")
def test_a_sealed_datagram_with_any_byte_changed_says_nothing() -> None:
    pair = opened()
    data = pair.client.says(pair.server, b"question")
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        pair.server.take(changed, pair.client.address, 0.0)
    assert pair.server.events == []
    pair.server.take(data, pair.client.address, 0.0)
    assert len(pair.server.events) == 1


@pytest.mark.rule("W-24")
def test_a_datagram_sealed_for_one_direction_is_not_accepted_in_the_other() -> None:
    pair = opened()
    pair.talk()
    data = pair.client.says(pair.server, b"mine")
    session = pair.client.session_with(pair.server)
    assert session is not None
    mirrored = wire.seal_header(session.receive_id, 9) + data[wire.SEALED_HEADER_SIZE :]
    heard = len(pair.client.events)
    pair.client.take(mirrored, pair.server.address, 0.0)
    assert len(pair.client.events) == heard


def test_another_identity_at_the_address_is_not_accepted() -> None:
    pair = Pair()
    wanted = make_identity(OTHER).id
    pair.client.sessions.connect(wanted, pair.server.address, 0.0)
    pair.run()
    assert pair.server.counts["dropped: hello for another node"] == 1
    assert not pair.client.sessions._open


@pytest.mark.rule("W-09")
def test_an_accept_by_another_identity_is_refused() -> None:
    """A man in the middle answers for the node that the client asked for, as himself."""
    pair = Pair()
    middle = Side(OTHER, NodeConfig())
    pair.client.sessions.connect(pair.server.identity.id, pair.server.address, 0.0)
    middle.sessions._responder._me = to_bytes(pair.server.identity.id)
    for _ in range(3):
        for data in pair.client.sent():
            middle.take(data, pair.client.address, 0.0)
        for data in middle.sent():
            pair.client.take(data, pair.server.address, 0.0)
    assert pair.client.counts["dropped: accept by another identity"] == 1
    assert not pair.client.sessions._open


@pytest.mark.rule("W-07")
def test_an_auth_for_one_server_is_worth_nothing_at_another() -> None:
    pair = opened()
    other = Side(OTHER, NodeConfig())
    other.sessions._responder._cookies = pair.server.sessions._responder._cookies
    other.take(_auth_of(pair), pair.client.address, 0.0)
    assert other.counts["dropped: ProofError"] == 1
    assert len(other.sessions) == 0


@pytest.mark.rule("W-22")
def test_everything_from_another_address_is_dropped() -> None:
    elsewhere = address_of(77)
    pair = Pair(NodeConfig(handshake_tries=1))
    client, server = pair.client, pair.server
    client.sessions.connect(server.identity.id, server.address, 0.0)
    (hello,) = client.sent()
    server.take(hello, client.address, 0.0)
    (cookie,) = server.sent()
    client.take(cookie, elsewhere, 0.0)
    assert client.sent() == []
    client.take(cookie, server.address, 0.0)
    (auth,) = client.sent()
    server.take(auth, elsewhere, 0.0)
    assert server.counts["dropped: cookie of another"] == 1
    server.take(auth, client.address, 0.0)
    (accept,) = server.sent()
    client.take(accept, elsewhere, 0.0)
    assert client.events == []
    client.take(accept, server.address, 0.0)
    server.take(client.says(server, b"question"), elsewhere, 0.0)
    assert server.counts["dropped: no such session"] == 1
    assert server.events == []


@given(data=st.binary(max_size=DATAGRAM_SIZE + 1))
@settings(max_examples=200, deadline=None)
def test_no_first_datagram_is_answered_with_more_bytes_than_it_had(data: bytes) -> None:
    server = Side(SERVER, NodeConfig())
    server.take(data, address_of(50), 0.0)
    assert sum(map(len, server.sent())) <= len(data)


def test_before_validation_fewer_bytes_go_out_than_came_in_whatever_the_kind() -> None:
    """Every datagram of a real handshake, as the first thing heard from a new address."""
    pair = opened()
    everything = [*pair.seen, pair.client.says(pair.server, b"question")]
    for data in everything:
        for server in (pair.server, Side(SERVER, NodeConfig())):
            server.take(data, address_of(50), 0.5)
            assert sum(map(len, server.sent())) <= len(data)


@pytest.mark.rule("W-04")
def test_strangers_leave_no_state_behind_before_their_cookie_returned() -> None:
    server = Side(SERVER, NodeConfig())
    for index in range(500):
        hello = wire.Hello(
            index.to_bytes(16, "big"), bytes(32), to_bytes(server.identity.id)
        ).encode()
        server.take(hello, address_of(index), 0.0)
    assert len(server.sessions) == 0
    assert not any(server.sessions.sizes().values())


@pytest.mark.rule("W-06")
def test_hellos_have_one_budget_and_auths_one_for_each_address() -> None:
    server = Side(SERVER, NodeConfig(hellos_per_second=3, auths_per_second=2))
    for index in range(5):
        hello = wire.Hello(index.to_bytes(16, "big"), bytes(32), to_bytes(server.identity.id))
        server.take(hello.encode(), address_of(index), 0.0)
    assert server.counts["dropped: hello budget"] == 2
    for seed in range(4):
        pair = Pair(NodeConfig(handshake_tries=1), seed)
        pair.server = server
        pair.now = 10.0
        pair.connect()
    assert server.counts["dropped: auth budget of an address"] == 1


@pytest.mark.rule("W-06")
def test_addresses_of_one_ipv6_network_share_one_budget() -> None:
    server = Side(SERVER, NodeConfig(auths_per_second=2))
    for seed in range(4):
        pair = Pair(NodeConfig(handshake_tries=1), seed)
        pair.server = server
        pair.client.address = (f"2001:db8::{seed + 1}", 4_000)
        pair.connect()
    assert server.counts["dropped: auth budget of an address"] == 2


@pytest.mark.rule("W-23")
@given(counters=st.lists(st.integers(0, 3 * REPLAY_WINDOW), max_size=60))
@settings(deadline=None)
def test_each_counter_is_taken_once_and_only_inside_the_window(counters: list[int]) -> None:
    """Model: the set of everything seen."""
    session = _session()
    seen: set[int] = set()
    for counter in counters:
        expected = counter not in seen and counter > max(seen, default=-1) - REPLAY_WINDOW
        assert session.is_fresh(counter) == expected
        if expected:
            session.mark(counter)
            seen.add(counter)
    assert session.window < 1 << REPLAY_WINDOW


def _session() -> Session:
    return Session(
        make_identity(0).describe(NETWORK, ("192.0.2.1", 1), 0, DAY),
        ("192.0.2.1", 1),
        bytes(8),
        bytes(8),
        ChaCha20Poly1305(bytes(32)),
        ChaCha20Poly1305(bytes(32)),
        0.0,
        True,
    )


@pytest.mark.rule("W-23")
def test_replayed_and_stale_datagrams_are_dropped_and_late_ones_taken() -> None:
    pair = opened()
    said = [pair.client.says(pair.server, b"%d" % n) for n in range(REPLAY_WINDOW + 2)]
    for data in (said[5], said[3], said[5], said[-1], said[0], said[2]):
        pair.server.take(data, pair.client.address, 0.0)
    heard = [event.data for event in pair.server.events if isinstance(event, Plain)]
    assert heard == [b"5", b"3", b"%d" % (REPLAY_WINDOW + 1), b"2"]
    assert pair.server.counts["dropped: replayed or stale counter"] == 2


@pytest.mark.rule("W-23")
def test_a_counter_far_ahead_moves_nothing_before_its_seal_was_verified() -> None:
    pair = opened()
    pair.talk()
    there = pair.server.session_with(pair.client)
    here = pair.client.session_with(pair.server)
    assert there is not None
    assert here is not None
    for counter in (1, REPLAY_WINDOW * 5, COUNTER_MAX - 1, COUNTER_MAX, 2**64 - 1):
        forged = wire.seal_header(here.send_id, counter) + bytes(40)
        pair.server.take(forged, pair.client.address, 0.0)
        assert (there.highest, there.window) == (0, 1)
    assert pair.server.counts["dropped: seal broken"] == 3
    assert pair.server.counts["dropped: replayed or stale counter"] == 2
    heard = len(pair.server.events)
    pair.server.take(pair.client.says(pair.server, b"next"), pair.client.address, 0.0)
    assert len(pair.server.events) == heard + 1


@pytest.mark.rule("W-23")
@pytest.mark.parametrize("counter", [COUNTER_MAX, 2**64 - 1, 0])
def test_a_stale_or_absurd_counter_costs_no_cryptography(counter: int) -> None:
    pair = opened()
    said = [pair.client.says(pair.server, b"%d" % n) for n in range(REPLAY_WINDOW + 1)]
    pair.server.take(said[-1], pair.client.address, 0.0)
    session = pair.server.session_with(pair.client)
    assert session is not None
    session.receiver = cast(ChaCha20Poly1305, None)  # to use it would raise
    header = wire.seal_header(session.receive_id, counter)
    pair.server.take(header + said[0][17:], pair.client.address, 0.0)
    assert pair.server.counts["dropped: replayed or stale counter"] == 1


@pytest.mark.rule("W-29")
def test_no_counter_beyond_the_limit_is_taken_and_a_used_up_session_is_left() -> None:
    pair = opened()
    session = pair.client.session_with(pair.server)
    assert session is not None
    assert not session.is_fresh(COUNTER_MAX)
    session.counter = COUNTER_MAX - 1
    pair.server.take(pair.client.says(pair.server, b"last"), pair.client.address, 0.0)
    assert [e.data for e in pair.server.events if isinstance(e, Plain)] == [b"last"]
    assert pair.client.session_with(pair.server) is None


@pytest.mark.rule("W-27")
def test_the_session_table_is_bounded_and_the_idle_go_first() -> None:
    server = Side(SERVER, NodeConfig(sessions_max=8))
    for index in range(10, 30):
        join(server, index, now=float(index))
    assert len(server.sessions) == 8
    assert server.counts["sessions evicted"] == 12
    kept = {session.peer for session in server.sessions._open.values()}
    assert kept == {make_identity(index).id for index in range(22, 30)}


@pytest.mark.rule("W-27")
def test_one_identity_cannot_push_everybody_else_out() -> None:
    server = Side(SERVER, NodeConfig(sessions_max=16))
    friends = [join(server, index) for index in range(10, 15)]
    for seed in range(40):
        join(server, OTHER, seed)
    assert all(server.session_with(friend) for friend in friends)
    assert len(server.sessions) <= len(friends) + 4
    assert server.counts["sessions evicted"] == 0


def test_two_that_connect_to_each_other_at_once_can_both_speak() -> None:
    pair = Pair()
    pair.server.sessions.connect(pair.client.identity.id, pair.client.address, 0.0)
    pair.connect()
    assert pair.talk() == [b"question", b"answer"]


@pytest.mark.rule("W-25")
def test_idle_sessions_are_forgotten() -> None:
    pair = opened()
    pair.talk()
    list(pair.server.sessions.handle_timer(599.0))
    assert len(pair.server.sessions) == 1
    list(pair.server.sessions.handle_timer(600.0))
    assert len(pair.server.sessions) == 0
    assert pair.server.session_with(pair.client) is None


@pytest.mark.rule("W-14")
def test_a_silent_peer_is_given_up_after_a_bounded_number_of_tries() -> None:
    client = Side(CLIENT, NodeConfig())
    client.sessions.connect(make_identity(SERVER).id, address_of(SERVER), 0.0)
    sent, silent, now = len(client.sent()), [], 0.0
    while (due := client.sessions.next_timer()) is not None:
        now = due
        silent += list(client.sessions.handle_timer(now))
        sent += len(client.sent())
    assert (sent, silent, now) == (10, [(make_identity(SERVER).id, address_of(SERVER))], 15.0)


def test_the_table_of_started_handshakes_is_bounded() -> None:
    client = Side(CLIENT, NodeConfig(handshakes_open_max=5))
    started = [
        client.sessions.connect(make_identity(index).id, address_of(index), 0.0)
        for index in range(1, 9)
    ]
    assert started == [True] * 2 + [False] * 6, "of three places one is left to other informants"
    assert client.counts["not connected: hearsay handshakes"] == 6


def test_a_false_address_does_not_stop_a_handshake_at_the_true_one() -> None:
    pair = Pair()
    pair.client.sessions.connect(pair.server.identity.id, address_of(66), 0.0)
    pair.client.sent()
    pair.connect()
    assert pair.is_open


@pytest.mark.rule("W-11")
def test_an_ephemeral_of_low_order_opens_nothing() -> None:
    client = Side(CLIENT, NodeConfig())
    server = Side(SERVER, NodeConfig())
    client.sessions.connect(server.identity.id, server.address, 0.0)
    handshake = next(iter(client.sessions._initiator._handshakes.values()))
    handshake.public = bytes(32)
    hello = cast(wire.Hello, wire.decode(client.sent()[0]))
    server.take(replace(hello, ephemeral=bytes(32)).encode(), client.address, 0.0)
    client.take(server.sent()[0], server.address, 0.0)
    server.take(client.sent()[0], client.address, 0.0)
    assert server.counts["dropped: unusable ephemeral"] == 1
    assert len(server.sessions) == 0


def test_a_client_without_a_valid_descriptor_opens_nothing() -> None:
    pair = Pair()
    pair.client.sessions.descriptor = b"x" * 100
    pair.connect()
    assert not pair.is_open
    assert pair.server.counts["dropped: DecodeError"] >= 1


@pytest.mark.rule("W-26")
def test_a_restarted_server_forgets_and_a_new_handshake_works() -> None:
    pair = opened()
    pair.talk()
    pair.server = Side(SERVER, NodeConfig(), seed=9)
    pair.server.take(pair.client.says(pair.server, b"lost"), pair.client.address, 0.0)
    assert pair.server.counts["dropped: no such session"] == 1
    for data in pair.seen:
        pair.server.take(data, pair.client.address, 0.0)
    assert len(pair.server.sessions) == 0
    pair.connect()
    assert pair.client.session_with(pair.server) is not None
