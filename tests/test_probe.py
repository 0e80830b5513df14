"""A probe tells whether one running node survives what any stranger can send it."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from qisguard.cli.main import app
from qisguard.errors import ScenarioError, ScopeError
from qisguard.exits import Exit
from qisguard.identity.ids import NodeId
from qisguard.lab.probe import Phase, Probed, probe
from qisguard.node.contact import Contact
from qisguard.transport.udp import UdpDriver, by_host, is_loopback, open_socket
from tests.builders import make_node
from tests.test_safety import CONFIG

RUN = CliRunner()


@pytest.fixture(scope="module")
def running() -> Iterator[Contact]:
    """One real node on a socket, on a thread of its own."""
    ready, stop = threading.Event(), threading.Event()
    found: list[Contact] = []

    async def run() -> None:
        start = time.monotonic()
        sock = open_socket("127.0.0.1", is_loopback)
        node = make_node(0, sock.getsockname(), config=CONFIG)
        driver = UdpDriver(node, sock, lambda: time.monotonic() - start, by_host(is_loopback))
        try:
            found.append(node.me)
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)
        finally:
            driver.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(20)
    yield found[0]
    stop.set()
    thread.join()


def test_a_node_answers_before_during_and_after_and_says_less_than_it_hears(
    running: Contact,
) -> None:
    probed = probe(running, rate=500, seconds=0.6, rest=0.4)
    assert probed.bad_datagrams >= 200
    assert [phase.name for phase in probed.phases] == ["before", "during", "after"]
    assert all(phase.answered for phase in probed.phases)
    assert probed.is_alive
    assert probed.amplification <= 1


def test_somebody_who_is_not_there_is_not_alive() -> None:
    probed = probe(Contact(NodeId(5), ("127.0.0.1", 9)), rate=10, seconds=0.2, rest=0.2)
    assert probed.phases[0].sent > 0
    assert not any(phase.answered for phase in probed.phases)


def test_a_node_that_answers_no_more_is_not_alive() -> None:
    before, after = Phase("before", 10, [0.1] * 10), Phase("after", 10, [0.1] * 4)
    assert not Probed(Contact(NodeId(1), ("", 0)), [before, after]).is_alive
    after.latencies.append(0.1)
    assert Probed(Contact(NodeId(1), ("", 0)), [before, after]).is_alive


@pytest.mark.parametrize("host", ["10.1.2.3", "8.8.8.8", "192.0.2.1"])
def test_nothing_beyond_this_machine_is_probed_without_a_scope(host: str) -> None:
    with pytest.raises(ScopeError, match=host):
        probe(Contact(NodeId(5), (host, 9)))


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1.0), (1_000_000, 1.0), (1, 0.0), (1, 1e6)])
def test_rate_and_time_are_bounded(rate: int, seconds: float) -> None:
    with pytest.raises(ScenarioError, match="rate"):
        probe(Contact(NodeId(5), ("127.0.0.1", 9)), rate=rate, seconds=seconds)


def test_out_of_scope_is_exit_4_and_names_what_to_type() -> None:
    node = f"{5:064x}@10.1.2.3:4400"
    done = RUN.invoke(app, ["attack", "probe", node])
    assert done.exit_code == Exit.REFUSED
    assert "10.1.2.3" in done.output


def test_a_probe_prints_json(running: Contact) -> None:
    node = f"{running.id:064x}@{running.address[0]}:{running.address[1]}"
    done = RUN.invoke(app, ["attack", "probe", node, "--rate", "50", "--seconds", "0.2", "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["schema"] == "qisguard.probe/v1"
    assert [phase["name"] for phase in told["phases"]] == ["before", "during", "after"]
