"""A running node and its control socket: what a shell may ask, and what cannot harm it."""

import asyncio
import json
import socket
import stat
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qisguard.errors import ScenarioError, ServiceError
from qisguard.outcomes.packet import OutcomePacket
from qisguard.service.asks import KEYS_MAX, PACKETS_MAX, Control
from qisguard.service.config import load_config
from qisguard.service.host import Host
from qisguard.service.state import CONTACTS, SOCKET
from qisguard.transport.control import CONNECTIONS_MAX, LINE_SIZE_MAX, reachable
from tests.builders import make_packet
from tests.services import PATIENCE, configs_of, events, hosts, make_host, make_net, until

PACKET = make_packet()
HASTY = ("limits.handshake_timeout=0.05", "limits.handshake_tries=1")


def _story(folder: Path, story: Callable[[list[Host]], Awaitable[None]], nodes: int = 1) -> None:
    async def tell() -> None:
        async with hosts(configs_of(make_net(folder / "net", nodes=nodes, issuers=1))) as running:
            await story(running)

    asyncio.run(tell())


async def _exchange(host: Host, *lines: bytes) -> list[Any]:
    """Send lines to a host's control socket and return the objects it answers until it hangs up."""
    reader, writer = await _connect(host)
    try:
        writer.write(b"".join(line + b"\n" for line in lines))
        writer.write_eof()
        return [json.loads(line) for line in (await reader.read()).splitlines()]
    except OSError:
        return []
    finally:
        writer.close()


async def _connect(host: Host) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with reachable(host.config.node.state / SOCKET) as path:
        return await asyncio.open_unix_connection(path, limit=4 * LINE_SIZE_MAX)


def _names(host: Host) -> list[str]:
    """Return the names of the events that a host logged."""
    return [event["event"] for event in events(host)]


async def _ask(host: Host, ask: Callable[[Control], Any]) -> Any:
    """Do what a command does, in a thread: the client is made for commands and blocks."""

    def connect() -> Any:
        with Control(host.config.node.state) as control:
            return ask(control)

    return await asyncio.to_thread(connect)


def _publish(packet: OutcomePacket, control: Control) -> object:
    return control.publish([packet])


def test_status_tells_who_and_how_the_node_is(tmp_path: Path) -> None:
    async def story(running: list[Host]) -> None:
        told = await _ask(running[0], lambda control: control.status())
        assert told["id"] == f"{running[0].node.me.id:064x}"
        assert (told["name"], told["joined"], told["fault"]) == ("node-01", True, None)
        assert (told["contacts"], told["internal_errors"]) == (1, 0)
        assert told["uptime"] > 0
        assert {"counts", "datagrams", "sessions", "store", "trail"} <= set(told)

    _story(tmp_path, story, nodes=2)


def test_a_look_up_through_the_socket_finds_the_other_nodes(tmp_path: Path) -> None:
    async def story(running: list[Host]) -> None:
        other = running[1].node.me
        found = await _ask(running[0], lambda control: control.find(f"{other.id:064x}"))
        assert found[0] == f"{other.id:064x}@127.0.0.1:{other.address[1]}"

    _story(tmp_path, story, nodes=2)


def test_only_the_owner_can_connect(tmp_path: Path) -> None:
    async def story(running: list[Host]) -> None:
        path = running[0].config.node.state / SOCKET
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    _story(tmp_path, story)


BAD_LINES = (
    b"",
    b"x",
    b"[]",
    b'{"ask": "shutdown"}',
    b'{"ask": "status", "more": 1}',
    b'{"ask": "publish"}',
    b'{"ask": "publish", "packets": ["%%%"]}',
    b'{"ask": "publish", "packets": ["' + b"A" * 5_000 + b'"]}',
    b'{"ask": "publish", "packets": [3]}',
    b'{"ask": "retrieve", "keys": ["AAAA"]}',
    b'{"ask": "find", "target": "xyz"}',
    b'{"ask": "find", "target": "-' + b"1" * 63 + b'"}',
    b"[" * 100_000,
    b"\xff\xfe",
)


def test_a_request_that_is_none_is_refused_and_the_connection_goes_on(tmp_path: Path) -> None:
    async def story(running: list[Host]) -> None:
        *refused, last = await _exchange(running[0], *BAD_LINES, b'{"ask": "status"}')
        assert [told["is"] for told in refused] == ["failed"] * len(BAD_LINES)
        assert {told["code"] for told in refused} == {"QE-100"}
        assert (last["is"], last["value"]["internal_errors"]) == ("done", 0)

    _story(tmp_path, story)


def test_too_much_in_one_request_is_refused(tmp_path: Path) -> None:
    async def story(running: list[Host]) -> None:
        for ask, name, most in (
            ("publish", "packets", PACKETS_MAX),
            ("retrieve", "keys", KEYS_MAX),
        ):
            line = json.dumps({"ask": ask, name: ["A"] * (most + 1)}).encode()
            (told,) = await _exchange(running[0], line)
            assert f"{most + 1} {name}, at most {most}" in told["text"]

    _story(tmp_path, story)


def test_a_line_without_end_and_too_many_callers_are_cut_off(tmp_path: Path) -> None:
    async def story(running: list[Host]) -> None:
        host = running[0]
        assert await _exchange(host, b"x" * (2 * LINE_SIZE_MAX)) == []
        callers = [await _connect(host) for _ in range(CONNECTIONS_MAX)]
        assert await _exchange(host, b'{"ask": "status"}') == []
        for _, writer in callers:
            writer.close()
        async with asyncio.timeout(PATIENCE):
            while not await _exchange(host, b'{"ask": "status"}'):
                await asyncio.sleep(0)

    _story(tmp_path, story)


def test_packets_of_another_network_are_not_published(tmp_path: Path) -> None:
    async def story(running: list[Host]) -> None:
        with pytest.raises(ServiceError, match="belongs to another network"):
            await _ask(running[0], lambda control: control.publish([PACKET]))

    _story(tmp_path, story)


def test_a_storage_fault_is_told_and_refuses_writes_while_reads_go_on(tmp_path: Path) -> None:
    async def story(running: list[Host]) -> None:
        host = running[0]
        host.node._server.fault = "disk full"
        with pytest.raises(ServiceError, match="writes are refused: disk full"):
            await _ask(host, lambda control: control.publish([]))
        assert (await _ask(host, lambda control: control.status()))["fault"] == "disk full"
        found = await _ask(host, lambda control: control.retrieve([bytes(32)]))
        assert (found.packets, len(found.keys)) == ([], 1)
        await until(lambda: "storage fault" in _names(host))
        host.node._server.fault = None

    _story(tmp_path, story)


def test_nobody_listening_is_one_kind_of_error(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="no node is running in"):
        Control(tmp_path)
    with socket.socket(socket.AF_UNIX) as stale, reachable(tmp_path / SOCKET) as path:
        stale.bind(path)  # what a killed process leaves behind
    with pytest.raises(ServiceError, match="no node is running in"):
        Control(tmp_path)


def test_a_socket_works_in_a_folder_with_a_long_name(tmp_path: Path) -> None:
    async def story(running: list[Host]) -> None:
        assert (await _ask(running[0], lambda control: control.status()))["joined"]

    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    _story(deep, story)


# --- joining -------------------------------------------------------------------------------------
def test_a_node_whose_bootstraps_are_down_tries_until_somebody_answers(tmp_path: Path) -> None:
    async def tell() -> None:
        first, second = configs_of(make_net(tmp_path / "net", nodes=2, issuers=1))
        host = make_host(load_config(second.path, {}, HASTY))
        await host.start()
        try:
            await until(lambda: _names(host).count("nobody answered") == 2)
            assert "joined" not in _names(host)
            async with hosts([first]):
                await until(lambda: host.joined)
                assert len(host.node.table) == 1
        finally:
            await host.stop()

    asyncio.run(tell())


def test_saved_contacts_are_as_good_as_bootstraps(tmp_path: Path) -> None:
    async def tell() -> None:
        first, second = configs_of(make_net(tmp_path / "net", nodes=2, issuers=1))
        async with hosts([first, second]):
            pass
        assert (second.node.state / CONTACTS).exists()
        alone = load_config(second.path, {}, ["node.bootstraps=", "node.bootstraps_min=0"])
        async with hosts([first, alone]) as running:
            assert len(running[1].node.table) == 1

    asyncio.run(tell())


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    async def tell() -> None:
        (config,) = configs_of(make_net(tmp_path / "net", nodes=1, issuers=1))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(config.listen)
            host = make_host(config)
            with pytest.raises(ScenarioError, match=r"UDP address 127\.0\.0\.1 port \d+: "):
                await host.start()
        async with hosts([config]) as running:  # lock, store and trail were let go
            assert running[0].joined

    asyncio.run(tell())


def test_a_trail_goes_on_where_it_ended(tmp_path: Path) -> None:
    async def tell() -> None:
        (config,) = configs_of(make_net(tmp_path / "net", nodes=1, issuers=1))
        for sizes in ((0, 1), (1, 2)):
            async with hosts([config]) as running:
                trail = running[0].trail
                assert trail is not None
                assert trail.size == sizes[0]
                packet = make_packet(seq=sizes[1], network=running[0].node.network)
                await _ask(running[0], partial(_publish, packet))
                assert trail.size >= sizes[1]

    asyncio.run(tell())
