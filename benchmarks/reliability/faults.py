"""Look-ups under loss (R7), cuts (R8) and wrong clocks (R10), on the simulated network.

    uv run python benchmarks/reliability/faults.py loss --nodes 200 --seeds 5
    uv run python benchmarks/reliability/faults.py cut --seeds 9
    uv run python benchmarks/reliability/faults.py skew

A look-up *succeeds* when it returns the live node closest to its target and at least half of the k
closest live nodes; both parts are reported alone as well: whether the closest was found, and the
mean share of the k closest (recall).

loss: datagrams are lost (30 %), doubled (5 %), late (25 %) and damaged (1 %), joins included.
cut: a network that works is cut (halves, island, one way: the seed's turn) for ``--cut-seconds``
while both sides go on asking; then the link returns, and the time is taken until ten look-ups in a
row, half from each side, find a node of the other side. Audit trails are not part of this.
skew: one node of a crowd lives by a clock that is wrong by 1 s to 1 year, ahead and behind, or is
set forward or back while it runs (see ``qisguard.lab.skew``: a step back is a standstill). Another
node has crashed, so that somebody has to be given up.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from trial import Experiment, Trial, at_least, mean, measure, parser_of, quantile, settings

from qisguard.errors import ScenarioError
from qisguard.identity.ids import NodeId
from qisguard.lab.crowd import FIRST_DAY, SEEDS, Crowd, Score, crowd_packet
from qisguard.lab.links import Cut, Direction, Links
from qisguard.lab.skew import Skew
from qisguard.node.node import Node
from qisguard.node.operations import Found
from qisguard.node.publishing import Published
from qisguard.node.reading import Retrieved
from qisguard.plugins import Clock

SCRIPT = "faults.py"
IN_A_ROW = 10
HANGS = "hangs"
LOOK_UPS = 4
HEALED_WITHIN = 60.0
"""Seconds after the link returned (R8)."""
CUTS: dict[str, tuple[float, Direction]] = {
    "halves": (0.5, Direction.BOTH),
    "island": (0.1, Direction.BOTH),
    "one way": (0.5, Direction.OUT),
}
SKEWS = {"1 s": 1.0, "1 min": 60.0, "1 h": 3_600.0, "1 day": 86_400.0, "1 year": 365 * 86_400.0}


def count_scores(trial: Trial, scores: list[Score]) -> None:
    """Enter look-ups into a trial."""
    for score in scores:
        trial.count("look-ups", score.succeeded)
        trial.count("closest found", score.found_closest)
    trial.figures |= {
        "recall": round(mean([score.recall_ratio for score in scores]), 4),
        "dead in answers": round(mean([score.dead_ratio for score in scores]), 4),
        "hops": round(mean([score.hops for score in scores]), 2),
        "requests": round(mean([score.requests for score in scores]), 1),
        "look-up s, median": round(quantile([score.seconds for score in scores], 0.5), 3),
        "look-up s, 99 %": round(quantile([score.seconds for score in scores], 0.99), 3),
    }


def count_reasons(trial: Trial, nodes: list[Node], *kinds: str) -> None:
    """Note how often nodes counted what begins with one of ``kinds``."""
    totals: dict[str, int] = {}
    for node in nodes:
        for reason, count in node.counts.items():
            if reason.startswith(kinds):
                totals[reason] = totals.get(reason, 0) + count
    trial.notes += [f"{count} x {reason}" for reason, count in sorted(totals.items())]


# --- R7 ------------------------------------------------------------------------------------------
def loss(options: argparse.Namespace, seed: int) -> Trial:
    """Let a crowd join and look things up while the network misbehaves."""
    links = Links(
        loss_ratio=options.loss,
        duplicate_ratio=options.duplicate,
        reorder_ratio=options.reorder,
        corrupt_ratio=options.corrupt,
    )
    return asyncio.run(_loss(Crowd.make(seed, links, settings(options)), options, seed))


async def _loss(crowd: Crowd, options: argparse.Namespace, seed: int) -> Trial:
    trial = Trial()
    if options.warm:
        trial.notes.append(f"warm start: {crowd.warm(options.nodes)} table entries given")
    else:
        await crowd.gather(options.nodes)
    joined = crowd.engine.now()
    rng = random.Random(f"look-ups {seed}")
    before = crowd.engine.measures()["datagrams"]
    started = crowd.engine.now()
    scores = []
    for index in range(options.look_ups):
        node = rng.choice(crowd.nodes)
        scores.append(await crowd.look_up(node, NodeId(rng.getrandbits(256))))
        progress(index + 1, options.look_ups, crowd)
    count_scores(trial, scores)
    datagrams = crowd.engine.measures()["datagrams"] - before
    spent = (crowd.engine.now() - started) * options.nodes
    trial.figures["datagrams per node and s"] = round(datagrams / spent, 2)
    trial.figures["joining s"] = round(joined, 1)
    trial.figures["contacts"] = round(mean([len(node.table) for node in crowd.nodes]), 1)
    trial.figures["lost"] = round(crowd.engine.traffic.counts["lost"])
    count_reasons(trial, crowd.nodes, "handshakes failed", "requests", "dropped")
    return _closed(crowd, trial)


# --- R8 ------------------------------------------------------------------------------------------
def cut(options: argparse.Namespace, seed: int) -> Trial:
    """Cut a network in two, let the link return, and wait until both sides find each other."""
    links = Links(loss_ratio=options.loss)
    crowd = Crowd.make(seed, links, settings(options))
    return asyncio.run(_cut(crowd, options, seed))


async def _cut(crowd: Crowd, options: argparse.Namespace, seed: int) -> Trial:
    trial = Trial()
    rng = random.Random(f"cut {seed}")
    kind = options.kind if options.kind != "each" else list(CUTS)[seed % len(CUTS)]
    ratio, direction = CUTS[kind]
    engine = crowd.engine
    await crowd.gather(options.nodes)
    size = max(1, round(ratio * options.nodes))
    members = frozenset(rng.sample(range(options.nodes), size))
    inside = [node for n, node in enumerate(crowd.nodes) if n in members]
    outside = [node for n, node in enumerate(crowd.nodes) if n not in members]
    start, end = engine.now(), engine.now() + options.cut_seconds
    engine.traffic.cuts.append(Cut(start, end, direction=direction, members=members))
    during: list[Score] = []
    while engine.now() < end - 30:
        engine.advance(engine.now() + options.pause)
        for side in (inside, outside):
            target = NodeId(rng.getrandbits(256))
            during.append(await crowd.look_up(rng.choice(side), target, side))
    engine.advance(end)
    known = mean([sum(c.id in _ids(outside) for c in node.table) for node in inside])
    row, healed, tries, good = 0, None, 0, 0
    while engine.now() < end + options.patience and row < IN_A_ROW:
        one, other = (inside, outside) if tries % 2 else (outside, inside)
        target = rng.choice(other).me.id
        began = engine.now()
        score = await crowd.look_up(rng.choice(one), target)
        tries, good = tries + 1, good + score.found_closest
        if not score.found_closest:
            row, healed = 0, None
        else:
            healed = began if healed is None else healed
            row += 1
        engine.advance(engine.now() + 1.0)
        progress(int(engine.now() - end), int(options.patience), crowd)
    seconds = healed - end if healed is not None and row >= IN_A_ROW else None
    trial.count("healed in 60 s", seconds is not None and seconds <= HEALED_WITHIN)
    trial.count(f"healed in 60 s, {kind}", seconds is not None and seconds <= HEALED_WITHIN)
    for score in during:
        trial.count("look-ups within a side during the cut", score.succeeded)
    within = f"{seconds:.1f} s" if seconds is not None else f"not within {options.patience:g} s"
    trial.notes.append(
        f"{kind}: healed {within}; {good} of {tries} look-ups across found their node; "
        f"when the link returned a node inside knew {known:.1f} outside"
    )
    trial.figures["contacts across"] = round(known, 2)
    if seconds is not None:
        trial.figures["healed after s"] = round(seconds, 1)
    return _closed(crowd, trial)


def _ids(nodes: list[Node]) -> set[NodeId]:
    return {node.me.id for node in nodes}


# --- R10 -----------------------------------------------------------------------------------------
def skew(options: argparse.Namespace, seed: int) -> Trial:
    """Give one node after the other a wrong clock and note what works and what is refused."""
    return asyncio.run(_skews(options, seed))


async def _skews(options: argparse.Namespace, seed: int) -> Trial:
    trial = Trial()
    digests = []
    for name, seconds in SKEWS.items():
        for word, sign in (("ahead", 1), ("behind", -1)):
            for kind in ("offset", "step"):
                wrong = await _skew(trial, f"{name} {word}", kind, sign * seconds, options, seed)
                digests.append(wrong)
    trial.digest = digests[-1]
    return trial


async def _skew(
    trial: Trial, name: str, kind: str, seconds: float, options: argparse.Namespace, seed: int
) -> str:
    """Measure one clock; the rest of the crowd is right."""
    start = FIRST_DAY * 86_400.0
    crowd = Crowd.make(
        seed, Links(), settings(options, k=8, replica_count=6), clock=Clock(0), start=start
    )
    await crowd.gather(options.nodes)
    engine = crowd.engine
    others = list(crowd.nodes)
    if kind == "offset":
        node = crowd.add(Skew(offset=seconds))
        await engine.finish(crowd.join(node))
    else:
        node = crowd.add(Skew(steps=((engine.now() + 60.0, seconds),)))
        await engine.finish(crowd.join(node))
        engine.advance(engine.now() + 120.0)
    rng = random.Random(f"skew {seed}")
    gone = rng.randrange(SEEDS, len(others))
    crowd.stop(gone)  # so that somebody has to be given up, which takes a clock that runs
    del others[gone]
    targets = [NodeId(rng.getrandbits(256)) for _ in range(LOOK_UPS)]
    finds = [await attempt(crowd, node, finding(node, target)) for target in targets]
    found = [await attempt(crowd, n, finding(n, node.me.id)) for n in rng.sample(others, LOOK_UPS)]
    packet, other = (crowd_packet(rng.randbytes(32), n, FIRST_DAY) for n in (1, 2))
    reader, writer = rng.sample(others, 2)
    mine = await attempt(crowd, node, lambda now: node.publish([packet], now))
    read = await attempt(crowd, reader, lambda now: reader.retrieve([packet.key], now))
    await attempt(crowd, writer, lambda now: writer.publish([other], now))
    seen = await attempt(crowd, node, lambda now: node.retrieve([other.key], now))
    works = {
        "looks up": all(
            crowd.judge(contacts, target, 0.0).succeeded
            for contacts, target in zip(finds, targets, strict=True)
        ),
        "is found": all(isinstance(f, Found) and node.me in f.contacts for f in found),
        "publishes": isinstance(mine, Published)
        and mine.acknowledged >= mine.replica_count - 1 > 0
        and isinstance(read, Retrieved)
        and packet.digest in read.packets,
        "retrieves": isinstance(seen, Retrieved) and other.digest in seen.packets,
    }
    hangs = [*finds, *found, mine, read, seen].count(HANGS)
    for good in works.values():
        if abs(seconds) <= 60:
            trial.count("1 min or less: works", good)
        elif abs(seconds) > 86_400 and kind == "offset":
            trial.count("1 year: refused", not good)
    trial.count(f"operations end, {kind}", not hangs)
    refused = dict(mine.refused) if isinstance(mine, Published) else {}
    at_others: dict[str, int] = {}
    for peer in others:
        for reason, count in peer.counts.items():
            if reason.startswith(("dropped", "refused", "record")):
                at_others[reason] = at_others.get(reason, 0) + count
    own = {r: c for r, c in node.counts.items() if r.startswith(("dropped", "refused", "hand"))}
    trial.notes.append(
        f"{kind} {name}: "
        + ", ".join(f"{what} {'yes' if good else 'NO'}" for what, good in works.items())
        + f"; {hangs} operations hang"
        + f"; its publication refused: {refused}; others counted {at_others}; it counted {own}"
    )
    return _closed(crowd, Trial()).digest


async def attempt(crowd: Crowd, node: Node, action: Callable[[float], Sequence[int]]) -> object:
    """Return what an operation ended with, or HANGS when it does not end in ten minutes."""
    try:
        (value,) = await crowd.engine.finish(crowd.engine.act(node, action))
    except ScenarioError:
        return HANGS
    return value


def finding(node: Node, target: NodeId) -> Callable[[float], Sequence[int]]:
    """Return the action that looks a target up."""
    return lambda now: [node.find(target, now)]


# --- running -------------------------------------------------------------------------------------
def _closed(crowd: Crowd, trial: Trial) -> Trial:
    crowd.engine.close()
    trial.digest = crowd.engine.digest()
    return trial


def progress(done: int, of: int, crowd: Crowd) -> None:
    """Say how far a trial is, now and then."""
    if done % 50 == 0 and done:
        print(f"  {done} of {of}, virtual second {crowd.engine.now():.0f}", file=sys.stderr)


def make_parser() -> argparse.ArgumentParser:
    """Return the options of all three figures."""
    parser = parser_of(__doc__)
    parser.add_argument("figure", choices=list(FIGURES))
    parser.add_argument("--nodes", type=at_least(4), default=60)
    parser.add_argument(
        "--look-ups", type=at_least(1), default=200, help="loss: look-ups in each seed"
    )
    parser.add_argument("--loss", type=float, default=None, help="default .3 for loss, 0 for cut")
    parser.add_argument("--duplicate", type=float, default=0.05)
    parser.add_argument("--reorder", type=float, default=0.25)
    parser.add_argument("--corrupt", type=float, default=0.01)
    parser.add_argument("--warm", action="store_true", help="loss: tables filled without joining")
    parser.add_argument("--kind", choices=["each", *CUTS], default="each", help="cut: which")
    parser.add_argument("--cut-seconds", type=float, default=300.0)
    parser.add_argument(
        "--pause", type=at_least(0.1, float), default=5.0, help="cut: seconds between look-ups"
    )
    parser.add_argument(
        "--patience", type=float, default=300.0, help="cut: when to give up waiting"
    )
    return parser


Measured = Callable[[argparse.Namespace, int], Trial]
FIGURES: dict[str, tuple[Measured, dict[str, float], str]] = {
    "loss": (loss, {"look-ups": 0.99}, "R7"),
    "cut": (cut, {"healed in 60 s": 1.0}, "R8"),
    "skew": (
        skew,
        {"1 min or less: works": 1.0, "1 year: refused": 1.0, "operations end, offset": 1.0},
        "R10",
    ),
}
Task = Coroutine[Any, Any, Trial]


def experiment(arguments: list[str]) -> tuple[Experiment, argparse.Namespace]:
    """Return what the arguments ask for."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.loss is None:
        options.loss = 0.3 if options.figure == "loss" else 0.0
    run, targets, figure = FIGURES[options.figure]
    return Experiment(SCRIPT, figure, run, targets, parser), options


if __name__ == "__main__":
    sys.exit(measure(*experiment(sys.argv[1:])))
