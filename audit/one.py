"""Audits one trail by itself: checkpoint, files, tree, entries, packets."""

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from qisguard.audit.beside import Beside, read_beside
from qisguard.audit.findings import Findings, printable
from qisguard.audit.folder import Folder, Tiles, check_tiles, check_top
from qisguard.audit.named import (
    NAME_ROWS,
    Group,
    GroupRead,
    check_replays,
    group_reader,
    groups,
)
from qisguard.audit.packets import PACKETS, Counts, Depth, Scope, fallen
from qisguard.audit.piece import BUNDLES, Piece, piece_reader, read_bundle
from qisguard.audit.policy import Policy
from qisguard.audit.pool import Pool, core_count
from qisguard.audit.sequences import SIGHTING_ROWS
from qisguard.audit.spool import Spool
from qisguard.audit.stamped import Stamped, judge_late, judge_proofs
from qisguard.audit.times import Attested
from qisguard.audit.tree import MISSING_COUNT_MAX, Tree, TreeCheck
from qisguard.errors import DecodeError, ProofError, QisguardError
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    Checkpoint,
    LogKey,
    parse_checkpoint,
    verify_checkpoint,
)
from qisguard.trail.entries import decode_entry
from qisguard.trail.log import CHECKPOINT
from qisguard.trail.tiles import ENTRIES, TILE_WIDTH, Tile, tile_count, width_at

ALONE_MAX = 1 << 14
"""Entries up to which one process is sooner done than several."""

Tell = Callable[[str, int, int], None]
"""Takes a trail's name, how many of its bundles were read and how many there are."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to audit.

    since: checkpoints up to which the packets were audited before.
    sample: of how many entries the packets are opened, drawn with ``seed``; None for all.
    processes: how many; None for one per core.
    now: seconds since 1970; None when nobody knows.
    max_age: seconds; older cosignatures make no quorum.
    """

    depth: Depth = Depth.FULL
    since: tuple[Checkpoint, ...] = ()
    sample: int | None = None
    seed: int = 0
    processes: int | None = None
    now: int | None = None
    max_age: int | None = None


@dataclass(slots=True)
class TrailAudit:
    """One trail while it is audited; ``note`` is its checkpoint file, ``head`` what it says."""

    name: str
    number: int
    folder: Folder
    out: Findings
    note: bytes | None = None
    head: Checkpoint | None = None
    is_signed: bool = False
    is_read: bool = False
    tree: Tree = field(default_factory=Tree)
    counts: Counts = field(default_factory=Counts)
    sightings: Spool | None = None
    beside: Beside = field(default_factory=Beside)
    stamped: Stamped = field(default_factory=Stamped)
    unmeasured: list[str] = field(default_factory=list)


def open_trail(path: Path, number: int, policy: Policy | None) -> TrailAudit:
    """Read the checkpoint (AUD-10) and check who signed it (AUD-11)."""
    name = printable(str(path), 4096)
    trail = TrailAudit(name, number, Folder(path), Findings(name))
    trail.note = trail.folder.read(CHECKPOINT, NOTE_SIZE_MAX)
    if trail.note is None:
        if any(trail.folder.has(part) for part in (CHECKPOINT, "tile", PACKETS)):
            what = f"is missing, unreadable or larger than {NOTE_SIZE_MAX} bytes"
            trail.out.add("AUD-10", CHECKPOINT, what)
        else:
            trail.unmeasured.append("no trail here: there is no checkpoint")
        return trail
    try:
        trail.head = parse_checkpoint(trail.note)
    except DecodeError as error:
        trail.out.add("AUD-10", CHECKPOINT, str(error))
        return trail
    logs = () if policy is None else policy.logs
    if policy is not None:
        _check_signer(trail, trail.head, logs)
    trail.beside = read_beside(trail.folder, logs, trail.out)
    trail.unmeasured += trail.beside.unmeasured
    notary = None if policy is None else policy.notary
    trail.stamped = judge_proofs(trail.head, trail.beside, notary, trail.out)
    return trail


def _check_signer(trail: TrailAudit, head: Checkpoint, logs: Sequence[LogKey]) -> None:
    try:
        signers = verify_checkpoint(head, logs)
    except ProofError as error:
        trail.out.add("AUD-11", CHECKPOINT, str(error))
        return
    if all(key.name != head.origin for key in signers):
        origin = printable(head.origin)
        trail.out.add("AUD-11", CHECKPOINT, f"origin {origin!r} is not the log that signed")
        return
    trail.is_signed = True


def examine(
    trail: TrailAudit,
    policy: Policy | None,
    sizes: Collection[int],
    times: Attested,
    options: Options,
    stack: ExitStack,
    tell: Tell,
) -> None:
    """Check files, tree, entries and packets of one trail; ``stack`` closes its rows.

    ``sizes`` are those of checkpoints that others saw, whose roots are wanted.
    """
    check_top(trail.folder, trail.out)
    if trail.head is None:
        if trail.note is not None:
            trail.unmeasured.append("tiles, entries and packets: the checkpoint is unreadable")
    else:
        tiles = check_tiles(trail.folder, trail.head.size, trail.out)
        trail.sightings = stack.enter_context(Spool(SIGHTING_ROWS))
        if tiles.missing_bundles > MISSING_COUNT_MAX:
            what = f"root and entries: {tiles.missing_bundles} entry bundles are missing"
            trail.unmeasured.append(what)
        else:
            scope = _scope(trail, trail.head, policy, sizes, times, options)
            processes = 1 if scope.size <= ALONE_MAX else options.processes or core_count()
            _read(trail, trail.head, sizes, tiles, scope, processes, tell)
        notary = None if policy is None else policy.notary
        judge_late(trail.head, trail.stamped, trail.tree.roots, notary, trail.out)
        trail.unmeasured += trail.stamped.unmeasured
    trail.unmeasured += [f"unreadable: {what}" for what in dict.fromkeys(trail.folder.unreadable)]
    if (more := trail.folder.refused_count - len(trail.folder.unreadable)) > 0:
        trail.unmeasured.append(f"unreadable: {more} more files")


def _scope(
    trail: TrailAudit,
    head: Checkpoint,
    policy: Policy | None,
    sizes: Collection[int],
    times: Attested,
    options: Options,
) -> Scope:
    first = max((one.size for one in options.since if one.origin == head.origin), default=0)
    sample = None
    if options.sample is not None:
        rng = random.Random(f"{options.seed} {head.origin} {head.size}")
        span = range(min(first, head.size), head.size)
        sample = tuple(sorted(rng.sample(span, min(options.sample, len(span)))))
    return Scope(
        number=trail.number,
        root=trail.folder.root,
        size=head.size,
        node=head.origin.rpartition("/")[2],
        policy=policy,
        times=times,
        depth=options.depth,
        first=first,
        sample=sample,
        wanted=TreeCheck.tiles_of(sizes, head.size),
    )


def _tool(scope: Scope) -> Callable[[int | Group], Piece | GroupRead]:
    """Return what a process does with a piece of the log or a group of packets."""
    pieces, unnamed = piece_reader(scope), group_reader(scope.root)

    def answer(task: int | Group) -> Piece | GroupRead:
        return unnamed(task) if isinstance(task, Group) else pieces(task)

    return answer


def _read(
    trail: TrailAudit,
    head: Checkpoint,
    sizes: Collection[int],
    tiles: Tiles,
    scope: Scope,
    processes: int,
    tell: Tell,
) -> None:
    """Read the log piece by piece, then what lies beside it."""
    check = TreeCheck(trail.folder, head, sizes, trail.out)
    count = tile_count(ENTRIES, head.size)
    day_max, is_computed = 0, True
    with Spool(NAME_ROWS) as names, Pool(_tool, scope, processes) as pool:
        for answer in pool.answers(range(0, count, BUNDLES)):
            assert isinstance(answer, Piece)
            _merge(trail, answer, names)
            if answer.day_min is not None and answer.day_min < day_max:
                _check_days(trail, answer, head.size, day_max)
            day_max = max(day_max, answer.day_max)
            for index, leaves in enumerate(answer.tiles, answer.first):
                is_computed = is_computed and check.take(index, leaves)
            tell(trail.name, min(answer.first + BUNDLES, count), count)
        trail.tree = check.finish(tiles.earlier) if is_computed else check.tree
        if trail.tree.stopped is not None:
            trail.unmeasured.append(f"root: {trail.tree.stopped}")
        check_replays(names, head.size, trail.out)
        if trail.tree.entry_count < head.size:
            trail.unmeasured.append("packets: which belong here; not every entry could be read")
        elif scope.depth is Depth.FULL and trail.folder.has(PACKETS):
            for answer in pool.answers(groups(trail.folder, names, trail.out)):
                assert isinstance(answer, GroupRead)
                trail.out.absorb(answer.out)
                trail.folder.unreadable += answer.unreadable
    trail.is_read = True


def _merge(trail: TrailAudit, piece: Piece, names: Spool) -> None:
    trail.out.absorb(piece.out)
    trail.counts.add(piece.counts)
    names.add(piece.names)
    if trail.sightings is not None:
        trail.sightings.add(piece.sightings)
    trail.folder.unreadable += piece.unreadable
    trail.folder.refused_count += piece.refused_count


def _check_days(trail: TrailAudit, piece: Piece, size: int, day_max: int) -> None:
    """Report entries of a piece that are of a day before ``day_max``, which was seen before it.

    What falls within the piece was reported with it.
    """
    inside = 0
    for index, data, path in _entries(trail.folder, piece, size):
        try:
            day = decode_entry(data).day
        except QisguardError:
            continue  # reported with the piece
        if inside <= day < day_max:
            trail.out.add("AUD-22", path, fallen(index, day, day_max))
        inside = max(inside, day)


def _entries(folder: Folder, piece: Piece, size: int) -> Iterator[tuple[int, bytes, str]]:
    for number in range(piece.first, piece.first + len(piece.tiles)):
        tile = Tile(ENTRIES, number, width_at(ENTRIES, number, size))
        for offset, data in enumerate(read_bundle(folder, tile, Findings("")) or []):
            yield number * TILE_WIDTH + offset, data, tile.path
