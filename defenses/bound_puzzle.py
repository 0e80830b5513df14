"""The bound dynamic puzzle: a solution serves one id, in one network, in one epoch.

A rule and no seam: it is in the network, not in the settings of a node. The attack that it answers
runs on ``direct`` and computes both forms.
"""

from dataclasses import dataclass

from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class BoundPuzzle:
    """The dynamic puzzle hashes network, epoch, id and solution side by side."""

    card = Card(
        id="bound_puzzle",
        family="Sybil",
        summary="a puzzle solution is bound to id, network and epoch",
        capability="one solution offered for many ids, or solutions kept from before",
        breaks="identities without work",
        source="against Baumgart and Mies, ICPADS 2007, section 4.1",
        seen="'dynamic puzzle' refusals",
        limits="always on here; whoever pays 2^c2 for each identity has them",
    )
