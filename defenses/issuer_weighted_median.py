"""Decide on the issuer in the middle of the weight, where small issuers weigh less."""

from dataclasses import dataclass, replace

from qisguard.outcomes.estimate import ISSUER_TRIMMED
from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class IssuerWeightedMedian:
    """Decide on the weighted median of issuers' differences when ``min_issuers`` have both arms."""

    min_issuers: int = 5
    card = Card(
        "issuer_weighted_median",
        family="poisoning",
        summary="The decision is the weighted median of one difference per issuer, weights capped.",
        capability="one or a few compromised issuers, any number of invented cases or keys",
        breaks="up to just under half of the issuers' weight turned",
        source="Edgeworth 1888; docs/decisions/0002-deciding-across-issuers.md",
        seen="pooled and per-issuer answers differ; an issuer far from the others",
        limits="Turned issuers of 20 flip the GBSG2 decision in .038, .081, .141, .239, .370 of "
        "samples for one to five. No bound of its own is told. The arms shown are those of the "
        "issuer in the middle, with an interval as wide as issuers differ.",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return the settings with the decision across issuers."""
        synthesis = replace(
            settings.synthesis,
            decide=ISSUER_TRIMMED,
            across="weighted-median",
            min_issuers=self.min_issuers,
        )
        return replace(settings, synthesis=synthesis)
