"""docs/attack-lab.md can be followed from nothing: commands are run, outputs compared."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import PATIENCE, ROOT, invoke

PAGE = (ROOT / "docs" / "attack-lab.md").read_text()
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


def _steps() -> Iterator[tuple[str, str]]:
    """Give each block that is run with the output that the page shows after it."""
    blocks = [(found[1].strip(), found[2]) for found in FENCE.finditer(PAGE)]
    for (kind, text), after in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind == "sh run":
            yield text, after[1] if after[0] == "text" else ""


def _pattern(line: str) -> re.Pattern[str]:
    """Return what a line of the page stands for: dots for anything, any number of blanks."""
    parts = [re.escape(part.strip()) for part in line.split("…")]
    return re.compile(r".*".join(r"\s*" + part.replace(r"\ ", r"\s+") for part in parts))


def _run(script: str) -> str:
    """Run a block: our commands in this process, where all is loaded, the rest by a shell."""
    told, other = [], []
    for line in script.splitlines():
        if line.startswith("qisguard "):
            result = invoke(*shlex.split(line)[1:])
            assert result.exit_code == 0, f"{line}\n{result.output}"
            told.append(result.stdout)
        else:
            other.append(line)
    if other:
        shell = ["bash", "-euc", "\n".join(other) + "\n"]
        subprocess.run(shell, check=True, timeout=PATIENCE)
    return "".join(told)


@pytest.mark.long
def test_the_page_can_be_followed_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QISGUARD_WORKERS", "1")
    for script, shown in _steps():
        lines = re.split(r"(?<=^END$)\n", script, flags=re.M)  # a file is there before it is used
        told = "".join(map(_run, lines)).replace("uv run ", "").splitlines()
        at = 0
        for line in shown.splitlines():
            found = [i for i, have in enumerate(told[at:], at) if _pattern(line).fullmatch(have)]
            assert found, f"{script}\nshows no line like {line!r}, but:\n" + "\n".join(told)
            at = found[0] + 1


def test_only_what_needs_more_machines_is_not_run() -> None:
    last = PAGE.index("## On more machines")
    assert {found[1].strip() for found in FENCE.finditer(PAGE[:last])} == {"sh run", "text"}
    assert [found[1].strip() for found in FENCE.finditer(PAGE[last:])] == ["sh"]
