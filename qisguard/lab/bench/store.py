"""Store: latest-wins upserts beside a bare loop of them, and many providers under one key.

Signatures are zeros, because checking them is not the store's work. A store is filled; then a part
of its rows is written again in random order, committing every ``BATCH``, for provider records (a
renewal) and for packets (a new version). The bare loop upserts rows of the same columns under the
same unique index, in a file with the store's own settings. One key: its providers are announced,
then read in pages of a datagram and of a stream.
"""

import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from qisguard.identity.ids import NodeId, node_id, placement, to_bytes
from qisguard.lab.bench.rows import Row, Tell
from qisguard.outcomes.packet import Body, OutcomePacket
from qisguard.store.record import ProviderRecord
from qisguard.store.sqlite import SqliteStore
from qisguard.store.sqlite_file import CACHE_SIZE_KIB, CHECKPOINT_PAGES
from qisguard.store.store import StoreLimits

ROWS = 1_000_000
UPSERTS = 200_000
PROVIDERS = 100_000
PAGES = (7, 1_000)
"""Records in one datagram, and in one read of somebody who streams."""
BATCH = 64
DAY = 20_000
NOW = 1_800_000_000
"""Unix time, so that numbers are as long as they will be."""
LIMITS = StoreLimits(1 << 30, 1_000, packets_max=1 << 30, records_max=1 << 30)
PLACES = 100
"""Places that the upserted rows are spread over."""
GROUPS = [f"net:10.{number}.7.0/24" for number in range(300)]


def measure(seed: int, tell: Tell) -> Sequence[Row]:
    """Return all rows."""
    numbers = Numbers(max(ROWS, PROVIDERS), seed)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="qisguard-") as name:
        folder = Path(name)
        for done, kind in enumerate(("provider records", "packets"), 1):
            rows += _upserts(folder, numbers, kind, seed)
            tell(kind, done, 3)
        rows += _one_key(folder, numbers)
        tell("one key", 3, 3)
    return rows


class Numbers:
    """Deterministic keys: the same for the store and for the bare loop."""

    def __init__(self, count: int, seed: int) -> None:
        rng = random.Random(seed)
        self.public = [rng.randbytes(32) for _ in range(count)]
        self.provider = [node_id(public) for public in self.public]
        self.places = [placement(bytes([number])) for number in range(PLACES)]

    def record(self, number: int, seq: int, places: Sequence[NodeId]) -> ProviderRecord:
        """Return provider record ``number`` in its true encoding, with a signature of zeros."""
        place, expires = places[number % len(places)], NOW + 172_800 + 1_000 * seq + number // 100
        data = b"".join(
            (
                b"\x95\x01\xc4\x20",
                to_bytes(place),
                b"\xc4\x20",
                self.public[number],
                b"\xce",
                expires.to_bytes(4, "big"),
                b"\xce",
                (NOW + seq).to_bytes(4, "big"),
                bytes(64),
            )
        )
        return ProviderRecord(place, self.provider[number], expires, NOW + seq, data)

    def packet(self, number: int, seq: int) -> OutcomePacket:
        """Return packet ``number`` of 400 bytes: stores read the fields, never the text."""
        body = Body(1, "", "", "", "", "", seq, DAY, DAY + 100 + seq)
        author, case = self.public[number % 500], number.to_bytes(16, "big")
        data = b"%16d %16d" % (number, seq) + bytes(367)
        return OutcomePacket(body, bytes(32), bytes(32), case, author, data)


def _timed(act: Callable[[], object]) -> float:
    """Return how many seconds ``act`` takes, of the wall clock: a commit waits for the disk."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _batches(
    order: Iterable[int], put: Callable[[int], object], commit: Callable[[], None]
) -> None:
    """Put everything, committing every ``BATCH``."""
    for at, number in enumerate(order, 1):
        put(number)
        if at % BATCH == 0:
            commit()
    commit()


class Bare:
    """The least that a loop of upserts can be: one table, one unique index, one statement."""

    def __init__(self, path: str, columns: str, key: str) -> None:
        self._db = db = sqlite3.connect(path, isolation_level=None)
        for setting in (
            "locking_mode = exclusive",
            "journal_mode = wal",
            "synchronous = full",
            f"cache_size = -{CACHE_SIZE_KIB}",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        ):
            db.execute(f"pragma {setting}")
        names = [column.split()[0] for column in columns.split(",")]
        others = ", ".join(f"{n} = excluded.{n}" for n in names if n not in key.split(", "))
        db.execute(f"create table rows (id integer primary key, {columns})")
        db.execute(f"create unique index rows_key on rows ({key})")
        self._upsert = (
            f"insert into rows ({', '.join(names)}) values ({', '.join('?' for _ in names)})"
            f" on conflict ({key}) do update set {others}"
        )
        db.execute("begin immediate")

    def put(self, values: Sequence[bytes | int]) -> None:
        """Upsert one row."""
        self._db.execute(self._upsert, values)

    def commit(self) -> None:
        """Commit and begin again."""
        self._db.execute("commit")
        self._db.execute("begin immediate")

    def close(self) -> None:
        """Close the file."""
        self._db.execute("commit")
        self._db.close()


def _upserts(folder: Path, numbers: Numbers, kind: str, seed: int) -> list[Row]:
    """Return the rate of rewriting rows of a full store, beside that of the bare loop."""
    is_record = kind != "packets"
    store = SqliteStore(str(folder / f"{kind}.store"), LIMITS)
    bare = Bare(
        str(folder / f"{kind}.bare"),
        "place integer, rank integer, expires integer, seq integer, data blob"
        if is_record
        else "place integer, author blob, name blob, seq integer, digest blob, data blob",
        "place, rank" if is_record else "place, author, name",
    )

    def put(number: int, seq: int) -> None:
        group = GROUPS[number % len(GROUPS)]
        if is_record:
            store.put_record(numbers.record(number, seq, numbers.places), group, NOW)
        else:
            store.put(numbers.places[number % PLACES], numbers.packet(number, seq), group, DAY)

    def put_bare(number: int, seq: int) -> None:
        if is_record:
            record = numbers.record(number, seq, numbers.places)
            rank = (record.provider >> 192) - (1 << 63)
            bare.put((number % PLACES, rank, record.expires, seq, record.data[36:]))
        else:
            p = numbers.packet(number, seq)
            bare.put((number % PLACES, p.author, p.case, seq, p.digest, p.data))

    def make(number: int, seq: int) -> None:
        if is_record:
            numbers.record(number, seq, numbers.places)
        else:
            numbers.packet(number, seq)

    _batches(range(ROWS), lambda n: put_bare(n, 1), bare.commit)
    _batches(range(ROWS), lambda n: put(n, 1), store.commit)
    rng = random.Random(seed)
    order = [rng.randrange(ROWS) for _ in range(UPSERTS)]
    making = _timed(lambda: _batches(order, lambda n: make(n, 2), lambda: None))
    alone = _timed(lambda: _batches(order, lambda n: put_bare(n, 2), bare.commit)) - making
    whole = _timed(lambda: _batches(order, lambda n: put(n, 2), store.commit)) - making
    store.close()
    bare.close()
    name = f"{kind}: upserts at random among {ROWS:,} rows"
    return [
        Row(name, UPSERTS / whole, "rows/s", 1, "bare upserts", UPSERTS / alone, least=50_000),
        Row(
            f"{kind}: bytes a row",
            (folder / f"{kind}.store").stat().st_size / ROWS,
            "bytes",
            baseline="bare upserts",
            baseline_value=(folder / f"{kind}.bare").stat().st_size / ROWS,
        ),
    ]


def _one_key(folder: Path, numbers: Numbers) -> list[Row]:
    """Return what many providers under one key cost to announce and to read."""
    path = folder / "key.store"
    store = SqliteStore(str(path), LIMITS)
    place = [placement(b"one key")]
    announced = [numbers.record(number, 1, place) for number in range(PROVIDERS)]
    taken = _timed(
        lambda: _batches(
            range(PROVIDERS),
            lambda n: store.put_record(announced[n], GROUPS[n % len(GROUPS)], NOW),
            store.commit,
        )
    )
    name = f"one key, {PROVIDERS:,} providers"
    rows = [Row(f"{name}: announced", PROVIDERS / taken, "records/s")]
    for size in PAGES:
        pages = _read(store, place[0], size)
        of = f"{name}: pages of {size:,}"
        most = 0.5 if size == max(PAGES) else None
        rows += [
            Row(f"{of}: all of them", sum(pages), "s", len(pages), most=most),
            Row(f"{of}: p50", 1e3 * pages[len(pages) // 2], "ms", len(pages)),
            Row(f"{of}: p99", 1e3 * pages[len(pages) * 99 // 100], "ms", len(pages), most=5.0),
        ]
    store.close()
    return [*rows, Row(f"{name}: file", path.stat().st_size / 1e6, "MB", most=20.0)]


def _read(store: SqliteStore, place: NodeId, size: int) -> list[float]:
    """Return the seconds of each page, ascending; every provider is read."""
    after, found, pages = b"", 0, []
    while True:
        began = time.perf_counter()
        page = store.records(place, after, size, NOW)
        pages.append(time.perf_counter() - began)
        if not page:
            break
        found += len(page)
        after = to_bytes(node_id(page[-1][38:70]))
    if found != PROVIDERS:
        raise AssertionError(f"{found} of {PROVIDERS} read")
    return sorted(pages)
