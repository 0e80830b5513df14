"""The archive remembers sums that latest-wins forgets, within bounds, the same in any order."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.identity.keys import KeyPair
from qisguard.identity.roster import Issuer, Roster
from qisguard.outcomes.archive import Archive, Past, Row, agreed, merged, settled
from qisguard.outcomes.packet import Body, Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.store.sqlite_file import SqliteFile
from tests.packets import ARMS, ENROLLED, NETWORK, PATIENT, TODAY, sign, template

OWNER = KeyPair.from_seed(b"o" * 32)
STRANGER = KeyPair.from_seed(b"s" * 32)
ROSTER = Roster(NETWORK, 1, (Issuer("hospital", ENROLLED, (OWNER.public,), ()),))
KEY = template().key(PATIENT.values)
HORIZON = 730


@pytest.fixture
def file(tmp_path: Path) -> SqliteFile:
    return SqliteFile(str(tmp_path / "archive.db"))


def case(number: int) -> bytes:
    return number.to_bytes(16, "big")


def note(
    archive: Archive, *versions: OutcomePacket, day: int = TODAY, held: OutcomePacket | None = None
) -> None:
    for version in versions:
        archive.note(version, held, ROSTER, day, HORIZON)
        held = version


def everything(archive: Archive) -> list[Row]:
    return archive.rows([KEY], 0, TODAY + 9_999)


@pytest.mark.parametrize(
    ("outcome", "known"),
    [
        (Outcome.after(730, 1), 0.0),
        (Outcome.after(731, 1), 1.0),
        (Outcome.after(730, 0), 1.0),
        (Outcome.after(729, 0), None),
        (Outcome.binary(True), 1.0),
        (Outcome.numeric(7.25, "mg/dl"), 7.25),
    ],
)
def test_an_outcome_is_settled_when_its_state_at_the_horizon_is_known(
    outcome: Outcome, known: float | None
) -> None:
    body = packet_body(
        network=NETWORK,
        template="t/1",
        key=KEY,
        case=case(1),
        author=OWNER.public,
        seq=1,
        day=TODAY,
        exp=TODAY,
        arm="hormone",
        outcome=outcome,
        feat={},
    )
    assert settled(body, HORIZON) == known


def test_a_day_holds_the_sums_of_what_arrived(file: SqliteFile) -> None:
    archive = Archive(file)
    note(archive, sign(OWNER, case(1), time=100, event=1))
    note(archive, sign(OWNER, case(2), time=900))
    note(archive, sign(OWNER, case(3), time=50))
    note(archive, sign(STRANGER, case(1), time=900, arm="no-hormone"), day=TODAY + 1)
    first, second = everything(archive)
    assert first == Row(TODAY, "hospital", "hormone", KEY, 3, 2, 1.0, 1.0, 100 + 730 + 50)
    assert first.deaths == 1
    assert second == Row(TODAY + 1, "none", "no-hormone", KEY, 1, 1, 1.0, 1.0, 730)


def test_a_case_counts_once_and_its_outcome_when_it_is_first_known(file: SqliteFile) -> None:
    archive = Archive(file)
    versions = [
        sign(OWNER, case(1), time=100, seq=1),
        sign(OWNER, case(1), time=400, seq=2),
        sign(OWNER, case(1), time=500, event=1, seq=3),
        sign(OWNER, case(1), time=900, seq=4),
    ]
    for day, version in enumerate(versions):
        note(archive, version, day=TODAY + day, held=versions[day - 1] if day else None)
    rows = everything(archive)
    assert [row.cases for row in rows] == [1, 0, 0, 0]
    assert [row.known for row in rows] == [0, 0, 1, 0]
    assert [row.person_days for row in rows] == [100, 300, 100, 230]
    assert [row.revised for row in rows] == [0, 0, 0, 1]
    assert rows[2].deaths == 1


def test_a_past_day_never_changes_even_when_the_clock_goes_back(file: SqliteFile) -> None:
    archive = Archive(file)
    note(archive, sign(OWNER, case(1)), day=TODAY)
    before = everything(archive)
    note(archive, sign(OWNER, case(2)), day=TODAY + 1)
    note(archive, sign(OWNER, case(3)), day=TODAY - 5)
    after = everything(archive)
    assert after[:1] == before
    assert [(row.day, row.cases) for row in after] == [(TODAY, 1), (TODAY + 1, 2)]


def test_what_was_committed_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = str(tmp_path / "archive.db")
    file = SqliteFile(path)
    archive = Archive(file, daily_rows_max=1)
    note(archive, sign(OWNER, case(1)))
    file.close()
    again = Archive(SqliteFile(path), daily_rows_max=1)
    note(again, sign(OWNER, case(2)))
    note(again, sign(OWNER, case(3), arm="no-hormone"))
    assert [row.cases for row in everything(again)] == [2]
    assert again.refused == 1


def test_an_issuer_has_so_many_rows_a_day_and_others_keep_theirs(file: SqliteFile) -> None:
    archive = Archive(file, daily_rows_max=1)
    note(archive, sign(STRANGER, case(1), arm="no-hormone"))
    note(archive, sign(STRANGER, case(2), arm="hormone"))
    note(archive, sign(OWNER, case(1), arm="hormone"))
    assert [(row.issuer, row.arm) for row in everything(archive)] == [
        ("hospital", "hormone"),
        ("none", "no-hormone"),
    ]
    assert archive.refused == 1
    note(archive, sign(STRANGER, case(3), arm="hormone"), day=TODAY + 1)
    assert archive.refused == 1


def test_a_full_archive_forgets_its_oldest_day(file: SqliteFile) -> None:
    archive = Archive(file, rows_max=3)
    for day in range(6):
        note(archive, sign(OWNER, case(day)), day=TODAY + day)
    assert [row.day for row in everything(archive)] == [TODAY + 3, TODAY + 4, TODAY + 5]


def test_a_tombstone_says_nothing_and_a_returned_case_was_counted(file: SqliteFile) -> None:
    archive = Archive(file)
    alive = sign(OWNER, case(1), seq=1)
    note(archive, alive, tombstone_of(alive.body, 2), sign(OWNER, case(1), seq=3))
    assert [(row.cases, row.known) for row in everything(archive)] == [(1, 1)]


def tombstone_of(live: Body, seq: int) -> OutcomePacket:
    names = {name: getattr(live, name) for name in ("v", "net", "tpl", "key", "case", "author")}
    return sign_packet(Body(**names, seq=seq, day=TODAY, exp=TODAY + 9, gone=True), OWNER)


cells = st.builds(
    Row,
    day=st.integers(1, 3),
    issuer=st.sampled_from(["a", "b"]),
    arm=st.sampled_from(ARMS),
    key=st.sampled_from([b"k" * 32, b"l" * 32]),
    cases=st.integers(0, 9),
    known=st.integers(1, 9),
    total=st.integers(0, 9).map(float),
)
rows = st.lists(cells, max_size=12)


@settings(max_examples=50, deadline=None)
@given(one=rows, two=rows, shuffle=st.randoms(use_true_random=False))
def test_merging_is_the_same_in_any_order_and_in_steps(
    one: list[Row], two: list[Row], shuffle: random.Random
) -> None:
    together = merged([*one, *two])
    mixed = [*one, *two]
    shuffle.shuffle(mixed)
    assert merged(mixed) == together == merged([*merged(two), *merged(one)])
    assert sum(row.known for row in together) == sum(row.known for row in mixed)


@settings(max_examples=50, deadline=None)
@given(honest=rows, lies=st.lists(rows, min_size=2, max_size=2))
def test_two_of_five_replicas_change_nothing_that_the_others_agree_on(
    honest: list[Row], lies: list[list[Row]]
) -> None:
    truth = [row for row in merged(honest) if row.cases or row.known]
    assert agreed([truth, merged(lies[0]), truth, merged(lies[1]), truth]) == truth


@settings(max_examples=50, deadline=None)
@given(held=rows, shuffle=st.randoms(use_true_random=False))
def test_the_past_of_a_question_adds_up_over_its_keys(
    held: list[Row], shuffle: random.Random
) -> None:
    past = Past.of(held, ARMS)
    mixed = list(held)
    shuffle.shuffle(mixed)
    again = Past.of(mixed, ARMS)
    assert (past.known == again.known).all()
    assert past.known.sum() == sum(row.known for row in held)
    assert len(set(zip(past.day, past.issuer, past.arm, strict=True))) == len(past)
    assert (np.diff(past.day) >= 0).all()
