"""Running nodes that gossip about their trails: over real sockets, with files that stay."""

import asyncio
from pathlib import Path

import pytest

from qisguard.errors import ScenarioError
from qisguard.identity.ids import to_bytes
from qisguard.node.cosigning import witness_name
from qisguard.service.config import ServiceConfig, load_config
from qisguard.service.opening import TRAIL, WITNESS_STATE, open_parts
from qisguard.trail.checkpoint import origin_of, parse_checkpoint
from qisguard.trail.cosignature import WitnessKey, verify_cosignatures
from qisguard.trail.witness import note_path
from tests.services import configs_of, hosts, make_net, until


def _gossiping(folder: Path) -> list[ServiceConfig]:
    """Return three nodes; the first cosigns the trails of the others."""
    net = make_net(folder, nodes=3, issuers=3)
    ids = [to_bytes(open_parts(config).identity.id).hex() for config in configs_of(net)]
    common = ["node.gossip=true", "node.gossip_interval=1", "limits.checkpoint_interval=0.5"]
    asks = [f"node.witnesses={ids[0]}"]
    cosigns = [f"node.witnessed={ids[1]},{ids[2]}"]
    return [
        load_config(net.config(name), {}, [*common, *(asks if number else cosigns)])
        for number, name in enumerate(net.names)
    ]


def test_trails_of_running_nodes_are_cosigned_and_the_witness_remembers(tmp_path: Path) -> None:
    configs = _gossiping(tmp_path / "net")
    parts = [open_parts(config) for config in configs]
    name = witness_name(parts[0].network.id, parts[0].identity.id)
    witness = WitnessKey(name, parts[0].identity.witness.public)
    heads = [config.node.state / TRAIL / "checkpoint" for config in configs]

    async def play() -> None:
        async with hosts(configs):
            await until(lambda: all(len(_lines(head)) == 2 for head in heads[1:]))

    asyncio.run(play())
    for number, head in enumerate(heads[1:], 1):
        note = parse_checkpoint(head.read_bytes())
        assert [said.witness for said in verify_cosignatures(note, [witness])] == [witness]
        path = note_path(origin_of(parts[0].network.id, parts[number].identity.id))
        for folder in (WITNESS_STATE, TRAIL):
            held = parse_checkpoint((configs[0].node.state / folder / path).read_bytes())
            assert (held.size, held.root) == (note.size, note.root)
    assert len(_lines(heads[0])) == 1, "nobody was asked to cosign the witness's own"


def _lines(path: Path) -> list[object]:
    return list(parse_checkpoint(path.read_bytes()).lines)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["node.witnesses=" + "0" * 64], r"node\.witnesses is given, and node\.gossip = false"),
        (["node.gossip=true", "node.witnesses=12"], r"node\.witnesses\[0\] = '12', must be 64 hex"),
        (["node.gossip=true", "node.witnessed=roster", "node.roster="], r"names the roster"),
        (
            ["node.gossip=true", "node.trail=false", "node.witnesses=" + "0" * 64],
            "nothing to cosign",
        ),
        (["node.gossip_interval=0"], r"node\.gossip_interval = 0, must be 1 to 86400"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(
    tmp_path: Path, flags: list[str], told: str
) -> None:
    net = make_net(tmp_path / "net", nodes=1, issuers=1)
    with pytest.raises(ScenarioError, match=told):
        load_config(net.config(net.names[0]), {}, flags)
