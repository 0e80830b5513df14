"""What a node keeps for others, and what it publishes itself: the rules that every store follows.

Announcements (provider records, and index records under a domain prefix):

- The latest sequence number of each provider is kept; a refresh is always kept and evicts nobody.
- A newcomer needs room under its provider, its place (or key and prefix) and in the whole store.
  Where there is none, the largest group loses the record that expires soonest, the earlier one
  taken where several do (``shares``).

Packets:

- One current packet per (place, author, case): a higher sequence number replaces, a lower one is
  refused even after expiry, an equal one with another body is equivocation: both are kept as
  evidence. Tombstones are packets like others.
- A full key takes a newcomer as above. The whole store is capped too, and no group may fill more
  than half of it; what is counted there are the names (place, author, case) that are remembered.
- A sequence number is forgotten ``sequence_memory_days`` after the latest expiry day of any packet
  that was taken for its name. From then on the network's memory of that case is gone: whoever kept
  its old packets can put back one that has not expired, if its author signed one that outlives the
  memory. Authors who care renew their packets, or publish tombstones that expire last.
- The cap of a key bounds what is kept, not what is remembered: a packet that was evicted comes back
  only with a higher sequence number.
"""

from dataclasses import dataclass
from typing import Protocol

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId
from qisguard.outcomes.packet import OutcomePacket
from qisguard.plugins import Rejected
from qisguard.store.record import IndexRecord, ProviderRecord

EXPIRED = Rejected("expired")
OLDER_RECORD = Rejected("older record")
PROVIDER_FULL = Rejected("provider full")
KEY_FULL = Rejected("key full")
INDEX_FULL = Rejected("index full")
STORE_FULL = Rejected("store full")
OLDER = Rejected("older sequence")
JUMP = Rejected("sequence jump")
EQUIVOCATION = Rejected("equivocation")


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Caps of one store, by the names and with the meanings of ``NodeConfig``."""

    packets_per_key_max: int
    sequence_jump_max: int
    packets_max: int = 1_000_000
    records_max: int = 1_000_000
    providers_per_key_max: int = 100_000
    records_per_provider_max: int = 100_000
    index_keys_max: int = 65_536
    index_providers_max: int = 8
    evidence_max: int = 1_024
    sequence_memory_days: int = 365

    @classmethod
    def of(cls, config: NodeConfig) -> "StoreLimits":
        """Return the limits that a configuration sets."""
        return cls(
            packets_per_key_max=config.packets_per_key_max,
            sequence_jump_max=config.sequence_jump_max,
            packets_max=config.packets_max,
            records_max=config.records_max,
            providers_per_key_max=config.providers_per_key_max,
            records_per_provider_max=config.records_per_provider_max,
            index_keys_max=config.index_keys_max,
            index_providers_max=config.index_providers_max,
            evidence_max=config.evidence_max,
            sequence_memory_days=config.sequence_memory_days,
        )

    def has_room_for_name(self, total: int, of_group: int) -> bool:
        """Return whether a store that remembers ``total`` names takes one more of a group."""
        return total < self.packets_max and of_group < max(self.packets_max // 2, 1)

    def has_room_for_pair(self, total: int, of_group: int) -> bool:
        """Return whether there is room for evidence: strangers cannot fill more than half."""
        return total < self.evidence_max and of_group < max(self.evidence_max // 2, 1)

    def judge_sequence(self, highest: int | None, seq: int) -> Rejected | None:
        """Return why a packet of sequence ``seq`` may not follow ``highest``, or None."""
        if highest is None:
            return None
        if seq < highest:
            return OLDER
        return JUMP if seq > highest + self.sequence_jump_max else None


class Store(Protocol):
    """Synchronous, and a function of its arguments: the core may use it.

    ``group`` pays for what is kept: the issuer of a packet's author or of a provider, a network
    such as ``net:192.0.2.0/24`` for providers on no roster. ``now`` is in seconds, ``today`` a
    calendar day; neither goes back. ``after`` is where the page before ended, ``b""`` to begin.

    Every failure of the file or the disk is a StoreError.
    """

    def put_record(self, record: ProviderRecord, group: str, now: int) -> Rejected | None:
        """Keep a verified record, or say why not."""

    def records(self, place: NodeId, after: bytes, limit: int, now: int) -> list[bytes]:
        """Return records of a place that have not expired, ascending by provider id."""

    def put_key(self, record: IndexRecord, group: str, now: int) -> Rejected | None:
        """Keep a verified index record, or say why not.

        A key is remembered through at most ``index_providers_max`` providers, so that a popular key
        does not use up the index of its prefix; ``index_keys_max`` counts these announcements.
        """

    def keys(self, prefix: int, after: bytes, limit: int, now: int) -> list[bytes]:
        """Return distinct similarity keys of a domain prefix, ascending."""

    def put(self, place: NodeId, packet: OutcomePacket, group: str, today: int) -> Rejected | None:
        """Keep a verified packet or say why not."""

    def current(self, place: NodeId, author: bytes, case: bytes) -> bytes | None:
        """Return the bytes of the current packet of an (author, case)."""

    def page(self, place: NodeId, after: bytes, limit: int, today: int) -> list[tuple[bytes, int]]:
        """Return (digest, day first seen) after a digest, ascending, at most ``limit``."""

    def get(self, place: NodeId, digest: bytes) -> bytes | None:
        """Return the bytes of a packet."""

    def places(self, after: bytes, limit: int) -> list[bytes]:
        """Return places that hold packets, ascending."""

    def keep_own(self, packet: OutcomePacket) -> None:
        """Remember what this node publishes; the first packet of the latest sequence wins."""

    def own_keys(self, after: bytes, limit: int) -> list[bytes]:
        """Return similarity keys that this node publishes under, ascending."""

    def own(self, key: bytes, today: int) -> list[bytes]:
        """Return what this node publishes under a key, by author and case, unless expired."""

    def evidence(self) -> list[tuple[bytes, bytes]]:
        """Return pairs of packets with one sequence number and different bodies, first one first.

        One pair for each (author, case), in this order.
        """

    def counts(self) -> dict[str, int]:
        """Return how much is held.

        ``records`` and ``index records``; ``packets``, and ``names`` whose sequence numbers are
        remembered; ``own``; ``evidence``, and ``evidence refused`` since opening for lack of room.
        """

    def expire(self, today: int, now: int) -> int:
        """Forget what has expired; return how many records and packets.

        Packets and own publications go when their day has passed, records when their second has
        come, sequence numbers after their memory.
        """

    def commit(self) -> None:
        """Make everything put so far durable."""

    def close(self) -> None:
        """Commit, and give back what the store uses."""
