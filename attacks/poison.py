"""Outcomes that were never observed: what poisoners publish, in the forms that fool survival data.

Structurally perfect packets, because anything else dies at the first check: the time is in range,
the features are copied from a packet that the attacker has seen.
"""

import random

from qisguard.errors import ScenarioError
from qisguard.identity.keys import KeyPair
from qisguard.outcomes.packet import Body, Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.plugins import Question, World

EARLY_DAYS = (30, 180)
"""An early death happens within half a year: it weighs on every later day of the curve."""
LATE_DAYS = 365
"""An immortal is followed for this long after the horizon, without an event."""


def asked(world: World) -> Question:
    """Return the question under attack; raise ScenarioError where nobody asks one."""
    if world.question is None:
        raise ScenarioError("attack: poisons answers, and this scenario asks no question")
    return world.question


def outcome(question: Question, arm: str, rng: random.Random) -> Outcome:
    """Return an outcome that speaks against the target arm and for the other one."""
    if arm == question.target:
        return Outcome.after(rng.randint(*EARLY_DAYS), 1)
    return Outcome.after(question.horizon + LATE_DAYS, 0)


def invent(
    world: World, question: Question, author: KeyPair, seq: int, arm: str, rng: random.Random
) -> OutcomePacket:
    """Return a signed packet about a case that does not exist, under a key of the query."""
    example = question.example.body
    return sign_packet(
        packet_body(
            network=world.network.id,
            template=question.template,
            key=rng.choice(question.keys),
            case=rng.randbytes(16),
            author=author.public,
            seq=seq,
            day=world.today,
            exp=example.exp,
            arm=arm,
            outcome=outcome(question, arm, rng),
            feat=dict(example.feat),
        ),
        author,
    )


def rewrite(
    world: World, question: Question, author: KeyPair, packet: OutcomePacket, rng: random.Random
) -> OutcomePacket:
    """Return a later version of a real case with the outcome that the attacker wants."""
    body: Body = packet.body
    return sign_packet(
        packet_body(
            network=packet.network,
            template=body.tpl,
            key=packet.key,
            case=packet.case,
            author=author.public,
            seq=body.seq + 1,
            day=world.today,
            exp=body.exp,
            arm=body.arm,
            outcome=outcome(question, body.arm, rng),
            feat=dict(body.feat),
        ),
        author,
    )
