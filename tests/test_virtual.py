"""The simulated network: any run can be had again from its seed."""

import asyncio
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from qisguard.config import NodeConfig
from qisguard.errors import ScenarioError
from qisguard.lab import virtual
from qisguard.node.contact import Contact
from tests.builders import (
    address_of,
    make_crowd,
    make_engine,
    make_identity,
    make_packet,
    publish,
    retrieve,
)

ROOT = Path(__file__).parent.parent
CONFIG = NodeConfig(k=6, replica_count=4, disjoint_paths=2)
DIGEST = "from tests.test_virtual import digest_of; print(digest_of({seed}))"


def digest_of(seed: int) -> str:
    """Return the digest of a small lossy run."""

    async def story() -> str:
        engine = make_engine(seed, loss_ratio=0.1)
        nodes = await make_crowd(engine, 10, CONFIG)
        await publish(engine, nodes[2], [make_packet(author) for author in range(5)])
        await retrieve(engine, nodes[9], 0, 1)
        engine.close()
        return engine.digest()

    return asyncio.run(story())


def test_one_seed_gives_one_digest_whatever_the_hash_seed() -> None:
    digests = set()
    for hash_seed in ("0", "31337"):
        done = subprocess.run(
            [sys.executable, "-c", DIGEST.format(seed=5)],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert digests == {digest_of(5)}


def test_another_seed_gives_another_digest() -> None:
    assert len({digest_of(seed) for seed in range(3)}) == 3


def test_time_passes_only_when_something_happens() -> None:
    async def story() -> None:
        engine = make_engine(1)
        nodes = await make_crowd(engine, 4, CONFIG)
        before = engine.now()
        await retrieve(engine, nodes[0], 0)
        assert 0.0 < engine.now() - before < 2.0
        assert engine.measures()["lost"] == 0

    asyncio.run(story())


def test_losses_are_counted_and_close_to_the_ratio_asked_for() -> None:
    async def story() -> None:
        engine = make_engine(2, loss_ratio=0.25)
        await make_crowd(engine, 12, CONFIG)
        measures = engine.measures()
        assert measures["lost"] / measures["datagrams"] == pytest.approx(0.25, abs=0.06)

    asyncio.run(story())


def test_a_datagram_to_nowhere_is_lost() -> None:
    async def story() -> None:
        engine = make_engine(3)
        (node,) = await make_crowd(engine, 1, dataclasses.replace(CONFIG, knock_interval=1e6))
        nowhere = Contact(make_identity(5).id, address_of(5))
        await engine.finish(engine.act(node, lambda now: [node.join([nowhere], now)]))
        tries = CONFIG.handshake_tries
        assert engine.measures()["lost"] == tries
        assert engine.now() >= CONFIG.handshake_timeout * tries

    asyncio.run(story())


def test_an_operation_that_does_not_end_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual, "PATIENCE", 1.0)

    async def story() -> None:
        engine = make_engine(4)
        (node,) = await make_crowd(engine, 1, dataclasses.replace(CONFIG, knock_interval=1e6))
        nowhere = Contact(make_identity(5).id, address_of(5))
        with pytest.raises(ScenarioError, match="did not end"):
            await engine.finish(engine.act(node, lambda now: [node.join([nowhere], now)]))

    asyncio.run(story())
