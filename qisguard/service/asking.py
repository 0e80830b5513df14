"""A question to the network: retrieve through a node, then answer here, by that node's rules."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from qisguard.errors import ScenarioError
from qisguard.exits import Exit
from qisguard.fill import nearest
from qisguard.identity.roster import Roster
from qisguard.outcomes.annals import past_of
from qisguard.outcomes.answer import Answer, State
from qisguard.outcomes.archive import Past
from qisguard.outcomes.lineage import Lineage
from qisguard.outcomes.packet import TIME_TO_EVENT
from qisguard.outcomes.reputation import Standing, Standings
from qisguard.outcomes.synthesis import SynthesisConfig, synthesize
from qisguard.outcomes.template import Template, Value
from qisguard.plugins import Settings, Tunes
from qisguard.service.asks import KEYS_MAX, Control, Found, Told
from qisguard.service.cases import field_values
from qisguard.service.clock import CALENDAR, RealTime
from qisguard.service.config import ServiceConfig
from qisguard.service.keying import secret_of
from qisguard.service.opening import make_defenses, open_network_file, open_roster_file

PAST_DAYS = 5 * 364
PAST_STEP = 7
"""How far back a question looks, and how many days it takes together, for detectors of change."""


@dataclass(frozen=True, slots=True)
class VersionRead:
    """How far one version of the template was read.

    ``left_out`` counts keys under which only a part of the cases would fit the question, so that
    none was used; ``packets`` those that came, whether or not they count.
    """

    template: str
    keys: int
    left_out: int
    packets: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and how complete what it was made from is.

    ``silent`` counts keys that no replica answered for; ``refused`` what replicas sent that was not
    used, by reason.
    """

    answer: Answer
    versions: tuple[VersionRead, ...]
    asked: int
    answered: int
    silent: int
    refused: dict[str, int]

    @property
    def keys(self) -> int:
        """Return how many keys were asked for."""
        return sum(version.keys for version in self.versions)

    @property
    def end(self) -> Exit:
        """Return 3 when there are too few cases, or a part of them could not be asked for."""
        if self.silent or self.answer.state is State.TOO_SMALL:
            return Exit.NOT_MEASURED
        return Exit.CLEAN

    def as_json(self) -> dict[str, Any]:
        """Return plain values; of a cohort that is too small nothing but that."""
        head: dict[str, Any] = {
            "schema": "qisguard.answer/v1",
            "keys": self.keys,
            "replicas_asked": self.asked,
            "replicas_answered": self.answered,
            "keys_without_answer": self.silent,
        }
        versions = [asdict(version) for version in self.versions]
        if self.end is not Exit.CLEAN:
            for version in versions:
                del version["packets"]
            state = State.TOO_SMALL if not self.silent else "not measured"
            shown = {"state": state, "reasons": list(self.answer.reasons), "decision": None}
            told = {"versions": versions, "estimand": self.answer.estimand, "exit": int(self.end)}
            return {**head, **shown, **told}
        body = {"versions": versions, "refused": self.refused, **asdict(self.answer)}
        return {**head, **body, "exit": int(self.end)}


def ask(
    config: ServiceConfig,
    lineage: Lineage,
    pairs: Sequence[str],
    arms: Sequence[str],
    horizon: int | None,
    feared: float | None = None,
) -> Reply:
    """Return the answer for the cases that fit ``field=value`` pairs.

    Args:
        config: of the running node to go through; its roster and defences decide what counts.
        lineage: what similar means, and the versions before it, which are read as well.
        pairs: fields that are given; the others stay open.
        arms: two treatments, or none for the template's first two.
        horizon: in days, or None for the template's.
        feared: the share of poison that the reader reckons with, from 0 to 1.

    Raises:
        QisguardError: the question does not fit the template, or the node cannot be asked.
    """
    template = lineage.template
    wanted = _arms(template, arms)
    _check_horizon(template, horizon)
    axes: Sequence[Collection[str]]
    axes = template.axes(read_pairs(template, pairs))
    network = open_network_file(config)
    signed = open_roster_file(config, network)
    roster = signed or Roster(network.id, 0, ())
    today = CALENDAR.day(RealTime().now())
    migrations = lineage.read_on(today)
    versions = [template, *(migration.old for migration in migrations)]
    standings = None
    if config.node.annals:
        with Control(config.node.state) as control:
            standings = Standings(tuple(Standing(*row) for row in control.worth()))
    defenses = make_defenses(config, network, signed, versions, standings)
    synthesis = SynthesisConfig(horizon=horizon)
    if feared is not None:
        synthesis = replace(synthesis, flip_threshold=feared)
    settings = Settings(config.limits, synthesis)
    for defense in defenses:
        if isinstance(defense, Tunes):
            settings = defense.tune(settings)
    found, read, asked = Found(), [], list[bytes]()
    with Control(config.node.state) as control:
        left_out = 0
        for place, version in enumerate(versions):
            keys = version.product(axes, secret_of(version, config, network, signed))
            before = len(found.packets)
            if version.outcome.horizon == (horizon or template.outcome.horizon):
                asked += keys
            _retrieve(control, keys, found)
            read.append(VersionRead(version.id, len(keys), left_out, len(found.packets) - before))
            if place < len(migrations):
                translated = migrations[place].translate(axes)
                axes = translated.axes or [()] * len(migrations[place].old.fields)
                left_out = translated.left_out
        past = _past(control, asked, roster, wanted, today) if config.node.annals else None
    answer = synthesize(
        found.packets,
        template,
        roster,
        settings.synthesis,
        defenses,
        arms=wanted,
        today=today,
        first_seen=found.first_seen,
        past=past,
    )
    refused: Counter[str] = Counter()
    for row in found.keys:
        refused.update(row.refused)
    return Reply(
        answer,
        tuple(read),
        sum(row.asked for row in found.keys),
        sum(row.answered for row in found.keys),
        sum(row.answered == 0 for row in found.keys),
        dict(refused),
    )


def _retrieve(control: Control, keys: Sequence[bytes], found: Found) -> None:
    for at in range(0, len(keys), KEYS_MAX):
        part = control.retrieve(keys[at : at + KEYS_MAX])
        found.packets += part.packets
        found.first_seen |= part.first_seen
        found.keys += part.keys


def _past(
    control: Control, keys: Sequence[bytes], roster: Roster, arms: tuple[str, str], today: int
) -> Past:
    """Return what replicas have archived of these keys, as they agree on it."""
    first = max(0, today - PAST_DAYS)
    told: dict[bytes, list[Told]] = {}
    for at in range(0, len(keys), KEYS_MAX):
        told |= control.past(keys[at : at + KEYS_MAX], first, PAST_STEP)
    return past_of(told, roster, arms)


def _check_horizon(template: Template, horizon: int | None) -> None:
    """Raise ScenarioError for a horizon that the template's outcome does not have."""
    if horizon is None:
        return
    rule = template.outcome
    if rule.kind != TIME_TO_EVENT:
        why = f"left out: the outcome of template {template.id} is {rule.kind}"
        raise ScenarioError(f"--horizon = {horizon}, must be {why}")
    if horizon < 1 or not rule.holds(horizon):
        raise ScenarioError(f"--horizon = {horizon}, must be 1 or more and {rule.allowed}")


def read_pairs(template: Template, pairs: Sequence[str]) -> dict[str, Value]:
    """Return what ``field=value`` pairs say; raise ScenarioError for what is no field."""
    known = [field.name for field in template.fields]
    values: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ScenarioError(f"{pair!r}, must be field=value; fields: {', '.join(known)}")
        if name not in known:
            raise ScenarioError(f"unknown field {name!r}{nearest(name, known)}")
        if name in values:
            raise ScenarioError(f"{name} is given twice")
        values[name] = text
    return field_values(values, template)


def _arms(template: Template, arms: Sequence[str]) -> tuple[str, str]:
    chosen = tuple(arms) or template.arms[:2]
    if len(chosen) != 2 or len(set(chosen)) != 2 or not set(chosen) <= set(template.arms):
        allowed = ", ".join(template.arms)
        raise ScenarioError(f"--arms = {','.join(chosen)}, must be two of {allowed}")
    return chosen[0], chosen[1]
