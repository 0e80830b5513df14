"""``qisguard attack``: what each command prints, and its exit codes."""

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from qisguard.attacks import ATTACKS
from qisguard.errors import QisguardError, ScenarioError
from qisguard.lab.campaign.catalogue import schema
from qisguard.lab.campaign.drive import work
from qisguard.lab.campaign.ledger import Ledger
from qisguard.lab.campaign.summary import Summary
from qisguard.lab.scenario.loading import packaged_names
from tests.campaigns import SMALL, Here, run_folder, silent
from tests.services import ROOT, command, invoke, read_json


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small scenario."""
    made = tmp_path_factory.mktemp("attack")
    (made / "small.toml").write_bytes(SMALL.replace(b"count = 4", b"count = 3"))
    return made


@pytest.fixture(scope="module")
def swept(folder: Path) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    """A sweep of real networks, and what the command printed."""
    arguments = ("sweep", folder / "small.toml", "--out", folder / "swept", "--workers", 2)
    done = subprocess.run(
        command("attack", *arguments), capture_output=True, check=False, text=True
    )
    return folder / "swept", done


def test_a_sweep_writes_everything_and_prints_intervals_of_every_point(
    swept: "tuple[Path, subprocess.CompletedProcess[str]]",
) -> None:
    run, done = swept
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    told = done.stdout
    assert "virtual; seeds 1 to 3; 24 trials; " in told
    assert "held: attack.share=0.3: defended.success >= 0.2" in told
    assert "agrees: attack.share=0.1: clean.success measured 100%" in told
    assert "differs: attack.share=0.1: clean.hops measured 1" in told
    assert f"replay: qisguard attack replay {run}\n" in told.replace("uv run ", "")
    assert told.endswith("verdict: every gate holds (exit 0)\n")
    summary = msgspec.json.decode((run / "summary.json").read_bytes(), type=Summary)
    assert (run / "summary.md").read_text().count("\n| attack.share=0.3 |") == len(
        {row.metric for row in summary.rows}
    )
    drawn = {path.stem for path in (run / "plots").iterdir()}
    assert drawn == {row.metric for row in summary.rows}
    svg = ElementTree.parse(run / "plots" / "recall.svg").getroot()
    assert svg.tag.endswith("}svg")


def test_a_replay_in_other_processes_gives_the_same_digests(
    swept: "tuple[Path, subprocess.CompletedProcess[str]]",
) -> None:
    run, _ = swept
    result = invoke("attack", "replay", run, "--jobs", 4, "--workers", 1)
    assert (result.exit_code, result.stdout) == (
        0,
        "4 of 4 trials gave the same digest again (exit 0)\n",
    )


def test_a_replay_that_differs_exits_1_and_names_the_trial(tmp_path: Path) -> None:
    """Tossed results stand where those of networks should be."""
    work(run_folder(tmp_path), Here, silent)
    result = invoke("attack", "replay", tmp_path, "--jobs", 1, "--workers", 1, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    (row,) = told["differing"]
    assert (row["point"], row["arm"], row["seed"]) == ({"attack.share": 0.1}, "attacked", 1)
    assert row["now"] != row["before"]


def test_a_finished_run_is_resumed_to_the_same_words_as_json(
    swept: "tuple[Path, subprocess.CompletedProcess[str]]",
) -> None:
    run, _ = swept
    before = json.loads((run / "summary.json").read_text())
    told = read_json("attack", "resume", run)
    assert told.pop("run") == str(run)
    assert told.pop("replay") == f"qisguard attack replay {run}"
    assert told == before


def test_a_run_is_asked_in_sql(
    swept: "tuple[Path, subprocess.CompletedProcess[str]]",
) -> None:
    run, _ = swept
    sql = "SELECT arm, sum(tries) AS tries FROM results WHERE metric = 'success' GROUP BY arm"
    rows = read_json("attack", "query", run, f"{sql} ORDER BY arm")
    arms = ("attacked", "clean", "defended", "guarded")
    assert rows == [{"arm": arm, "tries": 18} for arm in arms]
    assert "attacked  18\n" in invoke("attack", "query", run, f"{sql} ORDER BY arm").stdout
    with pytest.raises(ScenarioError, match="must be one SELECT"):
        invoke("attack", "query", run, "DROP TABLE results")


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        (["defended.success >= 0.2"], 0),
        (["clean.success < 0.5"], 1),
        (["attacked.success < 0.7"], 3),
        (["attacked.readable > 0"], 3),
        (["attacked.readable > 0", "clean.success < 0.5"], 1),
    ],
)
def test_the_exit_code_is_that_of_the_worst_gate_in_words_and_in_json(
    tmp_path: Path, gates: list[str], code: int
) -> None:
    text = json.dumps(gates).encode()
    data = SMALL.replace(b'["defended.success >= 0.2"]', text)
    work(run_folder(tmp_path, data), Here, silent)
    words = invoke("attack", "resume", tmp_path)
    assert words.exit_code == code
    assert words.stdout.endswith(f"(exit {code})\n")
    as_json = invoke("attack", "resume", tmp_path, "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["exit"]) == (code, code)


def test_a_run_without_grid_is_one_point_and_says_what_it_leaves_out(folder: Path) -> None:
    file = folder / "small.toml"
    arguments = ("attack", "run", file, "--out", folder / "one", "--seeds", 1, "--workers", 1)
    result = invoke(*arguments)
    assert result.exit_code == 3  # one trial measures nothing
    assert "not measured (1 trials)" in result.stdout
    assert f"qisguard attack sweep {file}" in result.stderr
    with pytest.raises(ScenarioError, match="holds a run; go on with it by qisguard attack resume"):
        invoke(*arguments)


def test_a_plan_counts_trials_measures_one_of_each_arm_and_starts_nothing(folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    found = read_json("attack", "plan", folder / "small.toml", "--seeds", 100, "--workers", 4)
    assert (found["points"], found["jobs"], found["nodes"]) == (2, 800, 16)
    arms = {"clean", "attacked", "defended", "guarded"}
    assert set(found["measured"]) == arms
    assert found["seconds"] == pytest.approx(sum(found["measured"].values()) / 4 * 800 / 4)
    assert sorted(path.name for path in folder.iterdir()) == before
    words = invoke("attack", "plan", folder / "small.toml").stdout
    assert "trials     24\n" in words
    assert "next: qisguard attack sweep" in words


@pytest.mark.long
def test_every_attack_and_scenario_is_listed_and_shown() -> None:
    listed = read_json("attack", "list")
    assert {row["id"] for row in listed["attacks"]} == set(ATTACKS)
    assert [row["id"] for row in listed["scenarios"]] == packaged_names()
    words = invoke("attack", "list").stdout
    for row in listed["attacks"] + listed["scenarios"]:
        assert f"{row['id']} " in words
        shown = invoke("attack", "show", row["id"]).stdout
        card = ATTACKS[row["id"]].card if row["id"] in ATTACKS else None
        assert card is None or f"{card.id} ({card.family}): {card.summary}" in shown
        assert "an operator sees" in shown
    shown = invoke("attack", "show", "look-up-misroute").stdout
    assert "defended.success >= 0.9" in shown
    assert "Baumgart and Mies" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "look-up-misrout"), "did you mean 'look-up-misroute'"),
        (("run", "nothing.toml"), r"nothing\.toml: No such file"),
        (("run", "look-up-misrout"), "did you mean 'look-up-misroute'"),
        (("sweep", "look-up-misroute"), "there is none, so this is one point: qisguard attack run"),
        (("resume", "nowhere"), "nowhere: no run"),
        (("query", "nowhere", "SELECT 1"), "nowhere"),
    ],
)
def test_what_is_not_there_is_named(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(QisguardError, match=message):
        invoke("attack", *arguments)


def test_workers_of_this_machine_and_of_a_cluster_exclude_each_other(tmp_path: Path) -> None:
    run_folder(tmp_path)
    result = invoke("attack", "resume", tmp_path, "--workers", 1, "--scheduler", "127.0.0.1:1")
    assert result.exit_code == 2
    assert "--workers is about this machine" in result.stderr


def test_trials_that_failed_are_told(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)

    def fail(job: object) -> None:
        raise ValueError("always")

    work(folder, lambda: Here(fail), silent)  # type: ignore[arg-type] # fails before it returns
    from qisguard.reports.campaign import text

    summary = msgspec.json.decode((tmp_path / "summary.json").read_bytes(), type=Summary)
    told = text(summary, folder.replay)
    assert "attack.share=0.1: clean seed 1, tried 1 times: ValueError: always" in told
    assert "and 12 more" in told
    assert told.endswith("(exit 3)")
    ledger = Ledger(folder.ledger, "")
    assert ledger.counts().failed == 32
    ledger.close()


def test_the_published_schema_is_the_current_one() -> None:
    published = json.loads((ROOT / "docs" / "scenario.schema.json").read_text())
    assert published == schema() == read_json_schema()


def read_json_schema() -> object:
    """Return what the command prints."""
    return json.loads(invoke("attack", "schema").stdout)
