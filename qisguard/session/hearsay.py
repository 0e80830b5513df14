"""How often this node knocks where others said that somebody lives.

A look-up reply may name a victim's address under twenty invented ids. An address that proved no id
gets few Hellos at once and few over time, counted for its whole network; and handshakes of this
kind never take the last places in the table, which are for contacts that were proved before.
"""

from collections import Counter
from collections.abc import Hashable

from qisguard.config import NodeConfig
from qisguard.identity.address import Address, network_of
from qisguard.session.budget import Budgets


class Hearsay:
    """Handshakes under way, and Hellos sent, to addresses that proved nothing yet."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._limit = max(config.handshakes_open_max * 3 // 4, 1)
        self._under_way: Counter[Address] = Counter()
        self._count = 0
        self._hellos = Budgets(
            config.hearsay_hellos_per_second,
            config.addresses_tracked_max,
            config.hearsay_hellos_burst,
        )

    def __len__(self) -> int:
        return self._count

    @property
    def budgets(self) -> int:
        """Return how many destinations have a budget."""
        return len(self._hellos)

    def refusal(self, address: Address, now: float) -> str:
        """Return why no handshake may be started at ``address``, or "" and take what it costs."""
        if self._count >= self._limit:
            return "hearsay handshakes"
        if self._under_way[address] >= self._config.handshakes_per_address_max:
            return "handshakes with one address"
        if not self.spend(address, now):
            return "hearsay hellos to one network"
        self._under_way[address] += 1
        self._count += 1
        return ""

    def spend(self, address: Address, now: float) -> bool:
        """Return whether one more Hello may go to ``address``."""
        return self._hellos.spend(self._purse(address), now)

    def release(self, address: Address) -> None:
        """A handshake ended, or its address was proved meanwhile."""
        self._count -= 1
        self._under_way[address] -= 1
        if not self._under_way[address]:
            del self._under_way[address]

    def _purse(self, address: Address) -> Hashable:
        return network_of(address[0]) if self._config.address_diversity else address
