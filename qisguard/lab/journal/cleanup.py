"""Looks through all journals and undoes what runs that are no longer alive have left behind."""

import contextlib
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path

from qisguard.exits import Exit
from qisguard.lab.journal.lines import Made, Undone
from qisguard.lab.journal.reading import ASIDE, Damage, Record, journals, opened, prune
from qisguard.lab.journal.undo import Judged, Verdict, undo

_SETTLED = (Verdict.REMOVED, Verdict.GONE)
_STANDS = (Verdict.LEFT, Verdict.REFUSED, Verdict.FAILED)


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that a journal speaks of, and what became of it."""

    journal: Path
    made: Made
    verdict: Verdict
    why: str


@dataclass(slots=True)
class Cleaned:
    """Everything that was found."""

    found: list[Found] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)

    @property
    def exit(self) -> Exit:
        """Return 1 when something stays that should not, 3 when a line could not be read."""
        if any(one.verdict in _STANDS for one in self.found):
            return Exit.FINDING
        return Exit.NOT_MEASURED if self.damage else Exit.CLEAN


def cleanup(folder: Path, is_dry: bool) -> Cleaned:
    """Undo what dead runs left, by the journals in ``folder``; with ``is_dry`` only look."""
    cleaned = Cleaned()
    for path in journals(folder):
        with opened(path) as record:
            _clean(record, is_dry, cleaned)
    if not is_dry:
        prune(folder)
    return cleaned


def _clean(record: Record, is_dry: bool, cleaned: Cleaned) -> None:
    if record.is_alive:  # its last line may be half written: that is no damage
        cleaned.found += [
            Found(record.path, made, Verdict.ALIVE, f"process {made.pid} is at work")
            for made in record.left.values()
        ]
        return
    cleaned.damage += record.damage
    stands = False
    for number, made in sorted(record.left.items(), reverse=True):  # what came last goes first
        verdict, why = _judge(made, record, is_dry)
        cleaned.found.append(Found(record.path, made, verdict, why))
        stands = stands or verdict in _STANDS
        if verdict in _SETTLED and not is_dry:
            record.append(Undone(made.run, number, f"cleanup: {verdict}", time.time()))
    if record.damage and not stands and not is_dry:
        with contextlib.suppress(OSError):
            record.path.rename(record.path.with_suffix(ASIDE))


def _judge(made: Made, record: Record, is_dry: bool) -> Judged:
    if made.host != platform.node():
        return Verdict.REFUSED, f"it was made on {made.host}: clean up there"
    return undo(made, record.known.get(made.number), is_dry)
