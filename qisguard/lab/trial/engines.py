"""The engines behind one interface: a trial is a function of scenario, arm and seed.

- ``live``: real nodes on sockets of this machine, real time; it does not replay.
- ``virtual``: the same nodes on a simulated network and clock; one seed gives one result.
- ``model``: look-ups over arrays of ids, for attacks that have an array form.
- ``direct``: attacks on a function (a puzzle, a hash), which need no network.
- ``columns``: attacks on votes, through the code that answers queries; no network either.

Every result names the engine that made it.
"""

from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

import msgspec

from qisguard.errors import ScenarioError
from qisguard.lab.scenario.loading import Loaded, load_scenario
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.measured import Measured


class Job(msgspec.Struct, frozen=True):
    """One trial: the file, a point of its grid, an arm, a seed."""

    scenario: bytes
    point: dict[str, Any]
    arm: str
    seed: int

    @property
    def key(self) -> str:
        """Return what identifies this trial: equal keys give equal results, in hex."""
        return sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


def run_job(job: Job) -> Measured:
    """Return what one trial measured.

    Raises:
        ScenarioError: the scenario cannot be run as written.
    """
    loaded = load_scenario(job.scenario, job.point)
    return ENGINES[loaded.scenario.engine](loaded, Arm(job.arm), job.seed)


def _live(loaded: Loaded, arm: Arm, seed: int) -> Measured:
    from qisguard.lab.trial.real import run_live  # each engine loads when it is used

    return run_live(loaded, arm, seed)


def _virtual(loaded: Loaded, arm: Arm, seed: int) -> Measured:
    from qisguard.lab.trial.real import run_virtual

    return run_virtual(loaded, arm, seed)


def _model(loaded: Loaded, arm: Arm, seed: int) -> Measured:
    if find_spec("numba") is None:
        raise ScenarioError("engine = 'model': needs numba; type: pip install 'qisguard[lab]'")
    from qisguard.lab.trial.arrays import run_model

    return run_model(loaded, arm, seed)


def _direct(loaded: Loaded, arm: Arm, seed: int) -> Measured:
    from qisguard.lab.trial.direct import run_direct

    return run_direct(loaded, arm, seed)


def _columns(loaded: Loaded, arm: Arm, seed: int) -> Measured:
    from qisguard.lab.trial.columns import run_columns

    return run_columns(loaded, arm, seed)


ENGINES: dict[str, Callable[[Loaded, Arm, int], Measured]] = {
    "live": _live,
    "virtual": _virtual,
    "model": _model,
    "direct": _direct,
    "columns": _columns,
}
