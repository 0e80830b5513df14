"""How a node answers: find, store, list, fetch. Everything a peer sends is judged before it costs.

The order is: budget, size and shape (the decoder), ownership, signatures, defences, caps.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from qisguard.config import NodeConfig, ReplicaRule
from qisguard.errors import QisguardError, StoreError
from qisguard.identity.address import pack_host
from qisguard.identity.ids import NodeId, from_bytes, placement, to_bytes
from qisguard.identity.roster import NONE, Roster
from qisguard.node import archiving, messages
from qisguard.node.checks import Checks
from qisguard.node.messages import Reply, Request
from qisguard.node.operations import roster_replicas
from qisguard.node.routing import RoutingTable
from qisguard.plugins import Accepts
from qisguard.session.wire import PLAINTEXT_SIZE_MAX
from qisguard.store.record import index_place, open_index, open_record, provider_of
from qisguard.store.store import EQUIVOCATION, OLDER_RECORD, Store

if TYPE_CHECKING:
    from qisguard.outcomes.annals import Annals

PACKETS_ROOM = PLAINTEXT_SIZE_MAX - 16
DAYS_AHEAD_MAX = 1
"""A packet's observed day may be tomorrow: clocks differ, and so do the hours of midnight."""
NOT_A_REPLICA = "not a replica of this place"


class Server:
    """Answers requests from what the node holds; collects what it took: who pays, and digests.

    ``fault`` says why nothing can be made durable any more: from then on writes are refused.
    """

    def __init__(
        self,
        network: bytes,
        config: NodeConfig,
        own: NodeId,
        table: RoutingTable,
        store: Store,
        roster: Roster | None,
        accepts: Sequence[Accepts],
        checks: Checks,
        day: Callable[[float], int],
        counts: Counter[str],
        annals: "Annals | None" = None,
    ) -> None:
        self._annals = annals
        self._network = network
        self._config = config
        self._own = own
        self._table = table
        self._store = store
        self._roster = roster
        self._accepts = accepts
        self._checks = checks
        self._day = day
        self._counts = counts
        self._of_roster = lru_cache(1_024)(self._is_on_roster_for)
        self.taken: list[tuple[str, bytes]] = []
        self.fault: str | None = None

    def answer(self, request: Request, sender: NodeId, group: str, now: float) -> Reply:
        """Return the honest reply to a request of ``sender``; ``group`` pays for what it stores."""
        number = request.number
        try:
            return self._answer(request, sender, group, now)
        except StoreError as error:
            self.fault = self.fault or str(error)
            return messages.Refused(number, "store failed")
        except QisguardError as error:
            self._counts[f"refused: {type(error).__name__}"] += 1
            return messages.Refused(number, f"invalid: {type(error).__name__}")

    def is_replica(self, place: NodeId) -> bool:
        """Return whether this node is one of those that keep a place, as far as it knows.

        Open networks allow for tables that differ: ``replica_slack`` times as many may be closer.
        """
        if self._config.replica_rule is ReplicaRule.ROSTER and self._roster is not None:
            return self._of_roster(place)
        count = self._config.replica_count
        if self._config.replica_rule in (ReplicaRule.REGION, ReplicaRule.FLAGGED):
            count = max(count, self._config.region_max)
        return self._table.rank(place) < count * self._config.replica_slack

    def _is_on_roster_for(self, place: NodeId) -> bool:
        config = self._config
        if self._roster is None:
            return False
        wanted = roster_replicas(
            self._roster, place, config.replica_count, config.replicas_per_issuer
        )
        return self._own in wanted

    def _answer(self, request: Request, sender: NodeId, group: str, now: float) -> Reply:
        number = request.number
        match request:
            case messages.Ping():
                return messages.Pong(number)
            case messages.FindNode():
                return self._find(number, from_bytes(request.target), sender)
            case messages.FindValue():
                place = from_bytes(request.place)
                if data := self._store.get(place, request.digest):
                    return messages.Packets(number, [data])
                return self._find(number, place, sender)
            case messages.ListPackets():
                limit = self._config.listing_max
                place, today = from_bytes(request.key), self._day(now)
                page = self._store.page(place, request.after, limit + 1, today)
                return messages.Listing(number, page[:limit], len(page) > limit)
            case messages.FetchPackets():
                return self._fetch(request)
            case messages.FindProviders():
                limit = messages.PROVIDERS_MAX
                place = from_bytes(request.place)
                records = self._store.records(place, request.after, limit + 1, int(now))
                return messages.Providers(number, records[:limit], len(records) > limit)
            case messages.ListKeys():
                limit = messages.KEYS_MAX
                keys = self._store.keys(request.prefix, request.after, limit + 1, int(now))
                return messages.Keys(number, keys[:limit], len(keys) > limit)
            case messages.ListSums():
                return archiving.answer(self._annals, request)
            case messages.Store():
                return self._take(request, sender, group, now)
            case messages.Announce():
                return self._enter(request, sender, group, now)
            case _:
                return messages.Refused(number, "no gossip here")

    def _find(self, number: int, target: NodeId, sender: NodeId) -> messages.Nodes:
        nearest = self._table.answering(target, self._config.k + 1)
        contacts = [
            (to_bytes(c.id), pack_host(c.address[0]), c.address[1])
            for c in nearest
            if c.id != sender
        ]
        return messages.Nodes(number, contacts[: self._config.k])

    def _fetch(self, request: messages.FetchPackets) -> messages.Packets:
        place = from_bytes(request.key)
        packets: list[bytes] = []
        room = PACKETS_ROOM
        for digest in request.digests:
            data = self._store.get(place, digest)
            if data is None:
                continue
            room -= len(data) + 3
            if room < 0 or len(packets) == messages.PACKETS_MAX:
                break
            packets.append(data)
        return messages.Packets(request.number, packets)

    # --- writes ----------------------------------------------------------------------------------
    def _refuse_write(self, data: bytes, sender: NodeId) -> str:
        """Return why a record is not even checked, or an empty string."""
        if self.fault:
            return "store failed"
        if provider_of(data) != sender:
            return "record: announced by another than its provider"
        return ""

    def _refuse_expiry(self, expires: int, now: float) -> str:
        if expires > now + self._config.record_lifetime + self._config.clock_tolerance:
            return "record: expires too late"
        return "record: expired" if expires <= now else ""

    def _take(self, request: messages.Store, sender: NodeId, group: str, now: float) -> Reply:
        number = request.number
        if reason := self._refuse_write(request.record, sender):
            return messages.Refused(number, reason)
        record = open_record(request.record, self._network, self._checks.verify)
        if reason := self._refuse_expiry(record.expires, now):
            return messages.Refused(number, reason)
        if not self.is_replica(record.place):
            return messages.Refused(number, NOT_A_REPLICA)
        refusal = self._store.put_record(record, group, int(now))
        if refusal and not (refusal.reason == OLDER_RECORD.reason and request.packets):
            return messages.Refused(number, refusal.reason)
        # an older record: its provider handed over while it published; packets stand by themselves
        reasons = [self._take_packet(data, record.place, group, now) for data in request.packets]
        for reason in reasons:
            self._counts[f"packet refused: {reason}" if reason else "packets taken"] += 1
        return messages.Stored(number, reasons)

    def _enter(self, request: messages.Announce, sender: NodeId, group: str, now: float) -> Reply:
        number = request.number
        if reason := self._refuse_write(request.record, sender):
            return messages.Refused(number, reason)
        record = open_index(request.record, self._network, self._checks.verify)
        if reason := self._refuse_expiry(record.expires, now):
            return messages.Refused(number, reason)
        if not self.is_replica(index_place(record.prefix)):
            return messages.Refused(number, NOT_A_REPLICA)
        if refusal := self._store.put_key(record, group, int(now)):
            return messages.Refused(number, refusal.reason)
        return messages.Stored(number, [""])

    def _take_packet(self, data: bytes, place: NodeId, group: str, now: float) -> str:
        """Store one packet; return why not, or an empty string."""
        try:
            packet = self._checks.packet(data)
        except QisguardError as error:  # its text quotes the packet: counted, it would never end
            return f"invalid packet: {type(error).__name__}"
        today = self._day(now)
        if packet.network != self._network:
            return "another network"
        if placement(packet.key) != place:
            return "another key than the record's"
        if packet.body.exp < today:
            return "expired"
        if packet.body.day > today + DAYS_AHEAD_MAX:
            return "from the future"
        if self._store.get(place, packet.digest):
            return ""  # a refresh or a repeated request: kept already, and in the trail already
        held = None
        if self._accepts or self._annals:
            held_data = self._store.current(place, packet.author, packet.case)
            held = self._checks.packet(held_data) if held_data else None
            for rule in self._accepts:
                if refusal := rule.accept(packet, held, today):
                    return refusal.reason[:64]
        issuer = self._roster.by_author.get(packet.author) if self._roster else None
        if refusal := self._store.put(place, packet, issuer.name if issuer else NONE, today):
            if self._annals and refusal is EQUIVOCATION:
                self._annals.convict(packet, today)
            return refusal.reason
        if self._store.get(place, packet.digest):  # not so for a second signature of one body
            self.taken.append((group, packet.digest))
            if self._annals:
                self._annals.took(packet, held, today)
        return ""
