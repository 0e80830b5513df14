"""Routing tables of a whole network, and what one landlord gets in one of them."""

import asyncio
import statistics

import pytest

from qisguard.config import NodeConfig
from qisguard.lab.stranger import Stranger
from qisguard.node import messages
from qisguard.node.contact import Contact
from tests.builders import (
    CLOCK,
    NETWORK,
    draw,
    make_crowd,
    make_engine,
    make_identity,
    make_node,
)

NODES = 200
FLOOD = 256


@pytest.mark.long
def test_after_joining_every_node_lists_the_nearest_of_all_it_met_and_who_is_near_it() -> None:
    """A join looks for our own id, so the nearest 20 are known at once; the list fills later."""

    async def story() -> None:
        engine = make_engine(41)
        nodes = await make_crowd(engine, NODES, NodeConfig())
        everybody = [node.me for node in nodes]
        shares, sizes = [], []
        for node in nodes:
            others = sorted(
                (contact for contact in everybody if contact != node.me),
                key=lambda contact: contact.id ^ node.me.id,
            )
            met = [contact for contact in others if node.sessions.get(contact.id)]
            assert node.table.siblings == tuple(met[:100])
            shares.append(len({*others[:20]} & {*node.table.siblings}) / 20)
            sizes.append(node.table.size())
        assert min(shares) >= 0.85
        assert statistics.median(shares) == 1.0
        assert 0.8 * NODES < statistics.median(sizes) < 1.2 * NODES

    asyncio.run(story())


@pytest.mark.parametrize(("address_diversity", "places"), [(True, 10), (False, 127)])
def test_one_landlord_gets_few_places_unless_address_diversity_is_lifted(
    address_diversity: bool, places: int
) -> None:
    """Real handshakes of 256 identities in one /24 with a node that knows nobody else."""
    node = make_node(0, config=NodeConfig(address_diversity=address_diversity))
    flood = []
    for index in range(FLOOD):
        identity = make_identity(1_000 + index)
        stranger = Stranger(
            identity, NETWORK, (f"192.0.2.{index}", 4_000), clock=CLOCK, draw=draw(index)
        )
        stranger.say(node, messages.encode(messages.Ping(1)), 0.0)
        flood.append(Contact(identity.id, stranger.address))
    assert {*node.table} <= {*flood}
    assert len(node.table) == places
