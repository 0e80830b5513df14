"""Both stores against a slow model, and SQLite against kill -9."""

import subprocess
import sys
from collections.abc import Iterator, Sized
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qisguard.identity.ids import NodeId, placement
from qisguard.node.store import MemoryStore, SqliteStore, Store, StoreLimits
from qisguard.outcomes.packet import OutcomePacket
from qisguard.plugins import Rejected
from tests.builders import DAY, LIMITS, make_identity, make_key, make_packet, make_record

PLACES = [placement(make_key(key)) for key in range(2)]
CAPS = StoreLimits(packets_per_key_max=3, sequence_jump_max=5, packets_max=12, records_max=3)


@dataclass
class Row:
    """One current packet in the model."""

    place: NodeId
    packet: OutcomePacket
    group: str
    first_day: int


class Model:
    """Lists that are searched from end to end; every rule is one sentence."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.ever: dict[tuple[NodeId, bytes, bytes], tuple[int, str]] = {}
        self.records: dict[tuple[NodeId, NodeId], tuple[int, int, bytes]] = {}

    def put(self, place: NodeId, packet: OutcomePacket, group: str, today: int) -> Rejected | None:
        """Decide about a packet."""
        name = (place, packet.author, packet.case)
        seq = packet.body.seq
        held = next((r for r in self.rows if self._name(r) == name), None)
        highest = self.ever[name][0] if name in self.ever else None
        if highest is not None and seq < highest:
            return Rejected("older sequence")
        if highest is not None and seq > highest + CAPS.sequence_jump_max:
            return Rejected("sequence jump")
        if highest == seq:
            if held is None:
                return Rejected("older sequence")
            is_same = held.packet.body == packet.body
            return None if is_same else Rejected("equivocation")
        if highest is None:
            of_group = sum(payer == group for _, payer in self.ever.values())
            if len(self.ever) >= CAPS.packets_max or of_group >= CAPS.packets_max // 2:
                return Rejected("store full")
        here = [r for r in self.rows if r.place == place]
        if held is None and len(here) >= CAPS.packets_per_key_max:
            groups = sorted({r.group for r in here})
            sizes = {g: sum(r.group == g for r in here) for g in groups}
            largest = max(groups, key=lambda g: sizes[g])
            if sizes.get(group, 0) + 1 > sizes[largest]:
                return Rejected("key full")
            self.rows.remove(max((r for r in here if r.group == largest), key=self._name))
        first_day = held.first_day if held else today
        self.rows = [r for r in self.rows if r is not held]
        self.rows.append(Row(place, packet, group, first_day))
        self.ever[name] = (seq, self.ever[name][1] if name in self.ever else group)
        return None

    def put_record(self, place: NodeId, provider: NodeId, row: tuple[int, int, bytes]) -> bool:
        """Return whether the record is kept."""
        known = self.records.get((place, provider))
        if (known and row[0] < known[0]) or (not known and len(self.records) >= CAPS.records_max):
            return False
        self.records[place, provider] = row
        return True

    def page(self, place: NodeId, today: int) -> list[tuple[bytes, int]]:
        """Return everything of a place."""
        return sorted(
            (r.packet.digest, r.first_day)
            for r in self.rows
            if r.place == place and r.packet.body.exp >= today
        )

    @staticmethod
    def _name(row: Row) -> tuple[NodeId, bytes, bytes]:
        return (row.place, row.packet.author, row.packet.case)


PUTS = st.tuples(
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(1, 12),
    st.integers(1, 2),
    st.integers(0, 3),
    st.sampled_from(["a", "b", "none"]),
)
"""Author, case, sequence, time, days until expiry, group."""


class StoreMachine(RuleBasedStateMachine):
    """Everything that can be asked of a store, of both, with the model beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.stores: list[Store] = [MemoryStore(CAPS), SqliteStore(":memory:", CAPS)]
        self.today = DAY

    @rule(key=st.integers(0, 1), puts=st.lists(PUTS, min_size=1, max_size=8))
    def put(self, key: int, puts: list[tuple[int, int, int, int, int, str]]) -> None:
        """Put packets into all three."""
        for author, case, seq, time, days, group in puts:
            packet = make_packet(author, case, seq, key=key, time=time, exp=DAY + days)
            expected = self.model.put(PLACES[key], packet, group, self.today)
            for store in self.stores:
                assert store.put(PLACES[key], packet, group, self.today) == expected

    @rule(
        key=st.integers(0, 1),
        provider=st.integers(0, 2),
        seq=st.integers(1, 3),
        expires=st.integers(1, 5),
    )
    def put_record(self, key: int, provider: int, seq: int, expires: int) -> None:
        """Put one record into all three."""
        record = make_record(make_identity(provider), key, seq=seq, expires=expires)
        row = (seq, expires, record.data)
        is_taken = self.model.put_record(PLACES[key], record.provider, row)
        for store in self.stores:
            assert (store.put_record(record) is None) == is_taken

    @rule(days=st.integers(0, 2), now=st.integers(0, 5))
    def expire(self, days: int, now: int) -> None:
        """Let days pass and records run out."""
        self.today += days
        kept = [r for r in self.model.rows if r.packet.body.exp >= self.today]
        records = {name: row for name, row in self.model.records.items() if row[1] > now}
        gone = len(self.model.rows) - len(kept) + len(self.model.records) - len(records)
        self.model.rows, self.model.records = kept, records
        for store in self.stores:
            assert store.expire(self.today, now) == gone

    @rule(now=st.integers(0, 5))
    def read_records(self, now: int) -> None:
        """Compare the records of a second."""
        for place in PLACES:
            expected = [
                data
                for (at, _), (_, expires, data) in sorted(self.model.records.items())
                if at == place and expires > now
            ]
            for store in self.stores:
                assert store.records(place, now) == expected

    @rule()
    def commit(self) -> None:
        """Commit both."""
        for store in self.stores:
            store.commit()

    @invariant()
    def both_hold_what_the_model_holds(self) -> None:
        """Compare every page and packet."""
        for place in PLACES:
            expected = self.model.page(place, self.today)
            for store in self.stores:
                assert list(_pages(store, place, self.today)) == expected
        for row in self.model.rows:
            packet = row.packet
            for store in self.stores:
                held = store.get(row.place, packet.digest)
                assert held == packet.data
                assert store.current(row.place, packet.author, packet.case) == held


def _pages(store: Store, place: NodeId, today: int) -> Iterator[tuple[bytes, int]]:
    """Read everything, two digests at a time."""
    after = b""
    while page := store.page(place, after, 2, today):
        assert len(page) <= 2
        yield from page
        after = page[-1][0]


StoreMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStores = StoreMachine.TestCase


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> Store:
    return MemoryStore(CAPS) if request.param == "memory" else SqliteStore(":memory:", CAPS)


def test_a_flood_pushes_out_only_itself(store: Store) -> None:
    honest = [make_packet(0, 0)]
    for packet in honest:
        assert store.put(PLACES[0], packet, "hospital", DAY) is None
    for author in range(1, 40):
        store.put(PLACES[0], make_packet(author), "none", DAY)
    held = {digest for digest, _ in store.page(PLACES[0], b"", 10, DAY)}
    assert {packet.digest for packet in honest} <= held
    assert len(held) == CAPS.packets_per_key_max


def test_a_flood_over_many_keys_leaves_room_for_others(store: Store) -> None:
    for key in range(40):
        packet = make_packet(1, key=key)
        store.put(placement(packet.key), packet, "none", DAY)
    honest = make_packet(0, key=77)
    assert store.put(placement(honest.key), honest, "hospital", DAY) is None


def test_records_are_bounded_over_all_places(store: Store) -> None:
    kept = sum(store.put_record(make_record(make_identity(0), key)) is None for key in range(20))
    assert kept == CAPS.records_max
    assert store.expire(DAY, 10_000) == kept
    assert store.put_record(make_record(make_identity(0), 99)) is None


def test_an_expired_sequence_number_does_not_come_back(store: Store) -> None:
    assert store.put(PLACES[0], make_packet(seq=5, exp=DAY), "a", DAY) is None
    assert store.expire(DAY + 1, 0) == 1
    for seq in (4, 5):
        assert store.put(PLACES[0], make_packet(seq=seq), "a", DAY + 1) is not None
    assert store.put(PLACES[0], make_packet(seq=6), "a", DAY + 1) is None


def test_a_memory_store_forgets_places_with_nothing_in_them() -> None:
    store = MemoryStore(LIMITS)
    for key in range(50):
        store.put_record(make_record(make_identity(0), key, expires=1))
        store.put(placement(make_key(key)), make_packet(key=key, exp=DAY), "a", DAY)
    assert store.expire(DAY + 1, 2) == 100
    tables: tuple[Sized, ...] = (store._records, store._held, store._digests, store._by_digest)
    assert [len(table) for table in tables] == [0, 0, 0, 0]


def test_a_sqlite_store_remembers_everything_when_opened_again(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    first = SqliteStore(path, CAPS)
    first.put_record(make_record(make_identity(0)))
    for author in range(3):
        first.put(PLACES[0], make_packet(author), "none", DAY)
    before = first.page(PLACES[0], b"", 10, DAY)
    first.close()
    second = SqliteStore(path, CAPS)
    assert second.page(PLACES[0], b"", 10, DAY) == before
    assert len(second.records(PLACES[0], 0)) == 1
    assert (second._name_count, second._group_sizes["none"], second._record_count) == (3, 3, 1)
    second.close()


CHILD = """
import sys
from qisguard.identity.ids import placement
from qisguard.node.store import SqliteStore, StoreLimits
from qisguard.outcomes.packet import open_packet

store = SqliteStore(sys.argv[1], StoreLimits(4096, 1000))
for line in sys.stdin:
    packet = open_packet(bytes.fromhex(line))
    store.put(placement(packet.key), packet, "a", 20000)
    store.commit()
    print(packet.digest.hex(), flush=True)
"""


def test_what_sqlite_committed_survives_kill_9(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    packets = [make_packet(0, case) for case in range(60)]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdin
        assert child.stdout
        child.stdin.write("".join(packet.data.hex() + "\n" for packet in packets))
        child.stdin.flush()
        acknowledged = [child.stdout.readline().strip() for _ in range(30)]
        child.kill()
    store = SqliteStore(path, LIMITS)
    held = {digest.hex() for digest, _ in store.page(PLACES[0], b"", 100, DAY)}
    assert set(acknowledged) <= held
    store.close()
