"""Who pays for what a peer asks: requests, room in the store, costly puzzle checks."""

from functools import partial

from qisguard.config import NodeConfig
from qisguard.identity.address import Address, network_of
from qisguard.identity.descriptor import Descriptor
from qisguard.identity.ids import NodeId
from qisguard.identity.network import Network
from qisguard.identity.roster import NONE, Roster
from qisguard.node.checks import Checks
from qisguard.session.budget import Budgets
from qisguard.session.table import by_network

PUZZLE_CHECKS_BURST = 4.0
"""Argon2id checks that one id gets at once: who is found good is not checked again at once."""


class Gate:
    """Budgets per second of one node, and the groups that share them; ``now`` in seconds."""

    def __init__(self, config: NodeConfig, roster: Roster | None) -> None:
        self._roster = roster
        tracked = config.addresses_tracked_max
        self._requests = Budgets(config.requests_per_second, tracked)
        self._shares = Budgets(config.organisation_requests_per_second, tracked)
        self._checks = Budgets(config.puzzle_checks_per_second, tracked, PUZZLE_CHECKS_BURST)

    def lets_in(self, peer: Descriptor, address: Address, now: float) -> bool:
        """Return whether a request is within the budgets of its peer and of its organisation."""
        is_within = self._requests.spend(peer.id, now)
        return is_within and self._shares.spend(self.organisation(peer, address), now)

    def organisation(self, peer: Descriptor, address: Address) -> str:
        """Return whose time a peer takes: its issuer's, else that of the network it is in."""
        issuer = self._roster.by_node.get(peer.id) if self._roster else None
        return issuer.name if issuer else by_network(peer, address)

    def payer(self, peer: NodeId, address: Address) -> str:
        """Return whose room a peer fills: its issuer's; strangers to a roster share that of one.

        Where there is no roster its network's: who owns a /32 has 65,536 of those, and is not held
        up by them.
        """
        if self._roster is None:
            return f"net:{network_of(address[0]):x}"
        issuer = self._roster.by_node.get(peer)
        return issuer.name if issuer else NONE

    def open(self, data: bytes, network: Network, checks: Checks, now: float) -> Descriptor:
        """Return a descriptor, whatever its last day; raise as ``open_descriptor``."""
        return checks.descriptor(data, network, partial(self.may_check_puzzle, now=now))

    def may_check_puzzle(self, identifier: NodeId, now: float) -> bool:
        """Return whether one more Argon2id solution of an id is looked at."""
        return self._checks.spend(identifier, now)
