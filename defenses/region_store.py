"""Region store and read: a key lives with everybody around it, not with the nearest alone."""

from dataclasses import dataclass, replace

from qisguard.config import ReplicaRule
from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class RegionStore:
    """A key lives where ``replicas`` nodes are expected around it, on at most ``region_max``."""

    replicas: int = 20
    region_max: int = 256

    card = Card(
        id="region_store",
        family="routing",
        summary="records are kept and sought by every node in the key's expected neighbourhood",
        capability="identities ground to be the closest to a key",
        breaks="censorship of a key by those nearest to it",
        source="Sridhar et al., NDSS 2024, section 6; de Moura Netto et al., 2025",
        seen="about twice as many replicas of each key; more where ids are crowded",
        limits="costs messages on every write and read; rests on an estimate of the network's "
        "size, which Sybils inflate; whole regions can be bought where ids are cheap",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings that place replicas by region."""
        node = replace(
            settings.node,
            replica_rule=ReplicaRule.REGION,
            replica_count=self.replicas,
            region_max=self.region_max,
        )
        return replace(settings, node=node)
