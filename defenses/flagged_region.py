"""Region store and read where a detector flags a key: the published answer to a flag."""

from dataclasses import dataclass, replace

from qisguard.config import ReplicaRule
from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class FlaggedRegion:
    """As ``region_store``, for keys that a detector flags; it needs a detector beside it."""

    replicas: int = 20
    region_max: int = 256

    card = Card(
        id="flagged_region",
        family="routing",
        summary="where a detector flags a key its whole expected neighbourhood is written and read",
        capability="identities ground to be the closest to a key, and more than a detector lets by",
        breaks="censorship of a key by those nearest to it",
        source="Sridhar et al., NDSS 2024, section 6",
        seen="flags, and more replicas of the keys that they are about",
        limits="who stays below the threshold meets no region; a false alarm costs one region; "
        "what a flag spread is published again and not repaired in between",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings that place replicas by region where a flag is raised."""
        node = replace(
            settings.node,
            replica_rule=ReplicaRule.FLAGGED,
            replica_count=self.replicas,
            region_max=self.region_max,
        )
        return replace(settings, node=node)
