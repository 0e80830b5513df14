"""The configuration of one node: flag over environment over file over default, every origin kept.

Relative paths in the file are relative to the file; those from a flag or the environment are
relative to the working folder. Unknown keys are errors, so that a misspelt limit never means "no
limit".
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from qisguard.config import NodeConfig, ReplicaRule, describe
from qisguard.errors import DecodeError, ScenarioError
from qisguard.fill import fill, is_number, nearest, show
from qisguard.identity.address import Address
from qisguard.identity.ids import NodeId
from qisguard.identity.keys import KEY_SIZE, from_text
from qisguard.node.contact import Contact
from qisguard.plugins import Inspects
from qisguard.service.addresses import (
    is_loopback_address,
    is_unspecified,
    parse_address,
    parse_bootstrap,
)
from qisguard.service.detectors import make_detectors
from qisguard.service.options import (
    LIMITS,
    TABLES,
    LogTable,
    MetricsTable,
    NodeTable,
    NotaryTable,
    Option,
    allowed_limit,
    options,
)
from qisguard.transport.web import check_url

FILE_SIZE_MAX = 1 << 20
PREFIX = "QISGUARD_NODE_"
NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")
NODE_ID = re.compile(r"[0-9a-f]{64}")
ROSTER = "roster"
"""In ``node.witnessed``: every node of the roster."""
BOOTSTRAPS_MIN_MAX = 100
DAY = 86_400
"""Seconds."""
TIMEOUT_MAX = 600


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """One checked configuration; ``origins`` says for each ``table.key`` where its value is from.

    ``values`` are the values in plain form, for people: paths are absolute.
    """

    path: Path
    node: NodeTable
    limits: NodeConfig
    metrics: MetricsTable
    log: LogTable
    notary: NotaryTable
    origins: Mapping[str, str]
    values: Mapping[str, object]

    @property
    def listen(self) -> Address:
        """Return the UDP address to bind."""
        return parse_address(self.node.listen, "node.listen")

    @property
    def address(self) -> Address:
        """Return the UDP address that others are told."""
        text = self.node.advertise or self.node.listen
        return parse_address(text, "node.advertise")

    @property
    def authority(self) -> bytes:
        """Return the authority's public key."""
        return from_text(self.node.authority, KEY_SIZE)

    @property
    def bootstraps(self) -> list[Contact]:
        """Return the nodes to ask first."""
        return [
            parse_bootstrap(text, f"node.bootstraps[{index}]")
            for index, text in enumerate(self.node.bootstraps)
        ]

    def warnings(self) -> list[str]:
        """Return what is allowed and unwise, and why."""
        found = []
        count, wanted = len(self.node.bootstraps), self.node.bootstraps_min
        if count < wanted:
            found.append(
                f"node.bootstraps has {count}, fewer than bootstraps_min = {wanted}: when the few "
                "are down or lie, this node never finds the network; set bootstraps_min lower in a "
                "network of fewer nodes"
            )
        if self.limits.replica_rule is ReplicaRule.FLAGGED and not self.node.detectors:
            found.append(
                "limits.replica_rule = 'flagged' without node.detectors: nobody raises a flag, and "
                "it is the rule 'closest'"
            )
        if not self.limits.address_diversity and not is_loopback_address(self.listen):
            found.append(
                "limits.address_diversity = false on an address that is not loopback: one machine "
                "with many identities may fill the routing table"
            )
        return found


def load_config(
    path: Path,
    environment: Mapping[str, str] | None = None,
    flags: Sequence[str] = (),
    *,
    is_run: bool = True,
) -> ServiceConfig:
    """Return the configuration in a TOML file.

    Args:
        path: the file.
        environment: variables; those that start with ``QISGUARD_NODE_`` override the file.
        flags: ``table.key=value``; they override the environment.
        is_run: False for a command that only talks to the node: the names of defences, which take
            half a second to load, are then left to the node.

    Raises:
        ScenarioError: cannot be read or used; names file, table, key, value and what is allowed.
    """
    try:
        config = _load(path.absolute(), environment or {}, flags)
        if is_run:
            _check_defenses(config.node)
            make_detectors(config.node.detectors, config.limits.replica_count)
        return config
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def _load(path: Path, environment: Mapping[str, str], flags: Sequence[str]) -> ServiceConfig:
    known = {option.key: option for option in options()}
    given: dict[str, tuple[object, str, Path]] = {
        key: (value, "file", path.parent) for key, value in _read(path, known).items()
    }
    here = Path.cwd()
    for option, text in _from_environment(known, environment):
        given[option.key] = (_parse(option, text), f"environment {option.variable}", here)
    for option, text in _from_flags(known, flags):
        given[option.key] = (_parse(option, text), f"flag --set {option.key}", here)
    tables: dict[str, dict[str, Any]] = {LIMITS: {}, **{name: {} for name in TABLES}}
    for key, (value, _, base) in given.items():
        option = known[key]
        tables[option.table][option.name] = (
            value if option.table == LIMITS else _convert(option, value, base)
        )
    for option in known.values():
        if option.is_required and option.key not in given:
            raise ScenarioError(f"{option.key} is missing: {option.doc}; {option.allowed}")
    config = ServiceConfig(
        path,
        NodeTable(**tables["node"]),
        _limits(tables[LIMITS]),
        MetricsTable(**tables["metrics"]),
        LogTable(**tables["log"]),
        NotaryTable(**tables["notary"]),
        {key: given[key][1] if key in given else "default" for key in known},
        {},
    )
    _check(config)
    shown = {key: _plain(getattr(getattr(config, o.table), o.name)) for key, o in known.items()}
    return replace(config, values=shown)


def _read(path: Path, known: Mapping[str, Option]) -> dict[str, object]:
    """Return what the file says, by ``table.key``."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_SIZE_MAX + 1)
    except OSError as error:
        raise ScenarioError(f"cannot be read: {error.strerror}") from None
    if len(data) > FILE_SIZE_MAX:
        raise ScenarioError(f"more than {FILE_SIZE_MAX} bytes")
    try:
        top = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # both decoders' errors, and absurd numbers
        raise ScenarioError(f"not TOML: {error}") from None
    tables = [*TABLES, LIMITS]
    found: dict[str, object] = {}
    for table, values in top.items():
        if table not in tables:
            raise ScenarioError(f"unknown table {table!r}{nearest(table, tables)}")
        if not isinstance(values, dict):
            raise ScenarioError(f"{table} = {show(values)}, must be a table: [{table}]")
        for name, value in values.items():
            if f"{table}.{name}" not in known:
                names = [o.name for o in known.values() if o.table == table]
                raise ScenarioError(f"{table}: unknown key {name!r}{nearest(name, names)}")
            found[f"{table}.{name}"] = value
    return found


def _from_environment(
    known: Mapping[str, Option], environment: Mapping[str, str]
) -> list[tuple[Option, str]]:
    by_variable = {option.variable: option for option in known.values()}
    found = []
    for variable, text in environment.items():
        if variable.startswith(PREFIX):
            if variable not in by_variable:
                hint = nearest(variable, by_variable)
                raise ScenarioError(f"environment: unknown variable {variable!r}{hint}")
            found.append((by_variable[variable], text))
    return found


def _from_flags(known: Mapping[str, Option], flags: Sequence[str]) -> list[tuple[Option, str]]:
    found = []
    for flag in flags:
        key, equals, text = flag.partition("=")
        if not equals:
            raise ScenarioError(f"--set {show(flag)}, must be table.key=value")
        if key not in known:
            raise ScenarioError(f"--set: unknown key {key!r}{nearest(key, known)}")
        found.append((known[key], text))
    return found


def _parse(option: Option, text: str) -> object:
    """Return the value that a flag or variable means; what does not fit stays text and is refused.

    Lists are separated by commas.
    """
    if option.kind == tuple[str, ...]:
        return [part.strip() for part in text.split(",") if part.strip()]
    if option.kind is bool:
        return {"true": True, "false": False}.get(text, text)
    try:
        return int(text) if option.kind is int else float(text) if option.kind is float else text
    except ValueError:
        return text


def _convert(option: Option, value: object, base: Path) -> object:
    """Return a value in the type of its field."""
    kind = option.kind
    if kind == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
    elif kind in (bool, int):
        if type(value) is kind:
            return value
    elif isinstance(value, str) and "\0" not in value:
        if kind is str:
            return value
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            if value in list(kind):
                return kind(value)
        elif value:
            return base / Path(value).expanduser()
        elif not option.is_required:
            return None
    raise ScenarioError(f"{option.key} = {show(value)}, must be {option.allowed}")


def _limits(values: Mapping[str, Any]) -> NodeConfig:
    """Return the limits; ranges are checked first, so that the message names this table."""
    for setting in describe():
        value = values.get(setting.name)
        if isinstance(setting.default, bool) or not is_number(value) or isinstance(value, bool):
            continue  # ``fill`` knows these
        if not setting.low <= values[setting.name] <= setting.high:
            allowed = allowed_limit(setting)
            raise ScenarioError(f"{LIMITS}.{setting.name} = {show(value)}, must be {allowed}")
    return fill(NodeConfig, values, LIMITS)


def _check(config: ServiceConfig) -> None:
    """Raise ScenarioError for values that do not go together."""
    node, metrics = config.node, config.metrics
    if not NAME.fullmatch(node.name):
        allowed = next(option.allowed for option in options() if option.key == "node.name")
        raise ScenarioError(f"node.name = {show(node.name)}, must be {allowed}")
    if not 0 <= node.bootstraps_min <= BOOTSTRAPS_MIN_MAX:
        raise ScenarioError(
            f"node.bootstraps_min = {node.bootstraps_min}, must be 0 to {BOOTSTRAPS_MIN_MAX}"
        )
    try:
        from_text(node.authority, KEY_SIZE)
    except DecodeError as error:
        raise ScenarioError(f"node.authority: {error}") from None
    if is_unspecified(config.listen[0]) and not node.advertise:
        raise ScenarioError(
            f"node.listen = {node.listen!r} listens everywhere: node.advertise must say which "
            "address others reach this node at"
        )
    if is_unspecified(config.address[0]):
        raise ScenarioError(f"node.advertise = {node.advertise!r}: nobody can reach that address")
    _ = config.bootstraps
    if not 1 <= node.gossip_interval <= DAY:
        raise ScenarioError(f"node.gossip_interval = {node.gossip_interval}, must be 1 to {DAY}")
    for name in ("witnesses", "witnessed"):
        texts = getattr(node, name)
        parse_ids([text for text in texts if (name, text) != ("witnessed", ROSTER)], name)
        if texts and not node.gossip:
            raise ScenarioError(f"node.{name} is given, and node.gossip = false")
    if node.witnesses and not node.trail:
        raise ScenarioError("node.witnesses is given, and node.trail = false: nothing to cosign")
    if ROSTER in node.witnessed and node.roster is None:
        raise ScenarioError(f"node.witnessed names the {ROSTER}, and there is no node.roster")
    if not 1 <= config.notary.timeout <= TIMEOUT_MAX:
        timeout = config.notary.timeout
        raise ScenarioError(f"notary.timeout = {timeout}, must be 1 to {TIMEOUT_MAX} seconds")
    for name in ("calendars", "authorities"):
        for index, url in enumerate(getattr(config.notary, name)):
            check_url(url, f"notary.{name}[{index}]")
    if metrics.listen:
        address = parse_address(metrics.listen, "metrics.listen")
        if not metrics.expose and not is_loopback_address(address):
            raise ScenarioError(
                f"metrics.listen = {metrics.listen!r} is not loopback: the page has no password; "
                "set metrics.expose = true to allow it all the same"
            )


def parse_ids(texts: Sequence[str], name: str) -> frozenset[NodeId]:
    """Return node ids; raise ScenarioError naming the place in ``node.<name>``."""
    for index, text in enumerate(texts):
        if not NODE_ID.fullmatch(text):
            raise ScenarioError(f"node.{name}[{index}] = {show(text)}, must be 64 hex digits")
    return frozenset(NodeId(int(text, 16)) for text in texts)


def _check_defenses(node: NodeTable) -> None:
    if node.annals and not node.templates:
        raise ScenarioError("node.annals = true needs node.templates: whose outcomes, and when")
    if not node.defenses:
        return
    from qisguard.defenses import DEFENSES  # loads NumPy: a node without defences goes without it

    for name in node.defenses:
        if name not in DEFENSES:
            raise ScenarioError(f"node.defenses: unknown defence {name!r}{nearest(name, DEFENSES)}")
        if issubclass(DEFENSES[name], Inspects):
            raise ScenarioError(f"node.defenses: {name!r} is a detector, name it in node.detectors")
        if node.defenses.count(name) > 1:
            raise ScenarioError(f"node.defenses: {name!r} is there twice")
    if "roster_routing" in node.defenses and node.roster is None:
        raise ScenarioError("node.defenses: 'roster_routing' needs node.roster")
    for name in ("beta_reputation", "eigentrust", "cusum"):
        if name in node.defenses and not node.annals:
            raise ScenarioError(
                f"node.defenses: {name!r} needs what a node remembers: set node.annals = true"
            )
    if "eigentrust" in node.defenses and node.roster is None:
        raise ScenarioError("node.defenses: 'eigentrust' needs node.roster: founders are on it")
    if "structure" in node.defenses and not node.templates:
        raise ScenarioError("node.defenses: 'structure' needs node.templates")


def _plain(value: object) -> object:
    """Return a value as JSON has it."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Path):
        return str(value)
    return "" if value is None else value


def check_distinct(configs: Sequence[ServiceConfig]) -> None:
    """Raise ScenarioError when two configurations of one process want the same thing."""
    for what, values in (
        ("node.state", [str(config.node.state.resolve()) for config in configs]),
        ("node.listen", [config.node.listen for config in configs]),
        ("node.identity", [str(config.node.identity.resolve()) for config in configs]),
        ("node.name", [config.node.name for config in configs]),
    ):
        twice = [value for index, value in enumerate(values) if value in values[:index]]
        if twice:
            raise ScenarioError(f"{what} = {twice[0]!r} is in two of the configurations")
