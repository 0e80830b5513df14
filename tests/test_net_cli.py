"""A local network goes up, survives a crash of its own, and comes down; nothing else is touched."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qisguard.errors import ScenarioError, ServiceError
from qisguard.service.config import load_config
from qisguard.service.localnet import DEFENSES, LocalNet, Spec, create_net
from qisguard.service.opening import open_parts
from qisguard.service.processes import Running, end, is_running, spawn, started_at
from qisguard.service.updown import bring_up, look, take_down
from tests.services import PATIENCE, invoke, make_net, read_json


def _up(net: LocalNet) -> None:
    bring_up(net, lambda *_: None)


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """Somebody else's process."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait(PATIENCE)


def test_a_network_goes_up_survives_a_crash_and_comes_down(tmp_path: Path) -> None:
    net = make_net(tmp_path / "net", nodes=4, processes=2, issuers=2)
    try:
        _up(net)
        shown = read_json("net", "status", "--dir", net.folder)
        assert shown["all_up"]
        assert [node["contacts"] for node in shown["nodes"]] == [3] * 4
        ids = {node["id"] for node in shown["nodes"]}
        again = invoke("net", "up", "--dir", net.folder)
        assert again.exit_code == 3
        assert "is up already; look at it with: qisguard net status" in again.stderr
        victim = net.running()[0]
        os.kill(victim.pid, signal.SIGKILL)
        while is_running(victim):
            time.sleep(0.01)
        assert [row.state for row in look(net)] == ["down", "up", "down", "up"]
        assert invoke("net", "status", "--dir", net.folder).exit_code == 3
        _up(net)  # the missing process alone, with the same identities
        assert net.running()[0].pid != victim.pid
        assert {row.told["id"] for row in look(net)} == ids
    finally:
        ended, left = take_down(net)
    assert (len(ended), left) == (2, [])
    assert [row.state for row in look(net)] == ["down"] * 4
    assert take_down(net) == ([], [])


def test_nodes_that_cannot_start_end_the_attempt_with_their_last_words(tmp_path: Path) -> None:
    net = make_net(tmp_path / "net", nodes=1, issuers=1)
    (net.folder / "network").write_bytes(b"x")
    with pytest.raises(ServiceError) as refused:
        _up(net)
    assert "process 1 ended while starting" in str(refused.value)
    assert "node.network" in str(refused.value)
    assert net.running() == {}


def test_a_number_that_now_belongs_to_somebody_else_is_left_alone(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    net = make_net(tmp_path / "net", nodes=1, issuers=1)
    for started in ("", "another/1", (started_at(os.getpid()) or "")):
        stranger = Running(sleeper.pid, started, "log")
        net.save_running({0: stranger})
        assert not is_running(stranger)
        assert not end(stranger)
        assert take_down(net) == ([], [])
    assert sleeper.poll() is None


def test_a_process_is_known_by_its_start_and_gone_when_it_ended(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    known = Running(sleeper.pid, started_at(sleeper.pid) or "", "log")
    assert is_running(known)
    assert end(known)
    assert sleeper.wait(PATIENCE) == -signal.SIGTERM
    assert not is_running(known)
    assert not end(known)


def test_a_process_of_a_network_takes_nothing_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QISGUARD_NODE_NOTHING", "would be an error")
    net = make_net(tmp_path / "net", nodes=1, issuers=1)
    log = tmp_path / "log"
    config = net.config("node-01")
    process = spawn(["node", "run", str(config), "--show-config", "--json"], tmp_path, log)
    while is_running(process):
        time.sleep(0.01)
    assert json.loads(log.read_text())["schema"] == "qisguard.node-config/v1"


def test_a_folder_has_keys_for_everybody_and_configurations_that_load(tmp_path: Path) -> None:
    net = make_net(tmp_path / "net", nodes=5, processes=2, issuers=2, defended=True, metrics=9400)
    configs = [load_config(net.config(name)) for name in net.names]
    parts = [open_parts(config) for config in configs]
    roster = parts[0].roster
    assert roster is not None
    assert [len(issuer.nodes) for issuer in roster.issuers] == [3, 2]
    assert {part.identity.id for part in parts} == set(roster.by_node)
    assert len({config.listen for config in configs}) == 5
    assert all(config.listen[0] == "127.0.0.1" for config in configs)
    assert all(config.warnings() == [] and len(config.bootstraps) == 3 for config in configs)
    assert configs[0].node.defenses == DEFENSES
    assert [config.metrics.listen[-4:] for config in configs] == ["9400", "9401"] * 2 + ["9400"]
    assert net.members(1) == ["node-02", "node-04"]
    assert (net.folder.stat().st_mode & 0o777) == 0o700


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (Spec(nodes=0), "--nodes = 0, must be 1 to 500"),
        (Spec(nodes=2, issuers=1, processes=3), "--processes = 3, must be 1 to 2"),
        (Spec(nodes=2, issuers=3), "--issuers = 3, must be 1 to 2"),
        (Spec(puzzle_bits=25), "--puzzle-bits = 25, must be 0 to 24"),
        (Spec(metrics=65_536), "--metrics = 65536, must be 0 to 65535"),
    ],
)
def test_numbers_that_make_no_network_are_refused(tmp_path: Path, spec: Spec, told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        create_net(tmp_path / "net", spec, lambda *_: None)
    assert str(refused.value) == told
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_else_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(ScenarioError, match="name another folder"):
        create_net(tmp_path, Spec(), lambda *_: None)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_existing_network_is_not_silently_another_one(tmp_path: Path) -> None:
    net = make_net(tmp_path / "net", nodes=2, issuers=1)
    with pytest.raises(ScenarioError, match=r"--nodes = 7: the network in .* was made with 2; "):
        invoke("net", "up", "--dir", net.folder, "--nodes", 7)


def test_a_folder_without_a_network_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="make one with: qisguard net up --dir"):
        LocalNet(tmp_path)
