"""Trust policies: where they may lie, and that a mistake in one is no policy."""

import shutil
from pathlib import Path

import pytest

from qisguard.audit.auditor import check_arguments
from qisguard.audit.policy import load_policy
from qisguard.audit.quorum import parse_logs
from qisguard.errors import ScenarioError
from qisguard.trail.checkpoint import LogKey, sign_checkpoint
from tests.trails import Net, key, ordinary, write_trail

NET = Net()
A, B = NET.member("a"), NET.member("b")


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return write_trail(tmp_path / "trail", A, ordinary(NET, A, 5))


def test_a_policy_inside_a_trail_or_around_it_is_refused(tmp_path: Path, trail: Path) -> None:
    policy = NET.write_policy(tmp_path / "policy")
    check_arguments([trail], policy)
    inside = NET.write_policy(trail / "policy")
    link = tmp_path / "link"
    link.symlink_to(inside)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "logs").symlink_to(inside / "logs")
    for bad in (inside, inside / "logs", tmp_path, link, mixed):
        with pytest.raises(ScenarioError, match="trust must come from elsewhere"):
            check_arguments([trail], bad)
    with pytest.raises(ScenarioError, match="given twice"):
        check_arguments([trail, tmp_path / "policy" / ".." / "trail"], policy)
    with pytest.raises(ScenarioError, match="does not exist"):
        check_arguments([tmp_path / "nothing"], policy)
    with pytest.raises(ScenarioError, match="is not a folder"):
        check_arguments([trail / "checkpoint"], policy)


_VKEY = LogKey(A.origin, A.log.public).vkey.encode()
_LOG = b"log " + _VKEY + b"\n"


def test_a_policy_file_may_hold_comments_tabs_and_addresses() -> None:
    data = b"# logs\n\n\t log\t" + _VKEY + b" https://log.example/ \n  # end\nquorum none\n"
    logs, quorum = parse_logs(data)
    assert logs == (LogKey(A.origin, A.log.public),)
    assert quorum.is_met([])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 quorum lines"),
        (b"quorum none\n", "names no log"),
        (_LOG, "0 quorum lines"),
        (_LOG + b"quorum none\nquorum none\n", "2 quorum lines"),
        (_LOG + _LOG + b"quorum none\n", "line 2: this log key is listed twice"),
        (_LOG + b"quorum none", "line 2: does not end in a newline"),
        (_LOG.replace(b"\n", b"\r\n"), "line 1: holds a control character"),
        (_LOG + b"witness w " + _VKEY + b"\n", "line 2: verifier key"),
        (_LOG + b"quorum all\n", "line 2: quorum 'all'"),
        (b"log\n", "line 1: 'log' is none of"),
        (b"logs x\n", "line 1"),
        (b"\nlog " + _VKEY[:-1] + b"\n", "line 2: verifier key"),
        (b"\xff\n", "line 1"),
    ],
)
def test_a_policy_file_with_a_mistake_names_the_line(data: bytes, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        parse_logs(data)


def test_a_policy_folder_with_a_mistake_is_refused(tmp_path: Path) -> None:
    for number, (name, content, message) in enumerate(
        [
            ("authority", None, "wants all of authority, network, roster"),
            ("logs", None, "is missing"),
            ("stray", b"", "'stray' is no part of a policy"),
            ("authority", b"AAAA\n", "authority"),
            ("network", b"{}\n", "network"),
            ("roster", b"x" * (5 << 20), "more than"),
            ("checkpoints/one", b"", "checkpoints/one"),
        ]
    ):
        folder = NET.write_policy(tmp_path / str(number))
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        with pytest.raises(ScenarioError, match=message):
            load_policy(folder)
    signed_by_thief = Net(authority=key("thief")).write_policy(tmp_path / "thief")
    shutil.copy(tmp_path / "6" / "authority", signed_by_thief / "authority")
    with pytest.raises(ScenarioError, match="does not verify"):
        load_policy(signed_by_thief)
    head = sign_checkpoint(A.origin, 0, bytes(32), key("thief")).encode()
    with pytest.raises(ScenarioError, match="none of which is a known key"):
        load_policy(NET.write_policy(tmp_path / "head", head=head))
