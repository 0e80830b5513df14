"""What is in a piece of a log: entries, the packets that they name, and who published them.

Packet files may be erased: an absent one is counted, never a finding. A present one must be exactly
what its entry names, genuine, of this network, and by an author whose issuer runs this node.

What has the form of nearly every entry and packet takes a short way here; all else is decided by
the strict decoders of the log and of packets, which also say what is wrong.
"""

import os
import re
import struct
from binascii import a2b_base64
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from qisguard.audit.findings import Findings, printable
from qisguard.audit.folder import READ_FLAGS, Folder
from qisguard.audit.policy import Policy
from qisguard.audit.times import NEVER, SKEW_DAYS, Attested
from qisguard.errors import DecodeError, IdentityError, ProofError, RecordError
from qisguard.identity.ids import to_bytes
from qisguard.identity.keys import (
    KEY_SIZE,
    PACKET_TAG,
    SIGNATURE_SIZE,
    check_enrollable,
    from_text,
    to_text,
)
from qisguard.identity.roster import Issuer
from qisguard.outcomes.packet import CASE_SIZE, PACKET_SIZE_MAX, Body, open_packet, read_body
from qisguard.trail.entries import Fetch, Hold, Publish, Succeeds, decode_entry
from qisguard.trail.merkle import HASH_SIZE

NAME = struct.Struct(f"<{HASH_SIZE}sQ")
"""A publish entry: digest, index."""
SIGHTING = struct.Struct(f"<8s{CASE_SIZE}sQQQQ")
"""A packet seen: author (the beginning of its hash), case, seq, day, index, number of the log."""
PACKETS = "packets"
MEMO_MAX = 4096

_USUAL = re.compile(
    rb'\{"kind":"publish","day":(0|[1-9][0-9]{0,14}),'
    rb'"digest":"([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])"(?:,"seq":(0|[1-9][0-9]{0,14}))?\}'
)
"""A publish entry without a key, in its deterministic encoding and within all bounds."""
_CASE = re.compile("[A-Za-z0-9_-]{21}[AQgw]", re.ASCII)
_URLSAFE = bytes.maketrans(b"-_", b"+/")

T = TypeVar("T")


class Depth(StrEnum):
    """How much of a trail is read: the log alone, or the packets beside it too."""

    STRUCTURE = "structure"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Scope:
    """What is the same for every piece of one log.

    number: of this log among those audited.
    node: the last part of the log's origin.
    first: packets of earlier entries are not opened; an audit before this one did.
    sample: the only entries whose packets are opened, sorted; None for all.
    wanted: tiles whose hashes are asked for, one by one.
    """

    number: int
    root: Path
    size: int
    node: str
    policy: Policy | None = None
    times: Attested = NEVER
    depth: Depth = Depth.FULL
    first: int = 0
    sample: tuple[int, ...] | None = None
    wanted: frozenset[int] = frozenset()


@dataclass(slots=True)
class Counts:
    """What was met; ``unattested`` are packets of authors revoked later, seen by no third party."""

    publish: int = 0
    hold: int = 0
    fetch: int = 0
    held_packets: int = 0
    fetched_packets: int = 0
    present: int = 0
    absent: int = 0
    unopened: int = 0
    signatures: int = 0
    unattested: int = 0

    def add(self, other: "Counts") -> None:
        """Add the counts of another piece."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


class Contents:
    """Reads the entries of one log, in any number of pieces, each in order."""

    def __init__(self, scope: Scope, folder: Folder) -> None:
        self._scope = scope
        self._folder = folder
        self._packets: int | None = None
        policy = scope.policy
        network = policy.network if policy else None
        self._network = None if network is None else (to_text(network.id), printable(network.name))
        self._roster = policy.roster if policy else None
        self._revoked = policy.revoked if policy else {}
        self._texts: dict[str, bytes] = {}
        self._authors: dict[str, _Author] = {}
        self.start(Findings(""))

    @contextmanager
    def piece(self, out: Findings) -> Iterator[None]:
        """Read a piece inside this context; findings go to ``out``."""
        self.start(out)
        flags = READ_FLAGS | os.O_DIRECTORY
        with suppress(OSError):  # no packets, or nothing that holds any: reported elsewhere
            self._packets = os.open(self._scope.root / PACKETS, flags)
        try:
            yield
        finally:
            if self._packets is not None:
                os.close(self._packets)
                self._packets = None

    def start(self, out: Findings) -> None:
        """Begin to count."""
        self.out = out
        self.counts = Counts()
        self.names: list[bytes] = []
        self.sightings: list[bytes] = []
        self.day_min: int | None = None
        self.day_max = 0

    def read(self, start: int, entries: Sequence[bytes], bundle: str) -> None:
        """Check the entries of one bundle, of which the first has index ``start``."""
        usual, index = _USUAL.fullmatch, start
        for data in entries:
            match = usual(data)
            if match is not None:
                day, seq = int(match[1]), match[3]
                digest = a2b_base64(match[2].translate(_URLSAFE) + b"=")
                number = None if seq is None else int(seq)
                self.check_day(index, day, bundle)
                self._read_publish(index, day, digest, number, None)
            else:
                self._read_unusual(index, data, bundle)
            index += 1

    def _read_unusual(self, index: int, data: bytes, bundle: str) -> None:
        try:
            entry = decode_entry(data)
        except (DecodeError, RecordError) as error:
            self.out.add("AUD-20", bundle, f"entry {index}: {error}")
            return
        self.check_day(index, entry.day, bundle)
        match entry:
            case Publish():
                digest = from_text(entry.digest, HASH_SIZE)
                self._read_publish(index, entry.day, digest, entry.seq, entry.key)
            case Hold():
                self.counts.hold += 1
                self.counts.held_packets += entry.count
            case Fetch():
                self.counts.fetch += 1
                self.counts.fetched_packets += entry.count
            case Succeeds() if index:
                said = f"entry {index}: says whom the log succeeds, which only the first one may"
                self.out.add("AUD-20", bundle, said)

    def check_day(self, index: int, day: int, bundle: str) -> None:
        """Report days that fall, or that contradict when others saw the log (AUD-22)."""
        if self.day_min is None or day < self.day_min:
            self.day_min = day
        if day < self.day_max:
            self.out.add("AUD-22", bundle, fallen(index, day, self.day_max))
        else:
            self.day_max = day
        if not self._scope.times.sizes:
            return
        after, by = self._scope.times.window(index)
        if after is not None and day < after - SKEW_DAYS:
            said = f"of day {day}, but a witness saw the log without it on day {after}: backdated"
            self.out.add("AUD-22", bundle, f"entry {index}: {said}")
        if by is not None and day > by + SKEW_DAYS:
            said = f"of day {day}, but a witness saw it on day {by}: from the future"
            self.out.add("AUD-22", bundle, f"entry {index}: {said}")

    def _read_publish(
        self, index: int, day: int, digest: bytes, seq: int | None, key: str | None
    ) -> None:
        self.counts.publish += 1
        self.names.append(NAME.pack(digest, index))
        scope = self._scope
        if (
            scope.depth is Depth.STRUCTURE
            or index < scope.first
            or (scope.sample is not None and not _among(index, scope.sample))
        ):
            self.counts.unopened += 1
            return
        name = digest.hex()
        path = f"{PACKETS}/{name[:2]}/{name}"
        data = self._read_packet(path)
        if data is None:
            self.counts.absent += 1
            return
        self.judge(index, day, digest, seq, key, data, path)

    def judge(
        self,
        index: int,
        day: int,
        digest: bytes,
        seq: int | None,
        key: str | None,
        data: bytes,
        path: str,
    ) -> None:
        """Check the packet that entry ``index`` of ``day`` names, and what the entry repeats."""
        self.counts.present += 1
        if sha256(data).digest() != digest:
            self.out.add("AUD-20", path, f"content is not what entry {index} names by digest")
            return
        try:
            body, author, case = self._open(data)
        except (DecodeError, RecordError, ProofError, IdentityError) as error:
            self.out.add("AUD-20", path, f"named by entry {index}: {error}")
            return
        self.counts.signatures += 1
        self.sightings.append(
            SIGHTING.pack(author.tag, case, body.seq, day, index, self._scope.number)
        )
        if not (body.day <= day <= body.exp and seq == body.seq and key is None):
            self._check_claims(index, day, seq, key, body, path)
        if self._network is not None and self._network[0] != body.net:
            self.out.add("AUD-22", path, f"is of another network than {self._network[1]!r}")
        if self._roster is not None:
            self._check_author(index, day, author, body, path)

    def _read_packet(self, path: str) -> bytes | None:
        """Return what a packet's file holds; None when it is not there or not a packet's file."""
        if self._packets is None:
            return None
        try:
            descriptor = os.open(path[len(PACKETS) + 1 :], READ_FLAGS, dir_fd=self._packets)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._folder.not_opened(path, error)
            return None
        try:
            data = os.read(descriptor, PACKET_SIZE_MAX + 1)
        except OSError as error:
            self._folder.not_opened(path, error)
            return None
        finally:
            os.close(descriptor)
        if len(data) > PACKET_SIZE_MAX:
            self.out.add("AUD-12", path, f"more than {PACKET_SIZE_MAX} bytes")
            return None
        return data

    def _open(self, data: bytes) -> "tuple[Body, _Author, bytes]":
        """Return body, author and case of a genuine packet.

        Raises:
            DecodeError, RecordError, ProofError, IdentityError: what ``open_packet`` says, or an
                author that could not be enrolled.
        """
        body = read_body(data)
        author = self._authors.get(body.author)
        if author is None:
            author = _remember(self._authors, body.author, self._know(body.author, data))
        texts = self._texts
        if body.net not in texts or body.key not in texts:
            for text in (body.net, body.key):
                _remember(texts, text, from_text(text, KEY_SIZE))
        if _CASE.fullmatch(body.case) is None:
            from_text(body.case, CASE_SIZE)
        case = a2b_base64(body.case.encode().translate(_URLSAFE) + b"==")
        try:
            signed = data[-SIGNATURE_SIZE:] + PACKET_TAG + data[:-SIGNATURE_SIZE]
            crypto_sign_open(signed, author.key)
        except BadSignatureError:
            open_packet(data)
            raise ProofError("signature: does not verify") from None
        return body, author, case

    def _know(self, text: str, data: bytes) -> "_Author":
        """Return what is known of an author; what is wrong with the packet itself comes first."""
        key = from_text(text, KEY_SIZE)
        try:
            check_enrollable(key)
        except IdentityError:
            open_packet(data)
            raise
        issuer = None if self._roster is None else self._roster.by_author.get(key)
        nodes = () if issuer is None else issuer.nodes
        runs_node = any(to_bytes(node).hex()[:16] == self._scope.node for node in nodes)
        tag = sha256(key).digest()[:8]
        return _Author(key, tag, issuer, runs_node, self._revoked.get(key))

    def _check_claims(
        self, index: int, day: int, seq: int | None, key: str | None, body: Body, path: str
    ) -> None:
        """Report a packet that contradicts its entry or the calendar (AUD-22)."""
        for name, said, is_so in (("seq", seq, body.seq), ("key", key, body.key)):
            if said is not None and said != is_so:
                self.out.add("AUD-22", path, f"{name} = {is_so}, but entry {index} says {said}")
        if not body.day <= day <= body.exp:
            self.out.add(
                "AUD-22",
                path,
                f"valid from day {body.day} to {body.exp}, but published on day {day} by "
                f"entry {index}",
            )

    def _check_author(self, index: int, day: int, author: "_Author", body: Body, path: str) -> None:
        """Report who is nobody's, not of this node's issuer, or was not then a member (AUD-21)."""
        issuer, revoked = author.issuer, author.revoked
        if issuer is None:
            self.out.add("AUD-21", path, f"author {body.author} is not on the roster")
            return
        if not author.runs_node:
            name = printable(issuer.name)
            said = f"author is of issuer {name!r}, which does not run node {self._scope.node}"
            self.out.add("AUD-21", path, said)
        if issuer.enrolled <= day and revoked is None and not self._scope.times.sizes:
            return
        by = self._scope.times.window(index)[1]
        seen = f"published on day {day} by entry {index}"
        seen += "" if by is None else f", seen by a witness on day {by}"
        if issuer.enrolled > (day if by is None else min(day, by)):
            said = f"issuer {printable(issuer.name)!r} was enrolled on day {issuer.enrolled}"
            self.out.add("AUD-21", path, f"{seen}; {said}")
        if revoked is not None and revoked <= (day if by is None else by):
            self.out.add("AUD-21", path, f"{seen}; its author was revoked on day {revoked}")
        elif revoked is not None and by is None:
            self.counts.unattested += 1


@dataclass(frozen=True, slots=True)
class _Author:
    """An author key and what the policy says of it; ``tag`` stands for it in rows."""

    key: bytes
    tag: bytes
    issuer: Issuer | None
    runs_node: bool
    revoked: int | None


def fallen(index: int, day: int, before: int) -> str:
    """Return what is said of an entry whose day is earlier than that of one before it."""
    return f"entry {index}: of day {day}, after an entry of day {before}"


def _among(index: int, sample: Sequence[int]) -> bool:
    place = bisect_left(sample, index)
    return place < len(sample) and sample[place] == index


def _remember(memo: dict[str, T], text: str, value: T) -> T:
    """Keep a value whose text was checked; a peer may send any number of them."""
    if len(memo) >= MEMO_MAX:
        memo.clear()
    memo[text] = value
    return value
