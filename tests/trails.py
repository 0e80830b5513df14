"""Small networks with real keys, rosters, signed packets and trails, for the audit tests."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from qisguard.audit.auditor import AuditReport
from qisguard.audit.policy import write_policy
from qisguard.identity.ids import NodeId, node_id
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network, seal_network
from qisguard.identity.roster import Issuer, Roster, seal_roster
from qisguard.outcomes.packet import Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.trail.checkpoint import LogKey, origin_of
from qisguard.trail.entries import Entry, fetch, hold, publish
from qisguard.trail.files import MemoryFiles
from qisguard.trail.log import Trail

TODAY = 20_000


def key(name: str) -> KeyPair:
    """Return the key pair that a name determines."""
    return KeyPair.from_seed(sha256(name.encode()).digest())


@dataclass
class Member:
    """A node, its log key, and the author key of its issuer."""

    node: NodeId
    log: KeyPair
    author: KeyPair
    origin: str


@dataclass
class Net:
    """A network with an authority and two issuers of one node each."""

    name: str = "test"
    authority: KeyPair = field(default_factory=lambda: key("authority"))

    @property
    def network(self) -> Network:
        """The network file's content."""
        return Network(self.name, self.authority.public, bytes(32), 0, 0)

    def member(self, name: str) -> Member:
        """Return node, log key and author key of issuer ``name``."""
        node = node_id(key("node " + name).public)
        origin = origin_of(self.network.id, node)
        return Member(node, key("log " + name), key("author " + name), origin)

    def roster(self, names: Iterable[str] = ("a", "b"), enrolled: int = TODAY - 100) -> Roster:
        """Return the roster of these issuers."""
        members = {name: self.member(name) for name in names}
        issuers = tuple(
            Issuer(name, enrolled, (member.author.public,), (member.node,))
            for name, member in members.items()
        )
        return Roster(self.network.id, 1, issuers)

    def packet(
        self,
        author: KeyPair,
        case: int,
        *,
        seq: int = 0,
        day: int = TODAY - 5,
        exp: int = TODAY + 500,
        time: int = 100,
    ) -> OutcomePacket:
        """Return a signed packet about case number ``case``."""
        return sign_packet(
            packet_body(
                network=self.network.id,
                template="nsclc/1",
                key=sha256(b"similar").digest(),
                case=case.to_bytes(16, "big"),
                author=author.public,
                seq=seq,
                day=day,
                exp=exp,
                arm="A",
                outcome=Outcome.after(time, 1),
                feat={"age": 61},
            ),
            author,
        )

    def write_policy(
        self, folder: Path, roster: Roster | None = None, **checkpoints: bytes
    ) -> Path:
        """Write the policy that trusts the logs of both members; return its folder."""
        logs = [LogKey(self.member(n).origin, self.member(n).log.public) for n in ("a", "b")]
        write_policy(
            folder,
            logs,
            authority=self.authority.public,
            network=seal_network(self.network, self.authority),
            roster=seal_roster(roster or self.roster(), self.authority),
            checkpoints=checkpoints,
        )
        return folder


def published(packet: OutcomePacket, day: int = TODAY) -> tuple[Entry, tuple[bytes, ...]]:
    """Return the entry for a packet, with its bytes."""
    return publish(day, packet.data, seq=packet.body.seq), (packet.data,)


def ordinary(net: Net, member: Member, count: int) -> list[tuple[Entry, tuple[bytes, ...]]]:
    """Return ``count`` publications, then a held and a fetched batch."""
    items = [published(net.packet(member.author, case)) for case in range(count)]
    digests = [sha256(bytes([n])).digest() for n in range(3)]
    return [*items, (hold(TODAY, digests), ()), (fetch(TODAY + 1, bytes(32), digests), ())]


def write_trail(
    folder: Path,
    member: Member,
    items: Iterable[tuple[Entry, tuple[bytes, ...]]],
    *,
    log: KeyPair | None = None,
    checkpoint_at: Collection[int] = (),
) -> Path:
    """Write a trail with these entries, checkpoints after some of them; return its folder."""
    public = MemoryFiles()
    trail = Trail.create(public, MemoryFiles(), member.origin, log or member.log)
    for entry, packets in items:
        trail.append(entry, packets)
        if trail.size in checkpoint_at:
            trail.checkpoint()
    trail.checkpoint()
    public.save(folder)
    return folder


def finding_ids(report: AuditReport) -> set[str]:
    """Return the ids of the checks that found something."""
    return {found.id for found in report.findings}


def paths_in(folder: Path) -> list[str]:
    """Return every file below ``folder``, sorted."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
