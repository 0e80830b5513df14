"""Refuse packets that no case of the template could have produced."""

from dataclasses import dataclass
from functools import cached_property

from qisguard.errors import RecordError
from qisguard.outcomes.packet import Outcome, OutcomePacket
from qisguard.outcomes.template import Template
from qisguard.plugins import Card, Rejected


@dataclass(frozen=True)
class Structure:
    """Check template, key, treatment, follow-up time and features against ``template``.

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

    @cached_property
    def _keys(self) -> frozenset[bytes] | None:
        """Every key of the template, or None when there are too many to list."""
        try:
            return frozenset(self.template.expand({}, self.secret))
        except RecordError:
            return None

    @cached_property
    def _shared(self) -> frozenset[str]:
        return frozenset(f.name for f in self.template.fields) & {
            r.name for r in self.template.feat
        }

    def accept(
        self, packet: OutcomePacket, held: OutcomePacket | None, today: int
    ) -> Rejected | None:
        """Return what the packet breaks, or None."""
        body = packet.body
        if body.tpl != self.template.id:
            return Rejected("structure: another template")
        if self._keys is not None and packet.key not in self._keys:
            return Rejected("structure: not a key of this template")
        if body.day > today + self.skew:
            return Rejected("structure: observed in the future")
        if body.gone:
            return None
        if self.template.fault(body.arm, Outcome.of(body), body.feat):
            return Rejected("structure: value outside the template")
        told = {name: body.feat[name] for name in self._shared if name in body.feat}
        if told and packet.key not in self.template.expand(told, self.secret):
            return Rejected("structure: features and key disagree")
        return None
