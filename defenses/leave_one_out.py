"""Flag a decision that hangs on one issuer, who weighs more on it than chance explains."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.outcomes.robust import MAD_TO_SIGMA, deviation
from qisguard.outcomes.synthesis import Evidence
from qisguard.plugins import Card, Rejected

STANDS_OUT = 4.0
"""Standard deviations of the issuers' influences, by their median absolute deviation."""
ISSUERS_MIN = 5
"""With fewer, what is usual among the others cannot be told."""


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """Flag the issuer without which the decision would be the opposite.

    With ``ISSUERS_MIN`` issuers or more its influence has to stand out as well: without any attack
    a close decision hangs on whoever is left out, which the answer's state says.
    """

    card = Card(
        "leave_one_out",
        family="poisoning",
        summary="Reports the issuer without whom the other arm would have been chosen, if it "
        "stands out.",
        capability="one compromised issuer, or a flood of unknown keys",
        breaks="a decision that one party made alone",
        source="Cook 1977 (influence of a case), by issuer; design, section 5",
        seen="a flag that names an issuer",
        limits="Two issuers that collude hide each other, and it says nothing about which side is "
        "right.",
    )

    def watch(self, evidence: Evidence) -> Rejected | None:
        """Return a flag that names the issuer, or None."""
        if len(evidence.issuers) < 2:
            return None
        towards = evidence.without * np.sign(evidence.difference)
        worst = int(np.argmin(towards))
        if towards[worst] >= 0 or not _stands_out(evidence.without - evidence.difference, worst):
            return None
        return Rejected(
            f"without {evidence.issuers[worst]} the difference is {evidence.without[worst]:+.3f} "
            f"instead of {evidence.difference:+.3f}"
        )


def _stands_out(influence: NDArray[np.float64], place: int) -> bool:
    """Return whether one of (m,) influences is far from what is usual among them."""
    if len(influence) < ISSUERS_MIN:
        return True
    centre, spread = deviation(influence, np.ones(len(influence)))
    return bool(abs(influence[place] - centre) > STANDS_OUT * MAD_TO_SIGMA * spread)
