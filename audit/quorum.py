"""Trusted logs, witnesses and their quorum, in the form that others use (C2SP tlog-policy).

``log <vkey> [<url>]``, ``witness <name> <vkey> [<url>]``, ``group <name> all|any|<k> <name>…`` and
one ``quorum <name>|none``; names of witnesses and groups mean nothing outside the file.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from qisguard.errors import QisguardError, ScenarioError
from qisguard.trail.checkpoint import LogKey, parse_vkey
from qisguard.trail.cosignature import WitnessKey, parse_witness_vkey

NAME_COUNT_MAX = 1024
"""Logs, witnesses and groups in one file; the specification wants at least 32 of each."""
NONE = "none"
_NUMBER = re.compile("[1-9][0-9]{0,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Group:
    """At least ``least`` of ``members``, which are witnesses or groups by name."""

    least: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quorum:
    """Whose cosignatures make a checkpoint valid; ``name`` is None when nobody's are needed."""

    name: str | None = None
    witnesses: Mapping[str, WitnessKey] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)

    def is_met(self, cosigners: Collection[WitnessKey]) -> bool:
        """Return whether these witnesses are enough."""
        return self.name is None or self._has(self.name, cosigners)

    def _has(self, name: str, cosigners: Collection[WitnessKey]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return self.witnesses[name] in cosigners
        return sum(self._has(member, cosigners) for member in group.members) >= group.least

    def describe(self) -> str:
        """Return what is wanted, in words."""
        group = self.groups.get(self.name or "")
        if group is None:
            return f"witness {self.name}"
        return f"{group.least} of {', '.join(group.members)}"


@dataclass(slots=True)
class _Reading:
    """What was read so far; ``used`` are names that are a member already."""

    logs: list[LogKey] = field(default_factory=list)
    witnesses: dict[str, WitnessKey] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    quorums: list[str] = field(default_factory=list)

    def knows(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups


def parse_logs(data: bytes) -> tuple[tuple[LogKey, ...], Quorum]:
    """Return the logs of a tlog-policy file, and its quorum.

    Raises:
        ScenarioError: what is wrong in which line.
    """
    for number, line in enumerate(data.split(b"\n"), 1):
        if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in line):
            raise ScenarioError(f"line {number}: holds a control character")
    rows = data.decode(errors="surrogateescape").split("\n")
    if rows.pop():
        raise ScenarioError(f"line {len(rows) + 1}: does not end in a newline")
    read = _Reading()
    for number, row in enumerate(rows, 1):
        words = [word for word in row.replace("\t", " ").split(" ") if word]
        if not words or words[0].startswith("#"):
            continue
        try:
            _read_line(read, words)
        except QisguardError as error:
            raise ScenarioError(f"line {number}: {error}") from None
        if len(read.logs) + len(read.witnesses) + len(read.groups) > NAME_COUNT_MAX:
            raise ScenarioError(f"line {number}: more than {NAME_COUNT_MAX} names")
    if len(read.quorums) != 1:
        raise ScenarioError(f"{len(read.quorums)} quorum lines, must be exactly one")
    if not read.logs:
        raise ScenarioError("names no log")
    name = None if read.quorums == [NONE] else read.quorums[0]
    return tuple(read.logs), Quorum(name, read.witnesses, read.groups)


def _read_line(read: _Reading, words: list[str]) -> None:
    match words:
        case ["log", vkey] | ["log", vkey, _]:
            key = parse_vkey(vkey)
            if any(key.public == other.public for other in read.logs):
                raise ScenarioError("this log key is listed twice")
            read.logs.append(key)
        case ["witness", name, vkey] | ["witness", name, vkey, _]:
            witness = parse_witness_vkey(vkey)
            if any(witness.public == other.public for other in read.witnesses.values()):
                raise ScenarioError("this witness key is listed twice")
            _check_new(read, name)
            read.witnesses[name] = witness
        case ["group", name, least, *members] if members:
            _check_new(read, name)
            read.groups[name] = _read_group(read, least, members)
        case ["quorum", name]:
            if name != NONE and not read.knows(name):
                raise ScenarioError(f"quorum {name[:60]!r} was not defined before")
            read.quorums.append(name)
        case _:
            forms = "log <vkey>, witness <name> <vkey>, group <name> <k> <name>…, quorum <name>"
            raise ScenarioError(f"{' '.join(words)[:60]!r} is none of {forms}")


def _read_group(read: _Reading, least: str, members: list[str]) -> Group:
    for member in members:
        if not read.knows(member):
            raise ScenarioError(f"member {member[:60]!r} was not defined before")
        if member in read.used:
            raise ScenarioError(f"member {member[:60]!r} is listed twice, here or in another group")
        read.used.add(member)
    count = {"all": len(members), "any": 1}.get(least)
    if count is None:
        count = int(least) if _NUMBER.fullmatch(least) else 0
    if not 1 <= count <= len(members):
        raise ScenarioError(f"{least[:20]!r} of {len(members)} members, must be all, any or 1 to n")
    return Group(count, tuple(members))


def _check_new(read: _Reading, name: str) -> None:
    if name == NONE or read.knows(name):
        raise ScenarioError(f"name {name[:60]!r} is taken")
