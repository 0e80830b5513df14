"""One network goes through a scenario's steps: it forms, publishes, is attacked, and answers.

The same coroutine runs on both engines. The reader is a node of the last hospital, which is never
compromised; it sees nothing but what the network gives it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from qisguard.attacks.publisher import Publisher
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Identity
from qisguard.lab.demo.keeping import Keeper
from qisguard.lab.demo.members import Hospital, Members
from qisguard.lab.demo.results import Curve, NetworkRow, Row, WeightRow
from qisguard.lab.demo.rows import Cost, Where, answer_row, curve_rows, weight_rows
from qisguard.lab.demo.scenario import INSIDERS, SYBILS, Loaded
from qisguard.lab.demo.tables import NetworkRun, Step
from qisguard.lab.engine import Engine
from qisguard.lab.identities import Prepared
from qisguard.node.checks import Checks
from qisguard.node.node import Node
from qisguard.node.publishing import Published
from qisguard.node.reading import Retrieved
from qisguard.outcomes.packet import Body, OutcomePacket, sign_packet
from qisguard.outcomes.synthesis import synthesize
from qisguard.outcomes.weighing import weigh
from qisguard.plugins import Behaviour, Insider, Question, World


@dataclass(frozen=True, slots=True)
class Setting:
    """What every network of a run shares, and where its nodes keep things."""

    loaded: Loaded
    members: Members
    seed: int
    truth: str
    checks: Checks
    keeper: Keeper
    keeps_curves: bool


@dataclass(slots=True)
class Told:
    """What one network left behind."""

    rows: list[Row] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    weights: list[WeightRow] = field(default_factory=list)
    network: NetworkRow | None = None


class Story:
    """One network of a scenario on one engine."""

    def __init__(self, setting: Setting, run: NetworkRun, engine: Engine) -> None:
        loaded = setting.loaded
        self._setting = setting
        self._run = run
        self._engine = engine
        self._rng = random.Random(f"attack {setting.seed}")
        self._defenses = loaded.defenses(run, setting.members.roster)
        self._settings = loaded.settings(run, self._defenses)
        self._attacks = loaded.attacks()
        self._keys = setting.loaded.template.expand(loaded.scenario.question.values)
        self._homes: dict[str, list[Node]] = {}
        self._sybils: list[Node] = []
        self._current = {h.name: h.packets for h in setting.members.hospitals}
        self._broken: dict[str, tuple[OutcomePacket, ...]] = {}
        self._told = Told()

    async def tell(self) -> Told:
        """Run every step; return the rows, curves and counts."""
        await self._gather()
        published = await self._publish()
        for step in self._setting.loaded.scenario.steps:
            await self._attack(step)
            await self._ask(step)
        self._engine.close()
        digest = getattr(self._engine, "digest", lambda: "")()
        self._told.network = NetworkRow(
            engine=self._engine.name,
            seed=self._setting.seed,
            network=self._run.name,
            nodes=sum(len(nodes) for nodes in self._homes.values()),
            sybil_nodes=len(self._sybils),
            packets_published=sum(result.packet_count for result in published),
            acknowledged=sum(result.acknowledged for result in published),
            measures=self._engine.measures(),
            digest=digest,
        )
        return self._told

    # --- the network forms -----------------------------------------------------------------------
    async def _gather(self) -> None:
        """Start every hospital's nodes; each joins through the first three."""
        for hospital in self._setting.members.hospitals:
            for index, identity in enumerate(hospital.identities):
                name = f"{hospital.name}-{index + 1}"
                node = self._engine.add(self._maker(identity, name))
                self._homes.setdefault(hospital.name, []).append(node)
        for node in self._nodes():
            await self._engine.finish(self._engine.act(node, self._joins(node)))

    def _maker(
        self, identity: Identity, name: str, behaviour: Behaviour | None = None
    ) -> Callable[[Address], Node]:
        setting = self._setting

        def make(address: Address) -> Node:
            return Node(
                identity,
                setting.members.network,
                address,
                self._settings.node,
                clock=self._engine.clock,
                draw=setting.keeper.draw,
                store=setting.keeper.store(f"{self._run.name}-{name}"),
                trail=None if behaviour else setting.keeper.trail(name, identity),
                roster=setting.members.roster,
                defenses=self._defenses,
                behaviour=behaviour,
                checks=setting.checks,
            )

        return make

    def _nodes(self) -> list[Node]:
        return [node for nodes in self._homes.values() for node in nodes]

    def _joins(self, node: Node) -> Callable[[float], Sequence[int]]:
        seeds = [other.me for other in self._nodes()[:3] if other is not node]
        return lambda now: [node.join(seeds, now)]

    async def _publish(self) -> list[Published]:
        """Publish every honest packet; a hospital's nodes share its keys between them."""
        handles = []
        for hospital in self._setting.members.hospitals:
            nodes = self._homes[hospital.name]
            for index, node in enumerate(nodes):
                packets = [p for p in hospital.packets if p.key[-1] % len(nodes) == index]
                handles += self._engine.act(node, partial(node.publish, packets))
        results = await self._engine.finish(handles)
        return [result for result in results if isinstance(result, Published)]

    # --- the attacker spends ---------------------------------------------------------------------
    async def _attack(self, step: Step) -> None:
        """Bring Sybils and broken hospitals to the level of ``step``."""
        hospitals = self._setting.members.hospitals
        for hospital in hospitals[step.hospitals : len(self._broken)]:
            await self._recover(hospital)
        if step.hospitals > len(self._broken):
            await self._break_into(hospitals[len(self._broken) : step.hospitals])
        if step.sybils > len(self._sybils):
            await self._flood(self._setting.members.sybils[len(self._sybils) : step.sybils])

    async def _flood(self, pool: Sequence[Identity]) -> None:
        attack = self._attacks[SYBILS]
        seeds = [node.me for node in self._nodes()[:3]]
        fresh: list[Node] = []
        mint = Prepared(pool)
        for recruit in attack.recruit(self._world((), len(pool)), mint, self._rng):
            if recruit.identity is None:
                continue
            name = f"sybil-{len(self._sybils) + len(fresh) + 1}"
            node = self._engine.add(self._maker(recruit.identity, name, recruit.plays))
            node.bootstraps[:] = seeds
            self._engine.touch(node)
            fresh.append(node)
        await self._engine.quiet(fresh)
        self._sybils += fresh

    async def _break_into(self, hospitals: Sequence[Hospital]) -> None:
        attack = self._attacks[INSIDERS]
        insiders = tuple(
            Insider(h.name, h.identities[0].id, h.author, self._current[h.name]) for h in hospitals
        )
        taken = {node.me.id: node for node in self._nodes()}
        for hospital, recruit in zip(
            hospitals, attack.recruit(self._world(insiders), Prepared(()), self._rng), strict=True
        ):
            if recruit.takes is None:
                continue
            node = taken[recruit.takes]
            node.corrupt(recruit.plays)
            self._engine.touch(node)
            await self._engine.quiet([node])
            node.corrupt(None)
            if isinstance(recruit.plays, Publisher):
                self._broken[hospital.name] = tuple(recruit.plays.packets)

    async def _recover(self, hospital: Hospital) -> None:
        """Publish the true outcomes again, and tombstones for cases that never were."""
        real = {packet.case: packet for packet in self._current[hospital.name]}
        corrections = []
        for false in self._broken.pop(hospital.name):
            true = real.get(false.case)
            body = _correct(true.body, false.body) if true else _bury(false.body)
            corrections.append(sign_packet(body, hospital.author))
        newest = real | {packet.case: packet for packet in corrections if packet.case in real}
        self._current[hospital.name] = tuple(newest.values())
        node = self._homes[hospital.name][0]
        handles = self._engine.act(node, partial(node.publish, corrections))
        await self._engine.finish(handles)

    def _world(self, insiders: tuple[Insider, ...], budget: int = 0) -> World:
        setting = self._setting
        target, other = setting.loaded.scenario.question.arms
        if setting.truth == other:
            target, other = other, target
        wanted = set(self._keys)
        example = next(
            packet
            for hospital in setting.members.hospitals
            for packet in hospital.packets
            if packet.key in wanted
        )
        question = Question(
            keys=self._keys,
            target=target,
            other=other,
            horizon=setting.loaded.scenario.question.horizon,
            template=setting.loaded.template.id,
            example=example,
            insiders=insiders,
        )
        return World(
            network=setting.members.network,
            today=self._engine.clock.day(self._engine.now()),
            budget=budget,
            config=self._settings.node,
            members=tuple(node.me for node in self._nodes()),
            question=question,
        )

    def _missing(self, packets: Sequence[OutcomePacket]) -> int:
        """Return how many members' cases under the question's keys are not in ``packets``."""
        keys = set(self._keys)
        published = {
            (packet.author, packet.case)
            for hospital in self._setting.members.hospitals
            for packet in hospital.packets
            if packet.key in keys
        }
        return len(published - {(packet.author, packet.case) for packet in packets})

    # --- somebody asks ---------------------------------------------------------------------------
    async def _ask(self, step: Step) -> None:
        """Retrieve every packet of the question's keys through the network, and answer."""
        engine, setting = self._engine, self._setting
        reader = self._homes[setting.members.hospitals[-1].name][0]
        started, sent = engine.now(), engine.measures()["datagrams"]
        results = await engine.finish(engine.act(reader, partial(reader.retrieve, self._keys)))
        seconds, datagrams = engine.now() - started, engine.measures()["datagrams"] - sent
        found = [result for result in results if isinstance(result, Retrieved)]
        packets = [packet for result in found for packet in result.packets.values()]
        first_seen = {
            digest: sorted(days)[len(days) // 2]
            for result in found
            for digest, days in result.first_seen.items()
        }
        answer = synthesize(
            packets,
            setting.loaded.template,
            setting.members.roster,
            self._settings.synthesis,
            self._defenses,
            arms=setting.loaded.scenario.question.arms,
            today=engine.clock.day(engine.now()),
            first_seen=first_seen,
        )
        cost = Cost(seconds, int(datagrams))
        where = Where(engine.name, setting.seed, self._run.name, step)
        self._told.rows.append(
            answer_row(where, answer, found, self._missing(packets), cost, setting.truth)
        )
        if setting.keeps_curves:
            weighed = weigh(
                packets,
                setting.members.roster,
                self._defenses,
                setting.loaded.scenario.question.arms,
                engine.clock.day(engine.now()),
                first_seen,
            )
            self._told.curves += curve_rows(where, weighed, setting.loaded.scenario.question.arms)
            self._told.weights += weight_rows(where, weighed, self._broken)


def _correct(true: Body, false: Body) -> Body:
    """Return the true outcome in a version that replaces the false one."""
    return msgspec.structs.replace(true, seq=false.seq + 1)


def _bury(false: Body) -> Body:
    """Return the tombstone of a case that never was."""
    return msgspec.structs.replace(
        false, seq=false.seq + 1, gone=True, arm="", kind="", time=None, event=None, feat={}
    )
