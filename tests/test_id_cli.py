"""``qisguard id`` as a shell sees it: streams, exit codes, files, interrupts."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from qisguard.cli import progress
from qisguard.cli.main import main
from qisguard.exits import Exit
from qisguard.identity.keys import KeyPair, from_text, to_text
from qisguard.identity.network import Network, seal_network
from qisguard.service.identities import load, load_key, read
from tests.builders import key_pair, make_network

AUTHORITY = key_pair("authority")
PUBLIC = to_text(AUTHORITY.public)
NETWORK = make_network(c1=2, c2=12)
NEXT = replace(NETWORK, epoch=b"e" * 32)
HARD = make_network(c1=60)
MAIN = "import sys; from qisguard.cli.main import main; sys.argv[0] = 'qisguard'; main()"


def _file(folder: Path, network: Network = NETWORK, name: str = "network") -> str:
    (folder / name).write_bytes(seal_network(network, AUTHORITY))
    return str(folder / name)


class Done(NamedTuple):
    """What a command left behind."""

    returncode: object
    stdout: str
    stderr: str


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The command line listens to SIGTERM; tests do not go on doing so."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _run(*arguments: object) -> Done:
    """Run the command line in this process, which saves its start."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["qisguard", "id", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    return Done(end.value.code or 0, out.getvalue(), err.getvalue())


def _new(folder: Path, *more: object) -> Done:
    where = ("--network", _file(folder), "--authority", PUBLIC, "--out", folder / "id")
    return _run("new", *where, *more)


def _lines(text: str) -> dict[str, str]:
    return {line[:15].strip(): line[16:] for line in text.splitlines()}


def test_a_new_identity_is_shown_on_stdout_and_its_search_on_stderr(tmp_path: Path) -> None:
    done = _new(tmp_path)
    assert done.returncode == 0, done.stderr
    made = load(tmp_path / "id", NETWORK)
    shown = _lines(done.stdout)
    assert shown["identity"] == str(tmp_path / "id")
    assert shown["identity key"] == to_text(made.key.public)
    assert shown["tls key"] == to_text(made.tls.public)
    assert shown["dynamic puzzle"].startswith("solved: ")
    assert done.stderr.startswith("id new: a key of 2 bits, then 2^12 hashes on average\n")
    for secret in (tmp_path / "id").iterdir():
        assert secret.read_text().strip() not in done.stdout + done.stderr


def test_json_is_one_object_with_everything(tmp_path: Path) -> None:
    (tmp_path / "authority").write_text(PUBLIC + "\n")
    where = ("--network", _file(tmp_path), "--authority", tmp_path / "authority")
    done = _run("new", *where, "--out", tmp_path / "id", "--json", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    made, value = read(tmp_path / "id"), json.loads(done.stdout)
    assert value["schema"] == "qisguard.identity/v1"
    assert from_text(value["id"], 32) == made.id.to_bytes(32, "big")
    assert value["keys"]["witness"] == to_text(made.witness.public)
    assert (value["static"]["solved"], value["dynamic"]["solved"]) == (True, True)
    assert value["dynamic"]["bits"] >= value["dynamic"]["wanted"] == 12
    again = _run("show", tmp_path / "id", *where, "--json")
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")


def test_a_new_epoch_is_shown_as_a_finding_and_mined(tmp_path: Path) -> None:
    _new(tmp_path)
    where = (tmp_path / "id", "--network", _file(tmp_path, NEXT, "next"), "--authority", PUBLIC)
    done = _run("show", *where)
    assert done.returncode == Exit.FINDING
    assert "dynamic puzzle  NOT SOLVED: " in done.stdout
    assert done.stdout.endswith(
        f"next: qisguard id mine {tmp_path / 'id'} --network FILE --authority KEY\n"
    )
    done = _run("mine", *where)
    assert done.returncode == 0, done.stderr
    load(tmp_path / "id", NEXT)
    done = _run("mine", *where)
    assert (done.returncode, done.stderr) == (0, "")  # nothing to do


def test_an_id_that_is_too_cheap_is_a_finding_too(tmp_path: Path) -> None:
    _new(tmp_path)
    file = _file(tmp_path, replace(NETWORK, c1=64), "harder")
    done = _run("show", tmp_path / "id", "--network", file, "--authority", PUBLIC)
    assert done.returncode == Exit.FINDING
    assert "static puzzle   NOT SOLVED: " in done.stdout
    assert "dynamic puzzle  solved: " in done.stdout
    assert "next: qisguard id new --network FILE --authority KEY --out DIR\n" in done.stdout


def test_progress_promises_nothing_that_a_memoryless_search_cannot_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_PERIOD", 0.0)
    done = _new(tmp_path)
    lines = [line for line in done.stderr.splitlines() if " tries in " in line]
    assert lines[-1].startswith("id new: dynamic puzzle of 12 bits, one process: ")
    assert "are done by now; from any moment about " in lines[-1]
    assert lines[-1].endswith(" more are expected (4,096 tries)")


def test_an_author_key_is_made_once_and_its_public_half_printed(tmp_path: Path) -> None:
    path = tmp_path / "author.key"
    done = _run("author", path)
    assert (done.returncode, done.stderr) == (0, "")
    key = load_key(path)
    assert done.stdout == to_text(key.public) + "\n"
    done = _run("author", path)
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert done.stderr.startswith(f"QE-200 {path}: is there already and is not overwritten\n")
    assert load_key(path) == key


def test_errors_name_the_file_what_was_found_and_what_to_type(tmp_path: Path) -> None:
    _new(tmp_path)
    where = ("--network", _file(tmp_path), "--authority", PUBLIC)
    (tmp_path / "id" / "log.key").chmod(0o644)
    done = _run("show", tmp_path / "id", *where)
    path = tmp_path / "id" / "log.key"
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert done.stderr == f"QE-200 {path}: has mode 0644, must be 0600\ntry: chmod 600 {path}\n"


@pytest.mark.parametrize(
    ("authority", "message"),
    [
        ("nobody", "--authority nobody: neither a key nor a file with one"),
        (to_text(KeyPair.from_seed(bytes(32)).public), "network: signature: does not verify"),
    ],
)
def test_a_network_that_the_authority_did_not_sign_is_refused(
    tmp_path: Path, authority: str, message: str
) -> None:
    where = ("--network", _file(tmp_path), "--authority", authority)
    done = _run("new", *where, "--out", tmp_path / "id")
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert message in done.stderr
    assert not (tmp_path / "id").exists()


def test_a_missing_network_file_is_named(tmp_path: Path) -> None:
    done = _run("show", tmp_path, "--network", tmp_path / "no", "--authority", PUBLIC)
    assert done.returncode == Exit.USAGE
    assert f"QE-200 --network {tmp_path / 'no'}: No such file" in done.stderr


def _listen() -> None:
    """Undo what a background job inherits: a shell makes it ignore interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_a_search_at_once_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    """As a terminal does it: to the whole group, while all processes search."""
    network = _file(tmp_path, HARD)
    command = [sys.executable, "-c", MAIN, "id", "new", "--network", network]
    process = subprocess.Popen(
        [*command, "--authority", PUBLIC, "--out", str(tmp_path / "id"), "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        preexec_fn=_listen,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first == "id new: a key of 60 bits, then 2^0 hashes on average\n"
    os.killpg(process.pid, number)
    printed, notes = process.communicate(timeout=10)
    assert process.returncode == Exit.INTERRUPTED
    assert (printed, notes) == ("", "qisguard: interrupted; nothing is left running\n")
    assert [path.name for path in tmp_path.iterdir()] == ["network"]


def test_help_of_the_group_names_its_commands_and_loads_nothing_heavy() -> None:
    script = MAIN.replace("main()", "\ntry:\n    main()\nfinally:\n    print(sorted(sys.modules))")
    done = subprocess.run(
        [sys.executable, "-c", script, "id", "--help"], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0
    assert all(f"\n  {name} " in done.stdout for name in ("new", "show", "mine", "author"))
    loaded = done.stdout.splitlines()[-1]
    assert not any(f"'{name}'" in loaded for name in ("nacl", "msgspec", "cryptography", "rich"))
