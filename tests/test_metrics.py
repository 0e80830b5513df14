"""What a scraper may see: bounded labels, no peer, no patient; and only where it was configured."""

import asyncio
import sys
from pathlib import Path

import pytest

from qisguard.errors import ScenarioError
from qisguard.service.config import load_config
from qisguard.service.metrics import EVENTS, OTHER, REASONS, Page, labels_of
from qisguard.service.running import Lag, check_metrics_library
from qisguard.transport.loop import free_udp_ports
from qisguard.transport.page import PageServer
from tests.services import configs_of, hosts, make_net


def _series(page: str) -> dict[str, float]:
    lines = [line for line in page.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def _get(port: int, request: str) -> tuple[str, str]:
    """Send one request line; return the status line and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{request}\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return head.partition("\r\n")[0], body


def test_a_page_has_every_node_of_its_process_under_its_configured_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(configs_of(make_net(tmp_path / "net", nodes=2, issuers=1))) as running:
            port = free_udp_ports("127.0.0.1", 1)[0]
            page = PageServer(("127.0.0.1", port), "/metrics", Page(running, Lag()).render)
            await page.start()
            try:
                status, body = await _get(port, "GET /metrics HTTP/1.1")
                assert status == "HTTP/1.1 200 OK"
                found = _series(body)
                for name in ("node-01", "node-02"):
                    assert found[f'qisguard_node_state{{node="{name}",what="contacts"}}'] == 1
                    assert found[f'qisguard_node_joined{{node="{name}"}}'] == 1
                    assert found[f'qisguard_node_storage_fault{{node="{name}"}}'] == 0
                assert found["qisguard_event_loop_lag_seconds"] >= 0
                assert any("qisguard_node_events_total" in name for name in found)
                for request, wanted in (
                    ("GET / HTTP/1.1", "404"),
                    ("POST /metrics HTTP/1.1", "405"),
                    ("\x00", "405"),
                ):
                    assert wanted in (await _get(port, request))[0]
                assert (await _get(port, "HEAD /metrics HTTP/1.1"))[1] == ""
                assert await _get(port, "GET /" + "x" * 20_000) == ("", "")
            finally:
                await page.stop()

    asyncio.run(story())


def test_whatever_is_counted_the_labels_stay_the_known_ones(tmp_path: Path) -> None:
    async def story() -> None:
        (config,) = configs_of(make_net(tmp_path / "net", nodes=1, issuers=1))
        async with hosts([config]) as running:
            for number in range(1_000):
                for kind in ("dropped", "packet refused", f"kind {number}"):
                    running[0].node.counts[f"{kind}: reason {number}"] += 1
                running[0].node.counts[f"event {number}"] += 1
            found = _series(Page(running, Lag()).render()[1].decode())
        counts = [name for name in found if name.startswith("qisguard_node_events_total")]
        assert len(counts) < 10
        for kind in ("dropped", "packet refused", "event", OTHER):
            labels = f'kind="{kind}",node="node-01",reason="{OTHER}"'
            assert found[f"qisguard_node_events_total{{{labels}}}"] == 1_000

    asyncio.run(story())


def test_no_label_names_a_peer_or_an_address(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(configs_of(make_net(tmp_path / "net", nodes=2, issuers=1))) as running:
            page = Page(running, Lag()).render()[1].decode()
            for host in running:
                assert f"{host.node.me.id:064x}"[:8] not in page
                assert host.node.me.address[0] not in page

    asyncio.run(story())


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("dropped: seal broken", ("dropped", "seal broken")),
        ("dropped: something new", ("dropped", OTHER)),
        ("requests: FindNode", ("requests", "FindNode")),
        ("brand new: reason", (OTHER, OTHER)),
        ("packets taken", ("event", "packets taken")),
        ("brand new", ("event", OTHER)),
    ],
)
def test_a_count_becomes_a_kind_and_a_reason(name: str, labels: tuple[str, str]) -> None:
    assert labels_of(name) == labels


def test_there_are_few_labels() -> None:
    assert sum(map(len, REASONS.values())) + len(EVENTS) < 200


def test_metrics_without_the_library_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ScenarioError, match=r"pip install 'qisguard\[metrics\]'"):
        check_metrics_library()


def test_metrics_are_off_unless_configured_and_loopback_unless_exposed(tmp_path: Path) -> None:
    net = make_net(tmp_path / "net", nodes=1, issuers=1)
    path = net.config("node-01")
    assert load_config(path).metrics.listen == ""
    with pytest.raises(ScenarioError, match=r"metrics\.expose"):
        load_config(path, {}, ["metrics.listen=0.0.0.0:9400"])
    exposed = load_config(path, {}, ["metrics.listen=0.0.0.0:9400", "metrics.expose=true"])
    assert exposed.values["metrics.expose"] is True
