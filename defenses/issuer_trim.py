"""Decide across issuers, so that no single one can carry the decision."""

from dataclasses import dataclass, replace

from qisguard.outcomes.estimate import ISSUER_TRIMMED
from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class IssuerTrim:
    """Decide on a trimmed mean of per-issuer differences when ``min_issuers`` have both arms."""

    trim_ratio: float = 0.30
    min_issuers: int = 5
    card = Card(
        "issuer_trim",
        family="poisoning",
        summary="The decision is a trimmed mean of one difference per issuer, weights capped.",
        capability="one or a few compromised issuers, any number of invented cases or keys",
        breaks="aged identities of one issuer, floods of unknown keys, invented cases",
        source="docs/decisions/0002-deciding-across-issuers.md; Huber 1981, section 3.3",
        seen="pooled and per-issuer answers differ; an issuer far from the others",
        limits="With 20 issuers it bends at two compromised ones and fails at five. The interval "
        "is about a third wider. Issuers with one arm only do not take part.",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return the settings with the decision across issuers."""
        synthesis = replace(
            settings.synthesis,
            decide=ISSUER_TRIMMED,
            trim_ratio=self.trim_ratio,
            min_issuers=self.min_issuers,
        )
        return replace(settings, synthesis=synthesis)
