"""A prefix limit: ids that share too many leading bits with ours were searched for."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class PrefixLimit:
    """Refuse ids that share more than ``bits_max`` leading bits with our own."""

    bits_max: int = 10

    card = Card(
        id="prefix_limit",
        family="routing",
        summary="ids that share more leading bits with ours than chance allows are not admitted",
        capability="grinds ids next to a victim",
        breaks="a sibling list filled with ids that were searched for",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 4.3 (chi)",
        seen="newcomers counted as 'not admitted: id too close'",
        limits="must exceed log2 of the network's size by some bits, or honest neighbours are "
        "refused; ids ground just below the limit pass it, and ids ground for one node pass it at "
        "that node's neighbours",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with that limit."""
        return replace(settings, node=replace(settings.node, shared_bits_max=self.bits_max))
