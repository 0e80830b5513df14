"""The list of mutations cannot rot: each must still fit the source that it breaks."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
MUTATIONS: list[dict[str, Any]] = tomllib.loads((ROOT / "benchmarks/mutations.toml").read_text())[
    "mutation"
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation["name"])
def test_a_mutation_still_fits_its_source(mutation: dict[str, Any]) -> None:
    assert set(mutation) == {"name", "file", "old", "new", "why", "tests"}
    assert (ROOT / mutation["file"]).read_text().count(mutation["old"]) == 1
    assert mutation["old"] != mutation["new"]
    assert mutation["tests"]
    assert all((ROOT / test).is_file() for test in mutation["tests"])


def test_every_mutation_has_a_name_of_its_own() -> None:
    names = [mutation["name"] for mutation in MUTATIONS]
    assert len(set(names)) == len(names)
