"""``qisguard node`` as a shell and a service manager see it: processes, signals, exit codes."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qisguard.audit.auditor import audit, verdict
from qisguard.audit.policy import load_policy
from qisguard.errors import ServiceError
from qisguard.exits import Exit
from qisguard.identity.network import Network
from qisguard.service.asks import Control
from qisguard.service.config import load_config
from qisguard.service.localnet import LocalNet
from qisguard.service.opening import open_network_file
from qisguard.service.state import CONTACTS
from qisguard.transport.loop import free_udp_ports
from tests.builders import make_packet
from tests.services import PATIENCE, command, invoke, make_net, read_json, run

LATE = 40_000
"""A day that no test lives to see."""


@contextmanager
def _running(net: LocalNet, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run every node of a network in one process until the block ends."""
    configs = [str(net.config(name)) for name in net.names]
    process = subprocess.Popen(
        command("node", "run", *configs, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_for(process, net)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def _wait_for(process: subprocess.Popen[str], net: LocalNet) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            for name in net.names:
                with Control(net.state(name)) as control:
                    assert control.status()["joined"]
            return
        except (ServiceError, AssertionError):  # not up yet
            time.sleep(0.02)
    pytest.fail(f"nodes did not start: {process.poll()}")


def _end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[float, list[str]]:
    """Send a signal and wait; return seconds until the end, and the log."""
    start = time.monotonic()
    process.send_signal(number)
    _, logged = process.communicate(timeout=PATIENCE)
    return time.monotonic() - start, logged.splitlines()


def test_the_commands_of_a_group_explain_themselves() -> None:
    for group, names in (("node", ("run", "status", "config")), ("net", ("up", "status", "down"))):
        shown = invoke(group, "--help")
        assert shown.exit_code == 0
        assert all(f"\n  {name} " in shown.stdout for name in names)
        for name in names:
            told = invoke(group, name, "--help")
            assert (told.exit_code, f"{group} {name} " in told.stdout) == (0, True)


def test_sigterm_ends_all_nodes_of_a_process_cleanly(tmp_path: Path) -> None:
    net = make_net(tmp_path / "net", nodes=2, issuers=1)
    with _running(net) as process:
        port = free_udp_ports("127.0.0.1", 1)[0]
        second = run("node", "run", net.config("node-01"), "--set", f"node.listen=127.0.0.1:{port}")
        assert second.returncode == 2
        assert f"process {process.pid} is using it; stop" in second.stderr
        assert process.poll() is None
        shown = read_json("node", "status", net.config("node-01"))
        assert (shown["name"], shown["joined"], shown["fault"]) == ("node-01", True, None)
        assert shown["pid"] == process.pid
        assert "contacts" in invoke("node", "status", net.state("node-02")).stdout
        seconds, logged = _end(process, signal.SIGTERM)
        assert process.returncode == 0
    assert seconds < 5  # measured: well under one; other work may hold the machine up
    events = [json.loads(line) for line in logged]
    assert [e["signal"] for e in events if e["event"] == "stopping"] == ["SIGTERM"]
    assert sum(e["event"] == "stopped" for e in events) == 2
    assert all({"time", "level", "node", "event"} <= set(event) for event in events)
    names = {path.name for path in net.state("node-01").iterdir()}
    assert CONTACTS in names
    assert not names & {"pid", "control.sock"}
    after = invoke("node", "status", net.config("node-01"))
    assert (after.exit_code, after.stdout) == (3, "")
    assert "no node is running in" in after.stderr


def test_after_kill_9_the_same_folder_starts_again_and_its_trail_audits_clean(
    tmp_path: Path,
) -> None:
    net = make_net(tmp_path / "net", nodes=1, issuers=1)
    with _running(net) as process, Control(net.state("node-01")) as control:
        network = _network(net)
        packets = [make_packet(case=n, network=network, exp=LATE) for n in range(5)]
        told = [control.publish([packet])[0] for packet in packets]
        assert [row.acknowledged for row in told] == [1] * 5
        process.kill()
        process.wait(PATIENCE)
    with _running(net) as process:
        with Control(net.state("node-01")) as control:
            found = control.retrieve([packets[0].key])
            assert len(found.packets) == 5
            again = [control.publish([packet])[0] for packet in packets]
            assert [row.acknowledged for row in again] == [1] * 5
        _, logged = _end(process, signal.SIGTERM)
        assert process.returncode == 0
    assert not [line for line in logged if '"error"' in line]
    trail = net.state("node-01") / "trail"
    report = audit([trail], load_policy(net.folder / "policy"))
    assert {finding.id for finding in report.findings} <= {"AUD-21"}  # the author is on no roster
    assert report.trails[0].publish_count == 5  # what was published again is not logged again
    assert verdict(report) in (Exit.CLEAN, Exit.FINDING)


def test_the_service_manager_is_told_and_an_interrupt_ends_as_cleanly_with_130(
    tmp_path: Path,
) -> None:
    net = make_net(tmp_path / "net", nodes=1, issuers=1)
    path = f"@qisguard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + path[1:])
        sock.settimeout(PATIENCE)
        process = subprocess.Popen(
            command("node", "run", net.config("node-01")),
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NOTIFY_SOCKET": path},
        )
        try:
            assert sock.recv(100) == b"READY=1"
            _, logged = _end(process, signal.SIGINT)
            assert sock.recv(100) == b"STOPPING=1"
        finally:
            process.kill()
            process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "stopped" in logged[-2]
    assert logged[-1] == "qisguard: interrupted; nothing is left running"


def _network(net: LocalNet) -> Network:
    """Return the network of a local network's folder."""
    config = load_config(net.config("node-01"))
    return open_network_file(config)
