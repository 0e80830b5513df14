"""Packets that are forged, replayed, backdated or of somebody else."""

import base64
import shutil
from pathlib import Path

import pytest

from qisguard.audit.auditor import AuditReport, audit, verdict
from qisguard.audit.policy import Policy, load_policy
from qisguard.exits import Exit
from qisguard.identity.keys import PACKET_TAG
from qisguard.identity.roster import Issuer, Roster
from qisguard.outcomes.packet import OutcomePacket
from qisguard.trail.entries import Entry, Succeeds, hold, publish
from qisguard.trail.log import packet_path
from tests.trails import TODAY, Net, finding_ids, key, ordinary, paths_in, published, write_trail

NET = Net()
A, B = NET.member("a"), NET.member("b")
ORDER = (1 << 252) + 27742317777372353535851937790883648493
"""Of the prime-order group (RFC 8032, section 5.1)."""


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(NET.write_policy(tmp_path / "policy"))


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return write_trail(tmp_path / "trail", A, ordinary(NET, A, 5))


def _audit_items(
    tmp_path: Path, policy: Policy | None, items: list[tuple[Entry, tuple[bytes, ...]]]
) -> AuditReport:
    return audit([write_trail(tmp_path / "trail", A, items)], policy)


def _raw(data: bytes) -> tuple[Entry, tuple[bytes, ...]]:
    return publish(TODAY, data), (data,)


def test_forged_or_malformed_packets_are_found_even_if_the_log_names_them(
    tmp_path: Path, policy: Policy
) -> None:
    good = NET.packet(A.author, 1).data
    body, signature = good[:-64], good[-64:]
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    small_order = b"\x01" + bytes(31)
    weak = body.replace(
        NET.packet(A.author, 1).body.author.encode(),
        base64.urlsafe_b64encode(small_order).rstrip(b"="),
    )
    bad = [
        body + signature[:-1] + bytes([signature[-1] ^ 1]),
        body.replace(b'"time":100', b'"time":900') + signature,
        body + signature[:32] + scalar.to_bytes(32, "little"),
        weak + small_order + bytes(32),
        body + A.author.sign(b"qisguard/record/v1\n", body),
        body + A.log.sign(PACKET_TAG, body),
    ]
    for spelled in (
        body.replace(b'"seq":0', b'"seq":0,"seq":0'),
        body.replace(b'"seq":0', b'"seq":0.0'),
        body + b" ",
        body.replace(b'"v":1', b'"v":1,"x":1'),
    ):
        assert spelled != body
        bad.append(spelled + A.author.sign(PACKET_TAG, spelled))
    for number, data in enumerate(bad):
        report = _audit_items(tmp_path / str(number), policy, [_raw(data)])
        assert finding_ids(report) == {"AUD-20"}, number
        assert report.trails[0].signatures_checked == 0


def test_a_packet_exchanged_for_another_genuine_one_is_found(policy: Policy, trail: Path) -> None:
    path = next(path for path in paths_in(trail) if path.startswith("packets/"))
    (trail / path).write_bytes(NET.packet(A.author, 99).data)
    report = audit([trail], policy)
    assert [(found.id, found.file) for found in report.findings] == [("AUD-20", path)]


def test_a_genuine_packet_that_no_entry_names_is_found(policy: Policy, trail: Path) -> None:
    packet = NET.packet(A.author, 99)
    target = trail / packet_path(packet.digest)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(packet.data)
    assert finding_ids(audit([trail], policy)) == {"AUD-12"}


def test_authors_off_the_roster_of_another_issuer_or_too_early_are_found(
    tmp_path: Path, policy: Policy
) -> None:
    stranger = published(NET.packet(key("stranger"), 1))
    assert finding_ids(_audit_items(tmp_path / "1", policy, [stranger])) == {"AUD-21"}
    other = published(NET.packet(B.author, 1))
    assert finding_ids(_audit_items(tmp_path / "2", policy, [other])) == {"AUD-21"}
    late = load_policy(NET.write_policy(tmp_path / "late", NET.roster(enrolled=TODAY + 1)))
    own = published(NET.packet(A.author, 1))
    assert finding_ids(_audit_items(tmp_path / "3", late, [own])) == {"AUD-21"}
    moved = Issuer("a", TODAY - 100, (A.author.public,), (B.node,))
    elsewhere = load_policy(
        NET.write_policy(tmp_path / "elsewhere", Roster(NET.network.id, 1, (moved,)))
    )
    assert finding_ids(_audit_items(tmp_path / "4", elsewhere, [own])) == {"AUD-21"}
    assert finding_ids(_audit_items(tmp_path / "5", policy, [own])) == set()


def _of_other_network() -> OutcomePacket:
    return Net("other").packet(A.author, 1)


@pytest.mark.parametrize(
    "items",
    [
        [published(_of_other_network())],
        [published(NET.packet(A.author, 1, day=TODAY + 1))],
        [published(NET.packet(A.author, 1, exp=TODAY - 1))],
        [published(NET.packet(A.author, 1))] * 2,
        [published(NET.packet(A.author, 1)), published(NET.packet(A.author, 1, time=7))],
        [published(NET.packet(A.author, 1, seq=2)), published(NET.packet(A.author, 1, seq=1))],
        [published(NET.packet(A.author, 1)), (hold(TODAY - 1, [bytes(32)]), ())],
        [(publish(TODAY, NET.packet(A.author, 1).data, seq=5), (NET.packet(A.author, 1).data,))],
        [
            (
                publish(TODAY, NET.packet(A.author, 1).data, key=bytes(32)),
                (NET.packet(A.author, 1).data,),
            )
        ],
    ],
    ids=[
        "other network",
        "from the future",
        "expired",
        "replayed",
        "equivocation",
        "falling sequence",
        "falling days",
        "other sequence than the entry",
        "other key than the entry",
    ],
)
def test_packets_that_contradict_time_network_or_sequence_are_found(
    tmp_path: Path, policy: Policy, items: list[tuple[Entry, tuple[bytes, ...]]]
) -> None:
    assert finding_ids(_audit_items(tmp_path, policy, items)) == {"AUD-22"}


def test_rising_sequences_of_a_case_are_clean(tmp_path: Path, policy: Policy) -> None:
    items = [published(NET.packet(A.author, 1, seq=n), TODAY + n) for n in (0, 1, 3)]
    assert verdict(_audit_items(tmp_path, policy, items)) is Exit.CLEAN


def test_a_replay_is_found_even_if_the_packet_is_erased(tmp_path: Path, policy: Policy) -> None:
    items = [published(NET.packet(A.author, 1)), published(NET.packet(A.author, 1), TODAY + 1)]
    folder = write_trail(tmp_path / "trail", A, items)
    shutil.rmtree(folder / "packets")
    report = audit([folder], policy)
    assert finding_ids(report) == {"AUD-22"}
    assert report.findings[0].file == "tile/entries/000.p/2"


def _two_nodes(
    tmp_path: Path, first: OutcomePacket, second: OutcomePacket, day: int
) -> AuditReport:
    """One issuer runs both nodes; each publishes one packet."""
    issuer = Issuer("a", TODAY - 100, (A.author.public,), (A.node, B.node))
    policy = load_policy(
        NET.write_policy(tmp_path / "policy", Roster(NET.network.id, 1, (issuer,)))
    )
    one = write_trail(tmp_path / "one", A, [published(first, TODAY)])
    two = write_trail(tmp_path / "two", B, [published(second, day)])
    return audit([one, two], policy)


def test_sequences_are_compared_over_all_logs(tmp_path: Path) -> None:
    def packet(seq: int, time: int = 100) -> OutcomePacket:
        return NET.packet(A.author, 1, seq=seq, time=time)

    for number, (first, second, day, ids) in enumerate(
        [
            (packet(0), packet(1), TODAY + 1, set()),
            (packet(0), packet(1), TODAY, set()),
            (packet(0), packet(1), TODAY - 1, {"AUD-22"}),
            (packet(0), packet(0), TODAY, {"AUD-22"}),
            (packet(0), packet(0, time=7), TODAY, {"AUD-22"}),
        ]
    ):
        assert finding_ids(_two_nodes(tmp_path / str(number), first, second, day)) == ids, number


def test_only_the_first_entry_may_say_whom_the_log_succeeds(tmp_path: Path, policy: Policy) -> None:
    succeeds = Succeeds(TODAY, B.origin, 3, "A" * 43), ()
    other = hold(TODAY, [bytes(32)]), ()
    assert finding_ids(_audit_items(tmp_path / "1", policy, [succeeds, other])) == set()
    assert finding_ids(_audit_items(tmp_path / "2", policy, [other, succeeds])) == {"AUD-20"}
