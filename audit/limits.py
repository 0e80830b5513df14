"""What an audit does not say, whatever it found: the reader has to know it."""

from collections.abc import Mapping, Sequence

from qisguard.audit.findings import printable
from qisguard.audit.one import Options, TrailAudit
from qisguard.audit.packets import Depth
from qisguard.audit.policy import Policy
from qisguard.audit.witnessed import Witnessed


def not_covered(
    trails: Sequence[TrailAudit],
    policy: Policy | None,
    options: Options,
    witnessed: Mapping[str, Witnessed],
) -> list[str]:
    """Return what this audit does not say, whatever it found."""
    lines = ["completeness: a log proves what was logged, not that everything was"]
    if not any(seen.marks for seen in witnessed.values()) and not any(
        trail.stamped.marks for trail in trails
    ):
        lines.append("time: days are the node's own; no witness or notary confirms them here")
    lines += _never_held(trails)
    for trail in trails:
        for file, evidence in trail.beside.evidence:
            if policy is None or evidence.key not in policy.logs:
                name = printable(evidence.key.name)
                lines.append(
                    f"{trail.name}/{file}: against {name!r}, a key nobody here vouches for"
                )
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


def _never_held(trails: Sequence[TrailAudit]) -> list[str]:
    """Return how many packets that were sent nobody here received, as far as counts can say.

    A batch is a root and a count: which packets were in it is not in the log.
    """
    sent = sum(trail.counts.publish for trail in trails)
    held = sum(trail.counts.held_packets for trail in trails)
    if len(trails) < 2:
        return []
    if sent > held:
        return [
            f"receipt: {sent} packets were published and {held} held by the logs given: at least "
            f"{sent - held} were received by none of them"
        ]
    return ["receipt: batches are roots and counts, so which packets others held is not checked"]


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
