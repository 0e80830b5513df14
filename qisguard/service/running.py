"""One process with one or several nodes, from the first file to the last checkpoint."""

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any, TextIO

from qisguard.errors import QisguardError, ScenarioError
from qisguard.identity.address import Address
from qisguard.service.addresses import parse_address
from qisguard.service.clock import RealTime
from qisguard.service.config import ServiceConfig, check_distinct
from qisguard.service.host import Host
from qisguard.service.log import Log
from qisguard.transport import loop
from qisguard.transport.page import PageServer

LAG_PERIOD = 0.5


class Lag:
    """How late the event loop is: everything in this process waits as long."""

    def __init__(self) -> None:
        self.last = 0.0
        self.worst = 0.0

    async def watch(self) -> None:
        """Measure for ever."""
        clock = asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(LAG_PERIOD)
            self.last = max(clock() - before - LAG_PERIOD, 0.0)
            self.worst = max(self.worst, self.last)


def run_nodes(configs: Sequence[ServiceConfig], stream: TextIO = sys.stderr) -> signal.Signals:
    """Run nodes until a signal ends them cleanly; return which.

    Raises:
        QisguardError: a node could not start; none is left running.
    """
    check_distinct(configs)
    if any(config.metrics.listen for config in configs):
        check_metrics_library()
    return loop.run(_run(configs, stream))


def check_metrics_library() -> None:
    """Raise ScenarioError when metrics are configured and cannot be served."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ScenarioError(
            "metrics.listen is set and prometheus_client is not installed; install it with "
            "pip install 'qisguard[metrics]', or leave metrics.listen empty"
        ) from None


async def _run(configs: Sequence[ServiceConfig], stream: TextIO) -> signal.Signals:
    ended: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
    time, lag = RealTime(), Lag()
    logs = [Log(stream, c.log.level, c.log.format, c.node.name) for c in configs]
    hosts = [Host(config, log, time) for config, log in zip(configs, logs, strict=True)]
    _listen_to_signals(ended, logs[0])
    _listen_to_faults(hosts)
    started: list[Host] = []
    pages: list[PageServer] = []
    watch = asyncio.ensure_future(lag.watch())
    try:
        for host in hosts:
            await _start(host)
            started.append(host)
        for page in _pages(hosts, lag):
            await page.start()
            pages.append(page)
        logs[0].info("running", nodes=len(hosts), loop=loop.loop_name(), pid=os.getpid())
        loop.notify("READY=1")
        return await ended
    finally:
        loop.notify("STOPPING=1")
        watch.cancel()
        for page in pages:
            await page.stop()
        await asyncio.gather(*(host.stop() for host in started))


async def _start(host: Host) -> None:
    try:
        await host.start()
    except QisguardError as error:
        raise type(error)(f"{host.config.path}: {error}") from None


def _listen_to_signals(ended: "asyncio.Future[signal.Signals]", log: Log) -> None:
    running = asyncio.get_running_loop()

    def end(number: signal.Signals) -> None:
        if not ended.done():
            log.info("stopping", signal=number.name)
            ended.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, end, number)
    running.add_signal_handler(
        signal.SIGHUP, lambda: log.warning("SIGHUP", text="nothing is reloaded: restart the node")
    )


def _listen_to_faults(hosts: Sequence[Host]) -> None:
    """Count and log what nobody caught, by type and place: its words may quote a packet."""

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        frames = traceback.extract_tb(error.__traceback__) if error else []
        place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
        for host in hosts:
            host.errors += 1
        hosts[0].log.error("internal error", error=type(error).__name__, place=place)

    asyncio.get_running_loop().set_exception_handler(tell)


def _pages(hosts: Sequence[Host], lag: Lag) -> list[PageServer]:
    """Return one page for each metrics address, with every node that names it."""
    by_address: dict[Address, list[Host]] = {}
    for host in hosts:
        if host.config.metrics.listen:
            address = parse_address(host.config.metrics.listen, "metrics.listen")
            by_address.setdefault(address, []).append(host)
    if not by_address:
        return []
    from qisguard.service.metrics import PAGE_PATH, Page

    return [PageServer(a, PAGE_PATH, Page(some, lag).render) for a, some in by_address.items()]
