"""UDP for one endpoint on asyncio: drain the socket, flush once, send.

The only place that opens a datagram socket. ``allow`` is asked for the address it binds and for
every destination, those learnt from peers included: the laboratory passes ``is_loopback``.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from functools import lru_cache

from qisguard.errors import ScenarioError
from qisguard.identity.descriptor import Address
from qisguard.node.config import DATAGRAM_SIZE
from qisguard.plugins import Endpoint

DRAIN_MAX = 64
"""Datagrams taken for one wake-up and one flush: group commit, and no node starves the others."""
BUFFER_SIZE = 4 << 20


@lru_cache(maxsize=4_096)
def is_loopback(host: str) -> bool:
    """Return whether an IP address in text form never leaves this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_socket(host: str, allow: Callable[[str], bool]) -> socket.socket:
    """Return a non-blocking UDP socket on a free port; raise ScenarioError where not allowed."""
    if not allow(host):
        raise ScenarioError(f"address {host}: refused, attacks and laboratories stay on loopback")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_SIZE)
    sock.bind((host, 0))
    return sock


class UdpDriver:
    """Gives one endpoint a socket, a clock and timers."""

    def __init__(
        self,
        endpoint: Endpoint,
        sock: socket.socket,
        clock: Callable[[], float],
        allow: Callable[[str], bool],
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self.refused = 0
        self.lost = 0
        self.sent = 0
        self._endpoint = endpoint
        self._sock = sock
        self._clock = clock
        self._allow = allow
        self._after = after
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._readable)
        self.pump()

    def pump(self) -> None:
        """Make durable, send what is pending, set the timer; call after touching the endpoint."""
        self._endpoint.flush()
        for effect in self._endpoint.effects():
            if not self._allow(effect.to[0]):
                self.refused += 1
                continue
            try:
                self._sock.sendto(effect.data, effect.to)
                self.sent += 1
            except OSError:
                self.lost += 1
        if self._timer:
            self._timer.cancel()
            self._timer = None
        wanted = self._endpoint.next_timer()
        if wanted is not None:
            delay = max(wanted - self._clock(), 0.0)
            self._timer = self._loop.call_later(delay, self._due)
        self._after()

    def close(self) -> None:
        """Stop listening and forget the timer."""
        if self._timer:
            self._timer.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _due(self) -> None:
        self._timer = None
        self._endpoint.handle_timer(self._clock())
        self.pump()

    def _readable(self) -> None:
        for _ in range(DRAIN_MAX):
            try:
                data, source = self._sock.recvfrom(DATAGRAM_SIZE + 1)
            except BlockingIOError:
                break
            except OSError:  # an ICMP error of an earlier send: the datagram is lost, as they are
                self.lost += 1
                continue
            address: Address = (source[0], source[1])
            self._endpoint.receive_datagram(data, address, self._clock())
        self.pump()
