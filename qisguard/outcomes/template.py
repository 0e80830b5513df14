"""Templates: what an expert means by "similar", and the keys and checks that follow from it.

- A template is TOML: ordered fields, each a closed set of categories or numeric bins with a unit.
- Values give a 32-byte similarity key: one byte of domain, then 31 bytes of SHA-256 over a tag, the
  template's id and the canonical values. An unkeyed key over few categories is enumerated offline
  in seconds; with a network secret the hash is HMAC-SHA256 (RFC 2104). docs/spec/similarity.md has
  the rules, tests/vectors/similarity.json the cases.
- Bins are half-open, ``[lower, upper)``, and the last is open above. A query may leave out the
  fields that are ``open``: it expands to every key that fits, up to the template's cap.
"""

import hmac
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import product

import msgspec

from qisguard.errors import RecordError
from qisguard.outcomes.fields import (
    Field,
    OutcomeRule,
    Range,
    Value,
    read_field,
    read_outcome,
    read_range,
    wrong,
)
from qisguard.outcomes.migrates import Migrates, read_migrates
from qisguard.outcomes.packet import (
    BINARY,
    NUMERIC,
    PACKET_SIZE_MAX,
    TIME_TO_EVENT,
    Outcome,
    longest_packet,
)
from qisguard.outcomes.rules import RULES_MAX, Broken, Names, Rule
from qisguard.outcomes.tables import Table, read_toml

__all__ = ["Field", "OutcomeRule", "Range", "Template", "Value", "open_template", "read_template"]

KEY_TAG = b"qisguard/similarity-key/v1\n"
SECRET_SIZE = 32
TEMPLATE_SIZE_MAX = 64 << 10
FIELDS_MAX = 32
VERSION_MAX = 10**6
EXPANSION_MAX = 10**5
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
COLUMNS = ("case", "arm", "time", "event", "value", "unit")
"""What a file of cases has beside fields and features; no field can be called so."""


@dataclass(frozen=True)
class Template:
    """An expert's definition of similar cases, of the treatments and of a possible outcome.

    ``keyed`` is None where the template leaves it to the network: keyed in one with a roster.
    """

    name: str
    version: int
    expansion_cap: int
    prefix: int
    label: str
    arms: tuple[str, ...]
    fields: tuple[Field, ...]
    outcome: OutcomeRule
    feat: tuple[Range, ...]
    rules: tuple[Rule, ...] = ()
    keyed: bool | None = None
    migrates: Migrates | None = None

    @property
    def id(self) -> str:
        """Return what packets carry as ``tpl``."""
        return f"{self.name}/{self.version}"

    @property
    def key_count(self) -> int:
        """Return how many keys there are."""
        return math.prod(len(field.labels) for field in self.fields)

    @cached_property
    def _names(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def _feat(self) -> dict[str, Range]:
        return {rule.name: rule for rule in self.feat}

    def is_keyed(self, has_roster: bool) -> bool:
        """Return whether keys are made with the secret of a network with or without a roster."""
        return has_roster if self.keyed is None else self.keyed

    def labels(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the category or bin of every field; raise RecordError when one is wrong."""
        self._known(values)
        missing = [name for name in self._names if name not in values]
        if missing:
            raise RecordError(f"template {self.id}: {missing[0]} is missing")
        return tuple(field.label(values[field.name]) for field in self.fields)

    def key(self, values: Mapping[str, Value], secret: bytes | None = None) -> bytes:
        """Return the similarity key of a case; raise RecordError when a field is open or wrong."""
        return self.hash(self.labels(values), secret)

    def expand(
        self, partial: Mapping[str, Value], secret: bytes | None = None
    ) -> tuple[bytes, ...]:
        """Return the keys of every case that fits ``partial``, in the order of the template.

        Raises:
            RecordError: an unknown field, a value outside its field, a field that may not be left
                open, or more than ``expansion_cap`` keys.
        """
        return self.product(self.axes(partial), secret)

    def axes(self, partial: Mapping[str, Value]) -> tuple[tuple[str, ...], ...]:
        """Return the labels of each field that a query asks for; raises as ``expand``."""
        self._known(partial)
        left = [field for field in self.fields if field.name not in partial]
        for field in left:
            if not field.is_open:
                must = f"{field.name} is missing, and a query may not leave it open"
                raise RecordError(f"template {self.id}: {must}; it must be {field.allowed}")
        axes = tuple(
            (field.label(partial[field.name]),) if field.name in partial else field.labels
            for field in self.fields
        )
        total = math.prod(len(axis) for axis in axes)
        if total > self.expansion_cap:
            each = " and ".join(f"{field.name} ({len(field.labels)})" for field in left)
            raise RecordError(
                f"template {self.id}: expansion_cap = {self.expansion_cap}, and leaving {each} "
                f"open takes {total} keys: give one of them"
            )
        return axes

    def product(
        self, axes: Sequence[Collection[str]], secret: bytes | None = None
    ) -> tuple[bytes, ...]:
        """Return the keys of every combination of labels, one axis a field."""
        return tuple(self.hash(labels, secret) for labels in product(*axes))

    def cases(self, secret: bytes | None = None) -> dict[bytes, tuple[str, ...]] | None:
        """Return the labels behind every key, or None when there are too many to list."""
        if self.key_count > EXPANSION_MAX:
            return None
        every = product(*(field.labels for field in self.fields))
        return {self.hash(labels, secret): labels for labels in every}

    def check_secret(self, secret: bytes | None) -> None:
        """Raise RecordError unless ``secret`` is what the keys of this template take."""
        if secret is None:
            if self.keyed is True:
                raise RecordError(f"template {self.id} is keyed, and no secret is given")
        elif self.keyed is False:
            raise RecordError(f"template {self.id} is not keyed, and a secret is given")
        elif len(secret) != SECRET_SIZE:
            raise RecordError(f"template: secret of {len(secret)} bytes, must be {SECRET_SIZE}")

    def hash(self, labels: Sequence[str], secret: bytes | None = None) -> bytes:
        """Return the key of one label a field; raise RecordError for a secret too few or many."""
        self.check_secret(secret)
        names = (field.name for field in self.fields)
        canonical = msgspec.json.encode(list(zip(names, labels, strict=True)))
        message = KEY_TAG + self.id.encode() + b"\n" + canonical
        if secret is None:
            digest = sha256(message).digest()
        else:
            digest = hmac.digest(secret, message, "sha256")
        return bytes([self.prefix]) + digest[:31]

    def fault(
        self,
        arm: str,
        outcome: Outcome,
        feat: Mapping[str, Value],
        labels: Sequence[str] | None = None,
    ) -> str | None:
        """Return why no case could have had this outcome, or None.

        ``labels`` are those behind the case's key, None where they are not known.
        """
        if arm not in self.arms:
            return f"arm {arm!r} is not one of {', '.join(self.arms)}"
        if fault := self.outcome.fault(outcome):
            return fault
        for name, value in feat.items():
            rule = self._feat.get(name)
            if rule is None:
                return f"feature {name!r} is not one of {', '.join(self._feat)}"
            if not rule.holds(value):
                return f"{name} {value!r} is not {rule.allowed}"
        broken = self.broken(arm, outcome, feat, labels)
        return str(broken) if broken else None

    def broken(
        self,
        arm: str,
        outcome: Outcome,
        feat: Mapping[str, Value],
        labels: Sequence[str] | None = None,
    ) -> Broken | None:
        """Return the first rule across fields that a case breaks, or None."""
        if not self.rules:
            return None
        told = {"value": outcome.value, "time": outcome.time, "event": outcome.event}
        known: dict[str, Value] = {name: v for name, v in told.items() if v is not None}
        known.update(feat, arm=arm)
        for place, field in enumerate(self.fields):
            own = known.pop(field.name, None)  # of a field a rule speaks by its label
            label = labels[place] if labels else None if own is None else field.find(own)
            if label is not None:
                known[field.name] = label
        found = (rule.broken(known) for rule in self.rules)
        return next((broken for broken in found if broken), None)

    def _known(self, values: Mapping[str, Value]) -> None:
        for name in values:
            if name not in self._names:
                raise wrong("field", name, f"one of {', '.join(self._names)}")


def open_template(data: bytes) -> Template:
    """Return the template in a TOML file; raise RecordError naming table, key, value, allowed."""
    template, faults = read_template(data)
    if template is None:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise RecordError(f"template: {faults[0]}{more}")
    return template


def read_template(data: bytes) -> tuple[Template | None, list[str]]:
    """Return the template in a TOML file, or None and everything that is wrong with it.

    Raises:
        RecordError: the file is no TOML at all.
    """
    faults: list[str] = []
    top = Table(read_toml(data, TEMPLATE_SIZE_MAX), "", faults)
    scalars = ("name", "version", "expansion_cap", "arms", "keyed")
    top.known(*scalars, "domain", "outcome", "field", "feat", "rule", "migrates")
    name = top.text("name")
    if name and not NAME.fullmatch(name):
        top.wrong("name", name, "lower-case letters, digits, dots, underscores and hyphens")
    version = top.whole("version", 1, VERSION_MAX)
    arms = top.words("arms", least=2)
    domain = top.table("domain")
    domain.known("prefix", "label")
    prefix, label = domain.whole("prefix", 0, 255), domain.text("label")
    fields = tuple(map(read_field, top.tables("field", 1, FIELDS_MAX)))
    outcome = read_outcome(top.table("outcome"))
    feat = _features(top)
    names = Names(fields, feat, arms, outcome)
    rules = tuple(map(names.read, top.tables("rule", 0, RULES_MAX)))
    migrates = None
    if "migrates" in top.values:
        migrates = read_migrates(top.table("migrates"), version, fields)
    template = Template(
        name=name,
        version=version,
        expansion_cap=top.whole("expansion_cap", 1, EXPANSION_MAX),
        prefix=prefix,
        label=label,
        arms=arms,
        fields=fields,
        outcome=outcome,
        feat=feat,
        rules=rules,
        keyed=top.flag("keyed", None),
        migrates=migrates,
    )
    _check_names(top, template)
    if not faults:
        _check_size(top, template)
    return (None if faults else template), faults


def _features(top: Table) -> tuple[Range, ...]:
    if "feat" not in top.values:
        return ()
    table = top.table("feat")
    if len(table.values) > FIELDS_MAX:
        table.wrong("", f"{len(table.values)} features", f"at most {FIELDS_MAX}")
    names = list(table.values)[:FIELDS_MAX]
    for name in names:
        table.name(name)
    return tuple(read_range(name, table.table(name, f"feat.{name}")) for name in names)


def _check_names(top: Table, template: Template) -> None:
    """Note names that are there twice or mean something else in a file of cases."""
    for what, names in (
        ("field", [field.name for field in template.fields]),
        ("rule", [rule.name for rule in template.rules]),
    ):
        if len(set(names)) != len(names):
            top.wrong(f"{what}.name", names, "each name once")
    for name in (*(f.name for f in template.fields), *(r.name for r in template.feat)):
        if name in COLUMNS:
            top.wrong("field or feat", name, f"none of {', '.join(COLUMNS)}")


def _check_size(top: Table, template: Template) -> None:
    """Note a template whose longest packet would not be accepted anywhere."""
    outcome = {
        BINARY: Outcome.binary(True),
        NUMERIC: Outcome.numeric(-1.2345678901234567e-300, template.outcome.unit),
        TIME_TO_EVENT: Outcome.after(int(template.outcome.high), 1),
    }[template.outcome.kind]
    feat: dict[str, int | str] = {
        rule.name: max(rule.values, key=lambda word: len(word.encode()))
        if rule.values
        else max(rule.low, rule.high, key=lambda number: len(str(number)))
        for rule in template.feat
    }
    arm = max(template.arms, key=lambda word: len(word.encode()))
    size = longest_packet(template.id, arm, outcome, feat)
    if size > PACKET_SIZE_MAX:
        allowed = f"at most {PACKET_SIZE_MAX} bytes: shorten names, or have fewer features"
        top.wrong("template", f"packets of up to {size} bytes", allowed)
