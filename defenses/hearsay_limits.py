"""Hearsay limits: few Hellos go to an address that proved nothing, whoever named it."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class HearsayLimits:
    """Knocks where one informant says, at one network that proved nothing, ``burst`` times at once.

    After that it knocks ``per_second``, and ``per_network`` on the word of all together.
    """

    per_second: float = 0.5
    burst: float = 4.0
    per_network: float = 2.0

    card = Card(
        id="hearsay_limits",
        family="reflection",
        summary="bounds the Hellos to one network that proved no id",
        capability="liars that name a victim's address under invented ids",
        breaks="reflection by hearsay",
        source="docs/decisions/0013: who names an address answers for it",
        seen="'not connected: hearsay hellos to one network'",
        limits="each node has its own bound, and they add up; honest newcomers of one /24 wait",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with these limits."""
        node = replace(
            settings.node,
            hearsay_hellos_per_second=self.per_second,
            hearsay_hellos_burst=self.burst,
            hearsay_hellos_per_network=self.per_network,
        )
        return replace(settings, node=node)
