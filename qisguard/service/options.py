"""What a node's configuration file may say beside its limits, each entry with its documentation.

The classes are filled, checked, shown and documented from the same metadata; the limits come from
``config.py`` in the same form.
"""
# ruff: noqa: RUF009 -- the calls make frozen metadata, once a class

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from qisguard.config import NodeConfig, Setting, describe
from qisguard.service.addresses import ADDRESS_ALLOWED, BOOTSTRAP_ALLOWED

LIMITS = "limits"

T = TypeVar("T")


class LogLevel(StrEnum):
    """Least level that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """One JSON object on a line, or words."""

    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Option:
    """One key of one table; ``default`` is None where a value must be given."""

    table: str
    name: str
    kind: Any
    default: object
    allowed: str
    doc: str

    @property
    def key(self) -> str:
        """Return ``table.name``."""
        return f"{self.table}.{self.name}"

    @property
    def variable(self) -> str:
        """Return the name of the environment variable that overrides the file."""
        middle = "" if self.table == "node" else f"{self.table.upper()}_"
        return f"QISGUARD_NODE_{middle}{self.name.upper()}"

    @property
    def is_required(self) -> bool:
        """Return whether a file without this key is refused."""
        return self.default is None


def _option(default: T, allowed: str, doc: str) -> T:
    """Return a dataclass field that carries its documentation; typed as its default."""
    made: Any = field(default=default, metadata={"option": (allowed, doc)})
    return made  # type: ignore[no-any-return]  # a field stands in for its default


def _required(kind: type[T], allowed: str, doc: str) -> T:
    """Return a dataclass field without a default."""
    made: Any = field(metadata={"option": (allowed, doc)})
    return made  # type: ignore[no-any-return]  # a field stands in for its value


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTable:
    """Table ``[node]``: who the node is, where it listens, what it keeps, whom it asks first."""

    identity: Path = _required(
        Path, "a folder", "identity of this node: its keys and the puzzle's solution"
    )
    network: Path = _required(Path, "a file", "network file, signed by the authority")
    authority: str = _required(
        str, "43 characters of base64url", "public key of the network's authority"
    )
    state: Path = _required(
        Path,
        "a folder of this node alone",
        "store, trail, contacts, lock and control socket; made with mode 0700 if need be",
    )
    name: str = _option(
        "node", "1 to 40 letters, digits, dots, underscores, hyphens", "label in logs and metrics"
    )
    roster: Path | None = _option(
        None, "a file, or empty for an open network", "roster, signed by the authority"
    )
    listen: str = _option("127.0.0.1:4400", ADDRESS_ALLOWED, "UDP address to listen on")
    advertise: str = _option(
        "",
        f"{ADDRESS_ALLOWED}, or empty",
        "address that others reach this node at, when it is not the one it listens on",
    )
    bootstraps: tuple[str, ...] = _option(
        (),
        f"texts of {BOOTSTRAP_ALLOWED}",
        "nodes to ask first; an entry that names this node itself is skipped",
    )
    bootstraps_min: int = _option(
        3,
        "0 to 100",
        "fewer bootstraps than this give a warning: when the few are down or lie, this node never "
        "finds the network",
    )
    defenses: tuple[str, ...] = _option(
        (), "names of defences, each once", "defences of this node and of queries through it"
    )
    detectors: tuple[str, ...] = _option(
        (),
        "texts such as scan_count=5.5, each name once; kl_detector and region_count may go "
        "without a number",
        "detectors of ids that crowd around a key, with their thresholds in nats from "
        "`qisguard calibrate`; they flag results, and decide where replica_rule is flagged",
    )
    templates: tuple[str, ...] = _option(
        (),
        "names of packaged templates, or paths with a slash",
        "templates whose packets the defence 'structure' lets in",
    )
    similarity_secret: Path | None = _option(
        None,
        "a file of mode 0600, or empty where no template is keyed",
        "secret of the network that the keys of keyed templates are made with; every member has "
        "the same",
    )
    trail: bool = _option(True, "true or false", "keep an audit trail in the state folder")
    gossip: bool = _option(
        False,
        "true or false",
        "exchange and compare the heads of audit trails with other nodes, and tell evidence on; "
        "all nodes of a network should agree about it",
    )
    gossip_interval: int = _option(
        60, "1 to 86,400 seconds", "heads are exchanged, and witnesses asked, this often"
    )
    witnesses: tuple[str, ...] = _option(
        (),
        "texts of 64 hex digits, node ids; needs gossip",
        "nodes that are asked to cosign this node's trail",
    )
    witnessed: tuple[str, ...] = _option(
        (),
        "texts of 64 hex digits, node ids, or the one word roster; needs gossip",
        "nodes whose trails this node cosigns",
    )
    annals: bool = _option(
        False,
        "true or false; true needs templates",
        "remember daily sums of these templates and what issuers turned out to be worth, in the "
        "store's file; the defences beta_reputation, eigentrust and cusum need it",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsTable:
    """Table ``[metrics]``: counters and gauges for Prometheus, off unless an address is given."""

    listen: str = _option(
        "",
        f"{ADDRESS_ALLOWED}, or empty for no metrics",
        "TCP address of the metrics page; the same address in several configurations of one "
        "process gives one page with all of them",
    )
    expose: bool = _option(
        False,
        "true or false",
        "allow an address that is not loopback: the page has no password and no encryption",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTable:
    """Table ``[log]``: what is written to stderr."""

    level: LogLevel = _option(LogLevel.INFO, ", ".join(LogLevel), "least level that is written")
    format: LogFormat = _option(
        LogFormat.JSON, ", ".join(LogFormat), "one JSON object on a line, or words"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryTable:
    """Table ``[notary]``: who is asked to confirm when a checkpoint existed; nobody else is."""

    calendars: tuple[str, ...] = _option(
        (),
        "texts such as https://HOST",
        "OpenTimestamps calendars that `qisguard trail stamp` asks",
    )
    authorities: tuple[str, ...] = _option(
        (),
        "texts such as https://HOST/PATH",
        "time-stamping authorities (RFC 3161) that it asks, one after the other until one answers",
    )
    timeout: int = _option(10, "1 to 600 seconds", "how long each of them has for its answer")


TABLES: Mapping[str, type[NodeTable] | type[MetricsTable] | type[LogTable] | type[NotaryTable]] = {
    "node": NodeTable,
    "metrics": MetricsTable,
    "log": LogTable,
    "notary": NotaryTable,
}


def options() -> Iterator[Option]:
    """Return every key of every table in the order of the file, the limits last."""
    for table, kind in TABLES.items():
        for entry in fields(kind):
            allowed, doc = entry.metadata["option"]
            default = "" if entry.default is None else entry.default
            known = None if entry.default is MISSING else default
            yield Option(table, entry.name, entry.type, known, allowed, doc)
    for setting in describe():
        doc = f"{setting.doc} ({setting.group})"
        yield Option(
            LIMITS,
            setting.name,
            type(setting.default),
            setting.default,
            allowed_limit(setting),
            doc,
        )


def allowed_limit(setting: Setting) -> str:
    """Return the range of a limit in words."""
    if isinstance(setting.default, bool):
        return "true or false"
    if isinstance(setting.default, StrEnum):
        return ", ".join(type(setting.default))
    return f"{setting.low:.10g} to {setting.high:.10g} {setting.unit}".rstrip()


LIMIT_NAMES = tuple(entry.name for entry in fields(NodeConfig))
