"""The folder of a run: complete by itself, and never half written.

``scenario.toml`` is the file as it was, ``run.json`` what else the run depends on, where it ran
and how it ended, ``ledger.sqlite`` every trial, ``results.parquet`` what they measured,
``summary.json`` what follows from it; ``summary.md`` and ``plots/`` show that to people.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from qisguard.errors import ScenarioError
from qisguard.lab.campaign.plan import Options, Plan, plan_at
from qisguard.lab.journal.lines import Kind
from qisguard.lab.journal.writing import Journal, own
from qisguard.lab.provenance import load, machine, versions

FORMAT = 1
SCENARIO, RUN, LEDGER = "scenario.toml", "run.json", "ledger.sqlite"
RESULTS, SUMMARY = "results.parquet", "summary.json"
LIBRARIES = ("numpy", "scipy", "numba", "pynacl", "msgspec", "pyarrow", "distributed")


class RunFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``run.json``; ``ended`` and ``verdict`` are '' while it is not complete."""

    format: int
    name: str
    scenario_digest: str
    engines: list[str]
    points: list[dict[str, Any]]
    first_seed: int
    seeds: int
    until: str
    fail_on: list[str]
    command: str
    versions: dict[str, str]
    machine: dict[str, str]
    started: str
    ended: str = ""
    verdict: str = ""


class RunFolder:
    """One run on the disk."""

    def __init__(self, path: Path, run: RunFile, plan: Plan) -> None:
        self.path = path
        self.run = run
        self.plan = plan

    @property
    def ledger(self) -> Path:
        """Return where the ledger is."""
        return self.path / LEDGER

    @property
    def results(self) -> Path:
        """Return where the table of all measurements is."""
        return self.path / RESULTS

    @property
    def replay(self) -> str:
        """Return the command that runs the same trials again."""
        return f"qisguard attack replay {self.path}"

    def end(self, verdict: str) -> None:
        """Note how the run ended, or with '' that there is more to do."""
        ended = _now() if verdict else ""
        self.run = msgspec.structs.replace(self.run, ended=ended, verdict=verdict)
        self._save()

    def write(self, name: str, data: bytes) -> None:
        """Write a file under another name, make it durable, and give it its own."""
        self.put(name, lambda path: path.write_bytes(data))

    def put(self, name: str, make: Callable[[Path], object]) -> None:
        """Let ``make`` write a file, as ``write`` does."""
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        try:
            make(draft)
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def _save(self) -> None:
        data = msgspec.json.format(msgspec.json.encode(self.run), indent=2)
        self.write(RUN, data + b"\n")


def create_run(
    out: Path, plan: Plan, options: Options, command: str, journal: Journal | None = None
) -> RunFolder:
    """Return a new folder; raise ScenarioError when ``out`` holds anything already."""
    with own(journal) as mine, mine.noted(Kind.RESULTS, out.resolve()):
        return _create(out, plan, options, command)


def _create(out: Path, plan: Plan, options: Options, command: str) -> RunFolder:
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = sorted(path.name for path in out.iterdir())
    except OSError as error:
        raise ScenarioError(f"--out {out}: {error.strerror}; name another folder") from None
    if RUN in held:
        raise ScenarioError(
            f"--out {out}: holds a run; go on with it by qisguard attack resume {out}, "
            "or name another folder"
        )
    if held:
        raise ScenarioError(f"--out {out}: holds {held[0]!r}; name another folder")
    run = RunFile(
        format=FORMAT,
        name=plan.name,
        scenario_digest=plan.digest,
        engines=plan.engines,
        points=list(plan.points),
        first_seed=plan.first,
        seeds=plan.count,
        until=options.until,
        fail_on=list(options.gates),
        command=command,
        versions=versions(LIBRARIES),
        machine=machine() | {"load": load()},
        started=_now(),
    )
    folder = RunFolder(out, run, plan)
    folder.write(SCENARIO, plan.data)
    folder._save()
    return folder


def open_run(path: Path) -> RunFolder:
    """Return a folder that is there.

    Raises:
        ScenarioError: it is no run, of another format, or its scenario is not the one that ran.
    """
    try:
        data = (path / SCENARIO).read_bytes()
        run = msgspec.json.decode((path / RUN).read_bytes(), type=RunFile)
    except OSError as error:
        raise ScenarioError(f"{path}: no run: {error.filename}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ScenarioError(f"{path / RUN}: {error}") from None
    if run.format != FORMAT:
        raise ScenarioError(f"{path / RUN}: format = {run.format}, must be {FORMAT}")
    digest = sha256(data).hexdigest()
    if digest != run.scenario_digest:
        raise ScenarioError(
            f"{path / SCENARIO}: SHA-256 is {digest[:12]}, the run was of "
            f"{run.scenario_digest[:12]}"
        )
    options = Options(run.seeds, run.until, tuple(run.fail_on))
    return RunFolder(path, run, plan_at(data, run.points, options))


def free_folder(name: str, parent: Path) -> Path:
    """Return the first of ``name-1``, ``name-2``, ... that is not there."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
