"""One bounded HTTP request: to the host that was named, once, and for so long.

- No redirect is followed, no proxy of the environment is asked, nothing is kept between requests.
- The whole request, name look-up included, ends after its timeout, however slowly a server drips.
- No more of an answer is read than the caller wants.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from qisguard.errors import ScenarioError, ServiceError

SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered: status and body."""

    status: int
    body: bytes


def check_url(url: str, what: str) -> str:
    """Return the address of a service without a slash at its end.

    Raises:
        ScenarioError: not http or https, no host, or with a user, query or fragment.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ScenarioError(f"{what} = {url[:80]!r}: {error}") from None
    if parts.scheme not in SCHEMES or not parts.hostname or port == 0 or not url.isascii():
        raise ScenarioError(f"{what} = {url[:80]!r}, must be http://HOST or https://HOST")
    if any(part in url for part in "?#@\\") or not url.isprintable() or " " in url:
        raise ScenarioError(f"{what} = {url[:80]!r}: has a user, a query, a fragment or a space")
    return url.rstrip("/")


def fetch(
    url: str,
    *,
    size_max: int,
    timeout: float,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Return the answer to a GET, or to a POST of ``data``.

    Raises:
        ServiceError: no connection, no HTTP, more than ``size_max`` bytes, or nothing within
            ``timeout`` seconds.
    """
    request = _Request(url, size_max, timeout, data, dict(headers or {}))
    threading.Thread(target=request.run, daemon=True).start()
    try:
        result = request.done.get(timeout=timeout)
    except Empty:
        request.abandon()
        raise ServiceError(f"{url}: no whole answer within {timeout:g} s") from None
    if isinstance(result, Reply):
        return result
    raise ServiceError(f"{url}: {result}")


@dataclass
class _Request:
    """One request on a thread of its own, which may be left behind but not left connected."""

    url: str
    size_max: int
    timeout: float
    data: bytes | None
    headers: dict[str, str]
    done: "SimpleQueue[Reply | str]" = field(default_factory=SimpleQueue)
    connection: http.client.HTTPConnection | None = None
    wire: socket.socket | None = None

    def run(self) -> None:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        try:
            if parts.scheme == "https":
                context = ssl.create_default_context()
                self.connection = http.client.HTTPSConnection(
                    host, parts.port, timeout=self.timeout, context=context
                )
            else:
                self.connection = http.client.HTTPConnection(host, parts.port, timeout=self.timeout)
            self.connection.connect()
            self.wire = self.connection.sock
            method = "GET" if self.data is None else "POST"
            self.connection.request(method, parts.path or "/", self.data, self.headers)
            response = self.connection.getresponse()
            body = response.read(self.size_max + 1)
            if len(body) > self.size_max:
                self.done.put(f"answers more than {self.size_max} bytes")
            else:
                self.done.put(Reply(response.status, body))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.done.put(f"{type(error).__name__}: {error}"[:200])
        finally:
            if self.connection is not None:
                self.connection.close()

    def abandon(self) -> None:
        """Wake the thread if it waits for the server."""
        if self.wire is not None:
            with suppress(OSError):
                self.wire.shutdown(socket.SHUT_RDWR)
