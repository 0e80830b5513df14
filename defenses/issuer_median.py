"""Decide on the median issuer: the least worst-case bias there is, for a wider error."""

from dataclasses import dataclass, replace

from qisguard.outcomes.estimate import ISSUER_TRIMMED
from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class IssuerMedian:
    """Decide on the median of issuers' differences when ``min_issuers`` have both arms."""

    min_issuers: int = 5
    card = Card(
        "issuer_median",
        family="poisoning",
        summary="The decision is the median of one difference per issuer, all alike.",
        capability="one or a few compromised issuers, any number of invented cases or keys",
        breaks="up to just under half of the issuers turned",
        source="Edgeworth 1888; minimax bias: Huber 1964, section 5",
        seen="pooled and per-issuer answers differ; an issuer far from the others",
        limits="Turned issuers of 20 flip the GBSG2 decision in .044, .085, .150, .240, .370 of "
        "samples for one to five. No bound of its own is told. The arms shown are those of the "
        "issuer in the middle, with an interval as wide as issuers differ.",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return the settings with the decision across issuers."""
        synthesis = replace(
            settings.synthesis,
            decide=ISSUER_TRIMMED,
            across="median",
            min_issuers=self.min_issuers,
        )
        return replace(settings, synthesis=synthesis)
