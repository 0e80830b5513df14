"""A compromised hospital: its author key rewrites every case it has, and invents more.

The key is on the roster and old, the sequence numbers rise as they should, every signature is good:
nothing but the outcome is false. An issuer's *share* is the only thing that bounds it.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qisguard.attacks.ballots import worst
from qisguard.attacks.poison import asked, invent, rewrite
from qisguard.attacks.publisher import Publisher
from qisguard.outcomes.ballots import NEW_CASE, Ballots, Poll
from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class CompromisedHospital:
    """Rewrites its own cases under the keys of the question; invents ``invented`` in each arm."""

    invented: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.invented <= 10_000:
            raise ValueError(f"invented = {self.invented}, must be 0 to 10000")

    card = Card(
        id="compromised_hospital",
        family="insider",
        summary="a member's author key rewrites its cases and invents more, against one arm",
        capability="holds the author key and a node of a member for as long as it likes",
        breaks="integrity of the answer",
        source="poisoning rows of the catalogue, '20 % aged ids of one issuer'",
        seen="leave-one-issuer-out moves the answer; many sequence numbers rise on one day",
        limits="one issuer is one vote among the issuers, however many cases it claims",
    )
    sees_votes = False

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return one recruit for each member that was broken into."""
        question = asked(world)
        for insider in question.insiders:
            keys = set(question.keys)
            packets = [
                rewrite(world, question, insider.author, packet, rng)
                for packet in insider.packets
                if packet.key in keys
            ]
            for arm in (question.target, question.other):
                packets += [
                    invent(world, question, insider.author, 1, arm, rng)
                    for _ in range(self.invented)
                ]
            yield Recruit(plays=Publisher(packets), takes=insider.node)

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return what the hospitals' packets say, as columns: seats of standing ``hospitals``."""
        taken = np.flatnonzero(poll.seats.arm != NEW_CASE)
        members = np.flatnonzero(poll.seats.enrolled)
        _, place = np.unique(poll.seats.issuer[members], return_index=True)
        first = members[place]  # a seat of each hospital
        invents = np.repeat(first, 2 * self.invented)
        seat = np.concatenate([taken, invents])
        numbers = np.tile(1 + np.arange(2 * self.invented), len(first))
        case = np.concatenate([np.zeros(len(taken), np.int64), numbers])
        arm = np.concatenate([poll.seats.arm[taken], numbers % 2])
        return Ballots(seat, case, arm, *worst(poll, arm, rng), np.full(len(seat), poll.days[1]))
