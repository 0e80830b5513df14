"""Sybil poisoning: fresh identities outside the roster publish outcomes that never happened.

Every identity solved both puzzles and joined over the wire; each has an author key of its own, so
that one vote per key does not stop them, and publishes ``packets_each`` invented cases.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qisguard.attacks.ballots import worst
from qisguard.attacks.poison import asked, invent
from qisguard.attacks.publisher import Publisher
from qisguard.identity.keys import KeyPair
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.plugins import Card, Mint, Question, Recruit, World


@dataclass(frozen=True, slots=True)
class SybilPoisoning:
    """``target_ratio`` of the packets kill in the target arm; the rest survive in the other."""

    packets_each: int = 1
    target_ratio: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.packets_each <= 1_000:
            raise ValueError(f"packets_each = {self.packets_each}, must be 1 to 1000")
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="sybil_poisoning",
        family="Sybil",
        summary="fresh identities publish invented early deaths in the better arm",
        capability="computes puzzles; knows the template and the question; no member's key",
        breaks="integrity of the answer",
        source="Douceur, IPTPS 2002; poisoning rows of the catalogue, '20 % fresh ids'",
        seen="share of 'none' among issuers rises; newcomers against veterans differ",
        limits="each identity costs 2^c1 + 2^c2 hashes and a handshake with each replica",
    )
    sees_votes = False

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return one recruit for each identity of the budget."""
        question = asked(world)
        for _ in range(world.budget):
            identity = mint.identity()
            author = KeyPair.from_seed(rng.randbytes(32))
            packets = [
                invent(world, question, author, 1, self._arm(question, rng), rng)
                for _ in range(self.packets_each)
            ]
            yield Recruit(plays=Publisher(packets), identity=identity)

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return what the recruits' packets say, as columns."""
        seat = np.repeat(np.arange(len(poll.seats)), self.packets_each)
        case = np.tile(np.arange(self.packets_each), len(poll.seats))
        lots = rng.random(len(seat)) < self.target_ratio
        arm = np.where(lots, poll.target, 1 - poll.target)
        return Ballots(seat, case, arm, *worst(poll, arm, rng), np.full(len(seat), poll.days[1]))

    def _arm(self, question: Question, rng: random.Random) -> str:
        return question.target if rng.random() < self.target_ratio else question.other
