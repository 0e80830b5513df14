"""The trust policy: what an auditor knows from elsewhere, before looking into a trail.

A folder, or one file where only logs are trusted:

- ``logs``: logs, witnesses and their quorum, in the C2SP tlog-policy form;
- ``authority``: the network authority's Ed25519 key, base64url;
- ``network``, ``roster``: files signed by that authority (all three or none);
- ``revoked``: lines ``<author key> <day>``, base64url and a calendar day: keys that are not
  believed about anything that nobody else saw before that day;
- ``notary.toml``: known blocks and time-stamping authorities;
- ``checkpoints/``: signed notes seen earlier, against which no log may have gone back.

Everything in it is checked when it is loaded: a policy with a mistake is no policy.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qisguard.audit.quorum import Quorum, parse_logs
from qisguard.errors import DecodeError, QisguardError, ScenarioError
from qisguard.identity.keys import KEY_SIZE, check_enrollable, from_text, to_text
from qisguard.identity.network import Network, open_network
from qisguard.identity.roster import Roster, open_roster
from qisguard.notary.policy import NotaryPolicy, parse_notary_policy
from qisguard.trail.checkpoint import (
    NOTE_SIZE_MAX,
    Checkpoint,
    LogKey,
    parse_checkpoint,
    verify_checkpoint,
)
from qisguard.trail.cosignature import WitnessKey

FILE_SIZE_MAX = 4 << 20
_REVOKED = re.compile(r"([A-Za-z0-9_-]{43}) (0|[1-9][0-9]{0,9})", re.ASCII)
_SIGNED = ("authority", "network", "roster")
_NAMES = ("logs", *_SIGNED, "revoked", "notary.toml", "checkpoints")


NOBODY = Quorum()
"""Nobody has to cosign."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Trusted keys and files.

    heads: checkpoints seen earlier, by file name.
    revoked: by author key, the calendar day from which it is not believed.
    notary: what counts as proof of time; None when nobody said.
    """

    logs: tuple[LogKey, ...]
    quorum: Quorum = NOBODY
    network: Network | None = None
    roster: Roster | None = None
    heads: tuple[tuple[str, Checkpoint], ...] = ()
    revoked: Mapping[bytes, int] = field(default_factory=dict)
    notary: NotaryPolicy | None = None

    @property
    def witnesses(self) -> tuple[WitnessKey, ...]:
        """Return the keys of all known witnesses."""
        return tuple(self.quorum.witnesses.values())


def load_policy(path: Path) -> Policy:
    """Return the policy in a folder, or in one tlog-policy file.

    Raises:
        ScenarioError: it cannot be read, or something in it does not hold; names file and line.
    """
    if not path.is_dir():
        return Policy(*_read_logs(path))
    names = sorted(entry.name for entry in path.iterdir())
    if unknown := [name for name in names if name not in _NAMES]:
        raise ScenarioError(
            f"trust policy {path}: {unknown[0]!r} is no part of a policy, which has "
            f"{', '.join(_NAMES)}"
        )
    logs, quorum = _read_logs(path / "logs")
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
    revoked, notary = _read_revoked(path / "revoked"), _read_notary(path / "notary.toml")
    return Policy(logs, quorum, network, roster, heads, revoked, notary)


def write_policy(
    folder: Path,
    logs: Sequence[LogKey],
    *,
    authority: bytes,
    network: bytes,
    roster: bytes,
    checkpoints: Mapping[str, bytes] | None = None,
    witnesses: Sequence[WitnessKey] = (),
    quorum: int = 0,
) -> None:
    """Write a policy folder; ``network`` and ``roster`` are the signed files.

    ``quorum`` is how many of ``witnesses`` have to cosign.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"log {key.vkey}\n" for key in logs]
    names = [f"w{number}" for number in range(len(witnesses))]
    lines += [f"witness {n} {w.vkey}\n" for n, w in zip(names, witnesses, strict=True)]
    if quorum:
        lines.append(f"group witnesses {quorum} {' '.join(names)}\n")
    lines.append(f"quorum {'witnesses' if quorum else 'none'}\n")
    (folder / "logs").write_text("".join(lines), "utf-8")
    (folder / "authority").write_text(to_text(authority) + "\n", "ascii")
    (folder / "network").write_bytes(network)
    (folder / "roster").write_bytes(roster)
    for name, note in (checkpoints or {}).items():
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / name).write_bytes(note)


def _read_logs(path: Path) -> tuple[tuple[LogKey, ...], Quorum]:
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


def _read_notary(path: Path) -> NotaryPolicy | None:
    if not path.exists():
        return None
    try:
        return parse_notary_policy(_read(path, FILE_SIZE_MAX))
    except ScenarioError as error:
        raise ScenarioError(f"trust policy {path}: {error}") from None


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
