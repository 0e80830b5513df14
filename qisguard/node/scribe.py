"""What a node writes into its trail, and when it signs it.

- What was published, taken for others and fetched is noted before anybody is told of it.
- The trail is signed every so often, and sooner when much waits for it: signing writes every packet
  that was published since the last time to a file of its own, and the node does nothing else
  meanwhile. Nothing waits for a checkpoint: what is acknowledged is durable before.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from qisguard.config import NodeConfig
from qisguard.node.reading import Retrieved
from qisguard.outcomes.packet import OutcomePacket
from qisguard.trail import entries

if TYPE_CHECKING:
    from qisguard.trail.log import Trail


class Scribe:
    """Writes the ``trail`` of one node, if it keeps one; every method may raise TrailError.

    ``now`` is in seconds, ``day`` a calendar day.
    """

    def __init__(self, trail: "Trail | None", config: NodeConfig, now: float) -> None:
        self._trail = trail
        self._interval = config.checkpoint_interval
        self._entries_max = config.checkpoint_entries_max
        self._next = now + self._interval

    def published(self, packets: Iterable[OutcomePacket], known: set[bytes], day: int) -> None:
        """Note packets that this node publishes, but for those ``known`` from before."""
        if self._trail:
            for data in dict.fromkeys(packet.data for packet in packets):
                if data not in known:  # a log never repeats itself
                    self._trail.append(entries.publish(day, data), [data])

    def held(self, digests: Sequence[bytes], day: int) -> None:
        """Note packets that were taken for others."""
        if self._trail and digests:
            self._trail.append(entries.hold(day, digests))

    def fetched(self, value: object, day: int) -> None:
        """Note what an operation has fetched, if it did."""
        if self._trail and isinstance(value, Retrieved) and value.packets:
            self._trail.append(entries.fetch(day, value.key, value.packets))

    def flush(self) -> None:
        """Make durable what was noted."""
        if self._trail:
            self._trail.flush()

    def next_timer(self, now: float) -> float:
        """Return when to sign: at once when ``checkpoint_entries_max`` wait for it."""
        is_full = self._trail is not None and self._trail.pending_count >= self._entries_max
        return now if is_full else self._next

    def sign(self, now: float) -> None:
        """Sign everything that was noted."""
        self._next = now + self._interval
        if self._trail:
            self._trail.checkpoint()
