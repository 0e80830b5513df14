"""What both stores promise: fair caps, latest wins, sequence memory, evidence."""

from collections.abc import Callable, Iterator, Sized
from dataclasses import replace
from pathlib import Path

import pytest

from qisguard.config import NodeConfig
from qisguard.errors import ScenarioError
from qisguard.identity.ids import NodeId, node_id, placement, to_bytes
from qisguard.plugins import Rejected
from qisguard.store import sqlite_records
from qisguard.store.memory import MemoryStore
from qisguard.store.record import (
    IndexRecord,
    ProviderRecord,
    join_record,
    open_record,
    sign_index,
    sign_record,
)
from qisguard.store.shares import Shares
from qisguard.store.sqlite import SqliteStore
from qisguard.store.store import Store, StoreLimits
from tests.builders import (
    DAY,
    LIMITS,
    NETWORK,
    draw,
    key_pair,
    make_identity,
    make_key,
    make_packet,
    make_record,
)

PLACE = placement(make_key(0))
CAPS = StoreLimits(
    packets_per_key_max=4,
    sequence_jump_max=5,
    packets_max=12,
    records_max=20,
    providers_per_key_max=8,
    records_per_provider_max=6,
    index_keys_max=6,
    index_providers_max=2,
    evidence_max=4,
    sequence_memory_days=30,
)
Make = Callable[[StoreLimits], Store]
MAKERS: dict[str, Make] = {
    "memory": MemoryStore,
    "sqlite": lambda limits: SqliteStore(":memory:", limits),
}


@pytest.fixture(params=sorted(MAKERS))
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[str(request.param)]


@pytest.fixture
def store(make: Make) -> Iterator[Store]:
    made = make(CAPS)
    yield made
    made.close()


def index(key: bytes, provider: int, *, seq: int = 1, expires: int = 3_600) -> IndexRecord:
    return sign_index(key, make_identity(provider).key, expires, seq, NETWORK.id)


def unsigned(place: NodeId, number: int, expires: int = 3_600) -> ProviderRecord:
    """Return a record in the true encoding with a signature of zeros: stores check none."""
    public = number.to_bytes(4, "big") * 8
    data = join_record(to_bytes(place), public, expires, 1, bytes(64))
    return ProviderRecord(place, node_id(public), expires, 1, data)


def held_providers(store: Store, now: int = 0) -> set[NodeId]:
    return {
        open_record(data, NETWORK.id, lambda *_: None).provider
        for data in store.records(PLACE, b"", 1_000, now)
    }


# --- caps and groups -----------------------------------------------------------------------------
@pytest.mark.rule("N-28")
def test_a_flood_of_records_pushes_out_only_itself(store: Store) -> None:
    honest = [make_record(make_identity(number)) for number in range(2)]
    for record in honest:
        assert store.put_record(record, "hospital", 0) is None
    for number in range(10, 40):
        store.put_record(make_record(make_identity(number)), "net:10.0.0.0/24", 0)
    assert store.counts()["records"] == CAPS.providers_per_key_max
    assert {record.provider for record in honest} <= held_providers(store)


def test_a_newcomer_of_a_small_group_takes_the_place_of_the_flood_s_soonest(store: Store) -> None:
    for number in range(8):
        record = make_record(make_identity(number), expires=100 + (number + 5) % 8)
        assert store.put_record(record, "flood", 0) is None
    newcomer = make_record(make_identity(50))
    assert store.put_record(newcomer, "hospital", 0) is None
    gone = {make_identity(number).id for number in range(8)} - held_providers(store)
    assert gone == {make_identity(3).id}  # 100 + (3 + 5) % 8 is the soonest
    assert newcomer.provider in held_providers(store)


def test_two_groups_of_one_size_do_not_push_each_other_out_in_turn(store: Store) -> None:
    for number in range(8):
        store.put_record(make_record(make_identity(number)), "ab"[number % 2], 0)
    before = held_providers(store)
    for number in range(8, 16):
        refusal = store.put_record(make_record(make_identity(number)), "ab"[number % 2], 0)
        assert refusal == Rejected("key full")
    assert held_providers(store) == before


@pytest.mark.rule("N-28")
def test_a_refresh_is_kept_when_everything_is_full_and_evicts_nobody(store: Store) -> None:
    for number in range(8):
        store.put_record(make_record(make_identity(number)), "flood", 0)
    before = held_providers(store)
    for number in range(8):
        renewed = make_record(make_identity(number), seq=2, expires=9_000)
        assert store.put_record(renewed, "flood", 0) is None
    assert held_providers(store, 8_999) == before


def test_a_record_that_was_renewed_is_no_longer_the_first_to_go(store: Store) -> None:
    for number in range(8):
        store.put_record(make_record(make_identity(number), expires=100 + number), "flood", 0)
    store.put_record(make_record(make_identity(0), seq=2, expires=500), "flood", 0)
    store.put_record(make_record(make_identity(2), seq=2, expires=101), "flood", 0)
    store.put_record(make_record(make_identity(50)), "hospital", 0)
    store.put_record(make_record(make_identity(51)), "ward", 0)
    gone = {make_identity(number).id for number in range(8)} - held_providers(store)
    assert gone == {make_identity(1).id, make_identity(2).id}


def test_a_provider_has_a_share_of_its_own(store: Store) -> None:
    for key in range(CAPS.records_per_provider_max):
        assert store.put_record(make_record(make_identity(0), key), f"net:{key}", 0) is None
    full = make_record(make_identity(0), 50)
    assert store.put_record(full, "net:other", 0) == Rejected("provider full")
    assert store.put_key(index(make_key(0), 0), "net:other", 0) == Rejected("provider full")
    assert store.put_record(make_record(make_identity(1), 50), "net:0", 0) is None


def test_records_are_bounded_over_all_places_and_the_largest_group_loses(store: Store) -> None:
    for key in range(CAPS.records_max):
        record = make_record(make_identity(key % 5), key, expires=100 + key)
        assert store.put_record(record, "flood", 0) is None
    refusal = store.put_record(make_record(make_identity(9), 90), "flood", 0)
    assert refusal == Rejected("store full")
    assert store.put_record(make_record(make_identity(9), 90), "hospital", 0) is None
    assert store.counts()["records"] == CAPS.records_max
    assert store.records(placement(make_key(0)), b"", 9, 0) == []
    assert store.records(placement(make_key(1)), b"", 9, 0) != []
    assert store.expire(DAY, 10_000) == CAPS.records_max
    assert store.counts()["records"] == 0
    assert store.put_record(make_record(make_identity(0), 99, expires=10_001), "flood", 0) is None


def test_a_record_that_has_expired_is_refused_and_not_shown(store: Store) -> None:
    record = make_record(make_identity(0), expires=100)
    assert store.put_record(record, "a", 100) == Rejected("expired")
    assert store.put_record(record, "a", 99) is None
    assert store.records(PLACE, b"", 9, 99) == [record.data]
    assert store.records(PLACE, b"", 9, 100) == []


def test_a_record_that_moves_to_another_group_is_counted_there(store: Store) -> None:
    for number in range(8):
        store.put_record(make_record(make_identity(number)), "a", 0)
    for number in range(5):  # three stay with a
        store.put_record(make_record(make_identity(number), seq=2), "b", 0)
    assert store.put_record(make_record(make_identity(20)), "c", 0) is None
    lost = {make_identity(number).id for number in range(8)} - held_providers(store)
    assert lost == {make_identity(0).id}


@pytest.mark.rule("N-28")
def test_a_flood_of_packets_pushes_out_only_itself(store: Store) -> None:
    honest = make_packet(0)
    assert store.put(PLACE, honest, "hospital", DAY) is None
    for author in range(1, 40):
        store.put(PLACE, make_packet(author), "none", DAY)
    assert store.get(PLACE, honest.digest)
    assert len(store.page(PLACE, b"", 10, DAY)) == CAPS.packets_per_key_max


def test_a_flood_over_many_keys_leaves_half_of_the_store_to_others(store: Store) -> None:
    for key in range(40):
        packet = make_packet(1, key=key)
        store.put(placement(packet.key), packet, "none", DAY)
    assert store.counts()["names"] == CAPS.packets_max // 2
    honest = make_packet(0, key=77)
    assert store.put(placement(honest.key), honest, "hospital", DAY) is None


def test_counts_of_groups_shrink_when_packets_are_forgotten(store: Store) -> None:
    for key in range(6):
        packet = make_packet(1, key=key, exp=DAY)
        assert store.put(placement(packet.key), packet, "none", DAY) is None
    late = make_packet(1, key=20)
    assert store.put(placement(late.key), late, "none", DAY) == Rejected("store full")
    assert store.expire(DAY + 30, 0) == 6  # the packets go, their sequence numbers stay
    assert store.put(placement(late.key), late, "none", DAY + 30) == Rejected("store full")
    assert store.expire(DAY + 31, 0) == 0
    assert store.counts()["names"] == 0
    assert store.put(placement(late.key), late, "none", DAY + 31) is None


def test_an_evicted_packet_makes_room_under_its_key_and_leaves_its_sequence_number(
    store: Store,
) -> None:
    packets = [make_packet(author, exp=DAY + 10 + author) for author in range(4)]
    for packet in packets:
        assert store.put(PLACE, packet, "none", DAY) is None
    assert store.put(PLACE, make_packet(9), "hospital", DAY) is None
    assert store.get(PLACE, packets[0].digest) is None  # it would have expired first
    assert store.put(PLACE, packets[0], "none", DAY) == Rejected("older sequence")
    assert (store.counts()["packets"], store.counts()["names"]) == (4, 5)
    assert store.put(PLACE, make_packet(0, seq=2), "none", DAY) == Rejected("key full")
    assert store.put(PLACE, make_packet(0, seq=2), "ward", DAY) is None


# --- the index -----------------------------------------------------------------------------------
def test_a_key_of_the_index_goes_with_its_last_record(store: Store) -> None:
    key = bytes([7]) * 32
    assert store.put_key(index(key, 1, expires=100), "a", 0) is None
    assert store.put_key(index(key, 2, expires=200), "b", 0) is None
    assert store.keys(7, b"", 9, 0) == [key]
    assert store.expire(DAY, 100) == 1
    assert store.keys(7, b"", 9, 199) == [key]
    assert store.keys(7, b"", 9, 200) == []
    assert store.expire(DAY, 200) == 1
    assert store.counts()["index records"] == 0


def test_a_popular_key_does_not_use_up_the_index(store: Store) -> None:
    popular = bytes([7]) * 32
    refused = [store.put_key(index(popular, n), f"net:{n}", 0) for n in range(8)]
    assert refused == [None] * 2 + [Rejected("key full")] * 6
    others = [bytes([7, n]) + bytes(30) for n in range(4)]
    for key in others:
        assert store.put_key(index(key, 1), "net:1", 0) is None
    assert store.keys(7, b"", 99, 0) == sorted([popular, *others])


def test_a_flood_of_keys_pushes_out_only_itself(store: Store) -> None:
    honest = bytes([7]) + bytes(31)
    assert store.put_key(index(honest, 0), "hospital", 0) is None
    for number in range(1, 20):
        store.put_key(index(bytes([7, number]) * 16, number), "flood", 0)
    assert len(store.keys(7, b"", 99, 0)) == CAPS.index_keys_max
    another = bytes([7, 0xFF]) * 16
    assert store.put_key(index(another, 30), "hospital", 0) is None
    assert {honest, another} <= set(store.keys(7, b"", 99, 0))
    assert store.put_key(index(bytes([8]) * 32, 2), "flood", 0) is None  # another prefix


@pytest.mark.rule("N-30")
def test_pages_begin_after_any_bytes(store: Store) -> None:
    keys = [bytes([7, number]) + bytes(30) for number in range(3)]
    for key in keys:
        store.put_key(index(key, 1), "a", 0)
    assert store.keys(7, bytes([7]), 9, 0) == keys
    assert store.keys(7, keys[0], 1, 0) == [keys[1]]
    assert store.keys(7, b"\xff", 9, 0) == []
    records = [make_record(make_identity(number)) for number in range(4)]
    for record in records:
        store.put_record(record, "a", 0)
    middle = sorted(to_bytes(record.provider) for record in records)[1]
    assert len(store.records(PLACE, middle, 9, 0)) == 2
    assert len(store.records(PLACE, middle[:20], 9, 0)) == 3


# --- packets -------------------------------------------------------------------------------------
@pytest.mark.rule("N-25")
@pytest.mark.rule("N-24")
def test_an_expired_sequence_number_does_not_come_back(store: Store) -> None:
    assert store.put(PLACE, make_packet(seq=5, exp=DAY), "a", DAY) is None
    assert store.expire(DAY + 1, 0) == 1
    for seq in (4, 5):
        assert store.put(PLACE, make_packet(seq=seq), "a", DAY + 1) == Rejected("older sequence")
    assert store.put(PLACE, make_packet(seq=11), "a", DAY + 1) == Rejected("sequence jump")
    assert store.put(PLACE, make_packet(seq=6), "a", DAY + 1) is None


@pytest.mark.rule("N-24")
def test_a_sequence_number_is_remembered_past_the_latest_expiry_day_of_its_name(
    store: Store,
) -> None:
    assert store.put(PLACE, make_packet(seq=4, exp=DAY + 10), "a", DAY) is None
    assert store.put(PLACE, make_packet(seq=5, exp=DAY + 3), "a", DAY) is None
    store.expire(DAY + 10 + CAPS.sequence_memory_days, 0)
    assert store.put(PLACE, make_packet(seq=4), "a", DAY + 40) == Rejected("older sequence")
    store.expire(DAY + 11 + CAPS.sequence_memory_days, 0)
    assert store.put(PLACE, make_packet(seq=4), "a", DAY + 41) is None


@pytest.mark.rule("N-26")
def test_both_packets_of_an_equivocation_are_kept_as_evidence(store: Store) -> None:
    first, second = make_packet(seq=3), make_packet(seq=3, time=999)
    assert store.put(PLACE, first, "a", DAY) is None
    assert store.put(PLACE, second, "a", DAY) == Rejected("equivocation")
    assert store.put(PLACE, make_packet(seq=3, time=5), "a", DAY) == Rejected("equivocation")
    assert store.evidence() == [(first.data, second.data)]
    store.put(PLACE, make_packet(seq=4), "a", DAY)
    store.expire(DAY + 10_000, 0)
    assert store.evidence() == [(first.data, second.data)]


def test_strangers_cannot_use_up_the_room_for_evidence(store: Store) -> None:
    def lie(author: int, group: str) -> None:
        for time in (1, 2):
            store.put(placement(make_key(author)), make_packet(author, time=time), group, DAY)

    for author in range(6):
        lie(author, "none")
    assert (store.counts()["evidence"], store.counts()["evidence refused"]) == (2, 4)
    before = store.evidence()
    lie(10, "hospital")
    assert store.counts()["evidence"] == 3
    assert set(before) < set(store.evidence())


def test_own_publications_are_kept_by_latest_sequence_and_expire(store: Store) -> None:
    old, new, other = make_packet(seq=1), make_packet(seq=2), make_packet(case=1, key=1, exp=DAY)
    for packet in (new, old, make_packet(seq=2, time=7), other):
        store.keep_own(packet)
    assert store.own_keys(b"", 9) == sorted([make_key(0), make_key(1)])
    assert store.own(make_key(0), DAY) == [new.data]
    assert store.own(make_key(1), DAY + 1) == []
    store.expire(DAY + 1, 0)
    assert store.own_keys(b"", 9) == [make_key(0)]


def test_places_are_those_that_hold_packets(store: Store) -> None:
    packets = [make_packet(key=key, exp=DAY + key) for key in range(4)]
    for packet in packets:
        store.put(placement(packet.key), packet, "a", DAY)
    store.put_record(make_record(make_identity(0), 60), "a", 0)
    places = sorted(to_bytes(placement(packet.key)) for packet in packets)
    assert store.places(b"", 9) == places
    assert store.places(places[0], 2) == places[1:3]
    store.expire(DAY + 1, 0)
    assert len(store.places(b"", 9)) == 3


# --- limits and cost -----------------------------------------------------------------------------
def test_limits_follow_the_configuration() -> None:
    config = NodeConfig(packets_max=9, providers_per_key_max=8, sequence_memory_days=7)
    limits = StoreLimits.of(config)
    for name in ("packets_max", "providers_per_key_max", "sequence_memory_days", "evidence_max"):
        assert getattr(limits, name) == getattr(config, name)
    with pytest.raises(ScenarioError, match="index_providers_max = 0, must be 1 to"):
        NodeConfig(index_providers_max=0)


def test_a_memory_store_forgets_places_with_nothing_in_them() -> None:
    store = MemoryStore(replace(LIMITS, sequence_memory_days=0))
    for key in range(50):
        store.put_record(make_record(make_identity(0), key, expires=2), "a", 1)
        store.put(placement(make_key(key)), make_packet(key=key, exp=DAY), "a", DAY)
    assert store.expire(DAY + 1, 2) == 100
    records, packets = store._records, store._packets
    tables: tuple[Sized, ...] = (
        records.shelves,
        records._providers,
        records.all._heaps,
        packets.places,
        packets.ordered,
        packets.names.sizes,
    )
    assert [len(table) for table in tables] == [0] * 6


def test_a_sqlite_file_forgets_places_and_groups_with_nothing_in_them(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    store = SqliteStore(path, replace(LIMITS, sequence_memory_days=0))
    for key in range(50):
        store.put_record(make_record(make_identity(0), key, expires=2), f"net:{key}", 1)
        store.put(placement(make_key(key)), make_packet(key=key, exp=DAY), "a", DAY)
    assert store.expire(DAY + 1, 2) == 100
    for table in ("groups", "scopes", "records", "packets"):
        assert store._file.one(f"select count(*) from {table}") == (0,)
    store.close()


def test_many_refreshes_of_one_record_do_not_make_a_memory_store_grow() -> None:
    store = MemoryStore(CAPS)
    for seq in range(500):
        store.put_record(
            make_record(make_identity(0), seq=seq, expires=9_000 - seq % 7), f"net:{seq % 2}", 0
        )
    heaps = store._records.all._heaps
    assert sum(len(heap) for heap in heaps.values()) < 50


def steps_of(store: SqliteStore, act: Callable[[], object]) -> int:
    """Return how many hundreds of instructions SQLite needs for ``act``: no clock is involved."""
    steps: list[None] = []
    store._file._db.set_progress_handler(lambda: steps.append(None), 100)
    act()
    store._file._db.set_progress_handler(None, 100)
    return len(steps)


def test_a_full_key_of_a_file_costs_as_little_as_an_empty_one() -> None:
    cap = 5_000
    store = SqliteStore(":memory:", replace(LIMITS, providers_per_key_max=cap, records_max=cap))
    for number in range(cap):
        store.put_record(unsigned(PLACE, number, 100 + number), f"net:{number % 1_999}", 0)
    new, known = unsigned(PLACE, cap), unsigned(PLACE, 77, 9_000)
    packet = make_packet()
    acts: list[Callable[[], object]] = [
        lambda: store.put_record(new, "new", 0),
        lambda: store.put_record(known, "net:77", 0),
        lambda: store.records(PLACE, to_bytes(known.provider), 7, 0),
        lambda: store.put(PLACE, packet, "a", DAY),
        lambda: store.page(PLACE, b"", 28, DAY),
    ]
    assert max(steps_of(store, act) for act in acts) <= 10  # one scan takes 250 and more
    store.close()


def test_the_largest_share_is_found_after_any_changes() -> None:
    shares = Shares()
    rng = draw("shares")
    for step in range(2_000):
        group = "abcdefgh"[rng(1)[0] % 8]
        if shares.of(group) and rng(1)[0] % 2:
            shares.remove(group)
        else:
            shares.add(group)
        if shares.total and step % 3:
            largest = max(sorted(shares.sizes), key=shares.of)
            assert shares.loser("z") == (largest if shares.of(largest) > 1 else None)
    assert shares._heap is not None
    assert len(shares._heap) < 200


@pytest.mark.rule("N-30")
def test_providers_whose_ids_begin_alike_are_read_in_the_order_of_whole_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if ids agreed in eight bytes, which nobody can make for a test: compare two bits."""
    monkeypatch.setattr(sqlite_records, "_rank", lambda provider: provider[0] >> 6)
    store = SqliteStore(":memory:", LIMITS)
    records = [make_record(make_identity(number)) for number in range(40)]
    for record in records:
        assert store.put_record(record, "a", 0) is None
    assert store.put_record(make_record(make_identity(3), seq=0), "a", 0) == Rejected(
        "older record"
    )
    expected = [r.data for r in sorted(records, key=lambda r: r.provider)]
    for limit in (1, 2, 7, 100):
        found: list[bytes] = []
        after = b""
        while page := store.records(PLACE, after, limit, 0):
            assert len(page) <= limit
            found += page
            after = to_bytes(open_record(page[-1], NETWORK.id, lambda *_: None).provider)
        assert found == expected
    store.close()


def test_a_sqlite_store_says_when_a_record_is_not_in_its_encoding() -> None:
    store = SqliteStore(":memory:", CAPS)
    odd = sign_record(PLACE, key_pair("odd"), 3_600, 1, NETWORK.id)
    with pytest.raises(ValueError, match="sign_record"):
        store.put_record(replace(odd, place=placement(make_key(1))), "a", 0)
    store.close()
