"""The kinds of outcome, by name: which tally speaks for which."""

from qisguard.outcomes.arrays import Floats
from qisguard.outcomes.medians import Medians
from qisguard.outcomes.packet import BINARY, NUMERIC, TIME_TO_EVENT
from qisguard.outcomes.shares import Shares
from qisguard.outcomes.survivals import Survivals
from qisguard.outcomes.tally import Scale, Tally
from qisguard.outcomes.template import OutcomeRule
from qisguard.outcomes.votes import Votes

KINDS: dict[str, type[Shares | Medians | Survivals]] = {
    BINARY: Shares,
    NUMERIC: Medians,
    TIME_TO_EVENT: Survivals,
}


def tally(votes: Votes, weights: Floats, rule: OutcomeRule, horizon: int | None = None) -> Tally:
    """Return the tally of weighed votes, at least one in each arm.

    ``horizon`` in days replaces the rule's.
    """
    return KINDS[rule.kind].of(votes, weights, rule, horizon or rule.horizon)


def scale(rule: OutcomeRule, horizon: int | None = None) -> Scale:
    """Return what would be compared, and in what unit, whoever votes."""
    return KINDS[rule.kind].scale_for(rule, horizon or rule.horizon)
