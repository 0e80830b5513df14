"""Replicas remember the sums of what they took, agree on them, and outvote those who lie."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId, placement, to_bytes
from qisguard.identity.roster import Roster
from qisguard.lab.virtual import Links, VirtualEngine
from qisguard.node import archiving, messages
from qisguard.node.archiving import Archived
from qisguard.node.messages import ListSums, Reply, Request, Sums
from qisguard.node.node import Node
from qisguard.outcomes.annals import Annals, past_of
from qisguard.outcomes.archive import Past, Row, agreed
from qisguard.plugins import Clock
from qisguard.session.wire import PLAINTEXT_SIZE_MAX
from qisguard.store.sqlite import SqliteStore
from qisguard.store.sqlite_file import SqliteFile
from tests.builders import (
    DAY,
    LIMITS,
    TEMPLATE,
    make_identity,
    make_key,
    make_node,
    make_packet,
    make_roster,
    publish,
    retrieve,
)

COUNT = 7
CONFIG = NodeConfig(k=8, replica_count=5, address_diversity=False)
ROSTER = make_roster([make_identity(index) for index in range(COUNT)])
CLOCK = Clock(DAY, rate=8_640)
"""Ten seconds a day."""
HORIZONS = {TEMPLATE: 50}
ARMS = ("A", "B")
PLACE = to_bytes(placement(make_key(0)))

Story = Callable[[VirtualEngine, list[Node]], Awaitable[None]]


def make_annals(roster: Roster = ROSTER, file: SqliteFile | None = None) -> Annals:
    return Annals(file or SqliteFile(":memory:"), roster, HORIZONS)


def play(story: Story, *, remembers: bool = True) -> float | str:
    """Run a story with nodes that have joined one network; return the digest of the run."""

    async def run() -> float | str:
        engine = VirtualEngine(1, CLOCK, Links())
        nodes: list[Node] = []
        for index in range(COUNT):
            make = partial(
                make_node,
                index,
                config=CONFIG,
                roster=ROSTER,
                annals=make_annals() if remembers else None,
                clock=CLOCK,
            )
            node = engine.add(make)
            seeds = [other.me for other in nodes[:3]]
            await engine.finish(engine.act(node, partial(_join, node, seeds)))
            nodes.append(node)
        await story(engine, nodes)
        return engine.digest()

    return asyncio.run(run())


def _join(node: Node, seeds: Sequence[object], now: float) -> list[int]:
    return [node.join(seeds, now)]  # type: ignore[arg-type]  # contacts


async def past(engine: VirtualEngine, node: Node, step: int = 1, first: int = DAY) -> Archived:
    ask = partial(node.archived, [make_key(0)], first, step)
    (result,) = await engine.finish(engine.act(node, ask))
    assert isinstance(result, Archived)
    return result


def rows_of(node: Node, first: int = 0, step: int = 1) -> list[messages.WireSums]:
    assert node.annals is not None
    return [sums for sums, _ in node.annals.page(PLACE, first, step, (0, "", ""), 10_000)]


async def two_days(engine: VirtualEngine, nodes: list[Node]) -> None:
    """Two issuers publish three cases; on the next day one of them says something else."""
    await publish(engine, nodes[0], [make_packet(0, 0), make_packet(0, 1), make_packet(1, 2)])
    await engine.pause(12)
    await publish(engine, nodes[1], [make_packet(0, 0, seq=2, time=20), make_packet(1, 3, time=9)])


@pytest.mark.rule("N-60")
def test_replicas_archive_what_they_took_and_a_later_version_changes_no_sum() -> None:
    async def story(engine: VirtualEngine, nodes: list[Node]) -> None:
        await two_days(engine, nodes)
        held = [found for node in nodes if (found := rows_of(node))]
        assert len(held) >= CONFIG.replica_count
        assert all(rows == held[0] for rows in held)
        first, today = DAY, engine.clock.day(engine.now())
        assert held[0] == [
            (first, "hospital-0", "A", 2, 2, 2.0, 2.0, 100, 0),
            (first, "hospital-1", "A", 1, 1, 1.0, 1.0, 50, 0),
            (today, "hospital-0", "A", 0, 0, 0.0, 0.0, 0, 1),
            (today, "hospital-1", "A", 1, 1, 0.0, 0.0, 9, 0),
        ]

    play(story)


def test_a_node_without_annals_sends_what_it_has_always_sent() -> None:
    async def story(engine: VirtualEngine, nodes: list[Node]) -> None:
        await two_days(engine, nodes)
        await retrieve(engine, nodes[3], 0)

    assert play(story, remembers=True) == play(story, remembers=False)


@pytest.mark.rule("N-61")
def test_who_keeps_no_archive_says_so_and_has_no_say() -> None:
    async def story(engine: VirtualEngine, nodes: list[Node]) -> None:
        await two_days(engine, nodes)
        found = await past(engine, nodes[4])
        assert found.replicas == []
        assert found.refused == {archiving.NO_ARCHIVE: CONFIG.replica_count}
        assert found.replicas_asked == CONFIG.replica_count

    play(story, remembers=False)


def fill(node: Node, days: int, cases: int = 3) -> None:
    """Let a node have archived years in which authors 0 to 2 published one case a day each."""
    assert node.annals is not None
    for day in range(days):
        for author in range(cases):
            node.annals.took(make_packet(author, 10 * day + author), None, DAY - days + day)


@pytest.mark.rule("N-61")
@pytest.mark.parametrize("step", [1, 7, 31])
def test_pages_fit_a_datagram_and_add_up_to_everything(step: int) -> None:
    annals, days = make_annals(), 100
    for day in range(days):
        for author in range(4):
            annals.took(make_packet(author, 10 * day + author), None, DAY + day)
    cursor, read = (0, "", ""), list[messages.WireSums]()
    while True:
        reply = archiving.answer(annals, ListSums(2**32 - 1, PLACE, DAY - 3, step, *cursor))
        assert isinstance(reply, Sums)
        assert len(messages.encode(reply)) <= PLAINTEXT_SIZE_MAX
        read += reply.rows
        if not reply.more:
            break
        cursor = read[-1][:3]
    assert [row[:3] for row in read] == sorted({row[:3] for row in read})
    assert all((row[0] - DAY + 3) % step == 0 for row in read)
    assert sum(row[4] for row in read) == 4 * days
    assert len(read) == 4 * len({(day + 3) // step for day in range(days)})


@dataclass
class Liar:
    """Says of the past what ``edit`` makes of it."""

    edit: Callable[[ListSums, Sums], Reply]

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Edit."""
        if isinstance(request, ListSums) and isinstance(honest, Sums):
            return self.edit(request, honest)
        return honest

    def act(self, node: Node, now: float) -> float | None:
        """Do nothing more."""
        return None


def turn(request: ListSums, honest: Sums) -> Reply:
    """Every outcome was the other one, and there were ninety more of them."""
    rows = [(*row[:4], row[4] + 90, row[4] - row[5], *row[6:]) for row in honest.rows]
    return Sums(honest.number, rows, honest.more)


@pytest.mark.rule("N-62")
def test_two_lying_replicas_of_five_change_nothing() -> None:
    async def story(engine: VirtualEngine, nodes: list[Node]) -> None:
        for node in nodes:
            fill(node, 60)
        honest = past_of({make_key(0): (await past(engine, nodes[0], 7, 0)).replicas}, ROSTER, ARMS)
        near = sorted(nodes, key=lambda node: node.me.id ^ placement(make_key(0)))
        for liar in near[1:3]:
            liar.corrupt(Liar(turn))
        told = await past(engine, near[0], 7, 0)
        assert len(told.replicas) == 5
        assert told.replicas.count(told.replicas[0]) < 5
        assert equal(past_of({make_key(0): told.replicas}, ROSTER, ARMS), honest)
        near[3].corrupt(Liar(turn))
        told = await past(engine, near[0], 7, 0)
        assert not equal(past_of({make_key(0): told.replicas}, ROSTER, ARMS), honest)

    play(story)


def equal(one: Past, other: Past) -> bool:
    columns = ("day", "issuer", "arm", "known", "total", "squares")
    return one.issuers == other.issuers and all(
        getattr(one, name).tolist() == getattr(other, name).tolist() for name in columns
    )


ROW = (DAY, "hospital-0", "A", 1, 1, 1.0, 1.0, 50, 0)
BAD_PAGES = {
    "out of order": [(*ROW[:1], "b", *ROW[2:]), (*ROW[:1], "a", *ROW[2:])],
    "twice the same": [ROW, ROW],
    "before the first day": [(DAY - 7, *ROW[1:])],
    "between two steps": [(DAY + 1, *ROW[1:])],
    "after tomorrow": [(DAY + 70, *ROW[1:])],
}


@pytest.mark.rule("N-61")
@pytest.mark.parametrize("rows", BAD_PAGES.values(), ids=BAD_PAGES)
def test_a_replica_that_breaks_the_rules_has_no_say(rows: list[messages.WireSums]) -> None:
    async def story(engine: VirtualEngine, nodes: list[Node]) -> None:
        near = sorted(nodes, key=lambda node: node.me.id ^ placement(make_key(0)))
        near[1].corrupt(Liar(lambda request, honest: Sums(honest.number, rows, False)))
        told = await past(engine, near[0], 7)
        assert told.refused == {"disordered sums": 1}
        assert (told.replicas_asked, told.replicas_answered) == (5, 4)
        assert len(told.replicas) == 4

    play(story)


def test_a_replica_that_never_comes_to_an_end_is_left_alone() -> None:
    def endless(request: ListSums, honest: Sums) -> Reply:
        at = int(request.issuer or "0") + 1
        rows = [(DAY, f"{at + i:09d}", *ROW[2:]) for i in range(messages.SUMS_MAX // 4)]
        return Sums(honest.number, rows, True)

    async def story(engine: VirtualEngine, nodes: list[Node]) -> None:
        near = sorted(nodes, key=lambda node: node.me.id ^ placement(make_key(0)))
        near[1].corrupt(Liar(lambda request, honest: Sums(honest.number, [], True)))
        near[2].corrupt(Liar(endless))
        told = await past(engine, near[0], 1)
        assert told.refused == {"more sums than a past has": 2}
        assert told.replicas_answered == 3

    play(story)


@pytest.mark.rule("N-60")
def test_sums_are_durable_with_the_packet_or_not_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "store.sqlite")
    store = SqliteStore(path, LIMITS)
    annals = make_annals(file=store.file)
    for case, is_committed in ((0, True), (1, False)):
        packet = make_packet(0, case)
        assert store.put(placement(packet.key), packet, "hospital-0", DAY) is None
        annals.took(packet, None, DAY)
        if is_committed:
            store.commit()
    store.file.abandon()
    again = SqliteStore(path, LIMITS)
    kept = make_annals(file=again.file)
    assert again.counts()["packets"] == 1
    assert [sums[:5] for sums, _ in kept.page(PLACE, 0, 1, (0, "", ""), 9)] == [
        (DAY, "hospital-0", "A", 1, 1)
    ]
    again.close()


def test_packets_of_other_templates_are_not_archived() -> None:
    annals = Annals(SqliteFile(":memory:"), ROSTER, {"another/1": 50})
    annals.took(make_packet(0, 0), None, DAY)
    assert annals.page(PLACE, 0, 1, (0, "", ""), 9) == []
    assert annals.counts()["archived rows"] == 0


# --- what replicas agree on ----------------------------------------------------------------------
def heard(days: Sequence[int]) -> list[Row]:
    """Return what a replica archives that hears of one case on each of these days."""
    counts = {day: list(days).count(day) for day in days}
    return [
        Row(day, "hospital-0", "A", make_key(0), n, n, float(n), float(n), 50 * n, 0)
        for day, n in sorted(counts.items())
    ]


@pytest.mark.rule("N-62")
def test_cases_that_come_around_midnight_are_not_lost() -> None:
    rng = random.Random(1)
    replicas = [[day + rng.randint(0, 1) for day in range(0, 700, 7)] for _ in range(4)]
    told = agreed([heard(days) for days in replicas])
    assert sum(row.known for row in told) == 100
    assert sum(row.total for row in told) == 100.0


@pytest.mark.rule("N-62")
def test_a_replica_that_came_late_neither_adds_nor_hides_anything() -> None:
    days = list(range(100))
    late = [max(day, 60) for day in days]
    told = agreed([heard(days), heard(late), heard(days)])
    assert told == heard(days)


@pytest.mark.rule("N-62")
@pytest.mark.parametrize("honest", [3, 4, 5])
def test_a_lying_minority_keeps_running_sums_within_what_honest_replicas_say(honest: int) -> None:
    rng = random.Random(honest)
    for _ in range(30):
        truth = [heard([day + rng.randint(0, 2) for day in range(0, 60, 3)]) for _ in range(honest)]
        lies = [heard(rng.choices(range(60), k=rng.randint(0, 90))) for _ in range(honest - 1)]
        told = agreed([*truth, *lies])
        for day in range(64):
            said = [sum(row.known for row in rows if row.day <= day) for rows in truth]
            count = sum(row.known for row in told if row.day <= day)
            assert min(said) <= count <= max(said)
