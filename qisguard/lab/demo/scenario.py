"""A scenario: everything a run depends on, in one TOML file, checked before anything starts."""

import datetime
import re
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources

from qisguard.attacks import ATTACKS
from qisguard.config import NodeConfig
from qisguard.defenses import DEFENSES
from qisguard.errors import QisguardError, RecordError, ScenarioError
from qisguard.fill import fill, nearest, show
from qisguard.identity.roster import Roster
from qisguard.lab.demo.tables import (
    ClockTable,
    NetworkRun,
    NetworkTable,
    QuestionTable,
    Scenario,
    SeedsTable,
    Step,
)
from qisguard.lab.links import Links, read_links
from qisguard.lab.toml import convert, parse
from qisguard.outcomes.synthesis import SynthesisConfig
from qisguard.outcomes.template import Template, open_template
from qisguard.plugins import Attack, Clock, Defense, Inspects, Settings, Tunes
from qisguard.store.store import StoreLimits

ISSUERS_MAX = 500
SYBILS_MAX = 10_000
EPOCH = datetime.date(1970, 1, 1)
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}")
"""What networks and scenarios are called: their names become parts of file names."""

SYBILS = "sybil_poisoning"
INSIDERS = "compromised_hospital"
"""The attacks that a step's ``sybils`` and ``hospitals`` are played by."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked scenario with what follows from it."""

    scenario: Scenario
    digest: str
    node: NodeConfig
    links: Links
    first_day: int
    template: Template

    @property
    def clock(self) -> Clock:
        """Return how the scenario's engines map their seconds to days."""
        return Clock(self.first_day, self.scenario.clock.rate)

    @property
    def limits(self) -> StoreLimits:
        """Return the caps of every node's store."""
        return StoreLimits.of(self.node)

    @property
    def sybils_max(self) -> int:
        """Return the largest Sybil budget of any step."""
        return max(step.sybils for step in self.scenario.steps)

    def attacks(self) -> dict[str, Attack]:
        """Return the attacks by name, with their parameters."""
        return {
            name: fill(ATTACKS[name], parameters, f"attacks.{name}")
            for name, parameters in self.scenario.attacks.items()
        }

    def defenses(self, run: NetworkRun, roster: Roster) -> list[Defense]:
        """Return the defences of one network, in order, with their parameters."""
        context = {"roster": roster, "template": self.template}
        return [
            fill(DEFENSES[name], run.parameters.get(name, {}), _place(run, name), context)
            for name in run.defenses
        ]

    def settings(self, run: NetworkRun, defenses: list[Defense]) -> Settings:
        """Return what the defences of one network make of its configuration."""
        horizon = self.scenario.question.horizon
        settings = Settings(self.node, SynthesisConfig(horizon=horizon))
        for name, defense in zip(run.defenses, defenses, strict=True):
            if isinstance(defense, Tunes):
                try:
                    settings = defense.tune(settings)
                except (QisguardError, ValueError) as error:
                    raise ScenarioError(f"{_place(run, name)}: {error}") from None
        return settings


def packaged(name: str) -> bytes:
    """Return a scenario or template that ships with qisguard, such as ``demo.toml``."""
    return resources.files("qisguard").joinpath("scenarios", name).read_bytes()


def load_scenario(data: bytes) -> Loaded:
    """Return the scenario in ``data``; raise ScenarioError naming table, key, value and range.

    Attacks, defences and the question are built once here, so that nothing fails half way.
    """
    scenario = convert(parse(data, "scenario"), Scenario, _TABLES)
    _check_names(scenario)
    _check_ranges(scenario)
    loaded = Loaded(
        scenario,
        sha256(data).hexdigest(),
        fill(NodeConfig, scenario.network.node, "network.node"),
        read_links(scenario.network.links, "network.links"),
        _first_day(scenario.clock),
        _template(scenario.question),
    )
    loaded.attacks()
    for run in scenario.networks:
        loaded.settings(run, loaded.defenses(run, Roster(b"", 0, ())))
    return loaded


_TABLES = {
    "network": NetworkTable,
    "clock": ClockTable,
    "question": QuestionTable,
    "networks": NetworkRun,
    "steps": Step,
    "seeds": SeedsTable,
}


def _place(run: NetworkRun, defense: str) -> str:
    return f"networks.{run.name}.parameters.{defense}"


def _first_day(clock: ClockTable) -> int:
    try:
        day = (datetime.date.fromisoformat(clock.first_day) - EPOCH).days
    except ValueError:
        raise ScenarioError(
            f"clock.first_day = {show(clock.first_day)}, must be a date such as 2026-01-01"
        ) from None
    if day < clock.enrolled_days[1]:
        raise ScenarioError(
            f"clock.first_day = {clock.first_day!r}, must be {clock.enrolled_days[1]} days "
            f"(enrolled_days) or more after {EPOCH}"
        )
    return day


def _template(question: QuestionTable) -> Template:
    """Return the template of the question, once it can be asked by it."""
    folder = resources.files("qisguard").joinpath("scenarios", "templates")
    files = [entry.name for entry in folder.iterdir()]
    known = [name.removesuffix(".toml") for name in files if name.endswith(".toml")]
    if question.template not in known:
        raise ScenarioError(
            f"question.template = {show(question.template)}: unknown"
            f"{nearest(question.template, known)}"
        )
    template = open_template(packaged(f"templates/{question.template}.toml"))
    if len(set(question.arms)) != 2 or not set(question.arms) <= set(template.arms):
        raise ScenarioError(
            f"question.arms = {show(question.arms)}, must be two of {', '.join(template.arms)}"
        )
    if not template.outcome.holds(question.horizon):
        allowed = template.outcome.allowed
        raise ScenarioError(f"question.horizon = {question.horizon}, not {allowed}")
    try:
        template.expand(question.values)
    except RecordError as error:
        raise ScenarioError(f"question.values: {error}") from None
    return template


def _check_ranges(scenario: Scenario) -> None:
    """Raise ScenarioError for numbers that types cannot exclude."""
    network, clock = scenario.network, scenario.clock
    ranges = [
        ("network.issuers", network.issuers, 2, ISSUERS_MAX),
        ("network.nodes_per_issuer", network.nodes_per_issuer, 1, 100),
        ("network.static_puzzle_bits", network.static_puzzle_bits, 0, 24),
        ("network.dynamic_puzzle_bits", network.dynamic_puzzle_bits, 0, 24),
        ("clock.rate", clock.rate, 1, 86_400 * 366),
        ("clock.enrolled_days[1]", clock.enrolled_days[1], 0, 20_000),
        ("clock.enrolled_days[0]", clock.enrolled_days[0], 0, clock.enrolled_days[1]),
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
        for count, attack in ((step.sybils, SYBILS), (step.hospitals, INSIDERS)):
            if count and attack not in scenario.attacks:
                raise ScenarioError(f"steps.{step.name}: needs the table [attacks.{attack}]")
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ScenarioError(f"{name} = {show(value)}, must be {low} to {high}")


def _check_names(scenario: Scenario) -> None:
    """Raise ScenarioError for names that are unknown, used twice, or no names."""
    for place, name in [
        ("name", scenario.name),
        *((f"networks[{i}].name", run.name) for i, run in enumerate(scenario.networks)),
    ]:
        if not FILE_NAME.fullmatch(name):
            allowed = "1 to 40 letters, digits, spaces, dots, underscores and hyphens"
            raise ScenarioError(f"{place} = {show(name)}, must be {allowed}")
    for what, names in [
        ("steps", [step.name for step in scenario.steps]),
        ("networks", [run.name for run in scenario.networks]),
        *((f"networks.{run.name}.defenses", run.defenses) for run in scenario.networks),
    ]:
        twice = [name for i, name in enumerate(names) if name in names[:i]]
        if twice:
            raise ScenarioError(f"{what}: {show(twice[0])} is there twice")
    for attack in scenario.attacks:
        if attack not in ATTACKS:
            raise ScenarioError(f"attacks: unknown attack {attack!r}{nearest(attack, ATTACKS)}")
    for run in scenario.networks:
        for defense in run.defenses:
            if defense not in DEFENSES:
                near = nearest(defense, DEFENSES)
                raise ScenarioError(
                    f"networks.{run.name}.defenses: unknown defence {defense!r}{near}"
                )
            if issubclass(DEFENSES[defense], Inspects):  # it would be named, and never asked
                raise ScenarioError(
                    f"networks.{run.name}.defenses: {defense!r} inspects the ids around a key, "
                    "which no step of a scenario looks up"
                )
        for defense in run.parameters:
            if defense not in run.defenses:
                near = nearest(defense, run.defenses)
                raise ScenarioError(
                    f"networks.{run.name}.parameters: {defense!r} is not among its defences{near}"
                )
