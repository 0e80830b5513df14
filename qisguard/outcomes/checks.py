"""What no weighed vote may be: refused before it becomes a number that looks fine.

Packets cannot say any of this (``packet`` and ``template`` see to it). Votes that come from
elsewhere, from the laboratory or a file of results, could.
"""

import numpy as np

from qisguard.errors import RecordError
from qisguard.outcomes.arrays import Bools
from qisguard.outcomes.packet import BINARY, NUMERIC
from qisguard.outcomes.template import OutcomeRule
from qisguard.outcomes.weighing import Weighed


def check_votes(weighed: Weighed, rule: OutcomeRule) -> None:
    """Raise RecordError that names the column, its first wrong row, and what is allowed."""
    votes, weights = weighed.votes, weighed.weights
    if votes.kind != rule.kind:
        raise RecordError(f"votes: kind = {votes.kind!r}, the template's is {rule.kind}")
    size = len(votes)
    columns = {
        "weights": weights,
        "issuer": votes.issuer,
        "arm": votes.arm,
        "event": votes.event,
        "case": votes.case,
    }
    for name, column in columns.items():
        if column.shape != (size,):
            raise RecordError(f"votes: {name} has shape {column.shape}, must be ({size},)")
    _require("weights", weights, np.isfinite(weights) & (weights > 0), "finite and above 0")
    _require("arm", votes.arm, (votes.arm == 0) | (votes.arm == 1), "0 or 1")
    groups = len(votes.issuers)
    known = (votes.issuer >= 0) & (votes.issuer < groups)
    _require("issuer", votes.issuer, known, f"0 to below {groups}")
    value, allowed = votes.value, "finite"
    fine: Bools = np.isfinite(value)
    if votes.kind == BINARY:
        fine, allowed = (value == 0) | (value == 1), "0 or 1"
    elif votes.kind != NUMERIC:
        fine, allowed = fine & (value >= 0), "finite and at least 0 days"
    _require("value", value, fine, allowed)


def _require(
    name: str, column: np.ndarray[tuple[int], np.dtype[np.generic]], fine: Bools, allowed: str
) -> None:
    if not fine.all():
        row = int(np.argmin(fine))
        raise RecordError(f"votes: {name}[{row}] = {column[row]}, must be {allowed}")
