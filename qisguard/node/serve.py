"""How a node answers: find, store, list, fetch. Everything a peer sends is judged before it costs.

The order is: budget, size and shape (the decoder), ownership, signatures, defences, caps.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from qisguard.errors import QisguardError
from qisguard.identity.descriptor import Descriptor
from qisguard.identity.ids import NodeId, from_bytes, placement, to_bytes
from qisguard.identity.roster import NONE, Roster
from qisguard.node import messages
from qisguard.node.checks import Checks
from qisguard.node.config import NodeConfig
from qisguard.node.messages import Reply, Request
from qisguard.node.record import open_record, provider_of
from qisguard.node.routing import RoutingTable
from qisguard.node.store import Store
from qisguard.node.wire import PLAINTEXT_SIZE_MAX
from qisguard.plugins import Accepts

PACKETS_ROOM = PLAINTEXT_SIZE_MAX - 16


class Server:
    """Answers requests from what the node holds; collects the digests of what it took."""

    def __init__(
        self,
        network: bytes,
        config: NodeConfig,
        table: RoutingTable,
        store: Store,
        roster: Roster | None,
        accepts: Sequence[Accepts],
        checks: Checks,
        day: Callable[[float], int],
        counts: Counter[str],
    ) -> None:
        self._network = network
        self._config = config
        self._table = table
        self._store = store
        self._roster = roster
        self._accepts = accepts
        self._checks = checks
        self._day = day
        self._counts = counts
        self.taken: list[bytes] = []

    def answer(self, request: Request, sender: Descriptor, now: float) -> Reply:
        """Return the honest reply to a decoded request from an authenticated sender."""
        number = request.number
        try:
            if isinstance(request, messages.Ping):
                return messages.Pong(number)
            if isinstance(request, messages.FindNode):
                return self._find(request, sender.id)
            if isinstance(request, messages.Store):
                return self._take(request, sender, now)
            if isinstance(request, messages.ListPackets):
                return self._list(request, now)
            if isinstance(request, messages.FetchPackets):
                return self._fetch(request)
            return messages.Refused(number, "not served yet")
        except QisguardError as error:
            self._counts[f"refused: {type(error).__name__}"] += 1
            return messages.Refused(number, f"invalid: {type(error).__name__}")

    def _find(self, request: messages.FindNode, sender: NodeId) -> messages.Nodes:
        target = from_bytes(request.target)
        nearest = self._table.closest(target, self._config.k + 1)
        contacts = [
            (to_bytes(c.id), messages.pack_host(c.address[0]), c.address[1])
            for c in nearest
            if c.id != sender
        ]
        return messages.Nodes(request.number, contacts[: self._config.k])

    def _take(self, request: messages.Store, sender: Descriptor, now: float) -> Reply:
        if provider_of(request.record) != sender.id:
            return messages.Refused(
                request.number, "record: announced by another than its provider"
            )
        record = open_record(request.record, self._network, self._checks.verify)
        if record.expires > now + self._config.record_lifetime + 1:
            return messages.Refused(request.number, "record: expires too late")
        if refusal := self._store.put_record(record):
            return messages.Refused(request.number, refusal.reason)
        reasons = [self._take_packet(data, record.place, now) for data in request.packets]
        for reason in reasons:
            self._counts[f"packet refused: {reason}" if reason else "packets taken"] += 1
        return messages.Stored(request.number, reasons)

    def _take_packet(self, data: bytes, place: NodeId, now: float) -> str:
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
        if self._store.get(place, packet.digest):
            return ""  # a refresh or a repeated request: kept already, and in the trail already
        if self._accepts:
            held_data = self._store.current(place, packet.author, packet.case)
            held = self._checks.packet(held_data) if held_data else None
            for rule in self._accepts:
                if refusal := rule.accept(packet, held, today):
                    return refusal.reason[:64]
        issuer = self._roster.by_author.get(packet.author) if self._roster else None
        if refusal := self._store.put(place, packet, issuer.name if issuer else NONE, today):
            return refusal.reason
        if self._store.get(place, packet.digest):  # not so for a second signature of one body
            self.taken.append(packet.digest)
        return ""

    def _list(self, request: messages.ListPackets, now: float) -> messages.Listing:
        limit = self._config.listing_max
        today = self._day(now)
        page = self._store.page(from_bytes(request.key), request.after, limit + 1, today)
        return messages.Listing(request.number, page[:limit], len(page) > limit)

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
