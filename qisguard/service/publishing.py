"""From a file of cases to packets on replicas, and what became of them."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from qisguard.errors import ServiceError
from qisguard.exits import Exit
from qisguard.identity.keys import to_text
from qisguard.outcomes.lineage import Lineage
from qisguard.outcomes.packet import OutcomePacket
from qisguard.service import identities
from qisguard.service.asks import KEYS_MAX, PACKETS_MAX, Control, Found, KeyPublished
from qisguard.service.casebook import Casebook, Prepared
from qisguard.service.cases import Case, LineError, Sheet
from qisguard.service.clock import CALENDAR, RealTime
from qisguard.service.config import ServiceConfig
from qisguard.service.keying import secret_of
from qisguard.service.opening import open_network_file, open_roster_file

ERRORS_MAX = 1_000
FOREIGN_KEY = "structure: not a key of this template"
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Report:
    """What publishing one file did.

    Attributes:
        lines: lines that fit.
        left_out: lines that did not; ``errors`` says why, of the first thousand.
        new: packets signed now; ``again``: signed before, sent again as the same bytes; ``stored``:
            acknowledged before by every replica, not sent; ``tombstones``: among those that were
            sent, the ones of cases that moved to another key.
        sent: packets handed to the node.
        replicas: fewest replicas that any packet's key had.
        acknowledged: acknowledgements of ``wanted``: one for each packet and replica.
        refused: acknowledgements that are missing, by reason.
        missing: lines whose packet is on no replica that answered.
        notes: what the reader should know.
    """

    template: str
    author: str
    issuer: str
    lines: int = 0
    left_out: int = 0
    errors: list[LineError] = field(default_factory=list)
    new: int = 0
    again: int = 0
    stored: int = 0
    tombstones: int = 0
    sent: int = 0
    replicas: int = 0
    acknowledged: int = 0
    wanted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def count(self, sheet: Sheet) -> set[bytes]:
        """Count the lines that fit and those that do not; return the keys of the former."""
        keys: set[bytes] = set()
        for row in sheet:
            if isinstance(row, Case):
                self.lines += 1
                keys.add(row.key)
            else:
                self.left_out += 1
                if len(self.errors) < ERRORS_MAX:
                    self.errors.append(row)
        return keys

    @property
    def end(self) -> Exit:
        """Return the exit code: 3 when a packet is nowhere, 1 when lines were left out."""
        if self.missing:
            return Exit.NOT_MEASURED
        if self.left_out:
            return Exit.FINDING if self.lines else Exit.USAGE
        return Exit.CLEAN

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {"schema": "qisguard.publish/v1", **asdict(self), "exit": int(self.end)}


def publish_file(
    path: Path,
    lineage: Lineage,
    key_file: Path,
    config: ServiceConfig,
    *,
    strict: bool,
    first: bool,
    progress: Progress,
) -> Report:
    """Publish the cases of a file through the running node of ``config``.

    The file is read twice: once to count what fits, once to publish it, some cases at a time.

    Args:
        path: CSV or JSON lines.
        lineage: the template that says what the columns mean, and the versions before it.
        key_file: the author key; its casebook lies beside it.
        config: of the node to go through.
        strict: publish nothing unless every line fits.
        first: the author has never published, so there is nothing to ask the network about.
        progress: told how many cases are done, of how many.

    Raises:
        QisguardError: nothing was published; or the node went away in between, and the same
            command goes on where it stopped.
    """
    template = lineage.template
    author = identities.load_key(key_file)
    network = open_network_file(config)
    roster = open_roster_file(config, network)
    secrets = {
        version.id: secret_of(version, config, network, roster)
        for version in (template, *lineage.older)
    }
    issuer = roster.by_author.get(author.public) if roster else None
    report = Report(template.id, to_text(author.public), issuer.name if issuer else "none")
    if roster and not issuer:
        report.notes.append("the author is not on the roster: its cases count for issuer none")
    sheet = Sheet(path, template, secrets[template.id])
    keys = report.count(sheet)
    if not report.lines or (strict and report.left_out):
        if strict and report.left_out:
            report.lines = 0
            report.notes.append("nothing was published: --strict, and some lines do not fit")
        return report
    today = CALENDAR.day(RealTime().now())
    with Control(config.node.state) as control, Casebook(key_file, author, network.id) as book:
        if issuer and int(control.status()["id"], 16) not in issuer.nodes:
            report.notes.append(
                f"this node is none of {issuer.name}'s: an audit of its trail says so (AUD-21)"
            )
        if book.is_empty and not first:
            found = book.adopt(_ask_network(control, _keys_before(lineage, secrets, keys)))
            report.notes.append(f"new casebook {book.path}: the network held {found} packets")
        cases = (row for row in sheet if isinstance(row, Case))
        done = moved = 0
        while batch := list(islice(cases, PACKETS_MAX)):
            prepared = book.prepare(batch, template, today)
            to_send = [row for row in prepared if not row.is_stored]
            gone = [row.packet.body for row in to_send if row.packet.body.gone]
            report.stored += len(prepared) - len(to_send)
            report.new += sum(row.is_new for row in to_send)
            report.again += sum(not row.is_new for row in to_send)
            report.tombstones += len(gone)
            moved += sum(body.tpl != template.id for body in gone)
            book.mark_stored(_send(control, to_send, report))
            done += len(batch)
            progress("cases", done, report.lines)
    if moved:
        report.notes.append(f"{moved} cases moved to {template.id} from an older version")
    if report.refused.get(FOREIGN_KEY) and (secret := secrets[template.id]):
        check = identities.secret_check(secret, network.id).hex()
        report.notes.append(
            f"replicas do not know these keys: the secret here has the check {check}; compare it "
            "with another member's (qisguard template key --node CONFIG shows it)"
        )
    return report


def _keys_before(
    lineage: Lineage, secrets: Mapping[str, bytes | None], keys: Collection[bytes]
) -> list[bytes]:
    """Return the keys under which packets of these cases may have been signed, in any version.

    That is every key of the template, or ``keys`` where it has too many.

    Raises:
        ServiceError: keys of an older version cannot be known.
    """
    template = lineage.template
    listed = template.key_count <= template.expansion_cap
    every = template.cases(secrets[template.id]) if listed else None
    wanted = sorted(keys) if every is None else list(every)
    oldest = (template, *lineage.older)[-1]
    if oldest.version > 1 and oldest.migrates is None:
        raise ServiceError(
            f"the author's casebook is new, and template {oldest.id} does not say what was before "
            "it ([migrates]): what was signed before cannot be asked for, so nothing is signed; "
            "restore the casebook, or say --first if this author has never published"
        )
    for version in lineage.older:
        older = version.cases(secrets[version.id])
        if older is None:
            raise ServiceError(
                f"the author's casebook is new, and template {version.id} has {version.key_count} "
                "keys, too many to ask for: restore the casebook, or say --first if this author "
                "has never published"
            )
        wanted += older
    return wanted


def _ask_network(control: Control, wanted: Sequence[bytes]) -> list[OutcomePacket]:
    """Return every packet under these keys.

    Raises:
        ServiceError: nobody answered for some key, so that old numbers might be taken again.
    """
    found = Found()
    for at in range(0, len(wanted), KEYS_MAX):
        part = control.retrieve(wanted[at : at + KEYS_MAX])
        found.packets += part.packets
        found.keys += part.keys
    silent = sum(row.answered == 0 for row in found.keys)
    if silent:
        raise ServiceError(
            f"the author's casebook is new, and no replica answered for {silent} of {len(wanted)} "
            "keys: what was signed before cannot be known, so nothing is signed; try again, or say "
            "--first if this author has never published"
        )
    return found.packets


def _send(control: Control, prepared: Sequence[Prepared], report: Report) -> list[OutcomePacket]:
    """Hand packets to the node and count what became of them; return those stored everywhere.

    Tombstones go first: in the node's trail the numbers of a case must rise.
    """
    ordered = sorted(prepared, key=lambda row: (not row.packet.body.gone, row.packet.key))
    rows: list[KeyPublished] = []
    for at in range(0, len(ordered), PACKETS_MAX):
        rows += control.publish([row.packet for row in ordered[at : at + PACKETS_MAX]])
    refused = Counter(report.refused)
    for row in rows:
        report.acknowledged += row.acknowledged
        report.wanted += row.packets * row.replicas
        refused.update(row.refused)
    report.refused = dict(sorted(refused.items()))
    fewest = min((row.replicas for row in rows), default=report.replicas)
    report.replicas = min(fewest, report.replicas) if report.sent else fewest
    report.sent += len(ordered)
    short = {r.key for r in rows if r.acknowledged < r.packets * r.replicas or not r.replicas}
    if short:
        doubtful = [row for row in ordered if to_text(row.packet.key) in short]
        report.missing += _missing(control, doubtful)
    return [row.packet for row in ordered if to_text(row.packet.key) not in short]


def _missing(control: Control, doubtful: Sequence[Prepared]) -> list[int]:
    """Return the lines of packets that no replica lists; acknowledgements are counted by key."""
    keys = sorted({row.packet.key for row in doubtful})
    held: set[bytes] = set()
    for at in range(0, len(keys), KEYS_MAX):
        held |= {p.digest for p in control.retrieve(keys[at : at + KEYS_MAX]).packets}
    return sorted({row.line for row in doubtful if row.packet.digest not in held})
