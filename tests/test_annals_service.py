"""Running nodes that remember: queries through them see the past and what issuers are worth."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from qisguard.identity.keys import KeyPair
from qisguard.outcomes.packet import Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.outcomes.reputation import PROOF
from qisguard.service.asking import PAST_STEP, ask
from qisguard.service.asks import Control
from qisguard.service.clock import CALENDAR, RealTime
from qisguard.service.config import ServiceConfig, load_config
from qisguard.service.identities import load_key
from qisguard.service.localnet import LocalNet
from qisguard.service.opening import open_lineage, open_network_file
from qisguard.service.publishing import publish_file
from tests.services import EXAMPLES, hosts, make_net

TEMPLATE = open_lineage("breast-cancer", Path())
DEFENSES = "one_vote,beta_reputation,eigentrust,newcomer_shift,cusum"
NODES = 3


def remembering(net: LocalNet) -> list[ServiceConfig]:
    flags = ["node.annals=true", "node.templates=breast-cancer", f"node.defenses={DEFENSES}"]
    return [load_config(net.config(name), flags=flags) for name in net.names]


def during(configs: list[ServiceConfig], story: Callable[[], None]) -> None:
    """Run a story in a thread while nodes run here."""

    async def run() -> None:
        async with hosts(configs):
            await asyncio.to_thread(story)

    asyncio.run(run())


def signed(config: ServiceConfig, author: KeyPair, seq: int, time: int) -> OutcomePacket:
    today = CALENDAR.day(RealTime().now())
    body = packet_body(
        network=open_network_file(config).id,
        template=TEMPLATE.template.id,
        key=bytes(32),
        case=bytes(16),
        author=author.public,
        seq=seq,
        day=today,
        exp=today + 9,
        arm="hormone",
        outcome=Outcome.after(time, 0),
        feat={},
    )
    return sign_packet(body, author)


def test_a_query_sees_the_past_and_a_restart_forgets_neither_sums_nor_worth(
    tmp_path: Path,
) -> None:
    net = make_net(tmp_path / "net", nodes=NODES, issuers=NODES)
    configs = remembering(net)
    author = load_key(net.folder / "authors" / "issuer-01.key")
    known: list[int] = []

    def first_life() -> None:
        publish_file(
            EXAMPLES / "invented-1.csv",
            TEMPLATE,
            net.folder / "authors" / "issuer-01.key",
            configs[0],
            strict=False,
            first=False,
            progress=lambda *_: None,
        )
        reply = ask(configs[0], TEMPLATE, ["grade=II"], (), None)
        assert {step.name for step in reply.answer.steps} >= {"beta_reputation", "eigentrust"}
        assert reply.answer.cases == 60
        with Control(configs[0].node.state) as control:
            assert control.worth() == []
            known.append(_known(control))
            for time in (800, 801):  # two outcomes under one number
                control.publish([signed(configs[0], author, 1, time)])

    def second_life() -> None:
        with Control(configs[0].node.state) as control:
            assert control.worth() == [(PROOF, "issuer-01", 0.0, 10.0)]
            assert _known(control) == known[0]
        answer = ask(configs[0], TEMPLATE, ["grade=II"], (), None).answer
        (step,) = (step for step in answer.steps if step.name == "beta_reputation")
        assert step.before is not None
        assert step.after is not None
        assert step.after < 0.01 * step.before  # .05 for a newcomer, .005 after ten bad deeds

    during(configs, first_life)
    during(configs, second_life)


def _known(control: Control) -> int:
    """Return how many outcomes all replicas have archived of grade II, the same at each."""
    shape = TEMPLATE.template
    keys = shape.product(shape.axes({"grade": "II"}))
    told = control.past(keys, CALENDAR.day(RealTime().now()) - 700, PAST_STEP)
    assert all(len(held) == NODES for held in told.values())
    assert all(rows == held[0] for held in told.values() for rows in held)
    return sum(row[4] for held in told.values() for row in held[0])
