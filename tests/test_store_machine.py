"""Every operation of both stores against one slow model, with crashes and reopenings."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qisguard.identity.ids import placement
from qisguard.outcomes.packet import OutcomePacket, sign_packet
from qisguard.store.memory import MemoryStore
from qisguard.store.record import IndexRecord, ProviderRecord, sign_index
from qisguard.store.sqlite import SqliteStore
from qisguard.store.store import Store, StoreLimits
from tests.builders import (
    DAY,
    NETWORK,
    key_pair,
    make_identity,
    make_key,
    make_packet,
    make_record,
)
from tests.store_model import Model

CAPS = StoreLimits(
    packets_per_key_max=4,
    sequence_jump_max=5,
    packets_max=11,
    records_max=9,
    providers_per_key_max=5,
    records_per_provider_max=3,
    index_keys_max=5,
    index_providers_max=3,
    evidence_max=3,
    sequence_memory_days=2,
)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Syncing a real disk thousands of times would show nothing here: no power is cut."""
PLACES = [placement(make_key(key)) for key in range(3)]
KEYS = [bytes([prefix, number]) + bytes(30) for prefix in (7, 8) for number in range(3)]
GROUPS = st.sampled_from(["clinic", "net:10.1.2.0/24", "ward"])
RECORDS = st.tuples(
    st.integers(0, 2), st.integers(0, 6), st.integers(1, 3), st.integers(0, 9), GROUPS
)
ANNOUNCED = st.tuples(
    st.integers(0, 5), st.integers(0, 6), st.integers(1, 3), st.integers(0, 9), GROUPS
)
"""Place or key, provider, sequence, seconds until expiry, group."""
PUTS = st.tuples(
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(1, 9),
    st.integers(0, 2),
    st.integers(0, 4),
    GROUPS,
)
"""Author, case, sequence, time (0 for a tombstone), days until expiry, group."""


@cache
def record_of(place: int, provider: int, seq: int, expires: int) -> ProviderRecord:
    return make_record(make_identity(provider), place, seq=seq, expires=expires)


@cache
def index_of(key: int, provider: int, seq: int, expires: int) -> IndexRecord:
    return sign_index(KEYS[key], make_identity(provider).key, expires, seq, NETWORK.id)


@cache
def packet_of(key: int, author: int, case: int, seq: int, time: int, exp: int) -> OutcomePacket:
    """Return a packet, a tombstone where the time is 0."""
    packet = make_packet(author, case, seq, key=key, time=time, exp=exp)
    if time:
        return packet
    body = packet.body
    gone = type(body)(
        1, body.net, body.tpl, body.key, body.case, body.author, seq, body.day, exp, gone=True
    )
    return sign_packet(gone, key_pair(f"author-{author}"))


class StoreMachine(RuleBasedStateMachine):
    """Two pairs of a store and its model; the one on disk may crash and go back to its commit."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="qisguard-", dir=MEMORY))
        self.today, self.now = DAY, 0
        self.disk = SqliteStore(str(self.folder / "store"), CAPS)
        self.disk_model = self.committed = Model(CAPS)
        self.committed = self.disk_model.copy()
        self.memory, self.memory_model = MemoryStore(CAPS), Model(CAPS)

    def teardown(self) -> None:
        """Remove the file."""
        self.disk.close()
        shutil.rmtree(self.folder)

    @property
    def pairs(self) -> list[tuple[Store, Model]]:
        """Return each store with its model."""
        return [(self.memory, self.memory_model), (self.disk, self.disk_model)]

    @rule(records=st.lists(RECORDS, min_size=1, max_size=8))
    def put_records(self, records: list[tuple[int, int, int, int, str]]) -> None:
        """Announce providers."""
        for place, provider, seq, seconds, group in records:
            record = record_of(place, provider, seq, self.now + seconds)
            for store, model in self.pairs:
                expected = model.put_record(record, group, self.now)
                assert store.put_record(record, group, self.now) == expected

    @rule(announced=st.lists(ANNOUNCED, min_size=1, max_size=8))
    def put_keys(self, announced: list[tuple[int, int, int, int, str]]) -> None:
        """Announce keys of the index."""
        for key, provider, seq, seconds, group in announced:
            record = index_of(key, provider, seq, self.now + seconds)
            for store, model in self.pairs:
                expected = model.put_key(record, group, self.now)
                assert store.put_key(record, group, self.now) == expected

    @rule(key=st.integers(0, 2), puts=st.lists(PUTS, min_size=1, max_size=8))
    def put(self, key: int, puts: list[tuple[int, int, int, int, int, str]]) -> None:
        """Put packets."""
        for author, case, seq, time, days, group in puts:
            packet = packet_of(key, author, case, seq, time, DAY + days)
            for store, model in self.pairs:
                expected = model.put(PLACES[key], packet, group, self.today)
                assert store.put(PLACES[key], packet, group, self.today) == expected

    @rule(key=st.integers(0, 2), put=PUTS)
    def keep_own(self, key: int, put: tuple[int, int, int, int, int, str]) -> None:
        """Publish something ourselves."""
        author, case, seq, time, days, _ = put
        packet = packet_of(key, author, case, seq, time, DAY + days)
        for store, model in self.pairs:
            model.keep_own(packet)
            store.keep_own(packet)

    @rule(days=st.integers(0, 2), seconds=st.integers(0, 4))
    def expire(self, days: int, seconds: int) -> None:
        """Let days and seconds pass, and forget."""
        self.today, self.now = self.today + days, self.now + seconds
        for store, model in self.pairs:
            assert store.expire(self.today, self.now) == model.expire(self.today, self.now)

    @rule(seconds=st.integers(0, 3))
    def wait(self, seconds: int) -> None:
        """Let time pass; what expired is still there until somebody says so."""
        self.now += seconds

    @rule()
    def commit(self) -> None:
        """Commit both."""
        self.disk.commit()
        self.memory.commit()
        self.committed = self.disk_model.copy()

    @rule()
    def close_and_open(self) -> None:
        """Close the file, which commits, and open it again."""
        self.disk.close()
        self.committed = self.disk_model.copy()
        self._open()

    @rule()
    def crash_and_open(self) -> None:
        """Lose everything since the last commit."""
        self.disk._file.abandon()
        self._open()

    def _open(self) -> None:
        self.disk = SqliteStore(str(self.folder / "store"), CAPS)
        self.disk_model = self.committed.copy()
        self.disk_model.refused_pairs = 0

    @invariant()
    def every_answer_is_the_model_s(self) -> None:
        """Compare everything that can be read."""
        for store, model in self.pairs:
            assert store.counts() == model.counts()
            assert store.evidence() == model.evidence()
            assert store.places(b"", 9) == model.places(b"", 9)
            assert store.own_keys(b"", 9) == model.own_keys(b"", 9)
            for key, place in enumerate(PLACES):
                assert store.own(make_key(key), self.today) == model.own(make_key(key), self.today)
                pages = store.page(place, b"", 9, self.today)
                assert pages == model.page(place, b"", 9, self.today)
                assert store.records(place, b"", 9, self.now) == model.records(
                    place, b"", 9, self.now
                )
                for _, packet in model.held(place):
                    assert store.get(place, packet.digest) == packet.data
                    assert store.current(place, packet.author, packet.case) == packet.data
            for prefix in (7, 8):
                assert store.keys(prefix, b"", 9, self.now) == model.keys(prefix, b"", 9, self.now)

    @rule(after=st.binary(max_size=32), limit=st.integers(1, 3), case=st.integers(0, 2))
    def read_pages(self, after: bytes, limit: int, case: int) -> None:
        """Read everything page by page, from anywhere."""
        for store, model in self.pairs:
            for place in PLACES:
                start = after
                while records := model.records(place, start, limit, self.now):
                    assert store.records(place, start, limit, self.now) == records
                    opened = [a for a in model.announced if a.record.data == records[-1]]
                    start = opened[0].record.provider.to_bytes(32, "big")
                assert store.records(place, start, limit, self.now) == []
                start = after
                while entries := model.page(place, start, limit, self.today):
                    assert store.page(place, start, limit, self.today) == entries
                    start = entries[-1][0]
                author = key_pair("author-1").public
                held = model.current(place, author, case.to_bytes(16, "big"))
                assert store.current(place, author, case.to_bytes(16, "big")) == held
            assert store.places(after, limit) == model.places(after, limit)
            assert store.own_keys(after, limit) == model.own_keys(after, limit)
            short = bytes([7]) + after[:1]
            assert store.keys(7, short, limit, self.now) == model.keys(7, short, limit, self.now)


StoreMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestStores = StoreMachine.TestCase
