"""No packet of an attack leaves the machine: counted by an interface that would carry it out."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCENARIO = """
name = "trapped"
title = "An attack beside a trap"
engine = "live"
[network]
nodes = 8
node = {{ k = 4, request_timeout = 0.1, request_tries = 2, address_diversity = false }}
[workload]
operations = 3
[attack]
name = "{attack}"
share = 0.4
[[defenses]]
name = "disjoint_paths"
"""
ATTACKS = ("look_up_drop", "look_up_misroute")


def _can_unshare() -> bool:
    if not all(shutil.which(tool) for tool in ("unshare", "ip", "sysctl")):
        return False
    trial = "unshare --map-root-user --net ip link add trap type veth peer name far"
    return subprocess.run(trial.split(), check=False, capture_output=True).returncode == 0


def test_attacks_on_real_sockets_send_nothing_out_of_the_machine() -> None:
    if not _can_unshare():
        pytest.skip("needs unshare, ip and sysctl, and leave to make a network namespace")
    scenarios = [SCENARIO.format(attack=attack) for attack in ATTACKS]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, "-m", "tests.trap"],
        input=json.dumps(scenarios),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["proof"] == 1
    assert told["escaped"] == 0
    assert len(told["measured"]) == 2 * len(ATTACKS)
