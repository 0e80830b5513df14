"""Disjoint paths: one look-up is several, and no node is used by two of them."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class DisjointPaths:
    """Every look-up runs over ``paths`` disjoint paths."""

    paths: int = 4

    card = Card(
        id="disjoint_paths",
        family="routing",
        summary="look-ups run over d paths that share no node",
        capability="a share of all identities that drop or misdirect look-ups",
        breaks="look-ups that depend on a single path",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 4.4",
        seen="messages of a look-up grow with d",
        limits="more nodes see what is looked for; no help where the ids around a key are bought",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with that many paths."""
        return replace(settings, node=replace(settings.node, disjoint_paths=self.paths))
