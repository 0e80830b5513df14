"""Refuse versions of a case that do not follow the one that is held."""

from dataclasses import dataclass

from qisguard.outcomes.packet import OutcomePacket
from qisguard.plugins import Card, Rejected


@dataclass(frozen=True, slots=True)
class Sequence:
    """Let ``seq`` of one (author, case) rise, by at most ``jump`` at a time, starting from 0.

    The bound keeps a stolen key from burning the numbers: without it one packet with the highest
    number silences its owner for ever.
    """

    jump: int = 10_000

    def __post_init__(self) -> None:
        if self.jump < 1:
            raise ValueError(f"jump = {self.jump}, must be at least 1")

    card = Card(
        "sequence",
        family="poisoning",
        summary="A newer version of a case replaces the older, never the other way round.",
        capability="replay of old signed packets; a stolen author key",
        breaks="stale outcomes, two versions under one number, exhausted sequence numbers",
        source="BEP 44, error 302; design, section 1",
        seen="packets dropped as 'stale version', 'equivocation' or 'sequence jump'",
        limits="Knows only what is held: a reader that meets an old version first accepts it.",
    )

    def accept(
        self, packet: OutcomePacket, held: OutcomePacket | None, today: int
    ) -> Rejected | None:
        """Return a refusal unless the packet is the next version."""
        seq, last = packet.body.seq, held.body.seq if held else 0
        if seq > last + self.jump:
            return Rejected("sequence jump")
        if held is None or seq > last:
            return None
        return Rejected("stale version" if seq < last else "equivocation")
