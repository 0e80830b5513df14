"""What is wrong or unwise about a template, and what it means in words."""

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Any

from qisguard.errors import QisguardError, RecordError
from qisguard.exits import Exit
from qisguard.outcomes.fields import Field
from qisguard.outcomes.lineage import Lineage
from qisguard.outcomes.packet import BINARY, NUMERIC
from qisguard.outcomes.template import EXPANSION_MAX, Template, read_template
from qisguard.service.cases import Case, Sheet
from qisguard.service.opening import open_lineage, read_template_file

COHORT = 11
"""Cases in the smallest group that an answer tells of (``SynthesisConfig.min_cohort``)."""
ALONE_RATIO = 0.5
SAMPLE = 20_000
"""Keys that are hashed to measure how fast they are enumerated."""
CASES_ALONE_RATIO = 0.05


@dataclass(slots=True)
class Checked:
    """What checking a template found.

    Attributes:
        template: its id, or None when it has faults.
        keys: how many keys it has; ``keys_per_second`` one core hashed now.
        faults: what makes it unusable; ``warnings``: what is allowed and unwise.
        lines: lines of ``cases`` that fit; ``left_out``: that do not; both None without a file.
    """

    template: str | None = None
    keys: int | None = None
    keys_per_second: float | None = None
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lines: int | None = None
    left_out: int | None = None

    def end(self, strict: bool) -> Exit:
        """Return 2 for a fault, 1 for a warning or a line left out where those count."""
        if self.faults:
            return Exit.USAGE
        return Exit.FINDING if strict and (self.warnings or self.left_out) else Exit.CLEAN


def check_template(name: str, base: Path, cases: Path | None = None) -> Checked:
    """Return everything that is wrong or unwise about a template.

    Args:
        name: of a packaged template, or a path.
        base: what a path is relative to.
        cases: a file to try it on: how many people would be alone with what their packets say.

    Raises:
        QisguardError: a file cannot be read.
    """
    found = Checked()
    data = read_template_file(name, base)
    try:
        template, found.faults = read_template(data)
    except RecordError as error:
        template, found.faults = None, [str(error)]
    if template is None:
        return found
    found.template, found.keys = template.id, template.key_count
    try:
        open_lineage(name, base)
    except QisguardError as error:
        found.faults.append(str(error))
    found.keys_per_second = _speed(template)
    found.warnings += [*_about_keys(template, found.keys_per_second), *_about_people(template)]
    if cases is not None:
        _try_on(template, cases, found)
    return found


def _speed(template: Template) -> float:
    """Return how many keys a second one core makes here, now."""
    secret = bytes(32) if template.keyed else None
    labels = list(islice(product(*(f.labels for f in template.fields)), SAMPLE))
    began, done = time.process_time(), 0
    while done < SAMPLE:
        for each in labels:
            template.hash(each, secret)
        done += len(labels)
    return done / max(time.process_time() - began, 1e-9)


def _about_keys(template: Template, speed: float) -> Iterator[str]:
    keys = template.key_count
    if template.keyed is not True:
        where = "" if template.keyed is False else " in a network without a roster"
        yield (
            f"keyed: not{where}: anybody makes all {keys} keys in {keys / speed:.2g} s of one core "
            f"({speed:.0f} keys a second, measured now) and reads which question is asked; say "
            "keyed = true unless the questions are public"
        )
    left = [f for f in template.fields if f.is_open]
    widest = math.prod(len(f.labels) for f in left)
    if widest > template.expansion_cap:
        yield (
            f"expansion_cap: {template.expansion_cap}, and a query that leaves all {len(left)} "
            f"open fields open takes {widest} keys: it is refused"
        )
    if keys > EXPANSION_MAX:
        yield (
            f"field: {keys} keys, more than the {EXPANSION_MAX} that a node lists: it cannot hold "
            "packets against their keys, nor rules about fields"
        )


def _about_people(template: Template) -> Iterator[str]:
    counts = [(f"feat.{rule.name}", rule.count) for rule in template.feat]
    if len(counts) > 1:
        counts.append(("all features together", math.prod(rule.count for rule in template.feat)))
    for name, count in counts:
        alone = (1 - 1 / count) ** (COHORT - 1)
        if alone >= ALONE_RATIO:
            yield (
                f"{name}: {count} values: in a group of {COHORT}, {alone:.0%} would be alone with "
                "theirs if all were as frequent, and members see packets one by one: have fewer "
                "values, or leave it out"
            )


def _try_on(template: Template, path: Path, found: Checked) -> None:
    """Count, in a file of cases, who is alone with what the packet says beside the key."""
    found.lines = found.left_out = 0
    secret = bytes(32) if template.keyed else None
    names = [rule.name for rule in template.feat]
    said: list[Counter[object]] = [Counter() for _ in (*names, "all")]
    keys: Counter[bytes] = Counter()
    for row in Sheet(path, template, secret):
        if not isinstance(row, Case):
            found.left_out += 1
            continue
        found.lines += 1
        keys[row.key] += 1
        values = [row.feat.get(name) for name in names]
        for tally, value in zip(said, [*values, tuple(values)], strict=True):
            tally[row.key, value] += 1
    if not found.lines:
        return
    few = sum(count for count in keys.values() if count < COHORT)
    if few:
        found.warnings.append(
            f"{path}: {few} of {found.lines} cases have a key with fewer than {COHORT} cases in "
            "this file: no answer about that key alone comes from it"
        )
    whats = [f"their {name}" for name in names] + ["their features together"] * (len(names) > 1)
    for what, tally in zip(whats, said, strict=False):
        alone = sum(count == 1 for count in tally.values())
        if alone > CASES_ALONE_RATIO * found.lines:
            found.warnings.append(
                f"{path}: {alone} of {found.lines} cases are alone with {what} among those of "
                "their key"
            )


def explain(lineage: Lineage, values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return pairs of words: what similar means, how many keys, what a packet may say.

    Raises:
        RecordError: ``values`` are no question to this template.
    """
    template = lineage.template
    names = [f.name for f in template.fields]
    rows = [
        ("template", f"{template.id}, about {template.label}"),
        ("similar", f"two cases are similar when they agree in {_and(names)}"),
    ]
    for each in template.fields:
        left = "; a query may leave it open" if each.is_open else ""
        rows.append((each.name, f"{'; '.join(_words(each))}{left}"))
    size = f"{template.key_count}; a query asks for at most {template.expansion_cap}"
    rows += [("keys", size), ("keyed", _keyed(template))]
    if values:
        axes = template.axes(values)
        given = [
            f"{f.name} {_words(f)[f.labels.index(axis[0])]}"
            for f, axis in zip(template.fields, axes, strict=True)
            if f.name in values
        ]
        left_open = [f.name for f in template.fields if f.name not in values]
        rest = f", any {_and(left_open)}" if left_open else ""
        count = math.prod(map(len, axes))
        rows.append(("this question", f"{_and(given)}{rest}: {count} keys"))
    rows += [("treatment", " or ".join(template.arms)), ("outcome", _outcome(template))]
    rows += [(f"may say {rule.name}", rule.allowed) for rule in template.feat]
    rows += [("rule", f"{rule.name}: {rule}") for rule in template.rules]
    for migration in lineage.migrations:
        until = migration.table.until
        lasts = "" if until is None else f" until day {until}"
        rows.append(("before", f"{migration.old.id}, read by queries as well{lasts}"))
    rows.append(("told", f"nothing about a treatment with fewer than {COHORT} cases"))
    return rows


def _words(each: Field) -> list[str]:
    """Return each category or bin in words."""
    if each.categories:
        return list(each.categories)
    last = f"{each.marks[-1]} {each.unit} or more"
    pairs = zip(each.marks, each.marks[1:], strict=False)
    return [*(f"{low} to below {high} {each.unit}" for low, high in pairs), last]


def _keyed(template: Template) -> str:
    if template.keyed is None:
        return "with the secret of a network that has a roster, with none elsewhere"
    return "with the secret of the network" if template.keyed else "without a secret"


def _outcome(template: Template) -> str:
    rule = template.outcome
    better = "more" if rule.higher_is_better else "less"
    if rule.kind == BINARY:
        often = "the more often" if rule.higher_is_better else "the less often"
        return f"whether it happened: value 1 or 0, the better {often}"
    if rule.kind == NUMERIC:
        return f"a number, value from {rule.allowed} with unit {rule.unit!r}; {better} is better"
    return (
        f"time from {rule.allowed} and event 1 when it happened then, 0 when observation ended; "
        f"compared at {rule.horizon} days, later is better"
    )


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
