"""What only shows when views of one log are compared: rollback and split views.

A log is compared with the checkpoints that the policy remembers and with other copies of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qisguard.audit.findings import Findings
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
