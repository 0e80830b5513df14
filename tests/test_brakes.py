"""Brakes: whatever an attack does, its trial ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

from qisguard.errors import ScenarioError
from qisguard.lab.brakes import Brakes, Limits, resident
from qisguard.lab.trial.engines import Job, run_job

SCENARIO = """
name = "braked"
title = "A trial that may not use much"
engine = "{engine}"
[network]
nodes = 12
node = {{ k = 4 }}
[workload]
operations = 40
[attack]
name = "look_up_drop"
[brakes]
{brakes}
"""


def _run(engine: str, brakes: str) -> None:
    run_job(Job(SCENARIO.format(engine=engine, brakes=brakes).encode(), {}, "clean", 1))


def test_a_rate_lets_so_many_datagrams_pass_in_a_second_and_drops_the_others() -> None:
    brakes = Brakes(Limits(datagrams_per_second=100.0))
    started = time.monotonic()
    passed = sum(brakes.let(1) for _ in range(5_000))
    assert 100 <= passed <= 101 + 100 * (time.monotonic() - started)
    assert brakes.dropped == 5_000 - passed


@pytest.mark.parametrize(
    ("limits", "name"),
    [(Limits(seconds=0.0), "seconds"), (Limits(mib=1), "mib"), (Limits(memory_mib=-1), "memory")],
)
def test_a_total_that_is_used_up_ends_the_trial_and_is_named(limits: Limits, name: str) -> None:
    brakes = Brakes(limits)
    for _ in range(2_000):
        brakes.count(2_000)
    with pytest.raises(ScenarioError, match=rf"brakes\.{name}"):
        brakes.check()


def test_within_its_limits_a_trial_goes_on() -> None:
    Brakes(Limits()).check()
    assert resident() > 0


@pytest.mark.parametrize("value", ["seconds = 0", "mib = 0", "memory_mib = 1", "tons = 3"])
def test_brakes_out_of_range_are_refused(value: str) -> None:
    with pytest.raises(ScenarioError, match="brakes"):
        _run("virtual", value)


def test_a_live_network_that_may_send_one_datagram_a_second_gets_nowhere() -> None:
    with pytest.raises(ScenarioError, match=r"brakes\.seconds"):
        _run("live", "datagrams_per_second = 1\nseconds = 1")


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", '''
import time
from qisguard.lab.deadman import watch_parent
watch_parent()
print("ready", flush=True)
time.sleep(60)
'''], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_worker_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while _is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(child)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
