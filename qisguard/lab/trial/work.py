"""What honest nodes do while they are measured: look-ups, or records written and read."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from qisguard.identity.ids import NodeId, placement
from qisguard.identity.network import Network
from qisguard.lab.crowd import crowd_packet
from qisguard.lab.engine import Handle
from qisguard.lab.scenario.tables import WorkloadTable
from qisguard.lab.trial.ground import Ground
from qisguard.lab.trial.people import FIRST_DAY
from qisguard.lab.warm import nearest
from qisguard.node.node import Node
from qisguard.node.operations import Found
from qisguard.node.publishing import Published
from qisguard.outcomes.packet import OutcomePacket

END_MAX = 3_600.0
"""Engine seconds after the last operation began; whoever has no answer by then has none."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that an honest node did: for which place, with which result, for how long.

    ``result`` is None when it never ended. ``nearest`` are the ids of the honest nodes closest to
    the place when it ended, as many as a look-up returns.
    """

    asker: NodeId
    place: NodeId
    result: object
    seconds: float
    nearest: tuple[NodeId, ...]
    packet: OutcomePacket | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be asked in a trial, by operation: it follows from scenario and seed alone.

    ``packets`` are published last; the ``older`` versions of them before, oldest first.
    """

    places: tuple[NodeId, ...]
    packets: tuple[OutcomePacket, ...]
    older: tuple[tuple[OutcomePacket, ...], ...] = ()

    @classmethod
    def of(cls, seed: int, table: WorkloadTable, network: Network) -> "Plan":
        """Return the plan of one seed."""
        rng = random.Random(f"work {seed}")
        count = 1 if table.targets == "one" else table.operations
        if table.kind in ("records", "providers"):
            keys = [rng.randbytes(32) for _ in range(count)]
            *older, packets = (
                tuple(
                    crowd_packet(key, i, FIRST_DAY, network=network, seq=seq)
                    for i, key in enumerate(keys)
                )
                for seq in range(1, table.versions + 1)
            )
            return cls(tuple(placement(key) for key in keys), packets, tuple(older))
        return cls(tuple(NodeId(rng.getrandbits(256)) for _ in range(count)), ())

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Return the similarity keys of the records, by operation."""
        return tuple(packet.key for packet in self.packets)


class Work:
    """The workload of one trial on its ground."""

    def __init__(self, ground: Ground, plan: Plan) -> None:
        self._ground = ground
        self._plan = plan
        self._table = ground.loaded.scenario.workload
        self._rng = random.Random(f"askers {ground.seed}")
        self._churn = random.Random(f"churn {ground.seed}")
        self._next_change = math.inf
        self.publishers: dict[NodeId, Node] = {}
        """Who published what lies at a place."""
        table = ground.loaded.scenario.churn
        if table.replaced_ratio:
            self._rate = -math.log(1 - table.replaced_ratio) * len(ground.honest) / table.period
            self._next_change = ground.engine.now() + self._churn.expovariate(self._rate)

    async def publish(self) -> int:
        """Publish the plan's records, each through some honest node; return how many were kept."""
        engine, kept = self._ground.engine, 0
        rng = random.Random(f"publishers {self._ground.seed}")
        for version in (*self._plan.older, self._plan.packets):
            kept = 0
            for place, packet in zip(self._plan.places, version, strict=False):
                if place not in self.publishers:
                    self.publishers[place] = rng.choice(self._ground.honest)
                node = self.publishers[place]
                (result,) = await engine.finish(engine.act(node, partial(node.publish, [packet])))
                kept += isinstance(result, Published) and result.acknowledged > 0
        return kept

    async def ask(self) -> list[Operation]:
        """Run every operation; return them in the order in which they began."""
        if self._table.kind == "idle":
            await self._pass(self._table.pause * self._table.operations)
            return []
        engine, begun = self._ground.engine, []
        for place, packet in self._questions():
            node = self._rng.choice(self._askers())
            started = engine.now()
            (handle,) = engine.act(node, self._action(node, place, packet))
            begun.append((handle, place, packet, started))
            if self._table.pause:
                await self._pass(self._table.pause)
            else:
                await engine.pause_until(handle)
        deadline = engine.now() + END_MAX
        while engine.now() < deadline and not all(engine.has_ended(h) for h, *_ in begun):
            await self._pass(1.0)
        return [self._operation(*one) for one in begun]

    def _askers(self) -> Sequence[Node]:
        return self._ground.victims if self._table.askers == "victims" else self._ground.honest

    def _questions(self) -> Iterator[tuple[NodeId, OutcomePacket | None]]:
        for i in range(self._table.operations):
            at = i % len(self._plan.places)
            yield self._plan.places[at], self._plan.packets[at] if self._plan.packets else None

    def _action(
        self, node: Node, place: NodeId, packet: OutcomePacket | None
    ) -> Callable[[float], Sequence[int]]:
        if packet is None:
            return lambda now: [node.find(place, now)]
        if self._table.kind == "providers":
            return lambda now: [node.providers(place, now)]
        return lambda now: node.retrieve([packet.key], now)

    def _operation(
        self, handle: Handle, place: NodeId, packet: OutcomePacket | None, started: float
    ) -> Operation:
        ended = self._ground.engine.take(handle)
        result, now = ended if ended else (None, self._ground.engine.now())
        ids = sorted(node.me.id for node in self._ground.honest)
        closest = nearest(ids, place, self._ground.config.k)
        return Operation(handle.node.me.id, place, result, now - started, tuple(closest), packet)

    async def _pass(self, seconds: float) -> None:
        """Let time pass, and churn happen in it."""
        engine = self._ground.engine
        end = engine.now() + seconds
        while self._next_change < end:
            await engine.pause(max(self._next_change - engine.now(), 0.0))
            staying = 3  # the bootstraps
            number = self._churn.randrange(staying, len(self._ground.honest))
            self._ground.replace(number)
            self._next_change += self._churn.expovariate(self._rate)
        await engine.pause(max(end - engine.now(), 0.0))


def is_found(operation: Operation) -> bool:
    """Return whether a look-up returned the honest node closest to its target."""
    found = operation.result
    if not isinstance(found, Found) or not operation.nearest:
        return False
    return operation.nearest[0] in {contact.id for contact in found.contacts}
