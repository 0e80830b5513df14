"""Specifications: every numbered rule has a test that proves it, and no test names a dead rule."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SPECS = sorted((TESTS.parent / "docs" / "spec").glob("*.md"))
RULE = re.compile(r"^(?:\||#+) *([A-Z]+-\d{2,})\b", re.MULTILINE)
"""A rule is a row of a table or a heading that begins with its name."""


def _marks(tree: ast.AST) -> Iterator[str]:
    """Yield the rule of each ``pytest.mark.rule("X-01")``."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "pytest.mark.rule"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


MARKED = {
    rule for path in TESTS.glob("test_*.py") for rule in _marks(ast.parse(path.read_text("utf-8")))
}


def _family(rule: str) -> str:
    return rule.partition("-")[0]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_every_rule_of_a_specification_has_a_test_and_every_such_test_a_rule(path: Path) -> None:
    rules = RULE.findall(path.read_text("utf-8"))
    assert rules, "a specification has rules"
    assert [rule for rule, count in Counter(rules).items() if count > 1] == []
    families = {_family(rule) for rule in rules}
    assert set(rules) == {rule for rule in MARKED if _family(rule) in families}


def test_every_marked_rule_belongs_to_a_specification() -> None:
    families = {_family(rule) for path in SPECS for rule in RULE.findall(path.read_text("utf-8"))}
    assert {_family(rule) for rule in MARKED} == families


def test_rules_are_read_from_tables_and_headings_and_nowhere_else() -> None:
    text = "# X-01 a\n\n| rule | |\n|---|---|\n| X-02 | see X-09 |\n### X-03: b\ntext X-04\n"
    assert RULE.findall(text) == ["X-01", "X-02", "X-03"]
