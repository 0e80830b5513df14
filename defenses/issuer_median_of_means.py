"""Decide on the median of block means: a mean's error and a median's resistance, both in part."""

from dataclasses import dataclass, replace

from qisguard.outcomes.estimate import ISSUER_TRIMMED
from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class IssuerMedianOfMeans:
    """Decide on the median of means of issuers' differences when ``min_issuers`` have both arms."""

    min_issuers: int = 5
    card = Card(
        "issuer_median_of_means",
        family="poisoning",
        summary="The decision is the median of seven block means of issuers' differences.",
        capability="one or a few compromised issuers, any number of invented cases or keys",
        breaks="heavy tails among many issuers, none of them an attacker",
        source="Nemirovsky and Yudin 1983, section 2.2; Lugosi and Mendelson 2019, section 2",
        seen="pooled and per-issuer answers differ; an issuer far from the others",
        limits="Worse than a median everywhere that was measured: turned issuers of 20 flip the "
        "GBSG2 decision in .143, .329, .563, .807, .931 of samples for one to five, and .046 flip "
        "without any; its interval is twice as wide. No guaranteed flip radius is known.",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return the settings with the decision across issuers."""
        synthesis = replace(
            settings.synthesis,
            decide=ISSUER_TRIMMED,
            across="median-of-means",
            min_issuers=self.min_issuers,
        )
        return replace(settings, synthesis=synthesis)
