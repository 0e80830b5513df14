"""Simulated years with real nodes: members publish, outcomes are verified later, somebody asks.

Weeks pass on the virtual clock. What the reader knows it has from the network alone: packets and
the days on which replicas saw them, the sums that replicas archived, and the reputation that its
own node made of outcomes that were published twice.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from statistics import fmean, median_low
from typing import Any

from qisguard.attacks.lasting import DAY, WEEK, Lasting, fate
from qisguard.identity.keys import KeyPair
from qisguard.identity.roster import Roster
from qisguard.lab.trial.ground import Ground
from qisguard.lab.trial.people import FIRST_DAY, author_of
from qisguard.lab.trial.work import Operation
from qisguard.node.archiving import Archived
from qisguard.node.node import Node
from qisguard.node.reading import Retrieved
from qisguard.outcomes.annals import Annals, past_of
from qisguard.outcomes.answer import Answer, State
from qisguard.outcomes.fields import OutcomeRule
from qisguard.outcomes.packet import BINARY, Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.outcomes.reputation import Standings
from qisguard.outcomes.synthesis import synthesize
from qisguard.outcomes.template import Template
from qisguard.outcomes.weighing import weigh, weight_by_issuer
from qisguard.plugins import Defense, Question
from qisguard.store.sqlite_file import SqliteFile

ARMS = ("first", "second")
RULE = OutcomeRule(BINARY, "", 0.0, 1.0, horizon=0)
TEMPLATE = Template("years", 1, 1, 1, "years of the laboratory", ARMS, (), RULE, ())
STEP = 7
"""Days to a row of the past."""


class Years:
    """The years of one trial; nodes of ``ground`` remember from now on."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._table = ground.loaded.scenario.years
        self._rng = random.Random(f"years {ground.seed}")
        self._key = self._rng.randbytes(32)
        self._roster = ground.people.roster or Roster(ground.people.network.id, 0, ())
        self._members = ground.loaded.scenario.network.organisations
        self._authors = {author_of(member).public for member in range(self._members)}
        self._answers: list[tuple[int, bool, Answer, float]] = []
        chances = self._table.first, self._table.second
        ground.question = Question(
            keys=(self._key,),
            target=ARMS[0],
            other=ARMS[1],
            horizon=0,
            template=TEMPLATE.id,
            example=self._packet(0, bytes(16), FIRST_DAY, 0, well=True),
            insiders=(),
            chances=chances,
            lasts=self._table.lasts,
        )
        horizons = {TEMPLATE.id: RULE.horizon}
        ground.remember = lambda: Annals(SqliteFile(":memory:"), self._roster, horizons)

    async def pass_by(self) -> list[Operation]:
        """Let the years pass; there are no operations to measure one by one."""
        engine = self._ground.engine
        published: list[OutcomePacket] = []
        for day in range(0, self._table.days + 1, WEEK):
            today = engine.clock.day(engine.now())
            fresh = published + [
                said.packet
                for liar in self._liars()
                for said in liar.said
                if today - WEEK <= said.packet.body.day < today
            ]
            published = []
            for member in range(self._members):
                packets = [*self._own(member, today)]
                published += packets
                packets += self._verifies(member, fresh, today)
                node = self._ground.honest[member]
                await engine.finish(engine.act(node, partial(node.publish, packets)))
            if day >= self._table.begins and day % self._table.asks == 0:
                await self._ask()
            week = WEEK * DAY / engine.clock.rate
            await engine.pause(week - engine.now() % week)
        return []

    # --- members ---------------------------------------------------------------------------------
    def _own(self, member: int, today: int) -> Iterator[OutcomePacket]:
        """Yield a week's cases of a member."""
        for _ in range(self._table.cases):
            case, arm = self._rng.randbytes(16), self._rng.randrange(2)
            yield self._packet(member, case, today, arm, well=self._truth(case, arm))

    def _verifies(
        self, member: int, fresh: Sequence[OutcomePacket], today: int
    ) -> Iterator[OutcomePacket]:
        """Yield what a member publishes of patients that came to it from elsewhere."""
        own = author_of(member).public
        ratio = self._table.verified_ratio
        for packet in fresh:
            others = self._members - (packet.author in self._authors)
            if packet.author != own and self._rng.random() < ratio / others:
                arm = ARMS.index(packet.body.arm)
                errs = self._rng.random() < self._table.error_ratio
                well = self._truth(packet.case, arm) != errs
                yield self._packet(member, packet.case, today, arm, well=well)

    def _truth(self, case: bytes, arm: int) -> bool:
        return fate(case, (self._table.first, self._table.second)[arm])

    def _packet(
        self, member: int, case: bytes, today: int, arm: int, *, well: bool
    ) -> OutcomePacket:
        author: KeyPair = author_of(member)
        body = packet_body(
            network=self._ground.people.network.id,
            template=TEMPLATE.id,
            key=self._key,
            case=case,
            author=author.public,
            seq=1,
            day=today,
            exp=today + self._table.lasts,
            arm=ARMS[arm],
            outcome=Outcome.binary(well),
            feat={},
        )
        return sign_packet(body, author)

    # --- the reader ------------------------------------------------------------------------------
    async def _ask(self) -> None:
        """Ask the question through a member's node, and keep the answer."""
        ground, engine = self._ground, self._ground.engine
        reader: Node = ground.honest[-1]
        (read,) = await engine.finish(engine.act(reader, partial(reader.retrieve, [self._key])))
        (told,) = await engine.finish(
            engine.act(reader, partial(reader.archived, [self._key], FIRST_DAY, STEP))
        )
        if not isinstance(read, Retrieved) or not isinstance(told, Archived):
            return
        today = engine.clock.day(engine.now())
        packets = list(read.packets.values())
        seen = {digest: median_low(days) for digest, days in read.first_seen.items()}
        standings = reader.annals.standings(today) if reader.annals else Standings()
        defenses = [_knowing(defense, standings) for defense in ground.defenses]
        config = ground.loaded.tuned(ground.defenses).synthesis
        config = replace(config, horizon=None)
        past = past_of({self._key: told.replicas}, self._roster, ARMS)
        asked = (packets, TEMPLATE, self._roster, config, defenses, ARMS, today, seen, past)
        answer = synthesize(*asked)
        weighed = weigh(packets, self._roster, defenses, ARMS, today, seen, BINARY)
        shares = weight_by_issuer(weighed)
        members = {f"organisation-{member + 1}" for member in range(self._members)}
        theirs = sum(share for name, share in shares.items() if name not in members)
        said = [said for liar in self._liars() for said in liar.said]
        lies = any(one.is_lie and one.packet.body.exp >= today for one in said)
        self._answers.append((today, lies, answer, theirs))

    def _liars(self) -> list[Lasting]:
        return [teller for teller in self._ground.tellers if isinstance(teller, Lasting)]

    # --- what came of it -------------------------------------------------------------------------
    def ratios(self) -> dict[str, tuple[int, int]]:
        """Return what answers were, of how many."""
        answers = [answer for _, _, answer, _ in self._answers]
        under = [answer for _, lies, answer, _ in self._answers if lies]
        found = {
            "flipped": (sum(map(_is_flipped, answers)), len(answers)),
            "flipped_unnoticed": (
                sum(_is_flipped(a) and a.state is State.OK for a in answers),
                len(answers),
            ),
            "answers_ok": (sum(a.state is State.OK for a in answers), len(answers)),
            "answers_flagged": (sum(bool(a.flags) for a in answers), len(answers)),
        }
        if under:
            found["flipped_under_lies"] = sum(map(_is_flipped, under)), len(under)
            found["detected"] = sum(bool(a.flags) for a in under), len(under)
        return found

    def values(self, told: dict[str, float]) -> dict[str, float]:
        """Return delays and gains; ``told`` is what the attackers counted."""
        found: dict[str, float] = {}
        under = [(day, answer, share) for day, lies, answer, share in self._answers if lies]
        if not under:
            return found
        lies = [s.packet.body.day for liar in self._liars() for s in liar.said if s.is_lie]
        reports = [day for day, answer, _ in under if answer.flags]
        if reports:
            found["delay_days"] = reports[0] - min(lies)
        found["liars_weight"] = fmean(share for _, _, share in under)
        flips = sum(_is_flipped(answer) for _, answer, _ in under)
        if told.get("served"):
            found["flips_per_1000_served"] = 1_000 * flips / told["served"]
        if told.get("names"):
            found["flips_per_name"] = flips / told["names"]
        return found


def _is_flipped(answer: Answer) -> bool:
    return answer.decision == ARMS[1]


def _knowing(defense: Defense, standings: Standings) -> Defense:
    """Return a defence that knows what issuers are worth, if it wants to."""
    made: Any = defense
    if any(field.name == "standings" for field in fields(made)):
        made = replace(made, standings=standings)
    wanted: Defense = made
    return wanted
