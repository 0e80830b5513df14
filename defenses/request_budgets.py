"""Request budgets: what one identity, and one organisation or network, may ask of a node."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class RequestBudgets:
    """Answers ``per_identity`` requests a second, and ``per_organisation`` of one group."""

    per_identity: float = 50.0
    per_organisation: float = 250.0

    card = Card(
        id="request_budgets",
        family="flooding",
        summary="answers so many requests a second of one identity, and of one organisation",
        capability="identities with sessions that ask without end",
        breaks="floods inside sessions",
        source="py-ipv8 (10 queries in 5 s for each node); OpenDHT (1,024 requests/s per address)",
        seen="'busy: request budget'",
        limits="a budget below what honest bulk work needs slows it; it is asked again later",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with these budgets."""
        node = replace(
            settings.node,
            requests_per_second=self.per_identity,
            organisation_requests_per_second=self.per_organisation,
        )
        return replace(settings, node=node)
