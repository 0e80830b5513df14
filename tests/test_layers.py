"""Protocol code has no clock, socket or randomness of its own, so one node runs in three places."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "qisguard"
FORBIDDEN = {"asyncio", "socket", "time", "random", "secrets", "logging"}
FORBIDDEN |= {"threading", "subprocess", "multiprocessing", "ssl", "select", "selectors", "uuid"}
FORBIDDEN |= {"tempfile", "shutil", "urllib", "http"}
FILES = {"os", "io", "pathlib", "sqlite3"}
FILE_USERS = {"trail/files.py": {"os", "pathlib"}, "store/sqlite_file.py": {"sqlite3"}}
"""Synchronous file I/O through an argument is what these two are for."""


SOURCES = [
    path
    for folder in ("identity", "session", "store", "node", "outcomes", "trail", "notary")
    for path in sorted((PACKAGE / folder).rglob("*.py"))
]


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def _imports(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def _calls(tree: ast.AST) -> set[str]:
    """Return the last part of the name of everything that is called."""
    return {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    }


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 25


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_protocol_code_imports_no_clock_no_socket_and_no_randomness(path: Path) -> None:
    found = _imports(ast.parse(path.read_text()))
    assert not found & FORBIDDEN
    assert found & FILES <= FILE_USERS.get(_name(path), set())


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_protocol_code_asks_nobody_for_the_day_or_for_luck(path: Path) -> None:
    """Other modules' back doors: ``datetime.now``, ``os.urandom``, PyNaCl's own randomness."""
    doors = {"today", "now", "utcnow", "urandom", "getrandom", "monotonic", "perf_counter"}
    doors |= {"token_bytes", "randombytes", "generate", "__import__", "import_module", "print"}
    doors |= {"open"} - ({"open"} if _name(path) in FILE_USERS else set())
    assert not _calls(ast.parse(path.read_text())) & doors


def test_the_extension_points_know_randomness_as_a_type_only() -> None:
    tree = ast.parse((PACKAGE / "plugins.py").read_text())
    annotations = [
        node.annotation
        for node in ast.walk(tree)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation
    ]
    as_type = {id(name) for annotation in annotations for name in ast.walk(annotation)}
    uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "random"]
    assert uses
    assert all(id(use) in as_type for use in uses)
    assert not _imports(tree) & (FORBIDDEN - {"random"})


@pytest.mark.parametrize("name", ["errors", "exits", "plugins"])
def test_the_lowest_modules_import_nothing_of_ours_at_run_time(name: str) -> None:
    for node in ast.parse((PACKAGE / f"{name}.py").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("qisguard")
