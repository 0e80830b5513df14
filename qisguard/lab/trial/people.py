"""Who takes part in a trial: network, authority, honest identities, roster, addresses.

Everything follows from scenario and seed on ``virtual``, the same in all arms; on ``live`` secrets
come from the operating system.
"""

import os
import random
from dataclasses import dataclass

from qisguard.identity.descriptor import Identity
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw
from qisguard.identity.roster import Issuer, Roster
from qisguard.lab.identities import Mine, Prepared, mine
from qisguard.lab.scenario.loading import Loaded
from qisguard.lab.trial.arms import Arm
from qisguard.plugins import Mint

FIRST_DAY = 20_000
ENROLLED = FIRST_DAY - 400
"""Everybody on a roster has been there for more than a year; attackers came a day later."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Which IP address who speaks from; ``first`` is 10 on a simulated network, 127 on sockets.

    Honest nodes live below ``first``.0/9, attackers above, so that they never share a /24.
    """

    first: int
    honest_networks: int
    hosts: int
    networks: int

    def honest(self, index: int) -> str:
        """Return the address of an honest node, counted from 0."""
        if not self.honest_networks:
            return self._host(0, index, index)
        return self._host(0, index, index % self.honest_networks)

    def attacker(self, index: int) -> str:
        """Return the address of an attacker, counted from 0."""
        host = index % self.hosts if self.hosts else index
        return self._host(128, host, host % self.networks if self.networks else host)

    def _host(self, above: int, host: int, network: int) -> str:
        """Return the address of a host in a /24; a /24 has 250 hosts, and then they share."""
        number = 1 + host // max(self.honest_networks, self.networks, 1) % 250
        if network == host:
            number = 1 + (network >> 15) % 250
        return f"{self.first}.{above + (network >> 8) % 128}.{network & 255}.{number}"


@dataclass(frozen=True, slots=True)
class People:
    """Everybody before the first datagram, and where more come from: attackers, newcomers."""

    network: Network
    honest: tuple[Identity, ...]
    roster: Roster | None
    mint: Mint
    newcomers: Mint


def gather(loaded: Loaded, seed: int, is_live: bool, arm: Arm = Arm.CLEAN) -> People:
    """Return the people of one seed; a defence that prices ids gives everybody another one."""
    scenario = loaded.scenario

    def source(name: str) -> Draw:
        return os.urandom if is_live else random.Random(f"{name} {seed}").randbytes

    draw = source("authority")
    authority = KeyPair.from_seed(draw(32))
    bits = scenario.network.static_puzzle_bits, scenario.network.dynamic_puzzle_bits
    network = loaded.priced(arm, Network(scenario.name, authority.public, draw(32), *bits))
    honest_draw = source("members")
    honest = tuple(mine(network, honest_draw) for _ in range(loaded.honest))
    attacker_draw = source("attackers")
    enrolled: tuple[Identity, ...] = ()
    mint: Mint = Mine(network, attacker_draw, scenario.attack.tries)
    if scenario.attack.enrolled:
        enrolled = tuple(mint.identity() for _ in range(loaded.attackers))
        mint = Prepared(enrolled)
    roster = None
    if scenario.network.organisations:
        roster = _roster(network, honest, enrolled, scenario.network.organisations)
    return People(network, honest, roster, mint, Mine(network, source("newcomers")))


def author_of(index: int) -> KeyPair:
    """Return the key by which an organisation signs packets in every trial."""
    return KeyPair.from_seed(random.Random(f"crowd author {index}").randbytes(32))


def _roster(
    network: Network, honest: tuple[Identity, ...], enrolled: tuple[Identity, ...], count: int
) -> Roster:
    issuers = [
        Issuer(
            f"organisation-{i + 1}",
            ENROLLED,
            (author_of(i).public,),
            tuple(identity.id for identity in honest[i::count]),
        )
        for i in range(count)
    ]
    issuers += [
        Issuer(f"attacker-{i + 1}", ENROLLED + 1, (identity.key.public,), (identity.id,))
        for i, identity in enumerate(enrolled)
    ]
    return Roster(network.id, 1, tuple(issuers))
