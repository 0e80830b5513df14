"""Folders, hosts and commands for tests of running nodes; everything on loopback, all bounded."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from qisguard.cli.main import app
from qisguard.service.clock import RealTime
from qisguard.service.config import ServiceConfig, load_config
from qisguard.service.host import Host
from qisguard.service.localnet import LocalNet, Spec, create_net
from qisguard.service.log import Log

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "scenarios" / "examples"
PATIENCE = 30.0


def make_net(folder: Path, **spec: Any) -> LocalNet:
    """Return the folder of a local network, puzzles free, no defences; nothing is started."""
    free = {"puzzle_bits": 0, "defended": False}
    return create_net(folder, Spec(**{**free, **spec}), lambda *_: None)


def command(*arguments: object) -> list[str]:
    """Return the argument list of a command of ours."""
    return [sys.executable, "-P", "-m", "qisguard.cli", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command of ours to its end, in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, check=False, text=True, timeout=PATIENCE
    )


def invoke(*arguments: object) -> Any:
    """Run a command of ours in this process; errors of ours are raised, as ``main`` sees them."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def read_json(*arguments: object) -> Any:
    """Run a command of ours with ``--json`` and return what it printed."""
    return json.loads(invoke(*arguments, "--json").stdout)


def make_host(config: ServiceConfig) -> Host:
    """Return a host that was not started; it logs for ``events``."""
    log = Log(io.StringIO(), config.log.level, config.log.format, config.node.name)
    return Host(config, log, RealTime())


@asynccontextmanager
async def hosts(configs: Sequence[ServiceConfig]) -> AsyncIterator[list[Host]]:
    """Run nodes in this process until the block ends; all have joined when it begins."""
    started: list[Host] = []
    try:
        for config in configs:
            host = make_host(config)
            await host.start()
            started.append(host)
        await until(lambda: all(host.joined for host in started))
        yield started
    finally:
        await asyncio.gather(*(host.stop() for host in started))


async def until(done: Any) -> None:
    """Give the event loop to others until ``done()``; fail when that takes too long."""
    async with asyncio.timeout(PATIENCE):
        while not done():
            await asyncio.sleep(0.01)


def configs_of(net: LocalNet) -> list[ServiceConfig]:
    """Return the configurations of a local network."""
    return [load_config(net.config(name)) for name in net.names]


def events(host: Host) -> list[dict[str, Any]]:
    """Return what a host of ``hosts`` logged."""
    stream = host.log.stream
    assert isinstance(stream, io.StringIO)
    return [json.loads(line) for line in stream.getvalue().splitlines()]
