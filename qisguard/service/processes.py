"""Processes that were started here and outlive the command: known by more than their number.

A process id is given again to somebody else once its owner ended. A process counts as ours only
while the moment of its start, as the operating system tells it, is the one that was written down.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from qisguard import alive
from qisguard.service.config import PREFIX


class Running(msgspec.Struct, frozen=True):
    """One process: number, moment of its start in the words of the system, and its log file."""

    pid: int
    started: str
    log: str


def spawn(arguments: Sequence[str], folder: Path, log: Path) -> Running:
    """Start ``qisguard ARGUMENTS`` in ``folder``, in a session of its own, and return at once.

    Its configuration comes from its files alone, not from this command's environment.
    """
    environment: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith(PREFIX)
    }
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "qisguard.cli", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            start_new_session=True,
        )
    process.returncode = 0  # it is meant to outlive this object, which would warn otherwise
    return Running(process.pid, started_at(process.pid) or "", str(log))


def started_at(pid: int) -> str | None:
    """Return when a process started, see ``qisguard.alive``; a child that ended is reaped."""
    _reap(pid)
    return alive.started_at(pid)


def is_running(process: Running) -> bool:
    """Return whether this very process has not ended."""
    return bool(process.started) and started_at(process.pid) == process.started


def end(process: Running) -> bool:
    """Send SIGTERM to this very process; return whether it was there.

    Where the system has handles for processes, the one that was checked is the one that gets it.
    """
    if not hasattr(os, "pidfd_open"):
        if not is_running(process):
            return False
        os.kill(process.pid, signal.SIGTERM)
        return True
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if not is_running(process):
            return False
        signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _reap(pid: int) -> None:
    """Take the exit status of a child of this process, which would look alive otherwise."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
