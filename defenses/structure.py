"""Refuse packets that no case of the template could have produced."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from qisguard.outcomes.packet import Outcome, OutcomePacket
from qisguard.outcomes.template import Template
from qisguard.plugins import Card, Rejected


@dataclass(frozen=True)
class Structure:
    """Check template, key, treatment, outcome, features and rules against ``template``.

    ``secret`` is the network's secret when its similarity keys are keyed. A future observation
    is refused beyond ``skew`` days, which clocks may differ by.
    """

    template: Template
    secret: bytes | None = None
    skew: int = 1
    card = Card(
        "structure",
        family="poisoning",
        summary="Packets must fit the template: key, treatment, time range and feature ranges.",
        capability="any author key",
        breaks="impossible values, foreign keys, packets of another template",
        source="design, section 5; BEP 44 (checks before storing)",
        seen="packets dropped as 'structure: ...'",
        limits="A plausible lie passes: a death just before the horizon is a possible outcome.",
    )

    def __post_init__(self) -> None:
        self.template.check_secret(self.secret)

    @cached_property
    def _keys(self) -> Mapping[bytes, tuple[str, ...]] | None:
        """Every key of the template with its labels, or None when there are too many to list."""
        return self.template.cases(self.secret)

    def accept(
        self, packet: OutcomePacket, held: OutcomePacket | None, today: int
    ) -> Rejected | None:
        """Return what the packet breaks, or None."""
        body = packet.body
        if body.tpl != self.template.id:
            return Rejected("structure: another template")
        labels = self._keys.get(packet.key) if self._keys is not None else None
        is_listed = self._keys is None or labels is not None
        if packet.key[0] != self.template.prefix or not is_listed:
            return Rejected("structure: not a key of this template")
        if body.day > today + self.skew:
            return Rejected("structure: observed in the future")
        if body.gone:
            return None
        outcome = Outcome.of(body)
        if broken := self.template.broken(body.arm, outcome, body.feat, labels):
            return Rejected(f"structure: rule {broken.rule}")
        if self.template.fault(body.arm, outcome, body.feat, labels):
            return Rejected("structure: value outside the template")
        for field, label in zip(self.template.fields, labels or (), strict=False):
            if field.name in body.feat and field.find(body.feat[field.name]) != label:
                return Rejected("structure: features and key disagree")
        return None
