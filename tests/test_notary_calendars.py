"""Calendars: several are asked, none that nobody named, and no answer hurts more than itself."""

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from qisguard.errors import ScenarioError, ServiceError
from qisguard.notary.judgement import State
from qisguard.notary.judging import judge, judge_stamp
from qisguard.notary.stamps import (
    SHA256,
    Bitcoin,
    Operation,
    Pending,
    Stamp,
    Timestamp,
    decode_stamp,
    encode_stamp,
    encode_timestamp,
    walk,
)
from qisguard.service.calendars import Told, gather, submit, upgrade
from qisguard.transport.web import check_url, fetch
from tests.authorities import certify
from tests.calendars import Calendar, running, serving
from tests.notaries import TEXT, policy_of

DIGEST = sha256(TEXT).digest()


def never(stamp: Stamp) -> bool:
    """Refute nothing: nothing is known of blocks."""
    return False


def answering(body: bytes, status: int = 200) -> type[BaseHTTPRequestHandler]:
    """Return a server that answers everything the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def dripping(sent: list[bytes]) -> Iterator[str]:
    """Serve one header line that never ends, a byte every 20 ms; they are noted in ``sent``."""
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not stop.wait(0.02):
                try:
                    connection.sendall(b"x")
                    sent.append(b"x")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        stop.set()
        thread.join()
        server.close()


def test_several_calendars_promise_and_later_anchor_one_digest() -> None:
    with running() as one, running() as other:
        told = submit(DIGEST, [one.url, other.url], 5.0)
        assert [found.problem for found in told] == ["", ""]
        stamp = Stamp(SHA256, DIGEST, gather(told))
        assert judge(TEXT, encode_stamp(stamp), None, policy_of(one.chain)).state is State.PENDING
        same, told = upgrade(stamp, [one.url, other.url], 5.0, never)
        assert same == stamp
        assert {found.problem for found in told} == {"nothing yet"}
        submit(b"another digest, so that there is a tree"[:32], [one.url], 5.0)
        one.anchor()
        grown, told = upgrade(stamp, [one.url, other.url], 5.0, never)
        assert sorted(found.problem for found in told) == ["", "nothing yet"]
        found = judge(TEXT, encode_stamp(grown), one.chain, policy_of(one.chain))
        assert found.state is State.ANCHORED
        again, _ = upgrade(grown, [one.url, other.url], 5.0, never)
        assert again == grown


def test_a_calendar_that_the_configuration_does_not_name_is_not_asked() -> None:
    with running() as named, running() as stranger:
        stamp = Stamp(SHA256, DIGEST, Timestamp((Pending(stranger.url),)))
        stranger.known[DIGEST] = Timestamp((Bitcoin(1),))
        same, told = upgrade(stamp, [named.url], 5.0, never)
        assert same == stamp
        assert told == [Told(stranger.url, None, "not a calendar of the configuration: not asked")]
        assert named.asked == stranger.asked == []


def test_a_redirect_is_not_followed() -> None:
    with serving(answering(b"", 302)) as url:
        assert submit(DIGEST, [url], 5.0) == [Told(url, None, "answers with status 302")]


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as calendar:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        assert submit(DIGEST, [calendar.url], 5.0)[0].problem == ""


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "ends at byte 0"),
        (b"<html>", "unknown operation 0x3c"),
        (b"\x08" * 300, "more than 256 levels"),
        (bytes(10_001), "answers more than 10000 bytes"),
        (encode_timestamp(Timestamp((Bitcoin(1),))) + b"\0", "1 bytes follow"),
    ],
)
def test_a_bad_answer_costs_only_itself(body: bytes, problem: str) -> None:
    with serving(answering(body)) as bad, running() as good:
        told = submit(DIGEST, [bad, good.url], 5.0)
        assert problem in told[0].problem
        assert told[1].timestamp is not None
        assert gather(told) == told[1].timestamp


def test_an_answer_that_contradicts_a_known_block_is_left_out() -> None:
    with running() as calendar:
        stamp = Stamp(SHA256, DIGEST, gather(submit(DIGEST, [calendar.url], 5.0)))
        height = calendar.anchor()
        calendar.add_block()
        chain = calendar.chain

        def is_refuted(grown: Stamp) -> bool:
            return judge_stamp(TEXT, grown, chain, policy_of(chain)).state is State.REFUTED

        wrong = Timestamp((), ((Operation(SHA256), Timestamp((Bitcoin(height + 1),))),))
        calendar.known = dict.fromkeys(calendar.known, wrong)
        same, told = upgrade(stamp, [calendar.url], 5.0, is_refuted)
        assert same == stamp
        assert told[0].problem == "its answer contradicts a known block"


def test_an_answer_that_would_make_the_stamp_unreadable_is_left_out() -> None:
    deep = Timestamp((Bitcoin(1),))
    for _ in range(255):
        deep = Timestamp((), ((Operation(SHA256), deep),))
    with running() as calendar:
        stamp = Stamp(SHA256, DIGEST, gather(submit(DIGEST, [calendar.url], 5.0)))
        calendar.known = dict.fromkeys(calendar.waiting, deep)
        same, told = upgrade(stamp, [calendar.url], 5.0, never)
        assert same == stamp
        assert "more than 256 levels" in told[0].problem


def test_a_long_answer_to_a_long_stamp_is_taken_up_to_the_limit() -> None:
    """Two hundred and fifty-five levels together, and no comparison runs out of stack."""

    def chain(length: int, end: Timestamp) -> Timestamp:
        for _ in range(length):
            end = Timestamp((), ((Operation(SHA256), end),))
        return end

    with running() as calendar:
        stamp = Stamp(SHA256, DIGEST, chain(127, Timestamp((Pending(calendar.url),))))
        ((commitment, _),) = walk(stamp.timestamp, DIGEST)
        assert commitment is not None
        calendar.known[commitment] = chain(127, Timestamp((Bitcoin(1),)))
        grown, told = upgrade(stamp, [calendar.url], 5.0, never)
        assert told[0].problem == ""
        assert Bitcoin(1) in [attestation for _, attestation in walk(grown.timestamp, DIGEST)]
        assert decode_stamp(encode_stamp(grown)).digest == DIGEST


def test_a_dripping_calendar_and_a_closed_port_end_in_time() -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    sent: list[bytes] = []
    with dripping(sent) as slow, running() as good:
        told = submit(DIGEST, [slow, f"http://127.0.0.1:{port}", good.url], 0.3)
        assert "no whole answer within 0.3 s" in told[0].problem
        assert len(sent) < 200
        assert "refused" in told[1].problem.lower()
        assert told[2].timestamp is not None


def test_a_calendar_whose_certificate_nobody_vouches_for_is_not_believed(tmp_path: Path) -> None:
    made = certify("127.0.0.1", None)
    key = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "server.pem").write_bytes(made.pem + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    server = socket.create_server(("127.0.0.1", 0))

    def shake() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=shake, daemon=True)
    thread.start()
    told = submit(DIGEST, [f"https://127.0.0.1:{server.getsockname()[1]}"], 5.0)
    thread.join()
    server.close()
    assert "CERTIFICATE_VERIFY_FAILED" in told[0].problem


def test_a_request_for_a_host_that_is_not_there_says_so() -> None:
    with pytest.raises(ServiceError, match=r"http://127\.0\.0\.1:1/x: "):
        fetch("http://127.0.0.1:1/x", size_max=1, timeout=5.0)


@pytest.mark.parametrize(
    "url", ["ftp://a", "a", "http://", "http://a/?b", "http://a@b", "http://a:x", "http://a b", ""]
)
def test_an_address_that_is_no_plain_http_address_is_refused(url: str) -> None:
    with pytest.raises(ScenarioError):
        check_url(url, "calendars[0]")
    assert check_url("https://a.example/", "calendars[0]") == "https://a.example"


def ots(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the unmodified command of opentimestamps-client."""
    pytest.importorskip("otsclient", reason="opentimestamps-client is not installed")
    command = [str(Path(sys.executable).parent / "ots"), "--no-cache", *arguments]
    if not Path(command[0]).exists():
        pytest.skip("the command ots is not beside this Python")
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_ots_command_stamps_upgrades_and_verifies_with_this_calendar(tmp_path: Path) -> None:
    """Its stamps are judged by us, and ours are read by it."""
    text = tmp_path / "7"
    text.write_bytes(TEXT)
    stamp = tmp_path / "7.ots"
    with running() as calendar:
        made = ots("stamp", "-m", "1", "-c", calendar.url, str(text))
        assert made.returncode == 0, made.stderr
        assert judge(TEXT, stamp.read_bytes(), None, policy_of(calendar.chain)).state is (
            State.PENDING
        )
        early = ots("--no-default-whitelist", "-l", calendar.url, "upgrade", str(stamp))
        assert early.returncode == 1
        assert "Pending confirmation" in early.stderr
        calendar.anchor()
        for _ in range(2):
            calendar.add_block()
        late = ots("--no-default-whitelist", "-l", calendar.url, "upgrade", str(stamp))
        assert late.returncode == 0, late.stderr
        assert "Success! Timestamp complete" in late.stderr
        found = judge(TEXT, stamp.read_bytes(), calendar.chain, policy_of(calendar.chain))
        assert found.state is State.ANCHORED
        node = calendar.url.replace("http://", "http://user:word@")
        verified = ots("--btc-regtest", "--bitcoin-node", node, "verify", str(stamp))
        assert verified.returncode == 0, verified.stderr
        assert "Success! Bitcoin block 201 attests existence" in verified.stderr


def test_our_stamp_is_upgraded_shown_and_verified_by_the_ots_command(tmp_path: Path) -> None:
    text, stamp = tmp_path / "7", tmp_path / "7.ots"
    text.write_bytes(TEXT)
    with running() as calendar:
        ours = Stamp(SHA256, DIGEST, gather(submit(DIGEST, [calendar.url], 5.0)))
        stamp.write_bytes(encode_stamp(ours))
        calendar.anchor()
        shown = ots("info", str(stamp))
        assert f"File sha256 hash: {DIGEST.hex()}" in shown.stdout
        assert calendar.url in shown.stdout
        late = ots("--no-default-whitelist", "-l", calendar.url, "upgrade", str(stamp))
        assert late.returncode == 0, late.stderr
        theirs = decode_stamp(stamp.read_bytes())
        mine, _ = upgrade(ours, [calendar.url], 5.0, never)
        assert theirs == mine
        assert encode_stamp(mine) == stamp.read_bytes()
        node = calendar.url.replace("http://", "http://user:word@")
        verified = ots("--btc-regtest", "--bitcoin-node", node, "verify", str(stamp))
        assert verified.returncode == 0, verified.stderr
        text.write_bytes(TEXT + b"changed")
        assert ots("--no-bitcoin", "verify", str(stamp)).returncode == 1


def test_the_calendar_anchors_many_promises_in_one_block() -> None:
    calendar = Calendar()
    calendar.url = "http://127.0.0.1"
    digests = [sha256(b"%d" % number).digest() for number in range(7)]
    promises = [calendar.promise(digest) for digest in digests]
    calendar.anchor()
    header = calendar.chain.header(201)
    assert header is not None
    for digest, promise in zip(digests, promises, strict=True):
        ((commitment, _),) = walk(promise, digest)
        assert commitment is not None
        ((root, attestation),) = walk(calendar.known[commitment], commitment)
        assert (root, attestation) == (header.root, Bitcoin(201))
