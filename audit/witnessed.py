"""What witnesses say of a log: genuine, in order, in time, and enough of them (AUD-30)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from qisguard.audit.findings import Findings
from qisguard.audit.policy import Policy
from qisguard.audit.times import DAY_SECONDS
from qisguard.errors import QisguardError
from qisguard.trail.checkpoint import Checkpoint
from qisguard.trail.cosignature import Cosigned, WitnessKey, verify_cosignatures

AHEAD_SECONDS = 3600
"""By how much a witness's clock may be ahead of the auditor's."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A note of one log, as it was found in ``file``; findings about it go to ``out``."""

    name: str
    file: str
    head: Checkpoint
    out: Findings


@dataclass(slots=True)
class Witnessed:
    """What was said of one log: (size, time) of every cosignature that verified."""

    marks: list[tuple[int, int]] = field(default_factory=list)
    by_note: dict[bytes, dict[WitnessKey, int]] = field(default_factory=dict)
    """By text of the note: witnesses, each with its latest time."""


def check_cosignatures(shown: Sequence[Shown], policy: Policy, now: int | None) -> Witnessed:
    """Return what known witnesses said of one log; report what cannot be.

    ``now`` in seconds since 1970; None when nobody knows it.
    """
    found = Witnessed()
    by_witness: dict[WitnessKey, list[tuple[int, int, Shown]]] = defaultdict(list)
    for note in shown:
        try:
            said = verify_cosignatures(note.head, policy.witnesses)
        except QisguardError as error:
            note.out.add("AUD-30", note.file, str(error))
            continue
        for one in said:
            _take(found, note, one, now)
            by_witness[one.witness].append((note.head.size, one.time, note))
    for witness, marks in by_witness.items():
        _check_order(witness, marks)
    return found


def _take(found: Witnessed, note: Shown, said: Cosigned, now: int | None) -> None:
    if now is not None and said.time > now + AHEAD_SECONDS:
        ahead = said.time - now
        what = f"witness {said.witness.name!r} cosigned {ahead} seconds after now: from the future"
        note.out.add("AUD-30", note.file, what)
        return
    found.marks.append((note.head.size, said.time))
    times = found.by_note.setdefault(note.head.text, {})
    times[said.witness] = max(times.get(said.witness, 0), said.time)


def _check_order(witness: WitnessKey, marks: list[tuple[int, int, Shown]]) -> None:
    """A witness cosigns rising sizes: a larger one that it cosigned earlier is a lie of time."""
    marks.sort(key=lambda mark: (mark[0], mark[1]))
    latest: tuple[int, int] | None = None
    for size, time, note in marks:
        if latest is not None and size > latest[0] and time < latest[1]:
            said = (
                f"witness {witness.name!r} cosigned size {size} at {time}, before size "
                f"{latest[0]} at {latest[1]}"
            )
            note.out.add("AUD-30", note.file, said)
        if latest is None or time > latest[1]:
            latest = size, time


def missing_quorum(
    head: Checkpoint, found: Witnessed, policy: Policy, now: int | None, max_age: int | None
) -> str | None:
    """Return why the quorum of the policy is not there, or None; ``max_age`` in seconds."""
    quorum = policy.quorum
    if quorum.name is None:
        return None
    times = found.by_note.get(head.text, {})
    who = ", ".join(sorted(witness.name for witness in times)) or "no known witness"
    if not quorum.is_met(set(times)):
        return f"quorum: wants {quorum.describe()}; cosigned by {who}"
    if now is None or max_age is None:
        return None
    fresh = {witness for witness, time in times.items() if time >= now - max_age}
    if not quorum.is_met(fresh):
        days = max_age / DAY_SECONDS
        return f"quorum: reached, but not by cosignatures of the last {days:g} days: stale"
    return None
