"""Rules across fields, as data: *when* these hold, *then* those must.

    [[rule]]
    name = "few nodes in grade I"
    when = { grade = "I" }
    then = { nodes = [0, 20] }

- A condition is a text, a list of texts (any of them), or ``[low, high]`` with both ends included.
- Fields are named with their categories or bins, so that a rule is decided by the key; features,
  ``arm``, ``value``, ``time`` and ``event`` with what a packet says.
- A rule applies when everything under ``when`` is known and holds. What is not known under ``then``
  breaks nothing.
- There is no expression language: every rule is decided in time linear in its conditions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qisguard.outcomes.fields import Field, OutcomeRule, Range, Value
from qisguard.outcomes.packet import TIME_TO_EVENT
from qisguard.outcomes.tables import Table, is_number, is_text, plain

RULES_MAX = 32
CONDITIONS_MAX = 8


@dataclass(frozen=True, slots=True)
class Condition:
    """What one name must be: one of ``values``, or a number from ``low`` to ``high``."""

    name: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    unit: str = ""

    @property
    def allowed(self) -> str:
        """Return the condition in words, without the name."""
        if self.values:
            return " or ".join(self.values)
        if self.low == self.high:
            return f"{self.low:.15g} {self.unit}".rstrip()
        return f"{self.low:.15g} to {self.high:.15g} {self.unit}".rstrip()

    def holds(self, value: Value) -> bool:
        """Return whether a value meets the condition."""
        if self.values:
            return value in self.values
        return not isinstance(value, str) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a case breaks: ``name`` is ``value``, must be ``allowed``."""

    rule: str
    name: str
    value: Value
    allowed: str

    def __str__(self) -> str:
        return f"{self.name} {self.value!r} is not {self.allowed}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; both sides have at least one condition."""

    name: str
    when: tuple[Condition, ...]
    then: tuple[Condition, ...]

    def __str__(self) -> str:
        must = " and ".join(f"{c.name} must be {c.allowed}" for c in self.then)
        return f"when {self._when()}, {must}"

    def broken(self, known: Mapping[str, Value]) -> Broken | None:
        """Return what breaks the rule among the values that are known, or None."""
        if not all(c.name in known and c.holds(known[c.name]) for c in self.when):
            return None
        for condition in self.then:
            if condition.name in known and not condition.holds(known[condition.name]):
                allowed = f"{condition.allowed} when {self._when()} (rule {self.name!r})"
                return Broken(self.name, condition.name, known[condition.name], allowed)
        return None

    def _when(self) -> str:
        return " and ".join(f"{c.name} is {c.allowed}" for c in self.when)


class Names:
    """Everything that a rule may speak of: closed sets of texts, and ranges of numbers."""

    def __init__(
        self,
        fields: Sequence[Field],
        feat: Sequence[Range],
        arms: Sequence[str],
        outcome: OutcomeRule,
    ) -> None:
        self._sets = {rule.name: rule.values for rule in feat if rule.values}
        self._sets |= {field.name: field.labels for field in fields} | {"arm": tuple(arms)}
        is_time = outcome.kind == TIME_TO_EVENT
        ranges = [Condition(r.name, low=r.low, high=r.high, unit=r.unit) for r in feat]
        whole = Condition("", low=outcome.low, high=outcome.high, unit=outcome.unit)
        ranges += [replace(whole, name="time" if is_time else "value")]
        ranges += [Condition("event", low=0, high=1)] if is_time else []
        self._ranges = {c.name: c for c in ranges if c.name not in self._sets}

    def read(self, table: Table) -> Rule:
        """Return the rule of one ``[[rule]]`` table."""
        table.known("name", "when", "then")
        name = table.text("name")
        when, then = (self._conditions(table, side) for side in ("when", "then"))
        for both in {c.name for c in when} & {c.name for c in then}:
            table.wrong("then", both, "about other names than when")
        return Rule(name, when, then)

    def _conditions(self, table: Table, side: str) -> tuple[Condition, ...]:
        given = table.table(side, f"{table.where}.{side}")
        if given.values or isinstance(table.values.get(side), dict):
            if not 1 <= len(given.values) <= CONDITIONS_MAX:
                count = f"{len(given.values)} conditions"
                table.wrong(side, count, f"1 to {CONDITIONS_MAX} conditions")
            given.known(*self._sets, *self._ranges)
        made = (self._condition(given, key) for key in list(given.values)[:CONDITIONS_MAX])
        return tuple(condition for condition in made if condition)

    def _condition(self, table: Table, key: str) -> Condition | None:
        value = table.values[key]
        if key in self._sets:
            allowed = self._sets[key]
            words = [value] if is_text(value) else value
            fits = isinstance(words, list) and 0 < len(words) == len(set(map(str, words)))
            if not fits or not all(word in allowed for word in words):
                table.wrong(key, value, f"one or more of {', '.join(allowed)}")
            elif len(words) == len(allowed):
                table.wrong(key, value, f"fewer than all of {', '.join(allowed)}: it says nothing")
            else:
                return Condition(key, tuple(words))
        elif key in self._ranges:
            around = self._ranges[key]
            fits = isinstance(value, list) and len(value) == 2 and all(map(is_number, value))
            if not fits or not around.low <= value[0] <= value[1] <= around.high:
                table.wrong(key, value, f"[low, high] within {around.allowed}")
            elif (value[0], value[1]) == (around.low, around.high):
                table.wrong(key, value, f"narrower than {around.allowed}: it says nothing")
            else:
                low, high = (float(plain(number) or 0) for number in value)
                return Condition(key, low=low, high=high, unit=around.unit)
        return None
