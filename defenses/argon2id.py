"""Argon2id for the dynamic puzzle: each try fills memory, so special hardware gains little."""

from dataclasses import dataclass

from msgspec.structs import replace

from qisguard.defenses.puzzles import BITS_MAX
from qisguard.identity.network import Network
from qisguard.identity.puzzle import (
    MEMORY_DEFAULT,
    MEMORY_MAX,
    MEMORY_MIN,
    PASSES_DEFAULT,
    PASSES_MAX,
    PASSES_MIN,
    PuzzleForm,
)
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class Argon2idPuzzle:
    """Each id needs a solution of ``dynamic_bits``; a try fills ``memory`` KiB ``passes`` times."""

    dynamic_bits: int = 4
    memory: int = MEMORY_DEFAULT
    passes: int = PASSES_DEFAULT

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("dynamic_bits", self.dynamic_bits, 0, BITS_MAX),
            ("memory", self.memory, MEMORY_MIN, MEMORY_MAX),
            ("passes", self.passes, PASSES_MIN, PASSES_MAX),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name} = {value}, must be {low} to {high}")

    card = Card(
        id="argon2id_puzzle",
        family="identity",
        summary="every try at the dynamic puzzle fills memory (Argon2id)",
        capability="makes identities within a budget of work",
        breaks="floods of identities; grinding of ids next to a key",
        source="RFC 9106; Baumgart and Mies, S/Kademlia, ICPADS 2007, section 4.1",
        seen="time to create an identity; 'dynamic puzzle' among drops",
        limits="a factor for each id that is used, none for the keys tried for a place; whoever "
        "checks a solution pays for one try as well",
    )

    def price(self, network: Network) -> Network:
        """Return the network with this puzzle in place of its dynamic one."""
        form = PuzzleForm.ARGON2ID
        return replace(
            network, c2=self.dynamic_bits, puzzle=form, memory=self.memory, passes=self.passes
        )
