"""Decide on Huber's location of the issuers: nearly a mean, whose outliers have a bounded pull."""

from dataclasses import dataclass, replace

from qisguard.outcomes.estimate import ISSUER_TRIMMED
from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class IssuerHuber:
    """Decide on the Huber location of issuers' differences when ``min_issuers`` have both arms."""

    min_issuers: int = 5
    card = Card(
        "issuer_huber",
        family="poisoning",
        summary="The decision is Huber's estimate of one difference per issuer, weights capped.",
        capability="one or a few compromised issuers, any number of invented cases or keys",
        breaks="one or two issuers that report the worst there is",
        source="Huber 1964; scale: normalised MAD (Hampel 1974)",
        seen="pooled and per-issuer answers differ; an issuer far from the others",
        limits="The narrowest interval without an attack, and early to fall under one: turned "
        "issuers of 20 flip the GBSG2 decision in .050, .144, .337, .581, .827 of samples for one "
        "to five. No guaranteed flip radius is known.",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return the settings with the decision across issuers."""
        synthesis = replace(
            settings.synthesis,
            decide=ISSUER_TRIMMED,
            across="huber",
            min_issuers=self.min_issuers,
        )
        return replace(settings, synthesis=synthesis)
