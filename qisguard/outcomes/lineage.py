"""Versions of a template beside each other: which keys of an older one a query may ask as well.

- A query under the new version is a set of labels for each field. An old key is asked when every
  case under it is in the query; it is left out, and counted, when only a part of them could be: an
  old bin that lies across an edge of the new ones, a category that was split, a field that the old
  version did not have and that the query gives.
- A case has one pseudonym in all versions of a template (``casebook.pseudonym``), so one author's
  case has one vote, whichever version its packet is of.
- Versions whose outcome means another thing are never read together.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from qisguard.errors import RecordError
from qisguard.outcomes.fields import Field
from qisguard.outcomes.migrates import FieldMap, Migrates
from qisguard.outcomes.template import Template

VERSIONS_MAX = 8
OUTSIDE = ""
"""Stands for values that the new version has no label for; it is nobody's label."""


@dataclass(frozen=True, slots=True)
class Translated:
    """A query in the words of the older version.

    ``axes`` are the labels to ask for, one axis a field, None for nothing at all; ``left_out``
    counts the keys that are in the query with a part of their cases only, or that are too many.
    """

    axes: tuple[tuple[str, ...], ...] | None
    left_out: int


@dataclass(frozen=True)
class Migration:
    """From version ``old`` of a template to ``new``, which has a table ``[migrates]`` about it."""

    old: Template
    new: Template

    def __post_init__(self) -> None:
        """Raise RecordError when the table does not say where every old case went."""
        old, new = self.old, self.new
        if (old.name, old.version) != (new.name, self.table.version):
            self._refuse("from", old.id, f"{new.name}/{self.table.version}")
        for what in ("kind", "unit", "higher_is_better"):
            was, now = getattr(old.outcome, what), getattr(new.outcome, what)
            if was != now:
                self._refuse(
                    f"outcome.{what}", now, f"{was}, as in {old.id}: or it is another name"
                )
        if len(set(old.arms) & set(new.arms)) < 2:
            self._refuse("arms", list(new.arms), f"at least two of those of {old.id}")
        known = [field.name for field in old.fields]
        for entry in self.table.fields:
            if entry.old not in known:
                self._refuse("field.old", entry.old, f"one of {', '.join(known)}")
        targets = [name for name in (self._target(field) for field in old.fields) if name]
        if len(set(targets)) != len(targets):
            self._refuse("field.new", targets, "each name once")
        _ = self._maps

    @property
    def table(self) -> Migrates:
        """Return what the new version says about the old one."""
        if self.new.migrates is None:
            raise RecordError(f"template {self.new.id}: [migrates] is missing")
        return self.new.migrates

    def translate(self, axes: Sequence[Collection[str]]) -> Translated:
        """Return what a query of the new version, one set of labels a field, asks of the old."""
        asked = {f.name: set(axis) for f, axis in zip(self.new.fields, axes, strict=True)}
        whole: list[tuple[str, ...]] = []
        touched = 1
        for field in self.old.fields:
            target = self._target(field)
            if not target:
                whole.append(field.labels)
                touched *= len(field.labels)
                continue
            now = self._maps[field.name]
            inside = [label for label in field.labels if now[label] and now[label] <= asked[target]]
            touched *= sum(bool(now[label] & asked[target]) for label in field.labels)
            whole.append(tuple(inside))
        exact = math.prod(map(len, whole))
        sources = {self._target(field) for field in self.old.fields}
        is_new = any(
            field.name not in sources and len(asked[field.name]) < len(field.labels)
            for field in self.new.fields
        )
        if is_new or exact == 0 or exact > self.old.expansion_cap:
            return Translated(None, touched)
        return Translated(tuple(whole), touched - exact)

    @cached_property
    def _maps(self) -> Mapping[str, Mapping[str, frozenset[str]]]:
        """For every old field that lives on: its labels, and the new labels of their cases."""
        fields = {field.name: field for field in self.new.fields}
        return {
            old.name: self._map(old, fields[target])
            for old in self.old.fields
            if (target := self._target(old))
        }

    def _entry(self, field: Field) -> FieldMap | None:
        return next((entry for entry in self.table.fields if entry.old == field.name), None)

    def _target(self, field: Field) -> str:
        """Return the new name of an old field, empty for one that was left out on purpose."""
        entry = self._entry(field)
        if entry:
            return entry.new
        if all(field.name != new.name for new in self.new.fields):
            allowed = f"about every field of {self.old.id} that is gone or renamed"
            self._refuse("field", f"nothing of {field.name!r}", allowed)
        return field.name

    def _map(self, old: Field, new: Field) -> Mapping[str, frozenset[str]]:
        entry = self._entry(old)
        if entry and entry.categories:
            if set(entry.categories) != set(old.labels):
                names = sorted(entry.categories)
                self._refuse(f"field.{old.name}.categories", names, f"for {', '.join(old.labels)}")
            return {label: frozenset(entry.categories[label]) for label in old.labels}
        if old.categories and new.categories:
            if lost := [label for label in old.labels if label not in new.labels]:
                where = f"field.{old.name}.categories"
                self._refuse(where, "nothing", f"about {', '.join(lost)}, not in {self.new.id}")
            return {label: frozenset([label]) for label in old.labels}
        if bool(old.categories) != bool(new.categories):
            self._refuse(f"field.{old.name}.categories", "nothing", "given: bins and words differ")
        if old.unit != new.unit:
            self._refuse(f"field.{new.name}.unit", new.unit, f"{old.unit}, as in {self.old.id}")
        return dict(zip(old.labels, _overlaps(old.edges, new), strict=True))

    def _refuse(self, where: str, found: object, allowed: str) -> None:
        raise RecordError(
            f"template {self.new.id}: migrates.{where} = {found!r}, must be {allowed}"
        )


def _overlaps(edges: Sequence[float], new: Field) -> list[frozenset[str]]:
    """Return, for each old bin, the new bins that it shares values with."""
    ends = [*edges[1:], math.inf]
    tops = [*new.edges[1:], math.inf]
    found = []
    for low, high in zip(edges, ends, strict=True):
        shared = {
            label
            for label, bottom, top in zip(new.labels, new.edges, tops, strict=True)
            if low < top and bottom < high
        }
        found.append(frozenset(shared | ({OUTSIDE} if low < new.edges[0] else set())))
    return found


@dataclass(frozen=True, slots=True)
class Lineage:
    """A template and how it came to be: ``migrations`` lead back, the newest first."""

    template: Template
    migrations: tuple[Migration, ...] = ()

    @property
    def older(self) -> tuple[Template, ...]:
        """Return the older versions that are known, the newest first."""
        return tuple(migration.old for migration in self.migrations)

    def read_on(self, today: int) -> tuple[Migration, ...]:
        """Return the migrations to versions that queries still read on a calendar day."""
        last = (m.table.until for m in self.migrations)
        ended = [place for place, day in enumerate(last) if day is not None and day < today]
        return self.migrations[: ended[0]] if ended else self.migrations
