"""What a node's sockets may reach, and what a fault in a node may not stop."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from qisguard.errors import ScenarioError
from qisguard.identity.address import Address
from qisguard.plugins import Send
from qisguard.transport.loop import PORT_RANGE, free_udp_ports
from qisguard.transport.udp import UdpDriver, by_host, is_loopback, open_socket, reachable_from


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_node_on_loopback_reaches_loopback_alone(host: str) -> None:
    assert reachable_from(host) is is_loopback


@pytest.mark.parametrize("own", ["0.0.0.0", "192.0.2.1", "::"])
def test_a_node_elsewhere_cannot_be_aimed_at_its_own_machine_or_at_everybody(own: str) -> None:
    """Peers hand out addresses; these would hit local services, a whole link, or nobody."""
    allow = reachable_from(own)
    aimed = ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::")
    crowds = ("224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:224.0.0.1")
    assert not any(allow(host) for host in (*aimed, *crowds, "localhost", "", "1"))
    assert all(allow(host) for host in ("198.51.100.7", "10.0.0.1", "2001:db8::1"))


def test_a_socket_gets_the_port_that_was_asked_for_or_says_why_not() -> None:
    (port,) = free_udp_ports("127.0.0.1", 1)
    with open_socket("127.0.0.1", is_loopback, port) as sock:
        assert sock.getsockname() == ("127.0.0.1", port)
        with pytest.raises(ScenarioError, match=rf"UDP address 127\.0\.0\.1 port {port}: "):
            open_socket("127.0.0.1", is_loopback, port)


def test_ports_are_different_free_and_below_those_that_systems_hand_out() -> None:
    ports = free_udp_ports("127.0.0.1", 40)
    assert len(set(ports)) == 40
    assert all(PORT_RANGE[0] <= port < PORT_RANGE[1] for port in ports)


@dataclass
class _Clumsy:
    """Fails at its first timer and at its first datagram."""

    faults: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def _do(self, what: str) -> None:
        self.calls.append(what)
        if what not in self.faults:
            self.faults.append(what)
            raise ZeroDivisionError(what)

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        self._do("datagram")

    def handle_timer(self, now: float) -> None:
        self._do("timer")

    def flush(self) -> None: ...

    def next_timer(self) -> float | None:
        return 0.0

    def effects(self) -> Sequence[Send]:
        return ()


def test_a_fault_in_one_timer_or_datagram_is_not_the_last_one() -> None:
    async def story() -> None:
        caught: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: caught.append(str(context["exception"])))
        endpoint = _Clumsy()
        sock = open_socket("127.0.0.1", is_loopback)
        driver = UdpDriver(endpoint, sock, lambda: 0.0, by_host(is_loopback))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(sock.getsockname())
            async with asyncio.timeout(10):
                while endpoint.calls.count("timer") < 2:
                    await asyncio.sleep(0.001)
                while endpoint.calls.count("datagram") < 2:
                    sender.send(b"x")
                    await asyncio.sleep(0.001)
        driver.close()
        assert sorted(caught) == ["datagram", "timer"]

    asyncio.run(story())
