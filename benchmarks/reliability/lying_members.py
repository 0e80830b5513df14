"""Can members that lie about where others live keep a newcomer from them? Whole nodes, simulated.

    uv run python benchmarks/reliability/lying_members.py --nodes 200 --liars 20 --seeds 5

Of a warm network some members answer every FIND_NODE with 20 lies: the honest ids nearest to the
target where nobody lives, or invented ids still nearer at the addresses of honest nodes, ten each.
They share what they know. An honest newcomer joins through three honest bootstraps and looks up
random targets. A look-up *succeeds* when it finds the member nearest to its target and half of the
nearest k; *reached* counts each of those k, liars included, for they answer. ``knocks``: Hellos of
the newcomer a second, to all networks together and to the one that got most.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass

from trial import Experiment, Trial, at_least, mean, measure, parser_of, quantile, settings

from qisguard.identity.address import network_of, pack_host
from qisguard.identity.ids import NodeId, from_bytes, to_bytes
from qisguard.lab.crowd import SEEDS, Crowd
from qisguard.lab.links import Links
from qisguard.node.messages import FindNode, Nodes, Reply, Request, WireContact
from qisguard.node.node import Node
from qisguard.session import wire


@dataclass
class Liar:
    """Answers FIND_NODE with lies, everything else truthfully."""

    honest: list[Node]
    rng: random.Random

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply:
        """See ``Behaviour``."""
        if not isinstance(request, FindNode):
            return honest
        target = from_bytes(request.target)
        nearest = sorted(self.honest, key=lambda n: n.me.id ^ target)[:10]
        lies = [self._lie(other.me.id, self._nowhere()) for other in nearest]
        for other in self.rng.sample(self.honest, 10):
            invented = NodeId(target ^ self.rng.getrandbits(128))
            lies.append(self._lie(invented, other.me.address[0]))
        return Nodes(request.number, lies)

    def act(self, node: Node, now: float) -> float | None:
        """See ``Behaviour``."""
        return None

    def _lie(self, identifier: NodeId, host: str) -> WireContact:
        return to_bytes(identifier), pack_host(host), 4_000

    def _nowhere(self) -> str:
        return ".".join(["203", *(str(self.rng.randrange(1, 255)) for _ in range(3))])


async def lied_to(options: argparse.Namespace, seed: int) -> Trial:
    """Let a newcomer join and look around among liars."""
    trial = Trial()
    rng = random.Random(f"lying members {seed}")
    crowd = Crowd.make(seed, Links(loss_ratio=options.loss), settings(options))
    crowd.warm(options.nodes)
    liars = set(rng.sample(range(SEEDS, options.nodes), options.liars))
    honest = [node for number, node in enumerate(crowd.nodes) if number not in liars]
    for number in sorted(liars):
        crowd.nodes[number].corrupt(Liar(honest, random.Random(rng.random())))
    newcomer = crowd.add()
    hellos = _listen(newcomer)
    begun = crowd.engine.now()
    await crowd.engine.finish(crowd.join(newcomer))
    trial.figures["seconds to join"] = crowd.engine.now() - begun
    scores = []
    for _ in range(options.lookups):
        target = NodeId(rng.getrandbits(256))
        score = await crowd.look_up(newcomer, target)
        scores.append(score)
        trial.count("look-ups", score.succeeded)
        reached = round(score.recall_ratio * crowd.config.k)
        good, tries = trial.counts.get("reached", (0, 0))
        trial.counts["reached"] = (good + reached, tries + crowd.config.k)
    seconds = crowd.engine.now() - begun
    trial.digest = crowd.engine.digest()
    trial.figures["median seconds"] = quantile([score.seconds for score in scores], 0.5)
    trial.figures["p99 seconds"] = quantile([score.seconds for score in scores], 0.99)
    trial.figures["requests"] = mean([score.requests for score in scores])
    trial.figures["knocks"] = sum(hellos.values()) / seconds
    trial.figures["knocks at one network"] = max(hellos.values()) / seconds
    return trial


def _listen(node: Node) -> Counter[int]:
    """Count the Hellos that a node will send, by the network that they go to."""
    hellos: Counter[int] = Counter()
    effects = node.effects

    def counted() -> object:
        sent = effects()
        for effect in sent:
            if effect.data[0] == wire.HELLO:
                hellos[network_of(effect.to[0])] += 1
        return sent

    node.effects = counted  # type: ignore[method-assign,assignment]
    return hellos


def main() -> int:
    """Run the seeds; exit codes as in ``trial``."""
    parser = parser_of(__doc__ or "")
    parser.add_argument("--nodes", type=at_least(30), default=200, help="members, liars included")
    parser.add_argument("--liars", type=at_least(0), default=20, help="members that lie")
    parser.add_argument("--lookups", type=at_least(1), default=20, help="of the newcomer")
    parser.add_argument("--loss", type=float, default=0.0, help="share of datagrams lost")
    options = parser.parse_args()
    if options.liars > options.nodes - SEEDS - 10:
        parser.error("--liars must leave at least 13 honest members")
    run = lambda options, seed: asyncio.run(lied_to(options, seed))  # noqa: E731
    targets = {"look-ups": 0.99}
    return measure(Experiment("lying_members.py", "lying members", run, targets, parser), options)


if __name__ == "__main__":
    sys.exit(main())
