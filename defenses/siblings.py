"""Redundant siblings: everybody knows more of its neighbours than it needs."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class RedundantSiblings:
    """Sibling lists of ``factor`` times ``siblings`` contacts (eta and s of S/Kademlia)."""

    siblings: int = 16
    factor: int = 5

    card = Card(
        id="redundant_siblings",
        family="routing",
        summary="sibling lists hold eta * s neighbours, so that each knows all s around a key",
        capability="a share of all identities that drop, misdirect or leave",
        breaks="look-ups that end one neighbour short",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 4.2",
        seen="larger tables, more pings after joins",
        limits="ids ground next to a key crowd a list of any length",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with lists of that length."""
        node = replace(settings.node, siblings=self.siblings, sibling_factor=self.factor)
        return replace(settings, node=node)
