"""Hearsay limits: few Hellos go to an address that proved nothing, whoever named it."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class HearsayLimits:
    """Knocks ``per_second`` at one network that proved nothing, ``burst`` at once."""

    per_second: float = 0.5
    burst: float = 4.0
    handshakes: int = 4

    card = Card(
        id="hearsay_limits",
        family="reflection",
        summary="bounds the Hellos to one network that proved no id",
        capability="liars that name a victim's address under invented ids",
        breaks="reflection by hearsay",
        source="design, section 3 (Sessions); node settings hearsay_*",
        seen="'not connected: hearsay hellos to one network'",
        limits="each node has its own bound, and they add up; honest newcomers of one /24 wait",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with these limits."""
        node = replace(
            settings.node,
            hearsay_hellos_per_second=self.per_second,
            hearsay_hellos_burst=self.burst,
            handshakes_per_address_max=self.handshakes,
        )
        return replace(settings, node=node)
