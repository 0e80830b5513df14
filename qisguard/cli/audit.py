"""``qisguard audit``: verify trails offline, and say in words what the verdict means."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:  # ``--help`` must not load cryptography
    from qisguard.audit.auditor import AuditReport, TrailReport
    from qisguard.audit.findings import Finding
    from qisguard.exits import Exit

Paths = Annotated[
    list[Path] | None, typer.Argument(metavar="PATH...", help="Folders of trails to verify.")
]
Trust = Annotated[
    Path | None,
    typer.Option(help="Trust policy, a folder or a file of log keys, from outside the trails."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Explain = Annotated[
    str | None, typer.Option(metavar="AUD-NN", help="Say what a check means, and what to do.")
]


def audit(
    paths: Paths = None, trust: Trust = None, as_json: AsJson = False, explain: Explain = None
) -> None:
    """Verify audit trails offline: signatures, tree, packets, authors, order.

    Exits 0 when all that the policy requires was checked and holds, 1 on a finding, 2 when the
    arguments or the policy cannot be used, 3 when nothing is false but something could not be
    checked, such as the origin without --trust.
    """
    if explain is not None:
        _explain(explain)
        return
    if not paths:
        _refuse("QE-400", "no trail given", "qisguard audit PATH --trust POLICY")

    from qisguard.audit import auditor
    from qisguard.audit.policy import load_policy
    from qisguard.errors import QisguardError

    try:
        auditor.check_arguments(paths, trust)
        policy = None if trust is None else load_policy(trust)
    except QisguardError as error:
        _refuse(error.code, str(error), "qisguard audit --help")
    except OSError as error:
        _refuse("QE-400", f"{error.filename}: {error.strerror}", f"ls -ld {error.filename}")
    report = auditor.audit(paths, policy)
    end = auditor.verdict(report)
    if as_json:
        typer.echo(_as_json(report, end))
    else:
        typer.echo("\n".join(_as_text(report, end, has_policy=policy is not None)))
    raise typer.Exit(end)


def _explain(check: str) -> None:
    from qisguard.audit.findings import CHECKS

    found = CHECKS.get(check.upper())
    if found is None:
        known = ", ".join(CHECKS)
        _refuse(
            "QE-400", f"no check {check!r}; there are {known}", "qisguard audit --explain AUD-13"
        )
    typer.echo(f"{check.upper()} ({found.severity}): {found.title}\n")
    typer.echo(f"{found.explanation}\n\nWhat to do: {found.remedy}.")


def _refuse(code: str, what: str, command: str) -> NoReturn:
    from qisguard.audit.findings import printable

    typer.echo(f"{code} {printable(what, 4096)}\ntry: {printable(command, 4096)}", err=True)
    raise typer.Exit(2)


def _as_json(report: "AuditReport", end: "Exit") -> str:
    from dataclasses import asdict

    value = {
        "schema": "qisguard.audit/v1",
        "verdict": end.name.lower(),
        "exit": int(end),
        **asdict(report),
    }
    return json.dumps(value, indent=2, ensure_ascii=False)


def _as_text(report: "AuditReport", end: "Exit", *, has_policy: bool) -> list[str]:
    lines: list[str] = []
    for trail in report.trails:
        lines += [*_describe_trail(trail), ""]
    for found in report.findings:
        lines += _describe_finding(found)
    for title, rows in (
        ("could not be measured:", report.not_measured),
        ("not covered by any verdict here:", report.not_covered),
    ):
        if rows:
            lines += [title, *(f"  - {row}" for row in rows), ""]
    return [*lines, *_describe_verdict(report, end, has_policy)]


def _describe_trail(trail: "TrailReport") -> list[str]:
    if trail.origin is None:
        return [f"trail {trail.path}", "  no readable checkpoint"]
    signed = "signed by a key of the policy" if trail.is_signed else "origin NOT verified"
    whole = "recomputed from the entries, equal" if trail.is_whole else "NOT confirmed"
    return [
        f"trail {trail.path}",
        f"  origin   {trail.origin} ({signed})",
        f"  root     {trail.root} ({whole})",
        f"  entries  {trail.size}: {trail.publish_count} publish, {trail.hold_count} hold "
        f"({trail.held_packet_count} packets), {trail.fetch_count} fetch "
        f"({trail.fetched_packet_count} packets)",
        f"  packets  {trail.packets_present} present, {trail.packets_absent} absent, "
        f"{trail.signatures_checked} signatures checked",
    ]


def _describe_finding(found: "Finding") -> list[str]:
    place = f"{found.trail}/{found.file}" if found.file else found.trail
    return [
        f"{found.severity} {found.id} {place}",
        f"  {found.summary}",
        f"  what to do: {found.remedy}",
        "",
    ]


def _describe_verdict(report: "AuditReport", end: "Exit", has_policy: bool) -> list[str]:
    if report.findings:
        check = report.findings[0].id
        count = len(report.findings)
        words = "1 finding stands" if count == 1 else f"{count} findings stand"
        return [f"verdict: {words} (exit {end})", f"next: qisguard audit --explain {check}"]
    if not has_policy:
        return [
            f"verdict: nothing wrong found, origin unverified (exit {end})",
            "next: qisguard audit PATH --trust POLICY",
        ]
    if report.not_measured:
        return [
            f"verdict: nothing wrong found, but not everything could be measured (exit {end})",
            "next: fetch what is missing, then audit again",
        ]
    return [f"verdict: clean; everything that the policy requires holds (exit {end})"]
