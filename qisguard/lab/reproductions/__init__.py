"""Results of the literature, measured again: one module each, with what was published beside it."""

from collections.abc import Callable
from importlib import import_module

from qisguard.errors import ScenarioError
from qisguard.fill import nearest, show
from qisguard.lab.reproductions.findings import Findings, Tell

REPRODUCTIONS = {
    "skademlia-2007": "look-ups that succeed against a share of adversaries, over 1 to 8 paths",
    "censorship-2024": "Sybils around a key: records censored, alarms of detectors, region store",
    "active-censorship-2025": "Sybils that are placed so that a detector does not see them",
    "eclipse-2018": "routing tables filled by unsolicited contacts, with and without limits",
    "puzzle-reuse": "identities that one solution of the published dynamic puzzle serves",
    "key-dictionary": "queries identified by enumerating the keys of a template",
}
"""What can be reproduced, and in one line what it is about."""


def reproduce(name: str, tell: Tell, *, quick: bool = False) -> Findings:
    """Return what one reproduction found; ``quick`` takes fewer samples and says so.

    Raises:
        ScenarioError: there is no such reproduction.
    """
    if name not in REPRODUCTIONS:
        raise ScenarioError(f"reproduction {show(name)}: unknown{nearest(name, REPRODUCTIONS)}")
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    run: Callable[[Tell, bool], Findings] = module.reproduce
    return run(tell, quick)
