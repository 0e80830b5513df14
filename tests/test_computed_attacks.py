"""Attacks on functions: what a place, an identity and the name of a key cost to compute."""

from typing import Any

import pytest
from msgspec.structs import replace

from qisguard.errors import ScenarioError
from qisguard.lab.scenario.loading import packaged
from qisguard.lab.trial.engines import Job, run_job
from qisguard.lab.trial.measured import METRICS, seal
from tests.scenarios import ratio, trial, value

COMPUTED = ("id-grinding", "precomputed-ids", "puzzle-reuse", "key-dictionary")
EASY: dict[str, Any] = {"network__static_puzzle_bits": 5}


def test_a_static_puzzle_multiplies_the_tries_for_a_place() -> None:
    attacked = value("id-grinding", "attacked", "keys_per_id", **EASY)
    defended = value("id-grinding", "defended", "keys_per_id", **EASY)
    assert 1 < attacked < 6
    assert 10 < defended / attacked < 100
    times = trial("id-grinding", "defended", **EASY).times
    assert (
        times["seconds_per_id"] > trial("id-grinding", "attacked", **EASY).times["seconds_per_id"]
    )


def test_solutions_kept_from_an_earlier_epoch_are_worthless() -> None:
    assert ratio("precomputed-ids", "attacked", "identities_accepted") == 1.0
    assert ratio("precomputed-ids", "defended", "identities_accepted") < 0.05


def test_one_solution_serves_everybody_under_the_published_form_alone() -> None:
    assert ratio("puzzle-reuse", "attacked", "identities_accepted") == 1.0
    assert ratio("puzzle-reuse", "defended", "identities_accepted") < 0.01
    assert trial("puzzle-reuse", "attacked").times["ids_per_second"] > 1_000


def test_a_dictionary_names_every_query_of_an_unkeyed_template_and_none_of_a_keyed_one() -> None:
    assert ratio("key-dictionary", "attacked", "keys_identified") == 1.0
    assert ratio("key-dictionary", "defended", "keys_identified") == 0.0
    assert trial("key-dictionary", "attacked").times["keys_per_second"] > 100


def test_a_secret_keeps_nothing_from_a_member() -> None:
    assert ratio("key-dictionary-insider", "defended", "keys_identified") == 1.0


def test_a_template_that_is_not_packaged_is_named() -> None:
    point = {"attack.parameters": {"template": "../x"}}
    with pytest.raises(ScenarioError, match=r"'\.\./x', is no packaged template"):
        run_job(Job(packaged("key-dictionary"), point, "attacked", 1))


@pytest.mark.parametrize("name", COMPUTED)
def test_times_are_kept_and_the_digest_does_not_know_them(name: str) -> None:
    job = Job(packaged(name), {"network.static_puzzle_bits": 2}, "attacked", 3)
    first, again = run_job(job), run_job(job)
    assert first.digest == again.digest == seal("", first.ratios, first.values)
    assert set(first.times) == set(again.times)
    assert all(METRICS[metric].kind == "time" for metric in first.times)
    assert replace(first, times={}, seconds=0.0, cpu_seconds=0.0) == replace(
        again, times={}, seconds=0.0, cpu_seconds=0.0
    )
