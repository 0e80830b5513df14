"""Who answers for hearsay: purses of informants, turns at a network, places in the table."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.config import NodeConfig
from qisguard.identity.address import Address, pack_host
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.lab.stranger import Stranger
from qisguard.node import messages
from qisguard.node.node import Node
from qisguard.session.hearsay import Hearsay, Tip
from qisguard.session.sessions import Plain
from qisguard.session.wire import HELLO
from tests.builders import address_of, make_identity, make_node, make_stranger
from tests.sides import CLIENT, Pair, Side, join

CONFIG = NodeConfig()
VICTIM: Address = ("192.0.2.7", 4_000)
PLACES = CONFIG.handshakes_open_max * 3 // 4


def _take(hearsay: Hearsay, informants: list[object], now: float = 0.0) -> Tip:
    tip = hearsay.take(VICTIM, informants, now)
    assert isinstance(tip, Tip), tip
    return tip


def _empty(hearsay: Hearsay, informant: object, now: float = 0.0) -> int:
    """Let an informant lie about the victim's network until it is refused."""
    taken = 0
    while isinstance(hearsay.take(VICTIM, [informant], now), Tip):
        taken += 1
    return taken


@pytest.mark.rule("W-15")
def test_a_liar_empties_its_own_purse_and_nobody_elses() -> None:
    hearsay = Hearsay(CONFIG)
    assert _empty(hearsay, "liar") == 4
    assert _take(hearsay, ["honest"]).turn == 0.0
    assert isinstance(hearsay.take(VICTIM, ["liar"], 1.9), str)
    assert isinstance(hearsay.take(VICTIM, ["liar"], 2.0), Tip), "half a token a second"


@pytest.mark.rule("W-15")
def test_a_liar_that_names_a_true_address_first_does_not_make_it_its_own() -> None:
    hearsay = Hearsay(CONFIG)
    _empty(hearsay, "liar")
    tip = _take(hearsay, ["liar", "honest"])
    assert hearsay.may_repeat(tip, 0.0)
    assert tip.spent == [(tip.network, "honest")] * 2


@pytest.mark.rule("W-15")
def test_informants_of_one_network_share_a_purse_and_strangers_to_it_do_not() -> None:
    """Three peers at neighbouring addresses, and one elsewhere, name invented ids at one place."""
    server = Side(CLIENT)
    peers = [join(server, index) for index in (1, 2, 3, 4)]
    for peer in peers[:3]:
        session = server.session_with(peer)
        assert session is not None
        session.group = "net:one"
    started = Counter[int]()
    for n in range(1, 41):
        speaker = peers[n % 4]
        informants = [speaker.identity.id]
        index = 4 if speaker is peers[3] else 1
        started[index] += server.sessions.connect(NodeId(n), VICTIM, 9.0, informants=informants)
    assert started == {1: 4, 4: 4}


@pytest.mark.rule("W-39")
@given(liars=st.integers(1, 40), start=st.floats(0, 60), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_with_n_liars_an_honest_hello_goes_out_within_n_and_one_turns(
    liars: int, start: float, seed: int
) -> None:
    """Each liar tries a hundred times a second; ``turn`` is when the Hello goes out."""
    hearsay, rng = Hearsay(NodeConfig(handshakes_open_max=1 << 16)), random.Random(seed)
    waiting: list[Tip] = []
    for step in range(int(start * 100)):
        for liar in rng.sample(range(liars), liars) if step % 10 == 0 else ():
            tip = hearsay.take(VICTIM, [liar], step / 100)
            waiting += [tip] if isinstance(tip, Tip) else []
        for tip in [tip for tip in waiting if tip.turn <= step / 100]:
            hearsay.go(tip)
            waiting.remove(tip)
    tip = _take(hearsay, ["honest"], start)
    assert tip.turn - start <= (liars + 1) / CONFIG.hearsay_hellos_per_network + 0.01


@pytest.mark.rule("W-39")
def test_all_informants_together_send_a_network_no_more_than_its_rate() -> None:
    """Thirty informants name twenty ids each, every second; nobody answers."""
    side, hellos = Side(CLIENT), 0
    for second in range(60):
        for n in range(600):
            peer, informant = NodeId(1_000 * second + n), NodeId(1 << 200 | n % 30)
            side.sessions.connect(peer, VICTIM, float(second), informants=[informant])
        list(side.sessions.handle_timer(float(second)))
        hellos += sum(data[0] == HELLO for data in side.sent())
    most = CONFIG.hearsay_hellos_burst * 4 + CONFIG.hearsay_hellos_per_network * 60
    assert most - 4 <= hellos <= most


@pytest.mark.rule("W-15")
def test_a_cookie_gives_back_what_its_handshake_spent() -> None:
    """Twenty honest nodes of one network are all met at once by the word of one informant."""
    client = Side(CLIENT)
    for index in range(1, 21):
        server = Side(index)
        server.address = ("192.0.2.9", 4_000 + index)
        pair = Pair()
        pair.client, pair.server = client, server
        assert client.sessions.connect(
            server.identity.id, server.address, 0.0, informants=[NodeId(1)]
        )
        pair.run()
    assert len(client.sessions) == 20


@pytest.mark.rule("W-39")
def test_a_hello_waits_for_its_turn_and_goes_out_at_once_when_its_address_is_proved() -> None:
    for proven in (False, True):
        side = Side(CLIENT)
        for n in range(16):
            side.sessions.connect(NodeId(n), VICTIM, 0.0, informants=[NodeId(100 + n)])
        assert len(side.sent()) == 16
        assert side.sessions.connect(NodeId(50), VICTIM, 0.0, informants=[NodeId(200)])
        assert side.sent() == []
        assert side.sessions.sizes()["hearsay hellos waiting"] == 1
        if proven:
            assert side.sessions.connect(NodeId(50), VICTIM, 0.1, proven=True)
        else:
            side.sessions.handle_timer(0.5)
        hello = [data for data in side.sent() if data[50:82] == NodeId(50).to_bytes(32, "big")]
        assert len(hello) == 1
        assert side.sessions.sizes()["hearsay hellos waiting"] == 0


@pytest.mark.rule("W-16")
@pytest.mark.parametrize("liars", [1, 5, 20])
def test_greedy_informants_leave_a_share_of_the_places_to_whoever_comes(liars: int) -> None:
    hearsay = Hearsay(CONFIG)
    for n in range(20_000):
        hearsay.take((f"203.{n >> 8 & 255}.{n & 255}.1", 4_000), [n % liars], 0.0)
    share = PLACES // (liars + 1)
    assert abs(PLACES - len(hearsay) - share) <= liars
    taken = 0
    while isinstance(hearsay.take(address_of(taken), ["honest"], 0.0), Tip):
        taken += 1
    assert taken >= share // 2


def test_what_hearsay_holds_is_bounded_and_gone_when_its_handshakes_end() -> None:
    config = NodeConfig(addresses_tracked_max=50, handshakes_open_max=64)
    side, rng = Side(CLIENT, config), random.Random(1)
    for n in range(5_000):
        host = f"203.0.{rng.randrange(200)}.1"
        informants = [NodeId(rng.randrange(1_000)) for _ in range(3)]
        side.sessions.connect(NodeId(n), (host, 1), n / 100, informants=informants)
        list(side.sessions.handle_timer(n / 100))
        side.sent()
        sizes = side.sessions.sizes()
        assert sizes["hearsay handshakes"] <= 48
        assert sizes["hearsay informants"] <= sizes["hearsay handshakes"]
        assert sizes["hearsay hellos waiting"] <= sizes["hearsay handshakes"]
        assert sizes["hearsay budgets"] <= 50 >= sizes["hearsay networks"]
    while (due := side.sessions.next_timer()) is not None:
        list(side.sessions.handle_timer(due))
    sizes = side.sessions.sizes()
    assert [sizes[f"hearsay {n}"] for n in ("handshakes", "informants", "hellos waiting")] == [
        0
    ] * 3


# --- a node and two peers, one of whom lies ------------------------------------------------------
def _hellos(node: Node, peers: Sequence[Stranger], now: float = 0.0) -> Counter[bytes]:
    """Carry what is under way; return whom the node knocks for, by id."""
    knocks: Counter[bytes] = Counter()
    node.flush()
    for effect in node.effects():
        if effect.data[0] == HELLO:
            knocks[effect.data[50:82]] += 1
        for peer in peers:
            if effect.to == peer.address:
                event = peer.sessions.receive(effect.data, node.me.address, now)
                peer.heard += [event.data] if isinstance(event, Plain) else []
    return knocks


@pytest.mark.rule("N-42")
def test_a_liar_that_uses_up_its_word_does_not_stop_a_node_from_hearing_others() -> None:
    """It names five nearer ids, invented, at an honest address, and the honest id itself."""
    node = make_node(0, config=NodeConfig(alpha=10))
    liar, guide, wanted = make_stranger(1), make_stranger(2), make_identity(3).id
    for peer in (liar, guide):
        peer.say(node, messages.encode(messages.Ping(1)), 0.0)
        peer.heard.clear()
    target = NodeId(wanted ^ 1 << 20)
    node.find(target, 0.0)
    assert not _hellos(node, [liar, guide])
    host = pack_host(address_of(3)[0])
    true = (to_bytes(wanted), host, 4_000)
    false = [(to_bytes(NodeId(target ^ n)), host, 4_000) for n in range(1, 6)]
    knocked = Counter[bytes]()
    for peer, contacts in ((liar, [*false, true]), (guide, [true])):
        (asked,) = (messages.decode(data) for data in peer.heard)
        session = peer.sessions.get(node.me.id)
        assert session is not None
        assert isinstance(asked, messages.FindNode)
        reply = messages.encode(messages.Nodes(asked.number, contacts))
        node.receive_datagram(peer.sessions.seal(session, reply), peer.address, 0.0)
        new = _hellos(node, [])
        assert new.total() == (4 if peer is liar else 1)
        knocked += new
    assert knocked[to_bytes(wanted)] == 1
