"""What only shows when logs are compared: rollback, split views, numbers used twice.

A log is compared with the checkpoints that the policy remembers and with other copies of it; the
sequence numbers of a case are compared over all logs.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from qisguard.audit.findings import Findings
from qisguard.audit.packets import Sighting
from qisguard.audit.tree import Tree
from qisguard.trail.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class View:
    """One log as one reader saw it: a copy of the trail, or (no ``tree``) a checkpoint alone.

    Findings about it go to ``out``, in ``file``.
    """

    name: str
    head: Checkpoint
    is_signed: bool
    out: Findings
    file: str = "checkpoint"
    tree: Tree | None = None
    sightings: Sequence[Sighting] = field(default=())


def compare_views(views: Sequence[View]) -> list[str]:
    """Report contradictions between views of one log; return what could not be compared."""
    unmeasured: list[str] = []
    for number, view in enumerate(views):
        for other in views[:number]:
            unmeasured += _compare(other, view)
    return unmeasured


def _compare(first: View, second: View) -> list[str]:
    small, large = sorted((first, second), key=lambda view: view.head.size)
    if small.head.size == large.head.size:
        if small.head.root != large.head.root:
            _report_split(first, second)
        return []
    if large.tree is None:
        if small.tree is not None:
            small.out.add(
                "AUD-14",
                small.file,
                f"size {small.head.size}, but {large.name} has size {large.head.size}: rolled back",
            )
        return []
    found = large.tree.roots.get(small.head.size) if large.tree.holds else None
    if found is None:
        return [f"{large.name}: growth from {small.name} (its own tree does not hold)"]
    if found != small.head.root:
        large.out.add(
            "AUD-14",
            large.file,
            f"does not continue {small.name}: at size {small.head.size} its root is {found.hex()}, "
            f"not {small.head.root.hex()}",
        )
    return []


def _report_split(first: View, second: View) -> None:
    """Report two roots for one size."""
    both_signed = first.is_signed and second.is_signed
    second.out.add(
        "AUD-31" if both_signed else "AUD-14",
        second.file,
        f"size {second.head.size} has root {second.head.root.hex()} here and "
        f"{first.head.root.hex()} in {first.name}"
        + (", both signed" if both_signed else ", and not both are signed by a known key"),
    )


def check_sequences(views: Iterable[View]) -> None:
    """Report numbers of one (author, case) that repeat or fall, in one log or across logs."""
    cases: dict[tuple[bytes, bytes], list[tuple[View, Sighting]]] = defaultdict(list)
    for view in views:
        for sighting in view.sightings:
            cases[sighting.author, sighting.case].append((view, sighting))
    for seen in cases.values():
        if len(seen) > 1:
            _check_within(seen)
            _check_over(sorted(seen, key=lambda pair: pair[1].seq))


def _check_within(seen: Sequence[tuple[View, Sighting]]) -> None:
    """Within one log, the order of the log is the order of the numbers."""
    last: dict[str, Sighting] = {}
    for view, sighting in seen:
        before = last.get(view.name)
        if before is not None and sighting.seq < before.seq:
            _add(
                view,
                sighting,
                f"seq {sighting.seq} in entry {sighting.index}, after seq {before.seq} in entry "
                f"{before.index}",
            )
        last[view.name] = sighting


def _check_over(seen: Sequence[tuple[View, Sighting]]) -> None:
    """Over all logs, numbers are used once and days do not fall as they rise."""
    for (view, before), (other, after) in pairwise(seen):
        where = f"entry {before.index} of {view.name}"
        if before.seq == after.seq:
            kind = "replays" if before.body == after.body else "contradicts (equivocation)"
            _add(other, after, f"seq {after.seq} in entry {after.index} {kind} {where}")
        elif after.day < before.day and view is not other:
            _add(
                other,
                after,
                f"seq {after.seq} on day {after.day}, but seq {before.seq} on day {before.day} in "
                f"{where}",
            )


def _add(view: View, sighting: Sighting, summary: str) -> None:
    view.out.add("AUD-22", sighting.file, f"same author and case: {summary}")
