"""Sessions on a hostile network, step by step, against a slow model that remembers everything."""

import random
from collections import Counter
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qisguard.config import NodeConfig
from qisguard.identity.address import Address
from qisguard.session.channel import Session
from qisguard.session.sessions import Opened, Plain
from qisguard.session.table import SESSIONS_PER_PEER_MAX
from tests.sides import Side

CONFIG = NodeConfig(
    sessions_max=5,
    handshakes_open_max=6,
    addresses_tracked_max=4,
    session_idle=40.0,
    session_unconfirmed=8.0,
    session_rekey_after=30.0,
    hearsay_hellos_per_second=5.0,
)
PEOPLE = 3


def _fingerprint(cipher: ChaCha20Poly1305) -> bytes:
    """Return something that only the same key gives."""
    return cipher.encrypt(b"\xff" * 12, b"", b"")


@dataclass(frozen=True)
class Said:
    """What the model knows about one plaintext."""

    sender: int
    key: bytes


@dataclass(frozen=True)
class Flying:
    """A datagram that was ever on the wire; it may arrive any number of times, or never."""

    data: bytes
    source: Address
    to: int


class HostileNetwork(RuleBasedStateMachine):
    """Three people, one line between all of them, and somebody who owns that line."""

    people = st.integers(0, PEOPLE - 1)

    @initialize(seed=st.integers(0, 1_000))
    def begin(self, seed: int) -> None:
        """Nobody knows anybody."""
        self.now = 0.0
        self.lives = [seed * 100] * PEOPLE
        self.sides = [Side(index, CONFIG, life) for index, life in enumerate(self.lives)]
        self.by_address = {side.address: side.index for side in self.sides}
        self.sequence = [0] * PEOPLE
        self.wire: list[Flying] = []
        self.said: dict[bytes, Said] = {}
        self.heard: Counter[bytes] = Counter()
        self.count = 0

    def collect(self) -> None:
        """Put what everybody sends on the wire."""
        for side in self.sides:
            for data, to in side.sessions.outbox:
                self.wire.append(Flying(data, side.address, self.by_address[to]))
            side.sessions.outbox.clear()

    def arrive(self, to: int, data: bytes, source: Address) -> None:
        """Deliver, and compare what is reported with the model."""
        side = self.sides[to]
        event = side.sessions.receive(data, source, self.now)
        if isinstance(event, Plain):
            said = self.said[event.data]  # somebody said it
            assert said.sender == self.by_address[source]
            assert event.session.peer == self.sides[said.sender].identity.id
            assert said.key == _fingerprint(event.session.receiver), "in that session"
            self.heard[event.data] += 1
            assert self.heard[event.data] == 1
        if event is not None:
            assert not event.session.is_closed
            assert event.session.receive_id in side.sessions._open
            assert event.session.confirmed
        if isinstance(event, Opened):
            assert side.sessions.get(event.session.peer) is event.session
        self.collect()

    # --- what people do --------------------------------------------------------------------------
    @rule(one=people, other=people, proven=st.booleans())
    def connect(self, one: int, other: int, proven: bool) -> None:
        """Start a handshake, or a renewal of keys."""
        if one != other:
            peer = self.sides[other]
            self.sides[one].sessions.connect(peer.identity.id, peer.address, self.now, proven)
            self.collect()

    @rule(one=people, other=people)
    def say(self, one: int, other: int) -> None:
        """Seal something that was never said before."""
        session = self.sides[one].sessions.get(self.sides[other].identity.id)
        if one != other and session is not None:
            self.count += 1
            text = f"{one} {self.count}".encode()
            self.said[text] = Said(one, _fingerprint(session.sender))
            self.sides[one].sessions.send(session, text)
            self.collect()

    @rule(one=people, other=people)
    def close(self, one: int, other: int) -> None:
        """Forget a session, as a node does whose requests are not answered."""
        session = self.sides[one].sessions.get(self.sides[other].identity.id)
        if session is not None:
            self.sides[one].sessions.close(session)

    @rule(one=people)
    def restart(self, one: int) -> None:
        """Everything is forgotten but the identity."""
        self.lives[one] += 1
        self.sides[one] = Side(one, CONFIG, self.lives[one])
        self.sides[one].show(self.sequence[one])

    @rule(one=people)
    def renew_descriptor(self, one: int) -> None:
        """Show a newer descriptor from now on."""
        self.sequence[one] += 1
        self.sides[one].show(self.sequence[one])

    # --- what the network does -------------------------------------------------------------------
    @rule(seed=st.integers(0, 1_000_000), count=st.integers(1, 8))
    def deliver_some_of_the_last(self, seed: int, count: int) -> None:
        """Reorder and drop."""
        rng = random.Random(seed)
        recent = self.wire[-6:]
        for flying in rng.sample(recent, min(count, len(recent))):
            self.arrive(flying.to, flying.data, flying.source)

    @rule(count=st.integers(1, 12))
    def deliver_in_order(self, count: int) -> None:
        """A good moment: what is sent meanwhile arrives too."""
        at = max(len(self.wire) - 4, 0)
        while at < len(self.wire) and count:
            flying = self.wire[at]
            at, count = at + 1, count - 1
            self.arrive(flying.to, flying.data, flying.source)

    @rule(seed=st.integers(0, 1_000_000), count=st.integers(1, 10))
    def replay(self, seed: int, count: int) -> None:
        """Deliver again what was sent at any time."""
        rng = random.Random(seed)
        for _ in range(count if self.wire else 0):
            flying = rng.choice(self.wire)
            self.arrive(flying.to, flying.data, flying.source)

    @rule(seed=st.integers(0, 1_000_000), count=st.integers(1, 10))
    def corrupt_and_misdirect(self, seed: int, count: int) -> None:
        """A changed datagram must never say anything: its words would not be in the model."""
        rng = random.Random(seed)
        for _ in range(count if self.wire else 0):
            flying = rng.choice(self.wire[-30:])
            data = bytearray(flying.data)
            match rng.randrange(4):
                case 0:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                case 1:
                    del data[rng.randrange(len(data)) :]
                case 2:
                    data[: rng.randrange(30)] = rng.choice(self.wire).data[: rng.randrange(30)]
                case _:
                    pass
            to, source = rng.randrange(PEOPLE), rng.choice(self.sides).address
            self.arrive(to, bytes(data), source)

    @rule(seconds=st.sampled_from([0.1, 0.6, 3.0, 9.0, 35.0]))
    def time_passes(self, seconds: float) -> None:
        """Run the timers; nothing that is too old may remain."""
        self.now += seconds
        for side in self.sides:
            for peer, _ in side.sessions.handle_timer(self.now):
                assert peer != side.identity.id
        self.collect()
        for side in self.sides:
            for session in side.sessions._open.values():
                assert self.now - session.last < CONFIG.session_idle
                assert session.confirmed or self.now - session.opened < CONFIG.session_unconfirmed

    # --- what must hold always -------------------------------------------------------------------
    @invariant()
    def tables_are_bounded_and_agree(self) -> None:
        """Bounds, and what the tables say about each other."""
        for side in getattr(self, "sides", []):
            sessions = side.sessions
            sizes = sessions.sizes()
            assert sizes["sessions"] <= CONFIG.sessions_max
            assert sizes["handshakes"] == sizes["handshakes by address"]
            assert sizes["hearsay handshakes"] <= sizes["handshakes"]
            assert sizes["handshakes"] <= CONFIG.handshakes_open_max
            assert sizes["accepted"] <= CONFIG.handshakes_open_max
            for budget in ("auth budgets", "accept budgets", "hearsay budgets", "hearsay networks"):
                assert sizes[budget] <= CONFIG.addresses_tracked_max
            assert sizes["successors"] <= sizes["sessions unconfirmed"]
            open_sessions = list(sessions._open.values())
            peers = Counter(session.peer for session in open_sessions)
            assert max(peers.values(), default=0) <= SESSIONS_PER_PEER_MAX
            in_use = [session for session in open_sessions if session.in_use]
            assert {s.peer: s for s in in_use} == sessions._by_peer
            assert len(in_use) == len(sessions._by_peer)
            assert all(session.confirmed for session in in_use)

    @invariant()
    def both_ends_of_a_session_have_the_same_keys(self) -> None:
        """Where both ends are open, one sends what the other opens."""
        ends: dict[tuple[bytes, bytes], list[Session]] = {}
        for side in getattr(self, "sides", []):
            for session in side.sessions._open.values():
                names = sorted((session.receive_id, session.send_id))
                ends.setdefault((names[0], names[1]), []).append(session)
        for pair in ends.values():
            assert len(pair) <= 2
            if len(pair) == 2:
                one, other = pair
                assert _fingerprint(one.sender) == _fingerprint(other.receiver)
                assert _fingerprint(other.sender) == _fingerprint(one.receiver)
                assert one.is_initiator != other.is_initiator

    def teardown(self) -> None:
        """When the network is good again, everybody can talk to everybody."""
        if not hasattr(self, "sides"):
            return
        for _ in range(24):  # whatever is under way ends, and nothing arrives
            self.time_passes(10.0)
        at = len(self.wire)
        pairs = [(0, 1), (1, 2), (2, 0)]
        for one, other in pairs:
            self.connect(one, other, True)
        for _ in range(3):
            while at < len(self.wire):
                flying = self.wire[at]
                at += 1
                self.arrive(flying.to, flying.data, flying.source)
            for one, other in pairs:
                self.say(one, other)
        before = self.heard.total()
        for one, other in pairs:
            self.say(one, other)
        while at < len(self.wire):
            flying = self.wire[at]
            at += 1
            self.arrive(flying.to, flying.data, flying.source)
        assert self.heard.total() >= before + len(pairs)


TestHostileNetwork = HostileNetwork.TestCase
TestHostileNetwork.settings = settings(max_examples=30, stateful_step_count=50, deadline=None)
