"""The static puzzle: a place costs 2^c1 times as many key pairs.

A rule and no seam: it is in the network, not in the settings of a node. The attack that it answers
runs on ``direct`` and computes both forms.
"""

from dataclasses import dataclass

from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class StaticPuzzle:
    """The hash of an id has ``static_puzzle_bits`` of the network leading zero bits."""

    card = Card(
        id="static_puzzle",
        family="Sybil",
        summary="an id counts only if its hash has c1 leading zero bits",
        capability="key pairs tried until an id lies in a wanted place",
        breaks="cheap choice of ids",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 4.1",
        seen="'static puzzle' refusals",
        limits="on where the network file asks for it; a factor, paid once by honest nodes too",
    )
