"""The folder of a local network: everything that several machines would have, on one.

    authority.key  network  roster  policy/     who may say what; what an auditor trusts
    similarity.secret                           what keyed templates make their keys with
    authors/NAME.key                            one key for each issuer, to sign packets
    nodes/NAME/node.toml identity/ state/       one folder for each node
    logs/  net.json  running.json               what was started

Only loopback addresses, and one secret folder for everybody: for learning and for tests.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from qisguard.audit.policy import write_policy
from qisguard.errors import ScenarioError
from qisguard.identity.descriptor import Identity
from qisguard.identity.keys import KeyPair, to_text
from qisguard.identity.network import Network, seal_network
from qisguard.identity.roster import Issuer, Roster, seal_roster
from qisguard.node.contact import Contact
from qisguard.service import identities
from qisguard.service.addresses import show_address, show_contact
from qisguard.service.processes import Running
from qisguard.trail.checkpoint import LogKey, origin_of
from qisguard.transport.loop import free_udp_ports

HOST = "127.0.0.1"
NODES_MAX = 500
BITS_MAX = 24
BOOTSTRAPS = 3
SECRET = "similarity.secret"
SPEC, RUNNING = "net.json", "running.json"
DEFENSES = (
    "roster_routing",
    "structure",
    "sequence",
    "one_vote",
    "age",
    "issuer_trim",
    "leave_one_out",
)
TEMPLATES = ("breast-cancer", "hba1c", "readmission")

Progress = Callable[[str, int, int], None]


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a local network was made with; ``metrics`` is the first process's port, 0 for none."""

    nodes: int = 5
    processes: int = 1
    issuers: int = 5
    defended: bool = True
    puzzle_bits: int = 8
    metrics: int = 0

    def check(self) -> None:
        """Raise ScenarioError for numbers that make no network."""
        for name, value, low, high in (
            ("nodes", self.nodes, 1, NODES_MAX),
            ("processes", self.processes, 1, self.nodes),
            ("issuers", self.issuers, 1, self.nodes),
            ("puzzle-bits", self.puzzle_bits, 0, BITS_MAX),
            ("metrics", self.metrics, 0, (1 << 16) - self.processes),
        ):
            if not low <= value <= high:
                raise ScenarioError(f"--{name} = {value}, must be {low} to {high}")


class LocalNet:
    """An existing folder of a local network."""

    def __init__(self, folder: Path) -> None:
        """Open a folder; raise ScenarioError unless ``net up`` made it."""
        self.folder = folder.absolute()
        try:
            self.spec = msgspec.json.decode((self.folder / SPEC).read_bytes(), type=Spec)
        except OSError:
            raise ScenarioError(
                f"{folder} holds no local network; make one with: qisguard net up --dir {folder}"
            ) from None
        except msgspec.MsgspecError as error:
            raise ScenarioError(f"{folder / SPEC}: {error}") from None

    @property
    def names(self) -> list[str]:
        """Return the names of the nodes, in order."""
        return [node_name(index) for index in range(self.spec.nodes)]

    def config(self, name: str) -> Path:
        """Return the configuration file of a node."""
        return self.folder / "nodes" / name / "node.toml"

    def state(self, name: str) -> Path:
        """Return the state folder of a node."""
        return self.folder / "nodes" / name / "state"

    def members(self, process: int) -> list[str]:
        """Return the nodes of one process: dealt in turn, so that no process holds one issuer."""
        return [n for i, n in enumerate(self.names) if i % self.spec.processes == process]

    def running(self) -> dict[int, Running]:
        """Return what was started last, by the number of the process."""
        try:
            data = (self.folder / RUNNING).read_bytes()
        except OSError:
            return {}
        return msgspec.json.decode(data, type=dict[int, Running])

    def save_running(self, running: dict[int, Running]) -> None:
        """Remember what was started, durably: what is forgotten can no longer be ended."""
        temporary = self.folder / f"{RUNNING}.tmp"
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(running))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self.folder / RUNNING)


def node_name(index: int) -> str:
    """Return the name of node number ``index``."""
    return f"node-{index + 1:02d}"


def issuer_name(index: int) -> str:
    """Return the name of issuer number ``index``."""
    return f"issuer-{index + 1:02d}"


def create_net(folder: Path, spec: Spec, progress: Progress) -> LocalNet:
    """Make a folder with keys, files and configurations; it is there as a whole or not at all.

    Raises:
        ScenarioError: the folder holds something else, or the numbers make no network.
    """
    spec.check()
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ScenarioError(
            f"--dir {folder} holds something that is no local network; name another folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))  # mode 0700
    try:
        _fill(draft, folder.name, spec, progress)
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return LocalNet(folder)


def _fill(draft: Path, name: str, spec: Spec, progress: Progress) -> None:
    authority = identities.create_key(draft / "authority.key")
    bits = spec.puzzle_bits
    network = Network(_plain(name), authority.public, os.urandom(32), bits, bits)
    (draft / "network").write_bytes(seal_network(network, authority))
    identities.create_secret(draft / SECRET, network.id)
    (draft / "authors").mkdir()
    (draft / "logs").mkdir()
    made: list[Identity] = []
    for index in range(spec.nodes):
        home = draft / "nodes" / node_name(index)
        home.mkdir(parents=True)
        made.append(identities.create(home / "identity", network))
        progress("puzzles", index + 1, spec.nodes)
    roster = _roster(draft, network, spec, made)
    (draft / "roster").write_bytes(seal_roster(roster, authority))
    keys = [LogKey(origin_of(network.id, identity.id), identity.log.public) for identity in made]
    write_policy(
        draft / "policy",
        logs=keys,
        authority=authority.public,
        network=(draft / "network").read_bytes(),
        roster=(draft / "roster").read_bytes(),
    )
    ports = free_udp_ports(HOST, spec.nodes)
    contacts = [Contact(i.id, (HOST, port)) for i, port in zip(made, ports, strict=True)]
    for index, contact in enumerate(contacts):
        text = _configuration(index, contact, contacts, authority, spec)
        (draft / "nodes" / node_name(index) / "node.toml").write_text(text)
    (draft / SPEC).write_bytes(msgspec.json.encode(spec))


def _plain(name: str) -> str:
    """Return a folder's name as the name of a network: short and printable."""
    return "".join(c if c.isascii() and c.isprintable() else "-" for c in name)[:40] or "local"


def _roster(draft: Path, network: Network, spec: Spec, made: list[Identity]) -> Roster:
    """Return the roster: nodes dealt to issuers in turn, everybody enrolled today."""
    today = int(time.time() // 86_400)
    issuers = []
    for index in range(spec.issuers):
        name = issuer_name(index)
        author = identities.create_key(draft / "authors" / f"{name}.key")
        nodes = tuple(i.id for place, i in enumerate(made) if place % spec.issuers == index)
        issuers.append(Issuer(name, today, (author.public,), nodes))
    return Roster(network.id, 1, tuple(issuers))


def _configuration(
    index: int, contact: Contact, contacts: list[Contact], authority: KeyPair, spec: Spec
) -> str:
    """Return the configuration of one node."""
    first = [show_contact(c) for c in contacts[: BOOTSTRAPS + 1] if c != contact][:BOOTSTRAPS]
    defenses = json.dumps(DEFENSES if spec.defended else ())
    lines = [
        "# One node of a local network. Made by `qisguard net up`; every key: docs/node-config.md",
        "[node]",
        f'name = "{node_name(index)}"',
        'identity = "identity"',
        'network = "../../network"',
        f'authority = "{to_text(authority.public)}"',
        'roster = "../../roster"',
        f'similarity_secret = "../../{SECRET}"',
        'state = "state"',
        f'listen = "{show_address(contact.address)}"',
        f"bootstraps = {json.dumps(first, indent=2)}",
        f"bootstraps_min = {min(BOOTSTRAPS, spec.nodes - 1)}",
        f"defenses = {defenses}",
        f"templates = {json.dumps(TEMPLATES if spec.defended else ())}",
        "",
        "[limits]",
        "address_diversity = false # every node here shares one address; never so elsewhere",
        "auths_per_second = 5000.0 # the same",
    ]
    if spec.metrics:
        port = spec.metrics + index % spec.processes
        lines += ["", "[metrics]", f'listen = "{HOST}:{port}"']
    return "\n".join(lines) + "\n"
