"""Quick repair: replicas compare what they hold more often, and so find out who told two tales."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class QuickRepair:
    """Compares the replicas of a place every ``interval`` seconds."""

    interval: float = 60.0

    card = Card(
        id="quick_repair",
        family="storage",
        summary="replicas compare and complete what they hold every so many seconds",
        capability="an author that shows different bodies to different replicas",
        breaks="the time for which two versions live side by side",
        source="catalogue EQ1; anti-entropy, Demers et al., PODC 1987",
        seen="background datagrams grow as the interval shrinks",
        limits="says that an author lied, not which of its bodies is true",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with that interval."""
        return replace(settings, node=replace(settings.node, repair_interval=self.interval))
