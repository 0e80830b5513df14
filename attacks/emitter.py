"""Endpoints below the protocol: one that throws datagrams, and the victim that they should hit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qisguard.identity.address import Address
from qisguard.plugins import Counted, Send

BURST = 4_096
"""Datagrams that are thrown in one call at most."""


@dataclass(slots=True)
class Tally:
    """What attackers sent and what reached their victim, in bytes; and where the victim lives."""

    address: Address = ("0.0.0.0", 1)
    sent: int = 0
    received: int = 0


class Emitter:
    """Throws datagrams at their times, in seconds after its first moment; hears nothing."""

    def __init__(self, sends: Iterable[tuple[float, Send]], tally: Tally | None = None) -> None:
        self._sends: Iterator[tuple[float, Send]] = iter(sends)
        self._next: tuple[float, Send] | None = None
        self._tally = tally or Tally()
        self._began: float | None = None
        self._pending: list[Send] = []
        self._count = 0

    def tell(self) -> Mapping[str, Counted]:
        """See ``Tells``."""
        return {"attack_datagrams": float(self._count)}

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Do not care."""

    def handle_timer(self, now: float) -> None:
        """Throw what is due."""
        if self._began is None:
            self._began = now
            self._next = next(self._sends, None)
        for _ in range(BURST):
            if self._next is None or self._began + self._next[0] > now:
                break
            self._pending.append(self._next[1])
            self._tally.sent += len(self._next[1].data)
            self._count += 1
            self._next = next(self._sends, None)

    def next_timer(self) -> float | None:
        """See ``Endpoint``."""
        if self._began is None:
            return 0.0
        return None if self._next is None else self._began + self._next[0]

    def flush(self) -> None:
        """Nothing is stored."""

    def effects(self) -> Sequence[Send]:
        """Return what is to be sent."""
        pending, self._pending = self._pending, []
        return pending


class Victim:
    """Somebody who never asked for anything; tells what reached it for each byte of the attack."""

    def __init__(self, address: Address, tally: Tally) -> None:
        self._tally = tally
        tally.address = address

    def tell(self) -> Mapping[str, Counted]:
        """See ``Tells``."""
        return {"amplification": self._tally.received / max(self._tally.sent, 1)}

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Suffer."""
        self._tally.received += len(data)

    def handle_timer(self, now: float) -> None:
        """Nothing is ever due."""

    def next_timer(self) -> float | None:
        """See ``Endpoint``."""
        return None

    def flush(self) -> None:
        """Nothing is stored."""

    def effects(self) -> Sequence[Send]:
        """Say nothing."""
        return ()
