"""Asking contacts whether they are still alive, as often as contacts die and no more.

The contact heard least recently is pinged, one that left a request unanswered before all others. A
silence in the table halves the pause until the next ping, an answer to a ping lengthens it a
little, so that of nine contacts pinged one is dead: where nobody dies a ping goes out every
few minutes, where half of the network is replaced in ten minutes every few seconds.
"""

from qisguard.node.contact import Contact
from qisguard.node.routing import RoutingTable

PAUSE_MIN = 1.0
"""Seconds between two pings, at least."""
AFTER_SILENCE = 0.5
AFTER_ANSWER = 1.2
"""Two silences, which drop a contact, and 2 ln(2) / ln(1.2) = 8 answers keep the pause as it is."""
PINGS_MAX = 8
"""Pings under way at a time; those to the dead take long."""


class Probing:
    """Decides which contact of a table is to be pinged next; ``now`` in seconds.

    ``longest`` is the pause between two pings where nobody dies. Contacts that answer now and then
    can hold the pause at ``PAUSE_MIN`` and not below.
    """

    def __init__(self, table: RoutingTable, longest: float, now: float) -> None:
        self._table = table
        self._longest = longest
        self._pause = longest
        self._latest = now
        self._silences = table.silences
        self._under_way: set[Contact] = set()

    def next_timer(self) -> float:
        """Return when the next ping is due."""
        return self._latest + self._pause

    def step(self, now: float) -> Contact | None:
        """Return the contact to ping now, if any; ``ended`` must be called when that has ended."""
        self._hasten()
        if now < self.next_timer():
            return None
        self._latest = now
        if len(self._under_way) >= PINGS_MAX:
            return None
        contact = self._table.doubtful(now, self._under_way)
        if contact is not None:
            self._under_way.add(contact)
        return contact

    def ended(self, contact: Contact, is_alive: bool) -> None:
        """A ping was answered, or given up."""
        self._under_way.discard(contact)
        if is_alive:
            self._pause = min(self._pause * AFTER_ANSWER, self._longest)

    def _hasten(self) -> None:
        """Shorten the pause by what was found dead, by whatever request, since the last time."""
        new = self._table.silences - self._silences
        self._silences += new
        self._pause = max(self._pause * AFTER_SILENCE**new, PAUSE_MIN)
