"""Peers whom the target asks lie about where others live, a thousand times a second in all.

The target asks the liars. They name honest ids where nobody lives, and invented ids
where honest peers live, so that what the target may send there by hearsay is used up. One honest
informant names each honest peer once; the target has to make first contact by its word. ``apart``:
each liar has a network of its own, which is what costs an attacker most; otherwise all share one.
"""

import random
from dataclasses import dataclass
from functools import partial
from itertools import count

from lockout_world import Connect, Flood, Side, Tally, World, connect, finish

from qisguard.identity.ids import NodeId

BEGIN = 5.0
"""When the lies begin: by then the informants have their sessions."""
HEAD_START = 20.0
"""Seconds for which the liars have been at it when the first honest peer is wanted."""


@dataclass(frozen=True, slots=True)
class Liars:
    """So many of them, in one network or each in its own."""

    count: int
    apart: bool = False

    def __str__(self) -> str:
        if self.count == 1:
            return "1 liar"
        return f"{self.count} liars in {f'{self.count} networks' if self.apart else 'one network'}"


def gossip(seed: int, rate: float, loss: float, liars: Liars, *, proven: bool = False) -> Tally:
    """The target connects to honest peers while liars talk about them."""
    world = World(seed, loss)
    honest = _informant(world, ("172.16.0.1", 4_000))
    tellers = [
        _informant(world, (f"198.18.{n}.1" if liars.apart else f"198.18.0.{n + 1}", 4_000))
        for n in range(liars.count)
    ]
    world.run(BEGIN)
    world.now = BEGIN
    world.hellos.clear()
    how = Connect(proven, (honest.identity.id,))
    if rate:
        world.start(lies(world, rate, tellers))
    wanted = {BEGIN + HEAD_START + world.rng.random(): peer for peer in world.peers}
    for moment in sorted(wanted):
        world.run(moment)
        world.now = moment
        connect(world, world.target, wanted[moment], how)
    pairs = {peer.address: (start, world.target, peer) for start, peer in wanted.items()}
    finish(world, pairs, how)
    world.tally.seconds = world.now - BEGIN
    return world.tally


def lies(world: World, rate: float, tellers: list[Side]) -> Flood:
    """Honest ids at false addresses, and invented ids at honest ones, as a look-up would hear."""
    rng = random.Random(world.rng.random())
    target, start = world.target.sessions, world.now
    for n in count():
        now = start + n / rate
        if rng.random() < 0.5:
            named = rng.choice(world.peers).identity.id
            where = (f"203.{rng.randrange(256)}.{rng.randrange(256)}.1", 4_000)
        else:
            named = NodeId(rng.getrandbits(256))
            where = rng.choice(world.peers).address
        teller = (tellers[n % len(tellers)].identity.id,)
        yield now, partial(target.connect, named, where, now, informants=teller)


def _informant(world: World, address: tuple[str, int]) -> Side:
    """Return somebody whom the target asked."""
    side = world.person(address)
    world.sides[address] = side
    connect(world, world.target, side)
    return side
