"""Parallel look-ups: several are asked at a time on each path."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class ParallelLookUps:
    """Every path of a look-up has ``alpha`` requests in flight."""

    alpha: int = 10

    card = Card(
        id="parallel_look_ups",
        family="routing",
        summary="look-ups ask alpha contacts at a time on each path",
        capability="peers that are slow or silent",
        breaks="look-ups that wait for one peer at a time",
        source="Maymounkov and Mazieres, Kademlia, IPTPS 2002, section 2.3 (alpha)",
        seen="shorter look-ups, a few more requests",
        limits="a look-up still waits for the last of its k closest; no help against lies",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with that many requests in flight."""
        return replace(settings, node=replace(settings.node, alpha=self.alpha))
