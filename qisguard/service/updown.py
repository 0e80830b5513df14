"""Bringing a local network up, asking how it is, and taking it down again."""

import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qisguard.errors import QisguardError, ServiceError, TrailError
from qisguard.service.asks import Control
from qisguard.service.localnet import LocalNet, Progress
from qisguard.service.processes import Running, end, is_running, spawn
from qisguard.trail.files import FolderFiles

LOOK_PERIOD = 0.05
"""Seconds between two looks at processes that start or end."""
UP_PATIENCE = 60.0
UP_PATIENCE_EACH = 1.0
DOWN_PATIENCE = 15.0
LOG_LINES = 5


@dataclass(frozen=True, slots=True)
class NodeRow:
    """How one node is: ``state`` is up, joining, fault, silent or down."""

    name: str
    state: str
    process: int
    pid: int | None
    told: dict[str, Any]


def bring_up(net: LocalNet, progress: Progress) -> float:
    """Start the processes that do not run, wait until every node has joined; return seconds.

    Raises:
        ServiceError: everything runs already, a process ended, or nodes did not join in time. What
            this call started is ended again.
    """
    with _alone(net):
        running = {n: r for n, r in net.running().items() if is_running(r)}
        missing = [n for n in range(net.spec.processes) if n not in running]
        if not missing:
            raise ServiceError(
                f"the network in {net.folder} is up already; look at it with: qisguard net status "
                f"--dir {net.folder}; end it with: qisguard net down --dir {net.folder}"
            )
        start = time.monotonic()
        fresh: dict[int, Running] = {}
        try:
            for number in missing:
                configs = [str(net.config(name)) for name in net.members(number)]
                log = net.folder / "logs" / f"process-{number + 1}.log"
                fresh[number] = spawn(["node", "run", *configs], net.folder, log)
                net.save_running({**running, **fresh})
            _wait_until_joined(net, fresh, progress)
        except BaseException:
            _end_all(fresh, DOWN_PATIENCE)
            net.save_running(running)
            raise
        return time.monotonic() - start


def take_down(net: LocalNet) -> tuple[list[Running], list[Running]]:
    """End what was started; return the processes that ended and those that did not in time."""
    with _alone(net):
        running = {n: r for n, r in net.running().items() if is_running(r)}
        stubborn = _end_all(running, DOWN_PATIENCE)
        net.save_running(stubborn)
        ended = [r for n, r in running.items() if n not in stubborn]
        return ended, list(stubborn.values())


def look(net: LocalNet) -> list[NodeRow]:
    """Return how every node is."""
    running = net.running()
    rows = []
    for index, name in enumerate(net.names):
        number = index % net.spec.processes
        process = running.get(number)
        alive = process is not None and is_running(process)
        told = _ask(net.state(name)) if alive else {}
        state = "down"
        if alive:
            state = "silent"
        if told:
            state = "fault" if told.get("fault") else "up" if told.get("joined") else "joining"
        rows.append(NodeRow(name, state, number, process.pid if process and alive else None, told))
    return rows


def first_up(net: LocalNet, wanted: Collection[str] = ()) -> str:
    """Return the name of a node that answers, one of the ids ``wanted`` if any of these does.

    Raises:
        ServiceError: no node is up.
    """
    names = [(row.name, row.told["id"]) for row in look(net) if row.state in ("up", "fault")]
    for name, identifier in names:
        if identifier in wanted:
            return name
    if names:
        return names[0][0]
    raise ServiceError(
        f"no node of {net.folder} is up; start them with: qisguard net up --dir {net.folder}"
    )


def _ask(state: Path) -> dict[str, Any]:
    try:
        with Control(state) as control:
            return control.status()
    except QisguardError:
        return {}


def _wait_until_joined(net: LocalNet, fresh: dict[int, Running], progress: Progress) -> None:
    wanted = [name for number in fresh for name in net.members(number)]
    deadline = time.monotonic() + UP_PATIENCE + UP_PATIENCE_EACH * len(wanted)
    waiting = list(wanted)
    while waiting:
        waiting = [name for name in waiting if not _ask(net.state(name)).get("joined")]
        progress("joined", len(wanted) - len(waiting), len(wanted))
        for number, process in fresh.items():
            if not is_running(process):
                raise ServiceError(
                    f"process {number + 1} ended while starting; the end of {process.log}:\n"
                    f"{_last_lines(Path(process.log))}"
                )
        if waiting and time.monotonic() > deadline:
            states = Counter(row.state for row in look(net) if row.name in waiting)
            raise ServiceError(
                f"{len(waiting)} of {len(wanted)} nodes did not join in time, {waiting[0]} among "
                f"them ({dict(states)}); the logs are in {net.folder / 'logs'}"
            )
        if waiting:
            time.sleep(LOOK_PERIOD)


def _end_all(running: dict[int, Running], patience: float) -> dict[int, Running]:
    """Send SIGTERM to each, wait, and return those that have not ended."""
    left = {number: process for number, process in running.items() if end(process)}
    deadline = time.monotonic() + patience
    while left and time.monotonic() < deadline:
        left = {number: process for number, process in left.items() if is_running(process)}
        if left:
            time.sleep(LOOK_PERIOD)
    return left


def _last_lines(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - 4_096, 0))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in lines[-LOG_LINES:])


@contextmanager
def _alone(net: LocalNet) -> Iterator[None]:
    """Let one command at a time start or end processes of this folder."""
    files = FolderFiles(net.folder)
    try:
        files.lock()
    except TrailError:
        raise ServiceError(
            f"another `qisguard net` command is at work in {net.folder}; wait for it"
        ) from None
    try:
        yield
    finally:
        files.unlock()
