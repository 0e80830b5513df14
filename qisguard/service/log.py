"""Structured logs: one event on a line, a bounded number of lines for each event.

Events name what happened in fixed words; fields carry counts, ids and addresses. Nothing of a
packet, a patient or a key is ever a field.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

from qisguard.service.options import LogFormat, LogLevel

WINDOW = 10.0
"""Seconds in which one event of one node is written at most ``LINES_MAX`` times."""
LINES_MAX = 10
TEXT_SIZE_MAX = 500

_RANK = {level: rank for rank, level in enumerate(LogLevel)}


@dataclass(slots=True)
class _Rate:
    since: float
    lines: int = 0
    held_back: int = 0


@dataclass(slots=True)
class Log:
    """Writes events of one node to ``stream``; ``held_back`` tells how many lines were too many."""

    stream: TextIO
    level: LogLevel
    format: LogFormat
    node: str
    clock: Callable[[], float] = time.time
    _rates: dict[str, _Rate] = field(default_factory=dict)

    def debug(self, event: str, **fields: object) -> None:
        """Write what only a developer wants to know."""
        self._write(LogLevel.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Write what happened."""
        self._write(LogLevel.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Write what somebody should look at some day."""
        self._write(LogLevel.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Write what somebody should look at now."""
        self._write(LogLevel.ERROR, event, fields)

    def _write(self, level: LogLevel, event: str, fields: dict[str, object]) -> None:
        if _RANK[level] < _RANK[self.level]:
            return
        now = self.clock()
        rate = self._rates.setdefault(event, _Rate(now))
        if not 0 <= now - rate.since < WINDOW:
            rate.since, rate.lines = now, 0
        if rate.lines >= LINES_MAX:
            rate.held_back += 1
            return
        rate.lines += 1
        if rate.held_back:
            fields = {**fields, "held_back": rate.held_back}
            rate.held_back = 0
        stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        stamp = stamp.replace("+00:00", "Z")
        plain = {name: _plain(value) for name, value in fields.items()}
        if self.format is LogFormat.JSON:
            head = {"time": stamp, "level": level, "node": self.node, "event": event}
            line = json.dumps({**head, **plain}, ensure_ascii=True)
        else:
            words = [f"{name}={json.dumps(value)}" for name, value in plain.items()]
            line = " ".join([stamp, level.upper(), self.node, event, *words])
        try:
            self.stream.write(line + "\n")
            self.stream.flush()
        except (OSError, ValueError):  # nobody reads any more: a node does not die of that
            return


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value[:20]]
    if isinstance(value, dict):
        return {str(name)[:80]: _plain(entry) for name, entry in list(value.items())[:100]}
    return str(value)[:TEXT_SIZE_MAX]
