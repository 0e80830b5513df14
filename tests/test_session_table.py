"""Who loses a session when the table is full; and budgets when more come than are remembered."""

import random
from collections import Counter, OrderedDict

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.config import NodeConfig
from qisguard.identity.descriptor import Descriptor
from qisguard.identity.ids import NodeId
from qisguard.session.budget import Budget, Budgets
from qisguard.session.channel import Session
from qisguard.session.table import SESSIONS_PER_PEER_MAX, SessionTable
from tests.builders import address_of
from tests.sides import Side, join

CIPHER = ChaCha20Poly1305(bytes(32))


def _session(peer: int, name: int, now: float, *, confirmed: bool = True) -> Session:
    descriptor = Descriptor(
        NodeId(peer), b"", address_of(peer), b"", b"", b"", seq=0, expires=0, signed=b""
    )
    receive_id = name.to_bytes(8, "big")
    return Session(descriptor, address_of(peer), receive_id, b"", CIPHER, CIPHER, now, confirmed)


def _table(limit: int, group_of: dict[int, str] | None = None) -> SessionTable:
    """Return a table whose groups are given; others are groups of their own."""
    groups = group_of or {}
    return SessionTable(
        NodeConfig(sessions_max=limit),
        lambda descriptor, address: groups.get(descriptor.id, str(descriptor.id)),
        Counter(),
    )


@pytest.mark.rule("W-27")
def test_one_organisation_with_a_thousand_identities_flushes_nobody_else() -> None:
    groups = dict.fromkeys(range(1000, 2000), "crowd")
    table = _table(64, groups)
    honest = [_session(peer, peer, 0.0) for peer in range(30)]
    for session in honest:
        table.add(session, 0.0)
    for peer in range(1_000, 2_000):
        table.add(_session(peer, peer, float(peer)), float(peer))
    assert len(table) == 64
    assert not any(session.is_closed for session in honest)


@pytest.mark.rule("W-27")
def test_in_the_largest_group_the_one_idle_for_longest_goes() -> None:
    table = _table(6, {1: "a", 2: "a", 3: "a"})
    sessions = {peer: _session(peer, peer, 0.0) for peer in (7, 1, 2, 3, 8)}
    for session in sessions.values():
        table.add(session, 0.0)
    table.touch(sessions[1])
    table.add(_session(9, 9, 1.0), 1.0)
    (gone,) = table.add(_session(10, 10, 2.0), 2.0)
    assert gone is sessions[2]


@pytest.mark.rule("W-27")
def test_with_groups_of_one_size_the_one_idle_for_longest_of_all_goes() -> None:
    table = _table(4)
    sessions = [_session(peer, peer, float(peer)) for peer in range(4)]
    for session in sessions:
        table.add(session, session.opened)
    table.touch(sessions[0])
    assert table.add(_session(9, 9, 9.0), 9.0) == [sessions[1]]


@pytest.mark.rule("W-27")
def test_what_its_client_did_not_use_in_time_goes_before_anything_else() -> None:
    table = _table(4, dict.fromkeys(range(3), "large"))
    sessions = [_session(peer, peer, 0.0, confirmed=peer != 3) for peer in range(4)]
    for session in sessions:
        table.add(session, 0.0)
    assert table.add(_session(9, 9, 0.5), 0.5) == [sessions[3]]


@pytest.mark.rule("W-27")
def test_a_newcomer_is_not_pushed_out_by_an_identity_in_a_hurry() -> None:
    """The table is full; somebody opens sessions much faster than a newcomer can confirm one."""
    table = _table(32)
    for peer in range(32):
        table.add(_session(peer, peer, 0.0), 0.0)
    name = 1_000
    for _ in range(SESSIONS_PER_PEER_MAX):
        name += 1
        table.add(_session(500, name, 1.0, confirmed=False), 1.0)
    newcomer = _session(600, 1, 1.0, confirmed=False)
    table.add(newcomer, 1.0)
    for _ in range(500):
        name += 1
        table.add(_session(500, name, 1.01, confirmed=False), 1.01)
    assert not newcomer.is_closed
    assert len(table) == 32


def test_an_identity_with_too_many_sessions_loses_its_own() -> None:
    table = _table(64)
    own = [_session(1, n, float(n), confirmed=n != 2) for n in range(SESSIONS_PER_PEER_MAX)]
    for session in own:
        table.add(session, session.opened)
    other = _session(2, 50, 4.0)
    table.add(other, 4.0)
    assert table.add(_session(1, 60, 5.0), 5.0) == [own[2]], "one never used"
    assert table.add(_session(1, 61, 6.0), 6.0) == [own[0]]
    assert not other.is_closed


@pytest.mark.rule("W-27")
def test_the_session_in_use_is_the_last_that_its_identity_loses() -> None:
    """The peer may send in another one: the one that we send in can be idle for longest."""
    table = _table(64)
    own = [_session(1, n, float(n)) for n in range(SESSIONS_PER_PEER_MAX)]
    for session in own:
        table.add(session, session.opened)
    own[0].in_use = True
    assert table.add(_session(1, 60, 5.0), 5.0) == [own[1]]


class _Model:
    """The same rules by looking at everything every time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sessions: OrderedDict[bytes, Session] = OrderedDict()

    def sizes(self) -> Counter[str]:
        return Counter(session.group for session in self.sessions.values())

    def allowed(self, gone: Session, new: Session, now: float) -> bool:
        """Return whether ``gone`` may be evicted for ``new``."""
        everybody = [*self.sessions.values()]
        late = [s for s in everybody if not s.confirmed and now - s.opened >= 0.5]
        if late:
            return gone is min(late, key=lambda s: s.opened)
        sizes = self.sizes()
        in_group = [s for s in everybody if s.group == gone.group]
        return sizes[gone.group] == max(sizes.values()) and gone is in_group[0]


@given(seed=st.integers(0, 1_000_000))
@settings(max_examples=60, deadline=None)
def test_the_table_evicts_as_a_model_does_that_looks_at_everything(seed: int) -> None:
    rng = random.Random(seed)
    groups = {peer: f"group {peer % rng.randint(1, 6)}" for peer in range(40)}
    table, model, now = _table(12, groups), _Model(12), 0.0
    for name in range(150):
        now += rng.choice((0.0, 0.05, 1.0))
        action = rng.random()
        known = list(model.sessions.values())
        if known and action < 0.4:
            session = rng.choice(known)
            session.last = now
            table.touch(session)
            model.sessions.move_to_end(session.receive_id)
            if not session.confirmed:
                table.confirm(session)
        elif known and action < 0.5:
            session = rng.choice(known)
            assert table.remove(session)
            assert not table.remove(session)
            del model.sessions[session.receive_id]
        else:
            session = _session(rng.randrange(40), name, now, confirmed=rng.random() < 0.6)
            own = len(table.of_peer(session.peer))
            gone = table.add(session, now)
            for victim in gone[:1] if own >= SESSIONS_PER_PEER_MAX else []:
                assert victim.peer == session.peer
                del model.sessions[victim.receive_id]
                gone = gone[1:]
            model.sessions[session.receive_id] = session
            for victim in gone:
                assert victim is not session
                assert model.allowed(victim, session, now)
                del model.sessions[victim.receive_id]
        assert list(table.by_name) == list(model.sessions)
        members = table._groups.members
        assert {group: len(m) for group, m in members.items()} == dict(model.sizes())
        assert table._groups._largest == max(model.sizes().values(), default=0)
        assert {s.receive_id for s in known if not s.confirmed and not s.is_closed} <= set(
            table._unconfirmed
        )


@pytest.mark.rule("W-27")
def test_identities_of_one_network_share_one_part_of_a_nodes_table() -> None:
    server = Side(1, NodeConfig(sessions_max=12))
    friends = [join(server, index) for index in range(10, 15)]
    for index in range(100, 130):
        crowd = Side(index)
        crowd.address = ("198.51.100.7", 4_000 + index)
        crowd.sessions.connect(server.identity.id, server.address, 1.0)
        for _ in range(2):
            for data in crowd.sent():
                server.take(data, crowd.address, 1.0)
            for data in server.sent():
                crowd.take(data, server.address, 1.0)
        server.take(crowd.says(server, b"hello"), crowd.address, 1.0)
    assert all(server.session_with(friend) for friend in friends)
    assert len(server.sessions) == 12


def test_the_sequence_and_sessions_of_a_peer_are_forgotten_with_the_last_one() -> None:
    table = _table(8)
    session = _session(1, 1, 0.0)
    table.add(session, 0.0)
    assert list(table.of_peer(NodeId(1))) == [session]
    table.remove(session)
    assert list(table.of_peer(NodeId(1))) == []
    assert not table._groups.members


# --- budgets -------------------------------------------------------------------------------------
def test_a_budget_holds_its_burst_and_refills_at_its_rate() -> None:
    budget = Budget(2.0, burst=5.0)
    assert sum(budget.spend(0.0) for _ in range(20)) == 5
    assert [budget.spend(0.5), budget.spend(0.5)] == [True, False]
    assert sum(budget.spend(100.0) for _ in range(20)) == 5
    assert not budget.spend(101.0, cost=3.0)
    assert budget.spend(101.0, cost=2.0)
    assert sum(Budget(0.5).spend(0.0) for _ in range(3)) == 3, "at least one token"


def test_time_that_goes_back_makes_no_tokens() -> None:
    budget = Budget(10.0)
    assert sum(budget.spend(100.0) for _ in range(20)) == 10
    for _ in range(50):
        assert not budget.spend(0.0)
        assert not budget.spend(100.0)


@pytest.mark.rule("W-30")
def test_whoever_rotates_through_names_gets_no_more_than_all_buckets_hold() -> None:
    budgets = Budgets(10.0, 16)
    granted = sum(budgets.spend(n % 1_000, 0.0) for n in range(20_000))
    assert granted == 16 * 10
    assert len(budgets) == 16
    granted = sum(budgets.spend(n % 1_000, 2.0) for n in range(20_000))
    assert granted == 16 * 10


@pytest.mark.rule("W-30")
def test_an_exhausted_name_takes_its_place_back_with_what_others_left() -> None:
    """Coming back is not free: what it gets is what the least recent name did not use."""
    budgets = Budgets(4.0, 4)
    assert sum(budgets.spend("attacker", 0.0) for _ in range(10)) == 4
    for other in "abcd":  # the fourth takes over the attacker's empty bucket
        assert budgets.spend(other, 0.0) == (other != "d")
    assert sum(budgets.spend("attacker", 0.0) for _ in range(10)) == 3  # what a had left
    assert sum(budgets.spend("a", 0.0) for _ in range(10)) == 3  # and a has what b had left


@pytest.mark.rule("W-30")
def test_a_newcomer_is_served_when_all_buckets_are_taken() -> None:
    budgets = Budgets(10.0, 16)
    for n in range(200):
        assert budgets.spend(n, 0.05 * n), "a bucket that others used little"


@given(keys=st.lists(st.integers(0, 40), max_size=300), limit=st.integers(1, 8))
@settings(deadline=None)
def test_however_names_come_tokens_are_conserved(keys: list[int], limit: int) -> None:
    budgets = Budgets(3.0, limit, burst=5.0)
    granted = sum(budgets.spend(key, index * 0.01) for index, key in enumerate(keys))
    assert granted <= limit * (5.0 + 3.0 * 0.01 * len(keys))
    assert len(budgets) <= limit
