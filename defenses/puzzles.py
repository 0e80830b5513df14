"""Crypto puzzles: an identity costs its owner work, and one in a chosen place far more."""

from dataclasses import dataclass

from msgspec.structs import replace

from qisguard.identity.network import Network
from qisguard.plugins import Card

BITS_MAX = 24
"""More would take a laboratory longer than its trials."""


@dataclass(frozen=True, slots=True)
class Puzzles:
    """Ids need ``static_bits`` (c1), and each epoch a solution of ``dynamic_bits`` (c2)."""

    static_bits: int = 6
    dynamic_bits: int = 6

    def __post_init__(self) -> None:
        for name in ("static_bits", "dynamic_bits"):
            if not 0 <= getattr(self, name) <= BITS_MAX:
                raise ValueError(f"{name} = {getattr(self, name)}, must be 0 to {BITS_MAX}")

    card = Card(
        id="puzzles",
        family="identity",
        summary="every identity solves two crypto puzzles before anybody talks to it",
        capability="makes identities, at random or in chosen places, within a budget of work",
        breaks="floods of identities; grinding of ids next to a key",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 4.1",
        seen="time to create an identity; 'static puzzle' and 'dynamic puzzle' among drops",
        limits="honest nodes pay the same price; an attacker with 2^n times the work has as many "
        "ids as before; small networks are too cheap to grind for any bearable price",
    )

    def price(self, network: Network) -> Network:
        """Return the network with these puzzles."""
        return replace(network, c1=self.static_bits, c2=self.dynamic_bits)
