"""Polls under attack, from the scenario file to the replay, as somebody types it."""

from pathlib import Path

import msgspec
import pytest

from qisguard.lab.campaign.summary import Summary
from qisguard.lab.scenario.loading import FOLDERS, load_scenario, packaged, packaged_names, points
from tests.services import ROOT, invoke, read_json

POLLS = [
    name for name in packaged_names() if load_scenario(packaged(name)).scenario.engine == "columns"
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packaged scenario of polls, run with few seeds."""
    out = tmp_path_factory.mktemp("polls") / "run"
    done = invoke("attack", "run", "poison-fresh-20", "--seeds", 3, "--workers", 1, "--out", out)
    assert "columns; seeds 1 to 3; 12 trials" in done.stdout
    assert done.exit_code in (0, 3)
    return out


def test_a_run_of_polls_tells_flips_with_intervals_beside_what_sources_say(run: Path) -> None:
    summary = msgspec.json.decode((run / "summary.json").read_bytes(), type=Summary)
    rows = {(row.arm, row.metric): row for row in summary.rows}
    naive, defended = rows["attacked", "flipped"], rows["defended", "flipped"]
    assert (naive.hits, naive.tries) == (150, 150)
    assert defended.tries == 150
    assert defended.high is not None
    assert defended.high < 0.1
    assert [row.state for row in summary.expected] == ["agrees", "agrees"]


def test_polls_replay_to_the_same_digests(run: Path) -> None:
    result = invoke("attack", "replay", run, "--jobs", 4, "--workers", 1)
    assert result.stdout == "4 of 4 trials gave the same digest again (exit 0)\n"


def test_attacks_on_votes_are_listed_and_shown_with_their_population() -> None:
    found = read_json("attack", "list")
    engines = {row["id"]: row["engine"] for row in found["attacks"]}
    assert engines["little_is_enough"] == engines["adaptive_poisoning"] == "columns"
    assert engines["sybil_poisoning"] == "live, virtual, columns"
    shown = invoke("attack", "show", "poison-one-issuer").stdout
    assert "population" in shown
    assert "per_arm = 500" in shown
    assert "nodes" not in shown.split("attack\n")[0]


def test_there_are_twenty_scenarios_of_poison_and_each_says_where_its_number_comes_from() -> None:
    names = {path.stem for path in (ROOT / "scenarios" / "poisoning").glob("*.toml")}
    assert "poisoning" in FOLDERS
    assert names == set(POLLS)
    assert len([name for name in names if name.startswith("poison-")]) >= 20
    for name in names:
        assert load_scenario(packaged(name)).scenario.expected, name


@pytest.mark.parametrize("name", POLLS)
def test_a_rate_below_one_in_a_hundred_is_claimed_of_1500_polls_or_more(name: str) -> None:
    for point in points(packaged(name)):
        loaded = load_scenario(packaged(name), point)
        polls = loaded.scenario.seeds.count * loaded.scenario.population.polls
        claims = [
            g for g in loaded.gates if g.metric != "bias" and g.sign == "<=" and g.bound <= 0.01
        ]
        assert polls >= (1_500 if claims else 500)
