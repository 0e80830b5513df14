"""Break the source in one place at a time: the tests that should notice must fail.

    uv run python benchmarks/mutations.py
    uv run python benchmarks/mutations.py --only routing-hearsay-evicts --json

The list is ``mutations.toml``. Each mutation is applied to a fresh copy of the tree, in which its
test files run with this interpreter; a plug-in makes sure that the copy is what they import. The
same files run first in a copy without a mutation, since a test that fails anyway notices nothing.

caught          a test failed, or did not end in time
survived        every test passed: nothing would notice this mistake
not applicable  the old text is not there exactly once, or the tests could not run

Exits 1 when a mutation survived, 2 when one was not applicable or the tests fail without one.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".toml")
PATIENCE = 60.0
"""Seconds that a run of tests may take beyond three times what all take without a mutation."""
LEFT_OUT = (".venv", ".git", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")

GUARD = '''
"""Fail unless the mutated copy is what is imported; look for failures, not for small ones."""
import os
from pathlib import Path

import pytest
import qisguard
from hypothesis import Phase, settings

settings.register_profile("mutations", phases=[Phase.explicit, Phase.generate], database=None)
settings.load_profile("mutations")


def pytest_configure(config):
    imported = Path(qisguard.__file__).resolve()
    if not imported.is_relative_to(Path(os.environ["MUTATED_TREE"]).resolve()):
        raise pytest.UsageError(f"imported {imported}, which is not the mutated copy")
'''


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mistake: ``old`` becomes ``new`` in ``file``, and one of ``tests`` should fail."""

    name: str
    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutation; ``by`` names the test that failed first, or what went wrong."""

    name: str
    verdict: str
    by: str
    seconds: float


def load(path: Path = LIST) -> list[Mutation]:
    """Return the mutations in a list file."""
    with path.open("rb") as file:
        entries = tomllib.load(file)["mutation"]
    return [Mutation(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]


def try_out(mutation: Mutation, timeout: float) -> Result:
    """Apply a mutation to a copy of the tree, run its tests there, say what they noticed."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="qisguard-mutation-") as folder:
        tree = copy_tree(Path(folder))
        source = tree / mutation.file
        text = source.read_text() if source.is_file() else ""
        if text.count(mutation.old) != 1:
            found = f"old text found {text.count(mutation.old)} times in {mutation.file}"
            return Result(mutation.name, "not applicable", found, 0.0)
        source.write_text(text.replace(mutation.old, mutation.new))
        code, output = run_tests(tree, mutation.tests, timeout)
    verdict = {0: "survived", 1: "caught"}.get(code, "not applicable")
    by = failures[0] if (failures := re.findall(r"^FAILED (\S+)", output, re.MULTILINE)) else ""
    if verdict == "not applicable":
        by = f"pytest ended with {code}: {output.strip().splitlines()[-1:]}"
    elif not by and verdict == "caught":
        by = "time"
    return Result(mutation.name, verdict, by, round(time.perf_counter() - started, 1))


def copy_tree(folder: Path) -> Path:
    """Return a copy of the source tree in ``folder``, with the plug-in beside it."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (folder / "mutation_guard.py").write_text(GUARD)
    return tree


def run_tests(tree: Path, tests: Sequence[str], timeout: float | None) -> tuple[int, str]:
    """Return pytest's exit code and output; 1 when it did not end within ``timeout`` seconds.

    No byte code is written: a mutation of equal size within one second would not be noticed.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(tree), str(tree.parent))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MUTATED_TREE": str(tree),
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "mutation_guard"]
    command += ["-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return 1, ""
    return done.returncode, done.stdout + done.stderr


def passes_unchanged(mutations: Sequence[Mutation]) -> str:
    """Return an empty string when the tests pass without a mutation, else their last lines."""
    tests = sorted({test for mutation in mutations for test in mutation.tests})
    with tempfile.TemporaryDirectory(prefix="qisguard-mutation-") as folder:
        code, output = run_tests(copy_tree(Path(folder)), tests, None)
    return "" if code == 0 else "\n".join(output.strip().splitlines()[-5:]) or "no output"


def main() -> int:
    """Try the mutations out; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="just this one; repeatable")
    parser.add_argument("--jobs", type=int, default=1, help="how many to run at a time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    mutations = load()
    if arguments.only:
        names = {mutation.name for mutation in mutations}
        if unknown := sorted({*arguments.only} - names):
            parser.error(f"--only: no mutation {unknown}; there are {sorted(names)}")
        mutations = [mutation for mutation in mutations if mutation.name in arguments.only]
    started = time.perf_counter()
    if broken := passes_unchanged(mutations):
        print(f"the tests fail without a mutation:\n{broken}", file=sys.stderr)
        return 2
    say = partial(print, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    timeout = PATIENCE + 3 * (time.perf_counter() - started)
    results = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for result in pool.map(partial(try_out, timeout=timeout), mutations):
            results.append(result)
            say(f"{result.verdict:14} {result.name:36} {result.seconds:5.1f} s  {result.by}")
    counts = {
        verdict: sum(result.verdict == verdict for result in results)
        for verdict in ("caught", "survived", "not applicable")
    }
    say(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if arguments.json:
        print(json.dumps({"counts": counts, "results": [asdict(r) for r in results]}, indent=1))
    if counts["survived"]:
        return 1
    return 2 if counts["not applicable"] else 0


if __name__ == "__main__":
    sys.exit(main())
