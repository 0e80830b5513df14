"""The dead man's switch: a worker whose parent is gone ends at once, and its attack with it."""

import multiprocessing
import os
import threading
import time
from multiprocessing import connection

PERIOD = 0.5
"""Seconds between two looks at a parent that cannot be waited for."""


def watch_parent() -> None:
    """Let this process end when its parent does, however that one died, even within a trial."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="dead man", daemon=True).start()


def _watch(number: int) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
    while parent is None and os.getppid() == number:
        time.sleep(PERIOD)
    os._exit(1)
