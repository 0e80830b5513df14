"""Issuers weigh what those whom the roster trusts from the start think of them, in the end."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.identity.roster import Roster
from qisguard.outcomes.reputation import NEWCOMER, Standings
from qisguard.outcomes.votes import Votes
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class EigenTrust:
    """Scale the votes of each issuer by its global trust, 1 for the median pre-trusted issuer.

    Pre-trusted are the ``founders`` issuers of the ``roster`` that were enrolled first. Weights are
    between the newcomers' floor and 1: no issuer counts more than the founders do.
    """

    roster: Roster
    standings: Standings = Standings()  # noqa: RUF009 frozen
    founders: int = 5
    restart: float = 0.15

    def __post_init__(self) -> None:
        if self.founders < 1:
            raise ValueError(f"founders = {self.founders}, must be at least 1")
        if not 0 < self.restart <= 1:
            raise ValueError(f"restart = {self.restart}, must be above 0 and at most 1")

    card = Card(
        "eigentrust",
        family="poisoning",
        summary="Votes weigh what pre-trusted issuers, and those they trust, found out.",
        capability="issuers and names that confirm each other's outcomes",
        breaks="cliques that vouch for one another",
        source="Kamvar, Schlosser and Garcia-Molina, WWW 2003",
        seen="weight by issuer; issuers that only a clique confirms",
        limits="Trust that honest issuers give a clique grows there (1 - restart) / restart times, "
        "5.7 at .15: pre-trust bounds it, and does not prevent it. A founder that is compromised "
        "decides for all. Honest issuers that are no founders weigh about half of those, and who "
        "confirms nobody's outcomes is not asked.",
    )

    def weigh(self, votes: Votes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights scaled by trust."""
        order = sorted(self.roster.issuers, key=lambda issuer: (issuer.enrolled, issuer.name))
        founders = [issuer.name for issuer in order[: self.founders]]
        trust = self.standings.trust(founders, self.restart)
        if not trust:
            return weights
        full = float(np.median([trust[name] for name in founders]))
        told = np.array([trust.get(name, 0.0) for name in votes.issuers]) / full
        return weights * np.clip(told, NEWCOMER, 1.0)[votes.issuer]
