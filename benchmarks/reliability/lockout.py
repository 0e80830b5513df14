"""Can an attacker keep honest peers out by speaking in their name? Three attackers, with figures.

    uv run python benchmarks/reliability/lockout.py --seeds 20 [--json]

A target and 20 honest peers on a simulated network (``lockout_world``). Half of the peers have a
session already and ask in it all the time; the other half open one.

- ``spoofer``: floods the target with Hellos, Auths and sealed datagrams, in equal parts, whose
  source address is that of an honest peer. ``hellos`` sends Hellos alone, the worst part.
- ``claimer``: from addresses of its own, with cookies that it went to get, sends Auths that show
  the descriptors of honest peers under signatures that do not verify.
- ``gossip``: peers whom the target asks lie about where others live; see ``lockout_gossip``.

The attack goes on until everybody is in touch or 30 seconds have passed. Success is one handshake
attempt (all its tries) and, separately, being in touch within 30 seconds when attempts are repeated
every second. CPU time is the target's for each virtual second: the simulated network does not slow
down when it passes 1, a real node would drop datagrams. Exit code 1: an honest peer was kept out.
"""

import argparse
import json
import platform
import random
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TypeAlias

from lockout_gossip import Liars, gossip
from lockout_world import PEERS, Flood, Tally, World, connect, finish, summary

from qisguard.config import DATAGRAM_SIZE
from qisguard.identity.ids import to_bytes
from qisguard.session import wire

ASKING = 2.0
"""Seconds for which those with sessions ask; newcomers come meanwhile."""
CLAIMER_ADDRESSES = 8


# --- attacks -------------------------------------------------------------------------------------
Attack: TypeAlias = Callable[[World, float], Flood]
"""Takes the rate in datagrams per second."""


def spoofer(world: World, rate: float) -> Flood:
    """Hellos, Auths and sealed datagrams that claim to come from honest peers."""
    return _spoof(world, rate, (wire.HELLO, wire.AUTH, wire.SEALED))


def hellos(world: World, rate: float) -> Flood:
    """Hellos alone."""
    return _spoof(world, rate, (wire.HELLO,))


def _spoof(world: World, rate: float, kinds: tuple[int, ...]) -> Flood:
    rng = random.Random(world.rng.random())
    me = to_bytes(world.target.identity.id)
    descriptors = {peer.address: peer.sessions.descriptor for peer in world.peers}
    addresses = list(descriptors)
    start = world.now
    for n in count():
        now = start + n / rate
        source = addresses[n % len(addresses)]
        kind = kinds[n // len(addresses) % len(kinds)]
        if kind == wire.HELLO:
            data = (b"\x01\x01" + rng.randbytes(48) + me).ljust(DATAGRAM_SIZE, b"\0")
        elif kind == wire.AUTH:
            cookie = int(now * 1_000).to_bytes(8, "big") + rng.randbytes(32)
            parts = (rng.randbytes(16), rng.randbytes(32), cookie, rng.randbytes(8))
            data = wire.Auth(*parts, descriptors[source], rng.randbytes(64)).encode()
        else:
            data = b"\x05" + rng.randbytes(60)
        yield now, partial(world.at_target, data, source)


def claimer(world: World, rate: float) -> Flood:
    """Auths with good cookies and stolen descriptors; a third of the datagrams fetch cookies."""
    rng = random.Random(world.rng.random())
    me = to_bytes(world.target.identity.id)
    asked: dict[bytes, bytes] = {}
    start = world.now
    for n in count():
        source = (f"198.51.100.{1 + n % CLAIMER_ADDRESSES}", 4_000)
        cookies = world.cookies.get(source)
        if n // CLAIMER_ADDRESSES % 3 == 0 or not cookies:
            nonce, ephemeral = rng.randbytes(16), rng.randbytes(32)
            asked[nonce] = ephemeral
            data = wire.Hello(nonce, ephemeral, me).encode()
        else:
            if len(cookies) > 1:
                cookies.pop(0)
            nonce = cookies[0][2:18]
            stolen = rng.choice(world.peers).sessions.descriptor
            parts = (nonce, asked[nonce], cookies[0][18:], rng.randbytes(8), stolen)
            data = wire.Auth(*parts, rng.randbytes(64)).encode()
        yield start + n / rate, partial(world.at_target, data, source)


# --- scenarios -----------------------------------------------------------------------------------
def from_outside(seed: int, attack: Attack | None, rate: float, loss: float) -> Tally:
    """Honest peers come to a target under a flood."""
    world = World(seed, loss)
    target, friends, newcomers = world.target, world.peers[: PEERS // 2], world.peers[PEERS // 2 :]
    for friend in friends:
        connect(world, friend, target)
    world.run(5.0)
    world.tally = tally = Tally()
    begin = world.now
    if attack:
        world.start(attack(world, rate))
    asks = [begin + 0.1 + n * 0.05 for n in range(int(ASKING / 0.05))]
    starts = {begin + 0.3 + world.rng.random(): peer for peer in newcomers}
    for moment in sorted([*asks, *starts]):
        world.run(moment)
        world.now = moment
        if peer := starts.get(moment):
            connect(world, peer, target)
            continue
        friend = world.rng.choice(friends)
        if session := friend.sessions.get(target.identity.id):
            friend.sessions.send(session, b"ask")
            world.send_all(friend)
        tally.asked += 1
    finish(world, {peer.address: (start, peer, target) for start, peer in starts.items()})
    tally.seconds = world.now - begin
    return tally


def main() -> int:
    """Run all scenarios; return 1 when an honest peer was kept out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--loss", type=float, default=0.0, help="share of datagrams lost")
    parser.add_argument("--rates", type=float, nargs="*", default=[1_000.0, 10_000.0, 40_000.0])
    parser.add_argument("--gossip", type=float, nargs="*", default=[10.0, 100.0, 1_000.0])
    parser.add_argument("--liars", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    given = parser.parse_args()
    if given.seeds < 1 or not 0 <= given.loss < 1 or min(given.liars) < 1:
        parser.error("--seeds and --liars must be at least 1, --loss at least 0 and below 1")
    results: list[dict[str, object]] = []

    def measure(name: str, rate: float, run: Callable[[int], Tally]) -> None:
        results.append(summary(name, rate, [run(seed) for seed in range(given.seeds)]))
        print(results[-1], file=sys.stderr)

    measure("no attack", 0, lambda seed: from_outside(seed, None, 0, given.loss))
    attacks: dict[str, Attack] = {"spoofer": spoofer, "hellos": hellos, "claimer": claimer}
    for name, attack in attacks.items():
        for rate in given.rates:
            measure(name, rate, partial(from_outside, attack=attack, rate=rate, loss=given.loss))
    one = Liars(1)
    for rate in (0.0, *given.gossip):
        name = "gossip, proven contacts"
        measure(name, rate, partial(gossip, rate=rate, loss=given.loss, liars=one, proven=True))
    crowds = [Liars(count, apart) for count in given.liars for apart in {False, count > 1}]
    for liars in sorted(crowds, key=lambda liars: (liars.apart, liars.count)):
        for rate in (0.0, *given.gossip):
            name = f"gossip, first contact by hearsay, {liars}"
            measure(name, rate, partial(gossip, rate=rate, loss=given.loss, liars=liars))
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    if given.json:
        print(json.dumps({"machine": machine, "seeds": given.seeds, "results": results}, indent=1))
    else:
        print(machine)
        for result in results:
            print("\n".join(f"{name}: {value}" for name, value in result.items()), end="\n\n")
    shares = [str(result["opened_within_30_s"]).split(" ")[0].split("/") for result in results]
    return 0 if all(good == tried for good, tried in shares) else 1


if __name__ == "__main__":
    sys.exit(main())
