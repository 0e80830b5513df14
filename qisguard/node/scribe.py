"""What a node writes into its trail, and when it signs it.

- What was published, taken for others and fetched is noted before anybody is told of it.
- Packets that were taken for others are one entry for each flush, up to a number of entries a day
  for whoever pays for them, and for all together; what comes beyond it is one entry for everybody
  each time the trail is signed. So nobody can fill a trail; a crash costs such late notes alone.
- The trail is signed every so often, and sooner when much waits for it: signing writes every packet
  that was published since the last time to a file of its own, and the node does nothing else
  meanwhile. Nothing waits for a checkpoint: what is acknowledged is durable before.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from qisguard.config import NodeConfig
from qisguard.node.reading import Retrieved
from qisguard.outcomes.packet import OutcomePacket
from qisguard.trail import entries

if TYPE_CHECKING:
    from qisguard.trail.log import Trail


HOLDS_MAX = 1_000
"""Entries a day that one payer may cause by packets held for others, and no more at once."""
HOLDS_TOTAL_MAX = 20_000
"""Entries a day that all payers together may cause so."""
LATE_MAX = 1 << 16
"""Digests that wait for the next signing; when there are more they are noted at once."""


class Scribe:
    """Writes the ``trail`` of one node, if it keeps one; every method may raise TrailError.

    ``now`` is in seconds, ``day`` a calendar day.
    """

    def __init__(self, trail: "Trail | None", config: NodeConfig, now: float) -> None:
        self._trail = trail
        self._interval = config.checkpoint_interval
        self._entries_max = config.checkpoint_entries_max
        self._next = now + self._interval
        self._day = 0
        self._holds: Counter[str] = Counter()
        self._late: list[bytes] = []

    def published(self, packets: Iterable[OutcomePacket], known: set[bytes], day: int) -> None:
        """Note packets that this node publishes, but for those ``known`` from before."""
        if self._trail:
            for data in dict.fromkeys(packet.data for packet in packets):
                if data not in known:  # a log never repeats itself
                    self._trail.append(entries.publish(day, data), [data])

    def held(self, taken: Sequence[tuple[str, bytes]], day: int) -> None:
        """Note packets that were taken for others: who pays for each, and its digest."""
        if self._trail is None:
            return
        if day != self._day:
            self._day = day
            self._holds.clear()
        payers = {payer for payer, _ in taken}
        over = {payer for payer in payers if self._is_over(payer)}
        self._holds.update(payers - over)
        if digests := [digest for payer, digest in taken if payer not in over]:
            self._trail.append(entries.hold(day, digests))
        self._late += [digest for payer, digest in taken if payer in over]
        if len(self._late) >= LATE_MAX:
            self._note_late(day)

    def _is_over(self, payer: str) -> bool:
        return self._holds[payer] >= HOLDS_MAX or self._holds.total() >= HOLDS_TOTAL_MAX

    def _note_late(self, day: int) -> None:
        if self._trail and self._late:
            self._trail.append(entries.hold(day, self._late))
            self._late.clear()

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
            self._note_late(self._day)
            self._trail.checkpoint()
