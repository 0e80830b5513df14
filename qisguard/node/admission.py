"""Who may enter the routing table (S/Kademlia, section 4.3): the rules that every node keeps.

- An id that shares too many leading bits with ours was searched for: chance gives one node in 2^32
  so many, and whoever searches long enough could surround us.
- Addresses of one network have one landlord: an IPv4 /24 or an IPv6 /48 gets a few places in each
  bucket and a few more in the table, siblings included. IPv6 addresses that stand for an IPv4
  address count as that address, else one /24 would own 256 networks of 2002::/16.
- Counts are kept and not scanned: a rule costs the same before an empty and before a full table.

The rules are ``Admits`` like those of a defence, and are asked first.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, overload

from qisguard.config import NodeConfig
from qisguard.identity.address import network_of
from qisguard.identity.ids import NodeId, shared_prefix
from qisguard.plugins import Admits, Rejected

if TYPE_CHECKING:  # names for annotations only: the table asks the rules
    from qisguard.node.contact import Contact


class Contacts(Protocol):
    """Contacts that can be counted and gone through: a bucket's, or a table's."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __iter__(self) -> "Iterator[Contact]":
        """Return each of them once."""


class Neighbours(Sequence["Contact"]):
    """The contacts already there as a rule sees them: without the one that asks to be admitted.

    ``networks`` says how many of ``contacts`` each network has. Nothing is copied until a rule
    wants to go through the contacts.
    """

    __slots__ = ("_contacts", "_networks", "_without")

    def __init__(
        self, contacts: Contacts, networks: Mapping[int, int], without: "Contact | None"
    ) -> None:
        self._contacts = contacts
        self._networks = networks
        self._without = without

    def of_network(self, network: int) -> int:
        """Return how many contacts of a network there are."""
        without = self._without
        own = without is not None and network_of(without.address[0]) == network
        return self._networks.get(network, 0) - own

    def __len__(self) -> int:
        return len(self._contacts) - (self._without is not None)

    def __iter__(self) -> "Iterator[Contact]":
        return (contact for contact in self._contacts if contact is not self._without)

    @overload
    def __getitem__(self, index: int) -> "Contact": ...

    @overload
    def __getitem__(self, index: slice) -> "Sequence[Contact]": ...

    def __getitem__(self, index: int | slice) -> "Contact | Sequence[Contact]":
        return tuple(self)[index]


@dataclass(frozen=True, slots=True)
class SharedPrefixLimit:
    """Refuse an id that shares more than ``bits_max`` leading bits with ``own``."""

    own: NodeId
    bits_max: int

    def admit(
        self,
        contact: "Contact",
        bucket: "Sequence[Contact]",
        table: "Collection[Contact]",
        now: float,
    ) -> Rejected | None:
        """Refuse an id that was searched for."""
        close = shared_prefix(self.own, contact.id) > self.bits_max
        return Rejected("id too close") if close else None


@dataclass(frozen=True, slots=True)
class SubnetLimit:
    """Admit of one network at most ``bucket_max`` to a bucket and ``table_max`` to the table."""

    bucket_max: int
    table_max: int

    def admit(
        self,
        contact: "Contact",
        bucket: "Sequence[Contact]",
        table: "Collection[Contact]",
        now: float,
    ) -> Rejected | None:
        """Refuse a contact whose network has its places already."""
        network = network_of(contact.address[0])
        if _count(bucket, network) >= self.bucket_max:
            return Rejected("network full in bucket")
        if _count(table, network) >= self.table_max:
            return Rejected("network full in table")
        return None


def own_rules(own: NodeId, config: NodeConfig) -> list[Admits]:
    """Return the rules that the node ``own`` keeps whatever its defences are."""
    rules: list[Admits] = [SharedPrefixLimit(own, config.shared_bits_max)]
    if config.address_diversity:
        rules.append(SubnetLimit(config.subnet_bucket_max, config.subnet_table_max))
    return rules


def forget(networks: Counter[int], network: int) -> None:
    """Take one off a count; a network without contacts leaves no trace, so memory is bounded."""
    networks[network] -= 1
    if not networks[network]:
        del networks[network]


def _count(contacts: "Collection[Contact]", network: int) -> int:
    if isinstance(contacts, Neighbours):
        return contacts.of_network(network)
    return sum(network_of(contact.address[0]) == network for contact in contacts)
