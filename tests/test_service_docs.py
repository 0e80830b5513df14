"""docs/run-a-network.md can be followed from nothing: commands are run, outputs compared."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qisguard.transport.loop import free_udp_ports
from tests.services import PATIENCE, ROOT

PAGE = (ROOT / "docs" / "run-a-network.md").read_text()
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
SKIPPED = ("## As a systemd service", "## In a container")
"""Sections whose commands want root or a registry of images."""


def _steps() -> Iterator[tuple[str, str]]:
    """Give each block that is run with the output that the page shows after it."""
    blocks = [(found[1].strip(), found[2]) for found in FENCE.finditer(PAGE)]
    for index, (kind, text) in enumerate(blocks):
        if kind == "sh run":
            after = blocks[index + 1] if index + 1 < len(blocks) else ("", "")
            yield text, after[1] if after[0] == "text" else ""


def _pattern(line: str) -> re.Pattern[str]:
    """Return what a line of the page stands for: dots for anything, any number of blanks."""
    parts = [re.escape(part.strip()) for part in line.split("…")]
    return re.compile(r".*".join(r"\s*" + part.replace(r"\ ", r"\s+") for part in parts))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds what a clone does; whatever is up in it goes down at the end."""
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    yield tmp_path
    if (tmp_path / "qisguard-net").exists():
        _run("qisguard net down", tmp_path)


def _run(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=4 * PATIENCE,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="the page uses curl")
def test_the_page_can_be_followed_from_nothing(folder: Path) -> None:
    metrics, port = free_udp_ports("127.0.0.1", 2)
    for script, shown in _steps():
        own = script.replace("9400", str(metrics)).replace("127.0.0.1:4400", f"127.0.0.1:{port}")
        told = _run(own, folder).splitlines()
        at = 0
        for line in shown.splitlines():
            found = [i for i, have in enumerate(told[at:], at) if _pattern(line).fullmatch(have)]
            assert found, f"{own}\nshows no line like {line!r}, but:\n" + "\n".join(told)
            at = found[0] + 1


def test_only_commands_that_need_root_or_images_are_not_run() -> None:
    first = min(PAGE.index(title) for title in SKIPPED)
    kinds = {found[1].strip() for found in FENCE.finditer(PAGE[:first])}
    assert kinds == {"sh run", "text"}
    assert all(found[1].strip() == "sh" for found in FENCE.finditer(PAGE[first:]))


def test_the_unit_is_hardened_and_its_score_is_the_one_that_the_page_states() -> None:
    unit = (ROOT / "packaging" / "qisguard-node@.service").read_text()
    for line in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "PrivateTmp=yes",
        "StateDirectory=qisguard/%i",
    ):
        assert f"\n{line}\n" in unit
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not installed")
    arguments = [analyze, "security", "--offline=true", "packaging/qisguard-node@.service"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, check=False, text=True)
    score = re.search(r"Overall exposure level .*: ([0-9.]+) ", done.stdout)
    if not score:
        pytest.skip(f"systemd-analyze says nothing: {done.stderr[:200]}")
    stated = re.search(r"exposure of\s+([0-9.]+) on its scale", PAGE)
    assert stated is not None
    assert abs(float(score[1]) - float(stated[1])) <= 0.5  # versions of systemd differ a little


def test_the_container_installs_locked_packages_and_copies_what_exists() -> None:
    """No registry can be reached from a test: syntax and names are what can be checked here."""
    text = (ROOT / "packaging" / "Containerfile").read_text()
    logical = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.M))
    lines = [line for line in logical.splitlines() if line.strip()]
    known = "FROM WORKDIR ENV RUN COPY USER VOLUME EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD"
    assert {line.split()[0] for line in lines} <= set(known.split())
    assert lines[0].startswith("FROM python:3.12-slim")
    assert "USER 4400:4400" in lines
    wanted = re.search(r'wanted="([^"]+)"', logical)
    assert wanted is not None
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.M))
    assert set(wanted[1].split()) <= locked
