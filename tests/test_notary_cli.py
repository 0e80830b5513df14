"""``qisguard trail stamp|upgrade|info|headers`` on a real trail, with a calendar on loopback."""

import json
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from qisguard.notary.batches import encode_receipt, make_batch
from qisguard.notary.headers import HEADER_SIZE, Headers, Network, block_hash, shown
from qisguard.notary.stamps import SHA256, Bitcoin, Pending, Stamp, Timestamp, encode_stamp
from qisguard.service.identities import create_key
from qisguard.trail.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from tests.authorities import Authority
from tests.calendars import START, Calendar, running, serving
from tests.notaries import anchored_at, mine
from tests.services import invoke, make_net
from tests.trails import key

LOG = key("log of the notary's tests")
ORIGIN = "qisguard.invalid/net/node"


def trail(folder: Path, size: int = 3) -> Checkpoint:
    """Write a trail's checkpoint; stamping needs no more of it."""
    head = sign_checkpoint(ORIGIN, size, sha256(b"root").digest(), LOG)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint").write_bytes(head.encode())
    return head


def knowing(path: Path, calendar: Calendar) -> str:
    """Write the policy that knows the first block of a calendar's chain."""
    known = shown(block_hash(calendar.raw[:HEADER_SIZE]))
    text = (
        f'network = "regtest"\nconfirmations = 1\n[[block]]\nheight = {START}\nhash = "{known}"\n'
    )
    path.write_text(text)
    return str(path)


def told(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run a command; return its exit code and its JSON."""
    done = invoke("trail", *arguments, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["exit"] == done.exit_code
    return done.exit_code, found


def test_a_checkpoint_is_stamped_upgraded_and_then_anchored(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    head = trail(folder)
    with running() as one, running() as other:
        policy = knowing(tmp_path / "notary.toml", one)
        named = ["--calendar", one.url, "--calendar", other.url + "/"]
        code, found = told("stamp", str(folder), *named)
        assert (code, found["size"], found["problems"]) == (0, 3, [])
        assert found["written"] == ["notary/3.ots"]
        assert (folder / "notary" / "3.checkpoint").read_bytes() == head.encode()
        code, found = told("info", str(folder))
        assert (code, found["proofs"][0]["state"]) == (3, "pending")
        assert found["proofs"][0]["waits_for"] == sorted([one.url, other.url])
        code, found = told("upgrade", str(folder), *named)
        assert (code, found["written"]) == (3, [])
        assert found["problems"] == [
            f"notary/3.ots: {url}: nothing yet" for url in sorted([one.url, other.url])
        ]
        one.anchor()
        code, found = told("upgrade", str(folder), *named)
        assert (code, found["proofs"][0]["state"]) == (0, "anchored-unverified")
        (tmp_path / "headers").write_bytes(one.raw)
        added = invoke(
            "trail",
            "headers",
            str(folder),
            str(tmp_path / "headers"),
            "--from",
            str(START),
            "--policy",
            policy,
        )
        assert (added.exit_code, added.stdout) == (0, "blocks 200 to 201; known block: 200\n")
        code, found = told("info", str(folder), "--policy", policy)
        assert (code, found["proofs"][0]["state"]) == (0, "anchored")
        assert found["proofs"][0]["margin"] == 7_200
        words = invoke("trail", "info", str(folder), "--policy", policy)
        assert "notary/3.ots  anchored  existed no later than 2023-11-14" in words.stdout


def test_a_checkpoint_is_stamped_by_its_text_whatever_witnesses_add(tmp_path: Path) -> None:
    head = trail(tmp_path)
    with running() as calendar, running() as other_calendar:
        told("stamp", str(tmp_path), "--calendar", other_calendar.url)
        with_more = head.encode() + head.encode().split(b"\n\n")[1]
        (tmp_path / "checkpoint").write_bytes(with_more)
        code, _ = told("stamp", str(tmp_path), "--calendar", calendar.url)
        assert code == 0
        _, found = told("info", str(tmp_path))
        assert found["proofs"][0]["waits_for"] == sorted([calendar.url, other_calendar.url])
        assert parse_checkpoint((tmp_path / "notary/3.checkpoint").read_bytes()).text == head.text
        other = sign_checkpoint(ORIGIN, 3, sha256(b"another root").digest(), LOG)
        (tmp_path / "checkpoint").write_bytes(other.encode())
        refused = invoke("trail", "stamp", str(tmp_path), "--calendar", calendar.url)
        assert refused.exit_code == 2
        assert "is of another checkpoint of size 3" in refused.stderr


def test_nobody_is_asked_whom_nobody_named(tmp_path: Path) -> None:
    trail(tmp_path)
    alone = invoke("trail", "stamp", str(tmp_path))
    assert alone.exit_code == 2
    assert "nobody to ask" in alone.stderr
    assert invoke("trail", "upgrade", str(tmp_path)).exit_code == 2
    bad = invoke("trail", "stamp", str(tmp_path), "--calendar", "ftp://a")
    assert (bad.exit_code, "must be http://HOST" in bad.stderr) == (2, True)
    with running() as named, running() as stranger:
        head = parse_checkpoint((tmp_path / "checkpoint").read_bytes())
        promise = Timestamp((Pending(stranger.url),))
        (tmp_path / "notary").mkdir()
        (tmp_path / "notary/3.checkpoint").write_bytes(head.encode())
        stamp = Stamp(SHA256, sha256(head.text).digest(), promise)
        (tmp_path / "notary/3.ots").write_bytes(encode_stamp(stamp))
        code, found = told("upgrade", str(tmp_path), "--calendar", named.url)
        assert code == 3
        assert "not a calendar of the configuration" in found["problems"][0]
        false = Stamp(SHA256, bytes(32), Timestamp((Pending(named.url),)))
        (tmp_path / "notary/3.ots").write_bytes(encode_stamp(false))
        code, found = told("upgrade", str(tmp_path), "--calendar", named.url)
        assert (code, found["problems"]) == (1, [])
        assert stranger.asked == named.asked == []


def test_whom_to_ask_can_stand_in_the_configuration_of_a_node(tmp_path: Path) -> None:
    trail(tmp_path / "log")
    net = make_net(tmp_path / "net")
    config = net.config(net.names[0])
    with running() as calendar:
        text = config.read_text() + f'\n[notary]\ncalendars = ["{calendar.url}"]\ntimeout = 5\n'
        config.write_text(text)
        code, _ = told("stamp", str(tmp_path / "log"), "--node", str(config))
        assert (code, calendar.asked) == (0, ["/digest"])
        for wrong in ('calendars = ["a"]', "timeout = 0", "calender = []"):
            config.write_text(text.split("[notary]")[0] + f"[notary]\n{wrong}\n")
            refused = invoke("trail", "stamp", str(tmp_path / "log"), "--node", str(config))
            assert (refused.exit_code, "notary" in refused.stderr) == (2, True)


def test_when_nobody_answers_nothing_is_written_and_the_exit_is_3(tmp_path: Path) -> None:
    trail(tmp_path)
    code, found = told("stamp", str(tmp_path), "--calendar", "http://127.0.0.1:1")
    assert (code, found["written"]) == (3, [])
    assert "http://127.0.0.1:1" in found["problems"][0]
    assert not (tmp_path / "notary").exists()


def test_an_authority_confirms_beside_the_calendars(tmp_path: Path) -> None:
    pytest.importorskip("rfc3161_client", reason="rfc3161-client is not installed")
    trail(tmp_path / "log")
    authority = Authority(tmp_path / "tsa")
    (tmp_path / "notary.toml").write_text(authority.policy)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/timestamp-query"
            answer = authority.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with serving(Handler) as url:
        spare = ["--authority", "http://127.0.0.1:1", "--authority", f"{url}/tsr"]
        code, found = told("stamp", str(tmp_path / "log"), *spare)
        assert (code, found["written"], len(found["problems"])) == (0, ["notary/3.tsr"], 1)
        code, found = told("stamp", str(tmp_path / "log"), *spare)
        assert (code, found["written"], found["kept"]) == (0, [], ["notary/3.tsr"])
    code, found = told("info", str(tmp_path / "log"), "--policy", str(tmp_path / "notary.toml"))
    assert (code, found["proofs"][0]["state"]) == (0, "anchored")


def test_one_stamp_covers_many_trails_and_each_completes_its_receipt(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for number, folder in enumerate(folders):
        trail(folder, number + 1)
    key_file = tmp_path / "key"
    create_key(key_file)
    names = [str(folder) for folder in folders]
    with running() as calendar:
        asked = ["--key", str(key_file), "--calendar", calendar.url]
        code, found = told("batch", *names, *asked)
        assert (code, found["count"], calendar.asked) == (0, 3, ["/digest"])
        assert told("info", names[2])[1]["proofs"][0]["waits_for"] == [calendar.url]
        calendar.anchor()
        policy = knowing(tmp_path / "notary.toml", calendar)
        (tmp_path / "headers").write_bytes(calendar.raw)
        for name, place in zip(names, range(3), strict=True):
            file = str(tmp_path / "headers")
            invoke("trail", "headers", name, file, "--from", str(START), "--policy", policy)
            code, _ = told("upgrade", name, "--calendar", calendar.url, "--policy", policy)
            code, found = told("info", name, "--policy", policy)
            assert (code, found["proofs"][0]["state"]) == (0, "anchored")
            assert f"number {place} of 3" in found["proofs"][0]["reason"]
        code, found = told("batch", *names[:1], *asked)
        assert (code, found["written"], len(found["kept"])) == (0, [], 1)
        (folders[1] / "checkpoint").unlink()
        assert invoke("trail", "batch", *names, *asked).exit_code == 2


def test_info_judges_receipts_and_says_what_is_refuted_or_missing(tmp_path: Path) -> None:
    head = trail(tmp_path)
    code, found = told("info", str(tmp_path))
    assert (code, found["proofs"]) == (3, [])
    folder = tmp_path / "notary"
    folder.mkdir()
    receipt = make_batch([head.text, b"another"], key("maker"))[0]
    stamp, root = anchored_at(START + 1, receipt.head)
    (folder / "3.chainpoint.json").write_bytes(
        encode_receipt(replace(receipt, stamp=encode_stamp(stamp)))
    )
    code, found = told("info", str(tmp_path))
    assert code == 1
    assert "3.checkpoint: is not there" in found["proofs"][0]["reason"]
    (folder / "3.checkpoint").write_bytes(head.encode())
    calendar = Calendar()
    calendar.add_block(root)
    (folder / "headers.otsh").write_bytes(Headers(Network.REGTEST, START, calendar.raw).encode())
    policy = knowing(tmp_path / "notary.toml", calendar)
    code, found = told("info", str(tmp_path), "--policy", policy)
    assert (code, found["proofs"][0]["state"]) == (0, "anchored")
    false = Stamp(SHA256, sha256(head.text).digest(), Timestamp((Bitcoin(START + 1),)))
    (folder / "3.ots").write_bytes(encode_stamp(false))
    code, found = told("info", str(tmp_path), "--policy", policy)
    assert (code, found["proofs"][1]["state"]) == (1, "refuted")
    code, found = told(
        "upgrade", str(tmp_path), "--calendar", "http://127.0.0.1:1", "--policy", policy
    )
    assert (code, found["problems"]) == (1, [])


def test_headers_that_do_not_hold_or_leave_a_gap_are_not_added(tmp_path: Path) -> None:
    calendar = Calendar()
    calendar.add_block()
    policy = knowing(tmp_path / "notary.toml", calendar)
    file = tmp_path / "headers"

    def add(raw: bytes, start: int) -> tuple[int, str]:
        file.write_bytes(raw)
        done = invoke(
            "trail", "headers", str(tmp_path), str(file), "--from", str(start), "--policy", policy
        )
        return done.exit_code, done.stdout + done.stderr

    archive = tmp_path / "notary" / "headers.otsh"
    assert add(mine(bytes(32), bytes(32), 5), START)[0] == 1
    assert not archive.exists()
    assert add(calendar.raw, START)[0] == 0
    before = archive.read_bytes()
    calendar.add_block()
    assert add(mine(bytes(32), bytes(32), 5), START + 2)[0] == 1
    code, said = add(calendar.raw[-HEADER_SIZE:], START + 3)
    assert (code, "the archive ends at 201" in said) == (2, True)
    assert add(calendar.raw[:-1], START)[0] == 2
    assert archive.read_bytes() == before
    assert add(calendar.raw, START) == (0, "blocks 200 to 202; known block: 200\n")
    assert add(calendar.raw[-HEADER_SIZE:], START + 2)[0] == 0


@pytest.mark.parametrize("note", [None, b"", b"no checkpoint\n", bytes(1 << 17)])
def test_a_trail_without_a_readable_checkpoint_is_not_stamped(
    tmp_path: Path, note: bytes | None
) -> None:
    if note is not None:
        (tmp_path / "checkpoint").write_bytes(note)
    done = invoke("trail", "stamp", str(tmp_path), "--calendar", "http://127.0.0.1:1")
    assert done.exit_code == 2
    assert "QE-600" in done.stderr


def test_a_bad_file_beside_a_trail_hurts_no_other(tmp_path: Path) -> None:
    head = trail(tmp_path)
    folder = tmp_path / "notary"
    folder.mkdir()
    for size in (1, 2, 3, 4):
        (folder / f"{size}.checkpoint").write_bytes(head.encode())
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "1.ots").symlink_to(tmp_path / "secret")
    (folder / "2.ots").write_bytes(bytes(1 << 20))
    promise = Timestamp((Pending("http://127.0.0.1:1"),))
    stamp = encode_stamp(Stamp(SHA256, sha256(head.text).digest(), promise))
    (folder / "3.ots").write_bytes(stamp)
    (folder / "4.ots").write_bytes(stamp)
    (folder / "readme").write_text("hello")
    code, found = told("info", str(tmp_path))
    states = [proof["state"] for proof in found["proofs"]]
    assert (code, states) == (1, ["refuted", "refuted", "pending", "refuted"])
    assert "is of size 3" in found["proofs"][3]["reason"]
    code, found = told("upgrade", str(tmp_path), "--calendar", "http://127.0.0.1:1")
    assert (code, len(found["problems"])) == (1, 1)
