"""Runs every check over one or many trails, offline, and says what was measured.

Cheap checks come first and nothing stops at the first finding. The order of everything that is
reported depends on the folders alone. A trail whose checkpoint changes while it is read belongs to
a running node; it is read again, a few times.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qisguard.audit.across import View, check_sequences, compare_views
from qisguard.audit.findings import Finding, Findings, printable
from qisguard.audit.folder import Folder, Tiles, check_tiles, check_top
from qisguard.audit.packets import Contents
from qisguard.audit.policy import Policy
from qisguard.audit.tree import MISSING_COUNT_MAX, Tree, check_tree
from qisguard.errors import DecodeError, ProofError, ScenarioError
from qisguard.exits import Exit
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    Checkpoint,
    LogKey,
    parse_checkpoint,
    verify_checkpoint,
)
from qisguard.trail.log import CHECKPOINT

ATTEMPT_COUNT = 3


@dataclass(frozen=True, slots=True)
class TrailReport:
    """What was measured in one trail; ``root`` is hex, both None without a readable checkpoint."""

    path: str
    origin: str | None = None
    size: int | None = None
    root: str | None = None
    is_signed: bool = False
    is_whole: bool = False
    publish_count: int = 0
    hold_count: int = 0
    fetch_count: int = 0
    held_packet_count: int = 0
    fetched_packet_count: int = 0
    packets_present: int = 0
    packets_absent: int = 0
    signatures_checked: int = 0


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result model: ``not_measured`` was wanted and could not be; ``not_covered`` never was."""

    trails: tuple[TrailReport, ...]
    findings: tuple[Finding, ...]
    not_measured: tuple[str, ...]
    not_covered: tuple[str, ...]


@dataclass(slots=True)
class _Trail:
    """One trail while it is audited."""

    name: str
    folder: Folder
    out: Findings
    note: bytes | None = None
    head: Checkpoint | None = None
    is_signed: bool = False
    tree: Tree = field(default_factory=Tree)
    contents: Contents | None = None
    unmeasured: list[str] = field(default_factory=list)


def verdict(report: AuditReport) -> Exit:
    """Return what the whole audit says: a finding outweighs what could not be measured."""
    if report.findings:
        return Exit.FINDING
    return Exit.NOT_MEASURED if report.not_measured else Exit.CLEAN


def audit(paths: Sequence[Path], policy: Policy | None) -> AuditReport:
    """Return what is wrong with the trails in these folders, and what was measured.

    Without a policy nothing says whose trails these are: the best verdict is "not measured".
    """
    trails = [_open(path, policy) for path in paths]
    sizes = _sizes(trails, policy)
    for number, trail in enumerate(trails):
        for attempt in range(ATTEMPT_COUNT):
            _examine(trail, policy, sizes)
            if trail.folder.read(CHECKPOINT, NOTE_SIZE_MAX) == trail.note:
                break
            if attempt + 1 == ATTEMPT_COUNT:
                trail.unmeasured.append("changed while it was read: audit a copy, or stop the node")
            else:
                trail = trails[number] = _open(paths[number], policy)
                sizes = _sizes(trails, policy)
    remembered = Findings("trust policy")
    across = _compare(trails, policy, remembered)
    unmeasured = [f"{trail.name}: {what}" for trail in trails for what in trail.unmeasured]
    sources = [remembered, *(trail.out for trail in trails)]
    return AuditReport(
        tuple(_report(trail) for trail in trails),
        tuple(found for source in sources for found in source.all()),
        (*_without_policy(policy), *unmeasured, *across),
        tuple(_not_covered(trails, policy)),
    )


def check_arguments(paths: Sequence[Path], trust: Path | None) -> None:
    """Raise ScenarioError unless every path is a folder, once, and the policy lies elsewhere."""
    places = []
    for path in paths:
        if not path.is_dir():
            what = "is not a folder" if path.exists() else "does not exist"
            raise ScenarioError(f"trail {path}: {what}")
        places.append(path.resolve())
    if len(set(places)) < len(places):
        raise ScenarioError("trail: the same folder is given twice")
    if trust is None:
        return
    if not trust.exists():
        raise ScenarioError(f"trust policy {trust}: does not exist")
    sources = [trust, *trust.iterdir()] if trust.is_dir() else [trust]
    for place in places:
        for source in sources:
            found = source.resolve()
            if found.is_relative_to(place) or place.is_relative_to(found):
                raise ScenarioError(
                    f"trust policy {source}: lies in the trail {place}, or around it; "
                    "trust must come from elsewhere"
                )


def _open(path: Path, policy: Policy | None) -> _Trail:
    """Read the checkpoint (AUD-10) and check who signed it (AUD-11)."""
    name = printable(str(path), 4096)
    trail = _Trail(name, Folder(path), Findings(name))
    trail.note = trail.folder.read(CHECKPOINT, NOTE_SIZE_MAX)
    if trail.note is None:
        if any(trail.folder.has(part) for part in (CHECKPOINT, "tile", "packets")):
            what = f"is missing, unreadable or larger than {NOTE_SIZE_MAX} bytes"
            trail.out.add("AUD-10", CHECKPOINT, what)
        else:
            trail.unmeasured.append("no trail here: there is no checkpoint")
        return trail
    try:
        trail.head = parse_checkpoint(trail.note)
    except DecodeError as error:
        trail.out.add("AUD-10", CHECKPOINT, str(error))
        return trail
    if policy is not None:
        _check_signer(trail, trail.head, policy.logs)
    return trail


def _check_signer(trail: _Trail, head: Checkpoint, logs: Sequence[LogKey]) -> None:
    try:
        signers = verify_checkpoint(head, logs)
    except ProofError as error:
        trail.out.add("AUD-11", CHECKPOINT, str(error))
        return
    if all(key.name != head.origin for key in signers):
        origin = printable(head.origin)
        trail.out.add("AUD-11", CHECKPOINT, f"origin {origin!r} is not the log that signed")
        return
    trail.is_signed = True


def _sizes(trails: Sequence[_Trail], policy: Policy | None) -> dict[str, set[int]]:
    """Return, by origin, every size that somebody saw."""
    sizes: dict[str, set[int]] = defaultdict(set)
    heads = [trail.head for trail in trails if trail.head is not None]
    heads += [head for _, head in policy.heads] if policy else []
    for head in heads:
        sizes[head.origin].add(head.size)
    return sizes


def _examine(trail: _Trail, policy: Policy | None, sizes: dict[str, set[int]]) -> None:
    """Check one trail by itself: files, tree, entries, packets."""
    check_top(trail.folder, trail.out)
    if trail.head is None:
        if trail.note is not None:
            trail.unmeasured.append("tiles, entries and packets: the checkpoint is unreadable")
    else:
        tiles = check_tiles(trail.folder, trail.head.size, trail.out)
        node = trail.head.origin.rpartition("/")[2]
        trail.contents = Contents(trail.folder, policy, node, trail.out)
        if tiles.missing_bundles > MISSING_COUNT_MAX:
            what = f"root and entries: {tiles.missing_bundles} entry bundles are missing"
            trail.unmeasured.append(what)
        else:
            _examine_tree(trail, trail.head, trail.contents, sizes[trail.head.origin], tiles)
        trail.contents.check_files()
    trail.unmeasured += [f"unreadable: {what}" for what in dict.fromkeys(trail.folder.unreadable)]


def _examine_tree(
    trail: _Trail, head: Checkpoint, contents: Contents, sizes: Collection[int], tiles: Tiles
) -> None:
    earlier = tiles.earlier
    trail.tree = check_tree(trail.folder, head, sizes, earlier, trail.out, contents.read_entry)
    if trail.tree.stopped is not None:
        trail.unmeasured.append(f"root: {trail.tree.stopped}")


def _compare(trails: Sequence[_Trail], policy: Policy | None, remembered: Findings) -> list[str]:
    """Compare the trails with each other and with what the policy remembers (AUD-14, 22, 31)."""
    by_origin: dict[str, list[View]] = defaultdict(list)
    for name, head in policy.heads if policy else ():
        file = f"checkpoints/{printable(name)}"
        view = View(f"{file} of the trust policy", head, True, remembered, file)
        by_origin[head.origin].append(view)
    for trail in trails:
        if trail.head is not None and trail.contents is not None:
            seen = trail.contents.sightings
            view = View(
                trail.name, trail.head, trail.is_signed, trail.out, CHECKPOINT, trail.tree, seen
            )
            by_origin[trail.head.origin].append(view)
    unmeasured = [what for origin in by_origin for what in compare_views(by_origin[origin])]
    copies = [[view for view in views if view.tree is not None] for views in by_origin.values()]
    check_sequences(max(views, key=lambda view: view.head.size) for views in copies if views)
    return unmeasured


def _report(trail: _Trail) -> TrailReport:
    head, found = trail.head, trail.contents
    if head is None or found is None:
        return TrailReport(trail.name)
    return TrailReport(
        trail.name,
        printable(head.origin, 300),
        head.size,
        head.root.hex(),
        trail.is_signed,
        trail.tree.holds,
        found.publish_count,
        found.hold_count,
        found.fetch_count,
        found.held_packet_count,
        found.fetched_packet_count,
        found.present_count,
        found.absent_count,
        found.signature_count,
    )


def _without_policy(policy: Policy | None) -> list[str]:
    if policy is not None:
        return []
    return [
        "origin: without a trust policy nothing says whose trail this is",
        "authors: without a trust policy there is no roster",
    ]


def _not_covered(trails: Sequence[_Trail], policy: Policy | None) -> list[str]:
    """Return what this audit does not say, whatever it found."""
    lines = ["completeness: a log proves what was logged, not that everything was"]
    lines.append("time: days are the node's own; no witness or notary confirms them here")
    absent = sum(trail.contents.absent_count for trail in trails if trail.contents)
    if absent:
        lines.append(
            f"{absent} packets are absent (erased, or never kept): their entries hold, their "
            "signatures and authors were not checked"
        )
    if policy is None:
        return lines
    if policy.roster is None:
        lines.append("authors and network: the policy names logs only, no roster")
    given = {trail.head.origin for trail in trails if trail.head is not None}
    others = sum(key.name not in given for key in policy.logs)
    if others:
        lines.append(f"{others} of the {len(policy.logs)} logs of the policy were not given")
    return lines
