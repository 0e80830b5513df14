"""What only shows when views of one log are compared: rollback and split views.

A log is compared with the checkpoints that the policy remembers and with other copies of it.
"""

from collections import defaultdict
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
    """Report contradictions between views of one log; return what could not be compared.

    Views of one size are compared with one of them that is signed, and smaller views with every
    tree: notes beside a trail are many, and somebody else's.
    """
    by_size: dict[int, list[View]] = defaultdict(list)
    for view in views:
        by_size[view.head.size].append(view)
    for same in by_size.values():
        first = next((view for view in same if view.is_signed), same[0])
        for view in same:
            if view.head.root != first.head.root:
                _report_split(first, view)
    unmeasured: list[str] = []
    for large in (view for view in views if view.tree is not None):
        for other in views:
            if other.head.size > large.head.size and other.tree is None:
                said = f"size {large.head.size}, but {other.name} has size {other.head.size}"
                large.out.add("AUD-14", large.file, f"{said}: rolled back")
            elif other.head.size < large.head.size:
                unmeasured += _check_growth(other, large, large.tree)
    return unmeasured


def _check_growth(small: View, large: View, tree: Tree | None) -> list[str]:
    found = tree.roots.get(small.head.size) if tree is not None and tree.holds else None
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
