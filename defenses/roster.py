"""Replicas and routes by roster: no search captures a key, and strangers route nobody.

In a permissioned network the replicas of a key are the closest ids *of the signed roster*, at most
two of one organisation, so no amount of id grinding captures a key; and only members enter routing
tables and look-ups, so no stranger can lead a look-up astray. Strangers may still open sessions and
publish: what their packets are worth is decided elsewhere.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from qisguard.config import ReplicaRule
from qisguard.identity.ids import NodeId
from qisguard.identity.roster import Roster
from qisguard.node.contact import Contact
from qisguard.plugins import Card, Rejected, Settings


@dataclass(frozen=True, slots=True)
class RosterRouting:
    """Place replicas by roster; admit to tables and look-ups only who is on it."""

    roster: Roster
    replicas_per_issuer: int = 2

    card = Card(
        id="roster_routing",
        family="routing",
        summary="replicas are the closest roster ids; tables and look-ups hold members only",
        capability="any number of identities with chosen ids, none of them on the roster",
        breaks="capture of a key by chosen ids; misrouting by strangers",
        source="design, section 3 (Replicas); Castro et al., OSDI 2002, section 3 (certified ids)",
        seen="strangers counted as 'not admitted: not on the roster'",
        limits="needs a signed roster; members can misroute; a stale roster refuses newcomers",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings that place replicas by roster."""
        node = replace(
            settings.node,
            replica_rule=ReplicaRule.ROSTER,
            replicas_per_issuer=self.replicas_per_issuer,
        )
        return replace(settings, node=node)

    def admit(
        self,
        contact: Contact,
        bucket: Sequence[Contact],
        table: Collection[Contact],
        now: float,
    ) -> Rejected | None:
        """Refuse a contact that is not on the roster."""
        return None if contact.id in self.roster.by_node else Rejected("not on the roster")

    def route(self, target: NodeId, candidates: Sequence[Contact], now: float) -> Sequence[Contact]:
        """Keep the candidates that are on the roster."""
        return [contact for contact in candidates if contact.id in self.roster.by_node]
