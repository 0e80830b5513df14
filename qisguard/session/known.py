"""Descriptors that were found good a moment ago: same bytes, same answer, a sixth of the time.

Everybody can show a stolen descriptor of an honest peer. Signature, four curve points and puzzles
are checked once a minute for it, and the signature over the transcript every time.
"""

from collections import OrderedDict
from collections.abc import Callable

from qisguard.identity.descriptor import Descriptor

OpenDescriptor = Callable[[bytes], Descriptor]
"""Checks a peer's descriptor for this network and day; raises QisguardError."""


class Known:
    """Opens descriptors and remembers at most ``limit`` good ones until ``forget``."""

    __slots__ = ("_good", "_limit", "_open")

    def __init__(self, open_descriptor: OpenDescriptor, limit: int) -> None:
        self._open = open_descriptor
        self._limit = limit
        self._good: OrderedDict[bytes, Descriptor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._good)

    def __call__(self, data: bytes) -> Descriptor:
        """Return the descriptor in ``data``; raises what opening it raises, every time."""
        descriptor = self._good.get(data)
        if descriptor is None:
            descriptor = self._good[data] = self._open(data)
            if len(self._good) > self._limit:
                self._good.popitem(last=False)
        return descriptor

    def forget(self) -> None:
        """Check everything again: the day may have changed."""
        self._good.clear()
