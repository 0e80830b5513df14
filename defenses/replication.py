"""Replication: a record lies on so many nodes that one of them will be honest."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class Replication:
    """Keeps every record on ``replicas`` nodes."""

    replicas: int = 20

    card = Card(
        id="replication",
        family="storage",
        summary="keeps every record on more nodes",
        capability="a share of all identities that forget, forge or serve what is old",
        breaks="loss of records: P(readable) = 1 - m^replicas",
        source="Maymounkov and Mazieres, Kademlia, IPTPS 2002, section 2.3 (k = 20)",
        seen="writes and reads cost as many messages more",
        limits="no help where the ids around a key are bought",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with that many replicas."""
        return replace(settings, node=replace(settings.node, replica_count=self.replicas))
