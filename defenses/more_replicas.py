"""More replicas: a record outlives those of its keepers that leave or lie."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class MoreReplicas:
    """Keep every record on ``replicas`` nodes."""

    replicas: int = 20

    card = Card(
        id="more_replicas",
        family="storage",
        summary="records are kept by more of the nodes closest to their key",
        capability="a share of all identities, at random places, that leave or lie",
        breaks="records whose keepers are all bad: a chance of m^k",
        source="Srivatsa and Liu, ACSAC 2004; catalogue, ST1 and CH1",
        seen="more stored bytes and more messages for each write",
        limits="no help where the ids around a key are bought",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with that many replicas."""
        return replace(settings, node=replace(settings.node, replica_count=self.replicas))
