"""How often this node knocks where others said that somebody lives, and who answers for it.

A look-up reply may name a victim's address under twenty invented ids, or honest ids where nobody
lives. A limit for each destination alone would keep the victim safe and hand the liar a way to keep
us from everybody there: whatever is shared by all can be used up by one. So each *informant*, the
organisation or network of a peer that named an address, answers for what it named:

- A Hello is paid from the purse that an informant has for the network it goes to. A cookie that
  comes back shows that it was welcome, and what the handshake spent is given back: the truth costs
  nothing. Who is named by several is paid by any of them.
- All purses together may not flood a network either, so it has a rate of its own. Beyond that rate
  Hellos are not refused, they wait: one of each purse at a time, so that with n lying informants
  the next Hello of an honest one goes out within n + 1 turns.
- Handshakes by hearsay never take the last places in the table, which are for contacts that were
  proved before. Of their part, an informant may hold at most as many as it leaves free (dynamic
  thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998): n greedy ones
  hold n shares of n + 1, and the last share is there for whoever comes.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from qisguard.config import NodeConfig
from qisguard.identity.address import Address, network_of
from qisguard.session.budget import Budgets

Informant: TypeAlias = Hashable
"""The organisation or network of a peer that named an address; ``OWN`` when nobody did."""
OWN: Informant = ""

Purse: TypeAlias = tuple[Hashable, Informant]
"""What an informant may spend on Hellos to one network."""


@dataclass(slots=True)
class Tip:
    """One handshake by hearsay: who answers for it, whose place it takes, what it spent.

    ``waiting`` is the purse whose Hello waits for its turn, at ``turn`` (seconds).
    """

    network: Hashable
    informants: Sequence[Informant]
    place: Informant
    spent: list[Purse] = field(default_factory=list)
    waiting: Purse | None = None
    turn: float = 0.0


class Hearsay:
    """Handshakes under way, and Hellos sent, to addresses that proved nothing yet."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._limit = max(config.handshakes_open_max * 3 // 4, 1)
        self._places: Counter[Informant] = Counter()
        self._count = 0
        rate, burst = config.hearsay_hellos_per_second, config.hearsay_hellos_burst
        whole = max(config.hearsay_hellos_per_network, rate)
        tracked = config.addresses_tracked_max
        self._purses = Budgets(rate, tracked, burst)
        self._networks = Budgets(whole, tracked, burst * whole / rate)
        self._waiting: set[Purse] = set()

    def __len__(self) -> int:
        return self._count

    def sizes(self) -> dict[str, int]:
        """Return the size of everything that grows here."""
        return {
            "hearsay handshakes": self._count,
            "hearsay informants": len(self._places),
            "hearsay budgets": len(self._purses),
            "hearsay networks": len(self._networks),
            "hearsay hellos waiting": len(self._waiting),
        }

    def take(self, address: Address, informants: Sequence[Informant], now: float) -> Tip | str:
        """Return what a handshake at ``address`` takes, or why none may be started.

        Its Hello goes out at ``turn``.
        """
        informants = informants or (OWN,)
        place = min(informants, key=self._places.__getitem__)
        if self._places[place] >= self._limit - self._count:
            return "hearsay handshakes"
        tip = Tip(self._network(address), informants, place)
        if not self._pay(tip, now):
            return "hearsay hellos to one network"
        self._places[place] += 1
        self._count += 1
        return tip

    def may_repeat(self, tip: Tip, now: float) -> bool:
        """Return whether one more Hello may go out now, and take what it costs; none waits."""
        if not self._networks.spend(tip.network, now):
            return False
        for informant in tip.informants:
            purse = (tip.network, informant)
            if purse not in self._waiting and self._purses.spend(purse, now):
                tip.spent.append(purse)
                return True
        self._networks.give_back(tip.network)
        return False

    def go(self, tip: Tip) -> None:
        """The turn of a Hello that waited has come."""
        if tip.waiting:
            self._waiting.discard(tip.waiting)
            tip.waiting = None

    def welcome(self, tip: Tip) -> None:
        """A cookie came back: somebody lives there, and what was spent is given back."""
        for purse in tip.spent:
            self._purses.give_back(purse)
            self._networks.give_back(tip.network)
        tip.spent.clear()

    def release(self, tip: Tip) -> None:
        """A handshake ended, or its address was proved meanwhile."""
        self.go(tip)
        self._count -= 1
        self._places[tip.place] -= 1
        if not self._places[tip.place]:
            del self._places[tip.place]

    def _pay(self, tip: Tip, now: float) -> bool:
        """Take what one Hello costs from a purse that can pay; a turn of the network may be due."""
        for informant in tip.informants:
            purse = (tip.network, informant)
            if purse in self._waiting or not self._purses.spend(purse, now):
                continue
            tip.spent.append(purse)
            wait = self._networks.reserve(tip.network, now)
            tip.turn = now + wait
            if wait:
                tip.waiting = purse
                self._waiting.add(purse)
            return True
        return False

    def _network(self, address: Address) -> Hashable:
        return network_of(address[0]) if self._config.address_diversity else address
