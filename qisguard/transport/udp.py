"""UDP for one endpoint on asyncio: drain the socket, flush once, send.

The only place that opens a datagram socket. ``allow`` is asked for the address it binds and for
every destination, those learnt from peers included: the laboratory allows loopback, and there what
it opened itself. A datagram that claims another source than its socket's is never sent.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from qisguard.config import DATAGRAM_SIZE
from qisguard.errors import ScenarioError
from qisguard.identity.address import Address
from qisguard.plugins import Endpoint

DRAIN_MAX = 64
"""Datagrams taken for one wake-up and one flush: group commit, and no node starves the others."""
BUFFER_SIZE = 4 << 20
Allow: TypeAlias = Callable[[Address], bool]
"""Whether a destination may be sent to."""
TIMER_MIN = 0.001
"""Seconds to the next timer at least: one that is always due must not stop everything else."""


@lru_cache(maxsize=4_096)
def is_loopback(host: str) -> bool:
    """Return whether an IP address in text form never leaves this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable_from(host: str) -> Callable[[str], bool]:
    """Return which hosts a node that listens on ``host`` may send to, whatever a peer says.

    On loopback: loopback alone. Elsewhere: neither this machine's own services, nor everybody on a
    link at once (multicast, broadcast), nor addresses that stand for none.
    """
    if is_loopback(host):
        return is_loopback
    return is_unicast


@lru_cache(maxsize=4_096)
def is_unicast(host: str) -> bool:
    """Return whether an IP address in text form is one other machine's."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return is_unicast(str(address.ipv4_mapped))
    nowhere = address.is_unspecified or address.is_loopback or address.is_multicast
    return not nowhere and host != "255.255.255.255"


def by_host(allow: Callable[[str], bool]) -> Allow:
    """Return ``allow`` for destinations whose port does not matter."""
    return lambda address: allow(address[0])


def open_socket(host: str, allow: Callable[[str], bool], port: int = 0) -> socket.socket:
    """Return a non-blocking UDP socket, on a free port unless one is named.

    Raises:
        ScenarioError: not allowed, in use, or not an address of this machine.
    """
    if not allow(host):
        raise ScenarioError(f"address {host}: refused, attacks and laboratories stay on loopback")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_SIZE)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ScenarioError(f"UDP address {host} port {port}: {error.strerror}") from None
    return sock


class UdpDriver:
    """Gives one endpoint a socket, a clock and timers; ``let`` may hold back so many bytes."""

    def __init__(
        self,
        endpoint: Endpoint,
        sock: socket.socket,
        clock: Callable[[], float],
        allow: Allow,
        after: Callable[[], None] = lambda: None,
        let: Callable[[int], bool] = lambda size: True,
    ) -> None:
        self.refused = 0
        self.lost = 0
        self.sent = 0
        self._endpoint = endpoint
        self._sock = sock
        self._clock = clock
        self._allow = allow
        self._after = after
        self._let = let
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._readable)
        self.pump()

    def pump(self) -> None:
        """Make durable, send what is pending, set the timer; call after touching the endpoint."""
        try:
            self._endpoint.flush()
            self._send()
        finally:
            self._set_timer()
        self._after()

    def _send(self) -> None:
        for effect in self._endpoint.effects():
            if effect.source is not None or not self._allow(effect.to):
                self.refused += 1
                continue
            if not self._let(len(effect.data)):
                self.lost += 1
                continue
            try:
                self._sock.sendto(effect.data, effect.to)
                self.sent += 1
            except OSError:
                self.lost += 1

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        wanted = self._endpoint.next_timer()
        if wanted is not None:
            delay = max(wanted - self._clock(), TIMER_MIN)
            self._timer = self._loop.call_later(delay, self._due)

    def close(self) -> None:
        """Stop listening and forget the timer."""
        if self._timer:
            self._timer.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _due(self) -> None:
        self._timer = None
        try:
            self._endpoint.handle_timer(self._clock())
        finally:  # a fault in one timer must not be the last one
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
