"""A trail that comes back from a backup: others are asked first, and the log never forks.

A backup is an honest old state: it would sign sizes again that it signed before, with other roots.
Only those who cosigned later checkpoints remember them. So a copied state is refused (its ``place``
is another) until as many witnesses as the quorum have shown the largest checkpoint that they
cosigned. Of two quorums one honest witness is a member of both: a checkpoint that a quorum cosigned
is then known, and one that none cosigned convinced nobody who asks for a quorum.

What the trail lacks of that checkpoint comes from a mirror. Where no mirror has it, the origin is
retired: a new log begins with a ``succeeds`` entry, and the old one ends with its last checkpoint.
"""

from collections.abc import Collection, Iterable

from qisguard.errors import DecodeError, ProofError, TrailError
from qisguard.identity.keys import to_text
from qisguard.trail import wal
from qisguard.trail.checkpoint import Checkpoint, LogKey, parse_checkpoint, parse_text
from qisguard.trail.cosignature import WitnessKey, verify_cosignatures
from qisguard.trail.entries import Succeeds
from qisguard.trail.files import Files
from qisguard.trail.merkle import leaf_hash
from qisguard.trail.proofs import TreeReader
from qisguard.trail.recovery import CHECKPOINT, PLACE, SIGNED, WAL, recover
from qisguard.trail.tlog_proof import check_signed


def last_cosigned(
    notes: Iterable[bytes], key: LogKey, witnesses: Collection[WitnessKey], quorum: int
) -> Checkpoint:
    """Return the largest checkpoint of the log that a known witness cosigned.

    ``notes`` are what witnesses answered, each the largest checkpoint of this log that it cosigned.

    Raises:
        DecodeError: a note is malformed.
        ProofError: a note is not of this log, or no known witness cosigned it; or fewer witnesses
            than the quorum have answered; or two notes have one size and different roots.
    """
    if not 1 <= quorum <= len(witnesses):
        raise ProofError(f"restore: quorum of {quorum} among {len(witnesses)} witnesses")
    answered: set[WitnessKey] = set()
    found: list[Checkpoint] = []
    for note in notes:
        head = parse_checkpoint(note)
        if head.origin != key.name:
            raise ProofError(f"restore: a checkpoint of {head.origin!r}, not {key.name!r}")
        check_signed(head, [key])
        said = verify_cosignatures(head, witnesses)
        if not said:
            raise ProofError(f"restore: no known witness cosigned the note of size {head.size}")
        answered |= {cosigned.witness for cosigned in said}
        found.append(head)
    if len(answered) < quorum:
        raise ProofError(
            f"restore: {len(answered)} witnesses have answered, the quorum is {quorum}: "
            "ask more of them for their largest checkpoint of this log"
        )
    last = max(found, key=lambda head: head.size)
    for head in found:
        if head.size == last.size and head.root != last.root:
            raise ProofError(f"restore: size {last.size} was signed with two roots: the log forked")
    return last


def reinstate(public: Files, state: Files, key: LogKey, last: Checkpoint) -> int:
    """Let this copy of a trail go on from where it is, and return its size.

    ``last`` is what ``last_cosigned`` gave. The public folder may have been brought up to it by a
    mirror: its checkpoint, which this log's key signed, then takes the place of the old state.

    Raises:
        TrailError: another writer holds it, the trail ends before ``last``, or has another history,
            or is damaged. It stays refused then.
    """
    state.lock()
    try:
        _advance_state(public, state, key)
        size = _check_reaches(public, state, key, last)
        state.write({PLACE: state.place()})
        return size
    except (DecodeError, ProofError) as error:
        raise TrailError(f"restore: {error}") from error
    finally:
        state.unlock()


def succession(day: int, last: Checkpoint) -> Succeeds:
    """Return the first entry of the log that takes the place of the one that ended with ``last``.

    ``day`` is the calendar day.
    """
    return Succeeds(day, last.origin, last.size, to_text(last.root))


def _advance_state(public: Files, state: Files, key: LogKey) -> None:
    """Take over the checkpoint of the public folder as signed, if it continues the old state."""
    stored, note = state.read(SIGNED), public.read(CHECKPOINT)
    if stored is None or note is None:
        return  # recovery says what is missing
    signed, head = parse_text(stored), parse_checkpoint(note)
    check_signed(head, [key])
    if head.origin != signed.origin or head.size <= signed.size:
        return
    reader = TreeReader(public.read, head)
    reader.consistency(signed.size, signed.root)
    records, _ = wal.decode_wal(state.read(WAL) or b"")
    for record in records:
        if record.index < head.size and reader.entry(record.index) != record.entry:
            raise TrailError(
                f"restore: entry {record.index} was acknowledged here and is another one in the "
                "checkpoint that was signed later: the log forked"
            )
    state.write({SIGNED: head.text})


def _check_reaches(public: Files, state: Files, key: LogKey, last: Checkpoint) -> int:
    """Return where tree and write-ahead log end; raise TrailError unless they continue ``last``."""
    found = recover(public, state, key, is_copy=True)
    grown = found.tower.range()
    size = found.size + len(found.fresh)
    if size < last.size:
        raise TrailError(
            f"restore: this copy ends at size {size}, witnesses cosigned size {last.size}: "
            "fetch the rest with 'qisguard trail mirror' from whoever has it; if nobody has, "
            "start another log with 'qisguard trail init --succeeds'"
        )
    if found.head is None:
        raise TrailError("restore: there is no checkpoint here")
    if last.size <= found.size:
        TreeReader(public.read, found.head).consistency(last.size, last.root)
        return size
    grown.extend([leaf_hash(record.entry) for record in found.fresh[: last.size - found.size]])
    if grown.root() != last.root:
        raise TrailError(
            f"restore: the write-ahead log leads to another root than size {last.size} was "
            "cosigned with: the log forked"
        )
    return size
