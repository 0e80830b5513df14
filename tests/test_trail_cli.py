"""``qisguard trail`` as a shell sees it, and mirrors over HTTP."""

import gzip
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from qisguard.errors import TrailError
from qisguard.identity.keys import to_text
from qisguard.service.fetching import HttpSource, open_source
from qisguard.service.identities import create_key
from qisguard.trail.bundle import parse_bundle, verify_bundle
from qisguard.trail.checkpoint import parse_checkpoint, parse_vkey
from qisguard.trail.cosignature import WitnessKey, cosign
from qisguard.trail.tlog_proof import parse_proof, verify_proof
from tests.builders import DAY, make_key, make_packet
from tests.services import invoke

ORIGIN = "qisguard.invalid/0011223344556677/8899aabbccddeeff"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a trail of five packets, three of them of one key, and a report."""
    create_key(tmp_path / "key")
    packets = tmp_path / "in"
    packets.mkdir()
    for case in range(5):
        (packets / f"{case}").write_bytes(make_packet(0, case, key=int(case > 2)).data)
    (tmp_path / "report.html").write_text("all is well")
    made = invoke("trail", "init", tmp_path / "log", "--origin", ORIGIN, "--key", tmp_path / "key")
    assert made.exit_code == 0, made.stderr
    done = _append(tmp_path, packets, "--report", tmp_path / "report.html", "--json")
    assert done.exit_code == 0, done.stderr
    value = json.loads(done.stdout)
    assert (value["schema"], value["appended"], value["size"]) == ("qisguard.appended/v1", 6, 6)
    (tmp_path / "vkey").write_text(made.stdout.split()[-1] + "\n")
    return tmp_path


def _append(place: Path, *arguments: object):  # type: ignore[no-untyped-def] # as invoke
    day = ("--day", DAY)
    return invoke("trail", "append", place / "log", "--key", place / "key", *day, *arguments)


def _prove(place: Path, what: object, *arguments: object):  # type: ignore[no-untyped-def]
    return invoke("trail", "prove", what, "--trail", place / "log", *arguments)


def test_what_is_logged_is_proved_to_a_stranger_by_key_digest_file_and_index(place: Path) -> None:
    log = parse_vkey((place / "vkey").read_text().strip())
    packet = make_packet(0, 1)
    for what, count in (
        (to_text(make_key(0)), 3),
        (to_text(make_key(1)), 2),
        (packet.digest.hex(), 1),
        (to_text(packet.digest), 1),
        (place / "in" / "1", 1),
        (5, 1),
    ):
        proved = _prove(place, what)
        assert proved.exit_code == 0, proved.stderr
        found = verify_bundle(parse_bundle(proved.stdout.encode()), [log])
        assert len(found.entries) == count
    out = place / "new" / "bundle.json"
    written = _prove(place, to_text(make_key(0)), "--out", out)
    assert f"qisguard audit bundle {out}" in written.stdout
    entries = verify_bundle(parse_bundle(out.read_bytes()), [log]).entries
    assert [entry.packet for entry in entries] == [make_packet(0, n).data for n in range(3)]
    later = _prove(place, to_text(make_key(0)), "--from", 2)
    assert len(parse_bundle(later.stdout.encode()).items) == 1


def test_what_is_not_logged_is_not_measured_and_what_is_nothing_is_usage(place: Path) -> None:
    missing = _prove(place, "0" * 64)
    assert (missing.exit_code, missing.stdout) == (3, "")
    assert "no entry names" in missing.stderr
    for what in ("nonsense", "é", "6"):
        assert _prove(place, what).exit_code == 2
    none = invoke("trail", "prove", "1", "--trail", place / "in")
    assert none.exit_code == 2
    assert "checkpoint: No such file or directory" in none.stderr


def test_exported_proofs_verify_by_themselves(place: Path) -> None:
    out = place / "out"
    done = invoke(
        "trail", "export", to_text(make_key(1)), "--trail", place / "log", "--out", out, "--json"
    )
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["proofs"] == [str(out / f"{n}.tlog-proof") for n in (3, 4)]
    log = parse_vkey((place / "vkey").read_text().strip())
    for number in (3, 4):
        proof = parse_proof((out / f"{number}.tlog-proof").read_bytes())
        entry = (out / f"{number}.entry").read_bytes()
        assert verify_proof(proof, entry, [log]).size == 6
        assert (out / f"{number}.packet").read_bytes() == make_packet(0, number, key=1).data


def test_a_packet_is_logged_once_and_a_wrong_one_not_at_all(place: Path) -> None:
    again = _append(place, place / "in", "--json")
    value = json.loads(again.stdout)
    assert (value["appended"], value["known_before"], value["size"]) == (0, 5, 6)
    (place / "in" / "wrong").write_bytes(b"no packet")
    refused = _append(place, place / "in")
    assert refused.exit_code == 2
    assert "in/wrong" in refused.stderr
    assert _append(place).exit_code == 2
    assert _append(place, place / "absent").exit_code == 2


def test_a_log_is_started_once_and_needs_a_key(place: Path) -> None:
    for arguments in (
        (place / "log", "--origin", ORIGIN, "--key", place / "key"),
        (place / "new", "--origin", ORIGIN, "--key", place / "absent"),
        (place / "new", "--origin", "a b", "--key", place / "key"),
        (
            *(place / "new", "--origin", ORIGIN, "--key", place / "key"),
            *("--succeeds", place / "log" / "checkpoint"),
        ),
    ):
        refused = invoke("trail", "init", *arguments)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("QE-")
        assert "\ntry: " in refused.stderr
    assert not (place / "new").exists()
    done = invoke(
        *("trail", "init", place / "new", "--origin", "qisguard.invalid/new"),
        *("--key", place / "key", "--succeeds", place / "log" / "checkpoint"),
    )
    assert done.exit_code == 0, done.stderr
    assert b'"kind":"succeeds"' in (place / "new/tile/entries/000.p/1").read_bytes()
    other = invoke("trail", "append", place / "in", "--key", place / "key", place / "in")
    assert other.exit_code == 2
    assert "qisguard trail init" in other.stderr


def test_a_trail_from_a_backup_goes_on_when_witnesses_say_where_it_ended(place: Path) -> None:
    (place / "log-state").rename(place / "old")
    (place / "log-state").mkdir()
    for name in ("place", "signed", "wal"):
        if (place / "old" / name).exists():
            (place / "log-state" / name).write_bytes((place / "old" / name).read_bytes())
    refused = _append(place, place / "in")
    assert refused.exit_code == 2
    assert "qisguard trail restore" in refused.stderr
    witness = create_key(place / "witness")
    head = parse_checkpoint((place / "log" / "checkpoint").read_bytes())
    line = cosign(head, "w", witness, 1_700_000_000)
    note = place / "note"
    note.write_bytes(type(head)(head.origin, head.size, head.root, (*head.lines, line)).encode())
    ask = ("trail", "restore", place / "log", "--key", place / "key", "--note", note)
    known = ("--witness", WitnessKey("w", witness.public).vkey)
    few = invoke(*ask, *known, *known, "--quorum", 2)
    assert few.exit_code == 3
    assert "the quorum is 2" in few.stderr
    done = invoke(*ask, *known, "--quorum", 1, "--json")
    assert json.loads(done.stdout) == {
        "schema": "qisguard.restored/v1",
        "cosigned_size": 6,
        "size": 6,
    }
    assert _append(place, place / "in").exit_code == 0


# --- mirrors -------------------------------------------------------------------------------------
class Quiet(SimpleHTTPRequestHandler):
    """The standard library's server of files, without its log."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Answers(BaseHTTPRequestHandler):
    """Answers by path: a redirect, a fault, too much, packed, and packed to burst."""

    def do_GET(self) -> None:
        """Answer."""
        status, body, encoding = {
            "/moved": (302, b"", ""),
            "/fault": (500, b"", ""),
            "/gone": (410, b"gone", ""),
            "/long404": (404, b"x" * 100_000, ""),
            "/much": (200, b"x" * 5_000, ""),
            "/packed": (200, gzip.compress(b"hello"), "gzip"),
            "/bomb": (200, gzip.compress(bytes(10_000_000)), "gzip"),
            "/broken": (200, b"no gzip", "gzip"),
        }[self.path]
        self.send_response(status)
        self.send_header("Location", "/packed")
        self.send_header("Content-Length", str(len(body)))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def serve() -> Iterator[object]:
    """Serve on loopback with a handler, until the test ends; gives the URL."""
    servers = []

    def start(handler: object) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_log_is_mirrored_from_a_static_server_and_from_a_folder(place: Path, serve) -> None:  # type: ignore[no-untyped-def]
    url = serve(partial(Quiet, directory=str(place / "log")))
    for source, target in ((url + "/", "m1"), (place / "log", "m2")):
        ask = ("trail", "mirror", source, place / target, "--log", place / "vkey", "--json")
        done = invoke(*ask)
        assert done.exit_code == 0, done.stderr
        value = json.loads(done.stdout)
        assert (value["size"], value["files_copied"], value["packets_copied"]) == (6, 2, 5)
        assert json.loads(invoke(*ask).stdout)["files_copied"] == 0
        for path in (place / "log").rglob("*"):
            if path.is_file() and "p/5" not in str(path):
                inside = path.relative_to(place / "log")
                assert (place / target / inside).read_bytes() == path.read_bytes()


def test_a_source_that_lies_is_a_finding_and_one_that_is_away_is_not_measured(place: Path) -> None:
    tile = place / "log/tile/0/000.p/6"
    tile.write_bytes(bytes(6 * 32))
    ask = ("trail", "mirror", place / "log", place / "m", "--log", place / "vkey")
    lying = invoke(*ask)
    assert (lying.exit_code, lying.stdout) == (1, "")
    assert "QE-500 mirror: the partial tiles" in lying.stderr
    assert not (place / "m" / "checkpoint").exists()
    tile.unlink()
    assert invoke(*ask).exit_code == 3
    for source in (
        "http://127.0.0.1:9",
        place / "absent",
        "ftp://x/",
        "http://x:y/",
        "http://u@h/",
    ):
        away = invoke("trail", "mirror", source, place / "m", "--log", place / "vkey")
        assert away.exit_code == 3, source
    assert invoke("trail", "mirror", place / "log", place / "m", "--log", "x+y+z").exit_code == 2


def test_what_a_server_sends_is_bounded_and_redirects_are_not_followed(serve) -> None:  # type: ignore[no-untyped-def]
    source = open_source(serve(Answers))
    assert isinstance(source, HttpSource)
    assert source.fetch([("packed", 5), ("gone", 5)]) == [b"hello", None]
    for path, error in (
        ("moved", "status 302"),
        ("fault", "status 500"),
        ("much", "more than 100 bytes"),
        ("bomb", "more than 100 bytes"),
        ("broken", "header"),
        ("long404", "IncompleteRead"),
    ):
        with pytest.raises(TrailError, match=error):
            source.fetch([(path, 100)])
    assert source.fetch([("packed", 5)] * 20) == [b"hello"] * 20
    source.close()
