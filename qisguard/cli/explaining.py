"""The steps of an answer as lines: what went from where to where, and which issuers lost by it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qisguard.cli.words import table

if TYPE_CHECKING:
    from qisguard.outcomes.explain import Loss, Step

LOSSES_SHOWN = 5


def explained(steps: "Sequence[Step]") -> str:
    """Return a table with a row for each step, and a row for each issuer that lost most in it."""
    rows = [["step", "what", "before", "after", "why"]]
    for place, step in enumerate(steps, 1):
        numbers = [_number(step.before), _number(step.after)]
        rows.append([f"{place} {step.name}", step.what, *numbers, step.why])
        rows += [["", "", "", "", f"  {_loss(loss)}"] for loss in step.lost[:LOSSES_SHOWN]]
        if more := step.lost[LOSSES_SHOWN:]:
            rows.append(["", "", "", "", f"  and {len(more)} more issuers"])
    return table(rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _loss(loss: "Loss") -> str:
    if loss.votes is None or loss.weight is None:
        return f"{loss.issuer}: too few votes to tell"
    return f"{loss.issuer}: {loss.weight:,.4g} of weight, {loss.votes:,} votes"
