"""A question to the network: retrieve through a node, then answer here, by that node's rules."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qisguard.errors import ScenarioError
from qisguard.exits import Exit
from qisguard.fill import nearest
from qisguard.identity.roster import Roster
from qisguard.outcomes.answer import Answer, State
from qisguard.outcomes.synthesis import SynthesisConfig, synthesize
from qisguard.outcomes.template import Template
from qisguard.plugins import Settings, Tunes
from qisguard.service.asks import KEYS_MAX, Control, Found
from qisguard.service.cases import field_values
from qisguard.service.clock import CALENDAR, RealTime
from qisguard.service.config import ServiceConfig
from qisguard.service.opening import make_defenses, open_network_file, open_roster_file


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and how complete what it was made from is.

    ``silent`` counts keys that no replica answered for; ``refused`` what replicas sent that was not
    used, by reason.
    """

    answer: Answer
    keys: int
    asked: int
    answered: int
    silent: int
    refused: dict[str, int]

    @property
    def end(self) -> Exit:
        """Return 3 when there are too few cases, or a part of them could not be asked for."""
        if self.silent or self.answer.state is State.TOO_SMALL:
            return Exit.NOT_MEASURED
        return Exit.CLEAN

    def as_json(self) -> dict[str, Any]:
        """Return plain values; of a cohort that is too small nothing but that."""
        head = {
            "schema": "qisguard.answer/v1",
            "keys": self.keys,
            "replicas_asked": self.asked,
            "replicas_answered": self.answered,
            "keys_without_answer": self.silent,
        }
        if self.end is not Exit.CLEAN:
            state = State.TOO_SMALL if not self.silent else "not measured"
            shown = {"state": state, "reasons": list(self.answer.reasons), "decision": None}
            return {**head, **shown, "estimand": self.answer.estimand, "exit": int(self.end)}
        return {**head, "refused": self.refused, **asdict(self.answer), "exit": int(self.end)}


def ask(
    config: ServiceConfig,
    template: Template,
    pairs: Sequence[str],
    arms: Sequence[str],
    horizon: int | None,
) -> Reply:
    """Return the answer for the cases that fit ``field=value`` pairs.

    Args:
        config: of the running node to go through; its roster and defences decide what counts.
        template: what similar means.
        pairs: fields that are given; the others stay open.
        arms: two treatments, or none for the template's first two.
        horizon: in days, or None for the template's.

    Raises:
        QisguardError: the question does not fit the template, or the node cannot be asked.
    """
    wanted = _arms(template, arms)
    if horizon is not None and (horizon < 1 or not template.outcome.holds(horizon)):
        allowed = template.outcome.allowed
        raise ScenarioError(f"--horizon = {horizon}, must be 1 or more and {allowed}")
    keys = template.expand(field_values(_values(template, pairs), template))
    network = open_network_file(config)
    roster = open_roster_file(config, network) or Roster(network.id, 0, ())
    defenses = make_defenses(config, roster, [template])
    settings = Settings(config.limits, SynthesisConfig(horizon=horizon))
    for defense in defenses:
        if isinstance(defense, Tunes):
            settings = defense.tune(settings)
    found = Found()
    with Control(config.node.state) as control:
        for at in range(0, len(keys), KEYS_MAX):
            part = control.retrieve(keys[at : at + KEYS_MAX])
            found.packets += part.packets
            found.first_seen |= part.first_seen
            found.keys += part.keys
    answer = synthesize(
        found.packets,
        template,
        roster,
        settings.synthesis,
        defenses,
        arms=wanted,
        today=CALENDAR.day(RealTime().now()),
        first_seen=found.first_seen,
    )
    refused: Counter[str] = Counter()
    for row in found.keys:
        refused.update(row.refused)
    return Reply(
        answer,
        len(keys),
        sum(row.asked for row in found.keys),
        sum(row.answered for row in found.keys),
        sum(row.answered == 0 for row in found.keys),
        dict(refused),
    )


def _values(template: Template, pairs: Sequence[str]) -> dict[str, object]:
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
    return values


def _arms(template: Template, arms: Sequence[str]) -> tuple[str, str]:
    chosen = tuple(arms) or template.arms[:2]
    if len(chosen) != 2 or len(set(chosen)) != 2 or not set(chosen) <= set(template.arms):
        allowed = ", ".join(template.arms)
        raise ScenarioError(f"--arms = {','.join(chosen)}, must be two of {allowed}")
    return chosen[0], chosen[1]
