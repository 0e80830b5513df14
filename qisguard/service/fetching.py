"""Where a mirror's files come from: a folder, or any HTTP server that serves one.

A source is not trusted: what it sends is bounded before it is read, redirects are not followed, and
nothing that it sends is kept before it was verified.
"""

import http.client
import ssl
import threading
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

from qisguard.errors import TrailError
from qisguard.trail.files import FolderFiles

CONNECTIONS = 8
TIMEOUT = 30.0
"""Seconds that a server may take for the next byte."""
PACKING = 64
"""Bytes that gzip adds to what it cannot pack, with a thousandth of it."""
TRIES = 2
"""A server closes a kept connection when it likes; the second time is a fault."""

Fetch = Callable[[Sequence[tuple[str, int]]], Sequence[bytes | None]]


def open_source(source: str) -> "FolderSource | HttpSource":
    """Return the source that an URL or a folder's path means; raise TrailError if it is neither."""
    if source.startswith(("http://", "https://")):
        return HttpSource(source)
    if "://" in source:
        raise TrailError(f"source {source!r}: must be a folder, http:// or https://")
    if not Path(source).is_dir():
        raise TrailError(f"source {source!r}: there is no such folder; type: ls -ld {source}")
    return FolderSource(Path(source))


class FolderSource:
    """A trail in a folder."""

    def __init__(self, root: Path) -> None:
        self._files = FolderFiles(root)

    def fetch(self, wanted: Sequence[tuple[str, int]]) -> list[bytes | None]:
        """Return files; None for one that is not there."""
        try:
            return [self._files.read(path, limit) for path, limit in wanted]
        except OSError as error:
            raise TrailError(f"source: {error.filename}: {error.strerror}") from None

    def close(self) -> None:
        """Do nothing."""


class HttpSource:
    """A trail below an URL, fetched over a few connections that are kept open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            raise TrailError(f"source {url!r}: has no valid port") from None
        if not parts.hostname or parts.query or parts.fragment or parts.username:
            raise TrailError(f"source {url!r}: must be a plain URL of a folder")
        self._url = url
        self._host, self._port = parts.hostname, port
        self._is_tls = parts.scheme == "https"
        self._base = parts.path.rstrip("/")
        self._here = threading.local()
        self._open: list[http.client.HTTPConnection] = []
        self._pool = ThreadPoolExecutor(CONNECTIONS)

    def fetch(self, wanted: Sequence[tuple[str, int]]) -> list[bytes | None]:
        """Return files; None for one that the server says is not there.

        Raises:
            TrailError: the server cannot be reached, answers with anything else, or sends more than
                a file may have.
        """
        return list(self._pool.map(lambda item: self._get(*item), wanted))

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown()
        for connection in self._open:
            connection.close()

    def _get(self, path: str, limit: int) -> bytes | None:
        for tried in range(1, TRIES + 1):
            connection = self._connection()
            try:
                connection.request(
                    "GET",
                    f"{self._base}/{quote(path)}",
                    headers={"Accept-Encoding": "gzip, identity"},
                )
                return self._body(path, connection.getresponse(), limit)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if tried == TRIES:
                    raise TrailError(f"source {self._url!r}: {path}: {error!r}") from None
            except BaseException:
                connection.close()  # what is left of the answer is not read
                raise
        raise AssertionError("unreachable")

    def _connection(self) -> http.client.HTTPConnection:
        """Return this thread's connection; it opens itself again after it was closed."""
        found: http.client.HTTPConnection | None = getattr(self._here, "connection", None)
        if found is None:
            if self._is_tls:
                context = ssl.create_default_context()
                found = http.client.HTTPSConnection(
                    self._host, self._port, timeout=TIMEOUT, context=context
                )
            else:
                found = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
            self._here.connection = found
            self._open.append(found)
        return found

    def _body(self, path: str, answer: http.client.HTTPResponse, limit: int) -> bytes | None:
        if answer.status in (404, 410):
            answer.read(limit + 1)
            if not answer.isclosed():
                answer.close()
                raise http.client.IncompleteRead(b"")  # a page too long to be read to its end
            return None
        if answer.status != 200:
            raise TrailError(f"source {self._url!r}: {path}: status {answer.status}")
        is_packed = answer.headers.get("Content-Encoding", "identity") == "gzip"
        data = answer.read(limit + 1 + is_packed * (limit // 1000 + PACKING))
        if is_packed:
            unpacking = zlib.decompressobj(wbits=31)
            try:
                data = unpacking.decompress(data, limit + 1)
            except zlib.error as error:
                raise TrailError(f"source {self._url!r}: {path}: {error}") from None
            if not unpacking.eof:
                raise TrailError(f"source {self._url!r}: {path}: more than {limit} bytes, or cut")
        if len(data) > limit:
            raise TrailError(f"source {self._url!r}: {path}: more than {limit} bytes")
        return data
