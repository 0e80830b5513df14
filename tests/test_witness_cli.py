"""``qisguard trail witness`` and ``cosign`` as a shell sees them: two processes, one log."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qisguard.service.identities import create_key
from qisguard.trail.checkpoint import parse_checkpoint
from qisguard.trail.cosignature import parse_witness_vkey, verify_cosignatures
from tests.builders import DAY, make_packet
from tests.services import command, invoke

ORIGIN = "log.example/one"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a log of no entries, and two keys."""
    for name in ("key", "witness-key"):
        create_key(tmp_path / name)
    made = invoke("trail", "init", tmp_path / "log", "--origin", ORIGIN, "--key", tmp_path / "key")
    (tmp_path / "vkey").write_text(made.stdout.split()[-1])
    return tmp_path


def _start(place: Path, *arguments: object) -> list[str]:
    keys = ("--log", (place / "vkey").read_text(), "--key", place / "witness-key")
    rest = ("--name", "witness.example/1", "--state", place / "witness", *arguments)
    return command("trail", "witness", *keys, *rest)


def _free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@contextmanager
def _witness(place: Path) -> Iterator[dict[str, str]]:
    process = subprocess.Popen(
        _start(place, "--listen", _free_address(), "--json"), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        text = ""
        while line := process.stdout.readline():
            text += line
            if line == "}\n":
                break
        yield json.loads(text)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0


def _append(place: Path, case: int) -> None:
    file = place / f"packet-{case}"
    file.write_bytes(make_packet(0, case).data)
    day = ("--day", DAY)
    done = invoke("trail", "append", place / "log", "--key", place / "key", *day, file)
    assert done.exit_code == 0, done.stderr


def test_a_log_grows_and_is_cosigned_by_a_witness_that_restarts(place: Path) -> None:
    for case in (0, 1):
        with _witness(place) as told:
            _append(place, case)
            asked = ("--witness", told["witness"], "--url", told["url"])
            keys = ("--key", place / "key", "--json")
            done = invoke("trail", "cosign", place / "log", *keys, *asked)
            assert done.exit_code == 0, done.stderr
            assert json.loads(done.stdout)["size"] == case + 1
        note = parse_checkpoint((place / "log" / "checkpoint").read_bytes())
        assert len(verify_cosignatures(note, [parse_witness_vkey(told["witness"])])) == 1
        assert note.size == case + 1
    down = invoke("trail", "cosign", place / "log", *keys, *asked)
    assert down.exit_code == 3
    assert "ConnectionRefusedError" in down.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--listen", "192.0.2.1:7380"), "is not loopback"),
        (("--log", "x"), "verifier key"),
        (("--key", "nowhere"), "nowhere"),
    ],
)
def test_a_witness_that_cannot_stand_says_why(
    place: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = invoke(*_start(place, *arguments)[4:])
    assert done.exit_code == 2
    assert told in done.stderr
