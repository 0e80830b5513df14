"""Reputation is fed by cases that two issuers published, once each, and by equivocation."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from qisguard.identity.keys import KeyPair
from qisguard.identity.roster import NONE, Issuer, Roster
from qisguard.outcomes.annals import Annals
from qisguard.outcomes.packet import Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.outcomes.reputation import PROOF, Reputation, Standing
from qisguard.outcomes.verified import Verified
from qisguard.store.sqlite_file import SqliteFile

TODAY = 20_000
NETWORK = bytes(32)
PAIRS = {name: KeyPair.from_seed(name.encode() * 32) for name in "abcs"}
ROSTER = Roster(NETWORK, 1, tuple(Issuer(n, 19_000, (PAIRS[n].public,), ()) for n in "abc"))
HORIZONS = {"t/1": 730}


def word(
    name: str,
    outcome: Outcome,
    *,
    case: int = 0,
    seq: int = 1,
    arm: str = "A",
    template: str = "t/1",
) -> OutcomePacket:
    pair = PAIRS[name]
    return sign_packet(
        packet_body(
            network=NETWORK,
            template=template,
            key=bytes(32),
            case=case.to_bytes(16, "big"),
            author=pair.public,
            seq=seq,
            day=TODAY,
            exp=TODAY + 9,
            arm=arm,
            outcome=outcome,
            feat={},
        ),
        pair,
    )


YES, NO = Outcome.binary(True), Outcome.binary(False)


def standings(
    *told: tuple[OutcomePacket, int], annals: Annals | None = None
) -> tuple[Standing, ...]:
    """Return what is held after these packets were fetched, each first seen on a day."""
    annals = annals or Annals(SqliteFile(":memory:"), ROSTER, HORIZONS)
    seen: dict[bytes, Sequence[int]] = {packet.digest: [day] * 3 for packet, day in told}
    annals.fetched([packet for packet, _ in told], seen, TODAY)
    return annals.standings(TODAY).rows


@pytest.mark.rule("N-63")
def test_a_later_word_about_the_same_case_confirms_or_refutes() -> None:
    assert standings((word("a", YES), 5), (word("b", YES), 9)) == (Standing("b", "a", 1.0, 0.0),)
    assert standings((word("a", YES), 9), (word("b", NO), 5)) == (Standing("a", "b", 0.0, 1.0),)
    other_arm = word("b", YES, arm="B")
    assert standings((word("a", YES), 5), (other_arm, 9)) == (Standing("b", "a", 0.0, 1.0),)
    dead, alive = Outcome.after(700, 1), Outcome.after(800, 1)
    assert standings((word("a", dead), 5), (word("b", alive), 9))[0].bad == 1.0
    assert standings((word("a", Outcome.after(731, 0)), 5), (word("b", alive), 9))[0].good == 1.0


@pytest.mark.rule("N-63")
def test_nobody_is_judged_by_strangers_on_the_same_day_or_by_what_is_not_settled() -> None:
    assert standings((word("a", YES), 5), (word("b", NO), 5)) == ()
    assert standings((word("a", YES), 5), (word("s", NO), 9)) == ()
    assert standings((word("a", YES), 5), (word("b", NO, case=1), 9)) == ()
    assert standings((word("a", Outcome.after(9, 0)), 5), (word("b", Outcome.after(9, 1)), 9)) == ()
    number = Outcome.numeric
    assert standings((word("a", number(7.0, "%")), 5), (word("b", number(7.1, "%")), 9)) == ()
    assert standings((word("a", YES, template="u/1"), 5), (word("b", NO, template="u/1"), 9)) == ()


def test_strangers_are_judged_together() -> None:
    assert standings((word("s", YES), 5), (word("b", NO), 9)) == (Standing("b", NONE, 0.0, 1.0),)


def test_the_latest_version_is_what_an_issuer_says() -> None:
    told = (word("a", YES), 5), (word("a", NO, seq=2), 6), (word("b", NO), 9)
    assert standings(*told) == (Standing("b", "a", 1.0, 0.0),)


@pytest.mark.rule("N-63")
def test_a_case_is_judged_once_however_often_it_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "store.sqlite")
    told = (word("a", YES), 5), (word("b", NO), 9), (word("c", YES), 9)
    expected = (Standing("b", "a", 0.0, 1.0), Standing("c", "a", 1.0, 0.0))
    for _ in range(2):
        file = SqliteFile(path)
        annals = Annals(file, ROSTER, HORIZONS)
        assert standings(*told, annals=annals) == expected
        assert standings(*told, annals=annals) == expected
        file.close()


@pytest.mark.rule("N-63")
def test_two_packets_of_one_number_convict_their_author_once_for_each_case() -> None:
    annals = Annals(SqliteFile(":memory:"), ROSTER, HORIZONS)
    for _ in range(2):
        annals.convict(word("a", NO), TODAY)
    assert annals.standings(TODAY).rows == (Standing(PROOF, "a", 0.0, 10.0),)
    annals.convict(word("a", NO, case=1), TODAY)
    assert annals.standings(TODAY).rows[0].bad == 20.0


def test_what_was_judged_is_remembered_within_a_bound() -> None:
    file = SqliteFile(":memory:")
    reputation = Reputation(file)
    verified = Verified(file, reputation, ROSTER, HORIZONS, cases_max=3)
    for case in range(9):
        verified.convict(word("a", YES, case=case), TODAY)
    assert verified.count == 3
    verified.convict(word("a", YES, case=8), TODAY)
    assert reputation.standings(TODAY).rows[0].bad == 90.0
    with pytest.raises(ValueError, match="cases_max = 0, must be at least 1"):
        Verified(file, reputation, ROSTER, HORIZONS, cases_max=0)
