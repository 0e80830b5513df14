"""Issuers weigh what their verified outcomes have shown."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.outcomes.reputation import Standings
from qisguard.outcomes.votes import Votes
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class BetaReputation:
    """Scale the votes of each issuer by the lower quantile of its Beta reputation.

    ``judge_max`` bounds the good evidence that one judge adds. Without ``standings`` everybody is
    a newcomer, and no weight changes against another.
    """

    standings: Standings = Standings()  # noqa: RUF009 frozen
    judge_max: float = 50.0

    def __post_init__(self) -> None:
        if not self.judge_max > 0:
            raise ValueError(f"judge_max = {self.judge_max}, must be above 0")

    card = Card(
        "beta_reputation",
        family="poisoning",
        summary="Votes weigh what the issuer's verified outcomes were worth; bad news lasts.",
        capability="issuers that lie where others can find out",
        breaks="on-off liars, equivocation, newcomers that vouch for themselves",
        source="Jøsang and Ismail 2002; asymmetric forgetting: after Sun et al. 2006 (on-off)",
        seen="issuers with refuted outcomes; weight by issuer falls",
        limits="Sees only what somebody verifies: who lies in one outcome of ten keeps three "
        "quarters of the gain, who knows its own weight a seventh. Patient liars keep full weight "
        "until the first lies are found. Judges that praise one another are believed: see "
        "eigentrust. Lies about yes or no are often true by chance, and confirmed. Honest "
        "hospitals with a verified outcome every other week weigh .78 on average, newcomers .05.",
    )

    def weigh(self, votes: Votes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights scaled by reputation."""
        return weights * self.standings.beta(votes.issuers, self.judge_max)[votes.issuer]
