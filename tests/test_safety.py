"""Attacks and laboratories stay on this machine, whatever a peer says and an attack wants."""

import ast
import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qisguard.config import NodeConfig
from qisguard.identity.address import Address, pack_host
from qisguard.identity.ids import NodeId, from_bytes, placement, to_bytes
from qisguard.identity.scope import Scope, Target
from qisguard.lab.live import LiveEngine
from qisguard.node.messages import FindNode, Nodes, Reply, Request
from qisguard.node.node import Node
from qisguard.plugins import Send
from qisguard.transport.udp import UdpDriver, by_host, is_loopback
from tests.builders import CLOCK, find, make_crowd, make_key, make_node

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("192.0.2.1", "198.51.100.7", "10.1.2.3", "2001:db8::1", "255.255.255.255", "0.0.0.0")
CONFIG = NodeConfig(
    k=6, replica_count=3, handshake_timeout=0.1, request_timeout=0.1, handshake_tries=2
)
SENDING = {"socket", "asyncio", "ssl", "select", "selectors", "socketserver", "http", "urllib"}
SENDING |= {"ftplib", "smtplib", "telnetlib", "xmlrpc", "requests", "httpx", "aiohttp", "scapy"}
SENDING |= {"subprocess", "multiprocessing", "threading", "ctypes"}


@dataclass
class _Guide:
    """Names contacts that are closer than any, all at addresses outside the laboratory."""

    hosts: tuple[str, ...]
    port: int = 4_000

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        if not isinstance(request, FindNode):
            return honest
        near = [NodeId(from_bytes(request.target) ^ at) for at in range(1, len(self.hosts) + 1)]
        hosts = [pack_host(host) for host in self.hosts]
        return Nodes(
            request.number, [(to_bytes(i), h, self.port) for i, h in zip(near, hosts, strict=True)]
        )

    def act(self, node: Node, now: float) -> float | None:
        return None


@pytest.fixture
def destinations(monkeypatch: pytest.MonkeyPatch) -> list[Address]:
    """Every address that any socket of this process sends a datagram to."""
    addresses: list[Address] = []
    original = socket.socket.sendto

    def sendto(self: socket.socket, data: bytes, address: tuple[str, int]) -> int:
        addresses.append(address)
        return original(self, data, address)

    monkeypatch.setattr(socket.socket, "sendto", sendto)
    return addresses


def test_nothing_is_sent_to_addresses_that_a_lying_peer_hands_out(
    destinations: list[Address],
) -> None:
    async def story() -> None:
        engine = LiveEngine(CLOCK)
        try:
            nodes = await make_crowd(engine, 4, CONFIG)
            for liar in nodes[1:]:
                liar.corrupt(_Guide(ELSEWHERE))
            assert engine.measures()["refused"] == 0
            await find(engine, nodes[0], placement(make_key(0)))
            assert engine.measures()["refused"] >= len(ELSEWHERE)
        finally:
            engine.close()

    asyncio.run(story())
    assert {host for host, _ in destinations} == {"127.0.0.1"}


class _Sender:
    """An endpoint that wants to send so many datagrams, and nothing else."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.left = [Send(b"attack", address) for address in addresses]

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None: ...
    def handle_timer(self, now: float) -> None: ...
    def flush(self) -> None: ...

    def next_timer(self) -> float | None:
        return None

    def effects(self) -> list[Send]:
        effects, self.left = self.left, []
        return effects


def _send_all(addresses: Sequence[Address], **options: Any) -> tuple[Address, dict[str, float]]:
    """Let an endpoint of the laboratory send to ``addresses`` and to itself; return what came."""
    homes: list[Address] = []

    async def story() -> dict[str, float]:
        engine = LiveEngine(CLOCK, **options)

        def make(address: Address) -> _Sender:
            homes.append(address)
            return _Sender([address, *addresses, address])

        try:
            engine.let_speak(make)
            return engine.measures()
        finally:
            engine.close()

    measures = asyncio.run(story())
    return homes[0], measures


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    addresses=st.lists(
        st.tuples(
            st.one_of(
                st.ip_addresses().map(str),
                st.sampled_from(ELSEWHERE),
                st.integers(0, (1 << 24) - 1).map(lambda low: str(ip_address((127 << 24) + low))),
                st.sampled_from(["::1", "::1%lo", "::ffff:127.0.0.1", "localhost", "", "127.1"]),
            ),
            st.integers(1, 65_535),
        ),
        max_size=12,
    )
)
def test_every_single_packet_is_checked_and_only_sockets_of_the_laboratory_are_sent_to(
    destinations: list[Address], addresses: list[Address]
) -> None:
    """Packets that may be sent stand before and after: none opens the way for the next."""
    destinations.clear()
    home, measures = _send_all(addresses)
    assert set(destinations) == {home}
    ours = addresses.count(home)
    assert (measures["datagrams"], measures["refused"]) == (2 + ours, len(addresses) - ours)


def test_a_lying_peer_cannot_point_a_node_at_another_program_of_this_machine(
    destinations: list[Address],
) -> None:
    """A resolver on 127.0.0.53, say, could carry further what it is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.setblocking(False)
        port = other.getsockname()[1]
        hosts = ("127.0.0.1", "127.0.0.53")

        async def story() -> set[Address]:
            engine = LiveEngine(CLOCK)
            try:
                nodes = await make_crowd(engine, 4, CONFIG)
                for liar in nodes[1:]:
                    liar.corrupt(_Guide(hosts, port))
                await find(engine, nodes[0], placement(make_key(0)))
                assert engine.measures()["refused"] >= len(hosts)
                return {node.me.address for node in nodes}
            finally:
                engine.close()

        assert set(destinations) <= asyncio.run(story())
        with pytest.raises(BlockingIOError):
            other.recv(1)


def test_an_address_that_a_peer_claims_in_its_descriptor_is_held_back_as_well(
    destinations: list[Address],
) -> None:
    """Nodes that say that they live outside: hellos from them, and contacts made of them."""

    async def story() -> set[Address]:
        engine = LiveEngine(CLOCK)
        homes: set[Address] = set()
        try:
            honest = await make_crowd(engine, 3, CONFIG)
            for number, host in enumerate(ELSEWHERE[:3]):

                def make(address: Address, number: int = number, host: str = host) -> Node:
                    homes.add(address)
                    claimed = make_node(40 + number, (host, 4_000), config=CONFIG)
                    claimed.join([honest[0].me], 0.0)
                    return claimed

                engine.let_speak(make)
            await engine.pause(0.5)
            for node in honest:
                await find(engine, node, placement(make_key(0)))
            return homes | {node.me.address for node in honest}
        finally:
            engine.close()

    homes = asyncio.run(story())
    assert destinations
    assert set(destinations) <= homes


def test_only_what_a_scope_names_is_sent_to_beyond_this_machine_packet_by_packet(
    destinations: list[Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scope that ends while the attack runs ends the attack; its other terms hold as well."""
    target = Target("10.1.2.3", (4_000, 4_001), bytes(32))
    scope = Scope(bytes(32), ("malformed",), 0, 1_000, (target,))
    near = [("10.1.2.3", 3_999), ("10.1.2.3", 4_000), ("10.1.2.4", 4_000), ("8.8.8.8", 4_000)]
    now = [999.0]
    monkeypatch.setattr("qisguard.lab.live.time.time", lambda: now[0])
    home, _ = _send_all(near, scope=scope, attack="malformed")
    assert set(destinations) == {home, ("10.1.2.3", 4_000)}
    destinations.clear()
    now[0] = 1_000.0
    home, measures = _send_all(near, scope=scope, attack="malformed")
    assert set(destinations) == {home}
    assert measures["refused"] == len(near)
    home, _ = _send_all(near, scope=scope, attack="other")
    assert {host for host, _ in destinations} == {"127.0.0.1"}


def test_an_attackers_own_node_is_held_back_like_everybody_elses(
    destinations: list[Address],
) -> None:
    async def story() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            outward = _Sender([(host, 9) for host in ELSEWHERE])
            driver = UdpDriver(outward, sock, lambda: 0.0, by_host(is_loopback))
            assert (driver.refused, driver.sent) == (len(ELSEWHERE), 0)
            driver.close()

    asyncio.run(story())
    assert destinations == []


@pytest.mark.parametrize("host", ELSEWHERE)
def test_an_address_outside_this_machine_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.255.254", "::1"])
def test_an_address_of_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "0x7f.1",
        "127.1",
        "127.0.0.1 ",
        "127.0.0.1.example",
        "2130706433",
        "",
        "::",
        "x",
    ],
)
def test_a_name_that_somebody_would_have_to_resolve_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


# --- what may be imported where -----------------------------------------------------------------
def _modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _imports(path: Path) -> set[str]:
    """Return the first part of every module that a file imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in ("__import__", "import_module", "exec", "eval", "compile"):
                names.add(f"{name}()")
    return names


@pytest.mark.parametrize("path", _modules("attacks", "defenses"), ids=lambda path: path.stem)
def test_no_attack_and_no_defence_can_open_a_socket_or_start_a_process(path: Path) -> None:
    found = _imports(path)
    assert not found & SENDING
    assert not {name for name in found if name.endswith("()")}


def test_only_the_transport_imports_sockets_and_event_loops() -> None:
    above = [ROOT / "qisguard" / name for name in ("lab", "service")]
    core = [p for p in _modules("qisguard") if not any(p.is_relative_to(a) for a in above)]
    core += _modules("attacks", "defenses", "audit", "reports")
    users = {p.relative_to(ROOT).parts[:2] for p in core if _imports(p) & {"socket", "asyncio"}}
    assert users == {("qisguard", "transport")}


def test_in_the_laboratory_only_the_engine_and_the_runs_have_an_event_loop() -> None:
    users = {p.name: _imports(p) & {"socket", "asyncio"} for p in _modules("qisguard/lab")}
    assert users.pop("bench.py") == {"socket"}  # a free port for a scheduler; it sends nothing
    assert {name: used for name, used in users.items() if used} == {
        "live.py": {"asyncio"},
        "probe.py": {"asyncio"},
        "real.py": {"asyncio"},
        "runs.py": {"asyncio"},
    }


def test_in_the_service_nothing_but_hosts_has_an_event_loop_and_nothing_has_sockets() -> None:
    users = {p.name: _imports(p) & {"socket", "asyncio"} for p in _modules("qisguard/service")}
    assert {name: used for name, used in users.items() if used} == {
        "host.py": {"asyncio"},
        "running.py": {"asyncio"},
    }


class _Spoofer:
    """Sends one datagram in somebody else's name."""

    def __init__(self, to: tuple[str, int]) -> None:
        self._pending = [Send(b"x", to, source=("127.0.0.9", 4_000))]

    def receive_datagram(self, data: bytes, source: tuple[str, int], now: float) -> None: ...

    def handle_timer(self, now: float) -> None: ...

    def next_timer(self) -> float | None:
        return None

    def flush(self) -> None: ...

    def effects(self) -> list[Send]:
        pending, self._pending = self._pending, []
        return pending


def test_a_false_source_address_never_reaches_a_real_socket(destinations: list[Address]) -> None:
    async def story() -> None:
        engine = LiveEngine(CLOCK)
        try:
            (node,) = await make_crowd(engine, 1, CONFIG)
            engine.let_speak(lambda address: _Spoofer(node.me.address))
            assert engine.measures()["refused"] == 1
        finally:
            engine.close()

    asyncio.run(story())
    assert destinations == []
