"""Progress of long work on stderr: a bar with time left on a terminal, else a line now and then."""

import sys
import time
from types import TracebackType

LINE_PERIOD = 10.0
"""Without a terminal, seconds between two lines."""


class Progress:
    """Context manager; ``update`` takes what ended, how many have and how many there are.

    Work that is not ``counted`` has no bar, for there is no share of it that is done: ``tell``
    takes what there is to say.
    """

    def __init__(self, name: str, *, counted: bool = True) -> None:
        self._name = name
        self._start = time.monotonic()
        self._last = self._start
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar

            text = TextColumn("{task.description}")
            bar = (BarColumn(), MofNCompleteColumn())
            left = (TextColumn("left"), TimeRemainingColumn())
            columns = (text, *bar, TimeElapsedColumn(), *left)
            self._bar = Bar(
                *(columns if counted else (text, TimeElapsedColumn())),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(name, total=None)

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif kind is None:
            self._print(f"done in {time.monotonic() - self._start:.0f} s")

    def update(self, what: str, done: int, total: int) -> None:
        """Show that ``what`` ended, ``done`` of ``total`` pieces."""
        if self._bar:
            self._bar.update(self._task, description=what, completed=done, total=total)
            return
        now = time.monotonic()
        if now - self._last >= LINE_PERIOD:
            self._last = now
            left = (now - self._start) / done * (total - done) if done else None
            about = "" if left is None else f", about {left:.0f} s left"
            self._print(f"{done} of {total}, {what}{about}")

    def tell(self, what: str) -> None:
        """Show how uncounted work stands; without a terminal, now and then."""
        now = time.monotonic()
        if self._bar:
            self._bar.update(self._task, description=what)
        elif now - self._last >= LINE_PERIOD:
            self._last = now
            self._print(what)

    def say(self, what: str) -> None:
        """Show what is going on now."""
        if self._bar:
            self._bar.update(self._task, description=what)
        else:
            self._print(what)

    def _print(self, text: str) -> None:
        print(f"{self._name}: {text}", file=sys.stderr, flush=True)
