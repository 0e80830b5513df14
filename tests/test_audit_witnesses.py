"""What witnesses, evidence and revocations do to an audit: third parties decide about time."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from qisguard.audit.auditor import AuditReport, audit, verdict
from qisguard.audit.one import Options
from qisguard.audit.policy import Policy, load_policy
from qisguard.audit.quorum import Group, Quorum
from qisguard.exits import Exit
from qisguard.identity.keys import KeyPair
from qisguard.trail.checkpoint import Checkpoint, parse_checkpoint
from qisguard.trail.cosignature import WitnessKey, cosign
from qisguard.trail.entries import hold
from qisguard.trail.evidence import convict
from tests.trails import TODAY, Net, finding_ids, key, ordinary, published, write_trail

NET = Net()
A, B = NET.member("a"), NET.member("b")
NAMES = ("w0.example", "w1.example", "w2.example")
KEYS = {name: key(name) for name in NAMES}
NOON = TODAY * 86_400 + 43_200
NOW = Options(now=NOON + 86_400)


def _quorum(least: int) -> Quorum:
    witnesses = {name: WitnessKey(name, pair.public) for name, pair in KEYS.items()}
    return Quorum("all", witnesses, {"all": Group(least, NAMES)})


def _policy(tmp_path: Path, least: int = 2, **checkpoints: bytes) -> Policy:
    policy = load_policy(NET.write_policy(tmp_path / "policy", None, **checkpoints))
    return replace(policy, quorum=_quorum(least))


def _add_lines(note: bytes, names: Sequence[str], time: int, pair: KeyPair | None = None) -> bytes:
    head = parse_checkpoint(note)
    lines = [cosign(head, name, pair or KEYS.get(name, key(name)), time) for name in names]
    return Checkpoint(head.origin, head.size, head.root, (*head.lines, *lines)).encode()


def _cosign(folder: Path, names: Sequence[str], time: int = NOON) -> Path:
    path = folder / "checkpoint"
    path.write_bytes(_add_lines(path.read_bytes(), names, time))
    return folder


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return write_trail(tmp_path / "trail", A, ordinary(NET, A, 5)[:-1])


def test_a_quorum_of_known_witnesses_is_clean(tmp_path: Path, trail: Path) -> None:
    policy = _policy(tmp_path)
    assert verdict(audit([_cosign(trail, NAMES[:2])], policy, NOW)) is Exit.CLEAN


def test_too_few_or_unknown_witnesses_leave_the_audit_incomplete(
    tmp_path: Path, trail: Path
) -> None:
    policy = _policy(tmp_path)
    for number, names in enumerate(([], NAMES[:1], ["x.example", "y.example"])):
        folder = _cosign(shutil.copytree(trail, tmp_path / str(number)), names)
        report = audit([folder], policy, NOW)
        assert verdict(report) is Exit.NOT_MEASURED
        assert any("quorum: wants 2 of" in line for line in report.not_measured)


def test_a_witness_of_another_key_does_not_count(tmp_path: Path, trail: Path) -> None:
    path = trail / "checkpoint"
    note = _add_lines(path.read_bytes(), NAMES[:2], NOON, key("thief"))
    path.write_bytes(note)
    assert verdict(audit([trail], _policy(tmp_path), NOW)) is Exit.NOT_MEASURED


def test_a_bad_line_of_a_known_witness_is_a_finding(tmp_path: Path, trail: Path) -> None:
    _cosign(trail, NAMES)
    path = trail / "checkpoint"
    head = parse_checkpoint(path.read_bytes())
    line = head.lines[-1]
    for bad in (
        replace(line, signature=line.signature[:-1] + bytes([line.signature[-1] ^ 1])),
        replace(line, signature=bytes(8) + line.signature[8:]),
        replace(line, signature=line.signature[:-1]),
    ):
        path.write_bytes(replace(head, lines=(*head.lines[:-1], bad)).encode())
        report = audit([trail], _policy(tmp_path), NOW)
        assert [(f.id, f.file) for f in report.findings] == [("AUD-30", "checkpoint")]


def test_cosignatures_from_the_future_or_out_of_order_are_findings(tmp_path: Path) -> None:
    items = ordinary(NET, A, 5)
    early = (write_trail(tmp_path / "early", A, items[:3]) / "checkpoint").read_bytes()
    whole = write_trail(tmp_path / "trail", A, items)
    _cosign(whole, NAMES, NOON)
    policy = _policy(tmp_path, early=_add_lines(early, NAMES, NOON + 60))
    assert finding_ids(audit([whole], policy, NOW)) == {"AUD-30"}
    before = _policy(tmp_path / "2", early=_add_lines(early, NAMES, NOON - 60))
    assert finding_ids(audit([whole], before, NOW)) == set()
    assert finding_ids(audit([whole], before, Options(now=NOON - 7_200))) == {"AUD-30"}


def test_old_cosignatures_make_no_quorum_when_an_age_is_wanted(tmp_path: Path, trail: Path) -> None:
    _cosign(trail, NAMES)
    policy = _policy(tmp_path)
    options = replace(NOW, max_age=3_600)
    assert verdict(audit([trail], policy, replace(options, now=NOON + 60))) is Exit.CLEAN
    report = audit([trail], policy, options)
    assert verdict(report) is Exit.NOT_MEASURED
    assert any("stale" in line for line in report.not_measured)


def _audit_days(tmp_path: Path, days: Sequence[int], seen: int, size: int = 1) -> AuditReport:
    """Audit holds of these days; the log of ``size`` was cosigned on day ``seen``."""
    items = [(hold(day, [bytes([n]) * 32]), ()) for n, day in enumerate(days)]
    first = (write_trail(tmp_path / "first", A, items[:size]) / "checkpoint").read_bytes()
    whole = write_trail(tmp_path / "whole", A, items)
    note = _add_lines(first, NAMES, seen * 86_400)
    return audit([whole], _policy(tmp_path, 1, seen=note), Options(now=NOON + 10**7))


def test_entries_that_claim_another_time_than_witnesses_saw_are_findings(tmp_path: Path) -> None:
    for number, (days, seen, found) in enumerate(
        [
            ([TODAY, TODAY], TODAY, set()),
            ([TODAY + 1, TODAY + 1], TODAY, set()),
            ([TODAY + 2, TODAY + 2], TODAY, {"AUD-22"}),
            ([TODAY, TODAY], TODAY + 1, set()),
            ([TODAY, TODAY], TODAY + 2, {"AUD-22"}),
            ([TODAY, TODAY + 2], TODAY + 2, set()),
        ]
    ):
        report = _audit_days(tmp_path / str(number), days, seen)
        assert finding_ids(report) == found, number


def test_a_revoked_author_is_believed_only_about_what_others_saw_before(tmp_path: Path) -> None:
    """The day of the entry proves nothing: it is the author's own."""
    for number, (revoked, seen, ids, end) in enumerate(
        [
            (TODAY + 5, TODAY, set(), Exit.CLEAN),
            (TODAY, TODAY, {"AUD-21"}, Exit.FINDING),
            (TODAY + 1, TODAY + 1, {"AUD-21"}, Exit.FINDING),
            (TODAY + 5, None, set(), Exit.NOT_MEASURED),
            (TODAY - 5, None, {"AUD-21"}, Exit.FINDING),
        ]
    ):
        here = tmp_path / str(number)
        folder = write_trail(here / "trail", A, [published(NET.packet(A.author, 1))])
        if seen is not None:
            _cosign(folder, NAMES, seen * 86_400)
        policy = replace(_policy(here), revoked={A.author.public: revoked}, quorum=_quorum(1))
        if seen is None:
            policy = replace(policy, quorum=Quorum())
        report = audit([folder], policy, Options(now=NOON + 10**7))
        assert (finding_ids(report), verdict(report)) == (ids, end), number


def test_the_copy_that_a_peer_kept_shows_a_rollback_and_a_split_view(tmp_path: Path) -> None:
    items = ordinary(NET, A, 5)
    whole = write_trail(tmp_path / "whole", A, items)
    old = write_trail(tmp_path / "old", A, items[:4])
    split = write_trail(tmp_path / "split", A, [items[1], items[0], *items[2:]])
    peer = write_trail(tmp_path / "peer", B, ordinary(NET, B, 1))
    place = peer / "witness" / sha256(A.origin.encode()).hexdigest() / "checkpoint"
    place.parent.mkdir(parents=True)
    policy = load_policy(NET.write_policy(tmp_path / "policy"))
    place.write_bytes((whole / "checkpoint").read_bytes())
    assert finding_ids(audit([whole, peer], policy)) == set()
    assert finding_ids(audit([old, peer], policy)) == {"AUD-14"}
    assert finding_ids(audit([split, peer], policy)) == {"AUD-31"}
    place.write_bytes((old / "checkpoint").read_bytes())
    assert finding_ids(audit([whole, peer], policy)) == set()
    place.write_bytes(bytes(100))
    assert finding_ids(audit([whole, peer], policy)) == {"AUD-10"}
    shutil.move(place.parent, place.parent.with_name("00" * 32))
    (place.parent.with_name("00" * 32) / "checkpoint").write_bytes(
        (whole / "checkpoint").read_bytes()
    )
    assert finding_ids(audit([whole, peer], policy)) == {"AUD-12"}


def test_evidence_against_a_log_of_the_policy_is_the_worst_finding(tmp_path: Path) -> None:
    items = ordinary(NET, A, 5)
    notes = [
        (write_trail(tmp_path / str(n), A, chosen) / "checkpoint").read_bytes()
        for n, chosen in enumerate((items, [items[1], items[0], *items[2:]]))
    ]
    policy = load_policy(NET.write_policy(tmp_path / "policy"))
    evidence = convict(policy.logs[0], *notes)
    peer = write_trail(tmp_path / "peer", B, ordinary(NET, B, 1))
    (peer / "evidence").mkdir()
    path = peer / "evidence" / f"{evidence.name}.json"
    path.write_bytes(evidence.encode())
    report = audit([peer], policy)
    assert [(f.id, f.severity) for f in report.findings] == [("AUD-31", "critical")]
    stranger = replace(policy, logs=policy.logs[1:])
    report = audit([peer], stranger)
    assert report.findings == ()
    assert any("a key nobody here vouches for" in line for line in report.not_covered)
    path.write_bytes(evidence.encode().replace(b"first", b"First"))
    assert finding_ids(audit([peer], policy)) == {"AUD-12"}
