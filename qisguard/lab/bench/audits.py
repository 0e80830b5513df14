"""Audits of large trails: beside the bare rate of PyNaCl, with the memory of every process.

Rates are of the whole machine: on all cores, by the clock on the wall, the bare rate measured
before and after the audit. As others may use the machine, what each takes of a core is a row too.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

from nacl.bindings import crypto_sign_open

from qisguard.audit.pool import core_count
from qisguard.errors import ServiceError
from qisguard.identity.keys import PACKET_TAG, SIGNATURE_SIZE
from qisguard.lab.bench.rows import Row, Tell
from qisguard.lab.bench.trails import Made, make_trail
from qisguard.outcomes.packet import open_packet

FULL, LARGE = 1_000_000, 10_000_000
BARE_COUNT = 20_000
"""Signatures that each process checks for the bare rate."""
LEAST_RATIO = 0.85
MEGABYTE = 1 << 20
_CHILD = """
import json, os, sys, time
from pathlib import Path
from qisguard.audit.auditor import audit, verdict
from qisguard.audit.one import Options
from qisguard.audit.packets import Depth
from qisguard.audit.policy import load_policy
if __name__ == "__main__":
    trail, policy, depth = sys.argv[1:]
    print(open("/proc/self/status").read().split("VmRSS:")[1].split()[0], flush=True)
    start, options = time.monotonic(), Options(depth=Depth(depth))
    report = audit([Path(trail)], load_policy(Path(policy)), options)
    wall, used = time.monotonic() - start, os.times()
    print(json.dumps([int(verdict(report)), wall, sum(used[:4])]))
"""


@dataclass(frozen=True, slots=True)
class _Audited:
    """Seconds on the wall and of cores; bytes over the imports, of all processes together."""

    wall: float
    cpu: float
    memory: int


def measure(seed: int, tell: Tell, full: int = FULL, large: int = LARGE) -> Sequence[Row]:
    """Return all rows; trails are written to a temporary folder, of 5 GB at most."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="qisguard-bench-") as place:
        tell("writing packets", 0, 5)
        made = make_trail(Path(place) / "full", full, seed, has_packets=True)
        tell("audit", 1, 5)
        before = _bare(made.packets)
        whole = _audit(made, "full")
        bare = [mean(pair) for pair in zip(before, _bare(made.packets), strict=True)]
        rows += _rates(full, whole, *bare)
        tell("structure", 2, 5)
        structure = _audit(made, "structure")
        name = f"{full:,} records, structure alone"
        rows.append(Row(name, structure.wall, "s", most=5.0 * full / FULL))
        rows.append(_memory(name, structure, 64))
    with tempfile.TemporaryDirectory(prefix="qisguard-bench-") as place:
        tell("writing entries", 3, 5)
        made = make_trail(Path(place) / "large", large, seed, has_packets=False)
        tell("structure", 4, 5)
        structure = _audit(made, "structure")
        name = f"{large:,} entries, structure alone"
        rows.append(Row(name, structure.wall, "s", most=60.0 * large / LARGE))
        rows.append(_memory(name, structure, 300))
    tell("all", 5, 5)
    return rows


def _rates(count: int, whole: _Audited, rate: float, share: float) -> list[Row]:
    """Return rates of the machine and the share of a core that a record and a signature take."""
    name = f"{count:,} records, full audit"
    bare = f"PyNaCl alone, {core_count()} processes"
    return [
        Row(
            name,
            count / whole.wall,
            "records/s",
            baseline=bare,
            baseline_value=rate,
            least=LEAST_RATIO * rate,
        ),
        Row(
            f"{name}, of one core",
            count / whole.cpu,
            "records/CPU-s",
            baseline=bare,
            baseline_value=1 / share,
        ),
        _memory(name, whole, 64),
    ]


def _memory(name: str, audited: _Audited, megabytes: int) -> Row:
    what = f"{name}, memory over the imports"
    return Row(what, audited.memory / MEGABYTE, "MB", most=float(megabytes))


def _bare(packets: Sequence[bytes]) -> tuple[float, float]:
    """Return signatures checked per second by all cores, and CPU seconds of one."""
    signed = []
    for data in packets[:200]:
        author = open_packet(data).author
        body, signature = data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:]
        signed.append((signature + PACKET_TAG + body, author))
    count = core_count()
    with ProcessPoolExecutor(count, get_context("spawn")) as pool:
        list(pool.map(_check, repeat(signed[:1], count), repeat(10)))  # all are there
        start = time.monotonic()
        used = list(pool.map(_check, repeat(signed, count), repeat(BARE_COUNT)))
        wall = time.monotonic() - start
    return count * BARE_COUNT / wall, mean(used) / BARE_COUNT


def _check(signed: Sequence[tuple[bytes, bytes]], count: int) -> float:
    """Check ``count`` signatures; return the CPU seconds."""
    start = time.process_time()
    for number in range(count):
        message, author = signed[number % len(signed)]
        crypto_sign_open(message, author)
    return time.process_time() - start


def _audit(made: Made, depth: str) -> _Audited:
    """Audit in a process of its own, and watch the memory of it and of its children.

    Raises:
        ServiceError: the audit did not end clean, so that its time means nothing.
    """
    with tempfile.TemporaryDirectory() as place:
        script = Path(place) / "audit_child.py"
        script.write_text(_CHILD)
        command = [sys.executable, str(script), str(made.trail), str(made.policy), depth]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        imports = int(child.stdout.readline() or 0) * 1024
        peaks: dict[int, int] = {}
        while child.poll() is None:
            for pid in (child.pid, *_children(child.pid)):
                peaks[pid] = max(peaks.get(pid, 0), _peak(pid))
            time.sleep(0.05)
        answer = child.stdout.read()
        child.stdout.close()
    if child.returncode or not answer.startswith("[0, "):
        raise ServiceError(f"bench audit: the audit ended with {child.returncode}: {answer[:80]}")
    _, wall, cpu = (float(part) for part in answer.strip("[]\n").split(","))
    return _Audited(wall, cpu, sum(max(0, peak - imports) for peak in peaks.values()))


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _peak(pid: int) -> int:
    """Return the most memory that a process had so far, in bytes."""
    try:
        rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) * 1024 for row in rows if row.startswith("VmHWM")), 0)
