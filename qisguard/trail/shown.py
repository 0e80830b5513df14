"""The trail of this node as others are shown it: its head, and proofs that it grew."""

from collections.abc import Sequence

from qisguard.trail.checkpoint import Checkpoint, Line
from qisguard.trail.files import Files
from qisguard.trail.log import Trail
from qisguard.trail.proofs import TreeReader


class ShownTrail:
    """A trail whose tiles lie in ``public``."""

    def __init__(self, trail: Trail, public: Files) -> None:
        self._trail = trail
        self._public = public

    @property
    def head(self) -> Checkpoint:
        """Return the last signed checkpoint."""
        return self._trail.head

    def cosign(self, size: int, lines: Sequence[Line]) -> Checkpoint:
        """Publish the checkpoint of ``size`` with lines of witnesses, verified, added to it."""
        return self._trail.cosign(size, lines)

    def prove_growth(self, old_size: int, new_size: int) -> list[bytes]:
        """Return the consistency proof between two sizes, both at most that of the head.

        Raises:
            ProofError: there are no such sizes.
            TrailError: a tile is missing or damaged.
        """
        head = self._trail.head
        reader = TreeReader(self._public.read, head)
        if new_size != head.size:
            older = Checkpoint(head.origin, new_size, reader.root_at(new_size))
            reader = TreeReader(self._public.read, older)
        return reader.consistency(old_size)
