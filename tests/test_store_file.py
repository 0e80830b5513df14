"""The file of a SQLite store: what is durable, and what is said when it cannot be."""

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qisguard.errors import StoreError
from qisguard.identity.ids import placement
from qisguard.store.sqlite import SqliteStore
from tests.builders import DAY, LIMITS, draw, make_identity, make_key, make_packet, make_record

PLACE = placement(make_key(0))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@contextmanager
def somebody_else() -> Iterator[None]:
    """Act as a user without rights here; root may write everywhere."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let this process write no file beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def every_call(store: SqliteStore) -> dict[str, Callable[[], object]]:
    packet, record = make_packet(), make_record(make_identity(0))
    return {
        "put_record": lambda: store.put_record(record, "a", 0),
        "put_record expired": lambda: store.put_record(record, "a", 9_999),
        "records": lambda: store.records(PLACE, b"", 1, 0),
        "keys": lambda: store.keys(7, b"", 1, 0),
        "put": lambda: store.put(PLACE, packet, "a", DAY),
        "current": lambda: store.current(PLACE, packet.author, packet.case),
        "page": lambda: store.page(PLACE, b"", 1, DAY),
        "get": lambda: store.get(PLACE, packet.digest),
        "places": lambda: store.places(b"", 1),
        "keep_own": lambda: store.keep_own(packet),
        "own_keys": lambda: store.own_keys(b"", 1),
        "own": lambda: store.own(packet.key, DAY),
        "evidence": lambda: store.evidence(),
        "counts": lambda: store.counts(),
        "expire": lambda: store.expire(DAY, 0),
        "commit": lambda: store.commit(),
    }


def fill(store: SqliteStore, count: int) -> None:
    for case in range(count):
        store.put(PLACE, make_packet(0, case), "a", DAY)


def test_a_store_remembers_everything_when_opened_again(path: str) -> None:
    first = SqliteStore(path, LIMITS)
    first.put_record(make_record(make_identity(0)), "net:1", 0)
    fill(first, 3)
    first.keep_own(make_packet())
    before = (first.page(PLACE, b"", 10, DAY), first.counts())
    first.close()
    second = SqliteStore(path, LIMITS)
    assert (second.page(PLACE, b"", 10, DAY), second.counts()) == before
    second.close()


@pytest.mark.rule("N-31")
def test_nothing_is_durable_before_a_commit_and_everything_after(path: str) -> None:
    store = SqliteStore(path, LIMITS)
    fill(store, 2)
    store.commit()
    fill(store, 5)
    store._file.abandon()
    again = SqliteStore(path, LIMITS)
    assert again.counts()["packets"] == 2
    again.close()


def test_a_commit_is_synced_to_the_disk(path: str) -> None:
    """SQLite's own words: 2 is FULL, which syncs the log at each commit."""
    store = SqliteStore(path, LIMITS)
    assert store._file.one("pragma synchronous") == (2,)
    assert store._file.one("pragma journal_mode") == ("wal",)
    store.close()


def test_a_second_opener_is_told_that_the_file_is_in_use(path: str) -> None:
    store = SqliteStore(path, LIMITS)
    with pytest.raises(StoreError, match=r"store: database is locked: only one process"):
        SqliteStore(path, LIMITS)
    script = (
        "import sys; from qisguard.store.sqlite import SqliteStore as S;"
        "from qisguard.store.store import StoreLimits as L; S(sys.argv[1], L(1, 1))"
    )
    other = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert "StoreError" in other.stderr
    assert "only one process may have it open" in other.stderr
    fill(store, 1)
    store.close()
    SqliteStore(path, LIMITS).close()


def test_a_folder_without_rights_or_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"missing/store: .*check that its folder exists"):
        SqliteStore(str(tmp_path / "missing" / "store"), LIMITS)
    tmp_path.chmod(0o555)
    with somebody_else(), pytest.raises(StoreError, match="this user may write"):
        SqliteStore(str(tmp_path / "store"), LIMITS)
    tmp_path.chmod(0o755)


def test_a_file_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path
    path = folder / "store"
    SqliteStore(str(path), LIMITS).close()
    path.chmod(0o444)
    for above in (folder, *list(folder.parents)[:3]):  # so that a stranger gets as far as here
        if above.stat().st_uid == os.geteuid() and above != Path("/tmp"):
            above.chmod(above.stat().st_mode | 0o111)
    with somebody_else(), pytest.raises(StoreError, match="this user may write"):
        SqliteStore(str(path), LIMITS)


def test_another_application_s_file_is_left_alone(path: str) -> None:
    db = sqlite3.connect(path)
    db.execute("create table bookmarks (url text)")
    db.close()
    before = Path(path).read_bytes()
    with pytest.raises(StoreError, match=r"store: a database of another application \(id 0"):
        SqliteStore(path, LIMITS)
    assert Path(path).read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(path: str) -> None:
    Path(path).write_bytes(b"a letter to somebody" * 500)
    with pytest.raises(StoreError, match="not a database: this is not a store"):
        SqliteStore(path, LIMITS)
    assert Path(path).read_bytes() == b"a letter to somebody" * 500


def test_a_newer_schema_is_refused_with_what_to_do(path: str) -> None:
    SqliteStore(path, LIMITS).close()
    db = sqlite3.connect(path)
    db.execute("pragma user_version = 2")
    db.close()
    with pytest.raises(StoreError, match=r"newer qisguard \(schema 2, this one reads 1\): start"):
        SqliteStore(path, LIMITS)


def test_a_store_of_the_version_before_schemas_is_refused_with_what_to_do(path: str) -> None:
    db = sqlite3.connect(path)
    for table in ("packets", "highest", "records"):
        db.execute(f"create table {table} (place blob not null)")
    db.close()
    with pytest.raises(StoreError, match=r"written by qisguard 0.1.0.*move it away"):
        SqliteStore(path, LIMITS)


def test_a_full_file_breaks_the_store_and_loses_nothing_that_was_committed(path: str) -> None:
    store = SqliteStore(path, LIMITS)
    fill(store, 20)
    store.commit()
    (pages,) = store._file.one("pragma page_count") or (0,)
    store._file.one(f"pragma max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="disk is full: make room"):
        fill(store, 200)
    for name, call in every_call(store).items():
        with pytest.raises(StoreError, match="disk is full"):
            pytest.fail(f"{name} returned {call()!r}")
    store.close()
    again = SqliteStore(path, LIMITS)
    assert again.counts()["packets"] == 20
    fill(again, 30)
    again.close()


def test_a_disk_that_refuses_a_commit_breaks_the_store(path: str) -> None:
    store = SqliteStore(path, LIMITS)
    fill(store, 20)
    store.commit()
    for case in range(20, 400):
        store.put(PLACE, make_packet(0, case), "a", DAY)  # within the cache: nothing written yet
    log = Path(f"{path}-wal").stat().st_size
    with disk_of(log + 10_000), pytest.raises(StoreError, match="start again"):
        store.commit()
    with pytest.raises(StoreError, match="start again"):
        store.commit()
    with pytest.raises(StoreError, match="start again"):
        store.counts()
    store.close()
    again = SqliteStore(path, LIMITS)
    assert again.counts()["packets"] == 20
    again.close()


def test_a_store_that_was_closed_says_so(path: str) -> None:
    store = SqliteStore(path, LIMITS)
    store.close()
    for name, call in every_call(store).items():
        with pytest.raises(StoreError, match="closed"):
            pytest.fail(f"{name} returned {call()!r}")
    store.close()


def test_a_damaged_file_gives_answers_or_a_store_error_and_nothing_else(path: str) -> None:
    store = SqliteStore(path, LIMITS)
    for number in range(40):
        store.put_record(make_record(make_identity(number)), f"net:{number % 3}", 0)
    fill(store, 40)
    store.close()
    clean = Path(path).read_bytes()
    rng = draw("damage")
    refused = 0
    for _ in range(60):
        at = int.from_bytes(rng(4), "big") % len(clean)
        damaged = clean[:at] + rng(24) + clean[at + 24 :]
        Path(path).write_bytes(damaged)
        for left in (f"{path}-wal", f"{path}-shm"):
            Path(left).unlink(missing_ok=True)
        try:
            opened = SqliteStore(path, LIMITS)
        except StoreError:
            refused += 1
            continue
        try:
            for call in every_call(opened).values():
                call()
            opened.expire(DAY + 500, 99_999)
        except StoreError:
            refused += 1
        opened.close()
    assert refused > 3
