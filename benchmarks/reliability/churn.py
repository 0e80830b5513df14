"""Look-ups and records while nodes keep leaving and coming (R9), on the simulated network.

    uv run python benchmarks/reliability/churn.py --nodes 200 --hours 1
    uv run python benchmarks/reliability/churn.py --nodes 1000 --hours 24

Nodes crash without goodbye at random moments, so that after ``--period`` seconds ``--share`` of
those who were there are expected to be gone. For each that goes another comes: with
``--return-ratio`` one that crashed before, with the same identity at the same address and an empty
memory, else a new one. Those who come join through three random nodes that are running. The first
three nodes and the publisher never crash.

The start is **warm** (tables filled from global knowledge, no handshakes) unless ``--cold``.
Records are published before the churn begins, by a node that stays and publishes again by itself if
the node does so. A record survives when a random running node can retrieve its packet.

A look-up succeeds when it returns the live node closest to its target and at least half of the k
closest live nodes, judged when it ends; nodes that came less than ``--settle`` seconds before that
are not held against it. What somebody asked who crashed meanwhile is not counted.
"""

import argparse
import asyncio
import math
import random
import sys
from dataclasses import dataclass, field

from trial import Experiment, Trial, at_least, mean, measure, parser_of, quantile, settings

from qisguard.identity.ids import NodeId
from qisguard.lab.crowd import FIRST_DAY, Crowd, Score, crowd_packet
from qisguard.lab.engine import Handle
from qisguard.lab.links import Links
from qisguard.node.node import Node
from qisguard.node.reading import Retrieved

SCRIPT = "churn.py"
STAYING = 4


@dataclass
class Churn:
    """The state of one run."""

    crowd: Crowd
    options: argparse.Namespace
    rng: random.Random
    since: dict[int, float] = field(default_factory=dict)
    down: list[int] = field(default_factory=list)
    up: list[int] = field(default_factory=list)
    asked: list[tuple[Handle, int, NodeId, float]] = field(default_factory=list)
    read: list[tuple[Handle, int, bytes]] = field(default_factory=list)
    changes: int = 0

    def replace_one(self) -> None:
        """Let one node crash and another come."""
        crowd, now = self.crowd, self.crowd.engine.now()
        at = self.rng.randrange(len(self.up))
        gone = self.up[at]
        crowd.stop(gone)
        self.since[gone] = now
        self.changes += 1
        back = [n for n in self.down if now - self.since[n] >= 60.0]
        if back and self.rng.random() < self.options.return_ratio:
            number = self.rng.choice(back)
            self.down.remove(number)
            node = crowd.restart(number)
        else:
            node = crowd.add()
            number = len(crowd.nodes) - 1
        self.up[at] = number
        self.down.append(gone)
        self.since[number] = now
        others = [crowd.nodes[n] for n in self.rng.sample(self.up, 3) if n != number]
        crowd.join(node, [*others, *crowd.nodes[:1]][:3])

    def ask(self) -> None:
        """Start a look-up from a settled node."""
        node = self.settled()
        target = NodeId(self.rng.getrandbits(256))
        (handle,) = self.crowd.engine.act(node, lambda now: [node.find(target, now)])
        self.asked.append((handle, self.crowd.engine.number(node), target, self.crowd.engine.now()))

    def fetch(self, key: bytes, digest: bytes) -> None:
        """Start to retrieve one record."""
        node = self.settled()
        (handle,) = self.crowd.engine.act(node, lambda now: node.retrieve([key], now))
        self.read.append((handle, self.crowd.engine.number(node), digest))

    def settled(self) -> Node:
        """Return a random running node that did not come only now."""
        now = self.crowd.engine.now()
        while True:
            number = self.rng.choice(self.up)
            if now - self.since.get(number, -1e9) >= self.options.settle:
                return self.crowd.nodes[number]

    def collect(self, scores: list[Score], alive: list[bool]) -> int:
        """Take the results that are there; return how many askers crashed first."""
        engine, now, crashed = self.crowd.engine, self.crowd.engine.now(), 0
        recent = {
            self.crowd.nodes[n].me.id
            for n, at in self.since.items()
            if now - at < self.options.settle
        }
        waiting = []
        for handle, number, target, started in self.asked:
            if not engine.is_running(handle.node):
                crashed += 1
            elif (done := engine.take(handle)) is None:
                waiting.append((handle, number, target, started))
            else:
                among = [n for n in self.judges() if n.me.id not in recent]
                scores.append(self.crowd.judge(done[0], target, done[1] - started, among))
        self.asked = waiting
        reading = []
        for handle, number, digest in self.read:
            if not engine.is_running(handle.node):
                crashed += 1
            elif (done := engine.take(handle)) is None:
                reading.append((handle, number, digest))
            else:
                value = done[0]
                alive.append(isinstance(value, Retrieved) and digest in value.packets)
        self.read = reading
        return crashed

    def judges(self) -> list[Node]:
        """Return every running node."""
        return [*self.crowd.nodes[:STAYING], *(self.crowd.nodes[n] for n in self.up)]


def churn(options: argparse.Namespace, seed: int) -> Trial:
    """Run one seed."""
    config = settings(options)
    crowd = Crowd.make(seed, Links(loss_ratio=options.loss), config)
    return asyncio.run(_churn(crowd, options, seed))


async def _churn(crowd: Crowd, options: argparse.Namespace, seed: int) -> Trial:
    trial, engine = Trial(), crowd.engine
    rng = random.Random(f"churn {seed}")
    if options.cold:
        await crowd.gather(options.nodes)
    else:
        trial.notes.append(f"warm start: {crowd.warm(options.nodes)} table entries given")
    publisher = crowd.nodes[3]
    records = []
    for number in range(options.records):
        packet = crowd_packet(rng.randbytes(32), number, FIRST_DAY)
        records.append((packet.key, packet.digest))
        await engine.finish(
            engine.act(publisher, lambda now, packet=packet: publisher.publish([packet], now))
        )
    run = Churn(crowd, options, rng, up=list(range(STAYING, options.nodes)))
    start = engine.now()
    end = start + options.hours * 3_600.0
    rate = -math.log(1.0 - options.share) * options.nodes / options.period
    scores: list[Score] = []
    alive: list[bool] = []
    crashed = 0
    hour_scores, hour_alive = 0, 0
    due = {
        "change": start + rng.expovariate(rate),
        "ask": start + options.pause,
        "read": start + options.pause,
        "tell": start + min(options.hours, 1.0) * 900.0,
    }
    while (time := min(due.values())) < end:
        engine.advance(time)
        crashed += run.collect(scores, alive)
        what = min(due, key=lambda name: due[name])
        if what == "change":
            run.replace_one()
            due[what] = time + rng.expovariate(rate)
        elif what == "ask":
            run.ask()
            due[what] = time + options.pause
        elif what == "read":
            run.fetch(*records[rng.randrange(len(records))])
            due[what] = time + options.pause
        else:
            recent, kept = scores[hour_scores:], alive[hour_alive:]
            hour_scores, hour_alive = len(scores), len(alive)
            text = (
                f"minute {(time - start) / 60:.0f}: look-ups "
                f"{mean([s.succeeded for s in recent]):.1%} of {len(recent)}, recall "
                f"{mean([s.recall_ratio for s in recent]):.3f}, records "
                f"{mean([float(a) for a in kept]):.1%} of {len(kept)}, "
                f"contacts {mean([len(n.table) for n in run.judges()]):.0f}, of them live "
                f"{live_ratio(crowd, run.judges()):.1%}"
            )
            trial.notes.append(text)
            print(f"  {text}", file=sys.stderr)
            due[what] = time + 900.0
    engine.advance(end + 60.0)
    crashed += run.collect(scores, alive)
    for score in scores:
        trial.count("look-ups", score.succeeded)
        trial.count("closest found", score.found_closest)
    for kept in alive:
        trial.count("records retrieved", kept)
    trial.figures = {
        "recall": round(mean([s.recall_ratio for s in scores]), 4),
        "look-up s, median": round(quantile([s.seconds for s in scores], 0.5), 2),
        "look-up s, 95 %": round(quantile([s.seconds for s in scores], 0.95), 2),
        "look-up s, 99 %": round(quantile([s.seconds for s in scores], 0.99), 2),
        "not ended": len(run.asked) + len(run.read),
        "askers crashed": crashed,
        "replaced": run.changes,
        "datagrams": engine.measures()["datagrams"],
    }
    engine.close()
    trial.digest = engine.digest()
    return trial


def live_ratio(crowd: Crowd, nodes: list[Node]) -> float:
    """Return which share of all table entries are nodes that are running."""
    entries = [contact.id for node in nodes for contact in node.table]
    return sum(map(crowd.is_live, entries)) / max(len(entries), 1)


def experiment(arguments: list[str]) -> tuple[Experiment, argparse.Namespace]:
    """Return what the arguments ask for."""
    parser = parser_of(__doc__)
    parser.add_argument("--nodes", type=at_least(10), default=100)
    parser.add_argument("--hours", type=float, default=0.5, help="virtual hours of churn")
    parser.add_argument("--share", type=float, default=0.5, help="replaced within each period")
    parser.add_argument("--period", type=at_least(1, float), default=600.0, help="seconds")
    parser.add_argument("--return-ratio", type=float, default=0.5)
    parser.add_argument("--settle", type=float, default=60.0, help="seconds")
    parser.add_argument(
        "--pause", type=at_least(0.1, float), default=5.0, help="seconds between look-ups"
    )
    parser.add_argument("--records", type=at_least(1), default=20)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--cold", action="store_true", help="join one after the other instead")
    options = parser.parse_args(arguments)
    targets = {"look-ups": 0.99, "records retrieved": 0.99}
    return Experiment(SCRIPT, "R9", churn, targets, parser), options


if __name__ == "__main__":
    sys.exit(measure(*experiment(sys.argv[1:])))
