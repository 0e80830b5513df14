"""Lines over a Unix domain socket: how a shell talks to a running node.

- Only the owner's processes can connect: the socket has mode 0600 from its first moment.
- Lines, connections and waiting are bounded; what is in the lines is somebody else's business.
- A path that is too long for a socket address is reached through its open folder.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

LINE_SIZE_MAX = 1 << 20
CONNECTIONS_MAX = 32
PATH_SIZE_MAX = 100
"""Socket addresses hold 104 (BSD, macOS) or 108 (Linux) bytes of path."""

Handle = Callable[[bytes], AsyncIterator[bytes]]
"""Takes one request line, gives the lines of the answer; lines carry no newline."""


class ControlServer:
    """Answers every line with lines, one request of a connection at a time."""

    def __init__(self, path: Path, handle: Handle) -> None:
        self._path = path
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Bind and listen; a socket that a crash left behind is replaced.

        The caller holds the lock of the folder, so nobody else listens here.
        """
        self._path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            with reachable(self._path) as address:
                sock.bind(address)
        except BaseException:
            sock.close()
            raise
        finally:
            os.umask(before)
        sock.setblocking(False)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=LINE_SIZE_MAX)

    async def stop(self) -> None:
        """Stop listening, end every connection and remove the socket."""
        if self._server:
            self._server.close()
        for writer in list(self._connections):
            writer.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= CONNECTIONS_MAX:
            writer.close()
            return
        self._connections.add(writer)
        try:
            while line := await reader.readline():
                async for answer in self._handle(line.rstrip(b"\n")):
                    writer.write(answer + b"\n")
                    await writer.drain()
        except (ValueError, OSError):  # a line beyond the limit, or a peer that went away
            pass
        finally:
            self._connections.discard(writer)
            writer.close()


class ControlClient:
    """Asks one running node; blocking, for commands. Use as a context manager."""

    def __init__(self, path: Path, timeout: float) -> None:
        """Connect; raises OSError when nobody listens. ``timeout`` is seconds between two lines."""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._sock.settimeout(timeout)
            with reachable(path) as address:
                self._sock.connect(address)
        except BaseException:
            self._sock.close()
            raise
        self._lines = self._sock.makefile("rb")

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._sock.close()

    def ask(self, line: bytes) -> Iterator[bytes]:
        """Send one request and give the lines that come; the caller knows which is the last."""
        self._sock.sendall(line + b"\n")
        while answer := self._lines.readline(LINE_SIZE_MAX + 1):
            if not answer.endswith(b"\n"):
                return
            yield answer[:-1]


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Give a form of ``path`` that fits a socket address; raise OSError when there is none."""
    if len(os.fsencode(path)) <= PATH_SIZE_MAX:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        short = f"/proc/self/fd/{descriptor}"
        if not os.path.isdir(short):
            raise OSError(36, f"path of {len(str(path))} bytes is too long for a socket", str(path))
        yield f"{short}/{path.name}"
    finally:
        os.close(descriptor)
