"""Which running node a command means: a configuration, a state folder, or a local network."""

from collections.abc import Mapping
from pathlib import Path

from qisguard.errors import ScenarioError
from qisguard.service import identities
from qisguard.service.config import ServiceConfig, load_config
from qisguard.service.localnet import LocalNet
from qisguard.service.opening import open_network_file, open_roster_file
from qisguard.service.updown import first_up


def state_of(place: Path, environment: Mapping[str, str]) -> Path:
    """Return the state folder that a configuration file names, or the folder itself."""
    if place.is_dir():
        return place
    return load_config(place, environment, is_run=False).node.state


def config_of(
    node: Path | None, net: Path | None, environment: Mapping[str, str], author: Path | None = None
) -> ServiceConfig:
    """Return the configuration of the node that a command goes through.

    In a local network that is a node of the author's own issuer where one is up: an auditor expects
    an issuer's packets in the trails of its own nodes.

    Raises:
        ScenarioError: not exactly one of ``--node`` and ``--net`` is given.
        ServiceError: no node of the local network is up.
    """
    if (node is None) == (net is None):
        raise ScenarioError("one of --node CONFIG and --net DIR must say which node to go through")
    if node is not None:
        return load_config(node, environment, is_run=False)
    found = LocalNet(net or Path())
    wanted: list[str] = []
    if author is not None:
        wanted = _nodes_of(load_config(found.config(found.names[0]), is_run=False), author)
    return load_config(found.config(first_up(found, wanted)), is_run=False)


def _nodes_of(config: ServiceConfig, author: Path) -> list[str]:
    """Return the ids of the nodes that the issuer of an author runs, in hexadecimal."""
    roster = open_roster_file(config, open_network_file(config))
    issuer = roster.by_author.get(identities.load_key(author).public) if roster else None
    return [f"{node:064x}" for node in issuer.nodes] if issuer else []
