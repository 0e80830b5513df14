"""The four arms of a scenario: with and without the attack, with and without the defences.

All arms of one seed share the honest nodes, the workload and the network's luck, so that their
results can be compared pair by pair.
"""

from enum import StrEnum


class Arm(StrEnum):
    """Which of the two, attack and defences, a trial has."""

    CLEAN = "clean"
    ATTACKED = "attacked"
    DEFENDED = "defended"
    GUARDED = "guarded"

    @property
    def has_attack(self) -> bool:
        """Return whether somebody attacks."""
        return self in (Arm.ATTACKED, Arm.DEFENDED)

    @property
    def has_defenses(self) -> bool:
        """Return whether the defences are on; ``guarded`` shows what they cost honest nodes."""
        return self in (Arm.DEFENDED, Arm.GUARDED)


def arms_of(has_defenses: bool) -> tuple[Arm, ...]:
    """Return the arms that a scenario needs: two without defences, otherwise all."""
    return tuple(Arm) if has_defenses else (Arm.CLEAN, Arm.ATTACKED)
