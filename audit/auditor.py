"""Runs every check over one or many trails, offline, and says what was measured.

Cheap checks come first and nothing stops at the first finding. The order of everything that is
reported depends on the folders alone. A trail whose checkpoint changes while it is read belongs to
a running node; it is read again, a few times.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from qisguard.audit.across import View, compare_views
from qisguard.audit.findings import Finding, Findings, printable
from qisguard.audit.limits import not_covered
from qisguard.audit.one import Options, Tell, TrailAudit, examine, open_trail
from qisguard.audit.policy import Policy
from qisguard.audit.sequences import Log, check_sequences
from qisguard.audit.times import Attested
from qisguard.audit.witnessed import Shown, Witnessed, check_cosignatures, missing_quorum
from qisguard.config import NodeConfig
from qisguard.errors import ScenarioError
from qisguard.exits import Exit
from qisguard.trail.checkpoint import NOTE_SIZE_MAX
from qisguard.trail.log import CHECKPOINT

ATTEMPT_COUNT = 3
_IN_MOTION = ("AUD-12", "AUD-13", "AUD-20")
"""What a writer at work looks like to who reads files one after the other."""


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
    packets_unopened: int = 0
    signatures_checked: int = 0


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result model: ``not_measured`` was wanted and could not be; ``not_covered`` never was."""

    trails: tuple[TrailReport, ...]
    findings: tuple[Finding, ...]
    not_measured: tuple[str, ...]
    not_covered: tuple[str, ...]
    has_policy: bool = True


def verdict(report: AuditReport) -> Exit:
    """Return what the whole audit says: a finding outweighs what could not be measured."""
    if report.findings:
        return Exit.FINDING
    return Exit.NOT_MEASURED if report.not_measured else Exit.CLEAN


def audit(
    paths: Sequence[Path],
    policy: Policy | None,
    options: Options = Options(),  # noqa: B008 frozen, so one default serves all
    tell: Tell | None = None,
) -> AuditReport:
    """Return what is wrong with the trails in these folders, and what was measured.

    Without a policy nothing says whose trails these are: the best verdict is "not measured".
    ``tell`` hears how far the reading is.
    """
    remembered = Findings("trust policy")
    trails = [open_trail(path, number, policy) for number, path in enumerate(paths)]
    witnessed = _check_witnesses(trails, policy, options, remembered)
    with ExitStack() as stack:
        for number, path in enumerate(paths):
            for attempt in range(ATTEMPT_COUNT):
                if attempt:
                    trails[number] = _open_again(path, number, policy, options, witnessed)
                trail = trails[number]
                sizes, times = _sizes(trails, policy, options), _times(trail, witnessed)
                examine(
                    trail, policy, sizes[_origin(trail)], times, options, stack, tell or _nobody
                )
                if trail.folder.read(CHECKPOINT, NOTE_SIZE_MAX) == trail.note:
                    break
            else:
                _set_apart(trails[number])
        across = _compare(trails, policy, options, remembered)
    for trail in trails:
        _check_quorum(trail, policy, options, witnessed)
    unmeasured = [f"{trail.name}: {what}" for trail in trails for what in trail.unmeasured]
    sources = [remembered, *(trail.out for trail in trails)]
    return AuditReport(
        tuple(_report(trail) for trail in trails),
        tuple(found for source in sources for found in source.all()),
        (*_without_policy(policy), *unmeasured, *across),
        tuple(not_covered(trails, policy, options, witnessed)),
        policy is not None,
    )


def _nobody(what: str, done: int, total: int) -> None:
    """Hear nothing."""


def _set_apart(trail: TrailAudit) -> None:
    """Say of a trail that never stood still what is certain all the same."""
    trail.out = trail.out.without(_IN_MOTION)
    trail.unmeasured.append(
        f"in motion: its checkpoint changed while it was read, {ATTEMPT_COUNT} times; what may be "
        "a writer at work is not reported: audit a copy, or stop the node"
    )


def _origin(trail: TrailAudit) -> str:
    return "" if trail.head is None else trail.head.origin


def _check_witnesses(
    trails: Sequence[TrailAudit], policy: Policy | None, options: Options, remembered: Findings
) -> dict[str, Witnessed]:
    """Return, by origin, what witnesses said in any note that was given (AUD-30)."""
    if policy is None:
        return {}
    shown: dict[str, list[Shown]] = defaultdict(list)
    for name, head in policy.heads:
        file = f"checkpoints/{printable(name)}"
        shown[head.origin].append(Shown(file, file, head, remembered))
    for trail in trails:
        for note in _notes(trail):
            shown[note.head.origin].append(note)
    return {
        origin: check_cosignatures(notes, policy, options.now) for origin, notes in shown.items()
    }


def _notes(trail: TrailAudit) -> list[Shown]:
    own = [] if trail.head is None else [Shown(trail.name, CHECKPOINT, trail.head, trail.out)]
    given = trail.beside.notes
    return [*own, *(Shown(trail.name, note.file, note.head, trail.out) for note in given)]


def _open_again(
    path: Path,
    number: int,
    policy: Policy | None,
    options: Options,
    witnessed: dict[str, Witnessed],
) -> TrailAudit:
    """Open a trail that changed while it was read, and hear what witnesses say of it now."""
    trail = open_trail(path, number, policy)
    if policy is not None and trail.head is not None:
        for note in _notes(trail):
            more = check_cosignatures([note], policy, options.now)
            known = witnessed.setdefault(note.head.origin, Witnessed())
            known.marks += more.marks
            for text, times in more.by_note.items():
                known.by_note.setdefault(text, {}).update(times)
    return trail


def _times(trail: TrailAudit, witnessed: Mapping[str, Witnessed]) -> Attested:
    seen = witnessed.get(_origin(trail))
    return Attested.of([] if seen is None else seen.marks, trail.stamped.marks)


def _check_quorum(
    trail: TrailAudit, policy: Policy | None, options: Options, witnessed: Mapping[str, Witnessed]
) -> None:
    if policy is None or trail.head is None:
        return
    seen = witnessed.get(trail.head.origin, Witnessed())
    missing = missing_quorum(trail.head, seen, policy, options.now, options.max_age)
    if missing is not None:
        trail.unmeasured.append(missing)
    if trail.counts.unattested:
        count = trail.counts.unattested
        what = f"{count} packets of revoked authors: nobody else saw them before the revocation"
        trail.unmeasured.append(what)


def _sizes(
    trails: Sequence[TrailAudit], policy: Policy | None, options: Options
) -> Mapping[str, set[int]]:
    """Return, by origin, every size that somebody saw."""
    sizes: dict[str, set[int]] = defaultdict(set)
    heads = [trail.head for trail in trails if trail.head is not None]
    heads += [note.head for trail in trails for note in trail.beside.notes]
    heads += [head for _, head in policy.heads] if policy else []
    for head in (*heads, *options.since):
        sizes[head.origin].add(head.size)
    for trail in trails:
        sizes[_origin(trail)] |= {proof.size for proof in trail.beside.proofs}
    return sizes


def _compare(
    trails: Sequence[TrailAudit], policy: Policy | None, options: Options, remembered: Findings
) -> list[str]:
    """Compare the trails with each other and with what is remembered (AUD-14, 22, 31)."""
    by_origin: dict[str, list[View]] = defaultdict(list)
    for name, head in policy.heads if policy else ():
        file = f"checkpoints/{printable(name)}"
        view = View(f"{file} of the trust policy", head, True, remembered, file)
        by_origin[head.origin].append(view)
    for head in options.since:
        signed = policy is not None
        view = View("the checkpoint of --since", head, signed, remembered, "--since")
        by_origin[head.origin].append(view)
    largest: dict[str, TrailAudit] = {}
    for trail in trails:
        if trail.head is None:
            continue
        origin = trail.head.origin
        by_origin[origin].append(
            View(trail.name, trail.head, trail.is_signed, trail.out, CHECKPOINT, trail.tree)
        )
        for note in trail.beside.notes:
            name = f"{trail.name}/{note.file}"
            view = View(name, note.head, note.is_signed, trail.out, note.file)
            by_origin[note.head.origin].append(view)
        _report_evidence(trail, policy)
        known = largest.get(origin)
        if known is None or known.head is None or known.head.size < trail.head.size:
            largest[origin] = trail
    unmeasured = [what for origin in by_origin for what in compare_views(by_origin[origin])]
    logs = [
        Log(trail.name, trail.folder, 0 if trail.head is None else trail.head.size, trail.out)
        for trail in trails
    ]
    seen = [trail.sightings for trail in largest.values() if trail.sightings is not None]
    check_sequences(seen, logs, NodeConfig().sequence_jump_max)
    return unmeasured


def _report_evidence(trail: TrailAudit, policy: Policy | None) -> None:
    """Report the evidence beside a log that is against a log of the policy (AUD-31)."""
    for file, evidence in trail.beside.evidence:
        if policy is not None and evidence.key in policy.logs:
            first, second = evidence.notes
            said = (
                f"{printable(evidence.key.name)!r} signed size {first.size} with root "
                f"{first.root.hex()} and with {second.root.hex()}"
            )
            trail.out.add("AUD-31", file, said)


def _report(trail: TrailAudit) -> TrailReport:
    head, counts = trail.head, trail.counts
    if head is None:
        return TrailReport(trail.name)
    return TrailReport(
        trail.name,
        printable(head.origin, 300),
        head.size,
        head.root.hex(),
        trail.is_signed,
        trail.tree.holds,
        counts.publish,
        counts.hold,
        counts.fetch,
        counts.held_packets,
        counts.fetched_packets,
        counts.present,
        counts.absent,
        counts.unopened,
        counts.signatures,
    )


def _without_policy(policy: Policy | None) -> list[str]:
    if policy is not None:
        return []
    return [
        "origin: without a trust policy nothing says whose trail this is",
        "authors: without a trust policy there is no roster",
    ]


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
