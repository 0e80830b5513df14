"""One page over HTTP/1.1: a request line in, one body out, the connection closed.

Enough for a program that scrapes metrics; no query, no upload, no keep-alive, no names.
"""

import asyncio
from collections.abc import Callable

from qisguard.errors import ScenarioError
from qisguard.identity.address import Address

REQUEST_SIZE_MAX = 8 << 10
CONNECTIONS_MAX = 16
PATIENCE = 5.0
"""Seconds for a whole request."""


class PageServer:
    """Serves what ``render`` returns, (content type, body), under one path."""

    def __init__(
        self, address: Address, path: str, render: Callable[[], tuple[str, bytes]]
    ) -> None:
        self._address = address
        self._path = path
        self._render = render
        self._server: asyncio.Server | None = None
        self._count = 0

    async def start(self) -> None:
        """Listen; raise ScenarioError when the address cannot be had."""
        host, port = self._address
        try:
            self._server = await asyncio.start_server(
                self._serve, host, port, limit=REQUEST_SIZE_MAX
            )
        except OSError as error:
            raise ScenarioError(f"TCP address {host} port {port}: {error.strerror}") from None

    async def stop(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        try:
            if self._count <= CONNECTIONS_MAX:
                async with asyncio.timeout(PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(head.split(b"\r\n", 1)[0]))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._count -= 1
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", "text/plain", b"GET only\n")
        if path != self._path:
            return _response("404 Not Found", "text/plain", f"see {self._path}\n".encode())
        kind, body = self._render()
        return _response("200 OK", kind, body, with_body=method == "GET")


def _response(status: str, kind: str, body: bytes, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (body if with_body else b"")
