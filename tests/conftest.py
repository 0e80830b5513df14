"""What holds for every test, however the run was started."""

import os
import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _interrupts_are_heard() -> Iterator[None]:
    """Undo what a background job inherits: a shell makes it, and all it starts, ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def _journals_of_tests_lie_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the state folder of whoever runs the tests out of them, in every process they start."""
    before = os.environ.get("QISGUARD_STATE")
    os.environ["QISGUARD_STATE"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["QISGUARD_STATE"]
    else:
        os.environ["QISGUARD_STATE"] = before
