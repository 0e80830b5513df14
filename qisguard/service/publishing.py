"""From a file of cases to packets on replicas, and what became of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qisguard.errors import RecordError, ServiceError
from qisguard.exits import Exit
from qisguard.identity.keys import to_text
from qisguard.outcomes.packet import OutcomePacket
from qisguard.outcomes.template import Template
from qisguard.service import identities
from qisguard.service.asks import KEYS_MAX, PACKETS_MAX, Control, Found, KeyPublished
from qisguard.service.casebook import Casebook, Prepared
from qisguard.service.cases import LineError, read_cases
from qisguard.service.clock import CALENDAR, RealTime
from qisguard.service.config import ServiceConfig
from qisguard.service.opening import open_network_file, open_roster_file

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Report:
    """What publishing one file did.

    Attributes:
        lines: lines that fit.
        errors: lines that did not, which were left out.
        new: packets signed now; ``again``: signed before, sent again as the same bytes; ``stored``:
            acknowledged before by every replica, not sent; ``tombstones``: among those that were
            sent, the ones of cases that moved to another key.
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
    errors: list[LineError] = field(default_factory=list)
    new: int = 0
    again: int = 0
    stored: int = 0
    tombstones: int = 0
    replicas: int = 0
    acknowledged: int = 0
    wanted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def end(self) -> Exit:
        """Return the exit code: 3 when a packet is nowhere, 1 when lines were left out."""
        if self.missing:
            return Exit.NOT_MEASURED
        if self.errors:
            return Exit.FINDING if self.lines else Exit.USAGE
        return Exit.CLEAN

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {"schema": "qisguard.publish/v1", **asdict(self), "exit": int(self.end)}


def publish_file(
    path: Path,
    template: Template,
    key_file: Path,
    config: ServiceConfig,
    *,
    strict: bool,
    first: bool,
    progress: Progress,
) -> Report:
    """Publish the cases of a file through the running node of ``config``.

    Args:
        path: CSV or JSON lines.
        template: what the columns mean.
        key_file: the author key; its casebook lies beside it.
        config: of the node to go through.
        strict: publish nothing unless every line fits.
        first: the author has never published, so there is nothing to ask the network about.
        progress: told how many packets are done, of how many.

    Raises:
        QisguardError: nothing was published; or the node went away in between, and the same
            command goes on where it stopped.
    """
    author = identities.load_key(key_file)
    network = open_network_file(config)
    roster = open_roster_file(config, network)
    issuer = roster.by_author.get(author.public) if roster else None
    report = Report(template.id, to_text(author.public), issuer.name if issuer else "none")
    if roster and not issuer:
        report.notes.append("the author is not on the roster: its cases count for issuer none")
    sheet = read_cases(path, template)
    report.lines, report.errors = len(sheet.cases), sheet.errors
    if not sheet.cases or (strict and sheet.errors):
        if strict and sheet.errors:
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
            found = book.adopt(_ask_network(control, template, [c.key for c in sheet.cases]))
            report.notes.append(f"new casebook {book.path}: the network held {found} packets")
        prepared = book.prepare(sheet.cases, template, today)
        to_send = [row for row in prepared if not row.is_stored]
        report.stored = len(prepared) - len(to_send)
        report.new = sum(row.is_new for row in to_send)
        report.again = len(to_send) - report.new
        report.tombstones = sum(row.packet.body.gone for row in to_send)
        book.mark_stored(_send(control, to_send, report, progress))
    return report


def _ask_network(
    control: Control, template: Template, keys: Sequence[bytes]
) -> list[OutcomePacket]:
    """Return every packet under the template's keys, or under these where it has too many.

    Raises:
        ServiceError: nobody answered for some key, so that old numbers might be taken again.
    """
    try:
        wanted = list(template.expand({}))
    except RecordError:
        wanted = sorted(set(keys))
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


def _send(
    control: Control, prepared: Sequence[Prepared], report: Report, progress: Progress
) -> list[OutcomePacket]:
    """Hand the packets to the node and count what became of them; return those stored everywhere.

    Tombstones go first: in the node's trail the numbers of a case must rise.
    """
    ordered = sorted(prepared, key=lambda row: (not row.packet.body.gone, row.packet.key))
    refused: Counter[str] = Counter()
    rows: list[KeyPublished] = []
    for at in range(0, len(ordered), PACKETS_MAX):
        batch = [row.packet for row in ordered[at : at + PACKETS_MAX]]
        rows += control.publish(batch)
        progress("packets", at + len(batch), len(ordered))
    for row in rows:
        report.acknowledged += row.acknowledged
        report.wanted += row.packets * row.replicas
        refused.update(row.refused)
    report.replicas = min((row.replicas for row in rows), default=0)
    report.refused = dict(sorted(refused.items()))
    short = {r.key for r in rows if r.acknowledged < r.packets * r.replicas or not r.replicas}
    if short:
        report.missing = _missing(control, [r for r in ordered if to_text(r.packet.key) in short])
    return [row.packet for row in ordered if to_text(row.packet.key) not in short]


def _missing(control: Control, doubtful: Sequence[Prepared]) -> list[int]:
    """Return the lines of packets that no replica lists; acknowledgements are counted by key."""
    keys = sorted({row.packet.key for row in doubtful})
    held: set[bytes] = set()
    for at in range(0, len(keys), KEYS_MAX):
        held |= {p.digest for p in control.retrieve(keys[at : at + KEYS_MAX]).packets}
    return sorted({row.line for row in doubtful if row.packet.digest not in held})
