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
from qisguard.audit.one import Options, Tell, TrailAudit, examine, open_trail
from qisguard.audit.packets import Depth
from qisguard.audit.policy import Policy
from qisguard.audit.sequences import Log, check_sequences
from qisguard.audit.times import Attested
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
    trails = [open_trail(path, number, policy) for number, path in enumerate(paths)]
    with ExitStack() as stack:
        for number in range(len(trails)):
            _settle(trails, number, paths[number], policy, options, stack, tell or _nobody)
        remembered = Findings("trust policy")
        across = _compare(trails, policy, options, remembered)
    unmeasured = [f"{trail.name}: {what}" for trail in trails for what in trail.unmeasured]
    sources = [remembered, *(trail.out for trail in trails)]
    return AuditReport(
        tuple(_report(trail) for trail in trails),
        tuple(found for source in sources for found in source.all()),
        (*_without_policy(policy), *unmeasured, *across),
        tuple(_not_covered(trails, policy, options)),
        policy is not None,
    )


def _nobody(what: str, done: int, total: int) -> None:
    """Hear nothing."""


def _settle(
    trails: list[TrailAudit],
    number: int,
    path: Path,
    policy: Policy | None,
    options: Options,
    stack: ExitStack,
    tell: Tell,
) -> None:
    """Examine a trail until its checkpoint stays what it was while the trail was read."""
    for attempt in range(ATTEMPT_COUNT):
        if attempt:
            trails[number] = open_trail(path, number, policy)
        trail = trails[number]
        origin = "" if trail.head is None else trail.head.origin
        sizes = _sizes(trails, policy, options)
        examine(trail, policy, sizes[origin], Attested(), options, stack, tell)
        if trail.folder.read(CHECKPOINT, NOTE_SIZE_MAX) == trail.note:
            return
    trail.out = trail.out.without(_IN_MOTION)
    trail.unmeasured.append(
        f"in motion: its checkpoint changed while it was read, {ATTEMPT_COUNT} times; what may be "
        "a writer at work is not reported: audit a copy, or stop the node"
    )


def _sizes(
    trails: Sequence[TrailAudit], policy: Policy | None, options: Options
) -> Mapping[str, set[int]]:
    """Return, by origin, every size that somebody saw."""
    sizes: dict[str, set[int]] = defaultdict(set)
    heads = [trail.head for trail in trails if trail.head is not None]
    heads += [head for _, head in policy.heads] if policy else []
    for head in (*heads, *options.since):
        sizes[head.origin].add(head.size)
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


def _not_covered(
    trails: Sequence[TrailAudit], policy: Policy | None, options: Options
) -> list[str]:
    """Return what this audit does not say, whatever it found."""
    lines = ["completeness: a log proves what was logged, not that everything was"]
    lines.append("time: days are the node's own; no witness or notary confirms them here")
    absent = sum(trail.counts.absent for trail in trails)
    if absent:
        lines.append(
            f"{absent} packets are absent (erased, or never kept): their entries hold, their "
            "signatures and authors were not checked"
        )
    lines += _not_opened(trails, options)
    if policy is None:
        return lines
    if policy.roster is None:
        lines.append("authors and network: the policy names logs only, no roster")
    given = {trail.head.origin for trail in trails if trail.head is not None}
    others = sum(key.name not in given for key in policy.logs)
    if others:
        lines.append(f"{others} of the {len(policy.logs)} logs of the policy were not given")
    return lines


def _not_opened(trails: Sequence[TrailAudit], options: Options) -> list[str]:
    """Return what was left out because the caller wanted less than everything."""
    unopened = sum(trail.counts.unopened for trail in trails)
    if not unopened:
        return []
    if options.depth is Depth.STRUCTURE:
        return [f"packets: {unopened} were not opened, only the log itself was read"]
    lines = []
    if options.since:
        size = max(head.size for head in options.since)
        lines.append(f"packets before entry {size}: not opened again; an earlier audit did")
    if options.sample is not None:
        lines += [sample_meaning(trail, options) for trail in trails if trail.head is not None]
    return lines


def sample_meaning(trail: TrailAudit, options: Options) -> str:
    """Return what a sample says of the whole, in words (95 percent confidence).

    Of n entries drawn without replacement none was bad; were a share p of all bad, that would
    happen with a probability of at most (1 - p)^n, which is below 5 percent for p over
    1 - 0.05^(1/n).
    """
    assert trail.head is not None
    first = max((o.size for o in options.since if o.origin == trail.head.origin), default=0)
    span = max(0, trail.head.size - first)
    drawn = min(options.sample or 0, span)
    where = f"{trail.name}: sample: packets of {drawn} of {span} entries were opened"
    if not drawn:
        return f"{where}; that says nothing about the others"
    share = 1 - 0.05 ** (1 / drawn) if drawn < span else 0.0
    return (
        f"{where}, drawn with seed {options.seed}: if none of them is a finding, then with 95 % "
        f"confidence at most {share:.2%} of all entries have a packet that is one; replays of "
        "numbers among the others were not looked for"
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
