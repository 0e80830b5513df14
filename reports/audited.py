"""What an audit found, as a table for people, Markdown, JSON, SARIF 2.1.0 or JUnit XML.

Every form is written from one report and one verdict, which were made before.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from urllib.parse import quote
from xml.etree import ElementTree

from qisguard import __version__
from qisguard.audit.auditor import AuditReport, TrailReport
from qisguard.audit.findings import CHECKS, Finding, Severity
from qisguard.exits import Exit

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}


def as_table(report: AuditReport, end: Exit) -> str:
    """Return what a person reads in a terminal."""
    lines: list[str] = []
    for trail in report.trails:
        lines += [*_describe_trail(trail), ""]
    for found in report.findings:
        lines += [
            f"{found.severity} {found.id} {_place(found)}",
            f"  {found.summary}",
            f"  what to do: {found.remedy}",
            "",
        ]
    for title, rows in _open_questions(report):
        lines += [f"{title}:", *(f"  - {row}" for row in rows), ""]
    return "\n".join([*lines, *_describe_verdict(report, end)])


def as_markdown(report: AuditReport, end: Exit) -> str:
    """Return the same as a page."""
    verdict, *following = _describe_verdict(report, end)
    lines = ["# Audit", "", f"**{_mark(verdict)}**", *(_mark(line) for line in following), ""]
    head = ("trail", "origin", "entries", "root holds", "signed", "signatures checked")
    rows = [
        (
            trail.path,
            trail.origin or "no readable checkpoint",
            "" if trail.size is None else str(trail.size),
            "yes" if trail.is_whole else "no",
            "yes" if trail.is_signed else "no",
            str(trail.signatures_checked),
        )
        for trail in report.trails
    ]
    lines += _mark_table(head, rows)
    if report.findings:
        lines += ["", "## Findings", ""]
        found = [(f.severity, f.id, _place(f), f.summary, f.remedy) for f in report.findings]
        lines += _mark_table(("severity", "check", "where", "what", "what to do"), found)
    for title, questions in _open_questions(report):
        lines += ["", f"## {title.capitalize()}", "", *(f"- {_mark(row)}" for row in questions)]
    return "\n".join([*lines, ""])


def as_json(report: AuditReport, end: Exit) -> str:
    """Return one JSON object with everything."""
    value = {
        "schema": "qisguard.audit/v1",
        "verdict": end.name.lower(),
        "exit": int(end),
        **asdict(report),
    }
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_sarif(report: AuditReport, end: Exit) -> str:
    """Return a SARIF 2.1.0 log with one run; what was not measured is a notification."""
    ids = list(CHECKS)
    rules = [
        {
            "id": id_,
            "shortDescription": {"text": check.title},
            "fullDescription": {"text": check.explanation},
            "help": {"text": check.remedy},
            "defaultConfiguration": {"level": _LEVELS[check.severity]},
        }
        for id_, check in CHECKS.items()
    ]
    results = [
        {
            "ruleId": found.id,
            "ruleIndex": ids.index(found.id),
            "level": _LEVELS[found.severity],
            "message": {"text": f"{found.summary}. What to do: {found.remedy}."},
            "locations": [
                {"physicalLocation": {"artifactLocation": {"uri": quote(_place(found))}}}
            ],
        }
        for found in report.findings
    ]
    said = [("warning", row) for row in report.not_measured]
    said += [("note", row) for row in report.not_covered]
    run = {
        "tool": {"driver": {"name": "qisguard", "version": __version__, "rules": rules}},
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": int(end),
                "toolExecutionNotifications": [
                    {"level": level, "message": {"text": text}} for level, text in said
                ],
            }
        ],
        "results": results,
        "properties": {"verdict": end.name.lower()},
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def as_junit(report: AuditReport, end: Exit) -> str:
    """Return JUnit XML: a case for each check, and one for what could not be measured."""
    suite = ElementTree.Element("testsuite", name="qisguard audit")
    for id_, check in CHECKS.items():
        case = ElementTree.SubElement(suite, "testcase", classname=id_, name=check.title)
        for found in (found for found in report.findings if found.id == id_):
            failure = ElementTree.SubElement(case, "failure", message=found.summary, type=id_)
            failure.text = f"{_place(found)}: {found.summary}. What to do: {found.remedy}."
    case = ElementTree.SubElement(
        suite, "testcase", classname="verdict", name="everything required was measured"
    )
    for row in report.not_measured:
        ElementTree.SubElement(case, "error", message=row, type="not measured")
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(sum(1 for one in suite if one.find("failure") is not None)))
    suite.set("errors", str(sum(1 for one in suite if one.find("error") is not None)))
    properties = ElementTree.Element("properties")
    for name, value in (("verdict", end.name.lower()), ("exit", str(int(end)))):
        ElementTree.SubElement(properties, "property", name=name, value=value)
    suite.insert(0, properties)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


FORMS: dict[str, Callable[[AuditReport, Exit], str]] = {
    "table": as_table,
    "json": as_json,
    "sarif": as_sarif,
    "junit": as_junit,
    "markdown": as_markdown,
}


def _place(found: Finding) -> str:
    return f"{found.trail}/{found.file}" if found.file else found.trail


def _open_questions(report: AuditReport) -> list[tuple[str, Sequence[str]]]:
    both: list[tuple[str, Sequence[str]]] = [
        ("could not be measured", report.not_measured),
        ("not covered by any verdict here", report.not_covered),
    ]
    return [(title, rows) for title, rows in both if rows]


def _describe_trail(trail: TrailReport) -> list[str]:
    if trail.origin is None:
        return [f"trail {trail.path}", "  no readable checkpoint"]
    signed = "signed by a key of the policy" if trail.is_signed else "origin NOT verified"
    whole = "recomputed from the entries, equal" if trail.is_whole else "NOT confirmed"
    unopened = f", {trail.packets_unopened} not opened" if trail.packets_unopened else ""
    return [
        f"trail {trail.path}",
        f"  origin   {trail.origin} ({signed})",
        f"  root     {trail.root} ({whole})",
        f"  entries  {trail.size}: {trail.publish_count} publish, {trail.hold_count} hold "
        f"({trail.held_packet_count} packets), {trail.fetch_count} fetch "
        f"({trail.fetched_packet_count} packets)",
        f"  packets  {trail.packets_present} present, {trail.packets_absent} absent{unopened}, "
        f"{trail.signatures_checked} signatures checked",
    ]


def _describe_verdict(report: AuditReport, end: Exit) -> list[str]:
    if report.findings:
        check = report.findings[0].id
        count = len(report.findings)
        words = "1 finding stands" if count == 1 else f"{count} findings stand"
        return [f"verdict: {words} (exit {end})", f"next: qisguard audit explain {check}"]
    if not report.has_policy:
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


def _mark(text: str) -> str:
    """Return text that Markdown shows as it is: names in it are somebody else's."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!&~$" else char for char in text)


def _mark_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(_mark(cell) for cell in row)} |" for row in rows]
