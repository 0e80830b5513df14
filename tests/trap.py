"""Run inside a network namespace of its own: attacks on real sockets, beside a way out that counts.

Everything that is not for this machine would leave by ``trap``, the default route. Prints one JSON
object: what a deliberate datagram and what the attacks sent out through it.
"""

import asyncio
import json
import socket
import subprocess
import sys

from qisguard.identity.ids import placement
from qisguard.lab.live import LiveEngine
from qisguard.lab.trial.engines import Job, run_job
from tests.builders import CLOCK, find, make_crowd, make_key
from tests.test_safety import CONFIG, ELSEWHERE, _Guide

SETUP = (
    "ip link set lo up",
    "ip link add trap type veth peer name far",
    "sysctl -q net.ipv6.conf.trap.disable_ipv6=1",  # it would speak on its own account
    "ip address add 192.0.2.99/24 dev trap",
    "ip link set far up",
    "ip link set trap arp off up",
    "ip route add default dev trap",
)


def main() -> None:
    """Set the trap, prove that it counts, and let every scenario of standard input run."""
    for command in SETUP:
        subprocess.run(command.split(), check=True, capture_output=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"proof that the trap counts", ("198.51.100.7", 9))
    proof = _sent()
    measured: dict[str, object] = {}
    for scenario in json.load(sys.stdin):
        for arm in ("attacked", "defended"):
            measured[f"{arm} {len(measured)}"] = run_job(Job(scenario.encode(), {}, arm, 1)).ratios
    asyncio.run(_misled())
    json.dump({"proof": proof, "escaped": _sent() - proof, "measured": measured}, sys.stdout)


async def _misled() -> None:
    """Let a node be told of addresses outside, by peers and as bootstraps."""
    engine = LiveEngine(CLOCK)
    try:
        nodes = await make_crowd(engine, 4, CONFIG)
        for liar in nodes[1:]:
            liar.corrupt(_Guide(ELSEWHERE))
        await find(engine, nodes[0], placement(make_key(0)))
    finally:
        engine.close()


def _sent() -> int:
    told = subprocess.run(
        ["ip", "-s", "-j", "link", "show", "trap"], check=True, capture_output=True
    )
    return int(json.loads(told.stdout)[0]["stats64"]["tx"]["packets"])


if __name__ == "__main__":
    main()
