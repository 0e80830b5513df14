"""A calendar on loopback that speaks the real protocol, with a chain of its own to anchor in.

``POST /digest`` promises, ``GET /timestamp/<hex>`` answers 404 until ``anchor`` made a block. It
also answers the three questions that the ``ots`` command asks a Bitcoin node.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from qisguard.notary.headers import HEADER_SIZE, Headers, Network, block_hash, open_headers, shown
from qisguard.notary.stamps import (
    APPEND,
    PREPEND,
    SHA256,
    Bitcoin,
    Operation,
    Pending,
    Timestamp,
    encode_timestamp,
)
from tests.notaries import FIRST_TIME, mine

START = 200


class Calendar:
    """What the server remembers: promises, and the chain that it anchors them in."""

    def __init__(self) -> None:
        self.url = ""
        self.raw = mine(bytes(32), bytes(32), FIRST_TIME)
        self.waiting: list[bytes] = []
        self.known: dict[bytes, Timestamp] = {}
        self.asked: list[str] = []

    @property
    def chain(self) -> Headers:
        """The chain so far; its first block is known."""
        pins = {START: block_hash(self.raw[:HEADER_SIZE])}
        data = Headers(Network.REGTEST, START, self.raw).encode()
        return open_headers(data, Network.REGTEST, pins)

    def promise(self, digest: bytes) -> Timestamp:
        """Take a digest; the answer leads to a commitment and to our address."""
        nonce = len(self.known) + len(self.waiting)
        salt = sha256(b"salt %d" % nonce).digest()[:8]
        commitment = nonce.to_bytes(4, "big") + sha256(digest).digest() + salt
        self.waiting.append(commitment)
        steps = [Operation(SHA256), Operation(PREPEND, commitment[:4]), Operation(APPEND, salt)]
        answer = Timestamp((Pending(self.url),))
        for step in reversed(steps):
            answer = Timestamp((), ((step, answer),))
        return answer

    def anchor(self) -> int:
        """Make a block whose Merkle root is over everything that waits; return its height."""
        height = START + len(self.raw) // HEADER_SIZE
        nodes = [(one, [(one, [Operation(SHA256)])]) for one in self.waiting]
        level = [(sha256(value).digest(), paths) for value, paths in nodes]
        while len(level) > 1:
            above = []
            for (left, lefts), (right, rights) in zip(level[::2], level[1::2], strict=False):
                joined = sha256(left + right).digest()
                lefts = [(c, [*p, Operation(APPEND, right), Operation(SHA256)]) for c, p in lefts]
                rights = [(c, [*p, Operation(PREPEND, left), Operation(SHA256)]) for c, p in rights]
                above.append((joined, lefts + rights))
            level = above + level[len(level) // 2 * 2 :]
        root, paths = level[0]
        for commitment, path in paths:
            answer = Timestamp((Bitcoin(height),))
            for step in reversed(path):
                answer = Timestamp((), ((step, answer),))
            self.known[commitment] = answer
        self.waiting = []
        self.add_block(root)
        return height

    def add_block(self, root: bytes = bytes(32)) -> None:
        """Make one block more."""
        number = len(self.raw) // HEADER_SIZE
        previous = block_hash(self.raw[-HEADER_SIZE:])
        self.raw += mine(previous, root, FIRST_TIME + 600 * number)

    def node_call(self, method: str, params: list[object]) -> object:
        """Answer as a Bitcoin node does."""
        hashes = {
            shown(block_hash(self.raw[at : at + HEADER_SIZE])): self.raw[at : at + HEADER_SIZE]
            for at in range(0, len(self.raw), HEADER_SIZE)
        }
        if method == "getblockcount":
            return START + len(hashes) - 1
        if method == "getblockhash":
            return list(hashes)[int(str(params[0])) - START]
        return hashes[str(params[0])].hex()


@contextmanager
def running(calendar: Calendar | None = None) -> Iterator[Calendar]:
    """Serve a calendar on a free port of loopback until the block ends."""
    found = calendar or Calendar()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            commitment = bytes.fromhex(self.path.rpartition("/")[2])
            if answer := found.known.get(commitment):
                self._answer(200, encode_timestamp(answer))
            else:
                self._answer(404, b"Pending confirmation in Bitcoin blockchain")

        def do_POST(self) -> None:
            found.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/digest":
                self._answer(200, encode_timestamp(found.promise(body)))
            else:
                asked = json.loads(body)
                result = found.node_call(asked["method"], asked["params"])
                answer = {"result": result, "error": None, "id": asked["id"]}
                self._answer(200, json.dumps(answer).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.opentimestamps.v1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with serving(Handler) as url:
        found.url = url
        yield found


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP on a free port of loopback; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
