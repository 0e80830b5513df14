"""From a configuration to what a node is made of: network, identity, defences, store, trail."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from qisguard.config import NodeConfig
from qisguard.errors import QisguardError, RecordError, ScenarioError
from qisguard.fill import nearest
from qisguard.identity.descriptor import Identity
from qisguard.identity.network import Network, open_network
from qisguard.identity.roster import Roster, open_roster
from qisguard.node.gossip import GossipParts, GossipPolicy
from qisguard.outcomes.lineage import VERSIONS_MAX, Lineage, Migration
from qisguard.outcomes.packet import OutcomePacket
from qisguard.outcomes.template import Template, open_template
from qisguard.plugins import Accepts, Card, Defense, Rejected
from qisguard.service import identities
from qisguard.service.config import ROSTER, ServiceConfig, parse_ids
from qisguard.service.detectors import make_detectors
from qisguard.service.keying import secret_of
from qisguard.store.sqlite import SqliteStore
from qisguard.store.store import StoreLimits
from qisguard.trail.checkpoint import origin_of
from qisguard.trail.evidence import EvidenceFiles
from qisguard.trail.files import FolderFiles
from qisguard.trail.log import Trail
from qisguard.trail.shown import ShownTrail
from qisguard.trail.witness import FileMemory

if TYPE_CHECKING:
    from qisguard.outcomes.annals import Annals
    from qisguard.outcomes.reputation import Standings

FILE_SIZE_MAX = 4 << 20
STORE = "store.sqlite"
TRAIL = "trail"
TRAIL_STATE = "trail-state"
WITNESS_STATE = "witness-state"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of, less what lies in its state folder.

    ``horizons`` are the days at which outcomes of each of its templates are settled.
    """

    network: Network
    roster: Roster | None
    identity: Identity
    defenses: tuple[Defense, ...]
    limits: NodeConfig
    horizons: dict[str, int]


def open_parts(config: ServiceConfig) -> Parts:
    """Return the parts of a node; raise QisguardError naming the file that does not hold."""
    network = open_network_file(config)
    roster = open_roster_file(config, network)
    templates = [open_named_template(name, config.path.parent) for name in config.node.templates]
    defenses = make_defenses(config, network, roster, templates)
    limits = tune_limits(config, defenses)
    defenses += make_detectors(config.node.detectors, limits.replica_count)
    identity = identities.load(config.node.identity, network)
    horizons = {template.id: template.outcome.horizon for template in templates}
    return Parts(network, roster, identity, defenses, limits, horizons)


def open_network_file(config: ServiceConfig) -> Network:
    """Return the network that the configured authority signed."""
    data = read_file(config.node.network, "node.network")
    try:
        return open_network(data, config.authority)
    except QisguardError as error:
        raise type(error)(f"node.network {config.node.network}: {error}") from None


def open_roster_file(config: ServiceConfig, network: Network) -> Roster | None:
    """Return the roster that the configured authority signed, or None in an open network."""
    if config.node.roster is None:
        return None
    data = read_file(config.node.roster, "node.roster")
    try:
        return open_roster(data, network.id, config.authority)
    except QisguardError as error:
        raise type(error)(f"node.roster {config.node.roster}: {error}") from None


def read_file(path: Path, what: str) -> bytes:
    """Return a file's bytes; raise ScenarioError when it cannot be read or is too long."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_SIZE_MAX + 1)
    except OSError as error:
        raise ScenarioError(f"{what} {path}: {error.strerror}") from None
    if len(data) > FILE_SIZE_MAX:
        raise ScenarioError(f"{what} {path}: more than {FILE_SIZE_MAX} bytes")
    return data


def open_named_template(name: str, base: Path) -> Template:
    """Return a packaged template by name, or the one in a file: a name with a slash or ``.toml``.

    A relative path is relative to ``base``.

    Raises:
        ScenarioError: there is no such template or file.
        RecordError: the file is no template.
    """
    if not is_path(name):
        return open_template(read_template_file(name, base))
    try:
        return open_template(read_template_file(name, base))
    except RecordError as error:
        raise RecordError(f"{base / Path(name).expanduser()}: {error}") from None


def is_path(name: str) -> bool:
    """Return whether the name of a template means a file."""
    return "/" in name or name.endswith(".toml")


def read_template_file(name: str, base: Path) -> bytes:
    """Return the bytes of a template; raise ScenarioError when there is none of this name."""
    if is_path(name):
        return read_file(base / Path(name).expanduser(), "template")
    folder = resources.files("qisguard").joinpath("scenarios", "templates")
    known = sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )
    if name not in known:
        raise ScenarioError(f"template {name!r}: unknown{nearest(name, known)}")
    return folder.joinpath(f"{name}.toml").read_bytes()


def open_lineage(name: str, base: Path) -> Lineage:
    """Return a template with the older versions that it names, each named relative to the newer.

    Raises:
        ScenarioError: there is no such template or file, or there are too many versions.
        RecordError: a file is no template, or does not say where the cases of the one before went.
    """
    newest = open_named_template(name, base)
    template, migrations = newest, list[Migration]()
    while template.migrates is not None:
        if len(migrations) >= VERSIONS_MAX:
            raise ScenarioError(
                f"template {newest.id}: more than {VERSIONS_MAX} versions before it"
            )
        base = (base / Path(name).expanduser()).parent if is_path(name) else base
        name = template.migrates.template
        migrations.append(Migration(open_named_template(name, base), template))
        template = migrations[-1].old
    return Lineage(newest, tuple(migrations))


@dataclass(frozen=True)
class EachTemplate:
    """``structure`` for a node that serves several templates: each judges its own packets."""

    by_id: dict[str, Accepts]
    card: Card

    def accept(
        self, packet: OutcomePacket, held: OutcomePacket | None, today: int
    ) -> Rejected | None:
        """Return what the packet breaks in its own template; refuse any other template."""
        rule = self.by_id.get(packet.body.tpl)
        if rule is None:
            return Rejected("structure: another template")
        return rule.accept(packet, held, today)


def make_defenses(
    config: ServiceConfig,
    network: Network,
    roster: Roster | None,
    templates: Sequence[Template],
    standings: "Standings | None" = None,
) -> tuple[Defense, ...]:
    """Return the configured defences in order, with their default parameters.

    ``standings`` are what issuers are worth by what the node remembers; without any, newcomers.
    """
    if not config.node.defenses:
        return ()
    from qisguard.defenses import DEFENSES  # loads NumPy: a node without defences goes without it

    made: list[Defense] = []
    for name in config.node.defenses:
        kind = DEFENSES[name]
        if name == "roster_routing":
            made.append(kind(roster))
        elif name == "beta_reputation" and standings is not None:
            made.append(kind(standings))
        elif name == "eigentrust":
            made.append(kind(roster) if standings is None else kind(roster, standings))
        elif name == "structure":
            by_id = {t.id: kind(t, secret_of(t, config, network, roster)) for t in templates}
            one = by_id[templates[0].id]
            made.append(one if len(by_id) == 1 else EachTemplate(by_id, kind.card))
        else:
            made.append(kind())
    return tuple(made)


def tune_limits(config: ServiceConfig, defenses: tuple[Defense, ...]) -> NodeConfig:
    """Return the limits as the defences tune them."""
    if not defenses:
        return config.limits
    from qisguard.outcomes.synthesis import SynthesisConfig  # loads SciPy
    from qisguard.plugins import Settings, Tunes

    settings = Settings(config.limits, SynthesisConfig())
    for defense in defenses:
        if isinstance(defense, Tunes):
            settings = defense.tune(settings)
    return settings.node


def open_store(config: ServiceConfig, limits: NodeConfig) -> SqliteStore:
    """Return the store in the state folder."""
    return SqliteStore(str(config.node.state / STORE), StoreLimits.of(limits))


def open_annals(config: ServiceConfig, parts: Parts, store: SqliteStore) -> "Annals | None":
    """Return what the node remembers, in its store's file; None where nothing is remembered."""
    if not config.node.annals:
        return None
    from qisguard.outcomes.annals import Annals  # loads NumPy and SciPy

    roster = parts.roster or Roster(parts.network.id, 0, ())
    return Annals(store.file, roster, parts.horizons)


def open_trail(config: ServiceConfig, parts: Parts) -> Trail | None:
    """Return the trail in the state folder, started or recovered; None where none is kept."""
    if not config.node.trail:
        return None
    public = FolderFiles(config.node.state / TRAIL)
    state = FolderFiles(config.node.state / TRAIL_STATE)
    origin = origin_of(parts.network.id, parts.identity.id)
    start = Trail.open if Trail.exists(state) else Trail.create
    return start(public, state, origin, parts.identity.log)


def open_gossip(config: ServiceConfig, parts: Parts, trail: Trail | None) -> GossipParts | None:
    """Return what the node needs to gossip about trails; None where it does not.

    The state folder is locked: nobody else writes what the witness remembers.
    """
    node = config.node
    if not node.gossip:
        return None
    names = [text for text in node.witnessed if text != ROSTER]
    witnessed = set(parse_ids(names, "witnessed"))
    if ROSTER in node.witnessed and parts.roster:
        witnessed |= set(parts.roster.by_node)
    policy = GossipPolicy(
        witnesses=parse_ids(node.witnesses, "witnesses") - {parts.identity.id},
        witnessed=frozenset(witnessed - {parts.identity.id}),
        interval=float(node.gossip_interval),
    )
    public = FolderFiles(node.state / TRAIL)
    memory = FileMemory(FolderFiles(node.state / WITNESS_STATE), public)
    own = None if trail is None else ShownTrail(trail, public)
    return GossipParts(policy, memory, EvidenceFiles(public), own)
