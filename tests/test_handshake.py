"""What a handshake survives: hearsay, false cookies, loss, renewal of descriptors and of keys."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.config import DATAGRAM_SIZE, NodeConfig
from qisguard.errors import IdentityError
from qisguard.identity.address import Address, network_of, site_of
from qisguard.identity.descriptor import Descriptor, open_descriptor
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.identity.keys import AUTH_TAG
from qisguard.session import wire
from qisguard.session.channel import COUNTER_MAX, COUNTER_REKEY, Session
from qisguard.session.known import Known
from qisguard.session.sessions import EMPTIES_MAX, Opened, Plain
from qisguard.session.table import SESSIONS_PER_PEER_MAX
from qisguard.session.transcript import auth_hash
from tests.builders import DAY, NETWORK, address_of, make_identity
from tests.sides import CLIENT, SERVER, Pair, Side, opened

VICTIM = ("192.0.2.7", 4_000)


def _knock(side: Side, ids: range, address: Address, now: float = 0.0) -> list[bool]:
    """Connect to invented ids at one address."""
    return [side.sessions.connect(NodeId(n), address, now) for n in ids]


def _until_silent(side: Side) -> Counter[Address]:
    """Run the timers until nothing is under way; return the bytes sent to each address."""
    sent: Counter[Address] = Counter()
    for _ in range(10_000):
        for data, to in side.sessions.outbox:
            sent[to] += len(data)
        side.sessions.outbox.clear()
        if (due := side.sessions.next_timer()) is None:
            return sent
        side.sessions.handle_timer(due)
    raise AssertionError("a handshake does not end")


# --- hearsay -------------------------------------------------------------------------------------
@pytest.mark.rule("W-15")
def test_twenty_invented_ids_at_one_address_get_no_more_hellos_than_its_budget() -> None:
    side = Side(CLIENT)
    started = _knock(side, range(1, 21), VICTIM)
    assert started == [True] * 4 + [False] * 16
    sent = _until_silent(side)
    assert sent[VICTIM] <= (4 + 7) * DATAGRAM_SIZE, "the burst, and half a token a second"
    assert side.counts["not connected: hearsay hellos to one network"] == 16


@pytest.mark.rule("W-15")
def test_over_time_a_network_gets_half_a_hello_a_second_from_hearsay_whatever_ports_it_names() -> (
    None
):
    side = Side(CLIENT)
    sent = 0
    for second in range(100):
        for port in range(20):
            side.sessions.connect(NodeId(100 * second + port), (VICTIM[0], 1 + port), float(second))
        side.sessions.handle_timer(float(second))
        sent += len(side.sent())
    assert 45 <= sent <= 4 + 50


def test_where_all_share_one_address_hearsay_is_counted_for_each_port() -> None:
    side = Side(CLIENT, NodeConfig(address_diversity=False))
    started = [
        side.sessions.connect(NodeId(n), ("127.0.0.1", 4_000 + n), 0.0) for n in range(1, 41)
    ]
    assert all(started)
    assert _knock(side, range(50, 60), ("127.0.0.1", 4_001)) == [True] * 3 + [False] * 7


@pytest.mark.rule("W-16")
def test_hearsay_uses_up_nothing_that_a_proven_contact_needs() -> None:
    side = Side(CLIENT, NodeConfig(handshakes_open_max=16))
    for n in range(1, 41):
        side.sessions.connect(NodeId(n), address_of(n), 0.0)
    assert side.sessions.sizes()["hearsay handshakes"] == 6
    for n in range(1, 41):
        side.sessions.connect(NodeId(n), address_of(n), 0.0, informants=[NodeId(900 + n)])
    assert side.sessions.sizes()["hearsay handshakes"] == 12
    assert _knock(side, range(100, 120), VICTIM) == [False] * 20
    assert [side.sessions.connect(NodeId(7_000 + n), VICTIM, 0.0, True) for n in range(5)] == [
        *[True] * 4,
        False,
    ]
    assert side.counts["handshake table full"] == 1


@pytest.mark.rule("W-16")
def test_a_handshake_that_turns_out_proven_gives_its_hearsay_place_back() -> None:
    side = Side(CLIENT, NodeConfig(hearsay_hellos_burst=100.0, handshakes_open_max=10))
    assert _knock(side, range(1, 6), VICTIM) == [True] * 4 + [False]
    assert side.sessions.connect(NodeId(1), VICTIM, 0.0, proven=True)
    assert len(side.sessions.outbox) == 4, "it was under way already"
    assert side.sessions.connect(NodeId(6), VICTIM, 0.0)


def test_what_hearsay_occupied_is_free_when_its_handshakes_end() -> None:
    side = Side(CLIENT)
    _knock(side, range(1, 21), VICTIM)
    _until_silent(side)
    after = side.sessions.sizes()
    assert (after.pop("hearsay budgets"), after.pop("hearsay networks")) == (1, 1)
    assert not any(after.values())
    assert _knock(side, range(1, 6), VICTIM, 60.0) == [True] * 4 + [False]


def test_an_ipv4_address_in_ipv6_clothes_has_the_same_purse() -> None:
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.200")
    assert site_of("::ffff:192.0.2.7") == site_of("192.0.2.7") != site_of("192.0.2.8")
    assert network_of("2001:db8:1:2::3") == network_of("2001:db8:1:ffff::1")
    assert network_of("2001:db8:1::1") != network_of("2001:db8:2::1")
    assert site_of("2001:db8:1:2::3") != site_of("2001:db8:1:3::3")


# --- false cookies and repeated tries ------------------------------------------------------------
def _greeted() -> tuple[Pair, wire.Cookie]:
    """Return a pair whose client waits for its cookie, and that cookie."""
    pair = Pair()
    pair.client.sessions.connect(pair.server.identity.id, pair.server.address, 0.0)
    pair.server.take(pair.client.sent()[0], pair.client.address, 0.0)
    cookie = wire.decode(pair.server.sent()[0])
    assert isinstance(cookie, wire.Cookie)
    return pair, cookie


@pytest.mark.rule("W-13")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_false_cookies_of_an_observer_do_not_stop_a_handshake(place: int) -> None:
    pair, true = _greeted()
    cookies = [wire.Cookie(true.nonce, bytes([n]) * 40).encode() for n in range(2)]
    cookies.insert(place, true.encode())
    for data in cookies:
        pair.client.take(data, pair.server.address, 0.0)
    pair.run()
    assert pair.is_open
    assert pair.talk() == [b"question", b"answer"]
    assert pair.client.sessions.sizes()["handshakes"] == 0


@pytest.mark.rule("W-13")
def test_no_more_than_three_cookies_of_one_handshake_are_answered() -> None:
    pair, true = _greeted()
    for n in range(50):
        data = wire.Cookie(true.nonce, bytes([n]) * 40).encode()
        pair.client.take(data, pair.server.address, 0.0)
        pair.client.take(data, pair.server.address, 0.0)
    assert len(pair.client.sent()) == 3
    assert pair.client.counts["dropped: too many cookies of one handshake"] == 94
    assert pair.client.sessions.sizes()["handshakes"] == 1


@pytest.mark.rule("W-13")
def test_false_cookies_grow_old_and_the_hello_goes_out_again() -> None:
    config = NodeConfig(handshake_tries=16, cookie_lifetime=4.0)
    pair = Pair(config)
    pair.client.sessions.connect(pair.server.identity.id, pair.server.address, 0.0)
    hello = wire.decode(pair.client.sent()[0])
    assert isinstance(hello, wire.Hello)
    for n in range(3):
        false = wire.Cookie(hello.nonce, bytes([n]) * 40).encode()
        pair.client.take(false, pair.server.address, 0.0)
    pair.connect()
    assert pair.is_open
    assert pair.now < 10.0


def test_false_cookies_cannot_keep_a_handshake_under_way_for_ever() -> None:
    side = Side(CLIENT, NodeConfig(cookie_lifetime=0.5, handshake_tries=3))
    side.sessions.connect(make_identity(SERVER).id, address_of(SERVER), 0.0)
    hello = wire.decode(side.sent()[0])
    assert isinstance(hello, wire.Hello)
    silent: list[tuple[NodeId, Address]] = []
    sent, n = 0, 0
    while (due := side.sessions.next_timer()) is not None:
        assert due < 30.0, "it does not end"
        for _ in range(10):
            n += 1
            false = wire.Cookie(hello.nonce, n.to_bytes(40, "big")).encode()
            side.take(false, address_of(SERVER), due)
        silent += side.sessions.handle_timer(due)
        sent += len(side.sent())
    assert silent == [(make_identity(SERVER).id, address_of(SERVER))]
    assert sent <= 3 * (1 + 2 * 3)


@pytest.mark.rule("W-14")
def test_waits_double_every_second_time_up_to_a_longest_one_and_end() -> None:
    side = Side(CLIENT, NodeConfig(handshake_tries=6))
    side.sessions.connect(NodeId(5), VICTIM, 0.0, proven=True)
    times = []
    while (due := side.sessions.next_timer()) is not None:
        times.append(due)
        side.sessions.handle_timer(due)
    assert times == [0.5, 1.0, 2.0, 3.0, 5.0, 7.0]


@pytest.mark.rule("W-17")
def test_false_accepts_cost_no_more_signature_checks_than_the_budget_of_an_address() -> None:
    pair = Pair(NodeConfig(auths_per_second=10))
    checks = Counter[str]()
    verify = pair.client.sessions._initiator._verify

    def counted(key: bytes, tag: bytes, body: bytes, signature: bytes) -> None:
        checks["signatures"] += 1
        verify(key, tag, body, signature)

    pair.client.sessions._initiator._verify = counted
    pair.client.sessions.connect(pair.server.identity.id, pair.server.address, 0.0)
    pair.run(lambda data: [] if data[0] == wire.ACCEPT else [data])
    accept = wire.decode(next(data for data in pair.seen if data[0] == wire.ACCEPT))
    assert isinstance(accept, wire.Accept)
    for n in range(200):
        false = wire.Accept(
            accept.client_session,
            n.to_bytes(8, "big"),
            accept.ephemeral,
            accept.descriptor,
            accept.signature,
        )
        pair.client.take(false.encode(), pair.server.address, 0.0)
    assert checks["signatures"] == 10
    pair.client.take(accept.encode(), pair.server.address, 1.0)
    assert pair.is_open


@pytest.mark.rule("W-03")
def test_an_auth_with_every_fault_is_refused_for_the_first_and_so_on() -> None:
    """Each step mends one fault; what is still wrong comes later in the order of checks."""
    pair = Pair(NodeConfig(auths_per_second=2))
    server, client = pair.server, pair.client
    client.show(seq=5)
    pair.connect()
    me, weak = to_bytes(server.identity.id), bytes(32)
    cookies = server.sessions._responder._cookies
    older = client.identity.describe(NETWORK, client.address, 4, DAY + 100).signed
    number = 0

    def refused(now: float, made: float, descriptor: bytes, *, baked: bool, signed: bool) -> str:
        nonlocal number
        number += 1
        nonce = number.to_bytes(16, "big")
        cookie = cookies.bake(nonce, weak, client.address, made)
        cookie = cookie if baked else cookie[:8] + bytes(32)
        auth = wire.Auth(nonce, weak, cookie, b"s" * 8, descriptor, bytes(64))
        if signed:
            signature = client.identity.key.sign(AUTH_TAG, auth_hash(me, auth.unsigned()))
            auth = replace(auth, signature=signature)
        server.counts.clear()
        server.take(auth.encode(), client.address, now)
        (reason,) = server.counts
        return reason.removeprefix("dropped: ")

    current = client.sessions.descriptor
    now = 100.0
    assert refused(now, 80.0, b"x", baked=False, signed=False) == "cookie too old"
    assert refused(now, now, b"x", baked=False, signed=False) == "cookie of another"
    assert refused(now, now, b"x", baked=True, signed=False) == "DecodeError"
    assert refused(now, now, older, baked=True, signed=False) == "older descriptor"
    assert refused(now, now, b"x", baked=True, signed=False) == "auth budget of an address"
    now = 200.0
    assert refused(now, now, current, baked=True, signed=False) == "ProofError"
    assert refused(now, now, current, baked=True, signed=True) == "unusable ephemeral"
    assert len(server.sessions) == 1


# --- descriptors ---------------------------------------------------------------------------------
@pytest.mark.rule("W-19")
def test_a_descriptor_may_be_replaced_between_hello_and_auth() -> None:
    pair, cookie = _greeted()
    pair.client.show(seq=7, expires=DAY + 200)
    pair.server.show(seq=9)
    pair.client.take(cookie.encode(), pair.server.address, 0.0)
    pair.run()
    assert pair.talk() == [b"question", b"answer"]
    there, here = pair.server.session_with(pair.client), pair.client.session_with(pair.server)
    assert there is not None
    assert here is not None
    assert (there.descriptor.seq, here.descriptor.seq) == (7, 9)
    assert there.descriptor.expires == DAY + 200


@pytest.mark.rule("W-18")
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_descriptor_older_than_the_one_of_the_open_session_is_refused(who: str) -> None:
    pair = Pair()
    for side in (pair.client, pair.server):
        side.show(seq=5)
    pair.connect()
    pair.talk()
    older, other = (pair.client, pair.server) if who == "client" else (pair.server, pair.client)
    older.show(seq=4)
    pair.client.sessions.connect(pair.server.identity.id, pair.server.address, pair.now)
    pair.connect()
    assert other.counts["dropped: older descriptor"] >= 1
    older.show(seq=5)
    pair.connect()
    assert len(pair.client.sessions) == 2


@pytest.mark.rule("W-20")
def test_sessions_end_when_the_descriptor_of_their_peer_does() -> None:
    today = DAY
    pair = Pair(NodeConfig(session_idle=1e6))
    pair.server = Side(SERVER, NodeConfig(), is_current=lambda d: d.expires >= today)
    pair.client.show(seq=0, expires=DAY)
    pair.connect()
    pair.talk()
    pair.server.sessions.handle_timer(60.0)
    assert pair.server.session_with(pair.client) is not None
    today = DAY + 1
    pair.server.sessions.handle_timer(90.0)
    assert len(pair.server.sessions) == 1, "asked once a minute"
    pair.server.sessions.handle_timer(120.0)
    assert not any(
        v for k, v in pair.server.sessions.sizes().items() if k in ("sessions", "peers in use")
    )
    assert pair.server.counts["sessions ended by their descriptor"] == 1


@pytest.mark.rule("W-20")
def test_a_good_descriptor_is_checked_once_a_minute_and_a_bad_one_every_time() -> None:
    asked: list[bytes] = []
    is_good = True

    def open_slowly(data: bytes) -> Descriptor:
        asked.append(data)
        if not is_good:
            raise IdentityError("expired")
        return open_descriptor(data, NETWORK)

    known = Known(open_slowly, limit=2)
    signed = [Side(index).sessions.descriptor for index in range(3)]
    assert known(signed[0]) is known(signed[0])
    assert len(asked) == 1
    for data in signed:
        known(data)
    assert len(known) == 2
    known.forget()
    is_good = False
    for _ in range(3):
        with pytest.raises(IdentityError):
            known(signed[2])
    assert len(asked) == 6


# --- sessions that nobody used -------------------------------------------------------------------
@pytest.mark.rule("W-21")
def test_a_session_that_its_client_never_used_is_forgotten() -> None:
    pair = opened()
    pair.server.sessions.handle_timer(9.9)
    assert len(pair.server.sessions) == 1
    pair.server.sessions.handle_timer(10.0)
    assert len(pair.server.sessions) == 0
    assert pair.server.counts["sessions never used"] == 1


@pytest.mark.rule("W-12")
def test_an_auth_repeated_after_its_session_was_evicted_opens_a_new_one() -> None:
    """Otherwise the client would get the Accept of a session that is no more."""
    pair = Pair(NodeConfig(handshake_tries=4))
    dropped = 0

    def tamper(data: bytes) -> list[bytes]:
        nonlocal dropped
        if data[0] == wire.ACCEPT and not dropped:
            dropped += 1
            (session,) = pair.server.sessions._open.values()
            pair.server.sessions.close(session)
            return []
        return [data]

    pair.connect(tamper)
    assert pair.talk() == [b"question", b"answer"]


# --- renewal of keys -----------------------------------------------------------------------------
def _secret(session: Session) -> set[bytes]:
    return {c.encrypt(bytes(12), b"", b"") for c in (session.receiver, session.sender)}


@pytest.mark.rule("W-28")
def test_a_session_wants_a_successor_when_it_is_old_and_the_server_later_than_the_client() -> None:
    pair = opened()
    pair.talk()
    here, there = pair.client.session_with(pair.server), pair.server.session_with(pair.client)
    assert here is not None
    assert there is not None
    wants = [
        (pair.client.sessions.needs_rekey(here, now), pair.server.sessions.needs_rekey(there, now))
        for now in (21_599.0, 21_600.0, 26_999.0, 27_000.0)
    ]
    assert wants == [(False, False), (True, False), (True, False), (True, True)]


@pytest.mark.rule("W-28")
@pytest.mark.parametrize("field", ["counter", "highest"])
def test_a_session_wants_a_successor_long_before_its_counters_end(field: str) -> None:
    pair = opened()
    session = pair.client.session_with(pair.server)
    assert session is not None
    setattr(session, field, COUNTER_REKEY - 1)
    assert not pair.client.sessions.needs_rekey(session, 1.0)
    setattr(session, field, COUNTER_REKEY)
    assert pair.client.sessions.needs_rekey(session, 1.0)
    assert COUNTER_REKEY < COUNTER_MAX


@pytest.mark.rule("W-28")
@pytest.mark.parametrize("starter", ["client", "server"])
def test_a_successor_has_other_keys_and_takes_over_for_sending_on_both_sides(starter: str) -> None:
    pair = opened()
    pair.talk()
    sides = (pair.client, pair.server)
    first, second = sides if starter == "client" else sides[::-1]
    before = first.session_with(second)
    assert before is not None
    pair.now = 30_000.0
    assert first.sessions.connect(second.identity.id, second.address, pair.now)
    assert not first.sessions.needs_rekey(before, pair.now), "one is under way"
    pair.run()
    after, there = first.session_with(second), second.session_with(first)
    assert after is not None
    assert there is not None
    assert after is not before
    assert not _secret(before) & _secret(after)
    assert _secret(after) == _secret(there)
    assert not first.sessions.needs_rekey(before, 1e9), "it was replaced already"
    assert isinstance(first.events[-1], Opened)
    assert sorted(pair.talk()) == [b"answer"] * 2 + [b"question"] * 2
    for side in sides:
        assert side.sessions.sizes()["successors"] == 0
        assert len(side.sessions) == 2, "the old one goes on receiving"
        side.sessions.handle_timer(30_000.0)
        assert len(side.sessions) == 1, "until it is idle"


@pytest.mark.rule("W-28")
@given(seed=st.integers(0, 1_000_000))
@settings(max_examples=25, deadline=None)
def test_nothing_is_lost_in_a_rekey_that_the_network_did_not_lose(seed: int) -> None:
    """Both talk all the time; datagrams are lost, doubled and late; both may renew at once."""
    rng = random.Random(seed)
    pair = opened()
    pair.talk()
    sides = (pair.client, pair.server)
    for side in sides:
        side.events.clear()
    said: Counter[bytes] = Counter()
    line: list[tuple[float, int, Side, Side, bytes]] = []
    order, loss = 0, rng.choice((0.0, 0.2))
    for step in range(120):
        now = step * 0.1
        for side, other in (sides, sides[::-1]):
            if step in (10, 60) and rng.random() < 0.8:
                side.sessions.connect(other.identity.id, other.address, now)
            side.sessions.handle_timer(now)
            session = side.session_with(other)
            assert session is not None, "there is always a session to send in"
            text = f"{side.index} {step}".encode()
            spoken = side.says(other, text)
            for data in (*side.sent(), spoken):
                copies = rng.choice((1, 1, 2)) if rng.random() >= loss else 0
                said[text] += copies if data is spoken else 0
                for _ in range(copies):
                    order += 1
                    line.append((now + rng.random() * 0.5, order, side, other, data))
        due = sorted(entry for entry in line if entry[0] <= now)
        line = [entry for entry in line if entry[0] > now]
        for _, _, side, other, data in due:
            other.take(data, side.address, now)
    for _, _, side, other, data in sorted(line):
        other.take(data, side.address, 12.5)
    heard = [e.data for side in sides for e in side.events if isinstance(e, Plain)]
    assert sorted(heard) == sorted(text for text, copies in said.items() if copies)


@pytest.mark.rule("W-28")
def test_a_successor_is_not_used_while_the_server_is_not_heard_in_it() -> None:
    pair = opened()
    pair.talk()
    old = pair.client.session_with(pair.server)
    pair.client.sessions.connect(pair.server.identity.id, pair.server.address, 0.0)
    is_dead = False

    def tamper(data: bytes) -> list[bytes]:
        nonlocal is_dead
        is_dead = is_dead or data[0] == wire.ACCEPT
        return [] if is_dead and data[0] == wire.SEALED else [data]

    pair.run(tamper)
    assert pair.client.session_with(pair.server) is old
    tries = 0
    while (due := pair.client.sessions.next_timer()) is not None:
        pair.client.sessions.handle_timer(due)
        tries += len(pair.client.sent())
    assert 5 <= tries < NodeConfig().handshake_tries, "until the session is given up"
    pair.client.sessions.handle_timer(20.0)
    assert pair.client.session_with(pair.server) is old
    assert len(pair.client.sessions) == 1


@pytest.mark.rule("W-38")
def test_a_message_of_no_bytes_opens_a_session_and_says_nothing() -> None:
    pair = opened()
    pair.server.take(pair.client.says(pair.server, b""), pair.client.address, 0.0)
    assert [type(event) for event in pair.server.events] == [Opened]
    assert pair.server.session_with(pair.client) is not None
    for _ in range(2 * EMPTIES_MAX):
        pair.server.take(pair.client.says(pair.server, b""), pair.client.address, 0.0)
    answers = pair.server.sent()
    assert len(answers) == EMPTIES_MAX, "answered, but not for ever"
    assert len(pair.server.events) == 1
    for data in answers:
        pair.client.take(data, pair.server.address, 0.0)
    assert pair.client.sent() == [], "the client never answers silence"


@pytest.mark.rule("W-26")
def test_an_identity_that_restarts_again_and_again_keeps_few_sessions() -> None:
    server = Side(SERVER)
    for seed in range(20):
        pair = Pair(seed=seed)
        pair.server = server
        pair.connect()
        pair.talk()
        assert pair.is_open
    assert len(server.sessions) == SESSIONS_PER_PEER_MAX
    last = server.session_with(pair.client)
    assert last is not None
    assert last.opened == max(s.opened for s in server.sessions._open.values())


@pytest.mark.rule("W-26")
def test_whoever_restarts_and_connects_is_spoken_to_in_the_new_session() -> None:
    pair = opened()
    pair.talk()
    before = pair.server.session_with(pair.client)
    pair.client = Side(CLIENT, seed=5)
    pair.connect()
    assert sorted(pair.talk()) == [b"answer"] + [b"question"] * 2
    assert pair.server.session_with(pair.client) is not before
