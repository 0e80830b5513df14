"""How a running node answers its control socket: what a shell asks is judged before it costs."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qisguard import __version__
from qisguard.errors import DecodeError, QisguardError, ServiceError
from qisguard.identity.ids import NodeId
from qisguard.identity.keys import to_text
from qisguard.node import operations
from qisguard.node.archiving import Archived
from qisguard.node.messages import STEP_MAX
from qisguard.node.publishing import Published
from qisguard.node.reading import Retrieved
from qisguard.outcomes.packet import OutcomePacket, open_packet
from qisguard.service.addresses import show_address, show_contact
from qisguard.service.asks import (
    ROWS_MAX,
    Done,
    Failed,
    Find,
    Part,
    Past,
    Publish,
    Retrieve,
    Worth,
    bytes_of,
    decode_ask,
    encode,
    key_of,
)

if TYPE_CHECKING:
    from qisguard.service.host import Host


async def answer(host: "Host", line: bytes) -> AsyncIterator[bytes]:
    """Give the lines that answer one request line; a fault becomes a ``failed`` line."""
    try:
        ask = decode_ask(line)
        if isinstance(ask, Publish):
            yield encode(Done(await _publish(host, ask)))
        elif isinstance(ask, Retrieve):
            async for part in _retrieve(host, ask):
                yield encode(part)
        elif isinstance(ask, Find):
            yield encode(Done(await _find(host, ask)))
        elif isinstance(ask, Past):
            async for part in _past(host, ask):
                yield encode(part)
        elif isinstance(ask, Worth):
            for part in _worth(host):
                yield encode(part)
        else:
            yield encode(Done(status(host)))
    except QisguardError as error:
        yield encode(Failed(error.code, str(error)))
    except TimeoutError:
        yield encode(Failed("QE-800", "the operation did not end in time"))
    except Exception as error:  # the connection ends, the node does not
        host.errors += 1
        host.log.error("internal error", where="control", error=type(error).__name__)
        yield encode(Failed("QE-000", f"internal error: {type(error).__name__}"))


def status(host: "Host") -> dict[str, Any]:
    """Return what an operator wants to know of one node."""
    node = host.node
    told = node.status(host.time.now())
    counts = told.pop("counts")
    return {
        "name": host.config.node.name,
        "id": f"{node.me.id:064x}",
        "address": show_address(node.me.address),
        "listen": host.config.node.listen,
        "version": __version__,
        "pid": os.getpid(),
        "uptime": round(host.uptime, 3),
        "joined": host.joined,
        **told,
        "trail": host.trail.size if host.trail else None,
        "datagrams": {
            "sent": host.driver.sent,
            "lost": host.driver.lost,
            "refused": host.driver.refused,
        },
        "internal_errors": host.errors,
        "counts": dict(sorted(counts.items())) if isinstance(counts, dict) else {},
    }


async def _publish(host: "Host", ask: Publish) -> dict[str, Any]:
    if host.fault:
        raise ServiceError(f"storage fault, writes are refused: {host.fault}")
    packets = [_check(host, text, index) for index, text in enumerate(ask.packets)]
    results = await host.perform(lambda now: host.node.publish(packets, now))
    _raise_faults(results)
    rows = [result for result in results if isinstance(result, Published)]
    return {
        "keys": [
            {
                "key": to_text(row.key),
                "packets": row.packet_count,
                "replicas": row.replica_count,
                "acknowledged": row.acknowledged,
                "refused": dict(row.refused),
            }
            for row in rows
        ]
    }


def _raise_faults(results: Sequence[object]) -> None:
    """Raise the first error that an operation ended with."""
    for result in results:
        if isinstance(result, QisguardError):
            raise result


def _check(host: "Host", text: str, index: int) -> OutcomePacket:
    packet = open_packet(bytes_of(text))
    if packet.network != host.node.network.id:
        raise DecodeError(f"packets[{index}]: belongs to another network")
    return packet


async def _retrieve(host: "Host", ask: Retrieve) -> AsyncIterator[Part | Done]:
    keys = [key_of(text) for text in ask.keys]
    results = await host.perform(lambda now: host.node.retrieve(keys, now))
    _raise_faults(results)
    found = [result for result in results if isinstance(result, Retrieved)]
    for result in found:
        rows = [
            [to_text(packet.data), _median(result.first_seen.get(digest, ()))]
            for digest, packet in result.packets.items()
        ]
        for at in range(0, len(rows), ROWS_MAX):
            yield Part({"packets": rows[at : at + ROWS_MAX]})
    yield Done(
        {
            "keys": [
                {
                    "key": to_text(result.key),
                    "asked": result.replicas_asked,
                    "answered": result.replicas_answered,
                    "refused": dict(result.refused),
                }
                for result in found
            ]
        }
    )


async def _past(host: "Host", ask: Past) -> AsyncIterator[Part | Done]:
    if not 1 <= ask.step <= STEP_MAX or not 0 <= ask.first < 1 << 32:
        raise DecodeError(f"first = {ask.first}, step = {ask.step}: a day, and 1 to {STEP_MAX}")
    keys = [key_of(text) for text in ask.keys]
    results = await host.perform(lambda now: host.node.archived(keys, ask.first, ask.step, now))
    _raise_faults(results)
    for result in results:
        if isinstance(result, Archived):
            for rows in result.replicas:
                for at in range(0, max(len(rows), 1), ROWS_MAX):
                    part = rows[at : at + ROWS_MAX]
                    yield Part({"key": to_text(result.key), "begins": at == 0, "rows": part})
    yield Done({})


def _worth(host: "Host") -> Iterator[Part | Done]:
    annals = host.node.annals
    if annals is None:
        raise ServiceError("this node remembers nothing: set node.annals = true")
    now = host.time.now()
    rows = [
        (row.judge, row.subject, row.good, row.bad)
        for row in annals.standings(host.node.clock.day(now)).rows
    ]
    for at in range(0, len(rows), ROWS_MAX):
        yield Part({"rows": rows[at : at + ROWS_MAX]})
    yield Done({})


def _median(days: Sequence[int]) -> int | None:
    return sorted(days)[len(days) // 2] if days else None


async def _find(host: "Host", ask: Find) -> dict[str, Any]:
    try:
        target = NodeId(int(ask.target, 16))
    except ValueError:
        target = NodeId(-1)
    if len(ask.target) != 64 or target < 0:
        raise DecodeError(f"target = {ask.target[:80]!r}, must be 64 hex digits")
    (found,) = await host.perform(lambda now: [host.node.find(target, now)])
    if not isinstance(found, operations.Found):
        raise ServiceError("the look-up ended without a result")
    return {
        "contacts": [show_contact(contact) for contact in found.contacts],
        "hops": found.hops,
        "messages": found.message_count,
    }
