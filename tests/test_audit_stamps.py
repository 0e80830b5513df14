"""Proofs of time beside a log: complete, promised, false, or about something else."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from qisguard.audit.auditor import AuditReport, audit, verdict
from qisguard.audit.policy import Policy, load_policy
from qisguard.exits import Exit
from qisguard.notary.batches import encode_receipt, make_batch
from qisguard.notary.headers import HEADER_SIZE, Headers, Network
from qisguard.notary.stamps import Pending, Stamp, Timestamp, encode_stamp
from qisguard.trail.checkpoint import parse_checkpoint
from qisguard.trail.entries import hold
from tests.notaries import FIRST_TIME, anchored_at, known_header, mined, policy_of, vectors
from tests.trails import Net, finding_ids, key, ordinary, write_trail

NET = Net()
A = NET.member("a")
DAY = FIRST_TIME // 86_400


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    items = [(hold(DAY, [bytes([n]) * 32]), ()) for n in range(4)]
    early = write_trail(tmp_path / "early", A, items[:2])
    folder = write_trail(tmp_path / "trail", A, items)
    (folder / "notary").mkdir()
    (folder / "notary" / "2.checkpoint").write_bytes((early / "checkpoint").read_bytes())
    (folder / "notary" / "4.checkpoint").write_bytes((folder / "checkpoint").read_bytes())
    return folder


def _text(trail: Path, size: int) -> bytes:
    return parse_checkpoint((trail / "notary" / f"{size}.checkpoint").read_bytes()).text


def _anchor(trail: Path, tmp_path: Path) -> Policy:
    """Stamp both sizes, one block each; return the policy that knows the first block."""
    stamps = {size: anchored_at(100 + n, _text(trail, size)) for n, size in enumerate((2, 4))}
    chain = mined([root for _, root in stamps.values()])
    for size, (stamp, _) in stamps.items():
        (trail / "notary" / f"{size}.ots").write_bytes(encode_stamp(stamp))
    (trail / "notary" / "headers.otsh").write_bytes(chain.encode())
    policy = load_policy(NET.write_policy(tmp_path / "policy"))
    return replace(policy, notary=policy_of(chain))


def _change(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def test_anchored_stamps_are_clean_and_bound_the_time(tmp_path: Path, trail: Path) -> None:
    policy = _anchor(trail, tmp_path)
    report = audit([trail], policy)
    assert (report.findings, report.not_measured) == ((), ())
    assert not any(line.startswith("time:") for line in report.not_covered)
    (trail / "notary" / "2.checkpoint").unlink()  # the tree knows the root of size 2
    assert verdict(audit([trail], policy)) is Exit.CLEAN


def test_an_entry_of_a_day_after_its_stamp_is_a_finding(tmp_path: Path) -> None:
    folder = write_trail(tmp_path / "trail", A, [(hold(DAY + 3, [bytes(32)]), ())])
    (folder / "notary").mkdir()
    (folder / "notary" / "1.checkpoint").write_bytes((folder / "checkpoint").read_bytes())
    stamp, root = anchored_at(100, _text(folder, 1))
    chain = mined([root])
    (folder / "notary" / "1.ots").write_bytes(encode_stamp(stamp))
    (folder / "notary" / "headers.otsh").write_bytes(chain.encode())
    policy = load_policy(NET.write_policy(tmp_path / "policy"))
    report = audit([folder], replace(policy, notary=policy_of(chain)))
    assert finding_ids(report) == {"AUD-22"}


def _judged(tmp_path: Path, trail: Path, size: int, data: bytes) -> AuditReport:
    policy = _anchor(trail, tmp_path)
    (trail / "notary" / f"{size}.ots").write_bytes(data)
    return audit([trail], policy)


def test_false_stamps_are_findings_in_their_file(tmp_path: Path, trail: Path) -> None:
    other, _ = anchored_at(100, b"another text")
    right, _ = anchored_at(101, _text(trail, 2))  # leads to the wrong block
    for data in (encode_stamp(other), encode_stamp(right), b"", bytes(100)):
        report = _judged(tmp_path, trail, 2, data)
        assert [(f.id, f.file) for f in report.findings] == [("AUD-40", "notary/2.ots")]


def test_promises_and_unknown_blocks_leave_the_audit_incomplete(
    tmp_path: Path, trail: Path
) -> None:
    digest = sha256(_text(trail, 2)).digest()
    promise = Stamp(0x08, digest, Timestamp((Pending("https://calendar.example"),)))
    beyond, _ = anchored_at(900, _text(trail, 2))
    for stamp in (promise, beyond):
        report = _judged(tmp_path, trail, 2, encode_stamp(stamp))
        assert verdict(report) is Exit.NOT_MEASURED
        assert any("notary/2.ots" in line for line in report.not_measured)


def test_a_policy_that_wants_proofs_of_time_is_not_met_without(tmp_path: Path) -> None:
    folder = write_trail(tmp_path / "trail", A, ordinary(NET, A, 2))
    policy = load_policy(NET.write_policy(tmp_path / "policy"))
    policy = replace(policy, notary=policy_of(mined([bytes(32)])))
    assert verdict(audit([folder], policy)) is Exit.NOT_MEASURED


@pytest.mark.parametrize(
    "forge",
    [
        lambda raw: raw[: 16 + 36] + bytes(32) + raw[16 + 68 :],
        lambda raw: raw[:16] + raw[16 + HEADER_SIZE :] + raw[16 : 16 + HEADER_SIZE],
        lambda raw: raw[:-1],
        lambda raw: b"OTSX" + raw[4:],
    ],
    ids=["another root without work", "unlinked", "cut", "another format"],
)
def test_forged_headers_are_findings(
    tmp_path: Path, trail: Path, forge: Callable[[bytes], bytes]
) -> None:
    policy = _anchor(trail, tmp_path)
    _change(trail / "notary" / "headers.otsh", forge)
    report = audit([trail], policy)
    assert {(f.id, f.file) for f in report.findings} == {("AUD-40", "notary/headers.otsh")}


def test_headers_of_a_chain_that_anybody_can_make_are_findings(tmp_path: Path, trail: Path) -> None:
    policy = _anchor(trail, tmp_path)
    assert policy.notary is not None
    main = replace(policy, notary=replace(policy.notary, network=Network.MAINNET))
    assert finding_ids(audit([trail], main)) == {"AUD-40"}


def test_a_copy_of_another_history_is_a_finding(tmp_path: Path, trail: Path) -> None:
    policy = _anchor(trail, tmp_path)
    items = [(hold(DAY, [bytes([n]) * 32]), ()) for n in range(1, 3)]
    other = write_trail(tmp_path / "other", A, items)
    (trail / "notary" / "2.checkpoint").write_bytes((other / "checkpoint").read_bytes())
    stamp, _ = anchored_at(100, _text(trail, 2))
    (trail / "notary" / "2.ots").write_bytes(encode_stamp(stamp))
    report = audit([trail], policy)
    assert ("AUD-40", "notary/2.checkpoint") in {(f.id, f.file) for f in report.findings}


def test_a_stamp_of_a_larger_size_shows_a_rollback(tmp_path: Path, trail: Path) -> None:
    policy = _anchor(trail, tmp_path)
    stamp, _ = anchored_at(100, _text(trail, 2))
    (trail / "notary" / "9.ots").write_bytes(encode_stamp(stamp))
    report = audit([trail], policy)
    assert [(f.id, f.file) for f in report.findings] == [("AUD-14", "notary/9.ots")]


def test_a_receipt_counts_as_the_stamp_of_its_batch(tmp_path: Path, trail: Path) -> None:
    policy = _anchor(trail, tmp_path)
    receipts = make_batch([b"another", _text(trail, 4), b"third"], key("batcher"))
    stamp, root = anchored_at(100, receipts[1].head)
    stamped = replace(receipts[1], stamp=encode_stamp(stamp))
    chain = mined([root])
    (trail / "notary" / "headers.otsh").write_bytes(chain.encode())
    for size in (2, 4):
        (trail / "notary" / f"{size}.ots").unlink()
    path = trail / "notary" / "4.chainpoint.json"
    path.write_bytes(encode_receipt(stamped))
    policy = replace(policy, notary=policy_of(chain))
    assert verdict(audit([trail], policy)) is Exit.CLEAN
    path.write_bytes(encode_receipt(replace(receipts[0], stamp=encode_stamp(stamp))))
    assert finding_ids(audit([trail], policy)) == {"AUD-40"}
    path.write_bytes(encode_receipt(receipts[1]))
    assert verdict(audit([trail], policy)) is Exit.NOT_MEASURED


def test_tokens_of_an_authority_about_another_text_are_findings(
    tmp_path: Path, trail: Path
) -> None:
    """Each third-party token is genuine or broken, and never about our checkpoint."""
    policy = _anchor(trail, tmp_path)
    tokens = sorted(vectors("rfc3161-client").rglob("*.tsr"))
    assert tokens
    for token in tokens:
        (trail / "notary" / "4.tsr").write_bytes(token.read_bytes())
        report = audit([trail], policy)
        assert {(f.id, f.file) for f in report.findings} == {("AUD-40", "notary/4.tsr")}, token


def test_the_real_header_archive_judges_real_stamps(tmp_path: Path, trail: Path) -> None:
    policy = _anchor(trail, tmp_path)
    raw = bytes.fromhex(str(known_header(358391)["header"]))
    archive = Headers(Network.MAINNET, 358391, raw)
    (trail / "notary" / "headers.otsh").write_bytes(archive.encode())
    stamp = vectors("opentimestamps-client") / "hello-world.txt.ots"
    (trail / "notary" / "4.ots").write_bytes(stamp.read_bytes())
    assert policy.notary is not None
    block = {358391: bytes.fromhex(str(known_header(358391)["hash"]))[::-1]}
    main = replace(policy, notary=replace(policy.notary, network=Network.MAINNET, blocks=block))
    assert "AUD-40" in finding_ids(audit([trail], main))  # genuine, and of another text
