"""The witness protocol over HTTP/1.1, as a server (C2SP tlog-witness), for logs that others keep.

- ``POST <prefix>/add-checkpoint``; for monitors ``GET <prefix>/<SHA-256 of origin>/checkpoint``.
- Every size, count and time is bounded before anything is read; a body needs a Content-Length.
- Requests are answered one after the other: looking, remembering and answering is one step.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from qisguard.errors import DecodeError, ScenarioError, TrailError
from qisguard.identity.address import Address
from qisguard.trail.checkpoint import encode_lines
from qisguard.trail.witness import (
    REQUEST_SIZE_MAX,
    Answer,
    Status,
    Witness,
    parse_add_checkpoint,
)

HEAD_SIZE_MAX = 8 << 10
CONNECTIONS_MAX = 64
REQUESTS_MAX = 1_000
"""Requests on one connection."""
PATIENCE = 10.0
"""Seconds for a whole request, and for the pause before the next one."""
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    422: "Unprocessable Content",
    500: "Internal Server Error",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One response; ``is_last``: the connection is closed after it."""

    status: int
    body: bytes
    kind: str = TEXT
    is_last: bool = False

    def encode(self) -> bytes:
        """Return head and body."""
        head = (
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}\r\nContent-Type: {self.kind}\r\n"
            f"Content-Length: {len(self.body)}\r\n"
            f"Connection: {'close' if self.is_last else 'keep-alive'}\r\n\r\n"
        )
        return head.encode("ascii") + self.body


class WitnessServer:
    """Serves one witness at ``address`` under ``prefix``, which is empty or begins with a slash.

    ``origins`` are those that it may cosign, ``time`` gives seconds since 1970. With port 0 the
    system chooses; ``address`` tells after ``start``.
    """

    def __init__(
        self,
        witness: Witness,
        origins: Iterable[str],
        time: Callable[[], float],
        address: Address = ("127.0.0.1", 0),
        prefix: str = "",
    ) -> None:
        self.address = address
        self.faults = 0
        self._witness = witness
        self._time = time
        self._post = f"{prefix}/add-checkpoint"
        self._notes = {
            f"{prefix}/{sha256(origin.encode()).hexdigest()}/checkpoint": origin
            for origin in origins
        }
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def log_count(self) -> int:
        """Return how many logs may be cosigned."""
        return len(self._notes)

    async def start(self) -> None:
        """Listen; raise ScenarioError when the address cannot be had."""
        host, port = self.address
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_SIZE_MAX)
        except OSError as error:
            raise ScenarioError(f"TCP address {host} port {port}: {error.strerror}") from None
        self.address = (host, self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._server:
            self._server.close()
        await asyncio.gather(*(_close(writer) for writer in list(self._open)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= CONNECTIONS_MAX:
            await _close(writer)
            return
        self._open.add(writer)
        try:
            for _ in range(REQUESTS_MAX):
                async with asyncio.timeout(PATIENCE):
                    reply = await self._answer_one(reader, writer)
                    writer.write(reply.encode())
                    await writer.drain()
                if reply.is_last:
                    break
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # gone, slow, or a head without end: nothing to say
        finally:
            self._open.discard(writer)
            await _close(writer)

    async def _answer_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Reply:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *rows = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return Reply(400, b"not HTTP/1\n", is_last=True)
        method, path, version = words
        fields = [(k.strip().lower(), v.strip()) for k, _, v in (r.partition(":") for r in rows)]
        lengths = {value for name, value in fields if name == "content-length"}
        values = dict(fields)
        if "transfer-encoding" in values:
            return Reply(411, b"a Content-Length is needed\n", is_last=True)
        size = lengths.pop() if lengths else "0"
        if lengths or not (size.isascii() and size.isdigit()) or len(size) > 12:
            return Reply(400, b"Content-Length is no number\n", is_last=True)
        if int(size) > REQUEST_SIZE_MAX:
            return Reply(413, f"at most {REQUEST_SIZE_MAX} bytes\n".encode(), is_last=True)
        if values.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(size))
        wants_end = values.get("connection", "").lower() == "close" or version == "HTTP/1.0"
        reply = self.answer(method, path, body)
        return Reply(reply.status, reply.body, reply.kind, wants_end or reply.is_last)

    def answer(self, method: str, path: str, body: bytes) -> Reply:
        """Return the response to one request."""
        try:
            if path == self._post:
                if method != "POST":
                    return Reply(405, b"POST only\n")
                request = parse_add_checkpoint(body)
                return _show(self._witness.add(request, int(self._time())))
            if origin := self._notes.get(path):
                if method != "GET":
                    return Reply(405, b"GET only\n")
                note = self._witness.latest(origin)
                return Reply(404, b"nothing cosigned yet\n") if note is None else Reply(200, note)
        except DecodeError as error:
            return Reply(400, f"{error}\n".encode())
        except TrailError:
            self.faults += 1
            return Reply(500, b"nothing can be remembered, so nothing is cosigned\n")
        return Reply(404, b"no such path\n")


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _show(answer: Answer) -> Reply:
    if answer.status is Status.COSIGNED and answer.line:
        return Reply(200, encode_lines([answer.line]))
    if answer.status is Status.CONFLICT:
        return Reply(409, f"{answer.size}\n".encode(), SIZE)
    return Reply(int(answer.status), f"{answer.reason}\n".encode())
