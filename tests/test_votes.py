import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.identity.keys import KeyPair
from qisguard.identity.roster import NONE, Issuer, Roster
from qisguard.outcomes.packet import Body, OutcomePacket, sign_packet
from qisguard.outcomes.votes import Collected, Votes, collect
from qisguard.plugins import Rejected
from tests.packets import ARMS, ENROLLED, NETWORK, TODAY, sign

MEMBER = KeyPair.from_seed(b"m" * 32)
STRANGER = KeyPair.from_seed(b"s" * 32)
ROSTER = Roster(NETWORK, 1, (Issuer("hospital", ENROLLED, (MEMBER.public,), ()),))
CASE = b"c" * 16


def gather(*packets: OutcomePacket, first_seen: dict[bytes, int] | None = None) -> Collected:
    return collect(packets, ROSTER, ARMS, TODAY, first_seen or {})


def tombstone(author: KeyPair, case: bytes, seq: int) -> OutcomePacket:
    live = sign(author, case, seq=seq).body
    body = Body(
        v=1,
        net=live.net,
        tpl=live.tpl,
        key=live.key,
        case=live.case,
        author=live.author,
        seq=seq,
        day=TODAY,
        exp=TODAY + 400,
        gone=True,
    )
    return sign_packet(body, author)


def rows(votes: Votes) -> list[tuple[object, ...]]:
    names = [votes.issuers[place] for place in votes.issuer]
    table = (names, votes.author, votes.case, votes.arm, votes.value, votes.event, votes.age)
    return list(zip(*table, votes.enrolled, votes.current, strict=True))


def test_a_packet_becomes_a_row_of_its_issuer() -> None:
    found = gather(sign(MEMBER, CASE, arm="no-hormone", time=77, event=1))
    assert rows(found.votes) == [("hospital", 0, 0, 1, 77.0, True, 1000.0, True, True)]
    assert found.dropped == {}


def test_no_packets_give_no_votes() -> None:
    assert len(gather().votes) == 0


def test_the_latest_version_of_a_case_is_current_whatever_comes_first() -> None:
    old, new = sign(MEMBER, CASE, time=1), sign(MEMBER, CASE, time=2, seq=2)
    for order in ((old, new), (new, old)):
        votes = gather(*order).votes
        assert votes.value[votes.current].tolist() == [2.0]
        assert len(votes) == 2


def test_a_tombstone_has_no_row_and_supersedes() -> None:
    found = gather(sign(MEMBER, CASE), tombstone(MEMBER, CASE, 2))
    assert found.dropped == {"tombstone": 1}
    assert found.votes.current.tolist() == [False]


def test_a_late_copy_does_not_bring_a_buried_case_back() -> None:
    found = gather(tombstone(MEMBER, CASE, 2), sign(MEMBER, CASE, seq=1))
    assert not found.votes.current.any()


def test_an_expired_packet_has_no_row_and_supersedes() -> None:
    late = sign(MEMBER, CASE, seq=2, day=TODAY - 9, exp=TODAY - 1)
    found = gather(sign(MEMBER, CASE), late)
    assert found.dropped == {"expired": 1}
    assert not found.votes.current.any()


def test_a_packet_is_valid_on_its_last_day() -> None:
    assert len(gather(sign(MEMBER, CASE, exp=TODAY)).votes) == 1


def test_copies_of_one_packet_are_one_vote() -> None:
    packet = sign(MEMBER, CASE)
    found = gather(packet, packet, packet)
    assert (len(found.votes), found.dropped) == (1, {"copy": 2})


def test_two_bodies_under_one_number_count_once_and_are_reported() -> None:
    one, two = sign(MEMBER, CASE, time=1), sign(MEMBER, CASE, time=2)
    kept = [gather(*order) for order in ((one, two), (two, one))]
    assert rows(kept[0].votes) == rows(kept[1].votes)
    assert len(kept[0].votes) == 1
    assert kept[0].dropped == {"equivocation": 1}


def test_the_same_case_of_two_authors_is_two_cases() -> None:
    votes = gather(sign(MEMBER, CASE), sign(STRANGER, CASE)).votes
    assert sorted(votes.case.tolist()) == [0, 1]


def test_unknown_keys_belong_to_none_and_are_as_old_as_their_first_attestation() -> None:
    packets = [sign(STRANGER, bytes([place]) * 16) for place in range(3)]
    seen = {packets[0].digest: TODAY - 5, packets[1].digest: TODAY - 40}
    votes = gather(*packets, first_seen=seen).votes
    assert {votes.issuers[place] for place in votes.issuer} == {NONE}
    assert votes.age.tolist() == [40.0] * 3
    assert not votes.enrolled.any()


def test_an_unattested_key_is_new_and_no_age_is_negative() -> None:
    packet = sign(STRANGER, CASE, day=TODAY - 300)
    assert gather(packet).votes.age.tolist() == [0.0]
    assert gather(packet, first_seen={packet.digest: TODAY + 3}).votes.age.tolist() == [0.0]


def test_a_member_is_as_old_as_its_enrolment_whatever_was_attested() -> None:
    packet = sign(MEMBER, CASE)
    assert gather(packet, first_seen={packet.digest: 0}).votes.age.tolist() == [1000.0]


def test_what_does_not_belong_to_the_question_is_dropped_with_a_reason() -> None:
    other = sign(MEMBER, CASE, network=b"x" * 32)
    arm = sign(MEMBER, b"d" * 16, arm="placebo")
    found = gather(other, arm)
    assert len(found.votes) == 0
    assert found.dropped == {"another network": 1, "another treatment": 1}


def test_the_first_refusal_wins_and_sees_the_version_that_is_held() -> None:
    class Grudge:
        def accept(
            self, packet: OutcomePacket, held: OutcomePacket | None, today: int
        ) -> Rejected | None:
            return Rejected(f"after {held.body.seq} on {today}") if held else None

    versions = [sign(MEMBER, CASE, seq=seq) for seq in (3, 1, 2)]
    found = collect(versions, ROSTER, ARMS, TODAY, {}, [Grudge()])
    assert found.dropped == {f"after 1 on {TODAY}": 2}
    assert found.votes.current.tolist() == [True]


POOL = [
    sign(author, bytes([case]) * 16, seq=seq, time=time)
    for author in (MEMBER, STRANGER)
    for case in (1, 2)
    for seq in (1, 2)
    for time in (5, 6)
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(POOL), max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_packets_changes_nothing(
    packets: list[OutcomePacket], rng: random.Random
) -> None:
    shuffled = list(packets)
    rng.shuffle(shuffled)
    one, two = gather(*packets), gather(*shuffled)
    assert rows(one.votes) == rows(two.votes)
    assert one.dropped == two.dropped


@settings(deadline=None)
@given(st.lists(st.sampled_from(POOL), min_size=1, max_size=20))
def test_every_case_has_exactly_one_current_vote(packets: list[OutcomePacket]) -> None:
    votes = gather(*packets).votes
    for case in np.unique(votes.case):
        assert votes.current[votes.case == case].sum() == 1


def test_where_keeps_the_chosen_rows() -> None:
    votes = gather(sign(MEMBER, CASE), sign(STRANGER, CASE)).votes
    assert len(votes.where(votes.enrolled)) == 1
    assert votes.where(votes.enrolled).enrolled.tolist() == [True]
    with pytest.raises(IndexError):
        votes.where(np.array([True]))
