"""A scenario: everything that a run depends on, in one TOML file, checked before anything starts."""

import datetime
import difflib
import re
import tomllib
from dataclasses import dataclass, fields
from hashlib import sha256
from importlib import resources
from typing import Any, TypeVar

import msgspec

from qisguard.attacks import ATTACKS
from qisguard.defenses import DEFENSES
from qisguard.errors import ScenarioError
from qisguard.lab.virtual import Links
from qisguard.node.config import NodeConfig
from qisguard.plugins import Defense

SCENARIO_SIZE_MAX = 1 << 20
ISSUERS_MAX = 500
SYBILS_MAX = 10_000
EPOCH = datetime.date(1970, 1, 1)

T = TypeVar("T")


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class NetworkTable(_Struct, frozen=True):
    """Size and puzzles; ``node`` overrides fields of NodeConfig."""

    issuers: int
    nodes_per_issuer: int
    static_puzzle_bits: int
    dynamic_puzzle_bits: int
    node: dict[str, Any] = {}
    links: dict[str, Any] = {}


class ClockTable(_Struct, frozen=True):
    """``rate`` calendar seconds pass in one engine second, from ``first_day`` on."""

    first_day: str
    rate: float
    enrolled_days: tuple[int, int]


class QuestionTable(_Struct, frozen=True):
    """Which template is asked, with which fields fixed; ``horizon`` in days."""

    template: str
    horizon: int
    values: dict[str, str | int | float]


class NetworkRun(_Struct, frozen=True):
    """One network that goes through all steps; ``parameters`` by defence.

    With ``trails`` its nodes keep audit trails on ``live``.
    """

    name: str
    defenses: list[str]
    trails: bool = False
    parameters: dict[str, dict[str, Any]] = {}


class Step(_Struct, frozen=True):
    """What the attacker holds while the question is asked."""

    name: str
    sybils: int = 0
    hospitals: int = 0


class SeedsTable(_Struct, frozen=True):
    """How many seeds each engine runs; ``quick`` of them with --quick."""

    live: int
    virtual: int
    quick: int


class Scenario(_Struct, frozen=True):
    """The whole file."""

    name: str
    title: str
    network: NetworkTable
    clock: ClockTable
    question: QuestionTable
    networks: list[NetworkRun]
    attacks: dict[str, dict[str, Any]]
    steps: list[Step]
    seeds: SeedsTable


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked scenario with what follows from it."""

    scenario: Scenario
    digest: str
    node: NodeConfig
    links: Links
    first_day: int

    @property
    def sybils_max(self) -> int:
        """Return the largest Sybil budget of any step."""
        return max(step.sybils for step in self.scenario.steps)


def packaged(name: str) -> bytes:
    """Return a scenario or template that ships with qisguard, such as ``demo.toml``."""
    return resources.files("qisguard").joinpath("scenarios", name).read_bytes()


def load_scenario(data: bytes) -> Loaded:
    """Return the scenario in ``data``; raise ScenarioError naming table, key, value and range."""
    if len(data) > SCENARIO_SIZE_MAX:
        raise ScenarioError(f"scenario: {len(data)} bytes, at most {SCENARIO_SIZE_MAX}")
    try:
        table = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"scenario: not TOML: {error}") from None
    try:
        scenario = msgspec.convert(table, Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"scenario: {_explain(str(error))}") from None
    node = _fill(NodeConfig, scenario.network.node, "network.node")
    links = _links(scenario.network.links)
    try:
        first_day = (datetime.date.fromisoformat(scenario.clock.first_day) - EPOCH).days
    except ValueError:
        raise ScenarioError(
            f"clock.first_day = {scenario.clock.first_day!r}, must be a date such as 2026-01-01"
        ) from None
    _check(scenario)
    return Loaded(scenario, sha256(data).hexdigest(), node, links, first_day)


def make_defense(name: str, parameters: dict[str, Any], context: dict[str, object]) -> Defense:
    """Return a defence with its parameters; fields named in ``context`` are filled from there."""
    kind = DEFENSES[name]
    known = [field.name for field in fields(kind)]
    for key in parameters:
        if key not in known or key in context:
            free = [field for field in known if field not in context]
            raise ScenarioError(f"parameters.{name}: unknown key {key!r}{_nearest(key, free)}")
    given = {key: value for key, value in context.items() if key in known}
    try:
        return kind(**given, **parameters)
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"parameters.{name}: {error}") from None


def _explain(text: str) -> str:
    """Return msgspec's message with the nearest valid key added where a key is unknown."""
    unknown = re.search(r"unknown field `(.+?)`", text)
    if not unknown:
        return text
    structs = (Scenario, NetworkTable, ClockTable, QuestionTable, NetworkRun, Step, SeedsTable)
    names = [name for struct in structs for name in struct.__struct_fields__]
    return text + _nearest(unknown[1], names)


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; allowed: {', '.join(sorted(set(names)))}"


def _fill(kind: type[T], values: dict[str, Any], table: str) -> T:
    """Return a configuration dataclass with the values of a table over its defaults."""
    types = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type] # dataclasses only
    for key, value in values.items():
        if key not in types:
            raise ScenarioError(f"{table}: unknown key {key!r}{_nearest(key, list(types))}")
        wanted: Any = types[key]
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise ScenarioError(f"{table}.{key} = {value!r}, must be {wanted.__name__}")
    return kind(**values)


def _links(values: dict[str, Any]) -> Links:
    for key in values:
        if key not in ("latency", "loss_ratio"):
            raise ScenarioError(
                f"network.links: unknown key {key!r}{_nearest(key, ['latency', 'loss_ratio'])}"
            )
    latency = values.get("latency", [0.005, 0.025])
    loss = values.get("loss_ratio", 0.0)
    numbers = isinstance(latency, list) and all(isinstance(x, int | float) for x in latency)
    if not numbers or len(latency) != 2 or not 0 < latency[0] <= latency[1] <= 10:
        raise ScenarioError(
            f"network.links.latency = {latency!r}, must be [low, high] seconds, 0 < low <= high <= 10"
        )
    if not isinstance(loss, int | float) or not 0 <= loss < 1:
        raise ScenarioError(f"network.links.loss_ratio = {loss!r}, must be from 0 to below 1")
    return Links((float(latency[0]), float(latency[1])), float(loss))


def _check(scenario: Scenario) -> None:
    """Raise ScenarioError for values that types cannot exclude."""
    network, clock = scenario.network, scenario.clock
    ranges = [
        ("network.issuers", network.issuers, 2, ISSUERS_MAX),
        ("network.nodes_per_issuer", network.nodes_per_issuer, 1, 100),
        ("network.static_puzzle_bits", network.static_puzzle_bits, 0, 24),
        ("network.dynamic_puzzle_bits", network.dynamic_puzzle_bits, 0, 24),
        ("clock.rate", clock.rate, 1, 86_400 * 366),
        ("clock.enrolled_days[0]", clock.enrolled_days[0], 0, clock.enrolled_days[1]),
        ("clock.enrolled_days[1]", clock.enrolled_days[1], 0, 20_000),
        ("question.horizon", scenario.question.horizon, 1, 100_000),
        ("seeds.live", scenario.seeds.live, 0, 100),
        ("seeds.virtual", scenario.seeds.virtual, 0, 100_000),
        ("seeds.quick", scenario.seeds.quick, 0, scenario.seeds.virtual),
        ("networks (count)", len(scenario.networks), 1, 16),
        ("steps (count)", len(scenario.steps), 1, 1_000),
    ]
    sybils = 0
    for step in scenario.steps:
        ranges.append((f"steps.{step.name}.hospitals", step.hospitals, 0, network.issuers - 1))
        if step.sybils:
            ranges.append((f"steps.{step.name}.sybils", step.sybils, sybils, SYBILS_MAX))
            sybils = step.sybils
        elif sybils:
            raise ScenarioError(
                f"steps.{step.name}.sybils = 0, must be at least {sybils}: Sybils that joined stay"
            )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ScenarioError(f"{name} = {value}, must be {low} to {high}")
    for what, names in (
        ("step", [step.name for step in scenario.steps]),
        ("network", [run.name for run in scenario.networks]),
    ):
        if len(set(names)) != len(names):
            raise ScenarioError(f"{what}s: the same name is used twice: {', '.join(names)}")
    for run in scenario.networks:
        for defense in [*run.defenses, *run.parameters]:
            if defense not in DEFENSES:
                raise ScenarioError(
                    f"networks.{run.name}: unknown defence {defense!r}"
                    f"{_nearest(defense, list(DEFENSES))}"
                )
    for attack in scenario.attacks:
        if attack not in ATTACKS:
            raise ScenarioError(
                f"attacks: unknown attack {attack!r}{_nearest(attack, list(ATTACKS))}"
            )
