"""Publishing and asking through five real nodes that this process runs beside the tests."""

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qisguard.audit.auditor import audit
from qisguard.audit.policy import load_policy
from qisguard.errors import RecordError, ScenarioError, ServiceError
from qisguard.exits import Exit
from qisguard.outcomes.answer import State
from qisguard.service.asking import Reply, ask
from qisguard.service.casebook import SUFFIX, pseudonym
from qisguard.service.config import ServiceConfig
from qisguard.service.identities import load_key
from qisguard.service.localnet import LocalNet
from qisguard.service.opening import open_lineage
from qisguard.service.publishing import Report, publish_file
from tests.services import EXAMPLES, PATIENCE, configs_of, hosts, invoke, make_net

TEMPLATE = open_lineage("breast-cancer", Path())
NODES = 5


@dataclass(frozen=True)
class Town:
    """A running network, and what its five hospitals published."""

    net: LocalNet
    configs: list[ServiceConfig]
    reports: list[Report]

    def author(self, number: int) -> Path:
        """Return the key file of a hospital's author."""
        return self.net.folder / "authors" / f"issuer-{number:02d}.key"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Five defended nodes of five issuers; each has published one of the example files."""
    net = make_net(tmp_path_factory.mktemp("town") / "net", nodes=NODES, defended=True)
    configs = configs_of(net)
    up, down = threading.Event(), threading.Event()

    async def run() -> None:
        async with hosts(configs):
            up.set()
            while not down.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert up.wait(PATIENCE)
        town = Town(net, configs, [])
        for number, path in enumerate(sorted(EXAMPLES.glob("*.csv")), start=1):
            town.reports.append(_publish(town, path, number))
        yield town
    finally:
        down.set()
        thread.join(PATIENCE)


def _publish(
    town: Town, path: Path, number: int, *, key: Path | None = None, **flags: bool
) -> Report:
    return publish_file(
        path,
        TEMPLATE,
        key or town.author(number),
        town.configs[number - 1],
        strict=flags.get("strict", False),
        first=flags.get("first", False),
        progress=lambda *_: None,
    )


def _ask(town: Town, *pairs: str, arms: tuple[str, ...] = (), horizon: int | None = None) -> Reply:
    return ask(town.configs[0], TEMPLATE, pairs, arms, horizon)


def _edited(folder: Path, old: str, new: str) -> Path:
    text = (EXAMPLES / "invented-1.csv").read_text()
    assert old in text
    path = folder / "edited.csv"
    path.write_text(text.replace(old, new, 1))
    return path


LINE = "1-001,II,Pre,10,0,no-hormone,311,0,44,19,2"


def test_every_packet_is_acknowledged_by_every_replica(town: Town) -> None:
    for report in town.reports:
        assert (report.lines, report.new, report.again) == (60, 60, 0)
        assert (report.acknowledged, report.wanted) == (60 * NODES, 60 * NODES)
        assert (report.replicas, report.refused, report.missing) == (NODES, {}, [])
        assert report.end is Exit.CLEAN


def test_an_answer_counts_every_case_and_tells_how_fragile_it_is(town: Town) -> None:
    reply = _ask(town, "grade=II")
    answer = reply.answer
    assert (answer.cases, answer.issuers, reply.end) == (300, 5, Exit.CLEAN)
    assert answer.method == "issuer-trimmed"
    assert answer.decision in ("hormone", "no-hormone")
    assert answer.flip is not None
    assert (reply.keys, reply.asked, reply.answered, reply.silent) == (18, 90, 90, 0)
    told = json.loads(json.dumps(reply.as_json()))
    assert (told["schema"], told["exit"], told["cases"]) == ("qisguard.answer/v1", 0, 300)
    turned = _ask(town, "grade=II", arms=("no-hormone", "hormone")).answer
    assert turned.difference == pytest.approx(-(answer.difference or 0))


def test_a_reader_says_how_much_poison_an_answer_must_survive(town: Town) -> None:
    careful, trusting = (
        ask(town.configs[0], TEMPLATE, ["grade=II"], (), None, feared).answer
        for feared in (0.9, 0.0)
    )
    assert careful.state is State.FRAGILE
    assert any("under 90%" in reason for reason in careful.reasons)
    assert not any("of poison" in reason for reason in trusting.reasons)


def test_of_too_few_cases_nothing_is_told_not_even_how_many(town: Town) -> None:
    reply = _ask(
        town, "grade=II", "oestrogen-receptor=3", "menopause=Pre", "progesterone-receptor=3"
    )
    assert (reply.answer.state, reply.end) == (State.TOO_SMALL, Exit.NOT_MEASURED)
    told = reply.as_json()
    assert told["decision"] is None
    assert not {"packets", "cases", "dropped", "difference", "arms"} & set(told)


def test_what_every_replica_acknowledged_is_not_sent_again(town: Town) -> None:
    report = _publish(town, EXAMPLES / "invented-1.csv", 1)
    assert (report.new, report.again, report.stored, report.wanted) == (0, 0, 60, 0)
    assert report.end is Exit.CLEAN
    assert _ask(town, "grade=II").answer.cases == 300


def test_a_corrected_line_replaces_its_case_and_a_moved_one_leaves_its_key(
    town: Town, tmp_path: Path
) -> None:
    corrected = _publish(town, _edited(tmp_path, LINE, LINE.replace(",311,", ",312,")), 1)
    assert (corrected.new, corrected.stored, corrected.tombstones) == (1, 59, 0)
    moved = _publish(town, _edited(tmp_path, LINE, LINE.replace(",Pre,", ",Post,")), 1)
    assert (moved.new, moved.tombstones, moved.missing) == (2, 1, [])
    assert _ask(town, "grade=II").answer.cases == 300
    back = _publish(town, EXAMPLES / "invented-1.csv", 1)
    assert (back.new, back.tombstones, back.end) == (2, 1, Exit.CLEAN)


def test_a_lost_casebook_is_made_good_from_the_network(town: Town, tmp_path: Path) -> None:
    """The new book must neither repeat a number with other words nor sign the same words again."""
    key = tmp_path / "author.key"
    shutil.copy(town.author(2), key)
    report = _publish(town, EXAMPLES / "invented-2.csv", 2, key=key)
    assert (report.new, report.stored) == (0, 60)
    assert "the network held 60 packets" in report.notes[-1]
    assert _ask(town, "grade=II").answer.cases == 300


def test_bad_lines_are_left_out_and_the_rest_goes_on_unless_strict(
    town: Town, tmp_path: Path
) -> None:
    path = _edited(tmp_path, LINE, LINE.replace("II", "IV"))
    report = _publish(town, path, 1)
    assert (report.lines, report.end) == (59, Exit.FINDING)
    assert str(report.errors[0]) == "line 2: grade = 'IV', must be one of I, II, III"
    strict = _publish(town, path, 1, strict=True)
    assert (strict.lines, strict.new, strict.again, strict.end) == (0, 0, 0, Exit.USAGE)


def test_a_packet_that_no_replica_keeps_is_told_by_its_line(town: Town, tmp_path: Path) -> None:
    """A stale casebook: its next number is below what the network has seen."""
    stale = tmp_path / "author.key"
    shutil.copy(town.author(3), stale)
    before = _publish(town, EXAMPLES / "invented-3.csv", 3)
    assert before.end is Exit.CLEAN
    line = (EXAMPLES / "invented-3.csv").read_text().splitlines()[1]
    path = tmp_path / "one.csv"
    header = (EXAMPLES / "invented-3.csv").read_text().splitlines()[0]
    changed = line.replace(",0,", ",1,") if ",0," in line else line.replace(",1,", ",0,")
    path.write_text(f"{header}\n{changed}\n")
    report = _publish(town, path, 3, key=stale, first=True)
    assert report.new == 1
    assert (report.missing, report.acknowledged, report.end) == ([2], 0, Exit.NOT_MEASURED)
    assert sum(report.refused.values()) == NODES


def test_an_author_off_the_roster_and_a_foreign_node_are_told(town: Town, tmp_path: Path) -> None:
    foreign = publish_file(
        EXAMPLES / "invented-1.csv",
        TEMPLATE,
        town.author(1),
        town.configs[1],
        strict=False,
        first=False,
        progress=lambda *_: None,
    )
    assert any("AUD-21" in note for note in foreign.notes)
    assert foreign.issuer == "issuer-01"


@pytest.mark.parametrize(
    ("pairs", "arms", "horizon", "told"),
    [
        (("grad=II",), (), None, "unknown field 'grad'; did you mean 'grade'?"),
        (("grade",), (), None, "'grade', must be field=value"),
        (("grade=II", "grade=I"), (), None, "grade is given twice"),
        (("grade=IV",), (), None, "must be one of I, II, III"),
        ((), ("hormone",), None, "--arms = hormone, must be two of hormone, no-hormone"),
        ((), ("hormone", "hormone"), None, "must be two of"),
        ((), (), 20_000, "--horizon = 20000, must be 1 or more and 0 to 10000 days"),
        ((), (), 0, "--horizon = 0"),
    ],
)
def test_a_question_that_does_not_fit_the_template_is_refused(
    town: Town, pairs: tuple[str, ...], arms: tuple[str, ...], horizon: int | None, told: str
) -> None:
    with pytest.raises((ScenarioError, RecordError)) as refused:
        _ask(town, *pairs, arms=arms, horizon=horizon)
    assert told in str(refused.value)


def test_the_commands_print_json_and_exit_as_the_report_says(town: Town) -> None:
    node = str(town.configs[0].path)
    asked = invoke("query", "--template", "breast-cancer", "grade=II", "--node", node, "--json")
    assert (asked.exit_code, json.loads(asked.stdout)["cases"]) == (0, 300)
    few = invoke("query", "--template", "breast-cancer", "grade=III", "--node", node)
    assert (few.exit_code, few.stdout[:9]) == (3, "too small")
    words = invoke("query", "--template", "breast-cancer", "grade=II", "--node", node)
    assert all(word in words.stdout for word in ("decision", "flip radius", "300 of 30"))
    steps = invoke("query", "--template", "breast-cancer", "grade=II", "--node", node, "--explain")
    assert steps.stdout.startswith(words.stdout)
    assert "per issuer" in steps.stdout[len(words.stdout) :]
    file, author = str(EXAMPLES / "invented-5.csv"), str(town.author(5))
    sent = invoke(
        "publish", file, "--template", "breast-cancer", "--author", author, "--node", node, "--json"
    )
    assert (sent.exit_code, json.loads(sent.stdout)["stored"]) == (0, 60)


def test_a_case_is_known_in_the_network_by_its_pseudonym_alone(town: Town) -> None:
    author = load_key(town.author(1))
    name = pseudonym(author, TEMPLATE.template.name, "1-001")
    stores = [config.node.state / "store.sqlite" for config in town.configs]
    data = b"".join(path.read_bytes() for store in stores for path in store.parent.glob("store*"))
    assert name in data
    assert b"1-001" not in data
    assert (town.author(1).with_name(town.author(1).name + SUFFIX)).exists()


def test_without_a_running_node_nothing_is_signed(tmp_path: Path) -> None:
    net = make_net(tmp_path / "net", nodes=1, issuers=1)
    key = net.folder / "authors" / "issuer-01.key"
    (config,) = configs_of(net)
    with pytest.raises(ServiceError, match="no node is running in"):
        publish_file(
            EXAMPLES / "invented-1.csv",
            TEMPLATE,
            key,
            config,
            strict=False,
            first=False,
            progress=lambda *_: None,
        )
    assert not key.with_name(key.name + SUFFIX).exists()
    with pytest.raises(ServiceError, match="no node is running in"):
        ask(config, TEMPLATE, ["grade=II"], (), None)


def test_an_audit_of_a_nodes_trail_finds_nothing_after_corrections_and_moves(
    tmp_path: Path,
) -> None:
    net = make_net(tmp_path / "net", nodes=1, issuers=1)
    (config,) = configs_of(net)
    key = net.folder / "authors" / "issuer-01.key"
    lines = (EXAMPLES / "invented-1.csv").read_text().splitlines()
    sheets = []
    for number, grade in enumerate(("II", "III", "I", "II")):
        sheets.append(tmp_path / f"{number}.csv")
        moved = [line.replace(",II,", f",{grade},") for line in lines[1:9]]
        sheets[-1].write_text("\n".join([lines[0], *moved]) + "\n")

    def publish() -> None:
        for path in sheets:
            flags = {"strict": True, "first": False}
            publish_file(path, TEMPLATE, key, config, **flags, progress=lambda *_: None)

    async def story() -> None:
        async with hosts([config]):
            await asyncio.to_thread(publish)

    asyncio.run(story())
    report = audit([config.node.state / "trail"], load_policy(net.folder / "policy"))
    assert report.findings == ()
    assert report.trails[0].publish_count == 8 + 3 * 16
