"""Scenario files, checked: everything is built once here, so that nothing fails half way."""

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import Any

from qisguard.attacks import ATTACKS
from qisguard.config import NodeConfig
from qisguard.defenses import DEFENSES
from qisguard.errors import QisguardError, ScenarioError
from qisguard.fill import fill, nearest, show
from qisguard.identity.network import Network
from qisguard.identity.roster import Roster
from qisguard.lab.brakes import Limits
from qisguard.lab.links import Links, read_links
from qisguard.lab.scenario.gates import Gate, read_gate
from qisguard.lab.scenario.polls import check_poll
from qisguard.lab.scenario.tables import (
    AttackTable,
    ChurnTable,
    DefenseTable,
    Expected,
    NetworkTable,
    PopulationTable,
    Scenario,
    SeedsTable,
    WorkloadTable,
    YearsTable,
)
from qisguard.lab.scenario.years import check_years
from qisguard.lab.toml import convert, parse
from qisguard.lab.trial.arms import Arm, arms_of
from qisguard.lab.trial.measured import METRICS
from qisguard.outcomes.synthesis import SynthesisConfig
from qisguard.plugins import (
    ArrayForm,
    Attack,
    Computes,
    Defense,
    Prices,
    Restarts,
    Settings,
    Spoofs,
    Tunes,
)

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
"""What scenarios are called: their names become names of files."""
FOLDERS = ("attacks", "poisoning")
"""Where packaged scenarios lie."""
POINTS_MAX = 10_000
"""Points of a grid."""
BOOTSTRAPS = 3
"""Everybody joins through the first honest nodes, so many of them."""
NODES_MAX = {"live": 500, "virtual": 10_000, "model": 20_000_000, "direct": 1_000_000}
NODES_MAX["columns"] = 1_000_000

_TABLES = {
    "network": NetworkTable,
    "population": PopulationTable,
    "churn": ChurnTable,
    "years": YearsTable,
    "workload": WorkloadTable,
    "attack": AttackTable,
    "defenses": DefenseTable,
    "seeds": SeedsTable,
    "expected": Expected,
    "brakes": Limits,
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked scenario at one point of its grid, with what follows from it."""

    scenario: Scenario
    digest: str
    point: dict[str, Any]
    attack: Attack
    gates: tuple[Gate, ...]
    until: Gate | None
    links: Links

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Return the arms that this scenario needs."""
        return arms_of(bool(self.scenario.defenses))

    @property
    def attackers(self) -> int:
        """Return how many identities, on ``columns`` cases, the attacker has."""
        table, network = self.scenario.attack, self.scenario.network
        if self.scenario.engine == "columns":
            return _cases(self.scenario)
        return round(table.share * network.nodes) if table.share else table.identities

    @property
    def honest(self) -> int:
        """Return how many honest nodes there are, in every arm; a share is one of all nodes."""
        if self.scenario.engine == "columns":
            return 2 * self.scenario.population.per_arm
        taken = self.attackers if self.scenario.attack.share else 0
        return self.scenario.network.nodes - taken

    def defenses(self, arm: Arm, roster: Roster | None) -> list[Defense]:
        """Return the defences of one arm, in order, with their parameters."""
        if not arm.has_defenses:
            return []
        context = {"roster": roster or Roster(b"", 0, ())}
        return [
            fill(DEFENSES[table.name], table.parameters, f"defenses[{i}].parameters", context)
            for i, table in enumerate(self.scenario.defenses)
        ]

    def priced(self, arm: Arm, network: Network) -> Network:
        """Return the network of one arm: a defence may make identities dearer."""
        for defense in self.defenses(arm, None):
            if isinstance(defense, Prices):
                network = defense.price(network)
        return network

    def settings(self, arm: Arm, defenses: list[Defense]) -> NodeConfig:
        """Return the configuration of every node of one arm."""
        return self.tuned(defenses).node

    def tuned(self, defenses: list[Defense]) -> Settings:
        """Return the settings of nodes and of answers that these defences leave."""
        node = fill(NodeConfig, self.scenario.network.node, "network.node")
        population = self.scenario.population
        synthesis = SynthesisConfig(
            horizon=population.horizon,
            min_cohort=population.min_cohort,
            flip_threshold=population.flip_threshold,
            fragility=False,
        )
        settings = Settings(node, synthesis)
        for table, defense in zip(self.scenario.defenses, defenses, strict=False):
            if isinstance(defense, Tunes):
                try:
                    settings = defense.tune(settings)
                except (QisguardError, ValueError) as error:
                    raise ScenarioError(f"defenses: {table.name}: {error}") from None
        return settings


def packaged(name: str) -> bytes:
    """Return a scenario that ships with qisguard by its name; raise ScenarioError otherwise."""
    files = _packaged()
    if name not in files:
        raise ScenarioError(f"scenario {show(name)}: unknown{nearest(name, files)}")
    data: bytes = files[name].read_bytes()
    return data


def packaged_names() -> list[str]:
    """Return the names of the scenarios that ship with qisguard."""
    return sorted(_packaged())


def load_scenario(data: bytes, point: dict[str, Any] | None = None) -> Loaded:
    """Return the scenario in ``data``, with the values of ``point`` put over its own.

    Raises:
        ScenarioError: it names table, key, value, and what is allowed.
    """
    table = parse(data, "scenario")
    for key, value in (point or {}).items():
        _put(table, key, value)
    scenario = convert(table, Scenario, _TABLES)
    _check_names(scenario)
    _check_ranges(scenario)
    attack = fill(ATTACKS[scenario.attack.name], scenario.attack.parameters, "attack.parameters")
    _check_engine(scenario, attack)
    arms = [str(arm) for arm in arms_of(bool(scenario.defenses))]
    gates = tuple(
        read_gate(text, arms, METRICS, f"gates[{i}]") for i, text in enumerate(scenario.gates)
    )
    for i, expected in enumerate(scenario.expected):
        read_gate(f"{expected.value} >= 0", arms, METRICS, f"expected[{i}].value")
    until = None
    if scenario.seeds.until:
        until = read_gate(scenario.seeds.until, arms, METRICS, "seeds.until")
        if until.end != "width":
            raise ScenarioError(
                f"seeds.until = {show(until.text)}, must be about a width, such as "
                "'defended.success.width < 0.02'"
            )
    loaded = Loaded(
        scenario,
        sha256(data).hexdigest(),
        dict(point or {}),
        attack,
        gates,
        until,
        read_links(scenario.network.links, "network.links"),
    )
    for arm in loaded.arms:
        loaded.settings(arm, loaded.defenses(arm, None))
    return loaded


def points(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield every point of a scenario's grid, in the order of the file; one, {}, without a grid."""
    grid: dict[str, list[Any]] = convert(parse(data, "scenario"), Scenario, _TABLES).grid
    size = 1
    for key, values in grid.items():
        if not values:
            raise ScenarioError(f"grid.{key!r} = [], must hold values")
        size *= len(values)
    if size > POINTS_MAX:
        raise ScenarioError(f"grid: {size} points, at most {POINTS_MAX}")
    for chosen in itertools.product(*grid.values()):
        yield dict(zip(grid, chosen, strict=True))


def point_name(point: dict[str, Any]) -> str:
    """Return a point in one line, such as ``attack.share=0.2 network.node.k=8``."""
    return " ".join(f"{key}={json.dumps(value)}" for key, value in point.items())


def _put(table: dict[str, Any], key: str, value: object) -> None:
    """Set ``attack.share`` and the like; ``defenses.0.parameters.paths`` counts from 0."""
    *path, last = key.split(".")
    at: Any = table
    for name in path:
        if isinstance(at, list):
            at = at[int(name)] if name.isdigit() and int(name) < len(at) else None
        else:
            at = at.setdefault(name, {}) if isinstance(at, dict) else None
        if at is None:
            raise ScenarioError(f"grid: no such key {key!r}")
    if not isinstance(at, dict):
        raise ScenarioError(f"grid: no such key {key!r}")
    at[last] = value


def _packaged() -> dict[str, Any]:
    """Return the files of the scenarios that ship with qisguard, by name."""
    root = resources.files("qisguard").joinpath("scenarios")
    entries = [entry for folder in FOLDERS for entry in root.joinpath(folder).iterdir()]
    return {e.name.removesuffix(".toml"): e for e in entries if e.name.endswith(".toml")}


def _cases(scenario: Scenario) -> int:
    """Return the budget of an attack on votes: a share is one of all cases at the end."""
    table, honest = scenario.attack, 2 * scenario.population.per_arm
    if not table.share:
        return table.identities
    return round(honest * table.share / (1.0 if table.standing == "veterans" else 1 - table.share))


def _check_engine(scenario: Scenario, attack: Attack) -> None:
    """Raise ScenarioError for what an engine cannot do."""
    name, engine = scenario.attack.name, scenario.engine
    if engine == "model" and not isinstance(attack, ArrayForm):
        raise ScenarioError(f"engine = 'model': {name} has no array form, run it on 'virtual'")
    if engine == "direct" and not isinstance(attack, Computes):
        raise ScenarioError(f"engine = 'direct': {name} attacks networks, run it on 'virtual'")
    if engine == "columns":
        check_poll(scenario, attack)
        return
    check_years(scenario)
    if scenario.population != PopulationTable():
        raise ScenarioError(f"population: engine = {engine!r} has no polls, use 'columns'")
    if engine != "direct" and not hasattr(attack, "recruit"):
        raise ScenarioError(f"engine = {engine!r}: {name} attacks no network, run it on 'direct'")
    if isinstance(attack, Restarts) and not scenario.attack.victims:
        raise ScenarioError(f"attack.victims = 0: {name} needs somebody who restarts")
    needs_virtual = isinstance(attack, Restarts) or (isinstance(attack, Spoofs) and attack.spoofs)
    if engine == "live" and needs_virtual:
        raise ScenarioError(f"engine = 'live': {name} needs a simulated network, use 'virtual'")
    if engine == "live" and (scenario.churn.replaced_ratio or scenario.network.links):
        what = "churn" if scenario.churn.replaced_ratio else "network.links"
        raise ScenarioError(f"engine = 'live': {what} needs a simulated network, use 'virtual'")


def _check_ranges(scenario: Scenario) -> None:
    """Raise ScenarioError for numbers that types cannot exclude."""
    network, attack, seeds = scenario.network, scenario.attack, scenario.seeds
    brakes = scenario.brakes
    ranges: list[tuple[str, float, float, float]] = [
        ("network.nodes", network.nodes, 2, NODES_MAX[scenario.engine]),
        ("network.static_puzzle_bits", network.static_puzzle_bits, 0, 24),
        ("network.dynamic_puzzle_bits", network.dynamic_puzzle_bits, 0, 24),
        ("network.organisations", network.organisations, 0, min(network.nodes, 500)),
        ("network.networks", network.networks, 0, network.nodes),
        ("churn.replaced_ratio", scenario.churn.replaced_ratio, 0, 0.95),
        ("churn.period", scenario.churn.period, 1, 1e7),
        ("workload.operations", scenario.workload.operations, 1, 10_000_000),
        ("workload.pause", scenario.workload.pause, 0, 1e6),
        ("workload.versions", scenario.workload.versions, 1, 100),
        ("attack.identities", attack.identities, 0, 1_000_000),
        ("attack.share", attack.share, 0, 0.95),
        ("attack.hosts", attack.hosts, 0, 1_000_000),
        ("attack.networks", attack.networks, 0, 65_536),
        ("attack.lead", attack.lead, 0, 1e7),
        ("brakes.seconds", brakes.seconds, 1, 1e6),
        ("brakes.memory_mib", brakes.memory_mib, 64, 1 << 20),
        ("brakes.mib", brakes.mib, 1, 1 << 24),
        ("brakes.datagrams_per_second", brakes.datagrams_per_second, 1, 1e6),
        ("attack.victims", attack.victims, 0, max(network.nodes - BOOTSTRAPS, 0)),
        ("attack.tries", attack.tries, 0, 1e12),
        ("seeds.first", seeds.first, 0, 1 << 31),
        ("seeds.count", seeds.count, 1, 100_000),
        ("seeds.most", seeds.most, 1, 100_000),
    ]
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ScenarioError(f"{name} = {show(value)}, must be {low:g} to {high:g}")
    if scenario.churn.replaced_ratio and not scenario.workload.pause:
        raise ScenarioError("workload.pause = 0, must be more than 0 seconds where there is churn")
    if scenario.churn.replaced_ratio and network.organisations:
        raise ScenarioError("network.organisations: newcomers of churn would be on no roster")
    if scenario.churn.replaced_ratio and attack.victims:
        raise ScenarioError("attack.victims: churn might replace them, leave one of the two out")
    if scenario.workload.askers == "victims" and not attack.victims:
        raise ScenarioError("workload.askers = 'victims': there are none, set attack.victims")
    if attack.enrolled and attack.tries:
        raise ScenarioError("attack.tries: enrolled attackers need no luck, leave one of them out")
    if attack.enrolled and not network.organisations:
        raise ScenarioError("attack.enrolled: there is no roster, set network.organisations")
    if attack.share and attack.identities:
        raise ScenarioError(
            f"attack: identities = {attack.identities} and share = {attack.share}, give one of them"
        )


def _check_names(scenario: Scenario) -> None:
    """Raise ScenarioError for names that are unknown, used twice, or no names."""
    if not NAME.fullmatch(scenario.name):
        allowed = "1 to 60 small letters, digits and hyphens"
        raise ScenarioError(f"name = {show(scenario.name)}, must be {allowed}")
    if scenario.attack.name not in ATTACKS:
        near = nearest(scenario.attack.name, ATTACKS)
        raise ScenarioError(f"attack.name: unknown attack {scenario.attack.name!r}{near}")
    names = [table.name for table in scenario.defenses]
    for i, name in enumerate(names):
        if name not in DEFENSES:
            near = nearest(name, DEFENSES)
            raise ScenarioError(f"defenses[{i}].name: unknown defence {name!r}{near}")
        if name in names[:i]:
            raise ScenarioError(f"defenses: {name!r} is there twice")
