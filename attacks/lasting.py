"""An issuer that takes its time: it publishes every week for years, true outcomes and lies.

What a case comes to is fixed by its name (``fate``), so that whoever has the patient later finds
the same. A lie is that every case of the arm under attack went badly, and every other one well: of
lies that are checked, those show that were not true by chance.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from qisguard.errors import ScenarioError
from qisguard.identity.ids import NodeId
from qisguard.identity.keys import KeyPair
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.outcomes.packet import Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.plugins import Counted, Question, World

DAY = 86_400.0
WEEK = 7


def fate(case: bytes, chance: float) -> bool:
    """Return whether a case goes well, which it does with this chance over all cases."""
    return int.from_bytes(sha256(b"fate" + case).digest()[:8]) < chance * 2**64


class Plan(NamedTuple):
    """What an issuer does in one week: lies or not, under which of its names."""

    lies: bool
    name: int = 0


class Said(NamedTuple):
    """One case that was published: what it is, by whom, and until when it counts."""

    packet: OutcomePacket
    is_lie: bool


@dataclass(slots=True)
class Lasting:
    """Publishes ``cases`` a week by ``plan`` (the week, counted from 0), from the first call on.

    ``authors`` are its names; ``said`` is everything that it has published.
    """

    world: World
    question: Question
    authors: Sequence[KeyPair]
    plan: Callable[[int], Plan]
    cases: int
    rng: random.Random
    said: list[Said] = field(default_factory=list)
    week: int = 0

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Return the honest reply."""
        return honest

    def act(self, node: Node, now: float) -> float | None:
        """Publish a week's cases; return when the next week begins."""
        plan, today = self.plan(self.week), node.clock.day(now)
        self.week += 1
        author = self.authors[min(plan.name, len(self.authors) - 1)]
        packets = [self._packet(author, today, plan.lies) for _ in range(self.cases)]
        self.said += [Said(packet, plan.lies) for packet in packets]
        node.publish(packets, now)
        return now + WEEK * DAY / node.clock.rate

    def _packet(self, author: KeyPair, today: int, lies: bool) -> OutcomePacket:
        question = self.question
        case, at = self.rng.randbytes(16), self.rng.randrange(2)
        arm = (question.target, question.other)[at]
        went_well = bool(at) if lies else fate(case, question.chances[at])
        body = packet_body(
            network=self.world.network.id,
            template=question.template,
            key=question.keys[0],
            case=case,
            author=author.public,
            seq=1,
            day=today,
            exp=today + question.lasts,
            arm=arm,
            outcome=Outcome.binary(went_well),
            feat={},
        )
        return sign_packet(body, author)

    def tell(self) -> Mapping[str, Counted]:
        """Return lies, true outcomes that were served, and names used."""
        lies = sum(said.is_lie for said in self.said)
        names = len({said.packet.author for said in self.said})
        return {"lies": lies, "served": len(self.said) - lies, "names": names}


def asked(world: World) -> Question:
    """Return the question under attack; raise ScenarioError where nobody asks one over years."""
    if world.question is None or len(world.question.chances) != 2:
        raise ScenarioError("attack: lasts for years, set workload.kind = 'years'")
    return world.question
