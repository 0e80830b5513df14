"""Every way of tampering that is listed must be found, and bad input must not stop an audit."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from qisguard.audit.auditor import audit, verdict
from qisguard.audit.one import Options
from qisguard.audit.policy import Policy, load_policy
from qisguard.exits import Exit
from tests.tampering import CASES, NOON, A, write_case
from tests.trails import Net, finding_ids, ordinary, paths_in, write_trail

NET = Net()
NOW = Options(now=NOON + 86_400)


@pytest.mark.parametrize("name", CASES)
def test_every_way_of_tampering_is_found(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    trails, policy = write_case(case, tmp_path)
    report = audit(trails, load_policy(policy), NOW)
    assert finding_ids(report) == case.finds
    assert verdict(report) == case.exit


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(NET.write_policy(tmp_path / "policy"))


def _swapping(trail: Path, others: list[Path]) -> Callable[[str, int, int], None]:
    """Return what puts the next of ``others`` in the place of the trail while it is read."""

    def tell(what: str, done: int, total: int) -> None:
        if others:
            shutil.rmtree(trail)
            shutil.copytree(others.pop(0), trail)

    return tell


def test_a_trail_that_grows_while_it_is_read_is_read_again(tmp_path: Path, policy: Policy) -> None:
    items = ordinary(NET, A, 300)
    trail = write_trail(tmp_path / "trail", A, items[:100])
    grown = write_trail(tmp_path / "grown", A, items)
    report = audit([trail], policy, NOW, _swapping(trail, [grown]))
    assert verdict(report) is Exit.CLEAN
    assert report.trails[0].size == 302


def test_a_trail_that_never_stands_still_is_not_measured(tmp_path: Path, policy: Policy) -> None:
    items = ordinary(NET, A, 40)
    trail = write_trail(tmp_path / "trail", A, items[:2])
    grown = [write_trail(tmp_path / str(n), A, items[:n]) for n in (10, 20, 30)]
    report = audit([trail], policy, NOW, _swapping(trail, grown))
    assert (report.findings, verdict(report)) == ((), Exit.NOT_MEASURED)
    assert any("in motion" in line for line in report.not_measured)


def test_a_trail_that_goes_away_while_it_is_read_is_a_finding(
    tmp_path: Path, policy: Policy
) -> None:
    trail = write_trail(tmp_path / "trail", A, ordinary(NET, A, 40))

    def tell(what: str, done: int, total: int) -> None:
        shutil.rmtree(trail, ignore_errors=True)

    report = audit([trail], policy, NOW, tell)
    assert verdict(report) in (Exit.NOT_MEASURED, Exit.FINDING)


def test_files_that_may_not_be_read_leave_the_audit_incomplete() -> None:
    """As somebody who is not the owner: in a process of its own where we are root."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        policy = load_policy(NET.write_policy(place / "policy"))
        trail = write_trail(place / "trail", A, ordinary(NET, A, 3))
        paths = [path for path in paths_in(trail) if path != "checkpoint"]
        for path in paths:
            (trail / path).chmod(0)
            found = _audit_as_nobody(trail, policy)
            (trail / path).chmod(0o644)
            assert found == f"{int(Exit.NOT_MEASURED)} unreadable", path


def _audit_as_nobody(trail: Path, policy: Policy) -> str:
    """Return exit code and whether something was unreadable, from a process without rights."""
    audit([trail], policy, NOW)  # everything is imported now: a child may not read our libraries
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65_534)
            report = audit([trail], policy, NOW)
            said = [line for line in report.not_measured if "unreadable: " in line]
            word = "unreadable" if said else str(report.not_measured)
            os.write(writer, f"{int(verdict(report))} {word}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    return answer
