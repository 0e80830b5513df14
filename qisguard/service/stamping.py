"""Proofs of time of a trail's checkpoints: ask for them, complete them, say what they are worth.

They lie in the trail's public folder, as ``notary/<size>.ots``, ``.tsr`` and ``.chainpoint.json``,
with the note that they are about as ``<size>.checkpoint`` and block headers in ``headers.otsh``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from qisguard.errors import DecodeError, ProofError, ServiceError, TrailError
from qisguard.identity.keys import KeyPair
from qisguard.notary.batches import (
    Receipt,
    decode_receipt,
    encode_receipt,
    make_batch,
    verify_receipt,
)
from qisguard.notary.headers import ARCHIVE_SIZE_MAX, HEADER_SIZE, Headers, open_headers
from qisguard.notary.judging import Judgement, State, judge, judge_stamp
from qisguard.notary.policy import NotaryPolicy
from qisguard.notary.stamps import (
    SHA256,
    Bitcoin,
    Pending,
    Stamp,
    decode_stamp,
    encode_stamp,
    merge,
    walk,
)
from qisguard.notary.tokens import TOKEN_SIZE_MAX, judge_token, token_request
from qisguard.service.calendars import Told, gather, submit
from qisguard.service.calendars import upgrade as ask_again
from qisguard.trail.checkpoint import NOTE_SIZE_MAX, Checkpoint, parse_checkpoint
from qisguard.trail.files import FolderFiles
from qisguard.trail.log import CHECKPOINT
from qisguard.transport.web import fetch

FOLDER = "notary"
ARCHIVE = f"{FOLDER}/headers.otsh"
PROOF = re.compile(r"(0|[1-9][0-9]{0,18})\.(ots|tsr|chainpoint\.json)", re.ASCII)
PROOF_SIZE_MAX = 1 << 16
"""Bytes of a stamp, a token or a receipt."""
TIMEOUT = 10.0
"""Seconds that a notary has where nobody said."""
TOKEN_HEADERS = {"Content-Type": "application/timestamp-query", "User-Agent": "qisguard"}


@dataclass(frozen=True, slots=True)
class Notaries:
    """Who is asked, as ``check_url`` returns it, and how many seconds each of them has."""

    calendars: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    timeout: float = TIMEOUT


@dataclass(frozen=True, slots=True)
class Worth:
    """One proof: its file and size, what it is worth, and which calendars it still waits for."""

    file: str
    size: int
    judgement: Judgement
    waits_for: tuple[str, ...] = ()


@dataclass(slots=True)
class Stamping:
    """What a command did: files written or left as they are, and who gave nothing and why."""

    size: int = 0
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    proofs: list[Worth] = field(default_factory=list)


def stamp_trail(folder: Path, notaries: Notaries) -> Stamping:
    """Ask every notary about the trail's checkpoint, and keep what they answer.

    A stamp that the size has already is kept and grows.

    Raises:
        TrailError: no readable checkpoint, or another one of this size was stamped before.
    """
    files = FolderFiles(folder)
    note = files.read(CHECKPOINT, NOTE_SIZE_MAX)
    head = _parsed(note, f"{folder}/{CHECKPOINT}")
    done = Stamping(head.size)
    digest = sha256(head.text).digest()
    path = f"{FOLDER}/{head.size}.ots"
    before = _stamp(files, path)
    if before is not None and before.digest != digest:
        raise TrailError(f"{folder}/{path}: is of another checkpoint of size {head.size}")
    fresh: dict[str, bytes] = {}
    told = submit(digest, notaries.calendars, notaries.timeout)
    done.problems += _problems(told)
    if any(one.timestamp is not None for one in told):
        whole = gather(told)
        if before is not None:
            whole = merge(before.timestamp, whole)
        fresh[path] = encode_stamp(Stamp(SHA256, digest, whole))
    path = f"{FOLDER}/{head.size}.tsr"
    earlier = files.read(path, PROOF_SIZE_MAX)
    if earlier is not None and judge_token(head.text, earlier, ()).state is not State.REFUTED:
        done.kept += [path for _ in notaries.authorities[:1]]
        notaries = replace(notaries, authorities=())  # a later token would say less
    for authority in notaries.authorities:
        try:
            fresh[path] = _token(head.text, authority, notaries.timeout)
            break  # one token says all that a token can; the next authority is a spare
        except (ServiceError, DecodeError) as error:
            done.problems.append(str(error))
    if fresh and note is not None:
        files.write({f"{FOLDER}/{head.size}.checkpoint": note, **fresh})
        done.written = sorted(fresh)
    return done


def stamp_batch(folders: Sequence[Path], key: KeyPair, notaries: Notaries) -> Stamping:
    """Have one stamp cover the checkpoints of many trails; each keeps a receipt of its own.

    Raises:
        TrailError: a trail has no readable checkpoint; nothing is asked then.
    """
    trails = [FolderFiles(folder) for folder in folders]
    notes = [files.read(CHECKPOINT, NOTE_SIZE_MAX) or b"" for files in trails]
    heads = [
        _parsed(note, f"{folder}/{CHECKPOINT}") for note, folder in zip(notes, folders, strict=True)
    ]
    receipts = make_batch([head.text for head in heads], key)
    digest = sha256(receipts[0].head).digest()
    told = submit(digest, notaries.calendars, notaries.timeout)
    done = Stamping(len(heads), problems=_problems(told))
    if all(one.timestamp is None for one in told):
        return done
    stamp = encode_stamp(Stamp(SHA256, digest, gather(told)))
    for files, note, head, receipt in zip(trails, notes, heads, receipts, strict=True):
        path = f"{FOLDER}/{head.size}.chainpoint.json"
        held = _held(files, path, head.text)
        if held is not None and _has_block(held.stamp):
            done.kept.append(f"{files.root}/{path}")
            continue
        data = encode_receipt(replace(receipt, stamp=stamp))
        files.write({f"{FOLDER}/{head.size}.checkpoint": note, path: data})
        done.written.append(f"{files.root}/{path}")
    return done


def upgrade_trail(folder: Path, notaries: Notaries, policy: NotaryPolicy) -> Stamping:
    """Ask the configured calendars what became of every stamp that still waits.

    Raises:
        TrailError: the trail or its header archive cannot be used.
    """
    files = FolderFiles(folder)
    done = Stamping()
    headers = _headers(files, folder, policy)
    for path, size in _proofs(files):
        held = _waiting(files, path, size)
        if held is None or _has_block(held.stamp):
            continue

        def is_refuted(grown: Stamp, held: "_Held" = held) -> bool:
            return judge_stamp(held.text, grown, headers, policy).state is State.REFUTED

        if is_refuted(held.stamp):
            continue
        grown, told = ask_again(held.stamp, notaries.calendars, notaries.timeout, is_refuted)
        done.problems += [f"{path}: {problem}" for problem in _problems(told)]
        data = encode_stamp(grown)
        if data != encode_stamp(held.stamp):
            files.write({path: held.file_with(data)})
            done.written.append(path)
    done.proofs = describe_trail(folder, policy)
    return done


def describe_trail(folder: Path, policy: NotaryPolicy) -> list[Worth]:
    """Return what every proof beside a trail is worth; asks nobody.

    Raises:
        TrailError: the header archive cannot be used.
    """
    files = FolderFiles(folder)
    headers = _headers(files, folder, policy)
    found = []
    for path, size in _proofs(files):
        data = b""
        try:
            data, text = files.read(path, PROOF_SIZE_MAX) or b"", _text(files, size)
            said = judge(text, data, headers, policy)
        except (TrailError, OSError) as error:  # a link, too long, or about nothing that is here
            said = Judgement(State.REFUTED, _said(error, path))
        found.append(Worth(path, size, said, _waits_for(data)))
    return found


def add_headers(folder: Path, raw: bytes, start: int, policy: NotaryPolicy) -> Headers:
    """Append block headers to the archive beside a trail, all checked before any is written.

    Args:
        folder: the trail.
        raw: headers of 80 bytes each; those that the archive has are skipped.
        start: height of the first of them.
        policy: the network, and the blocks that the archive may not contradict.

    Raises:
        DecodeError: not whole headers, or they leave a gap.
        ProofError: a header that does not hold.
        TrailError: the archive cannot be used.
    """
    files = FolderFiles(folder)
    archive = _headers(files, folder, policy)
    if archive is None:
        archive = Headers(policy.network, start, b"")
    known = archive.tip + 1 - start
    if known < 0:
        raise DecodeError(f"block headers: start at {start}, the archive ends at {archive.tip}")
    grown = archive.extend(raw[known * HEADER_SIZE :], policy.blocks)
    if len(grown) > len(archive):
        files.write({ARCHIVE: grown.encode()})
    return grown


@dataclass(frozen=True, slots=True)
class _Held:
    """An OpenTimestamps stamp, the text that it is of, and the receipt that it lies in, if any."""

    text: bytes
    stamp: Stamp
    receipt: Receipt | None = None

    def file_with(self, stamp: bytes) -> bytes:
        """Return the file with another stamp in it."""
        if self.receipt is None:
            return stamp
        return encode_receipt(replace(self.receipt, stamp=stamp))


def _waiting(files: FolderFiles, path: str, size: int) -> _Held | None:
    try:
        return _held(files, path, _text(files, size))
    except (TrailError, OSError):
        return None  # said where proofs are judged


def _held(files: FolderFiles, path: str, text: bytes) -> _Held | None:
    """Return the stamp in a proof, None where there is none that can be completed."""
    data = files.read(path, PROOF_SIZE_MAX) or b""
    try:
        if path.endswith(".ots"):
            return _Held(text, decode_stamp(data))
        if path.endswith(".json"):
            receipt = decode_receipt(data)
            verify_receipt(text, receipt)
            return _Held(receipt.head, decode_stamp(receipt.stamp), receipt)
    except (DecodeError, ProofError):
        return None  # what is wrong with it is said where proofs are judged
    return None


def _said(error: Exception, path: str) -> str:
    return f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error)


def _parsed(note: bytes | None, where: str) -> Checkpoint:
    if note is None:
        raise TrailError(f"{where}: is not there: what was stamped is not known")
    try:
        return parse_checkpoint(note)
    except DecodeError as error:
        raise TrailError(f"{where}: {error}") from None


def _text(files: FolderFiles, size: int) -> bytes:
    """Return the text of the checkpoint of a size, from the copy that was made with the stamp."""
    path = f"{FOLDER}/{size}.checkpoint"
    head = _parsed(files.read(path, NOTE_SIZE_MAX), path)
    if head.size != size:
        raise TrailError(f"{path}: is of size {head.size}")
    return head.text


def _proofs(files: FolderFiles) -> list[tuple[str, int]]:
    """Return the paths of proofs by their size and name."""
    found = [(f"{FOLDER}/{name}", PROOF.fullmatch(name)) for name in files.names(FOLDER)]
    return sorted(((path, int(m[1])) for path, m in found if m), key=lambda one: one[::-1])


def _stamp(files: FolderFiles, path: str) -> Stamp | None:
    data = files.read(path, PROOF_SIZE_MAX)
    if data is None:
        return None
    try:
        return decode_stamp(data)
    except DecodeError as error:
        raise TrailError(f"{path}: {error}") from None


def _headers(files: FolderFiles, folder: Path, policy: NotaryPolicy) -> Headers | None:
    data = files.read(ARCHIVE, ARCHIVE_SIZE_MAX)
    if data is None:
        return None
    try:
        return open_headers(data, policy.network, policy.blocks)
    except DecodeError as error:
        raise TrailError(f"{folder}/{ARCHIVE}: {error}") from None


def _token(text: bytes, authority: str, timeout: float) -> bytes:
    reply = fetch(
        authority,
        size_max=TOKEN_SIZE_MAX,
        timeout=timeout,
        data=token_request(text),
        headers=TOKEN_HEADERS,
    )
    if reply.status != 200:
        raise ServiceError(f"{authority}: answers with status {reply.status}")
    said = judge_token(text, reply.body, ())
    if said.state is State.REFUTED:
        raise ServiceError(f"{authority}: {said.reason}")
    return reply.body


def _problems(told: Sequence[Told]) -> list[str]:
    return [f"{one.calendar}: {one.problem}" for one in told if one.problem]


def _has_block(stamp: Stamp) -> bool:
    leaves = walk(stamp.timestamp, stamp.digest)
    return any(isinstance(attestation, Bitcoin) for _, attestation in leaves)


def _waits_for(data: bytes) -> tuple[str, ...]:
    try:
        stamp = decode_stamp(decode_receipt(data).stamp if data[:1] == b"{" else data)
    except DecodeError:
        return ()
    if _has_block(stamp):
        return ()
    leaves = walk(stamp.timestamp, stamp.digest)
    uris = {attestation.uri for _, attestation in leaves if isinstance(attestation, Pending)}
    return tuple(sorted(uris))
