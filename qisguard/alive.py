"""When a process started, as the operating system tells it: with its number, who it is.

A number is given again to somebody else once its owner ended; number and moment together are not.
"""

import subprocess
from pathlib import Path


def started_at(pid: int) -> str | None:
    """Return when a process started, in words that no later one shares; None when it ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _started_by_ps(pid)
    except ProcessLookupError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name in front may hold anything
    state, ticks = fields[0], fields[19]  # proc(5): fields 3 and 22
    return None if state in "ZX" else f"{boot}/{ticks}"


def _started_by_ps(pid: int) -> str | None:
    """Return the same where there is no ``/proc``."""
    done = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, check=False, text=True
    )
    return done.stdout.strip() or None
