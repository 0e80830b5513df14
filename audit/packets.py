"""What is in a log: entries, the packets that they name, and who may have published them.

Packet files may be erased: an absent one is counted, never a finding. A present one must be exactly
what its entry names, genuine, of this network, and by an author whose issuer runs this node.
"""

import os
import re
from dataclasses import dataclass, field
from hashlib import sha256

from qisguard.audit.findings import Findings, printable
from qisguard.audit.folder import Folder, is_regular
from qisguard.audit.policy import Policy
from qisguard.errors import DecodeError, IdentityError, ProofError, RecordError
from qisguard.identity.ids import to_bytes
from qisguard.identity.keys import SIGNATURE_SIZE, check_enrollable, from_text
from qisguard.outcomes.packet import PACKET_SIZE_MAX, OutcomePacket, open_packet
from qisguard.trail.entries import Fetch, Hold, Publish, decode_entry
from qisguard.trail.log import packet_path
from qisguard.trail.merkle import HASH_SIZE

_GROUP = re.compile("[0-9a-f]{2}", re.ASCII)
_NAME = re.compile("[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One published packet: who numbered what, and where the log says so."""

    author: bytes
    case: bytes
    seq: int
    body: bytes
    day: int
    index: int
    file: str


@dataclass(slots=True)
class Contents:
    """Reads the entries of one log in order; ``node`` is the last part of the log's origin."""

    folder: Folder
    policy: Policy | None
    node: str
    out: Findings
    publish_count: int = 0
    hold_count: int = 0
    fetch_count: int = 0
    held_packet_count: int = 0
    fetched_packet_count: int = 0
    present_count: int = 0
    absent_count: int = 0
    signature_count: int = 0
    sightings: list[Sighting] = field(default_factory=list)
    _named: dict[bytes, int] = field(default_factory=dict)
    _day: int = 0

    def read_entry(self, index: int, data: bytes, bundle: str) -> None:
        """Check one entry and the packet that it names."""
        try:
            entry = decode_entry(data)
        except (DecodeError, RecordError) as error:
            self.out.add("AUD-20", bundle, f"entry {index}: {error}")
            return
        if entry.day < self._day:
            self.out.add(
                "AUD-22",
                bundle,
                f"entry {index}: of day {entry.day}, after an entry of day {self._day}",
            )
        self._day = max(self._day, entry.day)
        match entry:
            case Publish():
                self.publish_count += 1
                self._read_publish(index, entry, bundle)
            case Hold():
                self.hold_count += 1
                self.held_packet_count += entry.count
            case Fetch():
                self.fetch_count += 1
                self.fetched_packet_count += entry.count

    def _read_publish(self, index: int, entry: Publish, bundle: str) -> None:
        digest = from_text(entry.digest, HASH_SIZE)
        if digest in self._named:
            self.out.add(
                "AUD-22",
                bundle,
                f"entry {index}: replays the packet that entry {self._named[digest]} published",
            )
            return
        self._named[digest] = index
        path = packet_path(digest)
        data = self.folder.read(path, PACKET_SIZE_MAX)
        if data is None:
            self.absent_count += 1
            return
        self.present_count += 1
        if sha256(data).digest() != digest:
            self.out.add("AUD-20", path, f"content is not what entry {index} names by digest")
            return
        try:
            packet = open_packet(data)
            check_enrollable(packet.author)
        except (DecodeError, RecordError, ProofError, IdentityError) as error:
            self.out.add("AUD-20", path, f"named by entry {index}: {error}")
            return
        self.signature_count += 1
        body = data[:-SIGNATURE_SIZE]
        self.sightings.append(
            Sighting(
                packet.author,
                packet.case,
                packet.body.seq,
                sha256(body).digest(),
                entry.day,
                index,
                path,
            )
        )
        self._check_claims(index, entry, packet, path)
        self._check_author(index, entry, packet, path)

    def _check_claims(self, index: int, entry: Publish, packet: OutcomePacket, path: str) -> None:
        """Report a packet that contradicts its entry, its network or the calendar (AUD-22)."""
        body = packet.body
        for name, said, is_so in (("seq", entry.seq, body.seq), ("key", entry.key, body.key)):
            if said is not None and said != is_so:
                self.out.add("AUD-22", path, f"{name} = {is_so}, but entry {index} says {said}")
        if not body.day <= entry.day <= body.exp:
            self.out.add(
                "AUD-22",
                path,
                f"valid from day {body.day} to {body.exp}, but published on day {entry.day} by "
                f"entry {index}",
            )
        network = self.policy.network if self.policy else None
        if network is not None and packet.network != network.id:
            self.out.add("AUD-22", path, f"is of another network than {printable(network.name)!r}")

    def _check_author(self, index: int, entry: Publish, packet: OutcomePacket, path: str) -> None:
        """Report an author who is nobody's, or not of the issuer that runs this node (AUD-21)."""
        roster = self.policy.roster if self.policy else None
        if roster is None:
            return
        issuer = roster.by_author.get(packet.author)
        if issuer is None:
            self.out.add("AUD-21", path, f"author {packet.body.author} is not on the roster")
            return
        name = printable(issuer.name)
        if all(to_bytes(node).hex()[:16] != self.node for node in issuer.nodes):
            self.out.add(
                "AUD-21", path, f"author is of issuer {name!r}, which does not run node {self.node}"
            )
        if issuer.enrolled > entry.day:
            self.out.add(
                "AUD-21",
                path,
                f"published on day {entry.day} by entry {index}; issuer {name!r} was enrolled on "
                f"day {issuer.enrolled}",
            )

    def check_files(self) -> None:
        """Report what lies below ``packets/`` and is named by no entry."""
        if not self.folder.has("packets"):
            return
        groups = {digest[:1].hex() for digest in self._named}
        for group in self.folder.entries("packets"):
            path = f"packets/{group.name}"
            if not group.is_dir(follow_symlinks=False):
                self.out.add("AUD-12", printable(path), "does not belong in a trail")
            elif not _GROUP.fullmatch(group.name) or group.name not in groups:
                self.out.add("AUD-12", printable(path), "is a folder that no entry implies")
            else:
                for entry in self.folder.entries(path):
                    self._check_file(entry, f"{path}/{entry.name}")

    def _check_file(self, entry: "os.DirEntry[str]", path: str) -> None:
        size = is_regular(self.folder, entry, path, self.out)
        if size is None:
            return
        named = _NAME.fullmatch(entry.name) and bytes.fromhex(entry.name) in self._named
        if not named or packet_path(bytes.fromhex(entry.name)) != path:
            self.out.add("AUD-12", printable(path), "is named by no publish entry")
        elif size > PACKET_SIZE_MAX:
            self.out.add("AUD-12", path, f"{size} bytes, at most {PACKET_SIZE_MAX}")
