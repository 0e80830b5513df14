"""The same nodes on real sockets, which never leave this machine."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from qisguard.config import NodeConfig
from qisguard.errors import ScenarioError
from qisguard.identity.address import Address
from qisguard.lab.live import LiveEngine
from qisguard.node.contact import Contact
from qisguard.transport.udp import is_loopback, open_socket
from tests.builders import CLOCK, make_crowd, make_identity, make_packet, publish, retrieve

CONFIG = NodeConfig(
    address_diversity=False,
    k=6,
    replica_count=4,
    handshake_timeout=0.2,
    request_timeout=0.2,
    handshake_tries=2,
)
PACKETS = [make_packet(author, case) for author in range(3) for case in range(3)]

OTHER_FAMILY = ("::1", 9)


def _on_live(story: Callable[[LiveEngine], Awaitable[None]], target: Address | None = None) -> None:
    async def run() -> None:
        engine = LiveEngine(CLOCK, target=target)
        try:
            await story(engine)
        finally:
            engine.close()

    asyncio.run(run())


def test_five_nodes_on_loopback_publish_and_retrieve() -> None:
    async def story(engine: LiveEngine) -> None:
        nodes = await make_crowd(engine, 5, CONFIG)
        (published,) = await publish(engine, nodes[1], PACKETS)
        assert published.acknowledged == len(PACKETS) * CONFIG.replica_count
        (found,) = await retrieve(engine, nodes[4], 0)
        assert set(found.packets) == {packet.digest for packet in PACKETS}
        assert all(node.me.address[0] == "127.0.0.1" for node in nodes)
        assert engine.measures()["refused"] == 0

    _on_live(story)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "10.0.0.1", "255.255.255.255", "0.0.0.0", "2001:db8::1"]
)
def test_a_destination_outside_loopback_is_refused_and_counted(host: str) -> None:
    async def story(engine: LiveEngine) -> None:
        (node,) = await make_crowd(engine, 1, CONFIG)
        outside = Contact(make_identity(9).id, (host, 9))
        await engine.finish(engine.act(node, lambda now: [node.join([outside], now)]))
        assert engine.measures()["refused"] == CONFIG.handshake_tries
        assert engine.measures()["datagrams"] == 0

    _on_live(story)


def test_an_address_of_another_family_is_a_loss_and_not_a_fault() -> None:
    async def story(engine: LiveEngine) -> None:
        (node,) = await make_crowd(engine, 1, CONFIG)
        other = Contact(make_identity(9).id, OTHER_FAMILY)
        await engine.finish(engine.act(node, lambda now: [node.join([other], now)]))
        assert engine.measures()["lost"] == CONFIG.handshake_tries

    _on_live(story, OTHER_FAMILY)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "localhost", "", "127.0.0.1.evil"])
def test_no_socket_is_opened_outside_loopback(host: str) -> None:
    with pytest.raises(ScenarioError, match="loopback"):
        open_socket(host, is_loopback)


def test_garbage_on_the_socket_is_counted_and_the_node_goes_on() -> None:
    async def story(engine: LiveEngine) -> None:
        nodes = await make_crowd(engine, 3, CONFIG)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for size in (0, 1, 40, 1_199, 1_201, 9_000):
                sock.sendto(b"\x05" * size, nodes[0].me.address)
        (published,) = await publish(engine, nodes[1], PACKETS)
        assert published.acknowledged == len(PACKETS) * 3
        assert nodes[0].counts["dropped: DecodeError"] >= 4

    _on_live(story)
