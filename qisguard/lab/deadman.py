"""The dead man's switch: a worker whose parent is gone ends at once, and its attack with it."""

import os
import threading
import time

PERIOD = 0.5
"""Seconds between two looks at the parent."""


def watch_parent() -> None:
    """Let this process end within a second of its parent, however that one died."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PERIOD)
        os._exit(130)

    threading.Thread(target=watch, name="dead man", daemon=True).start()
