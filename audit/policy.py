"""The trust policy: what an auditor knows from elsewhere, before looking into a trail.

A folder, or one file where only logs are trusted:

- ``logs``: keys of logs in the C2SP tlog-policy form, ``log <vkey>`` lines and ``quorum none``;
- ``authority``: the network authority's Ed25519 key, base64url;
- ``network``, ``roster``: files signed by that authority (all three or none);
- ``revoked``: lines ``<author key> <day>``, base64url and a calendar day: keys that are not
  believed about anything that nobody else saw before that day;
- ``checkpoints/``: signed notes seen earlier, against which no log may have gone back.

Everything in it is checked when it is loaded: a policy with a mistake is no policy.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qisguard.errors import DecodeError, QisguardError, ScenarioError
from qisguard.identity.keys import KEY_SIZE, check_enrollable, from_text, to_text
from qisguard.identity.network import Network, open_network
from qisguard.identity.roster import Roster, open_roster
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    Checkpoint,
    LogKey,
    parse_checkpoint,
    parse_vkey,
    verify_checkpoint,
)

FILE_SIZE_MAX = 4 << 20
_REVOKED = re.compile(r"([A-Za-z0-9_-]{43}) (0|[1-9][0-9]{0,9})", re.ASCII)
_SIGNED = ("authority", "network", "roster")
_NAMES = ("logs", *_SIGNED, "revoked", "checkpoints")


@dataclass(frozen=True, slots=True)
class Policy:
    """Trusted keys and files.

    heads: checkpoints seen earlier, by file name.
    revoked: by author key, the calendar day from which it is not believed.
    """

    logs: tuple[LogKey, ...]
    network: Network | None = None
    roster: Roster | None = None
    heads: tuple[tuple[str, Checkpoint], ...] = ()
    revoked: Mapping[bytes, int] = field(default_factory=dict)


def load_policy(path: Path) -> Policy:
    """Return the policy in a folder, or in one tlog-policy file.

    Raises:
        ScenarioError: it cannot be read, or something in it does not hold; names file and line.
    """
    if not path.is_dir():
        return Policy(_read_logs(path))
    names = sorted(entry.name for entry in path.iterdir())
    if unknown := [name for name in names if name not in _NAMES]:
        raise ScenarioError(
            f"trust policy {path}: {unknown[0]!r} is no part of a policy, which has "
            f"{', '.join(_NAMES)}"
        )
    logs = _read_logs(path / "logs")
    signed = [name for name in _SIGNED if name in names]
    if signed and len(signed) < len(_SIGNED):
        raise ScenarioError(
            f"trust policy {path}: has {', '.join(signed)}; wants all of {', '.join(_SIGNED)}, "
            "or none"
        )
    network = roster = None
    if signed:
        network, roster = _read_signed(path)
    heads = tuple(_read_heads(path / "checkpoints", logs))
    return Policy(logs, network, roster, heads, _read_revoked(path / "revoked"))


def write_policy(
    folder: Path,
    logs: Sequence[LogKey],
    *,
    authority: bytes,
    network: bytes,
    roster: bytes,
    checkpoints: Mapping[str, bytes] | None = None,
) -> None:
    """Write a policy folder; ``network`` and ``roster`` are the signed files."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"log {key.vkey}\n" for key in logs]
    (folder / "logs").write_text("".join([*lines, "quorum none\n"]), "utf-8")
    (folder / "authority").write_text(to_text(authority) + "\n", "ascii")
    (folder / "network").write_bytes(network)
    (folder / "roster").write_bytes(roster)
    for name, note in (checkpoints or {}).items():
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / name).write_bytes(note)


def parse_logs(data: bytes) -> tuple[LogKey, ...]:
    """Return the logs of a tlog-policy file (C2SP tlog-policy).

    Witnesses are refused, not skipped: a quorum that nobody counts would protect nobody.

    Raises:
        ScenarioError: what is wrong in which line.
    """
    for number, line in enumerate(data.split(b"\n"), 1):
        if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in line):
            raise ScenarioError(f"line {number}: holds a control character")
    try:
        rows = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"not UTF-8 at offset {error.start}") from None
    if rows.pop():
        raise ScenarioError(f"line {len(rows) + 1}: does not end in a newline")
    logs: list[LogKey] = []
    quorum = 0
    for number, row in enumerate(rows, 1):
        words = row.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "log" and len(words) in (2, 3):
            try:
                key = parse_vkey(words[1])
            except QisguardError as error:
                raise ScenarioError(f"line {number}: {error}") from None
            if any(key.public == other.public for other in logs):
                raise ScenarioError(f"line {number}: this log key is listed twice")
            logs.append(key)
        elif words == ["quorum", "none"]:
            quorum += 1
        elif words[0] in ("witness", "group", "quorum"):
            raise ScenarioError(
                f"line {number}: {words[0]!r}: witnesses cannot be checked by this version; "
                "use 'quorum none'"
            )
        else:
            raise ScenarioError(f"line {number}: {row[:60]!r} is not 'log <vkey> [<url>]'")
    if quorum != 1:
        raise ScenarioError(f"{quorum} quorum lines, must be exactly one: 'quorum none'")
    if not logs:
        raise ScenarioError("names no log")
    return tuple(logs)


def _read_logs(path: Path) -> tuple[LogKey, ...]:
    data = _read(path, FILE_SIZE_MAX)
    try:
        return parse_logs(data)
    except ScenarioError as error:
        raise ScenarioError(f"trust policy {path}: {error}") from None


def _read_signed(folder: Path) -> tuple[Network, Roster]:
    step = "authority"
    try:
        text = _read(folder / step, 1024).decode("latin-1")
        if not text.endswith("\n"):
            raise DecodeError("must be one line")
        authority = from_text(text[:-1], KEY_SIZE)
        check_enrollable(authority)
        step = "network"
        network = open_network(_read(folder / step, FILE_SIZE_MAX), authority)
        step = "roster"
        return network, open_roster(_read(folder / step, FILE_SIZE_MAX), network.id, authority)
    except ScenarioError:
        raise
    except QisguardError as error:
        raise ScenarioError(f"trust policy {folder / step}: {error}") from None


def _read_revoked(path: Path) -> dict[bytes, int]:
    """Return the day of every revoked author key; none without the file."""
    revoked: dict[bytes, int] = {}
    if not path.exists():
        return revoked
    text = _read(path, FILE_SIZE_MAX).decode("latin-1")
    for number, row in enumerate(text.splitlines(), 1):
        match = _REVOKED.fullmatch(row)
        try:
            if match is None:
                raise DecodeError(f"{row[:60]!r} is not '<author key> <day>'")
            author = from_text(match[1], KEY_SIZE)
        except QisguardError as error:
            raise ScenarioError(f"trust policy {path}: line {number}: {error}") from None
        if author in revoked:
            raise ScenarioError(f"trust policy {path}: line {number}: this key is listed twice")
        revoked[author] = int(match[2])
    return revoked


def _read_heads(folder: Path, logs: Sequence[LogKey]) -> list[tuple[str, Checkpoint]]:
    heads: list[tuple[str, Checkpoint]] = []
    if not folder.exists():
        return heads
    if not folder.is_dir():
        raise ScenarioError(f"trust policy {folder}: is not a folder")
    for path in sorted(folder.iterdir()):
        try:
            head = parse_checkpoint(_read(path, NOTE_SIZE_MAX))
            signers = verify_checkpoint(head, logs)
        except ScenarioError:
            raise
        except QisguardError as error:
            raise ScenarioError(f"trust policy {path}: {error}") from None
        if all(key.name != head.origin for key in signers):
            raise ScenarioError(f"trust policy {path}: not signed by the log {head.origin!r}")
        heads.append((path.name, head))
    return heads


def _read(path: Path, limit: int) -> bytes:
    if not path.is_file():
        raise ScenarioError(f"trust policy {path}: is missing, or not a file")
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ScenarioError(f"trust policy {path}: {error.strerror}") from None
    if len(data) > limit:
        raise ScenarioError(f"trust policy {path}: more than {limit} bytes")
    return data
