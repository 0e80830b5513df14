"""Audits a bundle: entries, their proofs and packets, as a stranger is handed them in one file."""

import os
import stat
from pathlib import Path

from qisguard.audit.auditor import AuditReport, TrailReport
from qisguard.audit.findings import Findings, printable
from qisguard.audit.folder import Folder
from qisguard.audit.one import Options
from qisguard.audit.packets import Contents, Scope
from qisguard.audit.policy import Policy
from qisguard.audit.times import Attested
from qisguard.audit.witnessed import Shown, Witnessed, check_cosignatures, missing_quorum
from qisguard.errors import DecodeError, ProofError, QisguardError, ScenarioError
from qisguard.identity.keys import from_text
from qisguard.trail.bundle import BUNDLE_SIZE_MAX, Bundle, Item, parse_bundle
from qisguard.trail.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from qisguard.trail.entries import Publish, decode_entry
from qisguard.trail.merkle import HASH_SIZE, leaf_hash, verify_inclusion


def audit_bundle(path: Path, policy: Policy | None, options: Options) -> AuditReport:
    """Return what is wrong with a bundle, and what was measured.

    Raises:
        ScenarioError: there is no such file, or it cannot be read.
    """
    name = printable(str(path), 4096)
    out, data = Findings(name), _read(path)
    try:
        bundle = parse_bundle(data)
        head = parse_checkpoint(bundle.checkpoint.encode())
    except DecodeError as error:
        out.add("AUD-12", "", f"is not a bundle: {error}")
        return _report(TrailReport(name), out, [], policy)
    is_signed = _check_signer(head, policy, out)
    seen, unmeasured = Witnessed(), list[str]()
    if policy is not None:
        note = Shown(name, "checkpoint", head, out)
        seen = check_cosignatures([note], policy, options.now)
        missing = missing_quorum(head, seen, policy, options.now, options.max_age)
        unmeasured += [] if missing is None else [f"{name}: {missing}"]
    node = head.origin.rpartition("/")[2]
    scope = Scope(0, path.parent, head.size, node, policy, Attested.of(seen.marks))
    contents = Contents(scope, Folder(path.parent))
    contents.start(out)
    is_whole = True
    for item in bundle.items:
        is_whole &= _check_item(bundle, item, head, contents, out)
    counts = contents.counts
    trail = TrailReport(
        name,
        printable(head.origin, 300),
        head.size,
        head.root.hex(),
        is_signed,
        is_whole,
        publish_count=len(bundle.items),
        packets_present=counts.present,
        packets_absent=len(bundle.items) - counts.present,
        signatures_checked=counts.signatures,
    )
    return _report(trail, out, unmeasured, policy)


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_open_quickly) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ScenarioError(f"bundle {path}: is not a file")
            return file.read(BUNDLE_SIZE_MAX + 1)
    except OSError as error:
        raise ScenarioError(f"bundle {path}: {error.strerror}") from None


def _open_quickly(path: str, flags: int) -> int:
    """Open without waiting for somebody at the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _check_signer(head: Checkpoint, policy: Policy | None, out: Findings) -> bool:
    if policy is None:
        return False
    try:
        signers = verify_checkpoint(head, policy.logs)
    except ProofError as error:
        out.add("AUD-11", "checkpoint", str(error))
        return False
    if all(key.name != head.origin for key in signers):
        said = f"origin {printable(head.origin)!r} is not the log that signed"
        out.add("AUD-11", "checkpoint", said)
        return False
    return True


def _check_item(
    bundle: Bundle, item: Item, head: Checkpoint, contents: Contents, out: Findings
) -> bool:
    """Check one entry and its packet; return whether the entry is in the log."""
    where, data = f"items/{item.index}", item.entry.encode()
    hashes = bundle.proof(item).hashes
    is_in = True
    try:
        verify_inclusion(item.index, head.size, leaf_hash(data), hashes, head.root)
    except ProofError as error:
        out.add("AUD-13", where, str(error))
        is_in = False
    try:
        entry = decode_entry(data)
    except QisguardError as error:
        out.add("AUD-20", where, str(error))
        return is_in
    contents.check_day(item.index, entry.day, where)
    if item.packet is None:
        return is_in
    if not isinstance(entry, Publish):
        out.add("AUD-20", where, "has a packet, but its entry names none")
        return is_in
    digest = from_text(entry.digest, HASH_SIZE)
    packet = from_text(item.packet, len(item.packet) * 3 // 4)
    contents.judge(item.index, entry.day, digest, entry.seq, entry.key, packet, where)
    return is_in


def _report(
    trail: TrailReport, out: Findings, unmeasured: list[str], policy: Policy | None
) -> AuditReport:
    if policy is None:
        unmeasured = ["origin: without a trust policy nothing says whose log this is"]
    lines = [
        "the rest of the log: a bundle proves that its entries are in it, nothing about others",
        "growth: that the log never changed is for an audit of the trail, or for witnesses, to say",
    ]
    if policy is not None and policy.roster is None:
        lines.append("authors and network: the policy names logs only, no roster")
    return AuditReport(
        (trail,), tuple(out.all()), tuple(unmeasured), tuple(lines), policy is not None
    )
