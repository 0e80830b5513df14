"""One running node: socket, store, trail, first contacts, control socket, all ended together.

- The state folder is locked before anything in it is opened.
- Joining is tried again, with growing pauses, until somebody answers; and again when every contact
  was lost.
- Contacts are saved now and then and at the end, so that a restart needs no bootstrap.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from qisguard.errors import QisguardError, ScenarioError
from qisguard.node.contact import Contact
from qisguard.node.node import Node
from qisguard.service.addresses import show_address
from qisguard.service.answering import answer
from qisguard.service.clock import CALENDAR, RealTime
from qisguard.service.config import ServiceConfig
from qisguard.service.log import Log
from qisguard.service.opening import (
    open_annals,
    open_gossip,
    open_parts,
    open_store,
    open_trail,
)
from qisguard.service.state import StateFolder
from qisguard.trail.log import Trail
from qisguard.transport.control import ControlServer
from qisguard.transport.udp import UdpDriver, by_host, open_socket, reachable_from

JOIN_PAUSES = (0.2, 30.0)
"""First and longest pause between two tries to join, in seconds; each is twice the one before."""
SAVE_PERIOD = 180.0
WATCH_PERIOD = 5.0
SUMMARY_PERIOD = 300.0
DRIFT_MAX = 60.0
FAULT_PAUSE = 1.0
OPERATION_PATIENCE = 120.0
"""Seconds after which a command is told that an operation has not ended."""


class Host:
    """Runs the node of one configuration inside a running event loop."""

    def __init__(self, config: ServiceConfig, log: Log, time: RealTime) -> None:
        self.config = config
        self.log = log
        self.time = time
        self.joined = False
        self.errors = 0
        self.node: Node
        self.driver: UdpDriver
        self.trail: Trail | None = None
        self._started = 0.0
        self._state = StateFolder(config.node.state)
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: dict[int, asyncio.Future[object]] = {}

    async def start(self) -> None:
        """Open everything and begin to join; raise QisguardError, with nothing left open."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        config, stack = self.config, self._stack
        for warning in config.warnings():
            self.log.warning("configuration", text=warning)
        parts = open_parts(config)
        self._state.take()
        stack.callback(self._state.release)
        store = open_store(config, parts.limits)
        stack.callback(store.close)
        self.trail = open_trail(config, parts)
        if self.trail:
            stack.callback(self.trail.close)
        host, port = config.listen
        sock = open_socket(host, lambda _: True, port)
        stack.callback(sock.close)
        self._started = self.time.now()
        self.node = Node(
            parts.identity,
            parts.network,
            config.address,
            parts.limits,
            clock=CALENDAR,
            draw=os.urandom,
            store=store,
            trail=self.trail,
            roster=parts.roster,
            defenses=parts.defenses,
            gossip=open_gossip(config, parts, self.trail),
            annals=open_annals(config, parts, store),
            now=self._started,
        )
        allow = by_host(reachable_from(host))
        self.driver = UdpDriver(self.node, sock, self.time.now, allow, self._take_events)
        control = ControlServer(self._state.socket, lambda line: answer(self, line))
        await control.start()
        stack.push_async_callback(self._finish)
        stack.push_async_callback(control.stop)
        self._tasks = [asyncio.ensure_future(self._go_on(w)) for w in (self._join, self._watch)]
        self.log.info(
            "started",
            id=f"{self.node.me.id:064x}",
            address=show_address(config.address),
            listen=config.node.listen,
            pid=os.getpid(),
            state=str(config.node.state),
        )

    async def stop(self) -> None:
        """Save contacts, flush, sign the last checkpoint, close; never raises."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for future in self._waiting.values():
            future.cancel()
        self._save_contacts()
        try:
            await self._stack.aclose()
        except (QisguardError, OSError) as error:
            self.log.error("closing failed", error=type(error).__name__)
        self.log.info("stopped", uptime=round(self.time.now() - self._started, 1))

    async def _finish(self) -> None:
        """Close the node in a thread: several nodes of a process wait for the disk side by side."""
        self.driver.close()
        try:
            await asyncio.to_thread(self.node.close, self.time.now())
        except (QisguardError, OSError) as error:
            self.log.error("last checkpoint failed", error=type(error).__name__)

    @property
    def uptime(self) -> float:
        """Return seconds since the start."""
        return self.time.now() - self._started

    @property
    def fault(self) -> str | None:
        """Return why writes are refused, or None."""
        return self.node.storage_fault

    async def perform(self, action: Callable[[float], Sequence[int]]) -> list[object]:
        """Start operations and return what they end with; raise TimeoutError if they do not."""
        loop = asyncio.get_running_loop()
        futures: dict[int, asyncio.Future[object]] = {}
        for identifier in action(self.time.now()):
            futures[identifier] = self._waiting[identifier] = loop.create_future()
        try:
            self.driver.pump()
            async with asyncio.timeout(OPERATION_PATIENCE):
                return [await future for future in futures.values()]
        finally:
            for identifier in futures:
                self._waiting.pop(identifier, None)

    def _take_events(self) -> None:
        for event in self.node.events():
            future = self._waiting.get(event.id)
            if future and not future.done():
                future.set_result(event.value)

    async def _go_on(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` for ever: a fault is counted and told, and does not end it."""
        while True:
            try:
                await work()
            except Exception as error:
                self.errors += 1
                self.log.error("internal error", where=work.__name__, error=type(error).__name__)
            await asyncio.sleep(FAULT_PAUSE)

    # --- first contacts --------------------------------------------------------------------------
    async def _join(self) -> None:
        """Join until somebody answers; then again whenever nobody is left."""
        while True:
            await self._join_once()
            while not self._first_contacts() or len(self.node.table):
                await asyncio.sleep(WATCH_PERIOD)
            self.joined = False
            self.log.warning("every contact was lost")

    async def _join_once(self) -> None:
        pause, longest = JOIN_PAUSES
        tries = 0
        while contacts := self._first_contacts():
            tries += 1
            try:
                await self.perform(partial(self._start_join, contacts))
            except TimeoutError:
                self.log.warning("joining takes too long", seconds=OPERATION_PATIENCE)
            if len(self.node.table):
                break
            self.log.info("nobody answered", asked=len(contacts), tries=tries, pause=pause)
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(2 * pause, longest)
        self.joined = True
        self.log.info("joined", contacts=len(self.node.table), tries=tries)

    def _start_join(self, contacts: Sequence[Contact], now: float) -> Sequence[int]:
        return [self.node.join(contacts, now)]

    def _first_contacts(self) -> list[Contact]:
        """Return bootstraps, then saved contacts, each id once and without this node."""
        try:
            saved = self._state.load_contacts()
        except ScenarioError as error:
            self.log.warning("saved contacts", text=str(error))
            saved = []
        known: dict[object, Contact] = {}
        for contact in [*self.config.bootstraps, *saved]:
            if contact.id != self.node.me.id:
                known.setdefault(contact.id, contact)
        return list(known.values())

    def _save_contacts(self) -> None:
        contacts = self.node.contacts()
        if not contacts:  # better the old ones than none
            return
        try:
            self._state.save_contacts(contacts, self.time.now())
        except (OSError, QisguardError) as error:
            self.log.error("contacts could not be saved", error=type(error).__name__)

    # --- watching --------------------------------------------------------------------------------
    async def _watch(self) -> None:
        """Save contacts and write summaries when due; tell a storage fault once."""
        next_save = self.time.now() + SAVE_PERIOD
        next_summary = self.time.now() + SUMMARY_PERIOD
        is_told = False
        while True:
            await asyncio.sleep(1.0)
            now = self.time.now()
            if self.fault and not is_told:
                is_told = True
                self.log.error("storage fault", reason=self.fault, writes="refused")
            if now >= next_save:
                next_save = now + SAVE_PERIOD
                self._save_contacts()
            if now >= next_summary:
                next_summary = now + SUMMARY_PERIOD
                self._write_summary()

    def _write_summary(self) -> None:
        self.log.info(
            "summary",
            contacts=len(self.node.table),
            sent=self.driver.sent,
            lost=self.driver.lost,
            counts=dict(sorted(self.node.counts.items())),
        )
        if abs(self.time.drift()) > DRIFT_MAX:
            self.log.warning("the machine's clock was set", seconds=round(self.time.drift()))
