"""The event loop of a service, and the ports of a network on one machine."""

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

from qisguard.errors import ScenarioError

PORT_RANGE = (20_000, 32_000)
"""Below the ports that operating systems hand out by themselves, so that none is taken later."""

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, on uvloop where it is installed."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(main)


def loop_name() -> str:
    """Return which event loop ``run`` uses."""
    return "asyncio" if _factory() is None else "uvloop"


def _factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def free_udp_ports(host: str, count: int) -> list[int]:
    """Return ports that nobody uses now, in a row as far as possible.

    All are held until the last one is found. Nothing keeps them free afterwards: a node whose port
    was taken meanwhile says so when it starts.
    """
    low, high = PORT_RANGE
    start = random.SystemRandom().randrange(low, high)
    held: list[socket.socket] = []
    ports: list[int] = []
    try:
        for step in range(high - low):
            if len(ports) == count:
                return ports
            port = low + (start - low + step) % (high - low)
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            held.append(sock)
            try:
                sock.bind((host, port))
            except OSError:
                continue
            ports.append(port)
    finally:
        for sock in held:
            sock.close()
    raise ScenarioError(f"only {len(ports)} of {count} UDP ports from {low} to {high} are free")


def notify(text: str) -> None:
    """Tell the service manager, if there is one that wants to know (``sd_notify(3)``)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.sendto(text.encode(), address)
