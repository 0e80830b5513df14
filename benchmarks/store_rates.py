"""What the SQLite store costs, as ratios against a bare loop of sqlite3 upserts in the same run.

    uv run python benchmarks/store_rates.py --json

Two workloads, with signatures of zeros, because checking them is not the store's work:

- *upserts*: every row of a full store is written again, committing every 64, once in the order in
  which the rows came and once in random order; for provider records (a renewal) and for packets (a
  new version). The bare loop upserts rows of the same columns under the same unique index.
- *one key*: many providers under one key are announced, then read in pages of 7 and of 1,000.

The file is opened with the store's own settings in both cases. Seconds are of the wall clock;
CPU seconds leave out waiting for the disk and for other processes.
"""

import argparse
import json
import platform
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from qisguard.identity.ids import NodeId, node_id, placement, to_bytes
from qisguard.outcomes.packet import Body, OutcomePacket
from qisguard.store.record import ProviderRecord
from qisguard.store.sqlite import SqliteStore
from qisguard.store.sqlite_file import CACHE_SIZE_KIB, CHECKPOINT_PAGES
from qisguard.store.store import StoreLimits

BATCH = 64
DAY = 20_000
NOW = 1_800_000_000
"""Unix time, so that numbers are as long as they will be."""
LIMITS = StoreLimits(1 << 30, 1_000, packets_max=1 << 30, records_max=1 << 30)
PLACES = 100
"""Places that the upserted rows are spread over."""
GROUPS = [f"net:10.{number}.7.0/24" for number in range(300)]


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


def timed(act: Callable[[], object]) -> tuple[float, float]:
    """Return how many seconds ``act`` takes, of the wall clock and of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - began, time.process_time() - worked


def batches(order: Iterable[int], put: Callable[[int], object], commit: Callable[[], None]) -> None:
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


def upserts(folder: Path, numbers: Numbers, count: int, tries: int, kind: str) -> dict[str, float]:
    """Return rates of rewriting ``tries`` of ``count`` rows, of the store and of the bare loop."""
    is_record = kind == "records"
    store = SqliteStore(str(folder / f"{kind}.store"), LIMITS)
    bare = Bare(
        str(folder / f"{kind}.bare"),
        "place integer, rank integer, expires integer, seq integer, data blob"
        if is_record
        else "place integer, author blob, name blob, seq integer, digest blob, data blob",
        "place, rank" if is_record else "place, author, name",
    )

    def put(number: int, seq: int) -> None:
        if is_record:
            store.put_record(numbers.record(number, seq, numbers.places), GROUPS[number % 300], NOW)
        else:
            place = numbers.places[number % PLACES]
            store.put(place, numbers.packet(number, seq), GROUPS[number % 300], DAY)

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

    rng = random.Random(5)
    rates: dict[str, float] = {}
    batches(range(count), lambda n: put_bare(n, 1), bare.commit)
    making = timed(lambda: [make(n, 1) for n in range(count)])
    whole = timed(lambda: batches(range(count), lambda n: put(n, 1), store.commit))
    rates["inserts/s"] = count / (whole[0] - making[0])
    rates["inserts/CPU s"] = count / (whole[1] - making[1])
    orders = {"in order": range(tries), "at random": [rng.randrange(count) for _ in range(tries)]}
    for seq, (name, order) in enumerate(orders.items(), 2):
        making = timed(lambda o=order, s=seq: [make(n, s) for n in o])
        alone = timed(lambda o=order, s=seq: batches(o, lambda n: put_bare(n, s), bare.commit))
        whole = timed(lambda o=order, s=seq: batches(o, lambda n: put(n, s), store.commit))
        for clock, unit in enumerate(("s", "CPU s")):
            ours, theirs = whole[clock] - making[clock], alone[clock] - making[clock]
            rates[f"upserts/{unit} {name}"] = tries / ours
            rates[f"bare upserts/{unit} {name}"] = tries / theirs
            rates[f"store / bare, {unit} {name}"] = theirs / ours
    store.close()
    bare.close()
    rates["bytes/row"] = (folder / f"{kind}.store").stat().st_size / count
    path = str(folder / f"{kind}.store")
    opened: list[SqliteStore] = []
    rates["CPU seconds to open"] = timed(lambda: opened.append(SqliteStore(path, LIMITS)))[1]
    opened[0].close()
    return rates


def one_key(folder: Path, numbers: Numbers, count: int) -> dict[str, float]:
    """Return what ``count`` providers under one key cost to announce and to read."""
    path = folder / "key.store"
    store = SqliteStore(str(path), LIMITS)
    place = [placement(b"one key")]
    announced = [numbers.record(number, 1, place) for number in range(count)]
    taken = timed(
        lambda: batches(
            range(count),
            lambda n: store.put_record(announced[n], GROUPS[n % 300], NOW),
            store.commit,
        )
    )
    rates = {"announced/s": count / taken[0], "announced/CPU s": count / taken[1]}
    for size in (7, 1_000):
        after, found, pages = b"", 0, []
        worked = time.process_time()
        while True:
            began = time.perf_counter()
            page = store.records(place[0], after, size, NOW)
            pages.append(time.perf_counter() - began)
            if not page:
                break
            found += len(page)
            after = to_bytes(node_id(page[-1][38:70]))
        if found != count:
            raise AssertionError(f"{found} of {count} read")
        pages.sort()
        rates[f"seconds to read by pages of {size}"] = sum(pages)
        rates[f"CPU seconds to read by pages of {size}"] = time.process_time() - worked
        rates[f"page of {size} p50 ms"] = 1e3 * pages[len(pages) // 2]
        rates[f"page of {size} p99 ms"] = 1e3 * pages[len(pages) * 99 // 100]
    store.close()
    rates["MB"] = path.stat().st_size / 1e6
    db = sqlite3.connect(folder / "records.bare")
    bare = timed(lambda: db.execute("select data from rows limit ?", (count,)).fetchall())
    rates["CPU seconds to read as many rows barely"] = bare[1]
    db.close()
    return rates


def main() -> int:
    """Measure everything; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--upserts", type=int, default=200_000)
    parser.add_argument("--providers", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to make the files; they are removed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    numbers = Numbers(max(arguments.rows, arguments.providers), arguments.seed)
    result: dict[str, object] = {
        "rows": arguments.rows,
        "upserts": arguments.upserts,
        "providers": arguments.providers,
        "sqlite": sqlite3.sqlite_version,
        "python": platform.python_version(),
    }
    with tempfile.TemporaryDirectory(prefix="qisguard-", dir=arguments.folder) as name:
        folder = Path(name)
        for kind in ("records", "packets"):
            result[kind] = upserts(folder, numbers, arguments.rows, arguments.upserts, kind)
            print(kind, result[kind], file=sys.stderr)
        result["one key"] = one_key(folder, numbers, arguments.providers)
    if arguments.json:
        print(json.dumps(result))
        return 0
    for part, rates in result.items():
        if isinstance(rates, dict):
            for rate, value in rates.items():
                print(f"{part:8} {rate:40} {value:12,.2f}")
        else:
            print(f"{part:8} {rates}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
