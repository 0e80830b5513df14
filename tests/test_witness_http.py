"""The witness protocol over HTTP: the requests of another implementation, and hostile ones."""

import asyncio
import http.client
from collections.abc import Callable
from typing import TypeVar

import pytest

from qisguard.errors import ProofError, QisguardError, ScenarioError, ServiceError
from qisguard.identity.keys import KeyPair
from qisguard.trail.checkpoint import LogKey, parse_checkpoint, sign_checkpoint
from qisguard.trail.cosignature import WitnessKey, verify_cosignatures
from qisguard.trail.files import MemoryFiles
from qisguard.trail.merkle import consistency_proof, leaf_hash, root
from qisguard.trail.witness import FileMemory, Witness, note_path
from qisguard.transport.witness_client import ask_witness
from qisguard.transport.witness_server import WitnessServer
from tests.witness_vectors import LOGS, NAME, expected_status, load_cases

T = TypeVar("T")
PAIR = KeyPair.from_seed(b"\x02" * 32)
KEY = WitnessKey(NAME, PAIR.public)
LOG = KeyPair.from_seed(b"\x01" * 32)
ORIGIN = "log.example/one"
LEAVES = [leaf_hash(bytes([n])) for n in range(40)]
TIME = 1_700_000_000.5


class Full(MemoryFiles):
    """A disk without room."""

    def write(self, files: object) -> None:
        """Fail."""
        raise OSError(28, "No space left on device")


def _serve(tell: Callable[[WitnessServer, str], T], files: MemoryFiles | None = None) -> T:
    """Run ``tell`` in a thread beside a witness for all logs of these tests."""
    logs = LOGS | {ORIGIN: [LogKey(ORIGIN, LOG.public)]}
    witness = Witness(NAME, PAIR, logs, FileMemory(files or MemoryFiles()))

    async def run() -> T:
        server = WitnessServer(witness, logs, lambda: TIME)
        await server.start()
        try:
            url = f"http://{server.address[0]}:{server.address[1]}"
            return await asyncio.to_thread(tell, server, url)
        finally:
            await server.stop()

    return asyncio.run(run())


def _head(size: int, pair: KeyPair = LOG) -> bytes:
    return sign_checkpoint(ORIGIN, size, root(LEAVES[:size]), pair).encode()


def _prove(old: int, new: int) -> list[bytes]:
    return consistency_proof(LEAVES[:new], old)


def test_the_requests_of_another_witness_get_the_same_answers_on_one_connection() -> None:
    cases = load_cases()

    def tell(server: WitnessServer, _: str) -> None:
        connection = http.client.HTTPConnection(*server.address, timeout=5)
        for case in cases:
            connection.request("POST", "/add-checkpoint", case["body"].encode())
            response = connection.getresponse()
            body = response.read()
            assert response.status == expected_status(case), case["body"]
            if response.status == 200:
                assert body.startswith(f"— {NAME} ".encode())
                note = case["body"].partition("\n\n")[2].encode() + body
                said = verify_cosignatures(parse_checkpoint(note), [KEY])
                assert [s.time for s in said] == [int(TIME)]
            if response.status == 409:
                assert response.getheader("Content-Type") == "text/x.tlog.size"
                assert case["asserts"].endswith('"' + body.decode().replace("\n", "\\n") + '"')
        connection.close()

    _serve(tell)


def test_a_log_gets_its_cosignature_whatever_the_witness_remembers() -> None:
    files = MemoryFiles()

    def tell(server: WitnessServer, url: str) -> None:
        for size in (3, 17, 17, 40):
            head = parse_checkpoint(_head(size))
            assert ask_witness(url, head, KEY, _prove).name == NAME
        with pytest.raises(ProofError, match="the end of the log was lost"):
            ask_witness(url, parse_checkpoint(_head(9)), KEY, _prove)
        connection = http.client.HTTPConnection(*server.address, timeout=5)
        connection.request("GET", "/" + note_path(ORIGIN).removeprefix("witness/"))
        note = parse_checkpoint(connection.getresponse().read())
        connection.close()
        assert note.size == 40
        assert len(verify_cosignatures(note, [KEY])) == 1

    _serve(tell, files)


@pytest.mark.parametrize(
    ("head", "error", "words"),
    [
        (_head(3, KeyPair.from_seed(b"x" * 32)), ServiceError, "403: invalid signature"),
        (_head(3).replace(b"one", b"two"), ServiceError, "404: unknown log"),
    ],
)
def test_a_refusal_names_status_and_reason(
    head: bytes, error: type[QisguardError], words: str
) -> None:
    def tell(_: WitnessServer, url: str) -> None:
        with pytest.raises(error, match=words):
            ask_witness(url, parse_checkpoint(head), KEY, _prove)

    _serve(tell)


def test_another_history_is_refused_and_told() -> None:
    fork = sign_checkpoint(ORIGIN, 9, bytes(32), LOG)

    def tell(_: WitnessServer, url: str) -> None:
        ask_witness(url, parse_checkpoint(_head(9)), KEY, _prove)
        with pytest.raises(ServiceError, match="403: log signed two histories"):
            ask_witness(url, fork, KEY, lambda old, new: [])

    _serve(tell)


def test_a_witness_that_cannot_remember_does_not_cosign() -> None:
    def tell(server: WitnessServer, url: str) -> None:
        with pytest.raises(ServiceError, match="500"):
            ask_witness(url, parse_checkpoint(_head(9)), KEY, _prove)
        assert server.faults == 1

    _serve(tell, Full())


def _raw(data: bytes) -> Callable[[WitnessServer, str], bytes]:
    async def ask(server: WitnessServer) -> bytes:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(1 << 16), 5)
        writer.close()
        await writer.wait_closed()
        return answer

    return lambda server, _: asyncio.run(ask(server))


@pytest.mark.parametrize(
    ("data", "start"),
    [
        (b"\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET / HTTP/2\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 404"),
        (b"GET /add-checkpoint HTTP/1.1\r\n\r\n", b"HTTP/1.1 405"),
        (b"POST /add-checkpoint HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"HTTP/1.1 413"),
        (b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 411"),
        (
            b"POST /add-checkpoint HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
            b"HTTP/1.1 100",
        ),
        (b"A" * 20_000, b""),
    ],
)
def test_hostile_requests_get_an_error_and_no_traceback(data: bytes, start: bytes) -> None:
    answer = _serve(_raw(data))
    assert answer.startswith(start)
    assert bool(answer) == bool(start)


def _stub(respond: bytes) -> Callable[[Callable[[str], None]], None]:
    """Run a server that answers anything with the same bytes."""

    async def run(tell: Callable[[str], None]) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1 << 16)
            writer.write(respond)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await asyncio.to_thread(tell, f"http://127.0.0.1:{port}")
        server.close()

    def start(tell: Callable[[str], None]) -> None:
        asyncio.run(run(tell))

    return start


def _response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


@pytest.mark.parametrize(
    "respond",
    [
        b"",
        b"garbage\r\n\r\n",
        _response(200, b""),
        _response(200, b"x\n"),
        _response(200, "— other AAAAAAAA\n".encode()),
        _response(200, b"a" * (1 << 17)),
        _response(200, _head(3).partition(b"\n\n")[2]),
        _response(409, b""),
        _response(409, b"1e9\n"),
        _response(409, b"0\n"),
        _response(409, b"7\n"),
        _response(302, b""),
        _response(500, b"\x1b[2J\n"),
    ],
)
def test_a_lying_witness_gets_nothing_accepted(respond: bytes) -> None:
    def tell(url: str) -> None:
        with pytest.raises(QisguardError) as caught:
            ask_witness(url, parse_checkpoint(_head(9)), KEY, _prove)
        assert str(caught.value).isprintable()

    _stub(respond)(tell)


@pytest.mark.parametrize("url", ["", "file:///x", "http://", "ftp://127.0.0.1", "http://x/?q=1"])
def test_only_http_urls_are_asked(url: str) -> None:
    with pytest.raises(ScenarioError, match="URL"):
        ask_witness(url, parse_checkpoint(_head(9)), KEY, _prove)


def test_an_address_in_use_is_named() -> None:
    def tell(server: WitnessServer, _: str) -> None:
        async def again() -> None:
            witness = Witness(NAME, PAIR, {}, FileMemory(MemoryFiles()))
            with pytest.raises(ScenarioError, match=f"port {server.address[1]}"):
                await WitnessServer(witness, [], lambda: TIME, server.address).start()

        asyncio.run(again())

    _serve(tell)
