"""``qisguard publish``: outcome packets from CSV or JSON lines, through a running node."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qisguard.cli.words import echo_json, table
from qisguard.exits import Exit

if TYPE_CHECKING:
    from qisguard.service.publishing import Report

ERRORS_SHOWN = 20

File = Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header, or JSON lines.")]
TemplateName = Annotated[
    str, typer.Option("--template", metavar="T", help="Packaged template, or a path.")
]
Author = Annotated[Path, typer.Option(metavar="KEY", help="Key file of the author who signs.")]
Node = Annotated[Path | None, typer.Option(metavar="CONFIG", help="Go through this node.")]
Net = Annotated[Path | None, typer.Option(metavar="DIR", help="Go through a node of a local net.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Strict = Annotated[bool, typer.Option("--strict", help="Publish nothing unless every line fits.")]
First = Annotated[
    bool, typer.Option("--first", help="This author never published: do not ask the network.")
]


def publish(
    file: File,
    template: TemplateName,
    author: Author,
    node: Node = None,
    net: Net = None,
    strict: Strict = False,
    first: First = False,
    as_json: AsJson = False,
) -> None:
    """Publish cases through a running node: read, sign here, store on replicas.

    Exits 0 when everything is stored, 1 when lines were left out and the rest is stored, 2 when
    nothing could be published as written, 3 when a packet is on no replica or no node is running.
    """
    from qisguard.cli.progress import Progress
    from qisguard.errors import ServiceError
    from qisguard.service.opening import open_lineage
    from qisguard.service.places import config_of
    from qisguard.service.publishing import publish_file

    try:
        config = config_of(node, net, os.environ, author)
        with Progress("publish") as progress:
            report = publish_file(
                file,
                open_lineage(template, Path()),
                author,
                config,
                strict=strict,
                first=first,
                progress=progress.update,
            )
    except ServiceError as error:
        typer.echo(f"{error.code} {error}\ntry: qisguard node status CONFIG", err=True)
        raise typer.Exit(Exit.NOT_MEASURED) from None
    for wrong in report.errors[:ERRORS_SHOWN]:
        typer.echo(f"{file}: {wrong}", err=True)
    if report.left_out > ERRORS_SHOWN:
        more = report.left_out - ERRORS_SHOWN
        typer.echo(f"{file}: {more} more lines do not fit; --json lists up to 1000", err=True)
    if as_json:
        echo_json(report.as_json())
    else:
        typer.echo(_as_text(report))
    raise typer.Exit(report.end)


def _as_text(report: "Report") -> str:
    share = f"{report.acknowledged} of {report.wanted}"
    rows = [
        ["template", report.template],
        ["author", f"{report.author} (issuer {report.issuer})"],
        ["lines", f"{report.lines} published, {report.left_out} left out"],
        [
            "packets",
            f"{report.new} new, {report.again} sent again, {report.stored} stored before, "
            f"{report.tombstones} tombstones",
        ],
        ["replicas", f"{report.replicas} for each packet, or more"],
        ["acknowledged", f"{share} (packet, replica) pairs"],
        *(["refused", f"{count} {reason}"] for reason, count in report.refused.items()),
        *(["note", note] for note in report.notes),
    ]
    if report.missing:
        lines = ", ".join(map(str, report.missing[:ERRORS_SHOWN]))
        rows.append(["NOT STORED", f"{len(report.missing)} lines, on no replica: {lines}"])
    return table(rows)
