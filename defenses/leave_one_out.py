"""Flag a decision that hangs on one issuer."""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.synthesis import Evidence
from qisguard.plugins import Card, Rejected


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """Flag the issuer without which the decision would be the opposite."""

    card = Card(
        "leave_one_out",
        family="poisoning",
        summary="Reports the issuer without whom the other arm would have been chosen.",
        capability="one compromised issuer, or a flood of unknown keys",
        breaks="a decision that one party made alone",
        source="Cook 1977 (influence of a case), by issuer; design, section 5",
        seen="a flag that names an issuer",
        limits="Two issuers that collude hide each other. It flags close honest decisions too, "
        "and says nothing about which side is right.",
    )

    def watch(self, evidence: Evidence) -> Rejected | None:
        """Return a flag that names the issuer, or None."""
        if len(evidence.issuers) < 2:
            return None
        towards = evidence.without * np.sign(evidence.difference)
        worst = int(np.argmin(towards))
        if towards[worst] >= 0:
            return None
        return Rejected(
            f"without {evidence.issuers[worst]} the difference is {evidence.without[worst]:+.3f} "
            f"instead of {evidence.difference:+.3f}"
        )
