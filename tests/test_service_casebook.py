"""No author key ever signs two different packets under one number, whatever happens in between."""

import hmac
import random
import sqlite3
import stat
from pathlib import Path

import pytest

from qisguard.errors import StoreError
from qisguard.identity.keys import KEY_SIZE, KeyPair
from qisguard.outcomes.packet import Body, Outcome, OutcomePacket, sign_packet
from qisguard.service import casebook
from qisguard.service.casebook import LIFETIME_DAYS, Casebook, Prepared, pseudonym
from qisguard.service.cases import Case
from qisguard.service.opening import open_named_template
from tests.builders import DAY, NETWORK, key_pair

TEMPLATE = open_named_template("breast-cancer", Path())
KEYS = TEMPLATE.expand({"grade": "II"})
AUTHOR = key_pair("casebook author")


def _case(name: str = "1", time: int = 100, key: int = 0) -> Case:
    return Case(2, name, KEYS[key], "hormone", Outcome.after(time, 1), {"age": 50})


def _open(folder: Path, network: bytes = NETWORK.id) -> Casebook:
    return Casebook(folder / "author.key", AUTHOR, network)


def _prepare(folder: Path, *cases: Case, today: int = DAY) -> list[Prepared]:
    with _open(folder) as book:
        return book.prepare(cases, TEMPLATE, today)


def _only(prepared: list[Prepared]) -> OutcomePacket:
    (row,) = prepared
    return row.packet


def test_the_same_words_are_the_same_bytes_again_on_any_later_day(tmp_path: Path) -> None:
    first = _prepare(tmp_path, _case())
    again = _prepare(tmp_path, _case(), today=DAY + 9)
    assert (first[0].is_new, again[0].is_new) == (True, False)
    assert _only(first).data == _only(again).data


def test_other_words_get_the_next_number(tmp_path: Path) -> None:
    numbers = [_only(_prepare(tmp_path, _case(time=t))).body.seq for t in (100, 200, 100)]
    assert numbers == [1, 2, 3]


def test_what_was_acknowledged_is_remembered_until_its_words_change(tmp_path: Path) -> None:
    moved = [*_prepare(tmp_path, _case(key=0)), *_prepare(tmp_path, _case(key=1))]
    packets = [row.packet for row in moved]
    for known, stored in ((packets[1:2], False), (packets[1:], True)):
        with _open(tmp_path) as book:
            book.mark_stored(known)
        again = _prepare(tmp_path, _case(key=1))
        assert {row.is_stored for row in again} == {stored}
    assert {row.is_stored for row in _prepare(tmp_path, _case(key=1, time=7))} == {False}


def test_an_expired_packet_is_not_sent_again_but_renewed(tmp_path: Path) -> None:
    _prepare(tmp_path, _case())
    later = _only(_prepare(tmp_path, _case(), today=DAY + LIFETIME_DAYS + 1))
    assert (later.body.seq, later.body.day) == (2, DAY + LIFETIME_DAYS + 1)


def test_a_case_that_moved_leaves_a_tombstone_and_both_are_sent_again(tmp_path: Path) -> None:
    _prepare(tmp_path, _case(key=0))
    moved = [row.packet for row in _prepare(tmp_path, _case(key=1))]
    assert [(p.key, p.body.seq, p.body.gone) for p in moved] == [
        (KEYS[1], 3, False),
        (KEYS[0], 2, True),
    ]
    again = [row.packet.data for row in _prepare(tmp_path, _case(key=1))]
    assert again == [packet.data for packet in moved]


def test_no_two_different_packets_ever_share_a_number(tmp_path: Path) -> None:
    """Oracle: a set of (case, number); the casebook is closed and opened all the time."""
    rng = random.Random(1)
    told: dict[tuple[bytes, int], bytes] = {}
    for _ in range(60):
        case = _case(str(rng.randrange(3)), rng.randrange(1, 4), rng.randrange(3))
        for row in _prepare(tmp_path, case):
            name = (row.packet.case, row.packet.body.seq)
            assert told.setdefault(name, row.packet.data) == row.packet.data


def test_what_was_not_written_down_is_never_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in the middle: of two cases the first is signed and the second cannot be."""
    left = [sign_packet]

    def fail(body: Body, author: KeyPair) -> OutcomePacket:
        if not left:
            raise KeyboardInterrupt
        return left.pop()(body, author)

    with _open(tmp_path) as book:
        book.prepare([_case("1")], TEMPLATE, DAY)
        monkeypatch.setattr(casebook, "sign_packet", fail)
        with pytest.raises(KeyboardInterrupt):
            book.prepare([_case("1", time=300), _case("2")], TEMPLATE, DAY)
        monkeypatch.undo()
    assert _only(_prepare(tmp_path, _case("1"))).body.seq == 1


def test_everything_is_on_disk_before_it_is_handed_out(tmp_path: Path) -> None:
    with _open(tmp_path) as book:
        packet = _only(book.prepare([_case()], TEMPLATE, DAY))
        other = sqlite3.connect(tmp_path / "author.key.casebook")
        assert other.execute("select data from signed").fetchall() == [(packet.data,)]
        other.close()


def test_a_lost_casebook_goes_on_after_what_the_network_holds(tmp_path: Path) -> None:
    for time in (100, 200):
        held = _prepare(tmp_path, _case(time=time))
    (tmp_path / "author.key.casebook").unlink()
    with _open(tmp_path) as book:
        assert book.is_empty
        assert book.adopt([_only(held)]) == 1
        assert not book.is_empty
    assert _only(_prepare(tmp_path, _case(time=200))).data == _only(held).data
    assert _only(_prepare(tmp_path, _case(time=300))).body.seq == 3


def test_only_the_authors_own_packets_of_this_network_are_adopted(tmp_path: Path) -> None:
    packet = _only(_prepare(tmp_path, _case()))
    with _open(tmp_path / "..", bytes(32)) as other:
        assert other.adopt([packet]) == 0
    (tmp_path / ".." / "author.key.casebook").unlink()
    with Casebook(tmp_path / "b.key", key_pair("somebody else"), NETWORK.id) as stranger:
        assert stranger.adopt([packet]) == 0
        assert stranger.is_empty


@pytest.mark.rule("PKT-09")
def test_a_pseudonym_is_stable_for_an_author_and_tells_nothing_to_others() -> None:
    name = pseudonym(AUTHOR, "breast-cancer", "patient 1")
    assert name == pseudonym(AUTHOR, "breast-cancer", "patient 1")
    others = {
        pseudonym(AUTHOR, "breast-cancer", "patient 2"),
        pseudonym(AUTHOR, "lung", "patient 1"),
        pseudonym(key_pair("another"), "breast-cancer", "patient 1"),
    }
    assert len({name, *others}) == 4
    inner = hmac.digest(AUTHOR.secret[:32], b"qisguard/case-pseudonym/v1\n", "sha256")
    assert name == hmac.digest(inner, b"breast-cancer\0patient 1", "sha256")[:16]


def test_a_casebook_holds_no_name_of_a_case_and_is_its_owners_alone(tmp_path: Path) -> None:
    _prepare(tmp_path, _case("Erika Mustermann"))
    path = tmp_path / "author.key.casebook"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = path.read_bytes()
    assert b"Mustermann" not in data
    assert AUTHOR.secret[:KEY_SIZE] not in data


def test_a_casebook_that_is_none_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "author.key.casebook").write_text("this is not a database, it is a letter" * 9)
    with pytest.raises(StoreError, match=r"casebook .*: file is not a database"):
        _open(tmp_path)
