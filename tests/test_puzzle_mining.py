"""Mining: on all cores, with honest progress, ended by whatever ends it."""

import math
import multiprocessing
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from qisguard.errors import IdentityError
from qisguard.identity.ids import node_id
from qisguard.identity.puzzle import PuzzleForm, static_bits
from qisguard.service import mining
from qisguard.service.mining import (
    DynamicSearch,
    Effort,
    StaticSearch,
    mine_key,
    mine_solution,
    run,
)
from tests.builders import key_pair, make_network

KEY = key_pair("miner")
NEVER = StaticSearch(64)


def test_what_is_mined_holds_in_this_process_and_in_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = make_network(c1=6, c2=8)
    for worth in (mining.POOL_FROM, 0.0):
        monkeypatch.setattr(mining, "POOL_FROM", worth)
        key = mine_key(network, jobs=2)
        assert static_bits(node_id(key.public)) >= 6
        network.check_puzzles(node_id(key.public), mine_solution(network, key, jobs=2))
    assert multiprocessing.active_children() == []


def test_an_argon2id_puzzle_is_mined_in_other_processes() -> None:
    network = replace(make_network(c2=12), puzzle=PuzzleForm.ARGON2ID, memory=2_048)
    easy = replace(network, c2=3)
    assert 2.0**12 / DynamicSearch(network, node_id(KEY.public)).rate > mining.POOL_FROM
    seen: list[Effort] = []
    solution = mine_solution(easy, KEY, jobs=1, watch=seen.append)
    easy.check_puzzles(node_id(KEY.public), solution)
    assert {effort.jobs for effort in seen} == {1}


def test_an_easy_puzzle_starts_no_process() -> None:
    seen: list[Effort] = []
    run(StaticSearch(3), 2, seen.append)
    assert {effort.jobs for effort in seen} == {1}


def test_each_search_draws_its_own_luck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mining, "POOL_FROM", 0.0)
    network = make_network()
    assert len({mine_key(network, jobs=2).public for _ in range(2)}) == 2


class EnoughError(Exception):
    """Raised by a watch that has seen what it wanted."""


def _watch_twice(seen: list[Effort]) -> mining.Watch:
    def watch(effort: Effort) -> None:
        seen.append(effort)
        if len([e for e in seen if e.tries]) == 3:
            raise EnoughError

    return watch


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_only_rises_and_ends_with_the_watch(jobs: int) -> None:
    seen: list[Effort] = []
    with pytest.raises(EnoughError):
        run(NEVER, jobs, _watch_twice(seen))
    assert {(e.jobs, e.bits, e.name) for e in seen} == {(jobs, 64, "static puzzle")}
    assert all(a.tries <= b.tries and a.elapsed <= b.elapsed for a, b in pairwise(seen))
    assert {e.expected for e in seen} == {2.0**64}
    assert multiprocessing.active_children() == []


def test_an_interrupt_ends_every_process() -> None:
    def interrupt(effort: Effort) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(NEVER, 2, interrupt)
    assert multiprocessing.active_children() == []


HELD = """
import multiprocessing, signal
from pathlib import Path
from qisguard.service.mining import StaticSearch, run

def look(effort):
    for process in multiprocessing.active_children():
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        blocked = next(int(line.split()[1], 16) for line in status if line.startswith("SigBlk"))
        print(blocked >> (signal.SIGINT - 1) & 1, blocked >> (signal.SIGTERM - 1) & 1)
    raise StopIteration

try:
    run(StaticSearch(64), 2, look)
except StopIteration:
    print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks /proc")
def test_processes_hear_no_interrupt_from_their_first_moment() -> None:
    """A terminal sends it to all of them: one that is starting up would print a traceback.

    In an interpreter of its own, where nothing has started a process before.
    """
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (0, "1 1\n1 1\n[]\n"), done.stderr


def test_a_process_that_is_killed_is_an_error_of_ours() -> None:
    def kill_one(effort: Effort) -> None:
        multiprocessing.active_children()[0].kill()

    with pytest.raises(IdentityError, match="a mining process ended by itself"):
        run(NEVER, 2, kill_one)
    assert multiprocessing.active_children() == []


# --- what is said --------------------------------------------------------------------------------
def test_the_search_is_memoryless_and_says_so() -> None:
    early = Effort("p", 10, 1, tries=100, elapsed=1.0)
    late = Effort("p", 10, 1, tries=10_000, elapsed=100.0)
    assert early.left == late.left == pytest.approx(10.24)
    assert early.expected == late.expected == 1_024


@pytest.mark.parametrize(
    ("bits", "tries", "ratio"),
    [
        (10, 0, 0.0),
        (10, 1_024, 0.6323),
        (10, 3_072, 0.9503),
        (0, 0, 0.0),
        (0, 1, 1.0),
        (1, 2, 0.75),
    ],
)
def test_the_chance_to_be_done_by_now_is_geometric(bits: int, tries: int, ratio: float) -> None:
    assert Effort("p", bits, 1, tries, 1.0).done_ratio == pytest.approx(ratio, abs=1e-4)


def test_small_chances_are_not_rounded_to_nothing() -> None:
    assert Effort("p", 60, 1, 1_000, 1.0).done_ratio == pytest.approx(1_000 / 2**60)


def test_before_the_first_report_nothing_is_promised() -> None:
    effort = Effort("p", 10, 1, 0, 0.0)
    assert (effort.rate, effort.left) == (0.0, math.inf)
